//! Who calls: tokens in, identities out.
//!
//! Tokens are checked by the engine's own validators: ES256 or RS256, `iss` and `sub` present, `exp` not more than a
//! minute past; `aud` is the module's business. Two rules are this host's:
//!
//! * A token that this host's key signed is accepted whatever its issuer says, as on the official server: a short-lived
//!   websocket token keeps the issuer of the token it was exchanged for.
//! * Any other token is accepted only from an issuer that the builder named. The official server instead asks whatever
//!   URL a token names for keys; a host inside a test or on a desktop must not fetch from addresses that strangers
//!   choose, so with no trusted issuer there is no network access at all.
//!
//! A request without a token gets a new anonymous identity, and the token for it in the answer's headers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::extract::{FromRequestParts, Query, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use spacetimedb::auth::JwtKeys;
use spacetimedb::auth::identity::{ConnectionAuthCtx, JwtErrorKind, SpacetimeIdentityClaims};
use spacetimedb::auth::token_validation::{
    CachingOidcTokenValidator, FullTokenValidator, TokenSigner, TokenValidationError, TokenValidator,
};
use spacetimedb_lib::Identity;
use spacetimedb_lib::identity::AuthCtx;

use crate::http_error::ApiError;
use crate::limits::WEBSOCKET_TOKEN_LIFETIME;
use crate::state::AppState;

/// The issuer of this host's own tokens; the official standalone server's word.
const LOCAL_ISSUER: &str = "localhost";

const IDENTITY_HEADER: HeaderName = HeaderName::from_static("spacetime-identity");
const IDENTITY_TOKEN_HEADER: HeaderName = HeaderName::from_static("spacetime-identity-token");

/// Checks tokens and makes them.
pub(crate) struct Authenticator {
    keys: JwtKeys,
    validator: FullTokenValidator<TrustedIssuers<CachingOidcTokenValidator>>,
}

impl Authenticator {
    /// An authenticator that signs with `keys` and, beside its own tokens, accepts those of `trusted_issuers`.
    pub(crate) fn new(keys: JwtKeys, trusted_issuers: Vec<String>) -> Self {
        let validator = FullTokenValidator {
            local_key: keys.public.clone(),
            local_issuer: LOCAL_ISSUER.into(),
            oidc_validator: TrustedIssuers {
                issuers: trusted_issuers,
                inner: CachingOidcTokenValidator::get_default(),
            },
        };
        Self { keys, validator }
    }

    /// The keys, for those in this crate who sign something other than client tokens.
    pub(crate) fn keys(&self) -> &JwtKeys {
        &self.keys
    }

    /// Makes a new identity and a token for it that does not expire.
    pub(crate) fn mint(&self) -> Result<Caller, ApiError> {
        let subject = format!("{:032x}", rand::random::<u128>());
        let claims = SpacetimeIdentityClaims {
            identity: Identity::from_claims(LOCAL_ISSUER, &subject),
            subject: subject.into(),
            issuer: LOCAL_ISSUER.into(),
            audience: ["spacetimedb".into()].into(),
            iat: SystemTime::now(),
            exp: None,
            extra: None,
        };
        self.sign(claims)
    }

    /// A token with `caller`'s claims that expires within a minute, and never after the original.
    pub(crate) fn short_lived(&self, caller: &Caller) -> Result<String, ApiError> {
        let now = SystemTime::now();
        let mut claims = caller.claims.clone();
        claims.iat = now;
        claims.exp = Some(short_lived_expiry(now, claims.exp, WEBSOCKET_TOKEN_LIFETIME));
        Ok(self.sign(claims)?.token)
    }

    /// Checks `token`.
    pub(crate) async fn authenticate(&self, token: String) -> Result<Caller, ApiError> {
        match self.validator.validate_token(&token).await {
            Ok(claims) => Ok(Caller { token, claims }),
            Err(e) => Err(ApiError::new(StatusCode::UNAUTHORIZED, explain(&e))),
        }
    }

    fn sign(&self, claims: SpacetimeIdentityClaims) -> Result<Caller, ApiError> {
        let token = self.keys.private.sign(&claims).map_err(ApiError::internal)?;
        Ok(Caller { token, claims })
    }
}

fn short_lived_expiry(now: SystemTime, original: Option<SystemTime>, lifetime: Duration) -> SystemTime {
    let latest = now + lifetime;
    original.map_or(latest, |original| original.min(latest))
}

/// One line on why a token was refused and what to do.
fn explain(error: &TokenValidationError) -> String {
    let cause = match error {
        TokenValidationError::TokenError(e) => match e.kind() {
            JwtErrorKind::ExpiredSignature => return "token has expired; ask its issuer for a new one".into(),
            JwtErrorKind::InvalidSignature => {
                return "token not signed by this instance; get one from this host".into();
            }
            _ => format!("malformed token: {e}"),
        },
        other => other.to_string(),
    };
    format!("{cause}; send a token of this host or of an issuer it trusts")
}

/// Lets tokens of named issuers through to `inner` and refuses all others before anything is fetched.
struct TrustedIssuers<V> {
    issuers: Vec<String>,
    inner: V,
}

#[async_trait::async_trait]
impl<V: TokenValidator + Send + Sync> TokenValidator for TrustedIssuers<V> {
    async fn validate_token(&self, token: &str) -> Result<SpacetimeIdentityClaims, TokenValidationError> {
        let issuer = unverified_issuer(token).unwrap_or_default();
        if !self.issuers.contains(&issuer) {
            return Err(anyhow::anyhow!("issuer `{issuer}` is not trusted by this host").into());
        }
        self.inner.validate_token(token).await
    }
}

/// What a token says its issuer is, which nobody has checked yet.
fn unverified_issuer(token: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Claims {
        iss: String,
    }
    let payload = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&payload).ok().map(|claims| claims.iss)
}

/// Somebody who proved who they are, or was just made up.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// The token, as it was sent or minted.
    pub(crate) token: String,
    /// What it says.
    pub(crate) claims: SpacetimeIdentityClaims,
}

impl Caller {
    /// Who they are.
    pub(crate) fn identity(&self) -> Identity {
        self.claims.identity
    }

    /// What a module sees of them when they connect: every claim of the token.
    pub(crate) fn connection_auth(&self) -> Result<ConnectionAuthCtx, ApiError> {
        ConnectionAuthCtx::try_from(self.claims.clone()).map_err(ApiError::internal)
    }

    /// What SQL lets them see in a database of `owner`.
    pub(crate) fn sql_auth(&self, owner: Identity) -> AuthCtx {
        AuthCtx::new(owner, self.identity())
    }

    /// The headers that tell a client who it is.
    pub(crate) fn headers(&self) -> Result<HeaderMap, ApiError> {
        let identity = HeaderValue::from_str(self.identity().to_hex().as_str()).map_err(ApiError::internal)?;
        let mut token = HeaderValue::from_str(&self.token).map_err(ApiError::internal)?;
        token.set_sensitive(true);
        Ok(HeaderMap::from_iter([(IDENTITY_HEADER, identity), (IDENTITY_TOKEN_HEADER, token)]))
    }
}

/// The caller of a request that carried a good token, or `None` if it carried none. A bad token is refused.
pub(crate) struct MaybeCaller(pub(crate) Option<Caller>);

impl FromRequestParts<AppState> for MaybeCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, ApiError> {
        match token_of(parts)? {
            Some(token) => Ok(Self(Some(state.auth.authenticate(token).await?))),
            None => Ok(Self(None)),
        }
    }
}

/// The token of a request: `Authorization: Bearer`, else `?token=`, which browsers need for WebSockets. 400 for a header or
/// a query that cannot be read, as one that has two tokens.
fn token_of(parts: &Parts) -> Result<Option<String>, ApiError> {
    #[derive(Deserialize)]
    struct TokenQuery {
        token: Option<String>,
    }
    if let Some(value) = parts.headers.get(header::AUTHORIZATION) {
        let malformed = || ApiError::bad_request("Authorization is invalid: send `Authorization: Bearer <token>`");
        let (scheme, token) = value.to_str().ok().and_then(|value| value.split_once(' ')).ok_or_else(malformed)?;
        return if scheme.eq_ignore_ascii_case("bearer") {
            Ok(Some(token.trim().to_owned()))
        } else {
            Err(malformed())
        };
    }
    // Not "none": whoever sent one is told that it was not understood, and not made somebody else.
    let query = Query::<TokenQuery>::try_from_uri(&parts.uri)
        .map_err(|error| ApiError::bad_request(format!("the query cannot be read: {}", error.body_text())))?;
    Ok(query.0.token)
}

/// Middleware for the routes of databases: finds out who calls, or makes somebody up, and says so in the answer.
pub(crate) async fn identify(
    State(state): State<AppState>,
    MaybeCaller(caller): MaybeCaller,
    mut request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let caller = match caller {
        Some(caller) => caller,
        None => state.auth.mint()?,
    };
    let headers = caller.headers()?;
    request.extensions_mut().insert(Arc::new(caller));
    let mut response = next.run(request).await;
    response.headers_mut().extend(headers);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails the test if anybody asks it: it stands where the network would be reached.
    struct Unreachable;

    #[async_trait::async_trait]
    impl TokenValidator for Unreachable {
        async fn validate_token(&self, _: &str) -> Result<SpacetimeIdentityClaims, TokenValidationError> {
            panic!("the network was reached");
        }
    }

    fn token_from(issuer: &str) -> String {
        let payload = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"iss":"{issuer}","sub":"s","iat":1}}"#));
        format!("e30.{payload}.c2ln")
    }

    #[tokio::test]
    async fn an_issuer_that_nobody_named_is_refused_without_a_fetch() {
        for trusted in [vec![], vec!["https://issuer.example".to_owned()]] {
            let validator = TrustedIssuers { issuers: trusted, inner: Unreachable };
            let refused = validator.validate_token(&token_from("https://evil.example")).await.unwrap_err();
            assert!(refused.to_string().contains("https://evil.example"), "{refused}");
            assert!(validator.validate_token("not a token").await.is_err());
        }
    }

    #[test]
    fn a_query_with_two_tokens_is_refused_and_not_taken_for_none() {
        let token = |uri: &str| token_of(&http::Request::get(uri).body(()).unwrap().into_parts().0);
        assert_eq!(token("/v1/ping?token=one"), Ok(Some("one".into())));
        assert_eq!(token("/v1/ping?other=x"), Ok(None));
        let refused = token("/v1/ping?token=one&token=two").unwrap_err();
        assert!(format!("{refused:?}").contains("duplicate field"), "{refused:?}");
    }

    #[test]
    fn a_websocket_token_never_outlives_its_original() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let lifetime = Duration::from_secs(60);
        let sooner = now + Duration::from_secs(5);
        assert_eq!(short_lived_expiry(now, None, lifetime), now + lifetime);
        assert_eq!(short_lived_expiry(now, Some(sooner), lifetime), sooner);
        assert_eq!(short_lived_expiry(now, Some(now + Duration::from_secs(600)), lifetime), now + lifetime);
    }
}
