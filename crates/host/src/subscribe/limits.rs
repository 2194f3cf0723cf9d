//! How long a WebSocket session may be silent, how much it may queue, how large its messages may be.
//!
//! The defaults are SpacetimeDB's own (`spacetimedb-standalone` 2.14, section `[websocket]` of its configuration) where
//! SpacetimeDB has such a limit. Always true: what the constants assert below holds for the defaults at compile time,
//! and [`WebSocketLimits::validate`] holds every other value to the same rules before a session starts.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The limits of every WebSocket session of a host. `Default` gives SpacetimeDB's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// The host pings this often. Default 15 s. Must be shorter than [`idle_timeout`](Self::idle_timeout).
    pub ping_interval: Duration,
    /// A session from which nothing arrives for this long (no data, no ping, no pong) is ended. Default 30 s.
    pub idle_timeout: Duration,
    /// After the host has asked to close, how long it waits for the client's own Close frame. Default 250 ms.
    pub close_handshake_timeout: Duration,
    /// How long one frame (at most 16 KiB) may wait for the client to read. Default 30 s. SpacetimeDB has no such limit.
    pub write_stall_timeout: Duration,
    /// How many of a client's messages may wait for the engine. Default 16,384; one more closes the session with
    /// `too many requests`.
    pub incoming_queue_messages: usize,
    /// How many bytes of a client's messages may wait for the engine. Default 128 MiB; more closes the session with
    /// `too many requests`. SpacetimeDB has no such limit. At least [`incoming_message_bytes`](Self::incoming_message_bytes).
    pub incoming_queue_bytes: usize,
    /// The largest message a client may send. Default 32 MiB; a larger one closes the session with code 1009.
    pub incoming_message_bytes: usize,
    /// On `v3`, messages that are ready together share a WebSocket message up to this size before compression, in bytes.
    /// Default 512 KiB. A single larger message still travels, alone.
    pub outgoing_payload_bytes: usize,
}

/// A set of limits that no session could live under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebSocketLimitsError {
    /// Pings would come too late to keep a silent session alive.
    #[error("the ping interval must be longer than zero and shorter than the idle timeout")]
    PingNotBeforeIdle,
    /// A timeout or a size is zero.
    #[error("`{0}` must be more than zero")]
    Zero(&'static str),
    /// The queue could not hold one message of the largest size.
    #[error("`incoming_queue_bytes` must be at least `incoming_message_bytes`")]
    QueueBelowMessage,
}

impl WebSocketLimits {
    /// SpacetimeDB's own limits, and ours where it has none.
    pub const DEFAULT: Self = Self {
        ping_interval: Duration::from_secs(15),
        idle_timeout: Duration::from_secs(30),
        close_handshake_timeout: Duration::from_millis(250),
        write_stall_timeout: Duration::from_secs(30),
        incoming_queue_messages: 16 * KIB,
        incoming_queue_bytes: 128 * MIB,
        incoming_message_bytes: 32 * MIB,
        outgoing_payload_bytes: 512 * KIB,
    };

    /// Says whether a session can live under these limits.
    ///
    /// # Errors
    /// A [`WebSocketLimitsError`] that names the field to change.
    pub const fn validate(&self) -> Result<(), WebSocketLimitsError> {
        use WebSocketLimitsError::{PingNotBeforeIdle, QueueBelowMessage, Zero};
        if self.ping_interval.is_zero() || self.ping_interval.as_nanos() >= self.idle_timeout.as_nanos() {
            return Err(PingNotBeforeIdle);
        }
        if self.close_handshake_timeout.is_zero() {
            return Err(Zero("close_handshake_timeout"));
        }
        if self.write_stall_timeout.is_zero() {
            return Err(Zero("write_stall_timeout"));
        }
        if self.incoming_queue_messages == 0 {
            return Err(Zero("incoming_queue_messages"));
        }
        if self.incoming_message_bytes == 0 {
            return Err(Zero("incoming_message_bytes"));
        }
        if self.outgoing_payload_bytes == 0 {
            return Err(Zero("outgoing_payload_bytes"));
        }
        if self.incoming_queue_bytes < self.incoming_message_bytes {
            return Err(QueueBelowMessage);
        }
        Ok(())
    }
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How long hyper may take to hand over the connection after the 101 response was written.
pub(super) const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// Payload of one frame. Pings and Close frames go out between the frames of a long message, so that a client on a slow
/// line stays alive while it receives one.
pub(super) const FRAME_BYTES: usize = 16 * KIB;

/// Allocated at once for each socket; tungstenite's own default of 128 KiB would be 1.3 GB for ten thousand sessions.
pub(super) const SOCKET_READ_BUFFER_BYTES: usize = 8 * KIB;
/// A socket writes to the kernel when it holds this much, or when it is flushed.
pub(super) const SOCKET_WRITE_BUFFER_BYTES: usize = 32 * KIB;
/// A socket never holds more than this for a client that does not read.
pub(super) const SOCKET_WRITE_BUFFER_MAX_BYTES: usize = 256 * KIB;

/// While this many operations of a database wait for its engine, its sessions hand over no more. Far below what one
/// session may queue, and at tens of thousands of operations a second some ten milliseconds of work.
pub(super) const ENGINE_QUEUE_OPERATIONS: i64 = 512;
/// Longer payloads of `v3` are handed to the engine request by request. Shorter ones hold fewer than
/// [`ENGINE_QUEUE_OPERATIONS`], because none takes less than [`REQUEST_BYTES_MIN`].
pub(super) const PACKED_BYTES: usize = 4 * KIB;
/// The shortest request, in bytes: an empty query (a tag, a number, a length).
const REQUEST_BYTES_MIN: usize = 9;
/// How soon a session looks again. Well below the time in which the engine empties such a queue, so it never runs dry.
pub(super) const ENGINE_QUEUE_POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How many messages leave the engine's queue at once, to be sent before the next are taken.
pub(super) const OUTGOING_BATCH_MESSAGES: usize = 1024;
/// Payloads from this size on are encoded and compressed on the engine's compute pool rather than between the other
/// sessions of a network thread.
pub(super) const OFFLOAD_BYTES: usize = 512 * KIB;
/// An encoder's buffer that carried at most this much is kept for the next payload.
pub(super) const BUFFER_KEPT_BYTES: usize = 64 * KIB;

/// Pings and the one Close frame that may wait to be sent.
pub(super) const URGENT_QUEUE_FRAMES: usize = 4;
/// `v1` error replies that may wait to be sent; the client's next request waits for a place.
pub(super) const REPLY_QUEUE_MESSAGES: usize = 16;

const _: () = {
    assert!(WebSocketLimits::DEFAULT.validate().is_ok());
    assert!(SOCKET_WRITE_BUFFER_MAX_BYTES >= SOCKET_WRITE_BUFFER_BYTES + 2 * FRAME_BYTES);
    assert!(BUFFER_KEPT_BYTES <= OFFLOAD_BYTES);
    assert!((ENGINE_QUEUE_OPERATIONS as usize) < WebSocketLimits::DEFAULT.incoming_queue_messages);
    assert!(PACKED_BYTES / REQUEST_BYTES_MIN < ENGINE_QUEUE_OPERATIONS as usize);
    assert!(OUTGOING_BATCH_MESSAGES <= spacetimedb::client::ClientConnectionReceiver::DEFAULT_RECV_MANY_LIMIT);
    assert!(URGENT_QUEUE_FRAMES >= 2, "one place is reserved for Close, pings need another");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_under_which_no_session_could_live_are_refused() {
        let good = WebSocketLimits::DEFAULT;
        assert_eq!(good.validate(), Ok(()));
        let late_ping = WebSocketLimits { ping_interval: good.idle_timeout, ..good };
        assert_eq!(late_ping.validate(), Err(WebSocketLimitsError::PingNotBeforeIdle));
        let small_queue = WebSocketLimits { incoming_queue_bytes: 1, ..good };
        assert_eq!(small_queue.validate(), Err(WebSocketLimitsError::QueueBelowMessage));
        let no_queue = WebSocketLimits { incoming_queue_messages: 0, ..good };
        assert_eq!(no_queue.validate(), Err(WebSocketLimitsError::Zero("incoming_queue_messages")));
    }
}
