//! Asking the token service: one request, one answer, and what a refusal means.
//!
//! What always holds: no redirect is followed, so a secret goes nowhere else; an answer is read up to
//! [`LEASE_ANSWER_BYTES_MAX`] bytes; what the service says is quoted as one line and holds no secret, because nothing that
//! was sent is repeated.

use std::time::Duration;

use muster_contract::Client;
use reqwest::{Response, StatusCode, header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::assertion;
use super::machine::Retry;
use super::source::{Control, Credential, Granted, Refused, Secret, read_secret};
use crate::error::quote;
use crate::limits::{HTTP_CONNECT_MS_MAX, LEASE_ANSWER_BYTES_MAX, LEASE_REQUEST_MS_MAX, ms};
use crate::network::classify;
use crate::tls;
use crate::token::Token;

/// The type of an assertion (RFC 7523, section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What the service answers. Fields that are not known are passed over: a newer service may say more.
#[derive(Deserialize)]
struct Answer {
    token: String,
    #[serde(default)]
    expires_in: u64,
    #[serde(default)]
    refresh_after_in: u64,
    #[serde(default)]
    scopes: Vec<String>,
    #[serde(default)]
    granted_streams: Vec<String>,
    database: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Refusal {
    error: String,
    error_description: String,
    code: String,
    window: Option<Value>,
}

/// A client for the service. Connections are not kept: questions are minutes apart, and one that was kept may be dead.
pub(super) fn http() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config(false))
        .connect_timeout(ms(HTTP_CONNECT_MS_MAX))
        .pool_max_idle_per_host(0)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Asks for a token.
pub(super) async fn ask(control: &Control) -> Result<Granted, Refused> {
    let body = body(control).await?;
    let client = Client::of_this_build();
    let request = control
        .http
        .post(format!("{}/api/sync/token", control.issuer))
        .header("oa-client-build", client.build.to_string())
        .header("oa-protocol-id", client.protocol_id)
        .header("oa-schema-version", client.schema_version.to_string())
        .header(header::CONTENT_TYPE, "application/json")
        .body(body);
    let response = request.send().await.map_err(|error| unreachable(control, &error))?;
    let (status, retry_after) = (response.status(), retry_after(&response));
    let bytes = read_body(response).await.map_err(|error| unreachable(control, &error))?;
    if status.is_success() { granted(control, &bytes) } else { Err(refused(control, status, retry_after, &bytes)) }
}

async fn body(control: &Control) -> Result<String, Refused> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.into(), value);
    put("client_id", control.client_id.as_str().into());
    match &control.credential {
        Credential::Secret(secret) => drop(put("client_secret", secret.expose().into())),
        Credential::SecretFile(path) => {
            let secret = Secret::new(read_secret(path).await?);
            if secret.expose().is_empty() {
                return Err(Refused::here(format!("{} is empty; put the client's secret there", path.display())));
            }
            put("client_secret", secret.expose().into());
        }
        Credential::PrivateKeyFile(path) => {
            let pem = Secret::new(read_secret(path).await?);
            let assertion = assertion::sign(&pem, &control.client_id, &control.issuer)
                .map_err(|why| Refused::here(format!("{} {why}", path.display())))?;
            put("client_assertion_type", ASSERTION_TYPE.into());
            put("client_assertion", assertion.expose().into());
        }
    }
    if let Some(scopes) = &control.scopes {
        put("scopes", scopes.clone().into());
    }
    if let Some(streams) = &control.streams {
        put("streams", streams.clone().into());
    }
    if let Some(subject) = &control.subject {
        put("subject", subject.as_str().into());
    }
    if let Some(lifetime) = control.lifetime {
        put("expires_in", lifetime.as_secs().into());
    }
    Ok(Value::Object(body).to_string())
}

async fn read_body(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = LEASE_ANSWER_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() >= room {
            break;
        }
    }
    Ok(bytes)
}

/// Seconds; the form with a date is not understood (RFC 9110, section 10.2.3), and Muster's service has none.
fn retry_after(response: &Response) -> Option<Duration> {
    let text = response.headers().get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

fn granted(control: &Control, bytes: &[u8]) -> Result<Granted, Refused> {
    let unreadable = || {
        let message = format!("what {} answers is no token; is it Muster's token service?", control.issuer);
        Refused::new("unreadable", message, Retry::Slowly)
    };
    let answer: Answer = serde_json::from_slice(bytes).map_err(|_| unreadable())?;
    let token = Token::new(&answer.token).map_err(|_| unreadable())?;
    if answer.expires_in == 0 {
        return Err(unreadable());
    }
    // A service that names no time, or one after the end, would leave a session to die first.
    let two_thirds = answer.expires_in * 2 / 3;
    let refresh_after_in = match answer.refresh_after_in {
        1.. if answer.refresh_after_in < answer.expires_in => answer.refresh_after_in,
        _ => two_thirds.max(1),
    };
    Ok(Granted {
        token,
        client: Some(control.client_id.clone()),
        expires_in: Some(Duration::from_secs(answer.expires_in)),
        refresh_after_in: Some(Duration::from_secs(refresh_after_in)),
        scopes: answer.scopes,
        streams: answer.granted_streams,
        database: answer.database.filter(|name| !name.is_empty()),
    })
}

fn refused(control: &Control, status: StatusCode, retry_after: Option<Duration>, bytes: &[u8]) -> Refused {
    let refusal: Refusal = serde_json::from_slice(bytes).unwrap_or_default();
    let (issuer, soon) = (&control.issuer, Retry::Soon { not_before: retry_after });
    let said = quote(&refusal.error_description);
    let said = if said.is_empty() { format!("it answers {}", status.as_u16()) } else { said };
    let word = [refusal.code, refusal.error].into_iter().find(|word| !word.is_empty());
    let code = word.map_or_else(|| "refused".into(), |word| quote(&word));
    let (retry, remedy) = match status.as_u16() {
        426 => (Retry::Never, format!("install a build that the lane serves{}", window(refusal.window.as_ref()))),
        429 | 500..=599 | 408 => (soon, "it is asked again by itself".into()),
        401 => {
            (Retry::Slowly, format!("check that `{}` is registered there with this secret or key", control.client_id))
        }
        404 | 405 => (Retry::Slowly, "is it the address of Muster's token service?".into()),
        300..=399 => (Retry::Slowly, "name the address that it sends to, if it is the right one".into()),
        _ => (Retry::Slowly, "ask for what the client is registered for".into()),
    };
    Refused::new(&code, format!("the token service at {issuer} gives no token: {said} ({code}); {remedy}"), retry)
}

/// What a lane serves, in words.
fn window(window: Option<&Value>) -> String {
    let build = window.and_then(|window| window["oldest_client_build"].as_str());
    build.map(|build| format!(" ({} or newer)", quote(build))).unwrap_or_default()
}

fn unreachable(control: &Control, error: &reqwest::Error) -> Refused {
    let authority = control.issuer.split_once("://").map_or(control.issuer.as_str(), |(_, rest)| rest);
    let why = classify(error, authority, ms(LEASE_REQUEST_MS_MAX));
    Refused::new("unreachable", format!("no token: {why}"), Retry::Soon { not_before: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Control {
        Control::new("https://control.example", "me", Credential::Secret(Secret::new("hunter2"))).expect("a service")
    }

    fn judged(status: u16, body: &str) -> Refused {
        let status = StatusCode::from_u16(status).expect("a status");
        refused(&service(), status, Some(Duration::from_secs(3)), body.as_bytes())
    }

    #[test]
    fn a_refusal_is_told_by_what_helps() {
        let soon = Retry::Soon { not_before: Some(Duration::from_secs(3)) };
        assert_eq!(judged(503, r#"{"error":"temporarily_unavailable","code":"rate_limited"}"#).retry, soon);
        assert_eq!(judged(502, "<html>").retry, soon);
        let wrong = judged(401, r#"{"error":"invalid_client","error_description":"no","code":"unauthorized"}"#);
        assert_eq!((wrong.retry, wrong.code.as_str()), (Retry::Slowly, "unauthorized"));
        assert!(wrong.message.contains("`me`"), "{wrong}");
        let old = judged(426, r#"{"code":"unsupported_client_build","window":{"oldest_client_build":"9.0.0"}}"#);
        assert_eq!(old.retry, Retry::Never);
        assert!(old.message.contains("9.0.0 or newer"), "{old}");
    }

    #[test]
    fn an_answer_is_read_whatever_else_it_says() {
        let answer = r#"{"token":"a.b.c","token_type":"Bearer","expires_in":30,"refresh_after_in":19,"refresh_after":1,
            "scopes":["sync.read"],"granted_streams":["a.*"],"database":"lane-b","colour":"blue"}"#;
        let granted = granted(&service(), answer.as_bytes()).expect("a token");
        assert_eq!((granted.database.as_deref(), granted.scopes.len()), (Some("lane-b"), 1));
        assert_eq!(granted.refresh_after_in, Some(Duration::from_secs(19)));
    }

    #[test]
    fn what_is_no_answer_is_refused_and_a_missing_time_made_up() {
        for body in ["", "{}", r#"{"token":"a b","expires_in":30}"#, r#"{"token":"a.b.c"}"#] {
            assert!(granted(&service(), body.as_bytes()).is_err(), "{body}");
        }
        let granted = granted(&service(), br#"{"token":"a.b.c","expires_in":30}"#).expect("a token");
        assert_eq!(granted.refresh_after_in, Some(Duration::from_secs(20)));
    }
}
