//! A connection for as long as one HTTP request: `client_connected` before, `client_disconnected` after.
//!
//! As on the official server, `sql` and `call` are such connections; a module may refuse them, and sees them come and
//! go. The pair is never split: the work runs on a task of its own that a client cannot cancel by hanging up, a
//! shutdown waits for it, and whichever module runs at its end hears of it ([`Departure`]).

use std::future::Future;

use http::StatusCode;
use spacetimedb::client::{ClientActorId, ClientConnection};
use spacetimedb::host::ModuleHost;
use spacetimedb::host::module_host::ClientConnectedError;
use spacetimedb_lib::ConnectionId;

use crate::auth::Caller;
use crate::control::DatabaseRecord;
use crate::departure::Departure;
use crate::http_error::ApiError;
use crate::state::HostState;

/// Connects `caller` to the database, runs `work` on its module, disconnects, and returns what `work` returned.
pub(crate) async fn with_connection<T, F>(
    state: &HostState,
    record: &DatabaseRecord,
    caller: &Caller,
    work: impl FnOnce(ModuleHost, ConnectionId) -> F + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let mut module_rx = state.engine.watch_module(record).await?;
    let auth = caller.connection_auth()?;
    let client = ClientActorId {
        identity: caller.identity(),
        connection_id: random_connection_id(),
        name: state.clients.next_client_name(),
    };
    let (replica_id, host) = (record.replica_id, state.engine.controller().clone());
    let task = state.tracker.spawn(async move {
        ClientConnection::call_client_connected_maybe_reject(&mut module_rx, client, auth).await.map_err(refused)?;
        let module = module_rx.borrow().clone();
        // A panic in `work` must not keep the connection alive for ever.
        let worked = tokio::spawn(work(module, client.connection_id)).await;
        Departure { client, replica_id, module_rx, host }.run().await;
        worked.map_err(panicked)?
    });
    let outcome = task.await.unwrap_or_else(|e| Err(panicked(e)));
    if outcome.is_err() {
        // A commit log that cannot be written ends the engine's part in panics and lost waits. Say why.
        state.engine.check_durability(record).await?;
    }
    outcome
}

fn panicked(error: tokio::task::JoinError) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the engine failed: {error}; see the host's log"))
}

/// A connection id that is not zero, which the engine takes for "none".
pub(crate) fn random_connection_id() -> ConnectionId {
    ConnectionId::from_u128(rand::random::<u128>() | 1)
}

fn refused(error: ClientConnectedError) -> ApiError {
    let status = match &error {
        ClientConnectedError::Rejected(message) => return ApiError::new(StatusCode::FORBIDDEN, message),
        ClientConnectedError::OutOfEnergy => StatusCode::SERVICE_UNAVAILABLE,
        ClientConnectedError::ReducerCall(_) => StatusCode::NOT_FOUND,
        ClientConnectedError::DBError(_) => StatusCode::INTERNAL_SERVER_ERROR,
    };
    ApiError::new(status, format!("{error:#}"))
}
