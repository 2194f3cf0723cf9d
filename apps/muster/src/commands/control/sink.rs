//! Revocations on their way to the lane's modules: `revoke_grants`, called as the service itself.
//!
//! What always holds: the lane's own database, its candidate, and former candidates for as long as tokens may live there
//! are told each on its own, so that one that is away holds up nobody; what is confirmed is durable there (a confirmed connection), and only then is it
//! taken for delivered. Order, retries and what is remembered are `muster_control::deliver_revocations`'s.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use muster_control::limits::OWN_TOKEN_S;
use muster_control::{Control, Revocation, RevocationSink, deliver_revocations};
use muster_wire::{ConnectOptions, Connection, Endpoint, Incoming, Token, args, connect};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::config::Told;
use crate::limits::{REVOCATION_CALLS_MAX, REVOCATION_TARGETS_POLL_MS};
use crate::outcome::one_line;

/// Tells the lane's modules until it is dropped.
pub(super) async fn tell(control: Control, told: Told) {
    let mut telling: BTreeMap<String, Telling> = BTreeMap::new();
    loop {
        let wanted = wanted(&control, &told).await;
        if let Some(wanted) = wanted {
            telling.retain(|database, _| wanted.contains(database));
            for database in wanted {
                telling.entry(database.clone()).or_insert_with(|| Telling::begin(&control, &told, database));
            }
        }
        tokio::time::sleep(Duration::from_millis(REVOCATION_TARGETS_POLL_MS)).await;
    }
}

/// The databases that are to be told; `None` where that cannot be read at the moment.
async fn wanted(control: &Control, told: &Told) -> Option<Vec<String>> {
    let (control, own) = (control.clone(), told.database.clone());
    let candidates = tokio::task::spawn_blocking(move || control.cohort_candidates(&own)).await;
    match candidates {
        Ok(Ok(candidates)) => Some(std::iter::once(told.database.clone()).chain(candidates).collect()),
        Ok(Err(error)) => {
            tracing::error!(%error, "the cohorts cannot be read; revocations go where they went");
            None
        }
        Err(_) => None,
    }
}

/// A module that is being told. It ends with this.
struct Telling(JoinHandle<()>);

impl Telling {
    fn begin(control: &Control, told: &Told, database: String) -> Telling {
        let (control, told) = (control.clone(), told.clone());
        Telling(tokio::spawn(async move {
            let sink = match Module::new(control.clone(), told, database) {
                Ok(sink) => sink,
                Err(cause) => {
                    tracing::error!(cause, "a candidate cannot be told of revocations");
                    return;
                }
            };
            match sink.connected().await {
                Ok(_) => tracing::info!(database = sink.database, "revocations are told to this database"),
                Err(cause) => tracing::warn!(database = sink.database, cause, "revocations cannot be told yet"),
            }
            deliver_revocations(&control, &sink).await;
        }))
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The module of one database.
struct Module {
    control: Control,
    endpoint: Endpoint,
    database: String,
    given: Option<Token>,
    own: Mutex<Option<(Instant, Token)>>,
}

impl Module {
    fn new(control: Control, told: Told, database: String) -> Result<Module, String> {
        let endpoint = Endpoint::new(&told.server, &database).map_err(|error| error.to_string())?;
        Ok(Module { control, endpoint, database, given: told.token, own: Mutex::new(None) })
    }

    async fn token(&self) -> Result<Token, String> {
        if let Some(token) = &self.given {
            return Ok(token.clone());
        }
        let mut own = self.own.lock().await;
        let fresh = Duration::from_secs(OWN_TOKEN_S.unsigned_abs() / 2);
        if let Some((_, token)) = own.as_ref().filter(|(since, _)| since.elapsed() < fresh) {
            return Ok(token.clone());
        }
        let control = self.control.clone();
        let made = tokio::task::spawn_blocking(move || control.own_token()).await.map_err(|error| error.to_string())?;
        let made = made.map_err(|error| error.to_string())?;
        let token = Token::new(made.expose()).map_err(|error| error.to_string())?;
        *own = Some((Instant::now(), token.clone()));
        Ok(token)
    }

    async fn connected(&self) -> Result<(Connection, Incoming), String> {
        let options = ConnectOptions::new(self.endpoint.clone()).token(Some(self.token().await?));
        let connected = connect(options).await;
        if connected.is_err() {
            // It may be the token that was refused: of a key that the host does not know yet, for instance.
            self.own.lock().await.take();
        }
        connected.map_err(|error| error.to_string())
    }
}

impl RevocationSink for Module {
    fn target(&self) -> &str {
        &self.database
    }

    /// A connection for each delivery: they are rare, and one that had waited for hours could be dead without a sign.
    async fn deliver(&self, revocations: &[Revocation]) -> Result<(), String> {
        let (connection, _incoming) = self.connected().await?;
        let mut calls = Vec::with_capacity(revocations.len());
        for Revocation { kind, value, at_s, .. } in revocations {
            let arguments = args(&(kind.as_str(), value.as_str(), *at_s));
            calls.push(connection.call_reducer("revoke_grants", arguments));
        }
        // Calls are sent in this order and the host runs those of a connection one after the other.
        let told = futures::stream::iter(calls).buffered(REVOCATION_CALLS_MAX).map(|reply| match reply {
            Ok(reply) if reply.outcome.is_ok() => Ok(()),
            Ok(reply) => Err(one_line(&reply.outcome.message().unwrap_or_default())),
            Err(error) => Err(error.to_string()),
        });
        let told = told.try_collect::<()>().await;
        connection.close().await;
        told
    }
}
