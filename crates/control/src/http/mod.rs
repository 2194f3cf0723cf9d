//! The service's HTTP surface: one file for each address.
//!
//! What always holds: every request is counted against its address before anything else is done, has a limited size and
//! time, and every answer but the discovery documents says `no-store`.

pub(crate) mod answer;
mod credentials;
mod discovery;
mod introspect;
mod observe;
mod revocations;
mod sync_token;
mod token;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderMap, StatusCode, header};

use self::answer::{Refusal, Refused, no_store};
pub(crate) use self::credentials::is_client_id;
use crate::compat::{CLIENT_BUILD_HEADER, Claimed, PROTOCOL_HEADER, SCHEMA_HEADER};
use crate::inner::{Address, Inner};
use crate::limits::{BODY_BYTES_MAX, REQUEST_TIMEOUT};
use crate::metrics::Counter;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// What requests are counted by.
const ROUTES: [&str; 10] = [
    "/.well-known/openid-configuration",
    "/.well-known/oauth-authorization-server",
    "/jwks.json",
    "/healthz",
    "/metrics",
    "/oauth/token",
    "/oauth/revoke",
    "/oauth/introspect",
    "/api/sync/token",
    "/api/revocations",
];

/// The routes.
pub(crate) fn router(inner: Arc<Inner>) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(discovery::metadata))
        .route("/.well-known/oauth-authorization-server", get(discovery::metadata))
        .route("/jwks.json", get(discovery::jwks))
        .route("/healthz", get(observe::healthz))
        .route("/metrics", get(observe::metrics))
        .route("/oauth/token", post(token::token))
        .route("/oauth/revoke", post(introspect::revoke))
        .route("/oauth/introspect", post(introspect::introspect))
        .route("/api/sync/token", post(sync_token::mint))
        .route("/api/revocations", get(revocations::feed))
        .fallback(|| async { Refusal::not_found() })
        .method_not_allowed_fallback(|| async { Refusal::method_not_allowed() })
        .layer(middleware::from_fn_with_state(inner.clone(), guard))
        .with_state(inner)
}

/// What stands before every request.
async fn guard(State(inner): State<Arc<Inner>>, mut request: Request, next: Next) -> Response {
    let address = Address::new(address_of(&request, inner.config.trusted_proxy));
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(address);
    let mut response: Response = match inner.gate.address(address) {
        Err(retry_after_s) => Refusal::rate_limited(retry_after_s).into_response(),
        Ok(()) => match tokio::time::timeout(REQUEST_TIMEOUT, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Refusal::busy().into_response(),
        },
    };
    if let Some(code) = response.extensions().get::<Refused>() {
        inner.metrics.count(Counter::Refusals, code.0.as_str());
    }
    if !response.headers().contains_key(header::CACHE_CONTROL) {
        no_store(response.headers_mut());
    }
    inner.metrics.count(Counter::Requests, route(&path));
    inner.metrics.count(Counter::Answers, response.status().as_str());
    // The path alone: a query could hold anything that somebody put there by mistake.
    tracing::debug!(%address, %method, path = known(&path), status = response.status().as_u16(), "request");
    response
}

/// A path as a label: one of the routes, and everything else as one.
fn route(path: &str) -> &str {
    if ROUTES.contains(&path) { path } else { "other" }
}

/// A path of ours, or none: nothing that a stranger wrote gets into the log.
fn known(path: &str) -> &str {
    if path.len() < 64 && path.bytes().all(|byte| byte.is_ascii_lowercase() || b"/.-_".contains(&byte)) {
        path
    } else {
        "-"
    }
}

/// The peer, or whom the trusted proxy names: the last entry, because those before are whatever the client sent.
fn address_of(request: &Request, trusted_proxy: Option<IpAddr>) -> IpAddr {
    let peer = request.extensions().get::<Peer>().map_or(IpAddr::from([0, 0, 0, 0]), |peer| peer.0.ip().to_canonical());
    if trusted_proxy.map(|proxy| proxy.to_canonical()) != Some(peer) {
        return peer;
    }
    let last = request.headers().get_all("x-forwarded-for").iter().next_back();
    let named = last.and_then(|value| value.to_str().ok()).and_then(|list| list.rsplit(',').next());
    named.and_then(|text| text.trim().parse().ok()).unwrap_or(peer)
}

/// A request as the handlers want it: where from, which headers, and a body of limited size.
pub(crate) struct Call {
    pub(crate) inner: Arc<Inner>,
    pub(crate) address: Address,
    pub(crate) headers: HeaderMap,
    pub(crate) query: String,
    pub(crate) body: Bytes,
}

impl FromRequest<Arc<Inner>> for Call {
    type Rejection = Refusal;

    async fn from_request(request: Request, inner: &Arc<Inner>) -> Result<Call, Refusal> {
        let (parts, body): (_, Body) = request.into_parts();
        let body = to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| Refusal::body(StatusCode::PAYLOAD_TOO_LARGE))?;
        let address = parts.extensions.get::<Address>().copied().ok_or_else(Refusal::internal)?;
        let query = parts.uri.query().unwrap_or_default().to_owned();
        Ok(Call { inner: inner.clone(), address, headers: parts.headers, query, body })
    }
}

/// What a request says of its client.
pub(crate) fn claimed(headers: &HeaderMap) -> Claimed<'_> {
    let text = |name| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    Claimed {
        client_build: text(CLIENT_BUILD_HEADER),
        protocol_id: text(PROTOCOL_HEADER),
        schema_version: text(SCHEMA_HEADER),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(peer: &str, forwarded: &str, proxy: Option<&str>) -> String {
        let mut request =
            Request::builder().header("x-forwarded-for", forwarded).body(Body::empty()).expect("a request");
        request.extensions_mut().insert(Peer(format!("{peer}:1").parse().expect("an address")));
        address_of(&request, proxy.map(|proxy| proxy.parse().expect("an address"))).to_string()
    }

    #[test]
    fn only_the_trusted_proxy_is_believed_and_of_it_only_the_last_word() {
        assert_eq!(address("10.0.0.1", "1.1.1.1", None), "10.0.0.1");
        assert_eq!(address("10.0.0.1", "1.1.1.1, 2.2.2.2", Some("10.0.0.1")), "2.2.2.2");
        assert_eq!(address("10.0.0.2", "1.1.1.1", Some("10.0.0.1")), "10.0.0.2");
        assert_eq!(address("10.0.0.1", "nonsense", Some("10.0.0.1")), "10.0.0.1");
        assert_eq!(address("[::ffff:10.0.0.1]", "1.1.1.1", Some("10.0.0.1")), "1.1.1.1");
    }

    #[test]
    fn an_ipv6_address_counts_as_its_network() {
        let network = |text: &str| Address::new(text.parse().expect("an address"));
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff:1"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
    }
}
