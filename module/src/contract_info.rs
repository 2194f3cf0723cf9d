//! The one row that says what this module speaks and whom it serves.
//!
//! What always holds: the row equals this build's constants whenever a client can read it, also after an update of the
//! module in place.

use muster_contract::rows::ContractInfo as Contract;
use spacetimedb::{ReducerContext, Table};

/// See `muster_contract::rows::ContractInfo`.
#[spacetimedb::table(accessor = contract_info, public)]
#[derive(Clone, PartialEq, Eq)]
pub struct ContractInfo {
    /// Always 0.
    #[primary_key]
    pub id: u8,
    /// The protocol.
    pub protocol_id: String,
    /// The newest schema version served.
    pub schema_version: u32,
    /// This build.
    pub module_version: String,
    /// The oldest client schema version served.
    pub oldest_schema_version: u32,
    /// The oldest client build served.
    pub oldest_client_build: String,
}

impl From<Contract> for ContractInfo {
    fn from(contract: Contract) -> Self {
        let Contract { id, protocol_id, schema_version, module_version, oldest_schema_version, oldest_client_build } =
            contract;
        ContractInfo { id, protocol_id, schema_version, module_version, oldest_schema_version, oldest_client_build }
    }
}

/// Makes the row say what this build speaks; writes only where it does not already.
pub(crate) fn refresh(ctx: &ReducerContext) {
    let current = ContractInfo::from(Contract::of_this_build());
    let by_id = ctx.db.contract_info().id();
    match by_id.find(current.id) {
        Some(stored) if stored == current => {}
        Some(_) => {
            by_id.update(current);
        }
        None => {
            ctx.db.contract_info().insert(current);
        }
    }
}
