//! Every size, count and wait of a measurement, named with its unit.

use std::time::Duration;

/// Calls that wait for an answer at one time, over all sockets together: as many as our client allows on one socket, and
/// far below the 16,384 at which a host closes it.
pub const CALLS_IN_FLIGHT: usize = muster_wire::limits::IN_FLIGHT_MAX;

/// Sockets in the workload of many.
pub const SOCKETS_MANY: usize = 64;

/// Sessions that are being opened at one time in the workload of connections a second, and when idle ones are made.
pub const CONNECTING_AT_ONCE: usize = 64;

/// How many sessions share a source address before the next of 127.0.0.0/8 is taken: a closed connection holds its
/// port for a minute (TIME_WAIT), and Linux gives out some 28,000 to an address.
pub const SESSIONS_PER_SOURCE: u32 = 8_000;

/// How long anything that a measurement waits for may take: a session, an answer, a process to be ready.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Events that an application hands over at a time, and events in one append where streams are measured.
pub const APPEND_EVENTS: usize = 500;

/// Events in one append of the engine's, where it is the ceiling beside the peers: as many as are handed over, and as many as
/// Muster's publisher puts into one call when they wait. Fewer where they are too large for that.
pub const CEILING_EVENTS: [usize; 2] = [APPEND_EVENTS, muster_contract::limits::BATCH_EVENTS_MAX];

/// Appends that wait for an answer at one time, of the engine's callers: as many as the publisher has in flight.
pub const APPENDS_IN_FLIGHT: usize = 8;

/// Calls of `publish_many` that wait for the disk at one time, each for a stream of its own.
pub const KEEP_AT_ONCE: usize = 8;

/// How long all events of one measurement may take to arrive.
pub const STREAMS_PATIENCE: Duration = Duration::from_secs(600);

/// Events that are published one by one, for their latency.
pub const LATENCY_EVENTS: u64 = 2_000;

/// The time between two of them, in microseconds.
pub const LATENCY_PAUSE_US: u64 = 5_000;

/// Events that are measured at each length of a growing stream, or half of it where it is that short.
pub const GROWTH_PROBE: u64 = 20_000;

/// Events in one call of `publish_many` where streams become more.
pub const GROWTH_BATCH: u64 = 10;

/// How often is looked whether they have: the error of the figure.
pub const STREAMS_LOOK: Duration = Duration::from_millis(2);

/// How often is looked whether a server is up, or a subscriber of many streams further, beside the peers.
pub const PEERS_LOOK: Duration = Duration::from_millis(1);

/// Events in one transaction or statement of a peer, at the most: as many as Muster's publisher may send in one call.
pub const PEERS_SEND_EVENTS_MAX: usize = muster_contract::limits::BATCH_EVENTS_MAX;

/// Events that a peer's reader asks for at a time: as many as Muster's page has at the most.
pub const PEERS_READ_EVENTS: usize = muster_contract::page::PAGE_EVENTS_MAX;

/// Groups of events that may wait for a file where three syncs are measured alone: those of a second at the highest rate.
pub const SYNCED_QUEUE_LEN: usize = 10_000;

/// Times that four `fdatasync`s are timed for each second that a latency is measured.
pub const FOUR_SYNCS_EACH_S: u64 = 100;

/// How long calls go on before they are counted.
pub const WARM_UP: Duration = Duration::from_millis(500);

/// How long the memory of a process may settle before it is read.
pub const SETTLE: Duration = Duration::from_secs(2);

/// Open files that are wanted: both ends of the largest workload of one process, and some more.
pub const OPEN_FILES: u64 = 16_384;

/// The largest line that a child process may print when it is ready, in bytes.
pub const READY_LINE_BYTES_MAX: u64 = 64 * 1_024;

/// How many `fdatasync`s are timed.
pub const SYNCS: usize = 200;

/// What one `fdatasync` writes, in bytes: a page, as a small transaction dirties.
pub const SYNC_BYTES: usize = 4_096;

const _: () = {
    assert!(APPEND_EVENTS <= muster_contract::limits::BATCH_EVENTS_MAX);
    assert!(CALLS_IN_FLIGHT < muster_wire::limits::HOST_QUEUE_LEN);
    assert!(CALLS_IN_FLIGHT.is_multiple_of(SOCKETS_MANY));
    assert!(WARM_UP.as_millis() < PATIENCE.as_millis());
    assert!((SESSIONS_PER_SOURCE as usize) < 28_000);
};
