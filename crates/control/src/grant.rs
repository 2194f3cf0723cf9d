//! What a token may do: scopes and stream patterns, and the algebra that only ever makes them fewer.
//!
//! What always holds: [`Grant::narrow`] and [`Grant::intersect`] return a grant that the given one covers. Nothing in
//! this crate makes a grant any other way but from a client's registration, which an administrator wrote.

use std::collections::BTreeSet;

use muster_contract::pattern::StreamPattern;
use serde::{Deserialize, Serialize};

use crate::limits::{PATTERN_BYTES_MAX, PATTERNS_MAX};

pub use muster_contract::scope::Scope;

/// Scopes, and the streams they are good for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The permissions.
    pub scopes: BTreeSet<Scope>,
    /// The streams, at most [`PATTERNS_MAX`] patterns. Where there is none, no stream.
    pub streams: Vec<StreamPattern>,
}

/// What somebody asks for; what is absent means all there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The permissions.
    pub scopes: Option<BTreeSet<Scope>>,
    /// The streams.
    pub streams: Option<Vec<StreamPattern>>,
}

/// Why there is no such grant. All are `invalid_scope` (RFC 6749 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// A word that is no scope. It is not repeated: RFC 6749 allows few characters in an answer.
    #[error("a requested scope is unknown; the scopes are sync.read, sync.write, sync.snapshot and presence.read")]
    UnknownScope,
    /// A text that is no pattern.
    #[error("a requested stream pattern is malformed; write exact stream ids, or prefixes ending in .*")]
    BadPattern,
    /// More than [`PATTERNS_MAX`] patterns, or [`PATTERN_BYTES_MAX`] bytes of them.
    #[error("more than {PATTERNS_MAX} stream patterns or {PATTERN_BYTES_MAX} bytes; ask for wider ones or for less")]
    TooManyPatterns,
    /// A scope that is not there to give.
    #[error("the scope {0} is not granted; ask for fewer scopes")]
    ScopeNotGranted(Scope),
    /// A pattern that no given one covers.
    #[error("a requested stream pattern is wider than what is granted; ask for streams below the granted patterns")]
    StreamNotGranted,
    /// No scope at all is left.
    #[error("nothing is left to grant; ask for a scope that the client and the subject both have")]
    Nothing,
}

impl Grant {
    /// A grant of these.
    ///
    /// # Errors
    /// [`GrantError::TooManyPatterns`].
    pub fn new(
        scopes: impl IntoIterator<Item = Scope>,
        streams: impl IntoIterator<Item = StreamPattern>,
    ) -> Result<Grant, GrantError> {
        let streams = without_covered(streams.into_iter().collect());
        let bytes: usize = streams.iter().map(|stream| stream.to_string().len()).sum();
        if streams.len() > PATTERNS_MAX || bytes > PATTERN_BYTES_MAX {
            return Err(GrantError::TooManyPatterns);
        }
        Ok(Grant { scopes: scopes.into_iter().collect(), streams })
    }

    /// Whether this grant has every permission of `other` on every stream of it.
    pub fn covers(&self, other: &Grant) -> bool {
        other.scopes.is_subset(&self.scopes) && other.streams.iter().all(|stream| self.covers_stream(stream))
    }

    fn covers_stream(&self, stream: &StreamPattern) -> bool {
        self.streams.iter().any(|mine| mine.covers(stream))
    }

    /// What is wanted, where it is no more than this grant. Asking for more is refused and never cut in silence: a
    /// client that believes in a scope it does not have fails later and elsewhere.
    ///
    /// # Errors
    /// The first scope or stream that is not granted, or [`GrantError::Nothing`].
    pub fn narrow(&self, wanted: &Wanted) -> Result<Grant, GrantError> {
        let scopes = wanted.scopes.clone().unwrap_or_else(|| self.scopes.clone());
        if let Some(scope) = scopes.difference(&self.scopes).next() {
            return Err(GrantError::ScopeNotGranted(*scope));
        }
        if scopes.is_empty() {
            return Err(GrantError::Nothing);
        }
        let streams = wanted.streams.clone().unwrap_or_else(|| self.streams.clone());
        if !streams.iter().all(|stream| self.covers_stream(stream)) {
            return Err(GrantError::StreamNotGranted);
        }
        Grant::new(scopes, streams)
    }

    /// What both grants have. Of two patterns that overlap one covers the other, so the narrower is what they share.
    ///
    /// # Errors
    /// [`GrantError::TooManyPatterns`].
    pub fn intersect(&self, other: &Grant) -> Result<Grant, GrantError> {
        let scopes = self.scopes.intersection(&other.scopes).copied();
        let mine = self.streams.iter().filter(|stream| other.covers_stream(stream));
        let theirs = other.streams.iter().filter(|stream| self.covers_stream(stream));
        Grant::new(scopes, mine.chain(theirs).cloned())
    }
}

fn scope(word: &str) -> Result<Scope, GrantError> {
    word.parse().map_err(|_| GrantError::UnknownScope)
}

/// The patterns without those that another one of them covers.
fn without_covered(streams: Vec<StreamPattern>) -> Vec<StreamPattern> {
    let mut kept: Vec<StreamPattern> = Vec::new();
    for stream in streams {
        if kept.iter().any(|wide| wide.covers(&stream)) {
            continue;
        }
        kept.retain(|narrow| !stream.covers(narrow));
        kept.push(stream);
    }
    kept
}

impl Wanted {
    /// Reads space-separated scopes (RFC 6749 section 3.3) and space-separated stream patterns. An empty text asks for
    /// nothing, which is not the same as not asking.
    ///
    /// # Errors
    /// An unknown scope, a malformed pattern, or too many of them.
    pub fn parse(scope: Option<&str>, streams: Option<&str>) -> Result<Wanted, GrantError> {
        Wanted::of_words(
            scope.map(|text| text.split_ascii_whitespace().collect()),
            streams.map(|text| text.split_ascii_whitespace().collect()),
        )
    }

    /// As [`Wanted::parse`], from lists.
    ///
    /// # Errors
    /// An unknown scope, a malformed pattern, or too many of them.
    pub fn of_words(scopes: Option<Vec<&str>>, streams: Option<Vec<&str>>) -> Result<Wanted, GrantError> {
        let scopes = scopes.map(|words| words.into_iter().map(scope).collect()).transpose()?;
        let streams = match streams {
            Some(words) if words.len() > PATTERNS_MAX => return Err(GrantError::TooManyPatterns),
            Some(words) => {
                let parsed =
                    words.into_iter().map(|word| StreamPattern::parse(word).map_err(|_| GrantError::BadPattern));
                Some(parsed.collect::<Result<_, _>>()?)
            }
            None => None,
        };
        Ok(Wanted { scopes, streams })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn grant(scopes: &str, streams: &str) -> Grant {
        let wanted = Wanted::parse(Some(scopes), Some(streams)).expect("a grant");
        Grant::new(wanted.scopes.expect("scopes"), wanted.streams.expect("streams")).expect("few patterns")
    }

    fn wanted(scopes: &str, streams: &str) -> Wanted {
        Wanted::parse(Some(scopes), Some(streams)).expect("a request")
    }

    #[test]
    fn less_is_given_and_more_is_refused() {
        let mine = grant("sync.read sync.write", "runtime.run.* muster.one");
        let less = mine.narrow(&wanted("sync.read", "runtime.run.a.events muster.one")).expect("less");
        assert_eq!(less, grant("sync.read", "runtime.run.a.events muster.one"));
        let refused = |scopes, streams| mine.narrow(&wanted(scopes, streams)).expect_err("more");
        assert_eq!(refused("presence.read", ""), GrantError::ScopeNotGranted(Scope::PresenceRead));
        for wider in ["runtime.*", "*", "runtime.run", "Runtime.run.a", "runtime.runs.a", "muster.one.*", "muster.ones"]
        {
            assert_eq!(refused("sync.read", wider), GrantError::StreamNotGranted, "{wider}");
        }
    }

    #[test]
    fn what_is_not_asked_for_is_all_there_is_and_what_is_asked_as_empty_is_nothing() {
        let mine = grant("sync.read", "a.*");
        assert_eq!(mine.narrow(&Wanted::default()), Ok(mine.clone()));
        assert_eq!(mine.narrow(&wanted("", "a.b")), Err(GrantError::Nothing));
        assert_eq!(mine.narrow(&wanted("sync.read", "")), Ok(grant("sync.read", "")));
    }

    #[test]
    fn tricks_in_patterns_are_malformed_and_not_wide() {
        for trick in ["a..b", "a.", ".a", "a.*.b", "a*", "a.%2a", "a.%2E%2e", "é"] {
            assert_eq!(Wanted::parse(None, Some(trick)), Err(GrantError::BadPattern), "{trick}");
        }
        let many = "a ".repeat(PATTERNS_MAX + 1);
        assert_eq!(Wanted::parse(None, Some(&many)), Err(GrantError::TooManyPatterns));
        assert_eq!(Wanted::parse(Some("sync.read SYNC.WRITE"), None), Err(GrantError::UnknownScope));
    }

    fn grants() -> impl Strategy<Value = Grant> {
        let stream = "((a|b|ab)(\\.(a|b|ab)){0,2}(\\.\\*)?)|\\*";
        (proptest::sample::subsequence(Scope::ALL.to_vec(), 0..=4), proptest::collection::vec(stream, 0..5)).prop_map(
            |(scopes, streams)| {
                let streams = streams.iter().map(|text| StreamPattern::parse(text).expect("a pattern"));
                Grant::new(scopes, streams).expect("few")
            },
        )
    }

    proptest! {
        #[test]
        fn narrowing_never_widens(mine in grants(), asked in grants(), all_scopes: bool, all_streams: bool) {
            let wanted = Wanted {
                scopes: (!all_scopes).then(|| asked.scopes.clone()),
                streams: (!all_streams).then(|| asked.streams.clone()),
            };
            match mine.narrow(&wanted) {
                Ok(given) => prop_assert!(mine.covers(&given)),
                Err(GrantError::Nothing) => {}
                Err(_) => prop_assert!(!mine.covers(&asked)),
            }
        }

        #[test]
        fn what_two_grants_share_is_covered_by_both_and_holds_all_that_both_cover(
            a in grants(), b in grants(), c in grants()
        ) {
            let shared = a.intersect(&b).expect("few");
            prop_assert!(a.covers(&shared) && b.covers(&shared));
            prop_assert!(!(a.covers(&c) && b.covers(&c)) || shared.covers(&c));
        }
    }
}
