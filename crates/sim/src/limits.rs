//! Every time and size of the simulated world, in simulated milliseconds unless the name says otherwise.

/// A connection that hears nothing for this long is dead to its client: `muster-wire`'s `IDLE_MS_MAX`, and the host's
/// own idle timeout.
pub const IDLE_MS: u64 = 30_000;

/// A call that is not answered for this long has failed, nobody knows how: `muster-wire`'s `CALL_MS_MAX`.
pub const CALL_MS: u64 = 30_000;

/// A connection attempt that is not answered for this long has failed: `muster-wire`'s `CONNECT_MS_MAX`.
pub const CONNECT_MS: u64 = 10_000;

/// How long a connection waits for a token: `muster-sync`'s `TOKEN_WAIT_MS_MAX`.
pub const TOKEN_WAIT_MS: u64 = 10_000;

/// How long faults go on.
pub const FAULTS_MS: u64 = 150_000;

/// When the last fault is over: the longest begins at the very end.
pub const CALM_MS: u64 = FAULTS_MS + 45_000;

/// How often it is looked whether everything has converged.
pub const LOOK_MS: u64 = 2_000;

/// How long after the last fault everything must have converged: an idle timeout, a call that times out behind it, the
/// longest backoff, and room for hundreds of events one by one over a slow line.
pub const CONVERGE_MS: u64 = 600_000;

/// How far behind the durable head a follower may be that calls itself live.
pub const LIVE_LAG_MS: u64 = 13_000;

/// The most steps of one run. A run that takes more is spinning.
pub const STEPS_MAX: u64 = 400_000;

/// The most steps at one moment of simulated time. A run that takes more has stopped making time pass.
pub const STEPS_AT_ONCE_MAX: u64 = 20_000;

/// The longest that a cut connection's last requests may still be on their way to the host.
pub const LATE_MS_MAX: u64 = 8_000;

// Who is cut silently must have time to notice, to wait out a call and to come back before convergence is judged.
const _: () = assert!(IDLE_MS + CALL_MS + CONNECT_MS < CONVERGE_MS);
const _: () = assert!(LATE_MS_MAX < IDLE_MS);
