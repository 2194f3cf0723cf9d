//! Somebody who tries doors, and what is found.

use muster_contract::rows::{Row as _, Signal, SyncSignal};
use muster_contract::{Code, Refusal};
use muster_wire::http::{CallReply, HttpClient};
use muster_wire::sats::bsatn;
use muster_wire::{CallError, CallOutcome, Protocol, Token, Update};
use tokio::sync::Mutex;

use super::doors::{Door, Kind, Way, What};
use super::functions::Function;
use super::{PROTOCOLS, old_protocol};
use crate::lane::{Append, QUIET, Session};
use crate::plane::Plane;

/// How a door was, and what it said.
#[derive(Debug)]
pub(super) enum Found {
    Closed(String),
    Open(String),
}

/// What a refusal means: only one that is about the right to do it closes a door.
pub(super) fn refusal(line: &str) -> Found {
    const DENIED: [Code; 4] = [Code::Unauthorized, Code::ForbiddenStream, Code::BadStreamId, Code::BadSubscription];
    match Refusal::from_wire(line) {
        Some(refusal) if DENIED.contains(&refusal.code) => Found::Closed(line.into()),
        _ => Found::Open(format!("refused for another reason: {line}")),
    }
}

/// What is asked for.
pub(super) struct Ask {
    pub(super) stream: String,
    pub(super) epoch: u64,
    pub(super) head: u64,
    /// One that nobody has used.
    pub(super) producer: String,
    pub(super) issuer: String,
}

impl Ask {
    /// This stream as it is now; where it does not exist, as if it did.
    pub(super) async fn of(plane: &Plane, stream: &str) -> Ask {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let producer = format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed));
        let found = plane
            .lane
            .place
            .sql(&format!("SELECT epoch, head FROM sync_stream WHERE id = '{}'", stream.replace('\'', "''")))
            .await;
        let number = |cell: usize| found.first().map_or(1, |row| row[cell].parse().expect("a number"));
        Ask { stream: stream.into(), epoch: number(0), head: number(1), producer, issuer: plane.issuer.url() }
    }
}

/// Somebody: a token, and sessions with it by each protocol, or why there are none.
pub(super) struct Visitor {
    token: Option<Token>,
    sessions: Vec<Result<Mutex<Session>, String>>,
    http: HttpClient,
    /// Another who stays connected meanwhile.
    _beside: Option<Box<Visitor>>,
}

impl Visitor {
    /// Tries to come in.
    pub(super) async fn come(plane: &Plane, token: Option<Token>) -> Visitor {
        let mut sessions = Vec::new();
        for protocol in PROTOCOLS {
            let session = plane.knock(token.clone(), protocol).await;
            sessions.push(session.map(Mutex::new).map_err(|error| error.to_string()));
        }
        let http = plane.lane.place.http(token.clone());
        Visitor { token, sessions, http, _beside: None }
    }

    /// The same, while another stays connected.
    pub(super) fn beside(self, other: Visitor) -> Visitor {
        Visitor { _beside: Some(Box::new(other)), ..self }
    }

    /// One of the visitor's sessions, which must be there.
    pub(super) fn session(&self, protocol: Protocol) -> &Mutex<Session> {
        let index = PROTOCOLS.iter().position(|known| *known == protocol).expect("one of them");
        self.sessions[index].as_ref().expect("let in")
    }

    fn socket(&self, way: Way) -> &Result<Mutex<Session>, String> {
        &self.sessions[if way == Way::V2 { 0 } else { 1 }]
    }

    /// Tries a door.
    pub(super) async fn knock(&self, plane: &Plane, door: &Door, ask: &Ask) -> Found {
        match door.what {
            What::Table(table) if door.kind == Kind::Query => {
                self.query(door.way, &format!("SELECT * FROM {table}")).await
            }
            What::Table(table) => self.state(plane, door.way, &format!("SELECT * FROM {table}")).await,
            What::Function(function) if door.way == Way::Http => self.call_over_http(function, ask).await,
            What::Function(function) => self.call(door.way, function, ask).await,
            What::Wake => self.wait_for_wake(plane, door.way, ask).await,
        }
    }

    /// Says a statement: as a subscription by WebSocket, as SQL over HTTP.
    pub(super) async fn state(&self, plane: &Plane, way: Way, sql: &str) -> Found {
        let session = match way {
            Way::V1 => return old_protocol::subscribe(plane, self.token.as_ref(), sql).await,
            Way::Http => return self.sql(sql).await,
            Way::V2 | Way::V3 => match self.socket(way) {
                Ok(session) => session.lock().await,
                Err(why) => return Found::Closed(why.clone()),
            },
        };
        match session.connection.subscribe(&[sql]).await {
            Ok(first) => rows(first.tables.iter().map(|table| table.len()).sum()),
            Err(CallError::Refused(message)) => Found::Closed(message),
            Err(other) => panic!("{sql}: {other}"),
        }
    }

    /// Asks once.
    pub(super) async fn query(&self, way: Way, sql: &str) -> Found {
        let session = match self.socket(way) {
            Ok(session) => session.lock().await,
            Err(why) => return Found::Closed(why.clone()),
        };
        match session.connection.one_off_query(sql).await {
            Ok(answer) => rows(answer.tables.iter().map(|table| table.len()).sum()),
            Err(CallError::Refused(message)) => Found::Closed(message),
            Err(other) => panic!("{sql}: {other}"),
        }
    }

    async fn sql(&self, sql: &str) -> Found {
        match self.http.sql(sql, true).await {
            Err(error) => Found::Closed(error.to_string()),
            Ok(answer) => {
                let rows: Vec<_> = answer.statements.iter().flat_map(|statement| &statement.rows).collect();
                // A count of nothing is a row that says 0.
                let nothing = rows.iter().all(|row| row.len() == 1 && row[0].get() == "0");
                if nothing { Found::Closed("no rows".into()) } else { Found::Open(format!("{} rows", rows.len())) }
            }
        }
    }

    async fn call(&self, way: Way, function: &Function, ask: &Ask) -> Found {
        let session = match self.socket(way) {
            Ok(session) => session.lock().await,
            Err(why) => return Found::Closed(why.clone()),
        };
        let arguments = (function.arguments)(ask).0;
        let outcome = match function.answer {
            Some(_) => session.connection.call_procedure(function.name, arguments).await.expect("an answer").outcome,
            None => session.connection.call_reducer(function.name, arguments).await.expect("an answer").outcome,
        };
        match outcome {
            CallOutcome::Failed(message) => Found::Closed(message),
            CallOutcome::Refused(error) => refusal(&bsatn::from_slice::<String>(&error).expect("a text")),
            CallOutcome::Returned(value) => match function.answer {
                Some(judge) => judge(&bsatn::from_slice::<Vec<u8>>(&value).expect("a byte string")),
                None => Found::Open("done".into()),
            },
        }
    }

    async fn call_over_http(&self, function: &Function, ask: &Ask) -> Found {
        match self.http.call(function.name, &(function.arguments)(ask).1).await {
            Err(error) => Found::Closed(error.to_string()),
            // What refuses the connection and what refuses the call is told in the same way.
            Ok(CallReply::Refused(line)) => refusal(&line),
            Ok(CallReply::Returned(value)) => match (function.answer, value) {
                (Some(judge), Some(text)) => {
                    let hex: String = serde_json::from_str(&text).expect("bytes as hexadecimal digits");
                    judge(&hex::decode(hex).expect("hexadecimal digits"))
                }
                _ => Found::Open("done".into()),
            },
        }
    }

    /// Follows the stream, has the owner append to `a.x`, and listens.
    async fn wait_for_wake(&self, plane: &Plane, way: Way, ask: &Ask) -> Found {
        let mut session = match self.socket(way) {
            Ok(session) => session.lock().await,
            Err(why) => return Found::Closed(why.clone()),
        };
        session.connection.subscribe(&["SELECT * FROM sync_signal"]).await.expect("subscribed");
        let followed = session.call("follow", &(9u32, &ask.stream)).await;
        let owner = plane.lane.owner().await;
        owner.append(Append { producer: &ask.producer, ..Append::of("a.x", 1..=1) }).await.expect("appended");
        let heard = tokio::time::timeout(QUIET, async {
            loop {
                match session.incoming.next().await {
                    Some(Update::Transaction(transaction)) => {
                        let tables = transaction.query_sets.iter().flat_map(|set| &set.tables);
                        let signals = tables.filter(|table| table.table == SyncSignal::TABLE);
                        let mut signals =
                            signals.flat_map(|table| table.inserted.decode::<SyncSignal>().expect("signals"));
                        if signals.any(|signal| signal.slot == 9 && signal.what == Signal::Ahead) {
                            return;
                        }
                    }
                    other => panic!("the session ended: {other:?}"),
                }
            }
        });
        match heard.await {
            Ok(()) => Found::Open(format!("a wake, after {followed:?}")),
            Err(_) => Found::Closed(format!("{followed:?}")),
        }
    }
}

fn rows(count: usize) -> Found {
    if count == 0 { Found::Closed("no rows".into()) } else { Found::Open(format!("{count} rows")) }
}
