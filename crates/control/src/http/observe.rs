//! `GET /healthz` and `GET /metrics`: whether the service can do its work, and what it has done.

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use super::Call;
use super::answer::Refusal;
use crate::inner::Inner;
use crate::metrics::Gauge;
use crate::schedule::KeyState;
use crate::store::{StoreError, keys, revocations, sessions};

/// Whether the database can be written and there is a key to sign with: 200, or 503 with nothing but that.
pub(crate) async fn healthz(call: Call) -> Response {
    let able = call.inner.blocking(|inner| {
        inner.store.write(|tx| {
            let kid = keys::active(tx)?;
            inner.keys.can_sign(&kid)?;
            Ok::<_, Refusal>(())
        })
    });
    match able.await {
        Ok(()) => "ok\n".into_response(),
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the service cannot issue tokens; its log says why\n").into_response()
        }
    }
}

/// Counts and states, for Prometheus.
pub(crate) async fn metrics(call: Call) -> Result<Response, Refusal> {
    let text = call.inner.blocking(|inner| Ok(inner.metrics.render(&gauges(inner)?))).await?;
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn gauges(inner: &Inner) -> Result<Vec<Gauge>, StoreError> {
    let now_s = inner.config.clock.now_s();
    inner.store.read(|connection| {
        let all = keys::all(connection)?;
        let states = [KeyState::Announced, KeyState::Active, KeyState::Retiring];
        let count = |state| all.iter().filter(|key| key.facts.state == state).count() as i64;
        let active = all.iter().find(|key| key.facts.state == KeyState::Active);
        let gauge = |name, help, label, values| Gauge { name, help, label, values };
        let one = |value| vec![(String::new(), value)];
        Ok(vec![
            gauge(
                "keys",
                "Signing keys in the key set.",
                "state",
                states.map(|state| (state.as_str().to_owned(), count(state))).to_vec(),
            ),
            gauge(
                "active_key_age_seconds",
                "For how long the present key has signed.",
                "",
                one(active.map_or(0, |key| now_s - key.facts.since_s)),
            ),
            gauge(
                "sessions",
                "Sessions that may have a live token.",
                "",
                one(sessions::count_live(connection, now_s)?),
            ),
            gauge(
                "revocations_waiting",
                "Revocations that a module has not taken yet.",
                "database",
                revocations::waiting_by_target(connection)?,
            ),
            gauge(
                "serving_since_seconds",
                "When this process began to serve.",
                "",
                one(inner.serving_since_s().unwrap_or(0)),
            ),
        ])
    })
}
