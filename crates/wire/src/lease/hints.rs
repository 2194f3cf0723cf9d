//! What a token says of itself, read without checking it.
//!
//! What always holds: nothing here decides whether anybody may do anything; only a host does, and it checks the signature.
//! It tells people what they hold, and this program when to look for the next. A token that is no JWT tells nothing.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

use crate::token::Token;

/// The claims that are of interest.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
pub(super) struct Hints {
    pub(super) client_id: Option<String>,
    /// Seconds since 1970.
    pub(super) exp: Option<u64>,
    #[serde(default, rename = "oa_sync_scopes")]
    pub(super) scopes: Vec<String>,
    #[serde(default, rename = "oa_sync_streams")]
    pub(super) streams: Vec<String>,
}

impl Hints {
    pub(super) fn of(token: &Token) -> Hints {
        let payload = token.expose().split('.').nth(1);
        let bytes = payload.and_then(|part| BASE64_URL_SAFE_NO_PAD.decode(part).ok());
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jwt_tells_and_anything_else_does_not() {
        let claims = r#"{"client_id":"me","exp":7,"oa_sync_scopes":["sync.read"],"iss":"x"}"#;
        let token = Token::new(format!("e30.{}.sig", BASE64_URL_SAFE_NO_PAD.encode(claims))).expect("a token");
        let hints = Hints::of(&token);
        assert_eq!((hints.client_id.as_deref(), hints.exp, hints.scopes.len()), (Some("me"), Some(7), 1));
        for text in ["opaque", "a.b.c", "a.bm8.c"] {
            assert_eq!(Hints::of(&Token::new(text).expect("a token")), Hints::default(), "{text}");
        }
    }
}
