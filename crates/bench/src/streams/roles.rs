//! The processes that publish and apply, as `muster bench` starts them.
//!
//! What always holds: they use the crates as an application would; each ends when nobody is left to ask it anything.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::try_join_all;
use muster_contract::state::ConnectionState;
use muster_contract::{StreamId, StreamPattern};
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, PublishError, Publisher};
use muster_sync::{ApplicationError, Apply, Batch, Change, EventLog, Reader, StartAt, StreamStatus, Subscriber};
use muster_wire::Endpoint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::{Duration, Instant};

#[cfg(feature = "host")]
use super::words::{Append, Appended};
use super::words::{Applied, Publish, Published, Wait, now_us};
use super::{OUTBOX, STORE, payload};
use crate::limits::{APPEND_EVENTS, KEEP_AT_ONCE, STREAMS_LOOK, STREAMS_PATIENCE};
use crate::stats::percentile;

type Outcome<T = ()> = Result<T, String>;

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Answers one line of JSON for another, until there are no more.
pub(crate) async fn serve<Order: DeserializeOwned, Answer: Serialize>(
    mut answer: impl AsyncFnMut(Order) -> Outcome<Answer>,
) -> Outcome {
    let mut line = "{}".to_owned();
    loop {
        line.push('\n');
        let mut stdout = std::io::stdout().lock();
        stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).map_err(text)?;
        drop(stdout);
        let order = tokio::task::spawn_blocking(|| std::io::stdin().lines().next()).await.map_err(text)?;
        let Some(order) = order.transpose().map_err(text)? else { return Ok(()) };
        let order = serde_json::from_str(&order).map_err(text)?;
        line = serde_json::to_string(&answer(order).await?).map_err(text)?;
    }
}

/// Prepares what it is told, and appends that with the engine in this process when it is told to.
///
/// # Errors
/// Words about whatever went wrong; a measurement is then void.
#[cfg(feature = "host")]
pub async fn engine(module: bytes::Bytes) -> Outcome {
    let engine = super::engine::Engine::start(&module).await.map_err(text)?;
    let mut prepared = None;
    serve(async |order: Append| match order {
        Append::Prepare(order) => {
            prepared = Some(super::engine::prepare(&super::Load::of(&order).map_err(text)?));
            Ok(None)
        }
        Append::Go => {
            let calls = prepared.take().ok_or("nothing was prepared")?;
            let began_us = now_us();
            engine.run(calls).await.map_err(text)?;
            Ok(Some(Appended { began_us, done_us: now_us() }))
        }
    })
    .await
}

/// Publishes what it is told, from an outbox in `folder`.
///
/// # Errors
/// Words about whatever went wrong; a measurement is then void.
pub async fn publisher(endpoint: Endpoint, folder: &Path) -> Outcome {
    let publisher = Publisher::open(OutboxConfig::new(folder.join(OUTBOX))).map_err(text)?;
    let mut config = ConnectConfig::new(endpoint);
    config.core.batch_events_max = APPEND_EVENTS as u32;
    publisher.connect(config);
    serve(async |order: Publish| publish(&publisher, &order).await).await
}

async fn publish(publisher: &Publisher, order: &Publish) -> Outcome<Published> {
    let began_us = now_us();
    // Each stream has its events from one place, one batch after the other: their order is the application's.
    let lanes = order.streams.min(KEEP_AT_ONCE);
    try_join_all((0..lanes).map(|lane| keep_lane(publisher, order, lane, lanes))).await?;
    let kept_us = now_us();
    publisher.flush(STREAMS_PATIENCE).await.map_err(text)?;
    let confirmed_us = now_us();
    let metrics = publisher.metrics();
    let (calls, commits) = (metrics.sender.accepted_calls, metrics.commits);
    Ok(Published { began_us, kept_us, confirmed_us, calls, commits })
}

/// Every so many-th stream's batches, in turn.
async fn keep_lane(publisher: &Publisher, order: &Publish, lane: usize, lanes: usize) -> Outcome {
    let streams: Vec<StreamId> = (lane..order.streams).step_by(lanes).map(|index| order.stream(index)).collect();
    let mut due = Instant::now();
    for done in (0..order.each).step_by(usize::try_from(order.batch).map_err(text)?) {
        for stream in &streams {
            if order.pause_us > 0 {
                tokio::time::sleep_until(due).await;
                due += Duration::from_micros(order.pause_us);
            }
            keep(publisher, order, stream, done).await.map_err(text)?;
        }
    }
    Ok(())
}

async fn keep(publisher: &Publisher, order: &Publish, stream: &StreamId, done: u64) -> Result<(), PublishError> {
    let count = order.batch.min(order.each - done);
    let first = order.first + done;
    let payloads: Vec<String> = (first..first + count).map(|n| payload(n, order.payload_bytes)).collect();
    publisher.publish_many(stream, payloads.iter().map(|payload| Draft::new("bench", payload))).await.map(drop)
}

/// What the application has seen.
#[derive(Debug, Default)]
struct Seen {
    events: AtomicU64,
    batches: AtomicU64,
    /// Times of the events of the stream whose latency is looked at, from its first event on.
    times_us: Mutex<Vec<i64>>,
}

/// Keeps every event, and counts.
struct Counting {
    seen: Arc<Seen>,
    /// Whether the times of events are noted: only of few, one by one.
    notes_times: bool,
}

impl Apply for Counting {
    fn prepare(&mut self, transaction: &rusqlite::Transaction<'_>) -> Result<(), ApplicationError> {
        EventLog.prepare(transaction)
    }

    fn apply(&mut self, transaction: &rusqlite::Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        EventLog.apply(transaction, batch)?;
        if let Change::Events(run) = &batch.change {
            if self.notes_times {
                let mut times = self.seen.times_us.lock().unwrap_or_else(PoisonError::into_inner);
                times.extend(run.events.iter().map(|event| event.at.to_micros_since_unix_epoch()));
            }
            self.seen.events.fetch_add(run.events.len() as u64, Ordering::Relaxed);
            self.seen.batches.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Applies what matches `pattern` to a database in `folder`. With `latency_of` it also measures how long each event of that
/// one stream takes.
///
/// # Errors
/// Words about whatever went wrong; a measurement is then void.
pub async fn subscriber(endpoint: Endpoint, folder: &Path, pattern: &str, latency_of: Option<StreamId>) -> Outcome {
    let seen = Arc::new(Seen::default());
    let pattern = StreamPattern::parse(pattern).map_err(text)?;
    let application = Counting { seen: seen.clone(), notes_times: latency_of.is_some() };
    let store = folder.join(STORE);
    let builder = Subscriber::builder(endpoint, &store).follow(pattern, StartAt::Start).client("bench");
    let subscriber = builder.apply(application).await.map_err(text)?;
    let mut status = subscriber.status();
    // A backlog is replayed before it is live; the one who asks begins to wait for it at once.
    let under_way =
        status.wait_for(|status| matches!(status.state, ConnectionState::Live | ConnectionState::Replaying));
    tokio::time::timeout(STREAMS_PATIENCE, under_way).await.map_err(text)?.map_err(text)?;
    let reader = Reader::open(&store).map_err(text)?;
    let latencies = Arc::new(Mutex::new(Vec::new()));
    if let Some(stream) = latency_of {
        tokio::spawn(note_latencies(Arc::new(subscriber), stream, seen.clone(), latencies.clone()));
    }
    serve(async |Wait::Applied(goal)| {
        let at_us = applied(&reader, &seen, goal).await?;
        let taken = std::mem::take(&mut *latencies.lock().unwrap_or_else(PoisonError::into_inner));
        let of = |percent| Some(percentile(&taken, percent)).filter(|ms| ms.is_finite());
        let (p50_ms, p99_ms) = (of(50.0), of(99.0));
        Ok(Applied { at_us, batches: seen.batches.load(Ordering::Relaxed), p50_ms, p99_ms })
    })
    .await
}

/// Waits until so many events are committed, and says when they were.
async fn applied(reader: &Reader, seen: &Seen, goal: u64) -> Outcome<u64> {
    let deadline = Instant::now() + STREAMS_PATIENCE;
    loop {
        // The database is asked only once the application has seen them all: their commit is near then.
        let has_seen = seen.events.load(Ordering::Relaxed);
        if has_seen >= goal {
            let sql = "SELECT coalesce(sum(seq), 0) FROM muster_cursor";
            let committed =
                reader.connection().prepare_cached(sql).and_then(|mut sum| sum.query_row((), |row| row.get(0)));
            if committed.map(i64::cast_unsigned).map_err(text)? >= goal {
                return Ok(now_us());
            }
        }
        if Instant::now() >= deadline {
            return Err(format!("{has_seen} of {goal} events were applied in {} s", STREAMS_PATIENCE.as_secs()));
        }
        tokio::time::sleep(STREAMS_LOOK).await;
    }
}

/// Notes, whenever the stream's cursor has moved, how long ago the events up to it were given to the publisher.
async fn note_latencies(
    subscriber: Arc<Subscriber>,
    stream: StreamId,
    seen: Arc<Seen>,
    latencies: Arc<Mutex<Vec<f64>>>,
) {
    let mut status: watch::Receiver<StreamStatus> = loop {
        match subscriber.stream(&stream) {
            Some(status) => break status,
            None => tokio::time::sleep(STREAMS_LOOK).await,
        }
    };
    let mut noted = 0;
    loop {
        let cursor = status.borrow_and_update().cursor.map_or(0, |at| at.seq.get());
        let now_us = now_us();
        while noted < cursor {
            let times = seen.times_us.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(at_us) = usize::try_from(noted).ok().and_then(|index| times.get(index)) else { break };
            let took_us = now_us.saturating_sub(at_us.cast_unsigned());
            latencies.lock().unwrap_or_else(PoisonError::into_inner).push(took_us as f64 / 1e3);
            noted += 1;
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}
