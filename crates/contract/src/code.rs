//! The stable codes by which a refusal is known, on the wire, in logs and in exit messages.
//!
//! What always holds: a code never changes its meaning, and each says whether to try again, whether anything happened,
//! and what to do next.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A stable error code of protocol [`crate::PROTOCOL_ID`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The module speaks another protocol than the client.
    UnsupportedProtocolVersion,
    /// The client's schema version is newer than any the module serves.
    UnsupportedSchemaVersion,
    /// The client's schema version is older than any the module serves.
    UpgradeRequired,
    /// The client's build is below the oldest that the module serves.
    UnsupportedClientBuild,
    /// A table or column is not what the client would decode.
    SchemaMismatch,
    /// No token, or one that is expired, or not from this lane's issuer, or for another audience, or without the scope.
    Unauthorized,
    /// The token is good, and grants nothing on this stream.
    ForbiddenStream,
    /// What was asked to be followed is no stream and no pattern, or more than one session may follow.
    BadSubscription,
    /// A text is no stream id.
    BadStreamId,
    /// The reader cannot go on from its cursor ([`crate::resume::StaleReason`]).
    StaleCursor,
    /// The caller means another life of the stream than the present one, or the stream is gone.
    EpochChanged,
    /// The stream goes on at another `seq` than the producer expects.
    SequenceConflict,
    /// A number of the producer before these was never accepted ([`crate::producer::Admit::Hole`]).
    ProducerHole,
    /// The payload's bytes do not have the hash that came with them.
    PayloadHashMismatch,
    /// The payload has more than [`crate::limits::PAYLOAD_BYTES_MAX`] bytes.
    PayloadTooLarge,
    /// The payload is no JSON that has a canonical form ([`crate::canonical::PayloadError`]).
    InvalidPayload,
    /// An event's kind is empty, too long, or has control characters in it.
    InvalidKind,
    /// A batch without events, or whose numbers do not count from 1.
    InvalidBatch,
    /// A batch beyond [`crate::limits::BATCH_EVENTS_MAX`] or [`crate::limits::BATCH_BYTES_MAX`].
    BatchTooLarge,
    /// An argument outside of its range.
    InvalidRequest,
    /// The session did not take what it follows as fast as it came, and was cut off.
    SlowConsumer,
    /// Too many requests in too short a time.
    RateLimited,
    /// The host ended what the session follows.
    StreamClosed,
    /// A bug, or a failure below: whether anything happened is not known.
    Internal,
}

impl Code {
    /// Every code, for tests and tables.
    pub const ALL: [Code; 24] = [
        Code::UnsupportedProtocolVersion,
        Code::UnsupportedSchemaVersion,
        Code::UpgradeRequired,
        Code::UnsupportedClientBuild,
        Code::SchemaMismatch,
        Code::Unauthorized,
        Code::ForbiddenStream,
        Code::BadSubscription,
        Code::BadStreamId,
        Code::StaleCursor,
        Code::EpochChanged,
        Code::SequenceConflict,
        Code::ProducerHole,
        Code::PayloadHashMismatch,
        Code::PayloadTooLarge,
        Code::InvalidPayload,
        Code::InvalidKind,
        Code::InvalidBatch,
        Code::BatchTooLarge,
        Code::InvalidRequest,
        Code::SlowConsumer,
        Code::RateLimited,
        Code::StreamClosed,
        Code::Internal,
    ];

    /// The code as it is written: lower-case words joined by underscores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::UnsupportedProtocolVersion => "unsupported_protocol_version",
            Code::UnsupportedSchemaVersion => "unsupported_schema_version",
            Code::UpgradeRequired => "upgrade_required",
            Code::UnsupportedClientBuild => "unsupported_client_build",
            Code::SchemaMismatch => "schema_mismatch",
            Code::Unauthorized => "unauthorized",
            Code::ForbiddenStream => "forbidden_stream",
            Code::BadSubscription => "bad_subscription",
            Code::BadStreamId => "bad_stream_id",
            Code::StaleCursor => "stale_cursor",
            Code::EpochChanged => "epoch_changed",
            Code::SequenceConflict => "sequence_conflict",
            Code::ProducerHole => "producer_hole",
            Code::PayloadHashMismatch => "payload_hash_mismatch",
            Code::PayloadTooLarge => "payload_too_large",
            Code::InvalidPayload => "invalid_payload",
            Code::InvalidKind => "invalid_kind",
            Code::InvalidBatch => "invalid_batch",
            Code::BatchTooLarge => "batch_too_large",
            Code::InvalidRequest => "invalid_request",
            Code::SlowConsumer => "slow_consumer",
            Code::RateLimited => "rate_limited",
            Code::StreamClosed => "stream_closed",
            Code::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without anybody changing anything. A client that meets a code where
    /// this is false stops, and shows it: none of the handshake codes may, and neither may what is wrong with an event.
    pub const fn is_retryable(self) -> bool {
        match self {
            Code::SlowConsumer | Code::RateLimited | Code::StreamClosed | Code::Internal => true,
            Code::UnsupportedProtocolVersion
            | Code::UnsupportedSchemaVersion
            | Code::UpgradeRequired
            | Code::UnsupportedClientBuild
            | Code::SchemaMismatch
            | Code::Unauthorized
            | Code::ForbiddenStream
            | Code::BadSubscription
            | Code::BadStreamId
            | Code::StaleCursor
            | Code::EpochChanged
            | Code::SequenceConflict
            | Code::ProducerHole
            | Code::PayloadHashMismatch
            | Code::PayloadTooLarge
            | Code::InvalidPayload
            | Code::InvalidKind
            | Code::InvalidBatch
            | Code::BatchTooLarge
            | Code::InvalidRequest => false,
        }
    }

    /// Whether it is certain that the refused request changed nothing. Where it is not, a writer repeats with the same
    /// numbers, and the host's counting tells what was stored.
    pub const fn had_no_effect(self) -> bool {
        match self {
            // The connection is cut with requests under way, or nobody knows how far things got.
            Code::SlowConsumer | Code::StreamClosed | Code::Internal => false,
            Code::UnsupportedProtocolVersion
            | Code::UnsupportedSchemaVersion
            | Code::UpgradeRequired
            | Code::UnsupportedClientBuild
            | Code::SchemaMismatch
            | Code::Unauthorized
            | Code::ForbiddenStream
            | Code::BadSubscription
            | Code::BadStreamId
            | Code::StaleCursor
            | Code::EpochChanged
            | Code::SequenceConflict
            | Code::ProducerHole
            | Code::PayloadHashMismatch
            | Code::PayloadTooLarge
            | Code::InvalidPayload
            | Code::InvalidKind
            | Code::InvalidBatch
            | Code::BatchTooLarge
            | Code::InvalidRequest
            | Code::RateLimited => true,
        }
    }

    /// What the person who meets this code should do next, as one sentence without a full stop.
    pub const fn remedy(self) -> &'static str {
        match self {
            Code::UnsupportedProtocolVersion => {
                "check that the server and database are the ones you mean, and that the module there is Muster's"
            }
            Code::UnsupportedSchemaVersion => {
                "publish the module of this build to the database, or use an older client"
            }
            Code::UpgradeRequired | Code::UnsupportedClientBuild => "install a newer client",
            Code::SchemaMismatch => "publish the module of this build to the database, or use the client built with it",
            Code::Unauthorized => {
                "come with a token of this lane's token service, with the scope that this needs (or the owner's own, where \
                 only the owner may)"
            }
            Code::ForbiddenStream => "ask for a token whose streams include this one",
            Code::BadSubscription => {
                "name streams by their id, by a prefix ending in `.*`, or `*`, and fewer at a time"
            }
            Code::BadStreamId => "write the stream id as dotted segments, other characters than A-Z a-z 0-9 _ - as %XX",
            Code::StaleCursor => "clear the projection and start again where the answer says",
            Code::EpochChanged => "ask for the stream's present epoch and go on in it",
            Code::SequenceConflict => {
                "find out who else writes to the stream, then publish the parked events again or drop them"
            }
            Code::ProducerHole => {
                "check whether the host was restored from an older copy or the outbox replaced, then publish the parked \
                 events from a new outbox"
            }
            Code::PayloadHashMismatch => "publish the event again from its source; what was sent is damaged",
            Code::PayloadTooLarge => "publish a smaller payload, such as a reference to where the data is",
            Code::InvalidPayload => {
                "send JSON with each key once, numbers that a double holds, and no broken characters"
            }
            Code::InvalidKind => "give the event a short kind without control characters",
            Code::InvalidBatch => "send at least one event, numbered from 1 without holes",
            Code::BatchTooLarge => "send fewer events at a time",
            Code::InvalidRequest => "correct the argument that the message names",
            Code::SlowConsumer => {
                "reconnect and resume from the cursor; if it repeats, apply larger batches or follow less"
            }
            Code::RateLimited => "wait and try again, at a slower pace",
            Code::StreamClosed => "reconnect and resume from the cursor",
            Code::Internal => "try again; if it repeats, read the host's log",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no code of this build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no error code that this build knows; a newer one may")]
pub struct UnknownCode(pub String);

impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Code::ALL.into_iter().find(|code| code.as_str() == text).ok_or_else(|| UnknownCode(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn codes_are_frozen() {
        let written: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(
            written,
            [
                "unsupported_protocol_version",
                "unsupported_schema_version",
                "upgrade_required",
                "unsupported_client_build",
                "schema_mismatch",
                "unauthorized",
                "forbidden_stream",
                "bad_subscription",
                "bad_stream_id",
                "stale_cursor",
                "epoch_changed",
                "sequence_conflict",
                "producer_hole",
                "payload_hash_mismatch",
                "payload_too_large",
                "invalid_payload",
                "invalid_kind",
                "invalid_batch",
                "batch_too_large",
                "invalid_request",
                "slow_consumer",
                "rate_limited",
                "stream_closed",
                "internal",
            ]
        );
    }

    #[test]
    fn a_code_is_read_as_it_is_written_and_is_the_same_in_json() {
        for code in Code::ALL {
            assert_eq!(code.to_string().parse(), Ok(code));
            assert_eq!(serde_json::to_value(code).expect("json"), code.as_str());
        }
        assert!("Unauthorized".parse::<Code>().is_err());
        assert!("no_such_code".parse::<Code>().is_err());
    }

    #[test]
    fn every_code_says_what_to_do_in_one_line() {
        for code in Code::ALL {
            let remedy = code.remedy();
            assert!(!remedy.is_empty() && !remedy.contains('\n') && !remedy.ends_with('.'), "{code}: {remedy}");
        }
    }

    #[test]
    fn what_may_have_had_an_effect_may_be_tried_again() {
        // The other way round, an event might be stored and still be parked for ever.
        for code in Code::ALL {
            assert!(code.had_no_effect() || code.is_retryable(), "{code}");
        }
    }
}
