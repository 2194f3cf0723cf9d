//! The doors that lead to a stream, tried by a session whose token grants `a.*` and one scope.
//!
//! What always holds: a refusal counts only with its own code; an answer of another kind, or none, is not taken for one.

use std::time::Duration;

use muster_contract::Code;
use muster_contract::PayloadHash;
use muster_contract::page::{Answer, Page, ProducerState, Snapshot, StreamList, wire_hash};
use muster_contract::rows::{Row, SyncSignal};
use muster_wire::http::{CallReply, HttpClient};
use muster_wire::{Timestamp, Token, Update, args};
use serde_json::json;

use super::{Ground, Lane};
use crate::gates::recorder::Recorder;
use crate::gates::session::{Session, SessionError, event, new_producer};
use crate::gates::site::{Stage, words};
use crate::gates::traffic::KIND;
use crate::observation::Observation;

/// How long a session is watched that must not be woken.
const QUIET: Duration = Duration::from_secs(5);

/// What is asked at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    Page,
    List,
    Snapshot,
    Follow,
    Checkpoint,
    Append,
    AppendEncoded,
    PutSnapshot,
    ProducerState,
}

impl Door {
    const READING: [Door; 5] = [Door::Page, Door::List, Door::Snapshot, Door::Follow, Door::Checkpoint];
    const WRITING: [Door; 3] = [Door::Append, Door::AppendEncoded, Door::ProducerState];

    const fn as_str(self) -> &'static str {
        match self {
            Door::Page => "read_page",
            Door::List => "list_streams",
            Door::Snapshot => "read_snapshot",
            Door::Follow => "follow",
            Door::Checkpoint => "ack_checkpoint",
            Door::Append => "append_events",
            Door::AppendEncoded => "append_encoded",
            Door::PutSnapshot => "put_snapshot",
            Door::ProducerState => "producer_state",
        }
    }

    /// Tries. Each as a producer that nobody has used, so that nothing but the grant stands in the way.
    async fn knock(self, session: &Session, stream: &str, epoch: u64) -> Result<(), SessionError> {
        let producer = new_producer();
        match self {
            Door::Page => {
                session.ask::<_, Page>("read_page", &(stream, 0u64, 0u64, 0u64, 10u32, 1_000u32)).await.map(drop)
            }
            Door::List => session.ask::<_, StreamList>("list_streams", &(stream, 0u64)).await.map(drop),
            Door::Snapshot => session.ask::<_, Option<Snapshot>>("read_snapshot", &(stream, 0u64)).await.map(drop),
            Door::Follow => session.call("follow", &(7u32, stream)).await,
            Door::Checkpoint => session.call("ack_checkpoint", &(stream, epoch, 1u64, "muster-gate")).await,
            Door::Append => {
                session.append(stream, &producer, 1, vec![event(KIND, "{}".into(), Timestamp::now())]).await
            }
            Door::AppendEncoded => {
                let events = args(&vec![event(KIND, "{}".into(), Timestamp::now())]);
                session.call("append_encoded", &(stream, 0u64, producer.as_str(), 1u64, 0u64, events.as_ref())).await
            }
            Door::PutSnapshot => {
                let hash = wire_hash(PayloadHash::of(b"[]").as_bytes());
                session.call("put_snapshot", &(stream, epoch, 2u64, "[]", hash, producer.as_str())).await
            }
            Door::ProducerState => {
                let asked = (producer.as_str(), vec![stream.to_owned()]);
                session.ask::<_, Vec<ProducerState>>("producer_state", &asked).await.map(drop)
            }
        }
    }
}

/// What a `reader` or a `writer` of `a.*` gets at each door, of `a.x` and of the neighbours.
pub(super) async fn try_all(ground: &Ground, session: &Session, who: &str, recorder: &Recorder) {
    let (own, other) = if who == "reader" {
        (&Door::READING[..], &Door::WRITING[..])
    } else {
        (&Door::WRITING[..], &Door::READING[..])
    };
    let stream = ground.stream("a.x");
    for door in own {
        let told = door.knock(session, &stream, ground.epoch("a.x")).await;
        let name = format!("{who}.{}.granted", door.as_str());
        let why = told.as_ref().err().map(words).unwrap_or_default();
        recorder.must(&name, told.is_ok(), told.is_ok(), format!("what the token grants is refused: {why}"));
    }
    for neighbour in ["ab.x", "a"] {
        for door in own {
            let told = door.knock(session, &ground.stream(neighbour), ground.epoch(neighbour)).await;
            let name = format!("{who}.{}.{neighbour}", door.as_str());
            refused(&name, told, Code::ForbiddenStream, "a stream that the token does not grant", recorder);
        }
    }
    for door in other.iter().chain(&[Door::PutSnapshot]) {
        let told = door.knock(session, &stream, ground.epoch("a.x")).await;
        let name = format!("{who}.{}.scope", door.as_str());
        refused(&name, told, Code::Unauthorized, "a scope that the token does not have", recorder);
    }
}

/// Notes whether a door refused with its code.
pub(super) fn refused(name: &str, told: Result<(), SessionError>, wanted: Code, without: &str, recorder: &Recorder) {
    match told {
        Err(SessionError::Refused(refusal)) if refusal.code == wanted => {
            recorder.observe(Observation::held(name, wanted.to_string()));
        }
        Ok(()) => {
            let why = format!("a grant check is missing: it lets a session through without {without}");
            recorder.observe(Observation::broken(name, "let through", why));
        }
        Err(SessionError::Refused(refusal)) => {
            let why = format!("it refuses, but not as {wanted}: {refusal}");
            recorder.observe(Observation::broken(name, refusal.code.to_string(), why));
        }
        Err(error) => recorder.undecided(name, words(&error)),
    }
}

/// The same door over HTTP, where the session is the request.
pub(super) async fn over_http(stage: &Stage, ground: &Ground, token: Token, who: &str, recorder: &Recorder) {
    let http = match HttpClient::new(stage.site.endpoint.clone(), Some(token)) {
        Ok(http) => http.with_timeout(stage.settings().patience()),
        Err(error) => return recorder.undecided(&format!("{who}.http"), words(&error)),
    };
    let name = format!("{who}.http.read_page");
    match http.call("read_page", &json!([ground.stream("ab.x"), 0, 0, 0, 10, 1_000])).await {
        Ok(CallReply::Returned(Some(text))) => match answer_of(&text) {
            Some(Answer::Refused(_)) => recorder.observe(Observation::held(name, "refused")),
            Some(_) => {
                let why = "a grant check is missing: over HTTP it gives out a stream that the token does not grant";
                recorder.observe(Observation::broken(name, "let through", why));
            }
            None => recorder.undecided(&name, "the host's answer cannot be read"),
        },
        Ok(CallReply::Refused(_)) => recorder.observe(Observation::held(name, "refused")),
        Ok(CallReply::Returned(None)) => recorder.undecided(&name, "the host answers nothing"),
        Err(error) if matches!(error.status(), Some(401 | 403)) => {
            recorder.observe(Observation::held(name, "turned away"));
        }
        Err(error) => recorder.undecided(&name, words(&error)),
    }
    let name = format!("{who}.sql.sync_event");
    table_refused(&http, "sync_event", &name, recorder).await;
}

/// A private table over SQL: a refusal, whatever it is called; rows, or an empty answer, are none.
pub(super) async fn table_refused(http: &HttpClient, table: &str, name: &str, recorder: &Recorder) {
    match http.sql(&format!("SELECT * FROM {table}"), false).await {
        Ok(_) => {
            let why = format!("`{table}` must be private: anybody may read it over SQL");
            recorder.observe(Observation::broken(name, "readable", why));
        }
        Err(error) if matches!(error.status(), Some(400..=403)) => {
            recorder.observe(Observation::held(name, "refused"));
        }
        Err(error) => recorder.undecided(name, words(&error)),
    }
}

fn answer_of(text: &str) -> Option<Answer<Page>> {
    let bytes = serde_json::from_str::<String>(text).ok().and_then(|text| hex::decode(text).ok());
    let bytes = bytes.or_else(|| serde_json::from_str::<Vec<u8>>(text).ok())?;
    Answer::from_bytes(&bytes).ok()
}

/// A follower of `a.*` is woken by `a.x`, and not by `ab.x`, to which something was appended first.
pub(super) async fn wakes(ground: &Ground, session: Session, recorder: &Recorder) {
    let Session { connection, mut incoming } = session;
    let watched = async {
        connection.subscribe(&["SELECT * FROM sync_signal"]).await?;
        let session = Session { connection: connection.clone(), incoming };
        session.call("follow", &(0u32, ground.stream("a.*"))).await?;
        incoming = session.incoming;
        let no = ground.owner.streams(&ground.stream("a.x")).await?.first().map_or(0, |info| info.no);
        for name in ["ab.x", "a.x"] {
            let events = vec![event(KIND, r#"{"n":3}"#.into(), Timestamp::now())];
            ground.owner.append(&ground.stream(name), &new_producer(), 1, events).await?;
        }
        loop {
            match tokio::time::timeout(QUIET, incoming.next()).await {
                Ok(Some(Update::Transaction(transaction))) => {
                    let tables = transaction.query_sets.iter().flat_map(|set| &set.tables);
                    for table in tables.filter(|table| table.table == SyncSignal::TABLE) {
                        let rows = table.inserted.decode::<SyncSignal>();
                        let rows = rows.map_err(|error| SessionError::Failed(error.to_string()))?;
                        if let Some(signal) = rows.first() {
                            return Ok(Some((signal.stream == no, signal.to == connection.identity())));
                        }
                    }
                }
                Ok(Some(_)) => {}
                _ => return Ok::<_, SessionError>(None),
            }
        }
    };
    match watched.await {
        Ok(Some((is_own_stream, is_own_identity))) => {
            let why = "a follower is woken by a stream that its token does not grant, or sees somebody else's signal";
            recorder.must("reader.wakes", is_own_stream && is_own_identity, "by its own stream", why);
        }
        Ok(None) => recorder.must("reader.wakes", false, "never", "a follower is not woken by its own stream"),
        Err(error) => recorder.undecided("reader.wakes", words(&error)),
    }
    connection.close().await;
}

/// On a lane where presence needs a scope, a session without it sees nobody.
pub(super) async fn presence(lane: &Lane, session: &Session, recorder: &Recorder) {
    if !lane.presence_needs_scope {
        return recorder.observe(Observation::noted("presence.needs_scope", false));
    }
    match session.connection.one_off_query("SELECT * FROM active_connection").await {
        Ok(answer) => {
            let rows: usize = answer.tables.iter().map(|rows| rows.len()).sum();
            let why = "active_connection shows sessions to a token without presence.read";
            recorder.must("presence.hidden", rows == 0, rows, why);
        }
        Err(error) => recorder.undecided("presence.hidden", words(&error)),
    }
}
