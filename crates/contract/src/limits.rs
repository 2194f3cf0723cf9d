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
