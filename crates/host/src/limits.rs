//! Every limit of the host in one place: sizes in bytes, times with their unit in the name.
//!
//! Nothing outside this file and `subscribe`'s own limits chooses a number that bounds memory, time or concurrency.
//! Neighbours are held to each other at compile time at the end of the file.

use std::time::Duration;

/// The largest module a publish may carry, in bytes.
///
/// The official server takes up to gigabytes; a real module is one to ten megabytes, and an embedded host shares its
/// memory with the program around it.
pub const PROGRAM_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The largest body of a reducer or procedure call, in bytes.
pub const CALL_BODY_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The largest body of an SQL request, in bytes.
pub const SQL_BODY_BYTES_MAX: usize = 1024 * 1024;

/// How many statements one SQL request may hold.
pub const SQL_STATEMENTS_MAX: usize = 64;

/// The largest body of a request that names databases, in bytes.
pub const NAMES_BODY_BYTES_MAX: usize = 64 * 1024;

/// How many names one database may have.
pub const NAMES_PER_DATABASE_MAX: usize = 64;

/// How long a client may take to send a whole request head.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a client may take to send a whole request body.
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// How much of a refused request is read and thrown away, in bytes, so that its sender hears why.
pub const DRAIN_BYTES_MAX: usize = 2 * PROGRAM_BYTES_MAX;

/// How long a refused request may go on sending.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How many TCP connections are served at once; further ones wait in the kernel's backlog.
pub const CONNECTIONS_MAX: usize = 16_384;

/// How long accepting pauses after the system refused a connection for want of resources.
pub const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(100);

/// How long a request waits for what it did, or saw, to become durable.
pub const DURABILITY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long an update waits to become durable when the request does not say; the official server's default.
pub const UPDATE_CONFIRMATION_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// The longest an update may ask to wait; the official server's bound.
pub const UPDATE_CONFIRMATION_TIMEOUT_MAX: Duration = Duration::from_secs(5 * 60);

/// How long a token from `POST /v1/identity/websocket-token` lives; the official server's number.
pub const WEBSOCKET_TOKEN_LIFETIME: Duration = Duration::from_secs(60);

/// How long a shutdown waits for requests and sessions to end before it cuts them off.
pub const DRAIN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a shutdown waits for a request whose head has begun to arrive.
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

/// How long SQLite waits for a lock that another process holds on `control.sqlite`.
pub const CONTROL_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const _: () = {
    assert!(PROGRAM_BYTES_MAX > CALL_BODY_BYTES_MAX, "a module is the largest thing a client sends");
    assert!(CALL_BODY_BYTES_MAX > SQL_BODY_BYTES_MAX);
    assert!(HEADER_READ_TIMEOUT.as_secs() < BODY_READ_TIMEOUT.as_secs());
    assert!(DRAIN_BYTES_MAX > PROGRAM_BYTES_MAX, "a module that is too long hears so");
    assert!(SNAPSHOT_POLL_INTERVAL.as_millis() < SNAPSHOT_SETTLE_TIMEOUT.as_millis());
    assert!(LAST_REQUEST_GRACE.as_millis() < DRAIN_DEADLINE.as_millis());
    assert!(DRAIN_TIMEOUT.as_secs() < DRAIN_DEADLINE.as_secs(), "a refused sender does not hold up the end");
    assert!(UPDATE_CONFIRMATION_TIMEOUT_DEFAULT.as_secs() < UPDATE_CONFIRMATION_TIMEOUT_MAX.as_secs());
    assert!(DRAIN_DEADLINE.as_secs() < DATABASE_EXIT_DEADLINE.as_secs(), "flushing outlasts being polite");
    assert!(DATABASE_EXIT_DEADLINE.as_secs() >= DURABILITY_TIMEOUT.as_secs(), "a waiting request sees its flush");
};
