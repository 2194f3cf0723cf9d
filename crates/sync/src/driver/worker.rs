//! The thread that writes the store.
//!
//! What always holds: it takes what waits, up to [`APPLY_AT_ONCE_MAX`] batches, into one transaction, and reports each.
//! Its queues have room for everything that the engine may have under way, so that neither side ever waits for the
//! other. When the task lets go of it, it finishes what it has begun and ends; a batch that waits for an application that
//! does not ask for it is taken back.

use std::sync::Arc;
use std::thread;

use muster_contract::pattern::StreamPattern;
use rusqlite::Transaction;
use tokio::sync::mpsc;

use crate::batch::{Batch, Change, Place};
use crate::engine::{ApplyFailure, BatchNo};
use crate::limits::{APPLY_AT_ONCE_MAX, FOLLOWS_MAX};
use crate::store::{ApplicationError, Apply, Store, StoreError};

use super::desk::{Counter, Desk};

/// What the thread is to do.
pub(crate) enum Job {
    Apply(BatchNo, Box<Batch>),
    Establish(StreamPattern, u64),
}

/// What became of it.
pub(crate) enum Done {
    Applied(BatchNo),
    Failed(BatchNo, ApplyFailure),
    Moved(BatchNo, Option<Place>),
    NotEstablished(StreamPattern),
}

/// The task's end.
pub(crate) struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    /// Where batches are handed out, if they are.
    pub(super) desk: Option<Arc<Desk>>,
    pub(crate) done: mpsc::Receiver<Done>,
}

/// The most jobs that can be under way.
const JOBS_MAX: usize = APPLY_AT_ONCE_MAX + FOLLOWS_MAX;

/// Who makes something of the batches.
pub(crate) enum Taker {
    /// The store's thread has them applied and commits.
    Apply(Box<dyn Apply>),
    /// The application commits them itself, one after the other.
    Hand(Counter),
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(store: Store, taker: Taker) -> std::io::Result<Worker> {
        let (jobs, inbox) = mpsc::channel(JOBS_MAX);
        let (outbox, done) = mpsc::channel(JOBS_MAX);
        let desk = match &taker {
            Taker::Apply(_) => None,
            Taker::Hand(counter) => Some(counter.desk.clone()),
        };
        let thread = Thread { store, taker, inbox, outbox };
        thread::Builder::new().name("muster-store".into()).spawn(move || thread.run())?;
        Ok(Worker { jobs: Some(jobs), desk, done })
    }

    pub(super) fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Full it cannot be; closed it is only after a panic, which is noticed by its silence.
            let _ = jobs.try_send(job);
        }
    }

    pub(super) fn close(&mut self) {
        self.jobs = None;
        if let Some(desk) = &self.desk {
            desk.close();
        }
    }
}

struct Thread {
    store: Store,
    taker: Taker,
    inbox: mpsc::Receiver<Job>,
    outbox: mpsc::Sender<Done>,
}

impl Thread {
    fn run(mut self) {
        while let Some(first) = self.inbox.blocking_recv() {
            let mut batches = Vec::new();
            let mut job = Some(first);
            while let Some(next) = job {
                match next {
                    Job::Apply(number, batch) => batches.push((number, batch)),
                    Job::Establish(pattern, last_no) => self.establish(pattern, last_no),
                }
                job = if batches.len() < APPLY_AT_ONCE_MAX { self.inbox.try_recv().ok() } else { None };
            }
            self.batches(&batches);
        }
    }

    fn establish(&mut self, pattern: StreamPattern, last_no: u64) {
        if let Err(error) = self.store.establish(&pattern, last_no) {
            tracing::warn!(%error, %pattern, "the beginning of a follow is not written down yet");
            self.tell(Done::NotEstablished(pattern));
        }
    }

    fn batches(&mut self, batches: &[(BatchNo, Box<Batch>)]) {
        if batches.is_empty() {
            return;
        }
        let outcomes = match &mut self.taker {
            Taker::Apply(application) => {
                self.store.apply(batches.iter().map(|(_, batch)| batch.as_ref()), application.as_mut())
            }
            Taker::Hand(_) => return self.hand_out(batches),
        };
        for ((number, _), outcome) in batches.iter().zip(outcomes) {
            self.tell(match outcome {
                Ok(()) => Done::Applied(*number),
                Err(error) => Done::Failed(*number, error.failure()),
            });
        }
    }

    fn hand_out(&mut self, batches: &[(BatchNo, Box<Batch>)]) {
        for (number, batch) in batches {
            let Taker::Hand(counter) = &self.taker else { return };
            let done = match hand(&mut self.store, counter, batch) {
                Ok(Handed::Committed) => Done::Applied(*number),
                Ok(Handed::Elsewhere(place)) => Done::Moved(*number, place),
                Err(error) => Done::Failed(*number, error.failure()),
            };
            self.tell(done);
        }
    }

    fn tell(&self, done: Done) {
        // There is room for all that can be under way; nobody listens only when the runtime is gone.
        let _ = self.outbox.try_send(done);
    }
}

/// What became of a batch that was handed out.
enum Handed {
    Committed,
    /// The store stands at another place than before and behind the batch.
    Elsewhere(Option<Place>),
}

/// Gives a batch to the application, waits until it lets go of it, and looks where the store stands. Nothing is handed
/// out that does not come right after the store's cursor: the application may have committed a batch of which nobody
/// could be told.
fn hand(store: &mut Store, counter: &Counter, batch: &Batch) -> Result<Handed, StoreError> {
    let before = store.place(&batch.stream)?;
    if before.map(|place| place.position) != batch.after {
        return Ok(Handed::Elsewhere(before));
    }
    if matches!(batch.change, Change::Begin(_)) {
        let nothing = &mut |_: &Transaction<'_>, _: &Batch| Ok::<(), ApplicationError>(());
        let outcome = store.apply([batch], nothing).pop().unwrap_or(Err(StoreError::Closed));
        return outcome.map(|()| Handed::Committed);
    }
    counter.offer(batch)?;
    match store.place(&batch.stream)? {
        Some(place) if place == batch.ends() => Ok(Handed::Committed),
        place if place == before => Err(StoreError::NotCommitted),
        place => Ok(Handed::Elsewhere(place)),
    }
}
