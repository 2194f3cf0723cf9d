//! Why a session ends, and what the client is told about it.
//!
//! Always true: every reason the host has for closing is a [`CloseReason`], its code and text are chosen here and nowhere
//! else, and the text fits into a Close frame.

use std::borrow::Cow;

use spacetimedb::worker_metrics::ClientDisconnectCause as Cause;
use spacetimedb_client_api_messages::websocket::common::SESSION_BUSY_CLOSE_CODE;
use tokio_tungstenite::tungstenite::Error as SocketError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// RFC 6455 section 5.5: a control frame carries at most 125 bytes, of which a Close frame spends two on its code.
const REASON_BYTES_MAX: usize = 123;

/// The host closes the session, because …
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// … the module's `client_connected` reducer returned an error or panicked. With its message.
    Rejected(String),
    /// … the engine could not run `client_connected`. With the engine's message.
    CannotConnect(String),
    /// … another live connection has the connection id that the client asked for.
    ConnectionIdInUse(String),
    /// … another live connection holds the same `session_id`.
    SessionBusy,
    /// … more of the client's messages wait than [`WebSocketLimits`](super::WebSocketLimits) allows.
    TooManyRequests,
    /// … the client sent something the engine cannot read. With the engine's message.
    BadMessage(String),
    /// … the client broke the WebSocket protocol, or sent a message above the size limit. With the code that says which.
    BadFrame(CloseCode, String),
    /// … the database was deleted, or updated in a way that breaks its clients.
    ModuleExited,
    /// … the host stops.
    Shutdown,
}

impl CloseReason {
    /// The reason to close after `error` came out of the socket, or `None` where the connection is gone already.
    pub(super) fn from_socket_error(error: &SocketError) -> Option<Self> {
        use tokio_tungstenite::tungstenite::error::ProtocolError;
        let code = match error {
            SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
            SocketError::Protocol(_) => CloseCode::Protocol,
            SocketError::Capacity(_) => CloseCode::Size,
            SocketError::Utf8(_) => CloseCode::Invalid,
            _ => return None,
        };
        Some(Self::BadFrame(code, error.to_string()))
    }

    /// The Close frame that tells the client.
    pub(super) fn frame(&self) -> CloseFrame {
        let (code, text): (CloseCode, Cow<'_, str>) = match self {
            Self::Rejected(message) => (CloseCode::Policy, message.into()),
            Self::CannotConnect(message) => (CloseCode::Error, message.into()),
            Self::ConnectionIdInUse(id) => (CloseCode::Error, format!("connection id {id} is in use").into()),
            Self::SessionBusy => (SESSION_BUSY_CLOSE_CODE.into(), "the session is held by another connection".into()),
            Self::TooManyRequests => (CloseCode::Again, "too many requests".into()),
            Self::BadMessage(message) => (CloseCode::Error, message.into()),
            Self::BadFrame(code, message) => (*code, message.into()),
            Self::ModuleExited => (CloseCode::Away, "module exited".into()),
            Self::Shutdown => (CloseCode::Away, "the host is shutting down".into()),
        };
        CloseFrame { code, reason: fit(&text).into() }
    }
}

/// How a session came to its end: what was first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The client sent a Close frame.
    PeerClosed,
    /// The connection was cut, or reading or writing it failed.
    ConnectionLost,
    /// Nothing arrived for the idle timeout.
    Idle,
    /// The host closed it.
    Closed(CloseReason),
}

impl Ending {
    /// The engine's name for it, under which the engine counts disconnects.
    pub(super) fn cause(&self) -> Cause {
        match self {
            Self::PeerClosed => Cause::ClientClose,
            Self::ConnectionLost => Cause::WebsocketStreamEnded,
            Self::Idle => Cause::IdleTimeout,
            Self::Closed(CloseReason::TooManyRequests) => Cause::IncomingQueueFull,
            Self::Closed(CloseReason::BadMessage(_)) => Cause::ClientMessageError,
            Self::Closed(CloseReason::BadFrame(..)) => Cause::WebsocketReceiveProtocol,
            Self::Closed(CloseReason::ModuleExited) => Cause::ModuleExited,
            Self::Closed(CloseReason::SessionBusy) => Cause::ConnectionSuperseded,
            Self::Closed(_) => Cause::Unknown,
        }
    }
}

/// `text`, cut at a character boundary so that it fits.
fn fit(text: &str) -> &str {
    &text[..text.floor_char_boundary(REASON_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_to_what_a_close_frame_holds_and_never_inside_a_character() {
        let frame = CloseReason::Rejected("é".repeat(100)).frame();
        assert_eq!(frame.reason.len(), 122);
        assert_eq!(CloseReason::Rejected("no".into()).frame().reason.as_str(), "no");
    }

    #[test]
    fn codes_are_those_clients_of_spacetimedb_know() {
        let code = |reason: CloseReason| u16::from(reason.frame().code);
        assert_eq!(code(CloseReason::SessionBusy), 4000);
        assert_eq!(code(CloseReason::TooManyRequests), 1013);
        assert_eq!(code(CloseReason::ModuleExited), 1001);
        assert_eq!(code(CloseReason::BadMessage(String::new())), 1011);
    }
}
