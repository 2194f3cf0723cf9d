//! `GET …/schema?version=9|10`: the module's definition, in SATS-JSON.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use spacetimedb_lib::db::raw_def::v9::RawModuleDefV9;
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10;
use spacetimedb_sats::serde::SerdeWrapper;

use crate::address::Existing;
use crate::http_error::ApiError;
use crate::state::AppState;

#[derive(Deserialize)]
pub(super) struct SchemaQuery {
    version: String,
}

/// The schema of the module that runs now. Anybody may read it.
pub(super) async fn schema(
    State(state): State<AppState>,
    Existing(record): Existing,
    Query(query): Query<SchemaQuery>,
) -> Result<Response, ApiError> {
    let module = state.engine.module(&record).await?;
    let definition = module.info().module_def.as_ref().clone();
    match query.version.as_str() {
        "9" => Ok(Json(SerdeWrapper(RawModuleDefV9::from(definition))).into_response()),
        "10" => Ok(Json(SerdeWrapper(RawModuleDefV10::from(definition))).into_response()),
        other => Err(ApiError::bad_request(format!("unknown schema version `{other}`; use 9 or 10"))),
    }
}
