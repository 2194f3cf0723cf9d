//! One line of input: an event, or what is wrong with it.

use jiff::Timestamp;
use muster_contract::append::{AppendError, check_event};
use muster_contract::canonical::{CanonicalJson, PayloadError, canonicalize};
use muster_contract::topic::{Topic, TopicError};
use muster_publisher::Draft;
use serde::Deserialize;
use serde_json::value::RawValue;

/// An event as a line says it: ready to be published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    /// Where it belongs: the line's own topic, or the command's.
    pub(crate) topic: Topic,
    /// What kind of event it is.
    pub(crate) kind: String,
    /// Its payload, canonical.
    pub(crate) payload: CanonicalJson,
    /// When it happened, where the line says so; else the moment of publishing.
    pub(crate) at: Option<Timestamp>,
}

impl Emitted {
    /// The same for a publisher.
    pub(crate) fn draft(&self) -> Draft<'_> {
        let draft = Draft::new(&self.kind, &self.payload);
        match self.at {
            Some(at) => draft.at(muster_wire::Timestamp::from_micros_since_unix_epoch(at.as_microsecond())),
            None => draft,
        }
    }

    /// What it takes of memory and disk, in bytes, nearly.
    pub(crate) fn bytes(&self) -> usize {
        self.kind.len() + self.payload.as_bytes().len()
    }
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLine {
    /// It is no JSON object of the expected form. The text is the parser's, without its line number, which is always 1.
    #[error("{0}; a line is {{\"topic\"?: TEXT, \"kind\": TEXT, \"payload\": JSON, \"at\"?: RFC 3339}}")]
    Form(String),
    /// Bytes that are not UTF-8.
    #[error("not UTF-8 from byte {from} on")]
    NotUtf8 {
        /// How many bytes of the line are.
        from: usize,
    },
    /// Longer than what is read of a line.
    #[error("longer than {max} bytes; a payload may have {payload_max}")]
    TooLong {
        /// The longest line that is read, in bytes.
        max: usize,
        /// The largest payload, in bytes of canonical JSON.
        payload_max: usize,
    },
    /// Neither the line nor the command names a topic.
    #[error("it names no topic; give one with --topic, or \"topic\" in the line")]
    NoTopic,
    /// A topic that cannot be one.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// A payload that has no canonical form.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// A kind or payload beyond the limits.
    #[error(transparent)]
    Event(#[from] AppendError),
    /// A time that is not one.
    #[error("`at` is {0:?}, which is no RFC 3339 time such as 2026-01-31T12:00:00Z")]
    Time(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with a kind and a payload")]
struct Raw<'a> {
    topic: Option<String>,
    kind: String,
    #[serde(borrow)]
    payload: &'a RawValue,
    at: Option<String>,
}

/// Reads one line. `topic` is where an event belongs whose line does not say.
///
/// # Errors
/// [`BadLine`], without the line's number, which the caller knows.
pub(crate) fn parse(line: &[u8], topic: Option<&Topic>) -> Result<Emitted, BadLine> {
    let text = std::str::from_utf8(line).map_err(|error| BadLine::NotUtf8 { from: error.valid_up_to() })?;
    let raw: Raw<'_> = serde_json::from_str(text).map_err(|error| BadLine::Form(said(&error)))?;
    let topic = match (&raw.topic, topic) {
        (Some(own), _) => Topic::parse(own)?,
        (None, Some(given)) => given.clone(),
        (None, None) => return Err(BadLine::NoTopic),
    };
    let payload = canonicalize(raw.payload.get())?;
    check_event(&raw.kind, payload.as_bytes().len())?;
    let at = raw.at.map(|at| at.parse::<Timestamp>().map_err(|_| BadLine::Time(at))).transpose()?;
    Ok(Emitted { topic, kind: raw.kind, payload, at })
}

/// The parser's words without " at line 1", which would be taken for the number of the line in the file.
fn said(error: &serde_json::Error) -> String {
    error.to_string().replace(" at line 1 column ", ", at column ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic() -> Topic {
        Topic::parse("run:7:events").unwrap()
    }

    #[test]
    fn a_line_says_where_what_and_when() {
        let line =
            br#"{"topic":"run:1:events","kind":"commit","at":"2023-11-07T11:16:47-05:00","payload":{"b":1.0,"a":"x"}}"#;
        let event = parse(line, Some(&topic())).unwrap();
        assert_eq!(event.topic.as_str(), "run:1:events");
        assert_eq!(event.kind, "commit");
        assert_eq!(event.payload.as_str(), r#"{"a":"x","b":1}"#);
        assert_eq!(event.at, Some("2023-11-07T16:16:47Z".parse().unwrap()));
    }

    #[test]
    fn a_line_without_a_topic_takes_the_commands() {
        let event = parse(br#"{"kind":"k","payload":null}"#, Some(&topic())).unwrap();
        assert_eq!((event.topic, event.at), (topic(), None));
        assert_eq!(parse(br#"{"kind":"k","payload":null}"#, None), Err(BadLine::NoTopic));
    }

    #[test]
    fn whatever_is_wrong_with_a_line_is_said_in_one_line() {
        let lines: [&[u8]; 12] = [
            b"",
            b"nonsense",
            b"{\"kind\":\"k\"}",
            b"{\"kind\":\"k\",\"payload\":NaN}",
            b"{\"kind\":\"k\",\"payload\":1} trailing",
            b"{\"kind\":\"k\",\"payload\":1,\"color\":2}",
            b"{\"kind\":\"\",\"payload\":1}",
            b"{\"kind\":\"k\",\"payload\":1e999}",
            b"{\"kind\":\"k\",\"payload\":{\"a\":1,\"a\":2}}",
            b"{\"kind\":\"k\",\"payload\":1,\"at\":\"yesterday\"}",
            b"{\"kind\":\"k\",\"payload\":\"\\ud800\"}",
            b"{\"kind\":\"k\xff\",\"payload\":1}",
        ];
        for line in lines {
            let said = parse(line, Some(&topic())).expect_err(&String::from_utf8_lossy(line)).to_string();
            assert!(!said.contains('\n') && !said.contains("line 1"), "{said}");
        }
    }

    #[test]
    fn a_payload_nested_too_deep_is_refused_and_does_not_overflow_the_stack() {
        let deep = format!("{{\"kind\":\"k\",\"payload\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(parse(deep.as_bytes(), Some(&topic())).is_err());
    }

    #[test]
    fn a_payload_above_the_limit_is_refused() {
        let large = format!("{{\"kind\":\"k\",\"payload\":\"{}\"}}", "x".repeat(256 * 1024));
        assert!(matches!(parse(large.as_bytes(), Some(&topic())), Err(BadLine::Event(_) | BadLine::Payload(_))));
    }
}
