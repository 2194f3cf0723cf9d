//! Every size and interval that the module and its clients must agree on, named with its unit.

/// The longest display name `set_name` takes, in Unicode scalar values after trimming.
pub const NAME_CHARS_MAX: usize = 64;

/// The longest client id or client build kept of a token's claims, in bytes. What is longer is cut at a character
/// boundary: a claim must not be a way to make every subscriber of `active_connection` receive megabytes.
pub const CLAIM_BYTES_MAX: usize = 128;

/// How long the presence summary may lag behind the table it summarizes, in milliseconds: at most two refreshes a
/// second, however fast sessions come and go.
pub const PRESENCE_REFRESH_MS: u64 = 500;

// The longest name must fit into any reasonable claim-sized field of an operator's screen.
const _: () = assert!(NAME_CHARS_MAX <= CLAIM_BYTES_MAX);
// "At most twice a second" (ARCHITECTURE.md, Presence).
const _: () = assert!(PRESENCE_REFRESH_MS * 2 >= 1_000);

/// The longest stream id, in bytes, percent-escapes counted.
pub const STREAM_ID_BYTES_MAX: usize = 255;

/// The longest event kind, in bytes.
pub const KIND_BYTES_MAX: usize = 128;

/// The largest payload, in bytes of its canonical JSON.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// How deep arrays and objects may nest in a payload. One less than the recursion limit of `serde_json`, so that a
/// payload that was taken is one that its readers can parse.
pub const PAYLOAD_DEPTH_MAX: usize = 127;

/// The most events in one append.
pub const BATCH_EVENTS_MAX: usize = 1_000;

/// The most bytes of payloads and kinds in one append.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;

/// The upper bound of the first wait before a client tries again, in milliseconds; it doubles with each attempt.
pub const BACKOFF_FIRST_MS: u64 = 250;

/// The upper bound of every wait before a client tries again, in milliseconds.
pub const BACKOFF_MAX_MS: u64 = 8_000;

// Any one event must fit into a batch.
const _: () = assert!(PAYLOAD_BYTES_MAX + KIND_BYTES_MAX <= BATCH_BYTES_MAX);
// A batch's events are counted in 32 bits (`producer::Run`).
const _: () = assert!(BATCH_EVENTS_MAX < u32::MAX as usize);
// The first wait is not the longest: backoff grows.
const _: () = assert!(0 < BACKOFF_FIRST_MS && BACKOFF_FIRST_MS < BACKOFF_MAX_MS);

/// How far ahead of ours the clock may go that wrote a token's `nbf` and `iat`, in seconds (RFC 7519 section 4.1.5 allows
/// "some small leeway"). A token's end has none: grants end on time.
pub const CLOCK_LEEWAY_S: i64 = 60;

/// The longest life of a token that a module takes, in seconds: a revocation is remembered for this long.
pub const TOKEN_LIFETIME_MAX_S: i64 = 3_600;

/// The most stream patterns that a token may name: each is compared at each request.
pub const TOKEN_PATTERNS_MAX: usize = 32;

// What is not valid yet must not outlive the memory of its revocation by much.
const _: () = assert!(CLOCK_LEEWAY_S < TOKEN_LIFETIME_MAX_S);
