//! Stream ids: the names under which events are kept.
//!
//! What always holds: a [`StreamId`] is well formed, and two ids that mean the same are the same bytes. A character
//! outside `[A-Za-z0-9_-]` stands as the percent-encoded bytes of its UTF-8 form, in upper-case hex (RFC 3986 sections
//! 2.1 and 6.2.2.1), and nothing else is ever percent-encoded.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::limits::STREAM_ID_BYTES_MAX;

/// Streams below this prefix belong to tests and gates: no topic maps to one, and a lane's own producers have no
/// business there.
pub const TEST_STREAM_PREFIX: &str = "muster.test.";

/// What a segment percent-encodes: everything but `[A-Za-z0-9_-]`.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'-');

/// The id of a stream: dot-separated, non-empty, case-sensitive segments of `[A-Za-z0-9_-]` and percent-escapes, at most
/// [`STREAM_ID_BYTES_MAX`] bytes in all.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StreamId(String);

/// Why a text is no stream id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamIdError {
    /// No text at all.
    #[error("a stream id is empty; name one, such as `runtime.run.<id>.events`")]
    Empty,
    /// Longer than [`STREAM_ID_BYTES_MAX`].
    #[error(
        "a stream id of {bytes} bytes is too long; at most {STREAM_ID_BYTES_MAX} are allowed, percent-escapes counted"
    )]
    TooLong {
        /// How long it is, in bytes, percent-escapes counted.
        bytes: usize,
    },
    /// Two dots in a row, or one at an end.
    #[error("stream id `{id}` has an empty segment; put a name between any two dots and at both ends")]
    EmptySegment {
        /// The text.
        id: String,
    },
    /// A segment is not spelled in the one way that its meaning has.
    #[error(
        "stream id `{id}` has the segment `{segment}`; only A-Z a-z 0-9 _ - stand for themselves, and any other character \
         as its UTF-8 bytes in %XX with upper-case digits"
    )]
    Segment {
        /// The whole text.
        id: String,
        /// The segment that is wrong.
        segment: String,
    },
}

impl StreamId {
    /// Reads an id as it is written.
    ///
    /// # Errors
    /// The first rule of [`StreamIdError`] that it breaks.
    pub fn parse(text: &str) -> Result<StreamId, StreamIdError> {
        check(text)?;
        Ok(StreamId(text.to_owned()))
    }

    /// An id of these names, each percent-encoded into one segment.
    ///
    /// # Errors
    /// [`StreamIdError::Empty`] and [`StreamIdError::EmptySegment`] where there is no name or an empty one,
    /// [`StreamIdError::TooLong`] where the result is.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<StreamId, StreamIdError> {
        let segments: Vec<String> =
            names.into_iter().map(|name| utf8_percent_encode(name, ENCODED).to_string()).collect();
        let text = segments.join(".");
        check(&text)?;
        Ok(StreamId(text))
    }

    /// The id as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The segments as they are written, from the left; at least one.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    /// The names that the segments stand for, percent-escapes undone.
    pub fn names(&self) -> Vec<String> {
        self.segments()
            .map(|segment| decode(segment).expect("a segment was checked to decode when the id was made"))
            .collect()
    }

    /// Whether the stream belongs to tests and gates ([`TEST_STREAM_PREFIX`]).
    pub fn is_test(&self) -> bool {
        self.0.starts_with(TEST_STREAM_PREFIX)
    }
}

fn check(text: &str) -> Result<(), StreamIdError> {
    if text.is_empty() {
        return Err(StreamIdError::Empty);
    }
    // First, so that no error message grows with what somebody sent.
    if text.len() > STREAM_ID_BYTES_MAX {
        return Err(StreamIdError::TooLong { bytes: text.len() });
    }
    for segment in text.split('.') {
        if segment.is_empty() {
            return Err(StreamIdError::EmptySegment { id: text.into() });
        }
        if !is_segment(segment) {
            return Err(StreamIdError::Segment { id: text.into(), segment: segment.into() });
        }
    }
    Ok(())
}

/// Whether a segment is spelled in the one way that its meaning has.
fn is_segment(segment: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if segment.bytes().all(plain) {
        return true;
    }
    // One spelling for each meaning: what the decoded name would be written as is what must stand here.
    decode(segment).is_some_and(|name| utf8_percent_encode(&name, ENCODED).to_string() == segment)
}

fn decode(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(|name| name.into_owned())
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for StreamId {
    type Err = StreamIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        StreamId::parse(text)
    }
}

impl TryFrom<String> for StreamId {
    type Error = StreamIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        check(&text)?;
        Ok(StreamId(text))
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> String {
        id.0
    }
}

impl AsRef<str> for StreamId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dotted_segments_of_plain_characters_are_an_id() {
        for id in ["a", "runtime.run.r-1.events", "A.b_C.0", "muster.test.x"] {
            assert_eq!(StreamId::parse(id).expect(id).as_str(), id);
        }
    }

    #[test]
    fn an_empty_segment_is_refused_wherever_it_stands() {
        assert_eq!(StreamId::parse(""), Err(StreamIdError::Empty));
        for id in [".", ".a", "a.", "a..b"] {
            assert_eq!(StreamId::parse(id), Err(StreamIdError::EmptySegment { id: id.into() }));
        }
    }

    #[test]
    fn there_is_one_spelling_for_each_meaning() {
        StreamId::parse("a.%3A.b").expect("a colon must be escaped");
        StreamId::parse("a.%F0%9F%98%82.b").expect("a smiley is four bytes");
        for wrong in
            ["a.%3a", "a.%41", "a.%5F", "a.%", "a.%3", "a.%ZZ", "a.%FF", "a.%C0%80", "a b", "a:b", "ä", "a\n", "*"]
        {
            assert!(matches!(StreamId::parse(wrong), Err(StreamIdError::Segment { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn an_id_of_255_bytes_is_allowed_and_one_of_256_is_not() {
        StreamId::parse(&"a".repeat(255)).expect("the longest id");
        assert_eq!(StreamId::parse(&"a".repeat(256)), Err(StreamIdError::TooLong { bytes: 256 }));
    }

    #[test]
    fn only_whole_segments_make_a_test_stream() {
        assert!(StreamId::parse("muster.test.run-1").expect("an id").is_test());
        assert!(!StreamId::parse("muster.tester.run-1").expect("an id").is_test());
        assert!(!StreamId::parse("muster.test").expect("an id").is_test());
    }

    #[test]
    fn a_deserialized_id_is_checked() {
        assert!(serde_json::from_str::<StreamId>(r#""a.b""#).is_ok());
        assert!(serde_json::from_str::<StreamId>(r#""a..b""#).is_err());
    }

    proptest! {
        #[test]
        fn any_names_survive_being_written_and_read(names in prop::collection::vec("\\PC{1,6}|[a-z%.*]{1,6}", 1..5)) {
            let id = StreamId::from_names(names.iter().map(String::as_str)).expect("short and not empty");
            prop_assert_eq!(StreamId::parse(id.as_str()), Ok(id.clone()));
            prop_assert_eq!(id.names(), names);
        }

        #[test]
        fn whatever_is_accepted_is_what_its_names_are_written_as(text in "[a-c%0-9A-F_.-]{1,12}|\\PC{0,12}") {
            if let Ok(id) = StreamId::parse(&text) {
                let names = id.names();
                prop_assert_eq!(StreamId::from_names(names.iter().map(String::as_str)), Ok(id));
            }
        }
    }
}
