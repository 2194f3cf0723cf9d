//! Holds the module's tables to `muster_contract::rows`: the macro makes the module declare each table a second time,
//! and a client decodes what the contract says. A table may have columns behind those, which clients pass over.

use muster_contract::rows;
use muster_contract::shape::{ColumnShape, columns_of};
use spacetimedb::SpacetimeType;

#[test]
fn every_public_table_has_the_columns_of_the_contract() {
    assert_eq!(all_but_seen_by::<crate::people::Person>(), columns_of::<rows::Person>());
    assert_eq!(all_but_seen_by::<crate::presence::ActiveConnection>(), columns_of::<rows::ActiveConnection>());
    assert_eq!(columns_of::<crate::presence::PresenceSummary>(), columns_of::<rows::PresenceSummary>());
    assert_eq!(columns_of::<crate::contract_info::ContractInfo>(), columns_of::<rows::ContractInfo>());
    assert_eq!(columns_of::<crate::streams::tables::SyncSignal>(), columns_of::<rows::SyncSignal>());
}

fn all_but_seen_by<T: SpacetimeType>() -> Vec<ColumnShape> {
    let mut columns = columns_of::<T>();
    assert_eq!(columns.pop().expect("a last column").name, "seen_by");
    columns
}
