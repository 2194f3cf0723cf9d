//! What every request handler can reach: the host's parts, shared.
//!
//! There is one [`HostState`] per host and nothing global, so that many hosts fit into one process.

use std::sync::Arc;

use axum::extract::FromRef;
use spacetimedb::client::ClientActorIndex;
use spacetimedb_lib::Identity;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Authenticator;
use crate::control::{Control, ControlError, DatabaseRecord};
use crate::durability::Stopped;
use crate::engine::{Engine, LaunchError};
use crate::http_error::ApiError;
use crate::limits::HostLimits;
use crate::metrics::HostMetrics;
use crate::programs::Programs;
use crate::subscribe::WebSocketLimits;
use crate::turns::Turns;

/// The parts of a running host.
pub(crate) struct HostState {
    /// Which databases exist.
    pub(crate) control: Control,
    /// Modules as published.
    pub(crate) programs: Programs,
    /// The databases, running.
    pub(crate) engine: Engine,
    /// Who calls.
    pub(crate) auth: Authenticator,
    /// One change of a database at a time, which keeps the catalogue, the module files and the engine in step.
    pub(crate) publishing: Turns,
    /// Names WebSocket connections, and knows which of them holds which session.
    pub(crate) clients: Arc<ClientActorIndex>,
    /// What is counted.
    pub(crate) metrics: HostMetrics,
    /// `http` or `https`: how this host is spoken to.
    pub(crate) scheme: &'static str,
    /// What a connection and a request may use.
    pub(crate) limits: HostLimits,
    /// What a WebSocket session may use.
    pub(crate) websocket_limits: WebSocketLimits,
    /// Cancelled when the host shuts down; streams and sessions end on it.
    pub(crate) shutdown: CancellationToken,
    /// Everything a shutdown waits for.
    pub(crate) tracker: TaskTracker,
}

/// The state as axum wants it.
#[derive(Clone, FromRef)]
pub(crate) struct AppState(Arc<HostState>);

impl AppState {
    pub(crate) fn new(state: Arc<HostState>) -> Self {
        Self(state)
    }
}

impl std::ops::Deref for AppState {
    type Target = HostState;

    fn deref(&self) -> &HostState {
        &self.0
    }
}

impl HostState {
    /// The database of an identity, or the official server's 404.
    pub(crate) fn find(&self, identity: Identity) -> Result<DatabaseRecord, ApiError> {
        self.control.database(identity)?.ok_or_else(ApiError::no_such_database)
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NoSuchDatabase => Self::no_such_database(),
            ControlError::NameTaken(_) => Self::bad_request(error),
            ControlError::DiskFull(e) => Self::disk_full(e),
            ControlError::Sqlite(_) | ControlError::Interrupted => Self::internal(error),
        }
    }
}

impl From<LaunchError> for ApiError {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::Gone => Self::no_such_database(),
            // Logged where it happened; every request of a broken database need not log it again.
            LaunchError::Failed { .. } => Self::new(http::StatusCode::INTERNAL_SERVER_ERROR, error),
            LaunchError::Stopped { stopped: Stopped::DiskFull(_), .. } => {
                Self::new(http::StatusCode::INSUFFICIENT_STORAGE, error)
            }
            LaunchError::Stopped { stopped: Stopped::LogFailed, .. } => Self::unavailable(error),
        }
    }
}
