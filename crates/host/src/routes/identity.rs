//! `/v1/identity`: making identities, exchanging and checking tokens.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::IntoResponse;
use http::{StatusCode, header};
use serde::Serialize;
use spacetimedb_lib::Identity;

use crate::auth::{Caller, MaybeCaller};
use crate::http_error::ApiError;
use crate::state::AppState;

#[derive(Serialize)]
pub(super) struct CreatedIdentity {
    identity: Identity,
    token: String,
}

/// `POST /v1/identity`: a new identity and its token.
pub(super) async fn create(State(state): State<AppState>) -> Result<Json<CreatedIdentity>, ApiError> {
    let caller = state.auth.mint()?;
    Ok(Json(CreatedIdentity { identity: caller.identity(), token: caller.token }))
}

#[derive(Serialize)]
pub(super) struct WebsocketToken {
    token: String,
}

/// `POST /v1/identity/websocket-token`: a token for the same identity that may stand in a URL, for a minute at most.
pub(super) async fn websocket_token(
    State(state): State<AppState>,
    caller: MaybeCaller,
) -> Result<Json<WebsocketToken>, ApiError> {
    let token = state.auth.short_lived(&required(caller)?)?;
    Ok(Json(WebsocketToken { token }))
}

/// `GET /v1/identity/public-key`: the key that this host's tokens verify with, as PEM.
pub(super) async fn public_key(State(state): State<AppState>) -> impl IntoResponse {
    let pem = state.auth.keys().public_pem.to_vec();
    ([(header::CONTENT_TYPE, "application/pem-certificate-chain")], pem)
}

/// `GET /v1/identity/{identity}/verify`: 204 if the token is that identity's, 400 if it is another's, 401 without one.
pub(super) async fn verify(Path(identity): Path<String>, caller: MaybeCaller) -> Result<StatusCode, ApiError> {
    let identity = parse(&identity)?;
    if required(caller)?.identity() == identity {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::bad_request("the token belongs to another identity"))
    }
}

#[derive(Serialize)]
pub(super) struct OwnedDatabases {
    identities: Vec<Identity>,
}

/// `GET /v1/identity/{identity}/databases`: the databases that an identity owns.
pub(super) async fn databases(
    State(state): State<AppState>,
    Path(identity): Path<String>,
) -> Result<Json<OwnedDatabases>, ApiError> {
    let identities = state.control.owned_by(parse(&identity)?)?;
    Ok(Json(OwnedDatabases { identities }))
}

fn required(MaybeCaller(caller): MaybeCaller) -> Result<Caller, ApiError> {
    caller.ok_or_else(|| ApiError::new(StatusCode::UNAUTHORIZED, "Authorization required"))
}

fn parse(identity: &str) -> Result<Identity, ApiError> {
    Identity::from_hex(identity)
        .map_err(|_| ApiError::bad_request(format!("`{identity}` is no identity: 64 hexadecimal digits make one")))
}
