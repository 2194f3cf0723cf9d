//! `POST /api/sync/token`: the plane's own mint. One request, one answer with all that a session needs to connect, and
//! when to come back for its successor.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use muster_contract::{PROTOCOL_ID, StreamPattern};

use super::answer::Refusal;
use super::credentials::{Form, Presented};
use super::{Call, claimed};
use crate::grant::{Scope, Wanted};
use crate::inner::Inner;
use crate::issue::{IssueError, Issued, Request};
use crate::metrics::Counter;
use crate::secret::Secret;
use crate::store::clients::Client;
use crate::store::cohorts;

/// What a client asks for. Its proof of identity is here or in HTTP Basic; what is absent means all it is registered for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    client_id: Option<String>,
    client_secret: Option<Secret>,
    client_assertion: Option<Secret>,
    client_assertion_type: Option<String>,
    subject: Option<String>,
    scopes: Option<Vec<String>>,
    streams: Option<Vec<String>>,
    expires_in: Option<i64>,
}

/// A token and what goes with it. Frozen: clients of every age read it.
#[derive(Serialize)]
struct Answer<'a> {
    token: &'a str,
    token_type: &'static str,
    transport: &'static str,
    protocol_version: &'static str,
    /// Seconds.
    expires_in: i64,
    /// Seconds: when to fetch the successor.
    refresh_after_in: i64,
    /// The same as a time, in seconds since 1970, by this service's clock.
    refresh_after: i64,
    scopes: Vec<Scope>,
    /// Which database to connect to: the lane's, or the candidate of the cohort that the subject belongs to. Absent where
    /// the service was not told the lane's.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<&'a str>,
    granted_streams: &'a [StreamPattern],
}

/// The client's build, protocol and schema version must be there: whoever asks here is one of ours.
pub(crate) async fn mint(call: Call) -> Result<Response, Refusal> {
    let claimed = claimed(&call.headers);
    let window = &call.inner.config.window;
    window.check_all(claimed).map_err(|reason| Refusal::incompatible(reason, window))?;
    let ask: Ask = match call.body.is_empty() {
        true => serde_json::from_slice(b"{}"),
        false => serde_json::from_slice(&call.body),
    }
    // What serde says may repeat what was sent, such as a secret in the wrong place.
    .map_err(|_| {
        Refusal::invalid_request("the body is a JSON object with client_id, scopes, streams, subject, expires_in")
    })?;
    let (mut proof, request) = split(ask, claimed.client_build.map(str::to_owned))?;
    let client = Presented::find(&call.headers, &mut proof)?.check(&call.inner, call.address).await?;
    call.inner
        .blocking(move |inner| {
            let (issued, database) = issue(inner, &client, request)?;
            inner.metrics.count(Counter::Tokens, "mint");
            Ok(answer(&issued, database.as_deref()))
        })
        .await
}

fn split(ask: Ask, client_build: Option<String>) -> Result<(Form, Request), Refusal> {
    let text = |secret: Option<Secret>| secret.map(|secret| secret.expose().to_owned());
    let proof = [
        ("client_id", ask.client_id),
        ("client_secret", text(ask.client_secret)),
        ("client_assertion", text(ask.client_assertion)),
        ("client_assertion_type", ask.client_assertion_type),
    ];
    let request = Request {
        wanted: Wanted::of_words(words(ask.scopes.as_deref()), words(ask.streams.as_deref()))
            .map_err(IssueError::from)?,
        subject: ask.subject,
        lifetime_s: ask.expires_in,
        client_build,
    };
    let present = proof.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Ok((present.collect(), request))
}

fn words(list: Option<&[String]>) -> Option<Vec<&str>> {
    list.map(|list| list.iter().map(String::as_str).collect())
}

/// The token, and the database that its subject belongs to: decided in one transaction.
fn issue(inner: &Inner, client: &Client, request: Request) -> Result<(Issued, Option<String>), Refusal> {
    let subject = request.subject.clone().unwrap_or_else(|| client.id.clone());
    let issued = inner.store.write(|tx| {
        let issued = inner.issuer().client_credentials(tx, client, request, false)?;
        let Some(own) = &inner.config.database else { return Ok((issued, None)) };
        let cohort = cohorts::find(tx, own).map_err(IssueError::from)?;
        let candidate = cohort.filter(|cohort| cohort.share.has(&cohort.candidate, &subject));
        let database = candidate.map_or_else(|| own.clone(), |cohort| cohort.candidate);
        Ok::<_, IssueError>((issued, Some(database)))
    })?;
    Ok(issued)
}

fn answer(issued: &Issued, database: Option<&str>) -> Response {
    let refresh_after_in = issued.refresh_after_in_s();
    Json(Answer {
        token: issued.token.expose(),
        token_type: "Bearer",
        transport: "spacetime_ws",
        protocol_version: PROTOCOL_ID,
        expires_in: issued.expires_in_s(),
        refresh_after_in,
        refresh_after: issued.issued_s + refresh_after_in,
        scopes: issued.grant.scopes.iter().copied().collect(),
        database,
        granted_streams: &issued.grant.streams,
    })
    .into_response()
}
