//! What is counted as events are applied: latencies, and the newest event of each stream.
//!
//! What always holds: the sync never waits for counting. A full queue drops the count of a batch and says how many were
//! dropped; the events themselves are in the store whatever happens here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use muster_contract::stream::StreamId;
use muster_sync::{ApplicationError, Apply, Batch, Change, EventLog};
use rusqlite::Transaction;
use tokio::sync::mpsc;

use crate::clock::At;
use crate::limits::TAP_BATCHES_MAX;
use crate::model::histogram::{BUCKETS, Counts, bucket};
use crate::model::streams::LastEvent;

/// What one batch was.
#[derive(Debug)]
pub(super) struct Counted {
    stream: StreamId,
    counts: Counts,
    left_out: u64,
    last: LastEvent,
}

/// Applies as [`EventLog`] does, and counts.
#[derive(Debug)]
pub(super) struct Tap {
    log: EventLog,
    /// By the wall's clock, in microseconds since 1970: what was written before is read from the past, and has no latency.
    began: i64,
    to: mpsc::Sender<Counted>,
    dropped: Arc<AtomicU64>,
}

/// The counting side.
#[derive(Debug)]
pub(super) struct Tapped {
    from: mpsc::Receiver<Counted>,
    dropped: Arc<AtomicU64>,
}

pub(super) fn tap() -> (Tap, Tapped) {
    let (to, from) = mpsc::channel(TAP_BATCHES_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    (Tap { log: EventLog, began: wall(), to, dropped: dropped.clone() }, Tapped { from, dropped })
}

impl Apply for Tap {
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        self.log.prepare(transaction)
    }

    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        self.log.apply(transaction, batch)?;
        if let Some(counted) = count(batch, self.began)
            && self.to.try_send(counted).is_err()
        {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

fn wall() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    i64::try_from(now).unwrap_or(i64::MAX)
}

/// Counts a batch's latencies: from each event's time to now, by the clocks on the walls, which is what they share.
fn count(batch: &Batch, began: i64) -> Option<Counted> {
    let Change::Events(run) = &batch.change else { return None };
    let now = wall();
    let (mut counts, mut left_out) = ([0; BUCKETS], 0);
    for event in &run.events {
        let at = event.at.to_micros_since_unix_epoch();
        match bucket(now.saturating_sub(at)).filter(|_| at >= began) {
            Some(bucket) => counts[bucket] += 1,
            None => left_out += 1,
        }
    }
    let last = run.events.last()?;
    let at = At(last.at.to_micros_since_unix_epoch());
    let last = LastEvent { seq: run.last().get(), kind: last.kind.as_str().into(), at };
    Some(Counted { stream: batch.stream.clone(), counts, left_out, last })
}

/// What came since the last look.
#[derive(Debug, Default)]
pub(super) struct Sum {
    pub(super) counts: Counts,
    pub(super) left_out: u64,
    pub(super) dropped: u64,
    pub(super) last: BTreeMap<StreamId, LastEvent>,
}

impl Tapped {
    /// Takes what is there, without waiting.
    pub(super) fn take(&mut self) -> Option<Sum> {
        let mut sum: Option<Sum> = None;
        while let Ok(Counted { stream, counts, left_out, last }) = self.from.try_recv() {
            let sum = sum.get_or_insert_default();
            for (total, count) in sum.counts.iter_mut().zip(counts) {
                *total += count;
            }
            sum.left_out += left_out;
            sum.last.insert(stream, last);
        }
        if let Some(sum) = &mut sum {
            sum.dropped = self.dropped.load(Ordering::Relaxed);
        }
        sum
    }
}
