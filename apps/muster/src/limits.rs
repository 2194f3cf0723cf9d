//! Every size and wait of the command line, named with its unit.

/// How long a command waits for the token service's first token, in milliseconds.
pub(crate) const TOKEN_MS_MAX: u64 = 15_000;

/// How long `tail` waits, with a token that the service has just given, for the host to let it go on, in milliseconds.
pub(crate) const STUCK_MS_MAX: u64 = 10_000;

/// The largest module file that is read, in bytes. Hosts take less; this only keeps a wrong path (a disk image) from
/// filling the memory before a host can say so.
pub(crate) const MODULE_BYTES_MAX: u64 = 256 * MIB;

/// The largest file that is read as a token, in bytes. Tokens are a few kilobytes; hosts take headers of some tens.
pub(crate) const TOKEN_FILE_BYTES_MAX: u64 = 64 * KIB;

/// The largest `cli.toml` that is read, in bytes.
pub(crate) const CONFIG_FILE_BYTES_MAX: u64 = MIB;

/// The largest note beside a module that is read, in bytes: a hash and two names.
pub(crate) const BUILD_NOTE_BYTES_MAX: u64 = 64 * KIB;

/// How long `lane check` waits for any one answer, and every command for which saved tokens the host takes, all of them
/// together, in milliseconds.
pub(crate) const CHECK_MS_MAX: u64 = 15_000;

/// How many tokens are kept for one address, where different hosts may stand one after the other.
pub(crate) const SAVED_TOKENS_MAX: usize = 4;

/// How long `publish` waits while another one makes an identity for the same address, in milliseconds.
pub(crate) const TOKEN_LOCK_MS_MAX: u64 = 60_000;

/// How often it looks, in milliseconds.
pub(crate) const TOKEN_LOCK_POLL_MS: u64 = 20;

/// How many lines of a log are shown before those to come, unless `-n` says otherwise: as many as `tail -f`.
pub(crate) const LOG_LINES_BEFORE_FOLLOWING: u32 = 10;

/// How many characters of a cell a table shows; the rest is cut, `--json` has all of it.
pub(crate) const CELL_CHARS_MAX: usize = 100;

/// How long a build of the module may go on until its progress is told again, where there is no terminal on which the
/// compiler shows it, in milliseconds.
pub(crate) const BUILD_STILL_MS: u64 = 30_000;

/// How many letters a misspelt name may be away from the one that is suggested.
pub(crate) const NAME_DISTANCE_MAX: usize = 3;

/// How long any one state of a handshake may take to come about, in milliseconds, unless `--patience` says otherwise.
pub(crate) const HANDSHAKE_PATIENCE_MS: u64 = 30_000;

/// The longest line that `emit` reads, in bytes: a payload's limit is on its canonical form, which white space and escapes
/// can be several times longer than.
pub(crate) const EMIT_LINE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// How much of its input `emit` reads at a time, in bytes.
pub(crate) const EMIT_READ_BYTES: usize = 1_024 * 1_024;

/// How many events `emit` stores at a time at most.
pub(crate) const EMIT_WINDOW_EVENTS_MAX: usize = 2_000;

/// From how many bytes of payloads on `emit` stores what it has read.
pub(crate) const EMIT_WINDOW_BYTES: usize = 1_024 * 1_024;

/// How long `emit` waits, in milliseconds, until a full outbox has room for more, before it looks again.
pub(crate) const EMIT_ROOM_POLL_MS: u64 = 100;

/// How long `emit` without `--flush` goes on sending when everything is stored, in milliseconds.
pub(crate) const EMIT_SEND_MS: u64 = 2_000;

/// How long `emit --flush`, and a full outbox, wait for the host, and `tail --until-idle` until it is live, in
/// milliseconds, unless `--patience` says otherwise.
pub(crate) const STREAMS_PATIENCE_MS: u64 = 60_000;

/// How many streams of an outbox `muster outbox` shows.
pub(crate) const OUTBOX_STREAMS_MAX: usize = 10_000;

/// How often a parked or blocked stream is looked for, while there is one, in milliseconds.
pub(crate) const STREAMS_LOOK_MS: u64 = 200;

/// How long the demonstration's host may take until it answers, in milliseconds.
#[cfg(feature = "host")]
pub(crate) const DEMO_HOST_READY_MS_MAX: u64 = 60_000;

/// How long the demonstration's host may take to end, in milliseconds: longer than its own drain.
#[cfg(feature = "host")]
pub(crate) const DEMO_HOST_STOP_MS_MAX: u64 = 30_000;

/// How many events at most the demonstration lets out as one of its faults strikes.
#[cfg(feature = "host")]
pub(crate) const DEMO_LEAD_EVENTS: u64 = 2_000;

/// How long the demonstration's network is silent when it is frozen, in milliseconds.
#[cfg(feature = "host")]
pub(crate) const DEMO_FREEZE_MS: u64 = 700;

/// How long each byte takes on the demonstration's slow network, in milliseconds.
#[cfg(feature = "host")]
pub(crate) const DEMO_DELAY_MS: u64 = 15;

/// How long the demonstration waits for the next of its events to be applied, in milliseconds.
#[cfg(feature = "host")]
pub(crate) const DEMO_STREAMS_MS_MAX: u64 = 60_000;

/// How often an interrupted demonstration tries to remove its folder.
#[cfg(feature = "host")]
pub(crate) const DEMO_REMOVALS_MAX: u32 = 20;

/// How long it waits before each try, in milliseconds.
#[cfg(feature = "host")]
pub(crate) const DEMO_REMOVAL_PAUSE_MS: u64 = 100;

/// How often the guard of a part of `up` looks whether that is still there, in milliseconds.
#[cfg(all(feature = "host", feature = "control"))]
pub(crate) const UP_PARENT_LOOK_MS: u64 = 200;

/// How long a part of `up` may take to end before its guard kills it, in milliseconds: longer than a host's drain.
#[cfg(all(feature = "host", feature = "control"))]
pub(crate) const UP_PART_STOP_MS_MAX: u64 = 20_000;

/// How long `up` waits for a guard to end, in milliseconds.
#[cfg(all(feature = "host", feature = "control"))]
pub(crate) const UP_STOP_MS_MAX: u64 = 25_000;

/// How long the runtime of `up` waits at its end for the host to confirm what it has emitted, in milliseconds.
#[cfg(all(feature = "host", feature = "control"))]
pub(crate) const UP_FLUSH_MS_MAX: u64 = 2_000;

/// How many revocations are on their way to a module at once.
#[cfg(feature = "control")]
pub(crate) const REVOCATION_CALLS_MAX: usize = 64;

/// How often the token service looks which databases are to be told of revocations, in milliseconds.
#[cfg(feature = "control")]
pub(crate) const REVOCATION_TARGETS_POLL_MS: u64 = 1_000;

/// How often `control keys rotate --wait` looks, in milliseconds.
#[cfg(feature = "control")]
pub(crate) const KEY_POLL_MS: u64 = 500;

const KIB: u64 = 1_024;
const MIB: u64 = 1_024 * KIB;

/// How often `top` looks again where nothing has changed, and prints with `--json`, in milliseconds.
pub(crate) const TOP_LOOK_MS: u64 = 1_000;

/// How long `top --once` waits until everything is live, unless it is told otherwise, in milliseconds.
pub(crate) const TOP_PATIENCE_MS: u64 = 15_000;

/// Keys that may wait for the screen.
#[cfg(feature = "top")]
pub(crate) const TOP_KEYS_MAX: usize = 64;

const _: () = assert!(TOKEN_FILE_BYTES_MAX < CONFIG_FILE_BYTES_MAX && CONFIG_FILE_BYTES_MAX < MODULE_BYTES_MAX);
// Who holds the lock asks which tokens are taken, then for a new one, and then perhaps the first again.
const _: () = assert!(TOKEN_LOCK_MS_MAX > 3 * CHECK_MS_MAX && TOKEN_LOCK_POLL_MS < TOKEN_LOCK_MS_MAX);
const _: () = assert!(SAVED_TOKENS_MAX > 0);
// A line must fit into what is read at once several times, and the largest payload into a line.
const _: () = assert!(EMIT_LINE_BYTES_MAX >= 4 * muster_contract::limits::PAYLOAD_BYTES_MAX);
// What is read at a time must fit into one publish.
const _: () = assert!(EMIT_WINDOW_EVENTS_MAX <= muster_publisher::limits::PUBLISH_EVENTS_MAX);
const _: () = assert!(
    EMIT_WINDOW_BYTES + muster_contract::limits::PAYLOAD_BYTES_MAX + EMIT_WINDOW_EVENTS_MAX * 128
        <= muster_publisher::limits::PUBLISH_BYTES_MAX
);
const _: () = assert!(EMIT_SEND_MS < STREAMS_PATIENCE_MS && EMIT_ROOM_POLL_MS < STREAMS_PATIENCE_MS);
#[cfg(all(feature = "host", feature = "control"))]
const _: () = assert!(UP_PARENT_LOOK_MS < UP_PART_STOP_MS_MAX && UP_PART_STOP_MS_MAX < UP_STOP_MS_MAX);
