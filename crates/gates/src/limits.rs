//! Every limit and size of gates, evidence and promotion, named with its unit and checked against its neighbours.
//!
//! What always holds: a number that two rules depend on stands here once.

/// The longest envelope file that is read, in bytes.
pub const ENVELOPE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// The longest payload that is written or parsed, in bytes: in base64 it must fit an envelope.
pub const PAYLOAD_BYTES_MAX: usize = 5 * 1024 * 1024;
/// The most signatures of an envelope that are tried.
pub const SIGNATURES_MAX: usize = 8;
/// The most public keys that evidence is tried with.
pub const KEYS_MAX: usize = 64;
/// The most files of an evidence folder.
pub const FILES_MAX: usize = 100_000;
/// The longest key file that is read, in bytes.
pub const KEY_FILE_BYTES_MAX: usize = 16 * 1024;
/// The most points of a series that a report keeps; more are thinned, the largest of each stretch kept.
pub const POINTS_MAX: usize = 2_000;
/// The most series of a report; beyond it the least are dropped, and an observation says so.
pub const SERIES_MAX: usize = 16;
/// The most observations of a report.
pub const OBSERVATIONS_MAX: usize = 2_000;
/// How far in the future a statement's time may lie, in seconds: what clocks may differ by.
pub const CLOCK_MARGIN_S: i64 = 60;
/// How long a writer waits for another one in the same folder, in milliseconds.
pub const FOLDER_LOCK_MS: u64 = 10_000;

const _: () = assert!(PAYLOAD_BYTES_MAX.div_ceil(3) * 4 + 64 * 1024 <= ENVELOPE_BYTES_MAX);
// A full report of series, some 32 bytes a point, fits a payload.
const _: () = assert!(POINTS_MAX * SERIES_MAX * 40 + OBSERVATIONS_MAX * 1_024 <= PAYLOAD_BYTES_MAX);
