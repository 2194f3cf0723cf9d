//! Every limit, size and interval of the token service, named with its unit and checked against its neighbours.
//!
//! What always holds: a number that two rules depend on stands here once, and the assertions at the end say how the
//! numbers depend on each other.

use std::time::Duration;

/// How long SpacetimeDB's host keeps a JWKS before it fetches it again, in seconds (`CachingOidcTokenValidator`, 2.14).
/// Until then it refuses a key id that it does not know, without a new fetch.
pub const HOST_JWKS_REFRESH_S: i64 = 300;
/// How far past `exp` SpacetimeDB's host still takes a token, in seconds.
pub const HOST_EXPIRY_LEEWAY_S: i64 = 60;
/// How long anything between us and a host may cache the JWKS, in seconds: our own `Cache-Control`.
pub const JWKS_MAX_AGE_S: i64 = 60;
/// What clocks may differ by, in seconds.
pub const CLOCK_MARGIN_S: i64 = 60;
/// How long a key is served before it signs, in seconds: what lies between may have cached the old set, a host may have
/// failed to fetch once, and clocks differ.
pub const KEY_ANNOUNCE_S: i64 = JWKS_MAX_AGE_S + 2 * HOST_JWKS_REFRESH_S + CLOCK_MARGIN_S;
/// The shortest announcement that a service whose hosts are elsewhere may be set to, in seconds.
pub const KEY_ANNOUNCE_MIN_S: i64 = JWKS_MAX_AGE_S + HOST_JWKS_REFRESH_S + CLOCK_MARGIN_S;
/// How long a key stays after it has signed its last token, in seconds: until that token is refused everywhere.
pub const KEY_RETIRE_S: i64 = ACCESS_LIFETIME_MAX_S + HOST_EXPIRY_LEEWAY_S + CLOCK_MARGIN_S;
/// How often the service looks whether a key is due, in milliseconds.
pub const KEY_TICK_MS: u64 = 1_000;

/// The shortest access token, in seconds.
pub const ACCESS_LIFETIME_MIN_S: i64 = 10;
/// The access token of a client that says nothing else, in seconds.
pub const ACCESS_LIFETIME_DEFAULT_S: i64 = 300;
/// The longest access token, in seconds: what a stolen one is good for where nobody revokes it.
pub const ACCESS_LIFETIME_MAX_S: i64 = 3_600;
/// The longest life of a refresh family, in seconds: thirty days, then the client proves itself again.
pub const SESSION_LIFETIME_MAX_S: i64 = 30 * 24 * 3_600;
/// A session's successor is due when this part of the token's life, in hundredths, is over.
pub const REFRESH_AFTER_PERCENT: i64 = 66;

/// The longest `iss` and `sub` that a SpacetimeDB host takes, in bytes (`IncomingClaims`, 2.14).
pub const IDENTITY_CLAIM_BYTES_MAX: usize = 128;
/// The longest client id, in bytes: it is the `sub` of the client's own tokens.
pub const CLIENT_ID_BYTES_MAX: usize = 128;
/// The most stream patterns of a grant: a token travels in a header.
pub const PATTERNS_MAX: usize = 32;
/// The longest patterns of a grant, in bytes together.
pub const PATTERN_BYTES_MAX: usize = 4 * 1024;
/// The most actors of an `act` chain.
pub const ACTORS_MAX: usize = 4;
/// The most keys and secrets of one client: the one in use and its successor.
pub const CREDENTIALS_MAX: usize = 2;
/// The longest life of a client assertion, in seconds: how long its `jti` must be remembered. Libraries make them for an
/// hour (Authlib's default), and one is good once anyway.
pub const ASSERTION_LIFETIME_MAX_S: i64 = 3_600;
/// The longest `jti` of a client assertion, in bytes.
pub const ASSERTION_ID_BYTES_MAX: usize = 128;
/// The longest credential that is looked at, in bytes: a hash over megabytes is a way to make us work.
pub const CREDENTIAL_BYTES_MAX: usize = 8 * 1024;

/// The longest request body, in bytes.
pub const BODY_BYTES_MAX: usize = 32 * 1024;
/// How long a request may take, in all.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send a request's head.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests have at shutdown.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections at once; one more waits in the kernel.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Connections of one address at once: so that it takes many addresses to use them all up.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 64;
/// Password hashes computed at once: each takes 19 MiB and a core.
pub const HASHES_AT_ONCE: usize = 2;
/// How long a request waits for its turn to have a secret checked.
pub const HASH_WAIT: Duration = Duration::from_secs(3);
/// How long a secret that was right need not be hashed again, in seconds.
pub const VERIFIED_SECRET_S: u64 = 600;
/// The most secrets remembered as right.
pub const VERIFIED_SECRETS_MAX: usize = 1_024;
/// How long SQLite waits for another process's write, in milliseconds.
pub const SQLITE_BUSY_MS: u64 = 5_000;

/// Requests from one address: this many at once,
pub const ADDRESS_BURST: u32 = 200;
/// and this many a second after that.
pub const ADDRESS_PER_S: u32 = 50;
/// Failed authentications from one address against one client: this many at once,
pub const FAILURE_BURST: u32 = 10;
/// and this many a minute after that.
pub const FAILURES_PER_MINUTE: u32 = 10;
/// Tokens for one authenticated client: this many at once,
pub const CLIENT_BURST: u32 = 500;
/// and this many a second after that.
pub const CLIENT_PER_S: u32 = 200;
/// Addresses or clients that a limiter remembers; beyond it, those that have recovered are forgotten, then the rest
/// share one bucket.
pub const LIMITER_KEYS_MAX: usize = 65_536;

/// Revocations in one answer of the feed.
pub const REVOCATIONS_PAGE_MAX: usize = 500;
/// Revocations in one delivery: as many as go out together, so that a slow way still gets one through in time.
pub const DELIVERY_PAGE_MAX: usize = 64;
/// How often the outbox is looked at for what another process wrote, in milliseconds.
pub const OUTBOX_POLL_MS: u64 = 500;
/// How long one delivery may take, in milliseconds; after failures it doubles,
pub const DELIVERY_TIMEOUT_MS: u64 = 2_000;
/// up to this: on a way so slow that nothing else arrives.
pub const DELIVERY_TIMEOUT_MAX_MS: u64 = 16_000;
/// The first wait after a failed delivery, in milliseconds; it doubles,
pub const DELIVERY_BACKOFF_MIN_MS: u64 = 100;
/// up to this.
pub const DELIVERY_BACKOFF_MAX_MS: u64 = 5_000;
/// Series of all counters together: routes, statuses, grant types, codes and databases are fewer.
pub const METRIC_SERIES_MAX: usize = 256;
/// The life of the token that the service makes for itself, to tell modules of revocations, in seconds.
pub const OWN_TOKEN_S: i64 = 300;
/// How long a service waits at its start for a command that looks whether one runs, in milliseconds,
pub const LOCK_WAIT_MS: u64 = 1_000;
/// and how often it tries.
pub const LOCK_TRY_MS: u64 = 20;
/// Rows in one answer of an administrator's list.
pub const LIST_MAX: usize = 1_000;
/// How often what has expired is deleted, in seconds.
pub const PRUNE_EVERY_S: u64 = 300;
/// Rows that are deleted in one transaction: nobody else writes meanwhile, so it must be short.
pub const PRUNE_ROWS: usize = 1_000;
/// How long others may write between two such transactions, in milliseconds.
pub const PRUNE_PAUSE_MS: u64 = 5;
/// How long an expired session is still listed, in seconds.
pub const SESSION_KEPT_S: i64 = 24 * 3_600;

// A key that signs must be known to every host that fetched after it was announced and failed once.
const _: () = assert!(KEY_ANNOUNCE_S >= KEY_ANNOUNCE_MIN_S);
// A key must outlive the longest token that it signed, wherever that is still taken.
const _: () = assert!(KEY_RETIRE_S >= ACCESS_LIFETIME_MAX_S + HOST_EXPIRY_LEEWAY_S);
const _: () = assert!(ACCESS_LIFETIME_MIN_S <= ACCESS_LIFETIME_DEFAULT_S);
const _: () = assert!(ACCESS_LIFETIME_MIN_S <= OWN_TOKEN_S && OWN_TOKEN_S <= ACCESS_LIFETIME_MAX_S);
const _: () = assert!(ACCESS_LIFETIME_DEFAULT_S <= ACCESS_LIFETIME_MAX_S);
const _: () = assert!(ACCESS_LIFETIME_MAX_S <= SESSION_LIFETIME_MAX_S);
// The shortest token must be refreshable at all: a whole second before its end.
const _: () = assert!(ACCESS_LIFETIME_MIN_S * REFRESH_AFTER_PERCENT / 100 < ACCESS_LIFETIME_MIN_S);
const _: () = assert!(ACCESS_LIFETIME_MIN_S * REFRESH_AFTER_PERCENT / 100 >= 1);
const _: () = assert!(CONNECTIONS_PER_ADDRESS_MAX * 16 <= CONNECTIONS_MAX);
const _: () = assert!(CLIENT_ID_BYTES_MAX <= IDENTITY_CLAIM_BYTES_MAX);
const _: () = assert!(CREDENTIAL_BYTES_MAX < BODY_BYTES_MAX);
// A token with the longest patterns (base64 adds a third) must itself be short enough to be looked at.
const _: () = assert!(PATTERN_BYTES_MAX * 4 / 3 + 2_048 < CREDENTIAL_BYTES_MAX);
// Revocation ends grants within five seconds: a poll and one delivery must fit, with room for one retry.
const _: () = assert!(OUTBOX_POLL_MS + 2 * DELIVERY_TIMEOUT_MS + DELIVERY_BACKOFF_MIN_MS <= 5_000);
const _: () = assert!(DELIVERY_BACKOFF_MIN_MS <= DELIVERY_BACKOFF_MAX_MS);
const _: () = assert!(HASH_WAIT.as_millis() < REQUEST_TIMEOUT.as_millis());
// What is issued is what modules take.
const _: () = assert!(ACCESS_LIFETIME_MAX_S <= muster_contract::limits::TOKEN_LIFETIME_MAX_S);
const _: () = assert!(PATTERNS_MAX <= muster_contract::limits::TOKEN_PATTERNS_MAX);
