//! Muster, as an application drives it: the publisher with its outbox, the subscriber with the table that the peers' have.
//!
//! What always holds: defaults everywhere; what is committed is asked of the subscriber and, for the last one, of its
//! database.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use muster_contract::{StreamId, StreamPattern};
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, Publisher};
use muster_sync::{ApplicationError, Apply, Batch, Change, Reader, StartAt, Subscriber};
use muster_wire::Endpoint;
use tokio::time::sleep;

use super::outbox;
use super::store::{Insert, Progress, TABLES};
use super::words::now_us;
use super::{Outcome, text};
use crate::limits::{PEERS_LOOK, STREAMS_PATIENCE};

/// The name of the database that a host is given.
pub(crate) const DATABASE: &str = "muster-bench";

fn endpoint(url: &str) -> Outcome<Endpoint> {
    Endpoint::new(url, DATABASE).map_err(text)
}

/// A publisher.
pub(crate) struct Keeper(Publisher);

impl Keeper {
    /// With its outbox in this file.
    pub(crate) fn open(url: &str, file: &Path) -> Outcome<Keeper> {
        let publisher = Publisher::open(OutboxConfig::new(file)).map_err(text)?;
        publisher.connect(ConnectConfig::new(endpoint(url)?));
        Ok(Keeper(publisher))
    }

    /// Returns once the batch is on disk.
    pub(crate) async fn keep(&self, batch: outbox::Batch) -> Outcome {
        let stream = StreamId::parse(&batch.stream).map_err(text)?;
        let drafts = batch.payloads.iter().map(|payload| Draft::new("bench", payload));
        self.0.publish_many(&stream, drafts).await.map(drop).map_err(text)
    }

    /// Returns once the host has confirmed all.
    pub(crate) async fn flush(&self) -> Outcome {
        self.0.flush(STREAMS_PATIENCE).await.map_err(text)
    }
}

/// Keeps every event in the table that the peers' stores have, and counts.
struct Keep(Arc<AtomicU64>);

impl Apply for Keep {
    fn prepare(&mut self, transaction: &rusqlite::Transaction<'_>) -> Result<(), ApplicationError> {
        Ok(transaction.execute_batch(TABLES)?)
    }

    fn apply(&mut self, transaction: &rusqlite::Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        if let Change::Events(run) = &batch.change {
            let mut insert = Insert::into(transaction)?;
            for (seq, event) in run.numbered() {
                insert.one(batch.stream.as_str(), seq.get(), &event.payload)?;
            }
            self.0.fetch_add(run.events.len() as u64, Ordering::Release);
        }
        Ok(())
    }
}

/// Follows; returns how it gets on.
pub(crate) async fn follow(url: &str, store: &Path, prefix: &str, streams: &[String]) -> Outcome<Arc<Progress>> {
    let pattern = StreamPattern::parse(&format!("{prefix}.*")).map_err(text)?;
    let seen = Arc::new(AtomicU64::new(0));
    let builder = Subscriber::builder(endpoint(url)?, store).follow(pattern, StartAt::Start);
    let subscriber = builder.apply(Keep(seen.clone())).await.map_err(text)?;
    let reader = Reader::open(store).map_err(text)?;
    let before = committed(&reader)?;
    let progress = Progress::from(before);
    let noting = progress.clone();
    let one = match streams {
        [one] => Some(StreamId::parse(one).map_err(text)?),
        _ => None,
    };
    // The subscriber lives as long as it is watched.
    let tell = |error: String| eprintln!("muster: {error}");
    match one {
        Some(stream) => drop(tokio::spawn(async move {
            watch_one(&subscriber, &stream, &noting).await.unwrap_or_else(tell);
            drop(subscriber);
        })),
        None => drop(std::thread::spawn(move || {
            watch_all(&reader, &seen, before, &noting).unwrap_or_else(tell);
            drop(subscriber);
        })),
    }
    Ok(progress)
}

fn committed(reader: &Reader) -> Outcome<u64> {
    let sum = reader.connection().prepare_cached("SELECT coalesce(sum(seq), 0) FROM muster_cursor");
    sum.and_then(|mut sum| sum.query_row((), |row| row.get::<_, i64>(0))).map(i64::cast_unsigned).map_err(text)
}

/// Of one stream the subscriber says itself when it has committed.
async fn watch_one(subscriber: &Subscriber, stream: &StreamId, progress: &Progress) -> Outcome {
    let mut status = loop {
        match subscriber.stream(stream) {
            Some(status) => break status,
            None => sleep(PEERS_LOOK).await,
        }
    };
    loop {
        let cursor = status.borrow_and_update().cursor.map_or(0, |at| at.seq.get());
        if cursor > *progress.count.borrow() {
            progress.note(cursor, now_us());
        }
        status.changed().await.map_err(text)?;
    }
}

/// Of many, the database is asked after the application has seen something new.
fn watch_all(reader: &Reader, seen: &AtomicU64, before: u64, progress: &Progress) -> Outcome {
    loop {
        if before + seen.load(Ordering::Acquire) > *progress.count.borrow() {
            let count = committed(reader)?;
            if count > *progress.count.borrow() {
                progress.note(count, now_us());
            }
        }
        std::thread::sleep(PEERS_LOOK);
    }
}
