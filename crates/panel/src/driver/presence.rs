//! The connection that sessions come over, and its probes.
//!
//! What always holds: a proof is told only after everything that the host said before it; one probe is under way at a
//! time; the connection comes back by itself, more and more slowly, until it is closed; with another token the next one is
//! opened before the present one is let go.

use std::time::Duration;

use muster_contract::rows::{ActiveConnection, PresenceSummary, Row};
use muster_contract::state::LeaveReason;
use muster_contract::{Client, Code, backoff};
use muster_wire::{
    CallError, ConnectError, ConnectOptions, Connection, Incoming, QueryAnswer, Rows, Transaction, Update, connect,
};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::Teller;
use crate::clock::At;
use crate::limits::{PROBE_MS, PROBE_MS_MAX, REFUSED_RETRY_MS, ms};
use crate::model::Observation;
use crate::model::observation::PresenceWord;
use crate::model::refusal::Refusal;
use crate::model::sessions::SessionRow;

const SESSIONS: &str = "SELECT * FROM active_connection";
const SUMMARY: &str = "SELECT * FROM presence_summary";

/// Why a session ended.
enum Ended {
    Lost {
        reason: LeaveReason,
        message: String,
    },
    Refused(Refusal),
    /// Another token is there: connect with it at once.
    OtherToken,
}

/// As whom to connect; `None` in the channel: no token is there yet.
pub(super) type Tokens = watch::Receiver<Option<ConnectOptions>>;

/// Runs until it is dropped.
pub(super) async fn run(mut tokens: Tokens, tell: Teller) {
    let mut attempts = 0;
    loop {
        let Ok(options) = tokens.wait_for(Option::is_some).await.map(|options| options.clone()) else { return };
        let Some(options) = options else { continue };
        tokens.mark_unchanged();
        tell.tell(Observation::Database(options.endpoint.database().into())).await;
        tell.presence(PresenceWord::Connecting).await;
        let mut has_answered = false;
        let ended = session(options, &mut tokens, &tell, &mut has_answered).await;
        attempts = if has_answered { 1 } else { attempts + 1u32 };
        let wait = match ended {
            Ended::OtherToken if tokens.has_changed().is_err() => return,
            Ended::OtherToken => continue,
            Ended::Lost { reason, message } => {
                let wait = ms(backoff::wait_ms(attempts.saturating_sub(1), random()));
                let next_retry = tell.now().after(wait);
                tell.presence(PresenceWord::Lost { reason, message, next_retry }).await;
                wait
            }
            Ended::Refused(refusal) => {
                let wait = ms(REFUSED_RETRY_MS);
                let next_retry = tell.now().after(wait);
                tell.presence(PresenceWord::Refused { refusal, next_retry }).await;
                wait
            }
        };
        tokio::select! {
            () = sleep(wait) => {}
            changed = tokens.changed() => if changed.is_err() { return },
        }
    }
}

/// Evenly distributed bits, from the clock's last digits spread out: it is only about not retrying in step.
fn random() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u8)
}

/// A connection with its subscription.
struct Opened {
    connection: Connection,
    incoming: Incoming,
    database: String,
    /// Who is connected, or why that is not for this session.
    first: PresenceWord,
    /// When the host was asked for that.
    asked_at: At,
}

async fn open(options: ConnectOptions, tell: &Teller) -> Result<Opened, Ended> {
    let database = options.endpoint.database().to_owned();
    let (connection, incoming) =
        connect(options.expect(Client::of_this_build())).await.map_err(|error| not_connected(&error))?;
    let asked_at = tell.now();
    let first = match connection.subscribe(&[SESSIONS]).await {
        Ok(subscription) => match subscription.rows::<ActiveConnection>(ActiveConnection::TABLE) {
            Ok(rows) => PresenceWord::Rows(rows.into_iter().map(row).collect()),
            Err(error) => return Err(broken(error.to_string())),
        },
        Err(CallError::Refused(said)) => PresenceWord::RowsRefused(said),
        Err(error) => return Err(lost(error.to_string())),
    };
    Ok(Opened { connection, incoming, database, first, asked_at })
}

/// One connection after the other, each let go only when the next one is there, until there is none.
async fn session(options: ConnectOptions, tokens: &mut Tokens, tell: &Teller, has_answered: &mut bool) -> Ended {
    let mut opened = match open(options, tell).await {
        Ok(opened) => opened,
        Err(ended) => return ended,
    };
    loop {
        let Opened { connection, incoming, database, first, asked_at } = opened;
        let module = connection.contract().map(|row| format!("{} (schema {})", row.module_version, row.schema_version));
        tell.tell(Observation::Database(database)).await;
        tell.presence(PresenceWord::Open { connection_id: connection.connection_id().to_string(), module }).await;
        let is_all = matches!(first, PresenceWord::Rows(_));
        tell.presence(first).await;
        if is_all {
            tell.presence(PresenceWord::Proof(asked_at)).await;
        }
        let next = tokio::select! {
            ended = serve(&connection, incoming, tell, has_answered) => Err(ended),
            next = successor(tokens, tell) => next,
        };
        // Politely, and nobody waits for it.
        tokio::spawn(async move {
            connection.close().await;
        });
        opened = match next {
            Ok(next) => next,
            Err(ended) => return ended,
        };
    }
}

/// The connection with the next token. Where that fails the present one, whose token ends, is no better.
async fn successor(tokens: &mut Tokens, tell: &Teller) -> Result<Opened, Ended> {
    loop {
        if tokens.changed().await.is_err() {
            return Err(Ended::OtherToken);
        }
        let options = tokens.borrow_and_update().clone();
        if let Some(options) = options {
            return open(options, tell).await;
        }
    }
}

async fn serve(connection: &Connection, mut incoming: Incoming, tell: &Teller, has_answered: &mut bool) -> Ended {
    let mut probes = interval(ms(PROBE_MS));
    probes.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut probe = std::pin::pin!(None);
    loop {
        tokio::select! {
            biased;
            update = incoming.next() => match update {
                Some(Update::Transaction(transaction)) => match change(&transaction) {
                    Ok(Some(word)) => tell.presence(word).await,
                    Ok(None) => {}
                    Err(error) => return broken(error),
                },
                Some(Update::SubscriptionFailed { message, .. }) => return lost(message),
                Some(Update::Closed(reason)) => return lost(reason.to_string()),
                None => return lost("the connection is gone".into()),
            },
            answered = async { probe.as_mut().as_pin_mut().expect("looked at first").await }, if probe.is_some() => {
                probe.set(None);
                match answered {
                    Ok((asked_at, answer)) => {
                        *has_answered = true;
                        proven(tell, asked_at, answer).await;
                    }
                    Err(message) => return lost(message),
                }
            }
            _ = probes.tick(), if probe.is_none() => probe.set(Some(ask(connection, tell.now()))),
        }
    }
}

/// One probe: any answer proves that the host was there when it was asked, or later.
async fn ask(connection: &Connection, asked_at: At) -> Result<(At, Option<QueryAnswer>), String> {
    let limit: Duration = ms(PROBE_MS_MAX);
    match tokio::time::timeout(limit, connection.one_off_query(SUMMARY)).await {
        Ok(Ok(answer)) => Ok((asked_at, Some(answer))),
        Ok(Err(CallError::Refused(_) | CallError::Rows(_))) => Ok((asked_at, None)),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("the host has not answered for {} s", limit.as_secs())),
    }
}

async fn proven(tell: &Teller, asked_at: At, answer: Option<QueryAnswer>) {
    let rows = answer.and_then(|answer| answer.rows::<PresenceSummary>(PresenceSummary::TABLE).ok());
    if let Some(summary) = rows.and_then(|mut rows| rows.pop()) {
        let by_role = summary.by_role.into_iter().map(|role| (role.role, role.count.into())).collect();
        tell.presence(PresenceWord::Summary { total: summary.total.into(), by_role }).await;
    }
    tell.presence(PresenceWord::Proof(asked_at)).await;
}

fn change(transaction: &Transaction) -> Result<Option<PresenceWord>, String> {
    let (mut came, mut went) = (Vec::new(), Vec::new());
    let tables = transaction.query_sets.iter().flat_map(|set| &set.tables);
    for table in tables.filter(|table| table.table == ActiveConnection::TABLE) {
        came.extend(decode(&table.inserted)?);
        went.extend(decode(&table.deleted)?.into_iter().map(|row| row.connection_id));
    }
    Ok((!came.is_empty() || !went.is_empty()).then_some(PresenceWord::Changed { came, went }))
}

fn decode(rows: &Rows) -> Result<Vec<SessionRow>, String> {
    let rows = rows.decode::<ActiveConnection>().map_err(|error| error.to_string())?;
    Ok(rows.into_iter().map(row).collect())
}

fn row(row: ActiveConnection) -> SessionRow {
    SessionRow {
        connection_id: row.connection_id.to_string(),
        identity: row.identity.to_string(),
        client: row.client_id,
        role: row.role,
        build: row.client_build,
        since: At(row.connected_at.to_micros_since_unix_epoch()),
    }
}

fn lost(message: String) -> Ended {
    Ended::Lost { reason: LeaveReason::Network, message }
}

/// Rows that cannot be read, although the shapes were compared.
fn broken(message: String) -> Ended {
    Ended::Refused(Refusal::of(Code::SchemaMismatch, message))
}

fn not_connected(error: &ConnectError) -> Ended {
    let said = error.to_string();
    match error {
        ConnectError::Contract(error) => Ended::Refused(Refusal::of(error.code, error.detail.clone())),
        ConnectError::Unauthorized { .. } => Ended::Refused(Refusal::of(Code::Unauthorized, said)),
        ConnectError::Rejected { said: by_the_module, .. } => {
            match muster_contract::Refusal::from_wire(by_the_module) {
                Some(it) => Ended::Refused(Refusal::of(it.code, it.message)),
                None => Ended::Refused(Refusal::of(Code::ForbiddenStream, said)),
            }
        }
        ConnectError::Forbidden { .. } => Ended::Refused(Refusal::of(Code::ForbiddenStream, said)),
        error if error.is_retryable() => lost(said),
        _ => Ended::Refused(Refusal::elsewhere(&said)),
    }
}
