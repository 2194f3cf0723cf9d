//! Every key of the token service's configuration, once, as `commands/host/keys.rs` has the host's.
//!
//! What always holds: the flags, the variables, the file, `--print-config`, the example `docs/control.toml` and the help
//! texts all come from [`TABLE`]; the defaults are `muster-control`'s own.

use std::time::Duration;

use muster_control::limits;

use crate::settings::{Initial, Key, Kind, LOG, LOG_FORMAT, Section, Table, Tabled, key, log_filter};

/// Marks what belongs to the token service.
#[derive(Clone, Debug)]
pub(super) struct OfControl;

impl Tabled for OfControl {
    const TABLE: &'static Table = &TABLE;
}

/// What the token service can be told.
pub(super) static TABLE: Table = Table {
    what: "the token service's",
    example: "docs/control.toml",
    variable_prefix: "MUSTER_CONTROL_",
    sections: &SECTIONS,
    keys: KEYS,
};

const SECTIONS: [Section; 5] = [
    Section {
        name: "revocations",
        about: "The host that is told of revocations: without it, live sessions go on until their tokens end",
        heading: Some("Where revocations are told"),
    },
    Section { name: "keys", about: "How long signing keys live", heading: Some("Signing keys") },
    Section {
        name: "window",
        about: "Which clients the lane serves; others are answered 426",
        heading: Some("Clients served"),
    },
    Section { name: "limits", about: "How often somebody may ask", heading: Some("Limits of requests") },
    LOG,
];

/// The filter of the log, unless told otherwise.
const LOG_FILTER: &str = "warn,muster_control=info,muster=info";

/// No rate is meant to be higher.
const MANY: u64 = 1_000_000;
const SOME: Kind = Kind::Count(1, MANY);
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

const fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

/// Every key, in the order of the file.
const KEYS: &[Key] = &[
    key(
        "listen",
        "listen",
        Kind::Address,
        Initial::Text("127.0.0.1:3100"),
        "Where to listen; port 0 picks a free one. TLS is for a proxy in front",
    ),
    key(
        "state_dir",
        "state-dir",
        Kind::Path,
        Initial::Unset("/var/lib/muster-control"),
        "Keep clients, sessions and signing keys in this folder, made for its owner alone if missing",
    ),
    key(
        "issuer",
        "issuer",
        Kind::Text("URL"),
        Initial::Unset("https://control.example.com"),
        "The lane's TOKEN_ISSUER, to the letter: the origin where hosts and clients reach this service. Without it, that of a \
         loopback address that it listens on",
    ),
    key("audience", "audience", Kind::Text("TEXT"), Initial::Unset("muster-dev"), "The lane's TOKEN_AUDIENCE"),
    key(
        "database",
        "database",
        Kind::Text("NAME"),
        Initial::Unset("presence"),
        "The lane's DATABASE: what clients are told to connect to, and whose module is told of revocations",
    ),
    key(
        "trusted_proxy",
        "trusted-proxy",
        Kind::Text("ADDRESS"),
        Initial::Unset("10.0.0.1"),
        "The proxy in front: only of it is X-Forwarded-For believed",
    ),
    key(
        "first_signing_key",
        "first-signing-key",
        Kind::Path,
        Initial::Unset("/etc/muster/signing-key.pem"),
        "The first signing key (P-256, PKCS#8, PEM), read only where there is none yet; without it, one is made",
    ),
    key(
        "revocations.server",
        "revocations-server",
        Kind::Text("URL"),
        Initial::Unset("https://host.example.com"),
        "The lane's HTTP_BASE_URL; the module must have this service's own identity as its revoker (`muster control init`)",
    ),
    key(
        "revocations.token_file",
        "revocations-token-file",
        Kind::Path,
        Initial::Unset("/etc/muster/owner.token"),
        "Tell modules with this token in place of the service's own: that of the database's owner, for instance",
    ),
    key(
        "keys.announce",
        "keys-announce",
        Kind::Time(Duration::ZERO, YEAR),
        Initial::Time(seconds(limits::KEY_ANNOUNCE_S)),
        "How long a key is served before it signs; at least 420 s where the issuer is https, because hosts keep the key set",
    ),
    key(
        "keys.retire",
        "keys-retire",
        Kind::Time(Duration::ZERO, YEAR),
        Initial::Time(seconds(limits::KEY_RETIRE_S)),
        "How long a key stays after it has signed its last token; at least 3660 s",
    ),
    key(
        "keys.rotate_every",
        "keys-rotate-every",
        Kind::Time(Duration::ZERO, YEAR),
        Initial::Time(Duration::from_secs(30 * 24 * 3_600)),
        "After how long a key is followed by the next without being asked; 0 s for never",
    ),
    key(
        "window.oldest_client_build",
        "oldest-client-build",
        Kind::Text("VERSION"),
        Initial::Text(muster_contract::OLDEST_CLIENT_BUILD),
        "The oldest build that gets a token, a semantic version",
    ),
    key(
        "window.oldest_schema_version",
        "oldest-schema-version",
        Kind::Count(1, muster_contract::SCHEMA_VERSION as u64),
        Initial::Number(muster_contract::OLDEST_SCHEMA_VERSION as usize),
        "The oldest schema version that gets a token",
    ),
    key(
        "limits.address_burst",
        "address-burst",
        SOME,
        Initial::Number(limits::ADDRESS_BURST as usize),
        "Requests of one address at once",
    ),
    key(
        "limits.address_per_second",
        "address-per-second",
        SOME,
        Initial::Number(limits::ADDRESS_PER_S as usize),
        "Requests of one address a second after that",
    ),
    key(
        "limits.address_connections",
        "address-connections",
        SOME,
        Initial::Number(limits::CONNECTIONS_PER_ADDRESS_MAX),
        "Connections of one address at once; the trusted proxy's are not counted",
    ),
    key(
        "limits.client_burst",
        "client-burst",
        SOME,
        Initial::Number(limits::CLIENT_BURST as usize),
        "Requests of one client at once",
    ),
    key(
        "limits.client_per_second",
        "client-per-second",
        SOME,
        Initial::Number(limits::CLIENT_PER_S as usize),
        "Requests of one client a second after that",
    ),
    key(
        "limits.failure_burst",
        "failure-burst",
        SOME,
        Initial::Number(limits::FAILURE_BURST as usize),
        "Failed authentications of one address as one client at once",
    ),
    key(
        "limits.failures_per_minute",
        "failures-per-minute",
        SOME,
        Initial::Number(limits::FAILURES_PER_MINUTE as usize),
        "Failed authentications of one address as one client a minute after that",
    ),
    LOG_FORMAT,
    log_filter(LOG_FILTER),
];

#[cfg(test)]
mod tests {
    #[test]
    fn names_and_flags_are_unique_and_defaults_lie_within_their_bounds() {
        crate::settings::check_table(&super::TABLE);
    }
}
