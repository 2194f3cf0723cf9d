//! Many sessions are cut at once and come back, as the shipped clients do: with jitter, and not all in one moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use muster_contract::{backoff, rows::PresenceSummary, rows::Row};
use muster_wire::{ConnectOptions, ConnectionId, Endpoint, Token};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::scene::{Scene, under_load};
use crate::gates::limits::CONNECTING_AT_ONCE;
use crate::gates::recorder::{Recorder, ms, quantile};
use crate::gates::session::{Session, SessionError};
use crate::gates::site::{Stage, impatient, words};
use crate::gates::traffic::{told_to, until};
use crate::observation::{Observation, Quantity};

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    under_load(stage, recorder, "reconnect_storm", async |scene: &Scene<'_>| {
        let (proxy, through) = stage.proxied().await?;
        let count = stage.settings().load.storm_clients;
        let crowd = Crowd::gather(stage, through, count).await?;
        recorder.observe(Observation::noted("reconnect_storm.sessions", count).unit("sessions"));
        let before = crowd.ids();
        let patience = stage.settings().patience();
        let seen = rows_of(stage, &before, patience, count).await;
        let why = "not every session of the crowd has its row in active_connection";
        recorder.must("reconnect_storm.rows_before", seen == Ok(count), counted(&seen), why);

        let began = Instant::now();
        proxy.cut();
        // Each of them has noticed: nobody stayed.
        let cut = until(patience, async || crowd.attempts() >= count).await;
        let back = crowd.until(patience, |connected| connected == count).await;
        let took = ms(began.elapsed());
        scene.recorder.push("storm recovery", Quantity::Recovery, "ms", Instant::now(), took);
        if !cut {
            return Err("the sessions were never cut".into());
        }
        let limit = stage.settings().slo.reconnect_ms;
        let why = "not every session was back in the time that the lane allows";
        recorder.at_most("reconnect_storm.all_back", if back { took } else { f64::INFINITY }, limit, "ms", why);
        let mut waits = crowd.waits();
        if let Some(p95) = quantile(&mut waits, 0.95) {
            recorder.observe(Observation::noted("reconnect_storm.p95", p95).unit("ms"));
        }
        recorder.observe(Observation::noted("reconnect_storm.attempts", crowd.attempts()));
        let after = crowd.ids();
        let ghosts = rows_of(stage, &before, patience, 0).await;
        let why = "sessions that are gone still have rows in active_connection (ghosts)";
        recorder.must("reconnect_storm.ghosts", ghosts == Ok(0), counted(&ghosts), why);
        crowd.part().await;
        let left = rows_of(stage, &after, patience, 0).await;
        recorder.must("reconnect_storm.rows_after", left == Ok(0), counted(&left), why);
        Ok(())
    })
    .await;
}

fn counted(rows: &Result<usize, String>) -> crate::observation::Value {
    match rows {
        Ok(count) => (*count).into(),
        Err(why) => why.as_str().into(),
    }
}

/// How many of these sessions have a row, once that is `wanted` or the time is up.
async fn rows_of(stage: &Stage, ids: &[ConnectionId], limit: Duration, wanted: usize) -> Result<usize, String> {
    let deadline = Instant::now() + limit;
    let wanted_ids: std::collections::BTreeSet<String> = ids.iter().map(|id| id.to_hex().to_string()).collect();
    loop {
        let answer = stage.http.sql("SELECT connection_id FROM active_connection", true).await;
        let rows = answer.map_err(|error| words(&error))?.statements.into_iter().next().map(|it| it.rows);
        let rows = rows.unwrap_or_default();
        let found = rows.iter().filter(|row| row.first().is_some_and(|cell| names(cell.get(), &wanted_ids))).count();
        if found == wanted || Instant::now() >= deadline {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whether a cell of SQL is one of these ids: hosts write an id as a number, decimal or hexadecimal, perhaps wrapped.
fn names(cell: &str, ids: &std::collections::BTreeSet<String>) -> bool {
    let inner = cell.trim_matches(|c: char| "[]{}\" ".contains(c)).trim_start_matches("\"__connection_id__\":");
    let inner = inner.rsplit(':').next().unwrap_or(inner).trim_matches(|c: char| "\" ".contains(c));
    let number = match inner.strip_prefix("0x") {
        Some(hex) => u128::from_str_radix(hex, 16).ok(),
        None => inner.parse::<u128>().ok(),
    };
    number.is_some_and(|number| ids.contains(&format!("{number:032x}")))
}

/// Sessions that come back by themselves until they are told to part.
struct Crowd {
    connected: watch::Receiver<usize>,
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    members: JoinSet<()>,
}

struct Shared {
    connected: watch::Sender<usize>,
    ids: Mutex<Vec<Option<ConnectionId>>>,
    waits: Mutex<Vec<f64>>,
    attempts: std::sync::atomic::AtomicUsize,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    /// Connects them all, some at a time.
    async fn gather(stage: &Stage, through: Endpoint, count: usize) -> Result<Crowd, String> {
        let (sender, connected) = watch::channel(0);
        let shared = Arc::new(Shared {
            connected: sender,
            ids: Mutex::new(vec![None; count]),
            waits: Mutex::default(),
            attempts: Default::default(),
        });
        let token = stage.site.token.clone();
        let open = |index: usize| {
            let (through, token) = (through.clone(), token.clone());
            async move { enter(through, token).await.map(|session| (index, session)) }
        };
        let sessions: Vec<_> = futures::stream::iter(0..count).map(open).buffered(CONNECTING_AT_ONCE).collect().await;
        let (stop, stopped) = watch::channel(false);
        let mut members = JoinSet::new();
        for session in sessions {
            let (index, session) = session.map_err(|error| words(&error))?;
            let member = Member { index, through: through.clone(), token: token.clone(), shared: shared.clone() };
            shared.arrived(index, session.connection.connection_id());
            members.spawn(member.stay(session, stopped.clone()));
        }
        Ok(Crowd { connected, shared, stop, members })
    }

    async fn until(&self, limit: Duration, mut is_it: impl FnMut(usize) -> bool) -> bool {
        let mut connected = self.connected.clone();
        matches!(timeout(limit, connected.wait_for(|count| is_it(*count))).await, Ok(Ok(_)))
    }

    fn ids(&self) -> Vec<ConnectionId> {
        locked(&self.shared.ids).iter().copied().flatten().collect()
    }

    fn waits(&self) -> Vec<f64> {
        locked(&self.shared.waits).clone()
    }

    fn attempts(&self) -> usize {
        self.shared.attempts.load(std::sync::atomic::Ordering::Relaxed)
    }

    async fn part(mut self) {
        self.stop.send_replace(true);
        while self.members.join_next().await.is_some() {}
    }
}

impl Shared {
    fn arrived(&self, index: usize, id: ConnectionId) {
        locked(&self.ids)[index] = Some(id);
        self.connected.send_modify(|count| *count += 1);
    }

    fn left(&self, index: usize) {
        locked(&self.ids)[index] = None;
        self.connected.send_modify(|count| *count -= 1);
    }
}

struct Member {
    index: usize,
    through: Endpoint,
    token: Option<Token>,
    shared: Arc<Shared>,
}

impl Member {
    async fn stay(self, mut session: Session, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                           _ = session.connection.wait_closed() => {}
                           () = told_to(&mut stop) => {
            session.close().await;
                               return;
                           }
                       }
            self.shared.left(self.index);
            let began = Instant::now();
            let Some(again) = self.come_back(&mut stop).await else { return };
            session = again;
            locked(&self.shared.waits).push(ms(began.elapsed()));
            self.shared.arrived(self.index, session.connection.connection_id());
        }
    }

    async fn come_back(&self, stop: &mut watch::Receiver<bool>) -> Option<Session> {
        for attempt in 0.. {
            let wait = Duration::from_millis(backoff::wait_ms(attempt, rand::random()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = told_to(stop) => return None,
            }
            self.shared.attempts.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if let Ok(session) = enter(self.through.clone(), self.token.clone()).await {
                return Some(session);
            }
        }
        None
    }
}

/// A session that follows what a crowd follows.
async fn enter(through: Endpoint, token: Option<Token>) -> Result<Session, SessionError> {
    let mut options = ConnectOptions::new(through).token(token);
    options.timeouts = impatient();
    let session = Session::with(options).await?;
    session.connection.subscribe(&[format!("SELECT * FROM {}", PresenceSummary::TABLE)]).await?;
    Ok(session)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_in_each_way_that_hosts_write_it() {
        let ids = [format!("{:032x}", 255)].into();
        for cell in ["[255]", "255", "\"0xff\"", "[\"0xff\"]", "{\"__connection_id__\":255}"] {
            assert!(names(cell, &ids), "{cell}");
        }
        for cell in ["254", "\"x\"", ""] {
            assert!(!names(cell, &ids), "{cell}");
        }
    }
}
