//! Every key of a host's configuration, once: its name in `host.toml`, its flag, what it means, its default, its bounds.
//!
//! What always holds: the flags, the variables, the file, `--print-config`, the example `docs/host.toml` and the help
//! texts all come from [`TABLE`]; the defaults are `muster-host`'s own.

use std::time::Duration;

use muster_host::limits::HEADER_BYTES_MIN;
use muster_host::{HostLimits, WebSocketLimits};

use crate::settings::{Initial, Key, Kind, LOG, LOG_FORMAT, Section, Table, Tabled, key, log_filter};

/// Marks what belongs to a host.
#[derive(Clone, Debug)]
pub(super) struct OfHost;

impl Tabled for OfHost {
    const TABLE: &'static Table = &TABLE;
}

/// What a host can be told.
pub(super) static TABLE: Table = Table {
    what: "the host's",
    example: "docs/host.toml",
    variable_prefix: "MUSTER_HOST_",
    sections: &SECTIONS,
    keys: KEYS,
};

/// The filter of a host's log, unless told otherwise.
const LOG_FILTER: &str = "warn,muster_host=info";

const SECTIONS: [Section; 4] = [
    Section {
        name: "tls",
        about: "With both files, the host speaks TLS (https, wss) and nothing else. They are read once, at the start",
        heading: None,
    },
    Section {
        name: "limits",
        about: "What connections and requests may take",
        heading: Some("Limits of connections and requests"),
    },
    Section {
        name: "websocket",
        about: "What one WebSocket session may take",
        heading: Some("Limits of WebSocket sessions"),
    },
    LOG,
];

const LIMITS: HostLimits = HostLimits::DEFAULT;
const SESSION: WebSocketLimits = WebSocketLimits::DEFAULT;

const GIB: u64 = 1 << 30;
/// No count is meant to be larger.
const MANY: u64 = 1 << 24;
const MOMENT: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 3600);

const SOME: Kind = Kind::Count(1, MANY);
const SIZE: Kind = Kind::Bytes(1, 4 * GIB - 1);
const WAIT: Kind = Kind::Time(MOMENT, DAY);

/// Every key, in the order of the file.
const KEYS: &[Key] = &[
    key(
        "listen",
        "listen",
        Kind::Address,
        Initial::Text("127.0.0.1:3000"),
        "Where to listen; port 0 picks a free one. Anybody who reaches the host may publish: stay on loopback",
    ),
    key(
        "data_dir",
        "data-dir",
        Kind::Path,
        Initial::Unset("/var/lib/muster"),
        "Keep the data in this folder, made if missing, used by one host at a time",
    ),
    key("in_memory", "in-memory", Kind::Switch, Initial::Empty, "Keep no data"),
    key(
        "signing_key",
        "signing-key",
        Kind::Path,
        Initial::Unset("/etc/muster/id_ecdsa"),
        "Sign tokens with this P-256 key (PKCS#8, PEM), made if missing, in place of keys/id_ecdsa in the data folder",
    ),
    key(
        "trusted_issuers",
        "trust-issuer",
        Kind::Urls,
        Initial::Empty,
        "Also take tokens of these issuers, as their `iss` claim has it to the letter; their keys are then fetched from them",
    ),
    key(
        "tls.certificates",
        "tls-certificates",
        Kind::Path,
        Initial::Unset("/etc/muster/certificates.pem"),
        "The host's certificate and those between it and its authority, in this order (PEM)",
    ),
    key(
        "tls.key",
        "tls-key",
        Kind::Path,
        Initial::Unset("/etc/muster/key.pem"),
        "The private key of the host's certificate (PEM)",
    ),
    key(
        "limits.connections",
        "connections",
        SOME,
        Initial::Number(LIMITS.connections),
        "TCP connections at once, WebSockets included; one more is answered 503",
    ),
    key(
        "limits.header_bytes",
        "header-bytes",
        Kind::Bytes(HEADER_BYTES_MIN as u64, GIB / 64),
        Initial::Number(LIMITS.header_bytes),
        "The largest head of a request; a larger one is answered 431",
    ),
    key(
        "limits.header_timeout",
        "header-timeout",
        WAIT,
        Initial::Time(LIMITS.header_timeout),
        "How long a request's head may take to arrive, or the next one to begin, and a TLS handshake to end",
    ),
    key(
        "limits.body_timeout",
        "body-timeout",
        WAIT,
        Initial::Time(LIMITS.body_timeout),
        "How long a request's body may take to arrive; then 408",
    ),
    key(
        "limits.write_timeout",
        "write-timeout",
        WAIT,
        Initial::Time(LIMITS.write_timeout),
        "How long an answer may wait for its client to take more of it; then the connection is cut off",
    ),
    key(
        "limits.program_bytes",
        "program-bytes",
        SIZE,
        Initial::Number(LIMITS.program_bytes),
        "The largest module that is published; a larger one is answered 413",
    ),
    key(
        "limits.call_bytes",
        "call-bytes",
        SIZE,
        Initial::Number(LIMITS.call_bytes),
        "The largest body of a call, or of a request to a module's own route",
    ),
    key("limits.sql_bytes", "sql-bytes", SIZE, Initial::Number(LIMITS.sql_bytes), "The largest body of an SQL request"),
    key(
        "limits.call_time",
        "call-time",
        WAIT,
        Initial::Time(LIMITS.call_time),
        "How much of the processor a call of a module may use, counted in instructions; then it is rolled back",
    ),
    key(
        "limits.drain_deadline",
        "drain-deadline",
        Kind::Time(Duration::ZERO, DAY),
        Initial::Time(LIMITS.drain_deadline),
        "How long a stop waits for requests and sessions to end before it cuts them off",
    ),
    key(
        "websocket.ping_interval",
        "ping-interval",
        WAIT,
        Initial::Time(SESSION.ping_interval),
        "How often the host pings; must be shorter than idle_timeout",
    ),
    key(
        "websocket.idle_timeout",
        "idle-timeout",
        WAIT,
        Initial::Time(SESSION.idle_timeout),
        "A session from which nothing arrives for this long is ended",
    ),
    key(
        "websocket.close_handshake_timeout",
        "close-handshake-timeout",
        WAIT,
        Initial::Time(SESSION.close_handshake_timeout),
        "How long the host waits for the client's own Close frame",
    ),
    key(
        "websocket.write_stall_timeout",
        "write-stall-timeout",
        WAIT,
        Initial::Time(SESSION.write_stall_timeout),
        "How long one frame may wait for the client to read",
    ),
    key(
        "websocket.incoming_queue_messages",
        "incoming-queue-messages",
        SOME,
        Initial::Number(SESSION.incoming_queue_messages),
        "How many of a client's messages may wait for the engine; one more ends the session",
    ),
    key(
        "websocket.incoming_queue_bytes",
        "incoming-queue-bytes",
        SIZE,
        Initial::Number(SESSION.incoming_queue_bytes),
        "How much of a client's messages may wait for the engine; at least incoming_message_bytes",
    ),
    key(
        "websocket.incoming_message_bytes",
        "incoming-message-bytes",
        SIZE,
        Initial::Number(SESSION.incoming_message_bytes),
        "The largest message of a client; a larger one ends the session",
    ),
    key(
        "websocket.outgoing_payload_bytes",
        "outgoing-payload-bytes",
        SIZE,
        Initial::Number(SESSION.outgoing_payload_bytes),
        "Messages that are ready together share a WebSocket message up to this size (protocol v3)",
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
