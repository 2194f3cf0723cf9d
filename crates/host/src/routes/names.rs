//! `/v1/database/{name_or_identity}/names`: what a database is called.
//!
//! A name belongs to one database. Only the owner of a database changes its names, and nobody takes another's: the
//! official server lets anyone point a free name at any database, which this host does not.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::{Extension, Json};
use http::StatusCode;
use spacetimedb_client_api_messages::name::{
    DatabaseName, DomainName, GetNamesResponse, InsertDomainResult, SetDomainsResult,
};

use crate::address::{Existing, parse_name};
use crate::auth::Caller;
use crate::body;
use crate::control::ControlError;
use crate::http_error::ApiError;
use crate::limits::{NAMES_BODY_BYTES_MAX, NAMES_PER_DATABASE_MAX};
use crate::state::AppState;

/// `GET …/names`: all names.
pub(super) async fn get(
    State(state): State<AppState>,
    Existing(record): Existing,
) -> Result<Json<GetNamesResponse>, ApiError> {
    let names = state.control.names_of(record.identity)?;
    let names = names.into_iter().filter_map(|name| DatabaseName::try_from(name).ok()).collect();
    Ok(Json(GetNamesResponse { names }))
}

/// `POST …/names`: one more name, given as the plain body.
pub(super) async fn add(
    State(state): State<AppState>,
    Existing(record): Existing,
    Extension(caller): Extension<Arc<Caller>>,
    body: Body,
) -> Result<(StatusCode, Json<InsertDomainResult>), ApiError> {
    let name = parse(&body::read_text(body, NAMES_BODY_BYTES_MAX, state.limits.body_timeout).await?)?;
    let domain = DomainName::from(name.clone());
    if record.owner != caller.identity() {
        return Ok((StatusCode::UNAUTHORIZED, Json(InsertDomainResult::PermissionDenied { domain })));
    }
    let names = state.control.names_of(record.identity)?;
    if names.contains(&name.0) {
        return Ok((StatusCode::OK, Json(added(domain, record.identity))));
    }
    if names.len() >= NAMES_PER_DATABASE_MAX {
        return Err(too_many_names());
    }
    match state.control.add_name(record.identity, name.0).await {
        Ok(()) => Ok((StatusCode::OK, Json(added(domain, record.identity)))),
        Err(ControlError::NameTaken(_)) => {
            Ok((StatusCode::UNAUTHORIZED, Json(InsertDomainResult::PermissionDenied { domain })))
        }
        Err(e) => Err(e.into()),
    }
}

fn added(domain: DomainName, database_identity: spacetimedb_lib::Identity) -> InsertDomainResult {
    InsertDomainResult::Success { domain, database_identity }
}

/// `PUT …/names`: these names and no others, given as a JSON array.
pub(super) async fn set(
    State(state): State<AppState>,
    Existing(record): Existing,
    Extension(caller): Extension<Arc<Caller>>,
    body: Body,
) -> Result<(StatusCode, Json<SetDomainsResult>), ApiError> {
    let body = body::read(body, NAMES_BODY_BYTES_MAX, state.limits.body_timeout).await?;
    let names: Vec<String> = serde_json::from_slice(&body)
        .map_err(|e| ApiError::bad_request(format!("the body must be a JSON array of names: {e}")))?;
    if names.len() > NAMES_PER_DATABASE_MAX {
        return Err(too_many_names());
    }
    for name in &names {
        parse(name)?;
    }
    if record.owner != caller.identity() {
        let refusal = SetDomainsResult::NotYourDatabase { database: record.identity };
        return Ok((StatusCode::UNAUTHORIZED, Json(refusal)));
    }
    match state.control.set_names(record.identity, names).await {
        Ok(()) => Ok((StatusCode::OK, Json(SetDomainsResult::Success))),
        Err(ControlError::NameTaken(name)) => {
            let refusal = format!("Cannot rename to {name} because it already is in use.");
            Ok((StatusCode::BAD_REQUEST, Json(SetDomainsResult::OtherError(refusal))))
        }
        Err(e) => Err(e.into()),
    }
}

fn parse(name: &str) -> Result<DatabaseName, ApiError> {
    parse_name(name).map_err(|e| ApiError::bad_request(format!("Error parsing `{name}`: {e}")))
}

fn too_many_names() -> ApiError {
    ApiError::bad_request(format!("a database has at most {NAMES_PER_DATABASE_MAX} names"))
}
