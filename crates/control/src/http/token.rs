//! `POST /oauth/token` (RFC 6749 sections 4.4 and 6, RFC 8693 section 2).

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::answer::Refusal;
use super::credentials::{Form, Presented, form};
use super::{Call, claimed};
use crate::claims::scope_text;
use crate::grant::Wanted;
use crate::inner::Inner;
use crate::issue::{IssueError, Issued, Refreshed, Request};
use crate::metrics::Counter;
use crate::secret::Secret;
use crate::store::clients::Client;

/// The grant type of RFC 8693.
pub(crate) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Beside OAuth's parameters: `oa_sync_streams` (stream patterns, separated by spaces), `subject` (for whom, where the
/// client may name another) and `requested_expires_in` (seconds).
pub(crate) async fn token(call: Call) -> Result<Response, Refusal> {
    let mut form = form(&call.headers, &call.body)?;
    let claimed = claimed(&call.headers);
    call.inner
        .config
        .window
        .check(claimed)
        .map_err(|reason| Refusal::incompatible(reason, &call.inner.config.window))?;
    let client_build = claimed.client_build.map(str::to_owned);
    let client = Presented::find(&call.headers, &mut form)?.check(&call.inner, call.address).await?;
    let grant_type = form.remove("grant_type").ok_or_else(|| Refusal::invalid_request("grant_type is missing"))?;
    let request = request(&mut form, client_build)?;
    match grant_type.as_str() {
        "client_credentials" => {
            call.inner
                .blocking(move |inner| {
                    Ok(answer(inner, "client_credentials", &client_credentials(inner, &client, request)?, None))
                })
                .await
        }
        "refresh_token" => {
            let token = required(&mut form, "refresh_token")?;
            call.inner
                .blocking(move |inner| {
                    Ok(answer(inner, "refresh_token", &refresh(inner, &client, &token, request)?, None))
                })
                .await
        }
        EXCHANGE => {
            let token = subject_token(&mut form, &call.inner.config.audience)?;
            call.inner
                .blocking(move |inner| {
                    Ok(answer(inner, "token-exchange", &exchange(inner, &client, &token, request)?, Some(ACCESS_TOKEN)))
                })
                .await
        }
        _ => Err(Refusal::unsupported_grant_type()),
    }
}

fn required(form: &mut Form, name: &'static str) -> Result<Secret, Refusal> {
    form.remove(name).map(Secret::new).ok_or_else(|| Refusal::invalid_request(format!("{name} is missing")))
}

fn request(form: &mut Form, client_build: Option<String>) -> Result<Request, Refusal> {
    let wanted = Wanted::parse(form.remove("scope").as_deref(), form.remove("oa_sync_streams").as_deref());
    let lifetime_s = form.remove("requested_expires_in").map(|text| text.parse()).transpose();
    Ok(Request {
        wanted: wanted.map_err(IssueError::from)?,
        subject: form.remove("subject"),
        lifetime_s: lifetime_s.map_err(|_| Refusal::invalid_request("requested_expires_in is a number of seconds"))?,
        client_build,
    })
}

/// The one kind of exchange there is: an access token of this issuer, for one of the same audience. The actor is the
/// client that asks, as it authenticated; a token for another actor would be one more thing to steal.
fn subject_token(form: &mut Form, audience: &str) -> Result<Secret, Refusal> {
    let kind = |text: Option<String>| text.is_none_or(|text| [ACCESS_TOKEN, JWT].contains(&text.as_str()));
    if form.remove("actor_token").is_some() || form.remove("actor_token_type").is_some() {
        return Err(Refusal::invalid_request("actor_token is not taken: the client that authenticates is the actor"));
    }
    if form.contains_key("resource") || form.remove("audience").is_some_and(|wanted| wanted != audience) {
        return Err(Refusal::invalid_target());
    }
    let given = form.remove("subject_token_type");
    if given.is_none() || !kind(given) || !kind(form.remove("requested_token_type")) {
        return Err(Refusal::invalid_request("subject_token_type and requested_token_type are access tokens or JWTs"));
    }
    required(form, "subject_token")
}

fn client_credentials(inner: &Inner, client: &Client, request: Request) -> Result<Issued, Refusal> {
    Ok(inner.store.write(|tx| inner.issuer().client_credentials(tx, client, request, true))?)
}

fn refresh(inner: &Inner, client: &Client, token: &Secret, request: Request) -> Result<Issued, Refusal> {
    if request.subject.is_some() {
        return Err(Refusal::invalid_request("a refresh token has its subject; leave subject out"));
    }
    match inner.store.write(|tx| inner.issuer().refresh(tx, client, token, request))? {
        Refreshed::Issued(issued) => Ok(*issued),
        Refreshed::FamilyEnded => {
            tracing::warn!(client = client.id, "a spent refresh token was shown again; its family is revoked");
            inner.note_revoked();
            Err(Refusal::invalid_grant("the refresh token is not good; authenticate anew"))
        }
    }
}

fn exchange(inner: &Inner, client: &Client, token: &Secret, request: Request) -> Result<Issued, Refusal> {
    if request.subject.is_some() {
        return Err(Refusal::invalid_request("the subject is the subject token's; leave subject out"));
    }
    Ok(inner.store.write(|tx| inner.issuer().exchange(tx, client, token, request))?)
}

/// RFC 6749 section 5.1, and RFC 8693 section 2.2.1 where a token was exchanged.
fn answer(inner: &Inner, grant_type: &str, issued: &Issued, issued_token_type: Option<&str>) -> Response {
    inner.metrics.count(Counter::Tokens, grant_type);
    let mut body = json!({
        "access_token": issued.token.expose(),
        "token_type": "Bearer",
        "expires_in": issued.expires_in_s(),
        "scope": scope_text(&issued.grant),
        "oa_sync_streams": issued.grant.streams,
    });
    if let Some(token) = &issued.refresh_token {
        body["refresh_token"] = token.expose().into();
    }
    if let Some(kind) = issued_token_type {
        body["issued_token_type"] = kind.into();
    }
    Json(body).into_response()
}
