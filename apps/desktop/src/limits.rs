//! Every size and interval of the window, named with its unit.

/// The newest lines of the log that a diagnostics bundle has.
pub const LOG_LINES_MAX: usize = 2_000;

/// The longest line of it, in bytes.
pub const LOG_LINE_BYTES_MAX: usize = 2_000;

/// How long the handshake may take, in milliseconds.
pub const HANDSHAKE_MS_MAX: u64 = 60_000;

/// How much of what the handshake says is kept, in characters.
pub const HANDSHAKE_SAID_CHARS_MAX: usize = 240;

/// The largest token file that is read, in bytes.
pub const TOKEN_FILE_BYTES_MAX: u64 = 64 * 1_024;

/// Frame times that are kept for their quantiles.
pub const FRAMES_MAX: usize = 4_096;

/// How often the window looks again while something counts down, in milliseconds.
pub const COUNT_DOWN_MS: u64 = 1_000;

/// How long ending may take, in milliseconds: the store commits what it has begun.
pub const SHUTDOWN_MS_MAX: u64 = 12_000;
