//! What a token may grant: scopes, and the streams that they are good for.
//!
//! What always holds: a scope is one of a closed set, written in one way. A grant allows something on a stream only where
//! it has the scope *and* a pattern that has the stream in it; nothing here makes a grant wider.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::pattern::StreamPattern;
use crate::stream::StreamId;

/// One permission, as `oa_sync_scopes` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Follow and read streams.
    #[serde(rename = "sync.read")]
    SyncRead,
    /// Append to streams.
    #[serde(rename = "sync.write")]
    SyncWrite,
    /// Write a stream's snapshot.
    #[serde(rename = "sync.snapshot")]
    SyncSnapshot,
    /// See who is connected.
    #[serde(rename = "presence.read")]
    PresenceRead,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Scope; 4] = [Scope::SyncRead, Scope::SyncWrite, Scope::SyncSnapshot, Scope::PresenceRead];

    /// The scope as it is written in tokens and requests.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::SyncRead => "sync.read",
            Scope::SyncWrite => "sync.write",
            Scope::SyncSnapshot => "sync.snapshot",
            Scope::PresenceRead => "presence.read",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no scope. It is not repeated: it may come from anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a scope; the scopes are sync.read, sync.write, sync.snapshot and presence.read")]
pub struct UnknownScope;

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Scope::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(UnknownScope)
    }
}

/// What a session may do, as its token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// The permissions.
    pub scopes: BTreeSet<Scope>,
    /// The streams. Where there is none, no stream.
    pub streams: Vec<StreamPattern>,
}

/// Why a grant does not allow something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotGranted {
    /// The scope is missing.
    #[error("the token has no scope {0}")]
    Scope(Scope),
    /// The scope is there, and not for this stream or pattern.
    #[error("the token's {0} does not reach there")]
    Stream(Scope),
}

impl Granted {
    /// Whether this is allowed on this stream.
    ///
    /// # Errors
    /// [`NotGranted`]: the scope, or else the stream, is missing.
    pub fn allows(&self, scope: Scope, stream: &StreamId) -> Result<(), NotGranted> {
        self.has(scope)?;
        let reaches = self.streams.iter().any(|pattern| pattern.matches(stream));
        reaches.then_some(()).ok_or(NotGranted::Stream(scope))
    }

    /// Whether this is allowed on every stream that the pattern could ever bring.
    ///
    /// # Errors
    /// [`NotGranted`]: the scope, or else some stream of the pattern, is missing.
    pub fn allows_all(&self, scope: Scope, pattern: &StreamPattern) -> Result<(), NotGranted> {
        self.has(scope)?;
        let reaches = self.streams.iter().any(|mine| mine.covers(pattern));
        reaches.then_some(()).ok_or(NotGranted::Stream(scope))
    }

    /// Whether the scope is there, for whatever streams.
    ///
    /// # Errors
    /// [`NotGranted::Scope`].
    pub fn has(&self, scope: Scope) -> Result<(), NotGranted> {
        self.scopes.contains(&scope).then_some(()).ok_or(NotGranted::Scope(scope))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn granted(scopes: &[Scope], streams: &[&str]) -> Granted {
        Granted {
            scopes: scopes.iter().copied().collect(),
            streams: streams.iter().map(|text| StreamPattern::parse(text).expect("a pattern")).collect(),
        }
    }

    fn id(text: &str) -> StreamId {
        StreamId::parse(text).expect("an id")
    }

    #[test]
    fn a_scope_is_read_as_it_is_written_and_in_no_other_way() {
        for scope in Scope::ALL {
            assert_eq!(scope.as_str().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).expect("json"), scope.as_str());
        }
        for wrong in ["SYNC.READ", "sync.read ", "sync", "sync.*", ""] {
            assert_eq!(wrong.parse::<Scope>(), Err(UnknownScope), "{wrong}");
        }
    }

    #[test]
    fn both_scope_and_stream_are_needed() {
        let grant = granted(&[Scope::SyncRead], &["a.b.*", "c"]);
        assert_eq!(grant.allows(Scope::SyncRead, &id("a.b.x")), Ok(()));
        assert_eq!(grant.allows(Scope::SyncRead, &id("c")), Ok(()));
        assert_eq!(grant.allows(Scope::SyncWrite, &id("c")), Err(NotGranted::Scope(Scope::SyncWrite)));
        for other in ["a.b", "a.bc.x", "A.b.x", "a.B.x", "a.b%2Ex", "cc", "c.d", "C", "%63c"] {
            // What is no id at all is refused before anybody asks here.
            let Ok(other) = StreamId::parse(other) else { continue };
            assert_eq!(grant.allows(Scope::SyncRead, &other), Err(NotGranted::Stream(Scope::SyncRead)), "{other}");
        }
    }

    #[test]
    fn a_pattern_is_allowed_where_one_granted_pattern_covers_it() {
        let grant = granted(&[Scope::SyncRead], &["a.b.*", "c"]);
        for (pattern, allowed) in
            [("a.b.*", true), ("a.b.x.*", true), ("c", true), ("a.*", false), ("*", false), ("c.*", false)]
        {
            let pattern = StreamPattern::parse(pattern).expect("a pattern");
            assert_eq!(grant.allows_all(Scope::SyncRead, &pattern).is_ok(), allowed, "{pattern}");
        }
        assert!(granted(&[], &["*"]).allows_all(Scope::SyncRead, &StreamPattern::All).is_err());
    }

    proptest! {
        #[test]
        fn a_pattern_that_is_allowed_brings_no_stream_that_is_not(
            mine in proptest::collection::vec("((a|b)(\\.(a|b)){0,2}(\\.\\*)?)|\\*", 0..4),
            asked in "((a|b)(\\.(a|b)){0,2}(\\.\\*)?)|\\*",
            stream in "(a|b)(\\.(a|b)){0,3}",
        ) {
            let mine: Vec<_> = mine.iter().map(String::as_str).collect();
            let grant = granted(&[Scope::SyncRead], &mine);
            let asked = StreamPattern::parse(&asked).expect("a pattern");
            if grant.allows_all(Scope::SyncRead, &asked).is_ok() && asked.matches(&id(&stream)) {
                prop_assert_eq!(grant.allows(Scope::SyncRead, &id(&stream)), Ok(()));
            }
        }
    }
}
