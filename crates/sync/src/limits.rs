//! Every size, count and interval of a subscriber, named with its unit.
//!
//! What always holds: each limit is smaller than the one it must fit into; the assertions at the end prove it when
//! this crate is compiled.

use std::time::Duration;

use muster_contract::page;

/// The most events asked for in one page.
pub const PAGE_EVENTS_MAX: u32 = 4_000;

/// The most bytes of kinds and payloads asked for in one page.
pub const PAGE_BYTES_MAX: u32 = 1_024 * 1_024;

/// Bytes of pages and snapshots that may be asked for, waiting or being applied at one time, over all streams. What is
/// asked for counts with the most bytes of kinds and payloads that may come, what has come with what it is; what stands around
/// them in memory, some hundred bytes for each event, is not counted.
pub const IN_FLIGHT_BYTES_MAX: usize = 32 * 1_024 * 1_024;

/// Requests that may wait for an answer of the host at one time. Further ones wait inside the engine.
pub const REQUESTS_AT_ONCE_MAX: usize = 256;

/// Batches that may be with the store at one time. The store commits those that it finds waiting together.
pub const APPLY_AT_ONCE_MAX: usize = 64;

/// Acknowledged cursors on their way to the host at one time.
pub const CHECKPOINTS_AT_ONCE_MAX: usize = 16;

/// How long after a commit the cursor is acknowledged to the host, in milliseconds: so at most once in this time for a
/// stream, and also when nothing follows.
pub const CHECKPOINT_AFTER_MS: u64 = 1_000;

/// How often the streams of a followed pattern are listed anew, in milliseconds: the proof that the host is there, and
/// the net below signals that did not come.
pub const POLL_MS: u64 = 5_000;

/// How old the newest proof of the host's answer may be for anything to be called live, in milliseconds. A proof is as
/// old as the request that was answered.
pub const LIVENESS_MS_MAX: u64 = 10_000;

/// How long a stream may be known to be behind its head and still be called live, in milliseconds: a tail that is
/// always one page behind is live, one that does not get on is not.
pub const BEHIND_MS_MAX: u64 = 2_000;

/// How long a request may wait for its answer before the connection is given up, in milliseconds.
pub const REQUEST_MS_MAX: u64 = 35_000;

/// The highest number of an event that is taken from a host: SQLite's integers end there, and no sum of the heads of all
/// streams that fit into memory overflows the 128 bits that it is made in.
pub const SEQ_MAX: u64 = i64::MAX as u64;

/// How long a connection that the host will not have (401, 403, 404) is left alone before it is tried again, in
/// milliseconds.
pub const BLOCKED_RETRY_MS: u64 = 60_000;

/// By how much that wait is longer at the most, in milliseconds.
pub const BLOCKED_SPREAD_MS: u64 = 15_000;

/// How often the two are compared at least, while anything is to come, in milliseconds.
pub const LOOK_MS: u64 = 2_000;

/// How long a connection waits for a token before it is tried again later, in milliseconds.
pub const TOKEN_WAIT_MS_MAX: u64 = 10_000;

/// How long a connection may take to open, its token, greeting, contract and subscription included, in milliseconds.
pub const OPENING_MS_MAX: u64 = 55_000;

/// How long a closed store's writer thread may take to finish what it was given, in milliseconds.
pub const SHUTDOWN_MS_MAX: u64 = 10_000;

/// How long SQLite waits for a lock that another connection holds, in milliseconds. Writers of the same file wait for
/// each other this long.
pub const SQLITE_BUSY_MS_MAX: u64 = 5_000;

/// The most patterns one subscriber may follow: the module's own limit of slots for a connection.
pub const FOLLOWS_MAX: usize = 1_024;

/// Size of the write-ahead log after which SQLite checkpoints it, in pages of 4 KiB.
pub const WAL_PAGES: u32 = 4_000;

/// Milliseconds as a duration.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

// The host refuses larger pages.
const _: () = assert!(PAGE_EVENTS_MAX as usize <= page::PAGE_EVENTS_MAX);
const _: () = assert!(PAGE_BYTES_MAX as usize <= page::PAGE_BYTES_MAX);
// Two pages of one stream must fit, or fetching and applying could not overlap.
const _: () = assert!(2 * PAGE_BYTES_MAX as usize <= IN_FLIGHT_BYTES_MAX);
// One poll must be able to fail and the next to answer before live is left.
const _: () = assert!(POLL_MS < LIVENESS_MS_MAX);
// A machine that wakes up must notice before anybody could rely on an old word.
const _: () = assert!(muster_wire::limits::SLEEP_MS_MIN < LOOK_MS && LOOK_MS < LIVENESS_MS_MAX);
// The connection's own limit must come first: it knows whether the request was sent.
const _: () = assert!(muster_wire::limits::CALL_MS_MAX < REQUEST_MS_MAX);
// So with opening: its parts have their own limits.
const _: () = assert!(
    TOKEN_WAIT_MS_MAX + muster_wire::limits::CONNECT_MS_MAX + muster_wire::limits::CALL_MS_MAX < OPENING_MS_MAX
);
const _: () = assert!(REQUESTS_AT_ONCE_MAX <= muster_wire::limits::IN_FLIGHT_MAX);
const _: () = assert!(CHECKPOINTS_AT_ONCE_MAX < REQUESTS_AT_ONCE_MAX);
