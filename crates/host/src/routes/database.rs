//! `/v1/database/{name_or_identity}`: what a database is, and its end.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use spacetimedb::messages::control_db::HostType;
use spacetimedb_lib::{Hash, Identity};
use spacetimedb_sats::serde::SerdeWrapper;

use crate::address::{DatabaseAddress, Existing};
use crate::auth::Caller;
use crate::http_error::ApiError;
use crate::publishing;
use crate::state::AppState;

use super::publish::require_owner;

/// What `GET /v1/database/{name_or_identity}` answers, in SATS-JSON as the official server does.
#[derive(spacetimedb_sats::ser::Serialize)]
#[sats(crate = spacetimedb_sats)]
pub(super) struct DatabaseInfo {
    database_identity: Identity,
    owner_identity: Identity,
    host_type: HostType,
    /// The module the database was created with. An update does not change it, there as here; the module that runs
    /// now is in the table `st_module`.
    initial_program: Hash,
}

/// `GET /v1/database/{name_or_identity}`.
pub(super) async fn info(Existing(record): Existing) -> Json<SerdeWrapper<DatabaseInfo>> {
    Json(SerdeWrapper(DatabaseInfo {
        database_identity: record.identity,
        owner_identity: record.owner,
        host_type: HostType::Wasm,
        initial_program: record.initial_program,
    }))
}

/// `GET /v1/database/{name_or_identity}/identity`: the hexadecimal identity. One that is given is given back.
pub(super) async fn identity(State(state): State<AppState>, address: DatabaseAddress) -> Result<String, ApiError> {
    Ok(address.resolve(&state)?.to_hex().to_string())
}

/// `DELETE /v1/database/{name_or_identity}`: only the owner may; a database that is already gone is fine.
pub(super) async fn delete(
    State(state): State<AppState>,
    address: DatabaseAddress,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<(), ApiError> {
    let identity = address.resolve(&state)?;
    let Some(record) = state.control.database(identity)? else {
        return Ok(());
    };
    require_owner(&record, &caller, "delete database")?;
    publishing::delete(&state, record).await
}
