//! What this screen's token grants, and until when.
//!
//! What always holds: a token's text is never kept here, only what its claims say. They are shown as they are: who
//! judges them is the host.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::Value;

use super::refusal::Refusal;
use crate::clock::At;

/// The token pane.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TokenFacts {
    /// How the screen connects.
    pub kind: TokenKind,
    /// The OAuth client.
    pub client: Option<String>,
    /// Who issued it.
    pub issuer: Option<String>,
    /// Whom it is of.
    pub subject: Option<String>,
    /// Whom it is for.
    pub audience: Vec<String>,
    /// What it lets do.
    pub scopes: Vec<String>,
    /// On which streams.
    pub streams: Vec<String>,
    /// The first moment at which it is good no more.
    pub expires: Option<At>,
    /// When the next one is fetched; `None` where nothing fetches one.
    pub next_refresh: Option<At>,
    /// What was last said against a token, and when.
    pub last_refusal: Option<(At, String)>,
    /// What takes the pane over. In a document it stands beside the badge, where every pane has it.
    #[serde(skip_serializing)]
    pub refusal: Option<Refusal>,
}

/// How a screen connects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// Without a token: the host makes up an identity.
    #[default]
    Anonymous,
    /// With a token that was given once, and is not renewed.
    Given,
    /// With tokens that are fetched and renewed by themselves.
    Renewed,
}

impl TokenFacts {
    /// What the claims of a token (RFC 7519) say. What is no JWT has no claims to show.
    pub fn of(kind: TokenKind, token: &str) -> TokenFacts {
        let claims = claims(token).unwrap_or(Value::Null);
        let text = |name: &str| claims.get(name).and_then(Value::as_str).map(String::from);
        TokenFacts {
            kind,
            client: text("client_id"),
            issuer: text("iss"),
            subject: text("sub"),
            audience: words(&claims, "aud"),
            scopes: words(&claims, "oa_sync_scopes"),
            streams: words(&claims, "oa_sync_streams"),
            expires: claims.get("exp").and_then(Value::as_i64).map(|s| At(s.saturating_mul(1_000_000))),
            ..TokenFacts::default()
        }
    }

    /// Whether it is good no more.
    pub fn is_expired(&self, now: At) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn claims(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    let bytes = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&bytes).ok()
}

/// A claim that is a list, or words in a text.
fn words(claims: &Value, name: &str) -> Vec<String> {
    match claims.get(name) {
        Some(Value::String(text)) => text.split_whitespace().map(String::from).collect(),
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(String::from).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_shown_and_the_token_is_not() {
        let claims = r#"{"iss":"https://issuer","sub":"s","aud":"lane","client_id":"desk","exp":1700000000,
            "oa_sync_scopes":["sync.read"],"oa_sync_streams":["runtime.run.*"]}"#;
        let token = format!("eyJ9.{}.secret-signature", URL_SAFE_NO_PAD.encode(claims));
        let facts = TokenFacts::of(TokenKind::Given, &token);
        assert_eq!((facts.client.as_deref(), facts.audience.len()), (Some("desk"), 1));
        assert_eq!((facts.scopes.join(" "), facts.streams.join(" ")), ("sync.read".into(), "runtime.run.*".into()));
        assert!(facts.is_expired(At(1_700_000_000_000_000)) && !facts.is_expired(At(1_699_999_999_000_000)));
        assert!(!format!("{facts:?}").contains("secret-signature"));
    }

    #[test]
    fn what_is_no_jwt_has_no_claims() {
        for token in ["", "abc", "a.b.c", "a.!!.c"] {
            assert_eq!(TokenFacts::of(TokenKind::Given, token).expires, None, "{token}");
        }
    }
}
