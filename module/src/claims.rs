//! What a session's token says about the session: role, client, build.
//!
//! What always holds: this only describes. The host has verified the token's signature before any reducer runs; scopes
//! and streams are not read here. A claim that is absent or of another type than expected counts as absent.

use muster_contract::limits::CLAIM_BYTES_MAX;
use muster_contract::role::{ROLE_CLAIM, Role};

/// The claim of the client's id: RFC 9068, section 2.2.
const CLIENT_ID_CLAIM: &str = "client_id";
/// The claim of the client's build.
const CLIENT_BUILD_CLAIM: &str = "oa_client_build";

/// A session, described by its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// The claimed role.
    pub role: Role,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// The client's build.
    pub client_build: Option<String>,
}

/// Reads the payload of a verified token (JSON text), or the absence of one.
pub fn describe(payload: Option<&str>) -> Description {
    let claims: serde_json::Value = payload.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let text = |name: &str| claims.get(name).and_then(|value| value.as_str());
    Description {
        role: Role::from_claim(text(ROLE_CLAIM)),
        client_id: text(CLIENT_ID_CLAIM).map(cut),
        client_build: text(CLIENT_BUILD_CLAIM).map(cut),
    }
}

/// The text, or as much of it as is kept.
fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(CLAIM_BYTES_MAX);
    text[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_without_claims_describes_an_anonymous_session() {
        let anonymous = Description { role: Role::Anonymous, client_id: None, client_build: None };
        assert_eq!(describe(None), anonymous);
        assert_eq!(describe(Some(r#"{"iss":"localhost","sub":"x"}"#)), anonymous);
        assert_eq!(describe(Some("not json")), anonymous);
        assert_eq!(describe(Some(r#"{"client_id":7,"oa_role":["operator"]}"#)), anonymous);
    }

    #[test]
    fn claims_are_read_where_they_are() {
        let described =
            describe(Some(r#"{"oa_role":"desktop","client_id":"desk-1","oa_client_build":"0.1.0","scope":"x"}"#));
        assert_eq!(described.role, Role::Desktop);
        assert_eq!(described.client_id.as_deref(), Some("desk-1"));
        assert_eq!(described.client_build.as_deref(), Some("0.1.0"));
    }

    #[test]
    fn an_overlong_claim_is_cut_at_a_character() {
        let long = "é".repeat(CLAIM_BYTES_MAX);
        let described = describe(Some(&format!(r#"{{"client_id":"x{long}"}}"#)));
        let kept = described.client_id.expect("a client id");
        assert!(kept.len() <= CLAIM_BYTES_MAX && kept.len() >= CLAIM_BYTES_MAX - 1);
        assert!(kept.chars().skip(1).all(|c| c == 'é'));
    }
}
