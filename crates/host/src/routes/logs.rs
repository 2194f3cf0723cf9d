//! `GET …/logs?num_lines&follow`: what a module logged, one JSON object a line. Only the owner may read it.
//!
//! A stream that follows ends when the host shuts down, or the database goes.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use futures::{StreamExt, TryStreamExt};
use http::header;
use serde::Deserialize;

use crate::address::Existing;
use crate::auth::Caller;
use crate::http_error::ApiError;
use crate::state::AppState;

use super::publish::require_owner;

#[derive(Deserialize)]
pub(super) struct LogsQuery {
    num_lines: Option<u32>,
    #[serde(default)]
    follow: bool,
}

pub(super) async fn logs(
    State(state): State<AppState>,
    Existing(record): Existing,
    Query(LogsQuery { num_lines, follow }): Query<LogsQuery>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Result<impl IntoResponse, ApiError> {
    require_owner(&record, &caller, "view module logs")?;
    let headers = [(header::CACHE_CONTROL, "no-cache"), (header::CONTENT_TYPE, "application/x-ndjson")];
    // The engine would send the last line of a log on disk.
    if num_lines == Some(0) && !follow {
        return Ok((headers, Body::empty()));
    }
    let lines = match state.engine.module(&record).await {
        Ok(module) => module
            .database_logger()
            .tail(num_lines, follow)
            .await
            .map_err(|_| ApiError::unavailable("Logs are temporarily not available"))?,
        // A database that does not run may have said why in its log.
        Err(e) => state.engine.logs_on_disk(&record, num_lines).ok_or(e)?,
    };
    let database = record.identity;
    let shutdown = state.shutdown.clone().cancelled_owned();
    let lines = lines
        .inspect_err(move |error| tracing::warn!(%database, %error, "module log cannot be read"))
        .take_until(shutdown);
    Ok((headers, Body::from_stream(lines)))
}
