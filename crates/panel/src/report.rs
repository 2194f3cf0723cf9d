//! Facts as a document: for scripts (`muster top --json`) and for a diagnostics bundle.
//!
//! What always holds: it holds no token and no event's payload, and says how fresh each part is as of one moment.

use serde::Serialize;

use crate::badge::Badge;
use crate::clock::At;
use crate::model::churn::Churn;
use crate::model::outbox::OutboxLook;
use crate::model::sessions::{LinkFacts, SessionRow};
use crate::model::{Facts, LaneFacts, Pane, Refusal, StreamRow, TokenFacts};
use muster_contract::state::{ConnectionState, LeaveReason};

/// The schema of the document.
pub const SCHEMA: &str = "muster.panel.v1";

/// Facts as of one moment.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// When.
    pub at: String,
    /// Which lane.
    pub lane: Option<LaneFacts>,
    /// Who is connected.
    pub sessions: Part<SessionsReport>,
    /// How the sync is doing.
    pub sync: Part<SyncReport>,
    /// What the token grants.
    pub token: Part<TokenFacts>,
    /// Which events are shown; not the events.
    pub events: Part<EventsReport>,
    /// What waits to be sent.
    pub outbox: Part<OutboxReport>,
    /// What is wrong with the screen itself.
    pub trouble: Option<String>,
}

/// A part, and how fresh it is.
#[derive(Clone, Debug, Serialize)]
pub struct Part<T> {
    /// How fresh.
    pub badge: Badge,
    /// What has taken it over.
    pub refusal: Option<Refusal>,
    /// The part.
    #[serde(flatten)]
    pub what: T,
}

/// Who is connected.
#[derive(Clone, Debug, Serialize)]
pub struct SessionsReport {
    /// The connection that they come over.
    pub link: LinkFacts,
    /// How many.
    pub total: Option<u64>,
    /// By role.
    pub by_role: Vec<(String, u64)>,
    /// The sessions.
    pub sessions: Vec<SessionRow>,
    /// Joins and leaves of the last hour.
    pub churn: Churn,
}

/// How the sync is doing.
#[derive(Clone, Debug, Serialize)]
pub struct SyncReport {
    /// What it is doing.
    pub state: ConnectionState,
    /// Why it is not live.
    pub reason: Option<LeaveReason>,
    /// Attempts since the last success.
    pub attempts: u32,
    /// When the next one is due.
    pub next_retry: Option<String>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// Events that are missing.
    pub lag: u64,
    /// Applied events a second.
    pub rate: f64,
    /// From a producer's time to the apply, in milliseconds: half of the recent ones are below.
    pub latency_p50_ms: Option<u128>,
    /// 99 of 100 are below.
    pub latency_p99_ms: Option<u128>,
    /// The streams.
    pub streams: Vec<StreamRow>,
}

/// Which events are shown.
#[derive(Clone, Debug, Serialize)]
pub struct EventsReport {
    /// Of which stream.
    pub stream: Option<String>,
    /// How many are shown.
    pub shown: usize,
    /// The highest number in the store.
    pub through: u64,
}

/// What waits to be sent.
#[derive(Clone, Debug, Serialize)]
pub struct OutboxReport {
    /// Where it is looked for.
    pub path: Option<String>,
    /// What it has.
    #[serde(flatten)]
    pub look: Option<OutboxLook>,
}

impl Report {
    /// The facts as of `now`.
    pub fn of(facts: &Facts, now: At) -> Report {
        let sync = &facts.sync;
        Report {
            schema: SCHEMA,
            at: now.rfc3339(),
            lane: facts.lane.clone(),
            sessions: part(
                facts,
                Pane::Sessions,
                now,
                SessionsReport {
                    link: facts.sessions.link.clone(),
                    total: facts.sessions.total,
                    by_role: facts.sessions.by_role.to_vec(),
                    sessions: facts.sessions.rows.to_vec(),
                    churn: Churn::clone(&facts.sessions.churn),
                },
            ),
            sync: part(
                facts,
                Pane::Sync,
                now,
                SyncReport {
                    state: sync.state,
                    reason: sync.reason,
                    attempts: sync.attempts,
                    next_retry: sync.next_retry.map(At::rfc3339),
                    last_error: sync.last_error.as_deref().map(String::from),
                    lag: sync.lag,
                    rate: sync.rate,
                    latency_p50_ms: sync.latency.quantile(0.5).map(|it| it.as_millis()),
                    latency_p99_ms: sync.latency.quantile(0.99).map(|it| it.as_millis()),
                    streams: sync.streams.to_vec(),
                },
            ),
            token: part(facts, Pane::Token, now, facts.token.clone()),
            events: part(
                facts,
                Pane::Events,
                now,
                EventsReport {
                    stream: facts.events.stream.clone(),
                    shown: facts.events.rows.len(),
                    through: facts.events.through,
                },
            ),
            outbox: part(
                facts,
                Pane::Outbox,
                now,
                OutboxReport { path: facts.outbox.path.clone(), look: facts.outbox.look.clone() },
            ),
            trouble: facts.trouble.as_deref().map(String::from),
        }
    }
}

fn part<T>(facts: &Facts, pane: Pane, now: At, what: T) -> Part<T> {
    Part { badge: facts.badge(pane, now), refusal: facts.refusal(pane).cloned(), what }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Model, Observation};

    #[test]
    fn each_part_says_once_what_has_taken_it_over() {
        let mut model = Model::new();
        let refusal = Some(Refusal::of_token_service("the secret is wrong; give another"));
        model.on(At(1), Observation::Token(TokenFacts { refusal, ..TokenFacts::default() }));
        let text = serde_json::to_string(&Report::of(model.facts(), At(1))).expect("as JSON");
        assert_eq!(text.matches(r#""refusal":"#).count(), Pane::ALL.len(), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(read["token"]["refusal"]["title"], "The token service refuses");
    }
}
