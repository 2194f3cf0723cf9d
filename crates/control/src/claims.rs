//! What an access token says (RFC 9068), as bytes on the wire.

use muster_contract::pattern::StreamPattern;
use serde::{Deserialize, Serialize};

use crate::grant::{Grant, Scope};

/// The `typ` of an access token's header (RFC 9068 section 2.1).
pub const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// An access token's claims. A SpacetimeDB host makes the session's identity of `iss` and `sub`, and looks at no other;
/// the module judges the rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessClaims {
    /// The issuer: this service.
    pub iss: String,
    /// Whom the token speaks for.
    pub sub: String,
    /// The lane's audience.
    pub aud: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// From when on it is good.
    pub nbf: i64,
    /// Until when it is good.
    pub exp: i64,
    /// Its own id: what a revocation of this token names.
    pub jti: String,
    /// The client it was given to.
    pub client_id: String,
    /// The session (refresh family) it belongs to: what a revocation of the session names.
    pub sid: String,
    /// The scopes as OAuth writes them (RFC 9068 section 2.2.3): `oa_sync_scopes` joined by spaces.
    pub scope: String,
    /// The scopes.
    pub oa_sync_scopes: Vec<Scope>,
    /// The streams.
    pub oa_sync_streams: Vec<StreamPattern>,
    /// The role: a label for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oa_role: Option<String>,
    /// The build that the client said it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oa_client_build: Option<String>,
    /// Who acts for `sub` (RFC 8693 section 4.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Actor>,
}

/// One who acts for a subject, and who acted before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Who.
    pub sub: String,
    /// For whom this one acts, of those who act.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub act: Option<Box<Actor>>,
}

impl Actor {
    /// The chain of these, the present actor first.
    pub(crate) fn chain(actors: &[String]) -> Option<Actor> {
        let (first, rest) = actors.split_first()?;
        Some(Actor { sub: first.clone(), act: Actor::chain(rest).map(Box::new) })
    }
}

/// Scopes as OAuth writes them.
pub(crate) fn scope_text(grant: &Grant) -> String {
    grant.scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_that_a_module_reads_are_frozen() {
        let claims = AccessClaims {
            iss: "https://control.example".into(),
            sub: "user:7".into(),
            aud: "lane".into(),
            iat: 1,
            nbf: 1,
            exp: 2,
            jti: "j".into(),
            client_id: "c".into(),
            sid: "s".into(),
            scope: "sync.read presence.read".into(),
            oa_sync_scopes: vec![Scope::SyncRead, Scope::PresenceRead],
            oa_sync_streams: vec![StreamPattern::parse("runtime.run.*").expect("a pattern")],
            oa_role: Some("desktop".into()),
            oa_client_build: None,
            act: Actor::chain(&["agent".into(), "backend".into()]),
        };
        assert_eq!(
            serde_json::to_string(&claims).expect("json"),
            r#"{"iss":"https://control.example","sub":"user:7","aud":"lane","iat":1,"nbf":1,"exp":2,"jti":"j","client_id":"c","sid":"s","scope":"sync.read presence.read","oa_sync_scopes":["sync.read","presence.read"],"oa_sync_streams":["runtime.run.*"],"oa_role":"desktop","act":{"sub":"agent","act":{"sub":"backend"}}}"#
        );
    }
}
