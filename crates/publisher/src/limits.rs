//! Every size, count and interval of a publisher, named with its unit.
//!
//! What always holds: each limit fits into those around it; the assertions at the end prove it when this crate is
//! compiled. What the host enforces as well stands in [`muster_contract::limits`] and is only repeated by name.

use std::time::Duration;

use muster_contract::limits as contract;

/// The most events in one call of `append_encoded`.
pub const BATCH_EVENTS_MAX: u32 = contract::BATCH_EVENTS_MAX as u32;

/// The most bytes of kinds and payloads in one call of `append_encoded`.
pub const BATCH_BYTES_MAX: usize = contract::BATCH_BYTES_MAX;

/// Calls of `append_encoded` that may wait for their answers on one stream.
pub const STREAM_CALLS_MAX: usize = 8;

/// Calls of `append_encoded` that may wait for their answers on one connection. More than [`STREAM_CALLS_MAX`], because
/// the calls of many slow streams hold one event each; what they hold together is bound by the next two.
pub const CALLS_MAX: usize = 64;

/// Events that may be in unanswered calls of one connection: eight full batches.
pub const IN_FLIGHT_EVENTS_MAX: u64 = 8 * BATCH_EVENTS_MAX as u64;

/// Bytes that may be in unanswered calls of one connection: eight full batches. This and [`RECENT_BYTES_MAX`],
/// and not the backlog, is what the sender holds in memory.
pub const IN_FLIGHT_BYTES_MAX: usize = 8 * BATCH_BYTES_MAX;

/// Calls of a stream beside which its next event goes out at once: with one the next event would wait a whole round trip,
/// with many each event would be a call.
pub const EAGER_CALLS: usize = 2;

/// How long an event waits for company while its stream has [`EAGER_CALLS`] under way, in milliseconds.
pub const LINGER_MS: u64 = 5;

/// How long confirmed events stay on disk after others were forgotten, in milliseconds. Forgetting is a commit that the next
/// event may have to wait for, so it comes at most some twenty times a second.
pub const FORGET_PAUSE_MS: u64 = 50;

/// Streams asked for in one call of `producer_state`.
pub const ASK_STREAMS_MAX: usize = muster_contract::page::PRODUCER_STATES_MAX;

/// Streams whose confirmed events are forgotten in one transaction.
pub const FORGET_STREAMS_MAX: usize = 1_000;

/// How long after a failure to forget events on disk the next attempt comes, in milliseconds.
pub const FORGET_RETRY_MS: u64 = 1_000;

/// Streams without pending events whose state is kept in memory, so that their next event needs no question first.
pub const DRAINED_STREAMS_MAX: usize = 10_000;

/// Streams with pending events that the sender takes on from what an earlier process left behind; further ones are read
/// when some of these are done.
pub const PENDING_STREAMS_MAX: usize = 20_000;

/// Final refusals in a row, of whatever codes, without an accepted event between, after which a stream is parked.
pub const FINAL_REFUSALS_MAX: u32 = 3;

/// How long a sender that only a person can help waits before it looks whether somebody did, in milliseconds, a quarter more
/// or less.
pub const BLOCKED_RETRY_MS: u64 = 60_000;

/// Events in one call of `publish_many`.
pub const PUBLISH_EVENTS_MAX: usize = 10_000;

/// Bytes of kinds and payloads in one call of `publish_many`.
pub const PUBLISH_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// Requests that may wait for the writer. Further callers wait for a place.
pub const WRITER_QUEUE_LEN: usize = 1_024;

/// Requests that share one commit at the most.
pub const COMMIT_REQUESTS_MAX: usize = 1_024;

/// Requests beside publishing that a commit leaves out one by one because they fail; with more, the disk is what fails.
pub const CONTROLS_LEFT_OUT_MAX: usize = 16;

/// Bytes of events after which a commit takes no further requests.
pub const COMMIT_BYTES_MAX: usize = 32 * 1_024 * 1_024;

/// What was committed last and is kept in memory while a sender is connected, so that it need not be read back to be sent, in bytes.
pub const RECENT_BYTES_MAX: usize = 16 * 1_024 * 1_024;

/// What a chunk that is kept so takes beside its events, in bytes: rather more than it does.
pub const RECENT_CHUNK_BYTES: usize = 128;

/// Chunks that are kept so, those included that are gone but not the oldest. More than a busy sender sends in a second.
pub const RECENT_CHUNKS_MAX: usize = 65_536;

/// How long a chunk that nobody wants is kept so at the least, in milliseconds. It goes when something else is kept later.
pub const RECENT_MS_MAX: u64 = 1_000;

/// Streams whose rows the writer keeps in memory.
pub const RECORD_CACHE_MAX: usize = 10_000;

/// The default limit for the events in an outbox.
pub const OUTBOX_EVENTS_MAX: u64 = 50_000_000;

/// The default limit for the bytes of the events in an outbox: 16 GiB.
pub const OUTBOX_BYTES_MAX: u64 = 16 * 1_024 * 1_024 * 1_024;

/// Files up to this size are checked page by page when they are opened, in bytes; larger ones only in what describes
/// them, because reading gigabytes would hold up a start by minutes. Each event's hash is checked by the host besides.
pub const FULL_CHECK_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

/// How long SQLite waits for a reader of another process, in milliseconds.
pub const BUSY_MS_MAX: u64 = 5_000;

/// How large the write-ahead log grows before it is written back, in pages of [`PAGE_BYTES`].
pub const CHECKPOINT_PAGES: u32 = 4_096;

/// The size of a page of the outbox's file, in bytes. A lone event writes four of them; with pages of 16 KiB its commit took
/// more than twice as long, and batches were hardly faster.
pub const PAGE_BYTES: u32 = 4 * 1_024;

/// To what size the write-ahead log is cut back after it was written back, in bytes.
pub const WAL_KEPT_BYTES: u64 = 32 * 1_024 * 1_024;

/// Unused pages given back to the file system at a time, so that no publisher waits long for it.
pub const VACUUM_PAGES: u32 = 1_024;

/// Unused pages that are kept for the next events.
pub const SPARE_PAGES: u32 = 4_096;

/// What one event costs beside its kind and payload, in bytes: two lengths, the hash and the time.
pub const EVENT_OVERHEAD_BYTES: usize = 4 + 4 + 32 + 8;

/// How long closing a publisher may take, in milliseconds.
pub const CLOSE_MS_MAX: u64 = 10_000;

/// The longest wait that a host may ask for with a refusal, in milliseconds: one that asks for more is asked again then.
pub const RETRY_AFTER_MS_MAX: u64 = 60_000;

/// How much of a refusal's words is kept, in bytes.
pub const WORDS_BYTES_MAX: usize = 1_024;

/// How long the connection with the next token waits for the last answers on the one before, in milliseconds.
pub const HAND_OVER_MS_MAX: u64 = 1_000;

/// How long a connection waits for a token before it is tried again later, in milliseconds.
pub const TOKEN_WAIT_MS_MAX: u64 = 10_000;

/// Milliseconds as a duration.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

// One more page of streams must fit where there is room for one.
const _: () = assert!(ASK_STREAMS_MAX < PENDING_STREAMS_MAX);
// One stream alone must be able to fill what may be in flight.
const _: () = assert!(STREAM_CALLS_MAX as u64 * BATCH_EVENTS_MAX as u64 <= IN_FLIGHT_EVENTS_MAX);
const _: () = assert!(STREAM_CALLS_MAX * BATCH_BYTES_MAX <= IN_FLIGHT_BYTES_MAX);
const _: () = assert!(STREAM_CALLS_MAX <= CALLS_MAX);
const _: () = assert!(0 < EAGER_CALLS && EAGER_CALLS < STREAM_CALLS_MAX);
const _: () = assert!(FORGET_PAUSE_MS < FORGET_RETRY_MS);
// As much as may be under way at once is kept for the calls after those.
const _: () = assert!(IN_FLIGHT_BYTES_MAX <= RECENT_BYTES_MAX);
// Calls must never wait for a place in the connection's queues, where their order could be lost; one more asks.
const _: () = assert!(CALLS_MAX < muster_wire::limits::REQUEST_QUEUE_LEN);
const _: () = assert!(CALLS_MAX < muster_wire::limits::IN_FLIGHT_MAX);
// The largest event must fit into a batch, and a batch with all that stands around its events into a message.
const _: () = assert!(contract::PAYLOAD_BYTES_MAX < BATCH_BYTES_MAX);
const _: () = assert!(
    BATCH_BYTES_MAX + BATCH_EVENTS_MAX as usize * EVENT_OVERHEAD_BYTES + 4_096
        < muster_wire::limits::OUTBOUND_BYTES_MAX
);
// The largest publish must fit into one commit, and into an empty outbox.
const _: () = assert!(PUBLISH_BYTES_MAX <= COMMIT_BYTES_MAX && (COMMIT_BYTES_MAX as u64) < OUTBOX_BYTES_MAX);
const _: () = assert!(PUBLISH_EVENTS_MAX as u64 <= OUTBOX_EVENTS_MAX);
const _: () = assert!(BATCH_EVENTS_MAX as usize <= PUBLISH_EVENTS_MAX && BATCH_BYTES_MAX <= PUBLISH_BYTES_MAX);
