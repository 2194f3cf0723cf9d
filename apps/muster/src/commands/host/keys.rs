//! Every key of a host's configuration, once: its name in `host.toml`, its flag, what it means, its default, its bounds.
//!
//! What always holds: the flags, the variables, the file, `--print-config`, the example `docs/host.toml` and the help
//! texts all come from [`KEYS`]; the defaults are `muster-host`'s own.

use std::time::Duration;

use muster_host::limits::HEADER_BYTES_MIN;
use muster_host::{HostLimits, WebSocketLimits};

use super::value::{Kind, Value};

/// One key.
#[derive(Debug)]
pub(super) struct Key {
    /// As it stands in `host.toml`, with its section.
    pub(super) name: &'static str,
    /// The flag, without its dashes.
    pub(super) flag: &'static str,
    /// What it means, in one sentence without a full stop.
    pub(super) about: &'static str,
    /// What it takes.
    pub(super) kind: Kind,
    /// What it is unless told otherwise.
    pub(super) initial: Initial,
}

/// What a key is unless told otherwise.
#[derive(Clone, Copy, Debug)]
pub(super) enum Initial {
    /// Nothing; a value could look like this.
    Unset(&'static str),
    /// False, or no entries.
    Empty,
    Text(&'static str),
    Number(usize),
    Time(Duration),
}

/// The variables that set keys begin like this.
pub(super) const VARIABLE_PREFIX: &str = "MUSTER_HOST_";

/// The variable that names the configuration file.
pub(super) const CONFIG_VARIABLE: &str = "MUSTER_HOST_CONFIG";

/// The variable that the filter of every command's log has.
pub(super) const LOG_VARIABLE: &str = "MUSTER_LOG";

/// The filter of a host's log, unless told otherwise.
pub(super) const LOG_FILTER: &str = "warn,muster_host=info";

impl Key {
    /// The section it stands in; none is the top.
    pub(super) fn section(&self) -> Option<&'static str> {
        self.name.split_once('.').map(|(section, _)| section)
    }

    /// The name within its section.
    pub(super) fn name_in_section(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, name)| name)
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        if self.name == "log.filter" {
            return LOG_VARIABLE.into();
        }
        format!("{VARIABLE_PREFIX}{}", self.flag.to_ascii_uppercase().replace('-', "_"))
    }

    /// A value that it could have, where it has no default.
    pub(super) fn example(&self) -> &'static str {
        match self.initial {
            Initial::Unset(example) => example,
            _ => "",
        }
    }

    /// What it is unless told otherwise.
    pub(super) fn default(&self) -> Option<Value> {
        match (self.initial, self.kind) {
            (Initial::Unset(_), _) => None,
            (Initial::Empty, Kind::Urls) => Some(Value::List(Vec::new())),
            (Initial::Empty, _) => Some(Value::Switch(false)),
            (Initial::Text(text), _) => Some(Value::Text(text.into())),
            (Initial::Number(n), Kind::Bytes(..)) => Some(Value::Bytes(n as u64)),
            (Initial::Number(n), _) => Some(Value::Count(n as u64)),
            (Initial::Time(time), _) => Some(Value::Time(time)),
        }
    }
}

/// What stands above a section in the file.
pub(super) const SECTIONS: [(&str, &str); 4] = [
    ("tls", "With both files, the host speaks TLS (https, wss) and nothing else. They are read once, at the start"),
    ("limits", "What connections and requests may take"),
    ("websocket", "What one WebSocket session may take"),
    ("log", "The log, on stderr"),
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

macro_rules! key {
    ($name:literal, $flag:literal, $kind:expr, $initial:expr, $about:literal) => {
        Key { name: $name, flag: $flag, about: $about, kind: $kind, initial: $initial }
    };
}

/// Every key, in the order of the file.
pub(super) const KEYS: &[Key] = &[
    key!(
        "listen",
        "listen",
        Kind::Address,
        Initial::Text("127.0.0.1:3000"),
        "Where to listen; port 0 picks a free one. Anybody who reaches the host may publish: stay on loopback"
    ),
    key!(
        "data_dir",
        "data-dir",
        Kind::Path,
        Initial::Unset("/var/lib/muster"),
        "Keep the data in this folder, made if missing, used by one host at a time"
    ),
    key!("in_memory", "in-memory", Kind::Switch, Initial::Empty, "Keep no data"),
    key!(
        "signing_key",
        "signing-key",
        Kind::Path,
        Initial::Unset("/etc/muster/id_ecdsa"),
        "Sign tokens with this P-256 key (PKCS#8, PEM), made if missing, in place of keys/id_ecdsa in the data folder"
    ),
    key!(
        "trusted_issuers",
        "trust-issuer",
        Kind::Urls,
        Initial::Empty,
        "Also take tokens of these issuers, as their `iss` claim has it to the letter; their keys are then fetched from them"
    ),
    key!(
        "tls.certificates",
        "tls-certificates",
        Kind::Path,
        Initial::Unset("/etc/muster/certificates.pem"),
        "The host's certificate and those between it and its authority, in this order (PEM)"
    ),
    key!(
        "tls.key",
        "tls-key",
        Kind::Path,
        Initial::Unset("/etc/muster/key.pem"),
        "The private key of the host's certificate (PEM)"
    ),
    key!(
        "limits.connections",
        "connections",
        SOME,
        Initial::Number(LIMITS.connections),
        "TCP connections at once, WebSockets included; one more is answered 503"
    ),
    key!(
        "limits.header_bytes",
        "header-bytes",
        Kind::Bytes(HEADER_BYTES_MIN as u64, GIB / 64),
        Initial::Number(LIMITS.header_bytes),
        "The largest head of a request; a larger one is answered 431"
    ),
    key!(
        "limits.header_timeout",
        "header-timeout",
        WAIT,
        Initial::Time(LIMITS.header_timeout),
        "How long a request's head may take to arrive, or the next one to begin, and a TLS handshake to end"
    ),
    key!(
        "limits.body_timeout",
        "body-timeout",
        WAIT,
        Initial::Time(LIMITS.body_timeout),
        "How long a request's body may take to arrive; then 408"
    ),
    key!(
        "limits.program_bytes",
        "program-bytes",
        SIZE,
        Initial::Number(LIMITS.program_bytes),
        "The largest module that is published; a larger one is answered 413"
    ),
    key!(
        "limits.call_bytes",
        "call-bytes",
        SIZE,
        Initial::Number(LIMITS.call_bytes),
        "The largest body of a call, or of a request to a module's own route"
    ),
    key!(
        "limits.sql_bytes",
        "sql-bytes",
        SIZE,
        Initial::Number(LIMITS.sql_bytes),
        "The largest body of an SQL request"
    ),
    key!(
        "limits.call_time",
        "call-time",
        WAIT,
        Initial::Time(LIMITS.call_time),
        "How much of the processor a call of a module may use, counted in instructions; then it is rolled back"
    ),
    key!(
        "limits.drain_deadline",
        "drain-deadline",
        Kind::Time(Duration::ZERO, DAY),
        Initial::Time(LIMITS.drain_deadline),
        "How long a stop waits for requests and sessions to end before it cuts them off"
    ),
    key!(
        "websocket.ping_interval",
        "ping-interval",
        WAIT,
        Initial::Time(SESSION.ping_interval),
        "How often the host pings; must be shorter than idle_timeout"
    ),
    key!(
        "websocket.idle_timeout",
        "idle-timeout",
        WAIT,
        Initial::Time(SESSION.idle_timeout),
        "A session from which nothing arrives for this long is ended"
    ),
    key!(
        "websocket.close_handshake_timeout",
        "close-handshake-timeout",
        WAIT,
        Initial::Time(SESSION.close_handshake_timeout),
        "How long the host waits for the client's own Close frame"
    ),
    key!(
        "websocket.write_stall_timeout",
        "write-stall-timeout",
        WAIT,
        Initial::Time(SESSION.write_stall_timeout),
        "How long one frame may wait for the client to read"
    ),
    key!(
        "websocket.incoming_queue_messages",
        "incoming-queue-messages",
        SOME,
        Initial::Number(SESSION.incoming_queue_messages),
        "How many of a client's messages may wait for the engine; one more ends the session"
    ),
    key!(
        "websocket.incoming_queue_bytes",
        "incoming-queue-bytes",
        SIZE,
        Initial::Number(SESSION.incoming_queue_bytes),
        "How much of a client's messages may wait for the engine; at least incoming_message_bytes"
    ),
    key!(
        "websocket.incoming_message_bytes",
        "incoming-message-bytes",
        SIZE,
        Initial::Number(SESSION.incoming_message_bytes),
        "The largest message of a client; a larger one ends the session"
    ),
    key!(
        "websocket.outgoing_payload_bytes",
        "outgoing-payload-bytes",
        SIZE,
        Initial::Number(SESSION.outgoing_payload_bytes),
        "Messages that are ready together share a WebSocket message up to this size (protocol v3)"
    ),
    key!(
        "log.format",
        "log-format",
        Kind::Choice(&["text", "json"]),
        Initial::Text("text"),
        "Lines for people (text), or one JSON object a line (json)"
    ),
    key!(
        "log.filter",
        "log-filter",
        Kind::Filter,
        Initial::Text(LOG_FILTER),
        "What is logged, as tracing's EnvFilter has it; MUSTER_LOG, -v and -q come before the file's"
    ),
];

/// The key of this name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.name == name)
}

/// What belongs to the name that a misspelt one most resembles (Damerau-Levenshtein distance).
///
/// # Panics
/// If there are no names.
pub(super) fn nearest<T>(misspelt: &str, names: impl Iterator<Item = (String, T)>) -> T {
    let nearest = names.min_by_key(|(name, _)| strsim::damerau_levenshtein(name, misspelt));
    nearest.expect("there are keys, sections and variables").1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_flags_are_unique_and_defaults_lie_within_their_bounds() {
        for (index, key) in KEYS.iter().enumerate() {
            let others = &KEYS[index + 1..];
            assert!(others.iter().all(|other| other.name != key.name && other.flag != key.flag), "{}", key.name);
            assert!(!key.about.ends_with('.'), "{}", key.name);
            if let Some(value) = key.default().filter(|_| !matches!(key.kind, Kind::Urls)) {
                assert_eq!(key.kind.read_text(&value.to_string()), Ok(value), "{}", key.name);
            }
            assert!(key.section().is_none_or(|section| SECTIONS.iter().any(|(name, _)| *name == section)));
        }
    }
}
