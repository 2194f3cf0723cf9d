//! Who asks: a client's secret or signed assertion, found in a request and checked.
//!
//! What always holds: one answer for an unknown client, a disabled one and a wrong secret, and the same work for each;
//! an attempt is counted before the work is done and given back when it was right or nothing was looked at, so that
//! guessing in parallel gains nothing; what was sent is neither logged nor repeated.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, header};
use serde::Deserialize;
use url::form_urlencoded;

use super::answer::Refusal;
use crate::inner::{Address, Attempt, Inner};
use crate::keys;
use crate::limits::{
    ASSERTION_ID_BYTES_MAX, ASSERTION_LIFETIME_MAX_S, CLIENT_ID_BYTES_MAX, CLOCK_MARGIN_S, CREDENTIAL_BYTES_MAX,
};
use crate::metrics::Counter;
use crate::secret::Secret;
use crate::store::StoreError;
use crate::store::clients::{self, Client};
use crate::store::keys::PublicKey;

/// The `client_assertion_type` of RFC 7523 section 2.2.
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The parameters of a form, each at most once.
pub(crate) type Form = BTreeMap<String, String>;

/// Reads a form (RFC 6749 section 4). A parameter without a value is as if it were not there (section 3.1).
pub(crate) fn form(headers: &HeaderMap, body: &[u8]) -> Result<Form, Refusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err(Refusal::invalid_request("send a form: content type application/x-www-form-urlencoded"));
    }
    let mut form = Form::new();
    for (name, value) in form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
        if form.insert(name.into_owned(), value.into_owned()).is_some() {
            return Err(Refusal::invalid_request("a parameter stands there twice"));
        }
    }
    Ok(form)
}

/// What a client shows of itself.
pub(crate) struct Presented {
    client_id: String,
    proof: Proof,
}

enum Proof {
    Secret(Secret),
    Assertion(Secret),
}

impl Presented {
    /// Finds the one proof in a request, and takes it out of the form.
    pub(crate) fn find(headers: &HeaderMap, form: &mut Form) -> Result<Presented, Refusal> {
        let named = form.remove("client_id");
        let kind = form.remove("client_assertion_type");
        let secret = form.remove("client_secret").map(Secret::new);
        let assertion = form.remove("client_assertion").map(Secret::new);
        let presented = match (basic(headers)?, secret, assertion) {
            (Some(basic), None, None) => basic,
            (None, Some(secret), None) => Presented {
                client_id: named.clone().ok_or_else(Refusal::invalid_client)?,
                proof: Proof::Secret(secret),
            },
            (None, None, Some(_)) if kind.as_deref() != Some(ASSERTION_TYPE) => {
                return Err(Refusal::invalid_request("client_assertion_type must be the one of RFC 7523"));
            }
            (None, None, Some(assertion)) => Presented {
                client_id: unverified_subject(&assertion).ok_or_else(Refusal::invalid_client)?,
                proof: Proof::Assertion(assertion),
            },
            (None, None, None) => return Err(Refusal::invalid_client()),
            _ => return Err(Refusal::invalid_request("authenticate in one way, not in two")),
        };
        let sound = is_client_id(&presented.client_id) && presented.bytes() <= CREDENTIAL_BYTES_MAX;
        let agrees = named.is_none_or(|named| named == presented.client_id);
        if sound && agrees { Ok(presented) } else { Err(Refusal::invalid_client()) }
    }

    fn bytes(&self) -> usize {
        match &self.proof {
            Proof::Secret(text) | Proof::Assertion(text) => text.expose().len(),
        }
    }

    /// Checks the proof.
    pub(crate) async fn check(self, inner: &std::sync::Arc<Inner>, address: Address) -> Result<Client, Refusal> {
        let Presented { client_id, proof } = self;
        let (client, attempt) = match proof {
            Proof::Secret(secret) => check_secret(inner, address, client_id, secret).await?,
            Proof::Assertion(assertion) => {
                let mut attempt = inner.gate.attempt(address, &client_id).map_err(Refusal::rate_limited)?;
                attempt.stand();
                (inner.blocking(move |inner| check_assertion(inner, &client_id, &assertion)).await?, attempt)
            }
        };
        let Some(client) = client.filter(|client| !client.disabled) else {
            inner.metrics.count(Counter::FailedClients, "");
            tracing::warn!(%address, "client authentication failed");
            return Err(Refusal::invalid_client());
        };
        attempt.give_back();
        inner.gate.client(&client.id).map_err(Refusal::rate_limited)?;
        Ok(client)
    }
}

/// Whether a text can be a client's id at all.
pub(crate) fn is_client_id(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && text.len() <= CLIENT_ID_BYTES_MAX && text.bytes().all(allowed)
}

/// RFC 6749 section 2.3.1: id and secret are form-encoded inside of HTTP Basic.
fn basic(headers: &HeaderMap) -> Result<Option<Presented>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(None) };
    let refuse = Refusal::invalid_client;
    let text = value.to_str().map_err(|_| refuse())?;
    let Some((scheme, encoded)) = text.split_once(' ') else { return Err(refuse()) };
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > CREDENTIAL_BYTES_MAX {
        return Err(refuse());
    }
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = Secret::new(decoded.ok_or_else(refuse)?);
    let (id, secret) = pair.expose().split_once(':').ok_or_else(refuse)?;
    Ok(Some(Presented { client_id: form_decoded(id), proof: Proof::Secret(Secret::new(form_decoded(secret))) }))
}

fn form_decoded(text: &str) -> String {
    // A value alone, as a form has it: `+` is a space, `%XX` a byte. `&` and `=` would be encoded there.
    let escaped = text.replace('&', "%26").replace('=', "%3D");
    form_urlencoded::parse(escaped.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

async fn check_secret(
    inner: &std::sync::Arc<Inner>,
    address: Address,
    client_id: String,
    secret: Secret,
) -> Result<(Option<Client>, Attempt<'_>), Refusal> {
    let who = client_id.clone();
    let (client, stored) = inner
        .blocking(move |inner| {
            inner.store.read(|connection| {
                let stored = clients::secrets(connection, &client_id, inner.config.clock.now_s())?;
                Ok::<_, Refusal>((clients::find(connection, &client_id)?, stored))
            })
        })
        .await?;
    let mut attempt = inner.gate.attempt(address, &who).map_err(Refusal::rate_limited)?;
    // Looked at only while an attempt is left, else guessing would be free; and at once, so that a client that asks often
    // at the same time holds none.
    if inner.passwords.remembers(&secret, &stored) {
        attempt.stand();
        return Ok((client, attempt));
    }
    let turn = inner.passwords.turn().await.map_err(|_| Refusal::busy())?;
    attempt.stand();
    let right = inner.passwords.check(turn, secret, stored).await.map_err(|_| Refusal::busy())?;
    Ok((client.filter(|_| right), attempt))
}

/// The claims of a client assertion (RFC 7523 section 3).
#[derive(Clone, Deserialize)]
struct Assertion {
    iss: String,
    sub: String,
    aud: Audience,
    exp: i64,
    nbf: Option<i64>,
    iat: Option<i64>,
    jti: String,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    /// More than one would make one assertion good at two places.
    Many([String; 1]),
}

fn unverified_subject(assertion: &Secret) -> Option<String> {
    if assertion.expose().len() > CREDENTIAL_BYTES_MAX {
        return None;
    }
    jsonwebtoken::dangerous::insecure_decode::<Assertion>(assertion.expose()).ok().map(|data| data.claims.sub)
}

fn check_assertion(inner: &Inner, client_id: &str, assertion: &Secret) -> Result<Option<Client>, Refusal> {
    let now_s = inner.config.clock.now_s();
    let (client, stored) = inner.store.read(|connection| {
        Ok::<_, StoreError>((clients::find(connection, client_id)?, clients::public_keys(connection, client_id)?))
    })?;
    let header = jsonwebtoken::decode_header(assertion.expose()).ok();
    let kid = header.and_then(|header| header.kid);
    let candidates = stored.iter().filter(|(id, _)| kid.as_ref().is_none_or(|kid| kid == id)).map(|(_, key)| key);
    let found = candidates.filter_map(|key| keys::verify::<Assertion>(assertion.expose(), key)).next();
    if stored.is_empty() {
        // An unknown client costs one verification too. What comes of it is nothing.
        drop(keys::verify::<Assertion>(assertion.expose(), &DUMMY_KEY));
    }
    let Some((claims, client)) = found.zip(client) else { return Ok(None) };
    let (Audience::One(audience) | Audience::Many([audience])) = claims.aud;
    let ours = [inner.config.issuer.clone(), inner.config.url("/oauth/token")].contains(&audience);
    let in_time = claims.exp > now_s
        && claims.exp <= now_s + ASSERTION_LIFETIME_MAX_S + CLOCK_MARGIN_S
        && claims.nbf.is_none_or(|nbf| nbf <= now_s + CLOCK_MARGIN_S)
        && claims.iat.is_none_or(|iat| iat <= now_s + CLOCK_MARGIN_S);
    let named = claims.iss == client_id && claims.sub == client_id;
    if !ours || !in_time || !named || claims.jti.is_empty() || claims.jti.len() > ASSERTION_ID_BYTES_MAX {
        return Ok(None);
    }
    let first = inner.store.write(|tx| clients::use_assertion(tx, client_id, &claims.jti, claims.exp))?;
    Ok(first.then_some(client))
}

/// A key that nobody signs with: its private half is dropped as soon as it is made.
static DUMMY_KEY: std::sync::LazyLock<PublicKey> = std::sync::LazyLock::new(keys::public_key_of_nobody);

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use http::StatusCode;

    use super::*;
    use crate::config::Config;
    use crate::rate::Rate;

    #[tokio::test]
    async fn who_is_not_answered_has_not_guessed() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::new(folder.path().join("state"), "http://127.0.0.1:1", "lane");
        config.rates.failures = Rate::new(1, 1, 3_600_000);
        let inner = Arc::new(Inner::open(config).expect("opened"));
        let ask = async || {
            let proof = Proof::Secret(Secret::new("wrong"));
            let presented = Presented { client_id: "one".into(), proof };
            let checked = presented.check(&inner, Address::new([10, 0, 0, 1].into())).await;
            axum::response::IntoResponse::into_response(checked.map(|_| ()).expect_err("wrong")).status()
        };
        let turns = (inner.passwords.turn().await, inner.passwords.turn().await);
        assert!(turns.0.is_ok() && turns.1.is_ok());
        let dropped = tokio::time::timeout(Duration::from_millis(300), ask()).await;
        assert!(dropped.is_err(), "it waits for a turn");
        assert_eq!(ask().await, StatusCode::SERVICE_UNAVAILABLE);
        drop(turns);
        assert_eq!(ask().await, StatusCode::UNAUTHORIZED, "neither was an attempt");
        assert_eq!(ask().await, StatusCode::TOO_MANY_REQUESTS, "this was one");
    }
}
