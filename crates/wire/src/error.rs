//! What can go wrong on a connection, in types: connecting, calling, and the end of a connection.
//!
//! What always holds: every message is one line that names the cause and what to do about it; no message repeats a
//! token; what a host says is quoted as one line of at most [`QUOTE_BYTES_MAX`] bytes. Each error answers whether
//! trying again may help ([`ConnectError::is_retryable`] and so on), and a call's error whether it may have happened
//! ([`CallError::may_have_happened`]).

use std::time::Duration;

use muster_contract::{ContractError, Refusal};

use crate::http::HttpError;
use crate::limits::QUOTE_BYTES_MAX;
use crate::rows::RowError;

/// A host that cannot be reached, over HTTP or WebSocket alike.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// The name does not resolve.
    #[error("the host name in `{authority}` cannot be resolved ({reason}); check the spelling and the name service")]
    Dns {
        /// Host and port.
        authority: String,
        /// What the resolver says.
        reason: String,
    },
    /// Nobody listens there.
    #[error("nothing listens at {authority} (connection refused); start the host there, or check the address")]
    Refused {
        /// Host and port.
        authority: String,
    },
    /// The network says no in another way.
    #[error("{authority} cannot be reached ({reason}); check the address and the network between")]
    Unreachable {
        /// Host and port.
        authority: String,
        /// What the operating system says.
        reason: String,
    },
    /// This process, or this machine, may have no more files open, and a connection is one.
    #[error(
        "no connection to {authority}: no more files may be open here ({reason}); raise the limit (`ulimit -n`), or open \
         fewer connections"
    )]
    FileLimit {
        /// Host and port.
        authority: String,
        /// What the operating system says.
        reason: String,
    },
    /// No secure connection.
    #[error(
        "no TLS connection to {authority} ({reason}); check that the host speaks TLS at this port and that its \
         certificate is for this name and from an authority that this machine trusts"
    )]
    Tls {
        /// Host and port.
        authority: String,
        /// What the TLS library says.
        reason: String,
    },
    /// It took too long.
    #[error("{authority} did not answer within {} s; check the address, or whether the host is overloaded", .limit.as_secs_f32())]
    Timeout {
        /// Host and port.
        authority: String,
        /// How long was waited.
        limit: Duration,
    },
    /// The connection broke in the middle.
    #[error("the connection to {authority} broke ({reason}); try again")]
    Broken {
        /// Host and port.
        authority: String,
        /// What the operating system or the HTTP library says.
        reason: String,
    },
}

impl NetworkError {
    /// Whether trying again later may help without anybody changing the request. TLS errors are for a person.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, NetworkError::Tls { .. })
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ConnectError {
    /// The host cannot be reached.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// 404 for the database.
    #[error("the host at {authority} has no database `{database}`{}; check the name, or publish the database first", in_words(.said))]
    NoSuchDatabase {
        /// Host and port.
        authority: String,
        /// As asked for.
        database: String,
        /// The host's words, perhaps empty.
        said: String,
    },
    /// 404 for the path, whatever the database.
    #[error("the host at {authority} takes no WebSockets at `{path}`{}; check the lane's WebSocket path and the path of the URL", in_words(.said))]
    NoSuchPath {
        /// Host and port.
        authority: String,
        /// As asked for.
        path: String,
        /// The host's words.
        said: String,
    },
    /// 401: the host does not take the token.
    #[error(
        "the host at {authority} does not accept the token{}; it may be expired, damaged, or from an issuer that this \
         host does not trust: get a new one, or connect without a token",
        in_words(.said)
    )]
    Unauthorized {
        /// Host and port.
        authority: String,
        /// The host's words, perhaps empty.
        said: String,
    },
    /// 403: the token is good, and not good enough.
    #[error("the host at {authority} does not let this identity connect to `{database}`{}; use a token with the rights", in_words(.said))]
    Forbidden {
        /// Host and port.
        authority: String,
        /// As asked for.
        database: String,
        /// The host's words, perhaps empty.
        said: String,
    },
    /// The host speaks neither `v3.bsatn.spacetimedb` nor `v2.bsatn.spacetimedb`.
    #[error("the host at {authority} speaks none of {offered}{}; it must be SpacetimeDB 2.0 or newer", in_words(.said))]
    NoCommonProtocol {
        /// Host and port.
        authority: String,
        /// The subprotocols offered.
        offered: String,
        /// The host's words, perhaps empty.
        said: String,
    },
    /// Another answer than a switch of protocols.
    #[error("the host at {authority} answered the WebSocket request with status {status}{}; is this a SpacetimeDB host, and the path right?", in_words(.said))]
    UnexpectedStatus {
        /// Host and port.
        authority: String,
        /// The HTTP status.
        status: u16,
        /// The host's words, perhaps empty.
        said: String,
    },
    /// The module's `client_connected` refused, or the host closed the connection before it greeted the client.
    #[error("the database `{database}` refused this connection{}", by_the_module(.said))]
    Rejected {
        /// As asked for.
        database: String,
        /// The module's words, where the host passes them on.
        said: String,
    },
    /// The host greets in a way that is not the protocol's.
    #[error("the host at {authority} does not keep to the protocol: {detail}; it must be SpacetimeDB 2.0 or newer")]
    Protocol {
        /// Host and port.
        authority: String,
        /// What it did.
        detail: String,
    },
    /// Module and client do not fit. See [`muster_contract::Code`].
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// The contract could not be checked, because the schema could not be had.
    #[error("the schema of the database cannot be read: {0}")]
    Schema(#[source] Box<HttpError>),
    /// The contract could not be checked, because its row could not be had.
    #[error("the contract of the database cannot be read: {0}")]
    ContractRow(String),
    /// This process cannot make the request.
    #[error("the request cannot be made: {0}")]
    Local(String),
}

impl ConnectError {
    /// Whether trying again later may help without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self {
            ConnectError::Network(error) => error.is_retryable(),
            ConnectError::UnexpectedStatus { status, .. } => is_retryable_status(*status),
            ConnectError::Contract(error) => error.code.is_retryable(),
            ConnectError::Schema(error) => error.is_retryable(),
            // The connection may have been cut in between; a wrong row fails the shape check before this one.
            ConnectError::ContractRow(_) => true,
            ConnectError::NoSuchDatabase { .. }
            | ConnectError::NoSuchPath { .. }
            | ConnectError::Unauthorized { .. }
            | ConnectError::Forbidden { .. }
            | ConnectError::NoCommonProtocol { .. }
            | ConnectError::Rejected { .. }
            | ConnectError::Protocol { .. }
            | ConnectError::Local(_) => false,
        }
    }
}

/// Why a call, query or subscription has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No answer in time.
    #[error("no answer within {} s{}; {}", .limit.as_secs_f32(), if *.sent { "" } else { ", the request was still waiting to be sent" }, maybe(*.sent))]
    Timeout {
        /// How long was waited.
        limit: Duration,
        /// Whether the request had been handed to the socket.
        sent: bool,
    },
    /// The connection ended first.
    #[error("the connection ended before the answer ({reason}); {}", maybe(*.sent))]
    Closed {
        /// Why it ended.
        reason: ClosedReason,
        /// Whether the request had been handed to the socket.
        sent: bool,
    },
    /// The host refuses: the query does not parse, or names what this identity cannot see.
    #[error("the host refused: {0}")]
    Refused(String),
    /// The request is larger than a host accepts. It was not sent.
    #[error("the request is {bytes} bytes, and a host accepts at most {bytes_max}; send less at a time")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The rows of the answer are damaged.
    #[error(transparent)]
    Rows(#[from] RowError),
}

impl CallError {
    /// Whether the same request may succeed later. For a reducer, first consider [`CallError::may_have_happened`].
    pub fn is_retryable(&self) -> bool {
        match self {
            CallError::Timeout { .. } => true,
            CallError::Closed { reason, .. } => reason.is_retryable(),
            CallError::Refused(_) | CallError::TooLarge { .. } | CallError::Rows(_) => false,
        }
    }

    /// Whether the host may have carried the request out although there is no answer.
    pub const fn may_have_happened(&self) -> bool {
        match self {
            CallError::Timeout { sent, .. } | CallError::Closed { sent, .. } => *sent,
            CallError::Rows(_) => true,
            CallError::Refused(_) | CallError::TooLarge { .. } => false,
        }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClosedReason {
    /// This side closed it.
    #[error("closed by this client")]
    ByClient,
    /// The host closed it.
    #[error("closed by the host with code {code}{}", in_words(.said))]
    ByHost {
        /// The WebSocket close code (RFC 6455, section 7.4); 1005 if there was none.
        code: u16,
        /// The host's words, perhaps empty.
        said: String,
    },
    /// The network broke, or the host vanished.
    #[error("lost: {reason}")]
    Lost {
        /// What the operating system says.
        reason: String,
    },
    /// Nothing came for too long, not even answers to pings.
    #[error("silent for {} s", .limit.as_secs_f32())]
    Idle {
        /// The limit.
        limit: Duration,
    },
    /// The application took too long to take its updates.
    #[error("slow_consumer: updates waited {} s for the application; take them faster, or subscribe to less", .limit.as_secs_f32())]
    SlowConsumer {
        /// The limit.
        limit: Duration,
    },
    /// The host does not keep to the protocol, or sends what is too large.
    #[error("the host broke the protocol: {detail}")]
    Protocol {
        /// What it did.
        detail: String,
    },
}

impl ClosedReason {
    /// Whether connecting again may help.
    pub const fn is_retryable(&self) -> bool {
        match self {
            ClosedReason::ByHost { .. }
            | ClosedReason::Lost { .. }
            | ClosedReason::Idle { .. }
            | ClosedReason::SlowConsumer { .. } => true,
            ClosedReason::ByClient | ClosedReason::Protocol { .. } => false,
        }
    }
}

/// Statuses that a host or a proxy before it gives while it starts, drains, is overloaded or has a full disk (507, which RFC
/// 4918 section 11.5 calls temporary): somebody mends it there, and nobody tells the client when.
pub(crate) const fn is_retryable_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504 | 507)
}

/// Whether a host that answers 404 says that it is about the path and not about what the path names.
pub(crate) fn is_no_route(said: &str) -> bool {
    said.starts_with("no such route")
}

/// What a host said, as one short line.
pub(crate) fn quote(text: &str) -> String {
    let mut line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.len() > QUOTE_BYTES_MAX {
        let end = (0..=QUOTE_BYTES_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// The host's words as the end of a clause.
fn in_words(words: &str) -> String {
    if words.is_empty() { String::new() } else { format!(" (it says: {words})") }
}

/// The same of what a module's `client_connected` says, which is a refusal of the contract where the module is ours.
fn by_the_module(words: &str) -> String {
    match Refusal::from_wire(words) {
        Some(Refusal { code, message, .. }) => format!(": {message} ({code}); {}", code.remedy()),
        None => format!("{}; the module's `client_connected` decides that, see the database's logs", in_words(words)),
    }
}

const fn maybe(sent: bool) -> &'static str {
    if sent { "the host may have carried it out" } else { "the host has not seen it" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hosts_words_are_one_short_line() {
        assert_eq!(quote("no such\n\n  table:\t`x`\n"), "no such table: `x`");
        let long = quote(&"ä".repeat(1_000));
        assert!(long.len() <= QUOTE_BYTES_MAX + '…'.len_utf8() && long.ends_with('…'));
    }

    #[test]
    fn errors_read_as_one_line_with_cause_and_remedy() {
        let authority = || "localhost:3000".to_string();
        let errors = [
            ConnectError::from(NetworkError::Refused { authority: authority() }).to_string(),
            ConnectError::NoSuchDatabase { authority: authority(), database: "presense".into(), said: String::new() }
                .to_string(),
            ConnectError::Unauthorized { authority: authority(), said: "Invalid token: ExpiredSignature".into() }
                .to_string(),
            ConnectError::Rejected { database: "presence".into(), said: "no scope presence.read".into() }.to_string(),
            ConnectError::Rejected {
                database: "presence".into(),
                said: r#"{"code":"unauthorized","message":"the token is of another issuer than this lane's"}"#.into(),
            }
            .to_string(),
            CallError::Timeout { limit: Duration::from_secs(30), sent: false }.to_string(),
            CallError::Closed { reason: ClosedReason::Lost { reason: "connection reset".into() }, sent: true }
                .to_string(),
        ];
        assert_eq!(
            errors,
            [
                "nothing listens at localhost:3000 (connection refused); start the host there, or check the address",
                "the host at localhost:3000 has no database `presense`; check the name, or publish the database first",
                "the host at localhost:3000 does not accept the token (it says: Invalid token: ExpiredSignature); it may \
                 be expired, damaged, or from an issuer that this host does not trust: get a new one, or connect without \
                 a token",
                "the database `presence` refused this connection (it says: no scope presence.read); the module's \
                 `client_connected` decides that, see the database's logs",
                "the database `presence` refused this connection: the token is of another issuer than this lane's \
                 (unauthorized); come with a token of this lane's token service, with the scope that this needs (or the \
                 owner's own, where only the owner may)",
                "no answer within 30 s, the request was still waiting to be sent; the host has not seen it",
                "the connection ended before the answer (lost: connection reset); the host may have carried it out",
            ]
        );
    }

    #[test]
    fn what_a_person_must_change_is_not_retried() {
        let authority = || "h:1".to_string();
        assert!(ConnectError::from(NetworkError::Refused { authority: authority() }).is_retryable());
        assert!(
            ConnectError::UnexpectedStatus { authority: authority(), status: 503, said: String::new() }.is_retryable()
        );
        assert!(
            !ConnectError::UnexpectedStatus { authority: authority(), status: 200, said: String::new() }.is_retryable()
        );
        assert!(!ConnectError::Unauthorized { authority: authority(), said: String::new() }.is_retryable());
        assert!(!ClosedReason::ByClient.is_retryable());
        assert!(ClosedReason::Idle { limit: Duration::from_secs(30) }.is_retryable());
    }
}
