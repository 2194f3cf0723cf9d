//! Holds the module's tables to `muster_contract::rows`: the macro makes the module declare each table a second time,
//! and a client decodes what the contract says.

use muster_contract::rows;
use muster_contract::shape::columns_of;

#[test]
fn every_public_table_has_the_columns_of_the_contract() {
    assert_eq!(columns_of::<crate::people::Person>(), columns_of::<rows::Person>());
    assert_eq!(columns_of::<crate::presence::ActiveConnection>(), columns_of::<rows::ActiveConnection>());
    assert_eq!(columns_of::<crate::presence::PresenceSummary>(), columns_of::<rows::PresenceSummary>());
    assert_eq!(columns_of::<crate::contract_info::ContractInfo>(), columns_of::<rows::ContractInfo>());
    assert_eq!(columns_of::<crate::streams::tables::SyncSignal>(), columns_of::<rows::SyncSignal>());
}
