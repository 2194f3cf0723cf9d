//! Patterns over stream ids: what a grant names, and what a subscriber may ask for.
//!
//! What always holds: a pattern is an exact id, a prefix of whole segments ending in `.*`, or `*`. A prefix matches the
//! ids that have at least one more segment below it, and neither itself (`a.b`) nor a neighbour (`a.bc.x`). There are
//! no other wildcards, no case folding, and no second spelling of an id ([`StreamId`] has one for each meaning).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stream::{StreamId, StreamIdError};

/// A set of streams.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum StreamPattern {
    /// This stream alone: `a.b`.
    Exact(StreamId),
    /// Every stream below this prefix, at any depth: `a.b.*`.
    Under(StreamId),
    /// Every stream: `*`.
    All,
}

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A `*` stands where it means nothing.
    #[error("`{pattern}` has a `*` that is not its last segment; write an exact id, a prefix ending in `.*`, or `*`")]
    Wildcard {
        /// The text.
        pattern: String,
    },
    /// What stands before `.*`, or the whole, is no stream id.
    #[error("not a stream pattern: {0}")]
    StreamId(#[from] StreamIdError),
}

impl StreamPattern {
    /// Reads a pattern as it is written.
    ///
    /// # Errors
    /// [`PatternError`]: a misplaced `*`, or what is no stream id.
    pub fn parse(text: &str) -> Result<StreamPattern, PatternError> {
        if text == "*" {
            return Ok(StreamPattern::All);
        }
        let (id, under) = match text.strip_suffix(".*") {
            Some(prefix) => (prefix, true),
            None => (text, false),
        };
        match StreamId::parse(id) {
            Ok(id) if under => Ok(StreamPattern::Under(id)),
            Ok(id) => Ok(StreamPattern::Exact(id)),
            // An over-long text is not repeated in the message.
            Err(error @ StreamIdError::TooLong { .. }) => Err(error.into()),
            Err(_) if id.contains('*') => Err(PatternError::Wildcard { pattern: text.into() }),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the stream is in this set.
    pub fn matches(&self, id: &StreamId) -> bool {
        match self {
            StreamPattern::All => true,
            StreamPattern::Exact(exact) => exact == id,
            StreamPattern::Under(prefix) => is_under(id, prefix),
        }
    }

    /// Whether every stream of `other` is in this set: who holds this pattern may pass on that one.
    pub fn covers(&self, other: &StreamPattern) -> bool {
        match (self, other) {
            (StreamPattern::All, _) => true,
            (_, StreamPattern::All) => false,
            (_, StreamPattern::Exact(id)) => self.matches(id),
            (StreamPattern::Under(mine), StreamPattern::Under(theirs)) => mine == theirs || is_under(theirs, mine),
            (StreamPattern::Exact(_), StreamPattern::Under(_)) => false,
        }
    }

    /// Every pattern that matches this stream, as it is written, from the narrowest to the widest: the id, each prefix
    /// with `.*`, and `*`. A table of grants with an index on the pattern is asked for exactly these.
    pub fn that_match(id: &StreamId) -> impl Iterator<Item = String> {
        let text = id.as_str();
        let prefixes = text.rmatch_indices('.').map(move |(dot, _)| format!("{}.*", &text[..dot]));
        std::iter::once(text.to_owned()).chain(prefixes).chain(std::iter::once("*".to_owned()))
    }
}

fn is_under(id: &StreamId, prefix: &StreamId) -> bool {
    id.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('.'))
}

impl fmt::Display for StreamPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StreamPattern::Exact(id) => write!(f, "{id}"),
            StreamPattern::Under(prefix) => write!(f, "{prefix}.*"),
            StreamPattern::All => f.write_str("*"),
        }
    }
}

impl FromStr for StreamPattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        StreamPattern::parse(text)
    }
}

impl TryFrom<String> for StreamPattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        StreamPattern::parse(&text)
    }
}

impl From<StreamPattern> for String {
    fn from(pattern: StreamPattern) -> String {
        pattern.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, id: &str) -> bool {
        StreamPattern::parse(pattern).expect(pattern).matches(&StreamId::parse(id).expect(id))
    }

    /// Ids over a small alphabet, so that prefixes and neighbours are common.
    fn ids() -> impl Strategy<Value = StreamId> {
        "(a|b|ab|A|%2A)(\\.(a|b|ab|A|%2A)){0,3}".prop_map(|id| StreamId::parse(&id).expect("an id"))
    }

    fn patterns() -> impl Strategy<Value = StreamPattern> {
        prop_oneof![
            5 => ids().prop_map(StreamPattern::Exact),
            5 => ids().prop_map(StreamPattern::Under),
            1 => Just(StreamPattern::All),
        ]
    }

    #[test]
    fn a_prefix_matches_what_is_below_it_and_neither_itself_nor_its_neighbour() {
        assert!(matches("a.b.*", "a.b.x"));
        assert!(matches("a.b.*", "a.b.x.y"));
        for id in ["a.b", "a.bc.x", "a", "A.b.x", "a.B.x", "a.b%2Ex", "x.a.b.x"] {
            assert!(!matches("a.b.*", id), "{id}");
        }
    }

    #[test]
    fn an_exact_pattern_matches_its_stream_alone() {
        assert!(matches("a.b", "a.b"));
        assert!(!matches("a.b", "a.b.c"));
        assert!(!matches("a.b", "a.B"));
    }

    #[test]
    fn a_stream_alone_covers_nothing_below_it_and_a_prefix_does_not_cover_itself() {
        let covers = |wide: &str, narrow: &str| {
            let parse = |text: &str| StreamPattern::parse(text).expect("a pattern");
            parse(wide).covers(&parse(narrow))
        };
        assert!(!covers("a.b", "a.b.*"));
        assert!(!covers("a.b.*", "a.b"));
        assert!(covers("a.*", "a.b.*"));
        assert!(!covers("a.*", "ab.*"));
    }

    #[test]
    fn a_star_elsewhere_is_an_error_that_says_so() {
        for text in ["a*", "*.a", "a.*.b", "**", "*.*", "a.*.*", "run*.*"] {
            assert_eq!(StreamPattern::parse(text), Err(PatternError::Wildcard { pattern: text.into() }));
        }
        assert_eq!(StreamPattern::parse(".*"), Err(StreamIdError::Empty.into()));
        assert_eq!(StreamPattern::parse(""), Err(StreamIdError::Empty.into()));
        assert!(matches!(StreamPattern::parse("a.%2a.*"), Err(PatternError::StreamId(StreamIdError::Segment { .. }))));
    }

    #[test]
    fn an_escaped_star_is_a_name_and_no_wildcard() {
        assert!(matches("a.%2A", "a.%2A"));
        assert!(!matches("a.%2A", "a.b"));
    }

    #[test]
    fn the_patterns_of_a_stream_go_from_narrow_to_wide() {
        let id = StreamId::parse("a.b.c").expect("an id");
        let patterns: Vec<_> = StreamPattern::that_match(&id).collect();
        assert_eq!(patterns, ["a.b.c", "a.b.*", "a.*", "*"]);
    }

    proptest! {
        #[test]
        fn a_pattern_survives_being_written_and_read(pattern in patterns()) {
            prop_assert_eq!(StreamPattern::parse(&pattern.to_string()), Ok(pattern));
        }

        #[test]
        fn the_patterns_that_match_are_exactly_those_that_match(id in ids(), pattern in patterns()) {
            let listed = StreamPattern::that_match(&id).any(|text| text == pattern.to_string());
            prop_assert_eq!(listed, pattern.matches(&id));
        }

        #[test]
        fn a_pattern_that_covers_another_matches_all_that_the_other_does(
            wide in patterns(), narrow in patterns(), id in ids()
        ) {
            if wide.covers(&narrow) && narrow.matches(&id) {
                prop_assert!(wide.matches(&id));
            }
        }

        #[test]
        fn a_pattern_that_does_not_cover_another_misses_a_stream_of_it(wide in patterns(), narrow in patterns()) {
            if !wide.covers(&narrow) {
                let probes = match &narrow {
                    StreamPattern::Exact(id) => vec![id.clone()],
                    // Below any pattern of this test's alphabet lies a stream with a segment that it does not have.
                    StreamPattern::Under(prefix) => vec![StreamId::parse(&format!("{prefix}.zz")).expect("an id")],
                    StreamPattern::All => vec![StreamId::parse("zz").expect("an id")],
                };
                prop_assert!(probes.iter().any(|id| narrow.matches(id) && !wide.matches(id)));
            }
        }

        #[test]
        fn covering_is_reflexive_and_transitive(a in patterns(), b in patterns(), c in patterns()) {
            prop_assert!(a.covers(&a));
            prop_assert!(!(a.covers(&b) && b.covers(&c)) || a.covers(&c));
        }
    }
}
