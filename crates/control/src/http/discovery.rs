//! What hosts and clients read first: where everything is (OpenID Connect Discovery 1.0, RFC 8414) and the key set (RFC
//! 7517).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde_json::{Value, json};

use super::answer::Refusal;
use crate::grant::Scope;
use crate::inner::Inner;
use crate::limits::JWKS_MAX_AGE_S;
use crate::store::keys;

/// One document for both addresses. OpenID's required members that mean nothing without a person's browser are there
/// with the least that libraries accept: there is no authorization endpoint and there are no ID tokens.
pub(crate) async fn metadata(State(inner): State<Arc<Inner>>) -> Response {
    let config = &inner.config;
    let methods = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
    cached(json!({
        "issuer": config.issuer,
        "token_endpoint": config.url("/oauth/token"),
        "revocation_endpoint": config.url("/oauth/revoke"),
        "introspection_endpoint": config.url("/oauth/introspect"),
        "jwks_uri": config.url("/jwks.json"),
        "grant_types_supported": ["client_credentials", "refresh_token", super::token::EXCHANGE],
        "scopes_supported": Scope::ALL.map(Scope::as_str),
        "response_types_supported": ["none"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported": methods,
        "token_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "revocation_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_signing_alg_values_supported": ["ES256"],
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": ["ES256"],
    }))
}

/// The public keys: announced, active and retiring.
pub(crate) async fn jwks(State(inner): State<Arc<Inner>>) -> Result<Response, Refusal> {
    let keys = inner.blocking(|inner| inner.store.read(|connection| Ok::<_, Refusal>(keys::all(connection)?))).await?;
    let published = keys.iter().filter(|key| key.facts.state.is_published());
    let keys: Vec<Value> = published
        .map(|key| {
            json!({
                "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
                "kid": key.facts.kid, "x": key.public.x, "y": key.public.y,
            })
        })
        .collect();
    Ok(cached(json!({ "keys": keys })))
}

fn cached(document: Value) -> Response {
    ([(header::CACHE_CONTROL, format!("public, max-age={JWKS_MAX_AGE_S}"))], Json(document)).into_response()
}
