//! A connection for as long as one HTTP request: `client_connected` before, `client_disconnected` after.
//!
//! As on the official server, `sql` and `call` are such connections; a module may refuse them, and sees them come and
//! go. The pair is never split: the work runs on a task of its own that a client cannot cancel by hanging up, and a
//! shutdown waits for it.

use std::future::Future;

use http::StatusCode;
use spacetimedb::host::ModuleHost;
use spacetimedb::host::module_host::ClientConnectedError;
use spacetimedb_lib::ConnectionId;

use crate::auth::Caller;
use crate::http_error::ApiError;
use crate::state::HostState;

/// Connects `caller` to `module`, runs `work`, disconnects, and returns what `work` returned.
pub(crate) async fn with_connection<T, F>(
    state: &HostState,
    module: ModuleHost,
    caller: &Caller,
    work: impl FnOnce(ModuleHost, ConnectionId) -> F + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let identity = caller.identity();
    let auth = caller.connection_auth()?;
    let task = state.tracker.spawn(async move {
        let connection_id = random_connection_id();
        module.call_identity_connected(auth, connection_id).await.map_err(refused)?;
        // A panic in `work` must not keep the connection alive for ever.
        let worked = tokio::spawn(work(module.clone(), connection_id)).await;
        module
            .call_identity_disconnected(identity, connection_id)
            .await
            .map_err(|e| ApiError::internal(format!("{e:#}")))?;
        worked.unwrap_or_else(|e| Err(ApiError::internal(e)))
    });
    task.await.unwrap_or_else(|e| Err(ApiError::internal(e)))
}

/// A connection id that is not zero, which the engine takes for "none".
fn random_connection_id() -> ConnectionId {
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
