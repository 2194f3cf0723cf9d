//! `GET /v1/metrics`: counters for Prometheus. Anybody may read them, as on the official server.

use std::collections::HashSet;

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;

use crate::http_error::ApiError;
use crate::state::AppState;

/// The host's counters and the engine's.
pub(super) async fn metrics(State(state): State<AppState>) -> Result<impl IntoResponse, ApiError> {
    let databases = state.control.databases()?.into_iter().map(|record| record.identity).collect::<HashSet<_>>();
    state.metrics.databases.set(i64::try_from(databases.len()).unwrap_or(i64::MAX));
    let text = state.metrics.text(&databases).map_err(ApiError::internal)?;
    Ok(([(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text))
}
