//! Sizes and waits of the gates, named with their units.
//!
//! What always holds: what a lane may ask of its gates is bounded here, so that a slip in `gates.toml` cannot flood a lane.

/// The largest `gates.toml`, in bytes.
pub const SETTINGS_BYTES_MAX: u64 = 1_024 * 1_024;
/// The most events that a gate writes.
pub const EVENTS_MAX: u64 = 1_000_000;
/// The most events a second under load.
pub const EVENTS_PER_S_MAX: u64 = 20_000;
/// The longest measurement, in seconds.
pub const SLO_S_MAX: u64 = 3_600;
/// The most full batches in a row.
pub const BURST_BATCHES_MAX: u64 = 1_000;
/// The most sessions of a storm.
pub const STORM_CLIENTS_MAX: u64 = 10_000;
/// The longest fault, in milliseconds.
pub const FAULT_MS_MAX: u64 = 120_000;
/// The longest patience, in seconds.
pub const PATIENCE_S_MAX: u64 = 3_600;

/// How long removing what a gate made may take, in milliseconds.
pub(crate) const CLEAN_MS_MAX: u64 = 30_000;
/// What a killed run left behind is removed once it is so old, in seconds: a younger one may still be at work.
pub(crate) const LEFT_OVER_S: u64 = 6 * 3_600;
/// How often a state is looked at that nothing announces, in milliseconds.
pub(crate) const LOOK_MS: u64 = 25;
/// How often traffic is sent, in milliseconds.
pub(crate) const TICK_MS: u64 = 50;
/// How often a drill's clients ping the host, and how long a silent one lives, in milliseconds: short, so that half-open
/// sockets are noticed within a drill's time.
pub(crate) const DRILL_PING_MS: u64 = 1_000;
/// See [`DRILL_PING_MS`].
pub(crate) const DRILL_IDLE_MS: u64 = 4_000;
/// How long a client may go on saying `live` over a connection that carries nothing, in milliseconds: the subscriber's own
/// bound, and what a busy machine needs beyond it.
pub(crate) const LIVE_LIE_MS_MAX: u64 = muster_sync::limits::LIVENESS_MS_MAX + 2_000;
/// How fast the network of a slow reader is, in bytes a second.
pub(crate) const SLOW_BYTES_PER_S: u32 = 2_048;
/// How many sessions connect at the same time when a storm is prepared.
pub(crate) const CONNECTING_AT_ONCE: usize = 32;
/// The life of tokens in the token expiry storm, in seconds: the shortest that the token service gives.
pub(crate) const TOKEN_LIFE_S: u64 = 10;
/// How long the host's clock is looked for, in looks of which the fastest counts.
pub(crate) const CLOCK_LOOKS: u32 = 5;
/// How long a command of the lane's may take, in milliseconds.
pub(crate) const COMMAND_MS_MAX: u64 = 60_000;
/// Events that a scratch database's retention keeps in the retention drill.
pub(crate) const RETAINED_EVENTS: u64 = 50;
/// How often the SLO gate cuts its subscriber's connection.
pub(crate) const SLO_CUTS: u32 = 3;
/// Calls whose failures are counted in the SLO gate.
pub(crate) const SLO_CALLS: u32 = 200;
/// The most of the host's words that an observation repeats, in characters.
pub(crate) const WORDS_MAX: usize = 400;

const _: () = assert!(DRILL_IDLE_MS > 2 * DRILL_PING_MS);
