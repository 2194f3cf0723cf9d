//! Every limit of the host in one place: sizes in bytes, times with their unit in the name.
//!
//! Nothing outside this file and `subscribe`'s own limits chooses a number that bounds memory, time or concurrency.
//! [`HostLimits`] are those that whoever starts a host may choose; the constants are the host's own. Neighbours are held
//! to each other at compile time at the end of the file, and chosen limits by [`HostLimits::validate`].

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The limits of a host's connections and requests. `Default` gives [`HostLimits::DEFAULT`]. Those of WebSocket sessions
/// are [`WebSocketLimits`](crate::WebSocketLimits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostLimits {
    /// How many TCP connections are served at once, each counted until it ends, also as a WebSocket. Whoever comes on
    /// top is answered 503 and let go. Default 16,384.
    pub connections: usize,
    /// The largest head of a request, in bytes; a larger one is answered 431. Default 64 KiB.
    pub header_bytes: usize,
    /// How long a client may take to send a whole request head, or, between two requests, to begin the next. Default
    /// 15 s. On a TLS connection, the TLS handshake has as long again.
    pub header_timeout: Duration,
    /// How long a client may take to send a whole request body; then 408. Default 60 s.
    pub body_timeout: Duration,
    /// How long an answer may wait for its client to take some more of it; then the connection is cut off, and the
    /// answer let go. Default 30 s. A WebSocket has
    /// [`WebSocketLimits::write_stall_timeout`](crate::WebSocketLimits::write_stall_timeout) instead.
    pub write_timeout: Duration,
    /// The largest module a publish may carry, in bytes; a larger one is answered 413. Default 64 MiB. The official
    /// server takes up to gigabytes; a real module is one to ten megabytes, and an embedded host shares its memory with
    /// the program around it.
    pub program_bytes: usize,
    /// The largest body of a reducer or procedure call, or of a request to a module's own route, in bytes; a larger one
    /// is answered 413. Default 16 MiB.
    pub call_bytes: usize,
    /// The largest body of an SQL request, in bytes; a larger one is answered 413. Default 1 MiB.
    pub sql_bytes: usize,
    /// How much of the processor one call of a reducer, a procedure or a view may use: WebAssembly instructions, at the
    /// engine's rate of two thousand million a second. A call that uses more is ended and rolled back. Default 60 s, the
    /// engine's own. What the module has the engine do, as inserting rows, is not counted.
    pub call_time: Duration,
    /// How long a shutdown waits for requests and sessions to end before it cuts them off; zero cuts at once. Default
    /// 10 s.
    pub drain_deadline: Duration,
}

/// A set of limits that no request could live under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostLimitsError {
    /// A size, a count or a timeout is zero.
    #[error("`{0}` must be more than zero")]
    Zero(&'static str),
    /// Ordinary requests, which carry a token of up to some kilobytes, would be refused.
    #[error("`header_bytes` must be at least {HEADER_BYTES_MIN}")]
    HeaderTooSmall,
}

/// The least that [`HostLimits::header_bytes`] may be: a token and what browsers send.
pub const HEADER_BYTES_MIN: usize = 8 * KIB;

impl HostLimits {
    /// What a host has unless told otherwise.
    pub const DEFAULT: Self = Self {
        connections: 16 * KIB,
        header_bytes: 64 * KIB,
        header_timeout: Duration::from_secs(15),
        body_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(30),
        program_bytes: 64 * MIB,
        call_bytes: 16 * MIB,
        sql_bytes: MIB,
        call_time: Duration::from_secs(60),
        drain_deadline: Duration::from_secs(10),
    };

    /// Says whether a request can live under these limits.
    ///
    /// # Errors
    /// A [`HostLimitsError`] that names the field to change.
    pub const fn validate(&self) -> Result<(), HostLimitsError> {
        use HostLimitsError::{HeaderTooSmall, Zero};
        if self.connections == 0 {
            return Err(Zero("connections"));
        }
        if self.header_timeout.is_zero() {
            return Err(Zero("header_timeout"));
        }
        if self.body_timeout.is_zero() {
            return Err(Zero("body_timeout"));
        }
        if self.write_timeout.is_zero() {
            return Err(Zero("write_timeout"));
        }
        if self.program_bytes == 0 {
            return Err(Zero("program_bytes"));
        }
        if self.call_bytes == 0 {
            return Err(Zero("call_bytes"));
        }
        if self.sql_bytes == 0 {
            return Err(Zero("sql_bytes"));
        }
        if self.call_time.is_zero() {
            return Err(Zero("call_time"));
        }
        if self.header_bytes < HEADER_BYTES_MIN {
            return Err(HeaderTooSmall);
        }
        Ok(())
    }

    /// How much of a refused request is read and thrown away, in bytes, so that its sender hears why: also of a module
    /// that is too long.
    pub(crate) const fn drain_bytes(&self) -> usize {
        self.program_bytes.saturating_mul(2)
    }
}

impl Default for HostLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How many statements one SQL request may hold.
pub const SQL_STATEMENTS_MAX: usize = 64;

/// The largest body of a request that names databases, in bytes.
pub const NAMES_BODY_BYTES_MAX: usize = 64 * KIB;

/// How many names one database may have.
pub const NAMES_PER_DATABASE_MAX: usize = 64;

/// How long a refused request may go on sending.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections above the limit are told so at once; further ones are closed without a word.
pub const REFUSALS_AT_ONCE: usize = 64;

/// How long a connection above the limit has to take its refusal.
pub const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// How long accepting pauses after the system refused a connection for want of resources.
pub const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long it says nothing more of that in the log once it has.
pub const ACCEPT_COMPLAINT_PAUSE: Duration = Duration::from_secs(60);

/// How many files a host may have open beside its connections: several for each database, and what a publish takes.
pub const OPEN_FILES_RESERVE: u64 = 512;

/// How much is written, in bytes, to find out whether a disk is full: what SQLite's shared memory file and a commit need.
pub const DISK_PROBE_BYTES: usize = 64 * KIB;

/// How many modules that nobody knows yet are tried out at once.
pub const TRIALS_AT_ONCE: usize = 8;

/// How long a module may take to be compiled, to describe itself and, where it is to become a database, to run `init`. A
/// module of a megabyte takes a second of a processor; a machine with ten times more to do than processors takes half a
/// minute for it.
pub const TRIAL_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a change of a database waits for another change of it, and a module for a place to be tried out.
pub const PUBLISH_TURN_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a session's end waits for `client_disconnected`; whatever the module does, its budget ends it before.
pub const DEPARTURE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The longest name of a database, in bytes. The official server knows no limit of its own; this is that of a DNS name.
pub const DATABASE_NAME_BYTES_MAX: usize = 255;

/// How long a request waits for what it did, or saw, to become durable.
pub const DURABILITY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an update waits to become durable when the request does not say; the official server's default.
pub const UPDATE_CONFIRMATION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The longest an update may ask to wait; the official server's bound.
pub const UPDATE_CONFIRMATION_TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

/// How long a token from `POST /v1/identity/websocket-token` lives; the official server's number.
pub const WEBSOCKET_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// How long a shutdown waits for a request whose head has begun to arrive, and for more of an answer to be written.
pub const LAST_REQUEST_GRACE: Duration = Duration::from_millis(250);

/// How long a shutdown then waits for each database to stop and flush.
pub const DATABASE_EXIT_DEADLINE: Duration = Duration::from_secs(30);

/// How long stopping a database then waits for a snapshot that is being written.
pub const SNAPSHOT_SETTLE_TIMEOUT: Duration = Duration::from_secs(5);

/// How often it looks.
pub const SNAPSHOT_POLL_INTERVAL: Duration = Duration::from_millis(5);

/// How long a database that failed to launch answers with its failure before the next request tries again.
pub const LAUNCH_RETRY_PAUSE: Duration = Duration::from_secs(5);

/// How many databases are launched at once when a host starts.
pub const LAUNCHES_AT_ONCE: usize = 4;

/// How many times a backup begins anew because databases were published or deleted meanwhile.
pub const BACKUP_ATTEMPTS_MAX: u32 = 5;

/// How long it waits before the second attempt; before each further one as much longer.
pub const BACKUP_RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How long SQLite waits for a lock that another process holds on `control.sqlite`.
pub const CONTROL_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = {
    let defaults = HostLimits::DEFAULT;
    assert!(defaults.validate().is_ok());
    assert!(defaults.program_bytes > defaults.call_bytes, "a module is the largest thing a client sends");
    assert!(defaults.call_bytes > defaults.sql_bytes);
    assert!(defaults.sql_bytes > NAMES_BODY_BYTES_MAX);
    assert!(defaults.header_timeout.as_secs() < defaults.body_timeout.as_secs());
    assert!(defaults.drain_bytes() > defaults.program_bytes, "a module that is too long hears so");
    assert!(LAST_REQUEST_GRACE.as_millis() < defaults.drain_deadline.as_millis());
    assert!(DRAIN_TIMEOUT.as_secs() < defaults.drain_deadline.as_secs(), "a refused sender does not hold up the end");
    assert!(defaults.drain_deadline.as_secs() < DATABASE_EXIT_DEADLINE.as_secs(), "flushing outlasts being polite");
    assert!(REFUSALS_AT_ONCE < defaults.connections);
    assert!(TRIAL_TIMEOUT.as_secs() < PUBLISH_TURN_TIMEOUT.as_secs(), "a trial does not cost the next one its turn");
    assert!(defaults.call_time.as_secs() < DEPARTURE_TIMEOUT.as_secs(), "a module may use its budget up");
    assert!(SNAPSHOT_POLL_INTERVAL.as_millis() < SNAPSHOT_SETTLE_TIMEOUT.as_millis());
    assert!(UPDATE_CONFIRMATION_TIMEOUT_DEFAULT.as_secs() < UPDATE_CONFIRMATION_TIMEOUT_MAX.as_secs());
    assert!(DATABASE_EXIT_DEADLINE.as_secs() >= DURABILITY_TIMEOUT.as_secs(), "a waiting request sees its flush");
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_under_which_no_request_could_live_are_refused() {
        let good = HostLimits::DEFAULT;
        assert_eq!(HostLimits { connections: 0, ..good }.validate(), Err(HostLimitsError::Zero("connections")));
        let hasty = HostLimits { body_timeout: Duration::ZERO, ..good };
        assert_eq!(hasty.validate(), Err(HostLimitsError::Zero("body_timeout")));
        assert_eq!(HostLimits { header_bytes: 100, ..good }.validate(), Err(HostLimitsError::HeaderTooSmall));
        assert_eq!(HostLimits { drain_deadline: Duration::ZERO, ..good }.validate(), Ok(()));
    }
}
