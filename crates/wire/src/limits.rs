//! Every size, count and interval of a connection, named with its unit.
//!
//! What always holds: each limit is smaller than the one it must fit into; the assertions at the end prove it when
//! this crate is compiled.

use std::time::Duration;

/// How long [`crate::connect`] may take, from name resolution to the host's greeting, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 10_000;

/// The default limit for one whole HTTP request, its answer's body included, in milliseconds.
pub const HTTP_MS_MAX: u64 = 30_000;

/// The limit for publishing a module, or planning to, in milliseconds. Long, because a host compiles the module, and may
/// migrate every row, before it answers.
pub const PUBLISH_MS_MAX: u64 = 300_000;

/// How long establishing a TCP and TLS connection for an HTTP request may take, in milliseconds.
pub const HTTP_CONNECT_MS_MAX: u64 = 10_000;

/// The default limit for one call, query or subscription, waiting for a place in the queue included, in milliseconds.
pub const CALL_MS_MAX: u64 = 30_000;

/// How much longer than its limit a caller waits for the connection's own word that the limit has passed, which knows
/// whether the request was sent, in milliseconds.
pub(crate) const CALL_GRACE_MS: u64 = 250;

/// The interval at which an otherwise silent connection is pinged, in milliseconds.
pub const PING_INTERVAL_MS: u64 = 10_000;

/// How long a connection may receive nothing at all before it counts as dead, in milliseconds. Hosts close after 30 s
/// without a frame too (SpacetimeDB's standalone configuration page, `[websocket] idle-timeout`).
pub const IDLE_MS_MAX: u64 = 30_000;

/// How long a closing handshake may take before the socket is dropped, in milliseconds.
pub const CLOSE_MS_MAX: u64 = 5_000;

/// How long the application may leave the queue of updates full before the connection is given up as a slow consumer,
/// in milliseconds. Until then nothing more is read, so pings stay unanswered: the limit is below the host's own
/// idle timeout.
pub const SLOW_CONSUMER_MS_MAX: u64 = 15_000;

/// Requests that may wait for an answer of the host at one time. Further callers wait.
pub const IN_FLIGHT_MAX: usize = 1_024;

/// Requests that a host of SpacetimeDB 2.x queues for one socket before it closes it with "too many requests" (the
/// same page, `[websocket] incoming-queue-length`).
pub const HOST_QUEUE_LEN: usize = 16_384;

/// Requests that may wait inside this process for a place among those in flight. Further callers wait.
pub const REQUEST_QUEUE_LEN: usize = 256;

/// Updates that may wait for the application.
pub const UPDATE_QUEUE_LEN: usize = 1_024;

/// Bytes of updates that may wait for the application. One update may exceed it, alone.
pub const UPDATE_QUEUE_BYTES_MAX: usize = 64 * MIB;

/// The largest message accepted from a host, in bytes, after decompression as well as before.
pub const INBOUND_BYTES_MAX: usize = 64 * MIB;

/// The most messages that one frame from a host may hold. A host of SpacetimeDB 2.x queues at most 16,384 messages for one
/// client (`CLIENT_CHANNEL_CAPACITY` in spacetimedb-core 2.14) and packs no more than are queued; Muster's own packs 1,024.
pub const FRAME_MESSAGES_MAX: usize = 16_384;

/// How many messages of a frame are decoded before other work of the same thread gets its turn.
pub(crate) const MESSAGES_AT_ONCE: usize = 64;

/// The largest message sent, in bytes. A host refuses messages above 32 MiB.
pub const OUTBOUND_BYTES_MAX: usize = 32 * MIB - 64 * KIB;

/// The largest message that a host of SpacetimeDB 2.x accepts, in bytes.
pub const HOST_INBOUND_BYTES_MAX: usize = 32 * MIB;

/// The largest body of an HTTP answer that is read into memory, in bytes. Logs are streamed and not bound by it.
pub const HTTP_BODY_BYTES_MAX: usize = 256 * MIB;

/// How much of a host's own words an error repeats, in bytes.
pub const QUOTE_BYTES_MAX: usize = 400;

/// How long the answer with a log that is not followed may take as a whole, in milliseconds. Between two pieces of it, the
/// limit of one request holds ([`HTTP_MS_MAX`] unless chosen otherwise).
pub const LOG_MS_MAX: u64 = 300_000;

/// The longest single log line that is kept, in bytes.
pub const LOG_LINE_BYTES_MAX: usize = MIB;

/// How long one question for a token may take as a whole, in milliseconds.
pub const LEASE_REQUEST_MS_MAX: u64 = 10_000;

/// The largest answer of a token service that is read, in bytes.
pub const LEASE_ANSWER_BYTES_MAX: usize = 64 * KIB;

/// The largest file with a token, a secret or a key that is read, in bytes.
pub const LEASE_FILE_BYTES_MAX: usize = 64 * KIB;

/// How long after a refusal that somebody has to mend it is looked whether it is mended, in milliseconds.
pub const LEASE_BLOCKED_MS: u64 = 60_000;

/// By how much that wait is longer at the most, in milliseconds.
pub const LEASE_BLOCKED_SPREAD_MS: u64 = 15_000;

/// The longest wait that a token service may ask for, in milliseconds.
pub const LEASE_RETRY_AFTER_MS_MAX: u64 = 60_000;

/// How often a token's file is looked at, and a machine that slept is noticed, in milliseconds.
pub const LEASE_LOOK_MS: u64 = 1_000;

/// Words to a keeper that may wait for it.
pub const LEASE_COMMANDS_MAX: usize = 64;

/// How long a client's assertion of itself is good, in seconds.
pub const LEASE_ASSERTION_S: u64 = 60;

/// By how much the clock on the wall must be ahead of the runtime's between two looks for the machine to have slept, in
/// milliseconds. What keeps clocks right moves them by less.
pub const SLEEP_MS_MIN: u64 = 1_000;

const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;

/// Milliseconds as a duration.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

// What is in flight must stay well below what makes a host close the socket.
const _: () = assert!(IN_FLIGHT_MAX * 8 <= HOST_QUEUE_LEN);
// Two pings must fit into the idle timeout, or one lost packet would end a healthy connection.
const _: () = assert!(PING_INTERVAL_MS * 2 < IDLE_MS_MAX);
// A slow consumer must hear so from us and not from the host's idle timeout.
const _: () = assert!(SLOW_CONSUMER_MS_MAX < IDLE_MS_MAX);
// The queue must have room for the largest update.
const _: () = assert!(INBOUND_BYTES_MAX <= UPDATE_QUEUE_BYTES_MAX);
const _: () = assert!(MESSAGES_AT_ONCE < FRAME_MESSAGES_MAX);
const _: () = assert!(HTTP_MS_MAX < LOG_MS_MAX);
const _: () = assert!(OUTBOUND_BYTES_MAX < HOST_INBOUND_BYTES_MAX);
const _: () = assert!(HTTP_CONNECT_MS_MAX < HTTP_MS_MAX && HTTP_MS_MAX <= PUBLISH_MS_MAX);
// A connection attempt must not outlast a call.
const _: () = assert!(CONNECT_MS_MAX <= CALL_MS_MAX);
// Byte budgets are counted in semaphore permits of one KiB.
const _: () = assert!(UPDATE_QUEUE_BYTES_MAX / KIB <= u32::MAX as usize);
