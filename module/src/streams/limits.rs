//! How much of what the module takes and does at once, where it is no matter of the contract.

use muster_contract::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, PAYLOAD_BYTES_MAX};
use muster_contract::page::{LIST_STREAMS_MAX, PAGE_BYTES_MAX, PAGE_EVENTS_MAX};

/// How many streams one `list_streams` looks at, whether they match or not.
pub const LIST_SCAN_MAX: usize = 5_000;

/// How many clients of one identity have a checkpoint in one stream. One more takes the place of the longest silent.
pub const CHECKPOINT_CLIENTS_MAX: usize = 64;

/// The longest byte string of events: no batch that is allowed is longer. Its number of events, and with each event two
/// lengths, a hash and a time.
pub const ENCODED_BYTES_MAX: usize = 4 + BATCH_BYTES_MAX + BATCH_EVENTS_MAX * (4 + 4 + 32 + 8);

/// How many identities may have a page ride on the signals of an append: of more, everybody asks when there is time.
pub const RIDERS_MAX: usize = 16;
/// How many bytes ride in all, however many have them: SpacetimeDB writes the rows of event tables to its log as well.
pub const RIDING_ALL_BYTES_MAX: usize = 8 * 1_024;
/// How many live sessions an identity may have for a page to ride to it: each is asked what it was granted, in every append.
pub const RIDING_SESSIONS_MAX: usize = 8;

/// How many `seq`s one look for rows reaches over at most: so many rows, each of up to a batch, are read at once whatever
/// the caller has room for.
pub const ROWS_WINDOW_MAX: u64 = 64;

/// How many streams one sweep of retention looks at.
pub const SWEEP_STREAMS_MAX: usize = 500;
/// How many events one sweep deletes. Appends wait while it does, so it is no more than a batch.
pub const SWEEP_EVENTS_MAX: usize = 1_000;
/// How many bytes of kinds and payloads one sweep reads, but for the row that passes the limit.
pub const SWEEP_BYTES_MAX: u64 = 2 * 1_024 * 1_024;
/// How long appends have the host to themselves before a sweep that was not finished goes on, in milliseconds.
pub const SWEEP_PAUSE_MS: u64 = 5;

/// How far the host's clock may be ahead of the last look at it, beyond the time between sweeps, and be believed about the
/// age of events at once, in seconds.
pub const CLOCK_AHEAD_S_MAX: u64 = 3_600;
/// How long a clock that is further ahead must have said so before it is believed, in seconds.
pub const CLOCK_HOLD_S: u64 = 3_600;

/// The most seconds between sweeps that an owner may ask for: a day.
pub const SWEEP_EVERY_S_MAX: u64 = 86_400;
/// The seconds between sweeps unless the owner says otherwise.
pub const SWEEP_EVERY_S: u64 = 10;

// Retention must get away what appends bring: a sweep takes at least a batch, ten times a second at least.
const _: () = assert!(SWEEP_EVENTS_MAX >= BATCH_EVENTS_MAX && SWEEP_BYTES_MAX >= BATCH_BYTES_MAX as u64);
// And it gets past a stream of which nothing goes, whose first row is as large as a row may be: two line feeds for each event.
const _: () = assert!(SWEEP_BYTES_MAX > (BATCH_BYTES_MAX + 2 * BATCH_EVENTS_MAX) as u64);
const _: () = assert!(SWEEP_PAUSE_MS <= 100);
// Any one event fits into a page, and any one stream into a list.
const _: () = assert!(PAYLOAD_BYTES_MAX <= PAGE_BYTES_MAX && PAGE_EVENTS_MAX > 0);
const _: () = assert!(LIST_SCAN_MAX >= LIST_STREAMS_MAX);
const _: () = assert!(0 < SWEEP_EVERY_S && SWEEP_EVERY_S <= SWEEP_EVERY_S_MAX);
