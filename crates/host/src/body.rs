//! Request bodies: read whole within a size and a time, or else drained.
//!
//! A client that is still sending a module when it is refused would see its connection reset instead of the reason.
//! So what a handler left unread is read and thrown away before an error goes out, within twice the size of a module. Not
//! so where the client waits to hear whether it may send at all (`Expect: 100-continue`, RFC 9110 section 10.1.1) and
//! nobody has begun to read: it hears the refusal, and sends nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use bytestring::ByteString;
use http::{StatusCode, header};
use http_body_util::BodyExt;
use hyper::body::{Frame, SizeHint};

use crate::http_error::ApiError;
use crate::limits::DRAIN_TIMEOUT;
use crate::state::AppState;

/// Reads `body`: 413 if it is longer than `bytes_max`, 408 if it takes longer than `timeout`.
pub(crate) async fn read(body: Body, bytes_max: usize, timeout: Duration) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(timeout, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e)) if is_too_long(&e) => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("request body is longer than the {bytes_max} bytes this route takes"),
        )),
        Ok(Err(e)) => Err(ApiError::bad_request(format!("request body could not be read: {e}"))),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("request body did not arrive within {} s", timeout.as_secs_f64()),
        )),
    }
}

/// Reads `body` as text; 400 if it is not UTF-8.
pub(crate) async fn read_text(body: Body, bytes_max: usize, timeout: Duration) -> Result<ByteString, ApiError> {
    let bytes = read(body, bytes_max, timeout).await?;
    ByteString::try_from(bytes).map_err(|_| ApiError::bad_request("Request body didn't contain valid UTF-8"))
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

/// Middleware: drains what a refused request has not sent yet.
pub(crate) async fn drain_if_refused(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let slot = Slot::default();
    let expects = request.headers().contains_key(header::EXPECT);
    let request = request.map(|body| Body::new(Lent { body, begun: false, slot: slot.clone() }));
    let response = next.run(request).await;
    let status = response.status();
    let unread = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    // Who was too slow has had their time.
    let refused = (status.is_client_error() || status.is_server_error()) && status != StatusCode::REQUEST_TIMEOUT;
    if let Some((unread, begun)) = unread
        && refused
        && (begun || !expects)
    {
        // Whoever sends more, or more slowly, loses the answer, as without this.
        let _ = tokio::time::timeout(DRAIN_TIMEOUT, drain(unread, state.limits.drain_bytes())).await;
    }
    response
}

async fn drain(mut body: Body, bytes_max: usize) {
    let mut left = bytes_max;
    while let Some(Ok(frame)) = body.frame().await {
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        left = match left.checked_sub(bytes) {
            Some(left) => left,
            None => return,
        };
    }
}

/// Where a body comes back to when its reader drops it, and whether it had begun to read.
type Slot = Arc<Mutex<Option<(Body, bool)>>>;

/// A body that is not lost when it is dropped.
struct Lent {
    body: Body,
    begun: bool,
    slot: Slot,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.begun = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.body);
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some((body, self.begun));
    }
}
