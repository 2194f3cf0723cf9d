//! `GET …/subscribe`: the WebSocket. This file finds out who asks for which database; `crate::subscribe` does the rest.

use axum::response::IntoResponse;
use http::StatusCode;

pub(super) async fn subscribe() -> impl IntoResponse {
    (StatusCode::NOT_IMPLEMENTED, "subscriptions are not there yet")
}
