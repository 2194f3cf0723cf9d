//! `GET …/subscribe`: the WebSocket. This file finds out who asks for which database; [`crate::subscribe`] does the rest.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use axum::response::Response;

use crate::address::Existing;
use crate::auth::Caller;
use crate::http_error::ApiError;
use crate::state::AppState;
use crate::subscribe::{Handshake, SessionStart, SubscribeQuery, upgrade};

/// Anybody may connect; the module decides whom it keeps.
pub(super) async fn subscribe(
    State(state): State<AppState>,
    Existing(record): Existing,
    Query(query): Query<SubscribeQuery>,
    Extension(caller): Extension<Arc<Caller>>,
    handshake: Handshake,
) -> Result<Response, ApiError> {
    if state.shutdown.is_cancelled() {
        return Err(ApiError::unavailable("the host is shutting down"));
    }
    let module_rx = state.engine.watch_module(&record).await?;
    let start = SessionStart {
        host: state.engine.controller().clone(),
        module_rx,
        replica_id: record.replica_id,
        clients: state.clients.clone(),
        auth: caller.connection_auth()?,
        sql_auth: caller.sql_auth(record.owner),
        identity: caller.identity(),
        token: caller.token.clone(),
        shutdown: state.shutdown.clone(),
        tracker: state.tracker.clone(),
    };
    Ok(upgrade(start, &query, handshake, &state.websocket_limits))
}
