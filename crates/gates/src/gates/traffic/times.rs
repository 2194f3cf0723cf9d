//! When events were published and applied, and what a subscriber was told meanwhile.
//!
//! What always holds: an event is counted once however often it is applied; the time is that of its transaction's end but
//! for the commit itself.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use muster_sync::{ApplicationError, Apply, Batch, Change, EventLog};
use rusqlite::Transaction;
use tokio::sync::watch;

/// Shared by who publishes and who applies.
#[derive(Debug)]
pub(crate) struct Times {
    inner: Mutex<Inner>,
    applied: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By number, from 1 on.
    published: Vec<Instant>,
    applied: Vec<Option<Instant>>,
    resets: Vec<String>,
}

impl Times {
    pub(crate) fn new() -> Arc<Times> {
        Arc::new(Times { inner: Mutex::default(), applied: watch::Sender::new(0) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So many events are about to be published.
    pub(crate) fn publishing(&self, count: usize) {
        let now = Instant::now();
        let mut inner = self.inner();
        inner.published.extend(std::iter::repeat_n(now, count));
        let length = inner.published.len();
        inner.applied.resize(length, None);
    }

    /// How many events were published.
    pub(crate) fn published(&self) -> u64 {
        self.inner().published.len() as u64
    }

    /// How many different events were applied, whenever that changes.
    pub(crate) fn applied(&self) -> watch::Receiver<u64> {
        self.applied.subscribe()
    }

    /// For each event that was applied: when, and how long after it was published.
    pub(crate) fn latencies(&self) -> Vec<(Instant, std::time::Duration)> {
        let inner = self.inner();
        let both = inner.published.iter().zip(&inner.applied);
        both.filter_map(|(published, applied)| applied.map(|at| (at, at.saturating_duration_since(*published))))
            .collect()
    }

    /// For what reasons the subscriber started again, in order.
    pub(crate) fn resets(&self) -> Vec<String> {
        self.inner().resets.clone()
    }

    fn apply(&self, batch: &Batch) {
        let mut inner = self.inner();
        let now = Instant::now();
        let mut new = 0;
        match &batch.change {
            Change::Events(run) => {
                for event in &run.events {
                    let index = usize::try_from(event.number).ok().and_then(|number| number.checked_sub(1));
                    if let Some(place) = index.and_then(|index| inner.applied.get_mut(index))
                        && place.replace(place.unwrap_or(now)).is_none()
                    {
                        new += 1;
                    }
                }
            }
            Change::Reset(reset) => {
                let reason = reset.reason.map_or_else(|| "none".to_owned(), |reason| reason.as_str().to_owned());
                inner.resets.push(reason);
            }
            Change::Begin(_) => {}
        }
        drop(inner);
        if new > 0 {
            self.applied.send_modify(|count| *count += new);
        }
    }
}

/// Keeps events, and their times.
pub(crate) struct Timing {
    pub(crate) log: EventLog,
    pub(crate) times: Arc<Times>,
}

impl Apply for Timing {
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        self.log.prepare(transaction)
    }

    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        self.log.apply(transaction, batch)?;
        self.times.apply(batch);
        Ok(())
    }
}
