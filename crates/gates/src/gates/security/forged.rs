//! Tokens that nobody may take: made up here, with the lane's own issuer and audience in them.
//!
//! What always holds: each is wrong in one thing only, the key or the algorithm; the claims are those that a good one has.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use muster_wire::{ConnectError, ConnectOptions, Token};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};

use super::Lane;
use crate::gates::recorder::Recorder;
use crate::gates::session::{Session, SessionError};
use crate::gates::site::{Stage, words};
use crate::observation::Observation;

/// Tries each.
pub(super) async fn run(stage: &Stage, lane: &Lane, recorder: &Recorder) {
    for (name, token) in forged(lane) {
        let name = format!("forged.{name}");
        let Ok(token) = Token::new(&token) else {
            recorder.undecided(&name, "it could not even be sent");
            continue;
        };
        let mut options = ConnectOptions::new(stage.site.endpoint.clone()).token(Some(token));
        options.timeouts.connect = stage.settings().patience();
        match Session::with(options).await {
            Ok(session) => {
                session.close().await;
                let why = "the host takes a token that the lane's issuer never signed";
                recorder.observe(Observation::broken(name, "let in", why));
            }
            Err(SessionError::Connect(
                ConnectError::Unauthorized { .. } | ConnectError::Forbidden { .. } | ConnectError::Rejected { .. },
            )) => recorder.observe(Observation::held(name, "refused")),
            Err(error) => recorder.undecided(&name, words(&error)),
        }
    }
}

fn forged(lane: &Lane) -> Vec<(&'static str, String)> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({
        "iss": lane.issuer, "aud": lane.audience, "sub": "muster-gate-forged", "client_id": "muster-gate-forged",
        "jti": format!("{:032x}", rand::random::<u128>()), "sid": "muster-gate-forged",
        "iat": now, "nbf": now, "exp": now + 300,
        "oa_sync_scopes": ["sync.read", "sync.write", "sync.snapshot", "presence.read"], "oa_sync_streams": ["*"],
    });
    let signed = |header: &Value| {
        let said = format!("{}.{}", part(header), part(&claims));
        // Another key at each call; a scalar that is none is drawn again.
        let key = std::iter::repeat_with(|| SigningKey::from_slice(&rand::random::<[u8; 32]>())).flatten().next();
        let signature: Option<Signature> = key.map(|key| key.sign(said.as_bytes()));
        let signature = signature.map(|it| BASE64_URL_SAFE_NO_PAD.encode(it.to_bytes())).unwrap_or_default();
        format!("{said}.{signature}")
    };
    vec![
        ("unknown_key", signed(&json!({"typ": "at+jwt", "alg": "ES256", "kid": "muster-gate"}))),
        ("hmac", signed(&json!({"typ": "at+jwt", "alg": "HS256", "kid": "muster-gate"}))),
        ("unsigned", format!("{}.{}.", part(&json!({"typ": "at+jwt", "alg": "none"})), part(&claims))),
    ]
}

fn part(part: &Value) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part.to_string())
}
