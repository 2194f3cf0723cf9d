//! The HTTP request that becomes a WebSocket (RFC 6455 section 4).
//!
//! axum's own extractor hides the frames of the socket it makes. The writer needs them: it sends long messages in frames
//! so that pings pass (see `outbound.rs`). Always true: nothing is read from or written to the connection before the 101
//! response is out.

use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use spacetimedb::client::{Protocol, WsVersion};
use spacetimedb_client_api_messages::websocket::{v1, v2, v3};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::limits::{
    SOCKET_READ_BUFFER_BYTES, SOCKET_WRITE_BUFFER_BYTES, SOCKET_WRITE_BUFFER_MAX_BYTES, UPGRADE_TIMEOUT,
};

/// An open connection to a client.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// What the client and the host speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subprotocol {
    /// As it stands in `Sec-WebSocket-Protocol`.
    pub(super) name: &'static str,
    /// JSON text or BSATN.
    pub(super) format: Protocol,
    /// Which messages.
    pub(super) version: WsVersion,
}

/// The subprotocols the host speaks, best first.
const SUBPROTOCOLS: [Subprotocol; 4] = [
    Subprotocol { name: v3::BIN_PROTOCOL, format: Protocol::Binary, version: WsVersion::V3 },
    Subprotocol { name: v2::BIN_PROTOCOL, format: Protocol::Binary, version: WsVersion::V2 },
    Subprotocol { name: v1::BIN_PROTOCOL, format: Protocol::Binary, version: WsVersion::V1 },
    Subprotocol { name: v1::TEXT_PROTOCOL, format: Protocol::Text, version: WsVersion::V1 },
];

/// An axum extractor: a valid request for a WebSocket. Others are answered with 400, or 426 where only the WebSocket
/// version is wrong.
pub(crate) struct Handshake {
    response: Response,
    on_upgrade: OnUpgrade,
    subprotocol: Option<Subprotocol>,
}

impl<S: Send + Sync> FromRequestParts<S> for Handshake {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Response> {
        let mut request = http::Request::new(());
        *request.method_mut() = parts.method.clone();
        *request.version_mut() = parts.version;
        request.headers_mut().clone_from(&parts.headers);
        let response = create_response_with_body(&request, Body::empty).map_err(refusal)?;
        if !is_nonce(&parts.headers) {
            let told = "Sec-WebSocket-Key must be 16 random bytes in base64 (RFC 6455 section 4.1)";
            return Err((StatusCode::BAD_REQUEST, told).into_response());
        }
        let on_upgrade = parts.extensions.remove::<OnUpgrade>().ok_or_else(|| {
            (StatusCode::UPGRADE_REQUIRED, "this connection cannot be upgraded to a WebSocket").into_response()
        })?;
        Ok(Self { response, on_upgrade, subprotocol: best_offered(&parts.headers) })
    }
}

impl Handshake {
    /// The best subprotocol that the client offers and the host speaks.
    pub(super) fn subprotocol(&self) -> Option<Subprotocol> {
        self.subprotocol
    }

    /// The response that accepts the client, and what becomes of the connection once it is sent.
    pub(super) fn accept(self, subprotocol: Subprotocol) -> (Response, Upgrade) {
        let mut response = self.response;
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol.name));
        (response, Upgrade(self.on_upgrade))
    }
}

/// A connection that is about to become a WebSocket.
pub(super) struct Upgrade(OnUpgrade);

impl Upgrade {
    /// Waits until the response is out. `None` if the client is gone by then.
    pub(super) async fn socket(self, incoming_message_bytes: usize) -> Option<Socket> {
        let upgraded = tokio::time::timeout(UPGRADE_TIMEOUT, self.0).await;
        let io = match upgraded {
            Ok(Ok(upgraded)) => TokioIo::new(upgraded),
            Ok(Err(error)) => {
                tracing::debug!("a client was gone before its WebSocket was open: {error}");
                return None;
            }
            Err(_) => {
                tracing::debug!("a WebSocket was not open after {} s", Duration::as_secs(&UPGRADE_TIMEOUT));
                return None;
            }
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(SOCKET_READ_BUFFER_BYTES)
            .write_buffer_size(SOCKET_WRITE_BUFFER_BYTES)
            .max_write_buffer_size(SOCKET_WRITE_BUFFER_MAX_BYTES)
            .max_message_size(Some(incoming_message_bytes))
            .max_frame_size(Some(incoming_message_bytes));
        Some(WebSocketStream::from_raw_socket(io, Role::Server, Some(config)).await)
    }
}

fn refusal(error: SocketError) -> Response {
    match error {
        SocketError::Protocol(error @ ProtocolError::MissingSecWebSocketVersionHeader) => {
            let supported = [(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"))];
            (StatusCode::UPGRADE_REQUIRED, supported, error.to_string()).into_response()
        }
        error => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
    }
}

/// Whether there is one `Sec-WebSocket-Key`, of sixteen bytes in base64.
fn is_nonce(headers: &HeaderMap) -> bool {
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = keys.next().map(|key| BASE64_STANDARD.decode(key.as_bytes().trim_ascii()));
    matches!(key, Some(Ok(nonce)) if nonce.len() == 16) && keys.next().is_none()
}

fn best_offered(headers: &HeaderMap) -> Option<Subprotocol> {
    let offers = headers.get_all(SEC_WEBSOCKET_PROTOCOL);
    let offered: Vec<&str> = offers
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .collect();
    SUBPROTOCOLS.into_iter().find(|ours| offered.contains(&ours.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(offers: &[&'static str]) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        for offer in offers {
            headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offer));
        }
        best_offered(&headers).map(|subprotocol| subprotocol.name)
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        let nonce = |keys: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for key in keys {
                headers.append(SEC_WEBSOCKET_KEY, HeaderValue::from_static(key));
            }
            is_nonce(&headers)
        };
        assert!(nonce(&["dGhlIHNhbXBsZSBub25jZQ=="]));
        for bad in [&["abc"][..], &["YWJj"], &[""], &[], &["dGhlIHNhbXBsZSBub25jZQ=="; 2]] {
            assert!(!nonce(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_newest_protocol_both_sides_speak_is_chosen() {
        assert_eq!(chosen(&["v2.bsatn.spacetimedb, v3.bsatn.spacetimedb"]), Some("v3.bsatn.spacetimedb"));
        assert_eq!(chosen(&["v9.bsatn.spacetimedb", "v2.bsatn.spacetimedb"]), Some("v2.bsatn.spacetimedb"));
        assert_eq!(chosen(&["v1.json.spacetimedb"]), Some("v1.json.spacetimedb"));
        assert_eq!(chosen(&["chat"]), None);
        assert_eq!(chosen(&[]), None);
    }
}
