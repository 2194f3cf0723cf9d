//! `GET /api/revocations?after=N`: what was revoked, for those who end sessions elsewhere.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::header;
use serde_json::json;
use url::form_urlencoded;

use super::Call;
use super::answer::Refusal;
use super::credentials::{Form, Presented};
use crate::inner::Inner;
use crate::limits::{CREDENTIAL_BYTES_MAX, REVOCATIONS_PAGE_MAX};
use crate::secret::Secret;
use crate::store::clients::{self, Client, Permission};
use crate::store::revocations;

/// Revocations after a place in the feed, oldest first, at most [`REVOCATIONS_PAGE_MAX`]; `next` is the place to ask
/// after the next time. A client shows itself with HTTP Basic, or with an access token of this issuer.
pub(crate) async fn feed(call: Call) -> Result<Response, Refusal> {
    let after = after(&call.query)?;
    let client = match bearer(&call) {
        Some(token) => call.inner.blocking(move |inner| holder(inner, &token)).await?,
        None => Presented::find(&call.headers, &mut Form::new())?.check(&call.inner, call.address).await?,
    };
    if !client.permissions.contains(&Permission::Revocations) {
        return Err(Refusal::unauthorized_client("the client is not registered for the feed of revocations"));
    }
    let page = call.inner.blocking(move |inner| {
        inner.store.read(|connection| Ok::<_, Refusal>(revocations::after(connection, after, REVOCATIONS_PAGE_MAX)?))
    });
    let page = page.await?;
    let next = page.last().map_or(after, |last| last.seq);
    Ok(Json(json!({ "revocations": page, "next": next })).into_response())
}

fn after(query: &str) -> Result<i64, Refusal> {
    match form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "after") {
        Some((_, text)) => {
            text.parse().map_err(|_| Refusal::invalid_request("after is a number: the next of the page before"))
        }
        None => Ok(0),
    }
}

fn bearer(call: &Call) -> Option<Secret> {
    let text = call.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = text.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= CREDENTIAL_BYTES_MAX).then(|| Secret::new(token.trim()))
}

/// The client that a token was given to, as it is registered now. A token that acts for somebody is not the client's own.
fn holder(inner: &Inner, token: &Secret) -> Result<Client, Refusal> {
    inner.store.read(|connection| {
        let (claims, session) = inner.issuer().inspect(connection, token)?.ok_or_else(Refusal::invalid_token)?;
        if claims.sub != session.client_id || !session.actors.is_empty() {
            return Err(Refusal::invalid_token());
        }
        inner.gate.client(&session.client_id).map_err(Refusal::rate_limited)?;
        clients::find(connection, &session.client_id)?.ok_or_else(Refusal::invalid_token)
    })
}
