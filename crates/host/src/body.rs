//! Request bodies, read whole within a size and a time.

use axum::body::Body;
use axum::body::to_bytes;
use bytes::Bytes;
use bytestring::ByteString;
use http::StatusCode;

use crate::http_error::ApiError;
use crate::limits::BODY_READ_TIMEOUT;

/// Reads `body`: 413 if it is longer than `bytes_max`, 408 if it takes longer than [`BODY_READ_TIMEOUT`].
pub(crate) async fn read(body: Body, bytes_max: usize) -> Result<Bytes, ApiError> {
    match tokio::time::timeout(BODY_READ_TIMEOUT, to_bytes(body, bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(e)) if is_too_long(&e) => Err(ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("request body is longer than the {bytes_max} bytes this route takes"),
        )),
        Ok(Err(e)) => Err(ApiError::bad_request(format!("request body could not be read: {e}"))),
        Err(_) => Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("request body did not arrive within {} s", BODY_READ_TIMEOUT.as_secs()),
        )),
    }
}

/// Reads `body` as text; 400 if it is not UTF-8.
pub(crate) async fn read_text(body: Body, bytes_max: usize) -> Result<ByteString, ApiError> {
    let bytes = read(body, bytes_max).await?;
    ByteString::try_from(bytes).map_err(|_| ApiError::bad_request("Request body didn't contain valid UTF-8"))
}

fn is_too_long(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}
