//! Every size, count and interval of a diagnostics screen, named with its unit.
//!
//! What always holds: each limit is smaller than the one it must fit into; the assertions at the end prove it when
//! this crate is compiled.

use std::time::Duration;

/// How old the newest proof that the host is there may be for anything to be called live, in milliseconds. Less than what
/// the sync itself asks for (10 s): people look here first when something is wrong, and see it within two seconds.
pub const PROOF_MS_MAX: u64 = 1_900;

/// How often each connection asks for such a proof, in milliseconds.
pub const PROBE_MS: u64 = 500;

/// How long a probe may go unanswered before the connection is given up, in milliseconds.
pub const PROBE_MS_MAX: u64 = 6_000;

/// How long opening a connection may take, in milliseconds.
pub const CONNECT_MS_MAX: u64 = 5_000;

/// Silence after which the subscriber's connection counts as dead, in milliseconds, and how often it is pinged until then.
pub const IDLE_MS_MAX: u64 = 6_000;
/// See [`IDLE_MS_MAX`].
pub const PING_MS: u64 = 2_000;

/// How long a connection that the host will not have is left alone, in milliseconds. A person may ask sooner.
pub const REFUSED_RETRY_MS: u64 = 60_000;

/// The shortest time between two values that a screen gets, in milliseconds.
pub const PUBLISH_MS_MIN: u64 = 100;

/// How often the driver looks at what does not announce its changes, in milliseconds.
pub const LOOK_MS: u64 = 250;

/// How often the outbox is looked into, in milliseconds, and how old such a look may be for it to be called live.
pub const OUTBOX_LOOK_MS: u64 = 1_000;
/// See [`OUTBOX_LOOK_MS`].
pub const OUTBOX_LOOK_MS_MAX: u64 = 4_000;

/// How long ago the outbox must have been changed for its time of change to tell a further one, in milliseconds. File systems
/// round to some milliseconds, few to seconds.
pub const OUTBOX_SETTLED_MS: u64 = 2_000;

/// How long shown events may lag behind the store's cursor and still be called live, in milliseconds.
pub const EVENTS_BEHIND_MS_MAX: u64 = 1_000;

/// The newest events of a stream that are shown.
pub const EVENTS_MAX: usize = 500;

/// How many of the newest events of a stream are searched.
pub const SEARCH_EVENTS_MAX: u64 = 10_000;

/// The most of an event's payload that a screen gets, in characters. Longer ones are cut, and say so.
pub const PAYLOAD_SHOWN_CHARS_MAX: usize = 16 * 1_024;

/// How old it may be that shown events were compared with the store, in milliseconds.
pub const EVENTS_LOOK_MS: u64 = 1_000;

/// Sessions that are kept for the table. Beyond that the count goes on and the table says that it does not.
pub const SESSIONS_MAX: usize = 20_000;

/// Sessions that are written down for the next run.
pub const SESSIONS_CACHED_MAX: usize = 200;

/// Streams whose names are written down for the next run. Where there are more, it takes all that the store has.
pub const STREAMS_CACHED_MAX: usize = 5_000;

/// Streams whose last events are looked up when a store is opened.
pub const LAST_EVENTS_MAX: usize = 1_000;

/// Streams of an outbox that are shown.
pub const OUTBOX_STREAMS_MAX: usize = 1_000;

/// Minutes of joins and leaves that are kept.
pub const CHURN_MINUTES: usize = 60;

/// Batches that may wait to be counted into the latencies. Further ones are left out; the sync never waits.
pub const TAP_BATCHES_MAX: usize = 1_024;

/// Observations and commands that may wait.
pub const OBSERVATIONS_MAX: usize = 256;

/// The oldest producer's time that counts as a latency, in milliseconds. What is older was written for another day.
pub const LATENCY_MS_MAX: u64 = 600_000;

/// Over how long a stream's rate is measured, in milliseconds, and how far apart the samples are.
pub const RATE_MS: u64 = 5_000;
/// See [`RATE_MS`].
pub const RATE_STEP_MS: u64 = 500;

/// How often what a next run shows before it is connected is written down, in milliseconds.
pub const CACHE_WRITE_MS: u64 = 10_000;

/// The largest such file that is read, in bytes.
pub const CACHE_BYTES_MAX: u64 = 4 * 1_024 * 1_024;

/// Milliseconds as a duration.
pub const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

// A silent host is noticed within two seconds, and one slow answer is no alarm.
const _: () = assert!(PROOF_MS_MAX < 2_000 && 2 * PROBE_MS < PROOF_MS_MAX);
const _: () = assert!(PROOF_MS_MAX < PROBE_MS_MAX && 2 * PING_MS < IDLE_MS_MAX);
const _: () = assert!(PROOF_MS_MAX <= muster_sync::limits::LIVENESS_MS_MAX);
const _: () = assert!(OUTBOX_LOOK_MS < OUTBOX_LOOK_MS_MAX && PUBLISH_MS_MIN <= LOOK_MS);
const _: () = assert!(RATE_STEP_MS < RATE_MS && EVENTS_LOOK_MS <= EVENTS_BEHIND_MS_MAX);
