//! What a connection is doing, in the words that screens, metrics and logs share.
//!
//! What always holds: a text never changes its meaning, and each is read as it is written.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! words {
    (
        $(#[$doc:meta])*
        pub enum $name:ident: $what:literal { $($(#[$word_doc:meta])* $word:ident = $text:literal,)+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$word_doc])* #[serde(rename = $text)] $word,)+
        }

        impl $name {
            /// Every one, in the order of this list.
            pub const ALL: &[$name] = &[$($name::$word),+];

            /// The text, as screens, metrics and logs have it.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$word => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $name::ALL
                    .iter()
                    .copied()
                    .find(|word| word.as_str() == text)
                    .ok_or_else(|| UnknownWord { what: $what, text: text.into() })
            }
        }
    };
}

/// A text that is none of the words that it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no {what} that this build knows; a newer one may")]
pub struct UnknownWord {
    /// What it should be.
    pub what: &'static str,
    /// What it is.
    pub text: String,
}

words! {
    /// What a connection is doing.
    pub enum ConnectionState: "connection state" {
        /// Nothing was asked of it yet, or it was told to stop.
        Idle = "idle",
        /// Opening a session: name, socket, token, handshake.
        Connecting = "connecting",
        /// Connected, and behind the stream's head: reading what it missed.
        Replaying = "replaying",
        /// Connected, with everything up to the head applied, and following.
        Live = "live",
        /// Not connected; tries again by itself at a known time.
        Backoff = "backoff",
        /// Not connected; does not try again until a person or the application has changed something.
        Blocked = "blocked",
    }
}

words! {
    /// Why a connection is no longer live.
    pub enum LeaveReason: "reason for leaving `live`" {
        /// The host ended what the session follows.
        StreamClosed = "stream_closed",
        /// The token ends soon: the next session connects before this one is dropped.
        TokenRefreshDue = "token_refresh_due",
        /// The cursor does not hold any more ([`crate::resume::StaleReason`]).
        StaleCursor = "stale_cursor",
        /// The token was refused.
        Unauthorized = "unauthorized",
        /// The token is good, and does not grant the stream.
        Forbidden = "forbidden",
        /// The socket was closed or went silent.
        Network = "network",
        /// None of these.
        Unknown = "unknown",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_frozen() {
        let states: Vec<_> = ConnectionState::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(states, ["idle", "connecting", "replaying", "live", "backoff", "blocked"]);
        let reasons: Vec<_> = LeaveReason::ALL.iter().map(|word| word.as_str()).collect();
        assert_eq!(
            reasons,
            ["stream_closed", "token_refresh_due", "stale_cursor", "unauthorized", "forbidden", "network", "unknown"]
        );
    }

    #[test]
    fn a_word_is_read_as_it_is_written_and_is_the_same_in_json() {
        for word in ConnectionState::ALL {
            assert_eq!(word.to_string().parse(), Ok(*word));
            assert_eq!(serde_json::to_value(word).expect("json"), word.as_str());
        }
        for word in LeaveReason::ALL {
            assert_eq!(word.to_string().parse(), Ok(*word));
            assert_eq!(serde_json::to_value(word).expect("json"), word.as_str());
        }
        assert!("Live".parse::<ConnectionState>().is_err());
    }
}
