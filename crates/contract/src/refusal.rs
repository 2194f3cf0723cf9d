//! How a reducer's refusal travels: SpacetimeDB gives a failed reducer one string, and this is what stands in it.
//!
//! What always holds: the string is one line of JSON, `{"code":…,"message":…,"details":{…}}`; what was written is what is
//! read; and a string that somebody else wrote (the host, another module) is read as no refusal rather than guessed at.

use serde::{Deserialize, Serialize};

use crate::code::Code;
use crate::pattern::PatternError;
use crate::stream::StreamIdError;

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {message}; {}", .code.remedy())]
pub struct Refusal {
    /// The stable code, for programs.
    pub code: Code,
    /// What happened, for people: one clause without a full stop.
    pub message: String,
    /// What a program needs beyond the code.
    #[serde(default, skip_serializing_if = "Details::is_empty")]
    pub details: Details,
}

/// The numbers that go with some codes. Which a code has is said at each field; a reader ignores those it does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Details {
    /// What the host would have accepted: the producer's next number ([`Code::ProducerHole`]), the stream's next `seq`
    /// ([`Code::SequenceConflict`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<u64>,
    /// The stream's present epoch, 0 where there is no such stream ([`Code::EpochChanged`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// Which event of the batch is at fault, or which of the streams asked about, from 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<u32>,
    /// The limit that was passed, in the unit of its name in [`crate::limits`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<u64>,
    /// How long to wait at least before trying again, in milliseconds ([`Code::RateLimited`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Details {
    fn is_empty(&self) -> bool {
        *self == Details::default()
    }
}

impl Refusal {
    /// A refusal without details.
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), details: Details::default() }
    }

    /// The same with what the host would have accepted.
    pub fn expecting(mut self, expected: u64) -> Refusal {
        self.details.expected = Some(expected);
        self
    }

    /// The same with the stream's present epoch, 0 where there is no such stream.
    pub fn with_epoch(mut self, epoch: u64) -> Refusal {
        self.details.epoch = Some(epoch);
        self
    }

    /// The same with the event at fault, counted from 0 in its batch.
    pub fn at_event(mut self, event: u32) -> Refusal {
        self.details.event = Some(event);
        self
    }

    /// The one line that a reducer returns as its error.
    pub fn to_wire(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always have a JSON form")
    }

    /// Reads a reducer's error; `None` where it is no refusal that this build knows.
    pub fn from_wire(text: &str) -> Option<Refusal> {
        serde_json::from_str(text).ok()
    }
}

impl From<StreamIdError> for Refusal {
    fn from(error: StreamIdError) -> Refusal {
        Refusal::new(Code::BadStreamId, error.to_string())
    }
}

impl From<PatternError> for Refusal {
    fn from(error: PatternError) -> Refusal {
        Refusal::new(Code::BadSubscription, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_wire_form_is_frozen() {
        let refusal = Refusal::new(Code::ProducerHole, "event 7 came before event 5").expecting(5).at_event(0);
        assert_eq!(
            refusal.to_wire(),
            r#"{"code":"producer_hole","message":"event 7 came before event 5","details":{"expected":5,"event":0}}"#
        );
        assert_eq!(
            Refusal::new(Code::Unauthorized, "the token has expired").to_wire(),
            r#"{"code":"unauthorized","message":"the token has expired"}"#
        );
    }

    #[test]
    fn what_nobody_of_ours_wrote_is_no_refusal() {
        for text in [
            "",
            "no such reducer",
            "internal: something",
            "null",
            "[]",
            r#"{"code":"internal"}"#,
            r#"{"code":"code_of_tomorrow","message":"m"}"#,
            r#"{"code":"internal","message":"m"} trailing"#,
        ] {
            assert_eq!(Refusal::from_wire(text), None, "{text}");
        }
    }

    #[test]
    fn details_of_tomorrow_are_ignored() {
        let text = r#"{"code":"rate_limited","message":"m","details":{"retry_after_ms":5,"bucket":"x"},"trace":1}"#;
        let refusal = Refusal::from_wire(text).expect("a refusal");
        assert_eq!(refusal.details, Details { retry_after_ms: Some(5), ..Details::default() });
    }

    #[test]
    fn a_person_reads_code_cause_and_remedy() {
        assert_eq!(
            Refusal::new(Code::RateLimited, "600 calls in a second").to_string(),
            "rate_limited: 600 calls in a second; wait and try again, at a slower pace"
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_what_is_read(
            code in prop::sample::select(Code::ALL.to_vec()),
            message: String,
            expected: Option<u64>, epoch: Option<u64>, event: Option<u32>, max: Option<u64>, retry_after_ms: Option<u64>,
        ) {
            let refusal = Refusal { code, message, details: Details { expected, epoch, event, max, retry_after_ms } };
            let wire = refusal.to_wire();
            prop_assert!(!wire.contains('\n'));
            prop_assert_eq!(Refusal::from_wire(&wire), Some(refusal));
        }
    }
}
