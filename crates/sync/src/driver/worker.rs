//! The thread that writes the store.
//!
//! What always holds: it takes what waits, up to [`APPLY_AT_ONCE_MAX`] batches, into one transaction, and reports each.
//! Its queues have room for everything that the engine may have under way, so that neither side ever waits for the
//! other. When the task lets go of it, it finishes what it has begun and ends.

use std::sync::mpsc::{Receiver as Ended, SyncSender as End, sync_channel};
use std::thread;

use muster_contract::pattern::StreamPattern;
use rusqlite::Transaction;
use tokio::sync::mpsc;

use crate::batch::{Batch, Change};
use crate::engine::{ApplyFailure, BatchNo};
use crate::limits::{APPLY_AT_ONCE_MAX, FOLLOWS_MAX};
use crate::store::{ApplicationError, Apply, Store, StoreError};

/// What the thread is to do.
pub(crate) enum Job {
    Apply(BatchNo, Box<Batch>),
    Establish(StreamPattern, u64),
}

/// What became of it.
pub(crate) enum Done {
    Applied(BatchNo),
    Failed(BatchNo, ApplyFailure),
    NotEstablished(StreamPattern),
}

/// The task's end.
pub(crate) struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    pub(crate) done: mpsc::Receiver<Done>,
}

/// The most jobs that can be under way.
const JOBS_MAX: usize = APPLY_AT_ONCE_MAX + FOLLOWS_MAX;

/// Who makes something of the batches.
pub(crate) enum Taker {
    /// The store's thread has them applied and commits.
    Apply(Box<dyn Apply>),
    /// The application commits them itself, one after the other.
    Hand(mpsc::Sender<PendingBatch>),
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(store: Store, taker: Taker) -> std::io::Result<Worker> {
        let (jobs, inbox) = mpsc::channel(JOBS_MAX);
        let (outbox, done) = mpsc::channel(JOBS_MAX);
        let thread = Thread { store, taker, inbox, outbox };
        thread::Builder::new().name("muster-store".into()).spawn(move || thread.run())?;
        Ok(Worker { jobs: Some(jobs), done })
    }

    pub(super) fn give(&self, job: Job) {
        if let Some(jobs) = &self.jobs {
            // Full it cannot be; closed it is only after a panic, which is noticed by its silence.
            let _ = jobs.try_send(job);
        }
    }

    pub(super) fn close(&mut self) {
        self.jobs = None;
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
            Taker::Hand(to) => batches.iter().map(|(_, batch)| hand(&mut self.store, to, batch)).collect(),
        };
        for ((number, _), outcome) in batches.iter().zip(outcomes) {
            self.tell(match outcome {
                Ok(()) => Done::Applied(*number),
                Err(error) => Done::Failed(*number, error.failure()),
            });
        }
    }

    fn tell(&self, done: Done) {
        // There is room for all that can be under way; nobody listens only when the runtime is gone.
        let _ = self.outbox.try_send(done);
    }
}

/// A batch that the application applies and commits itself.
///
/// It applies the batch and calls [`Batch::commit`] in a transaction of its own on the store's file, commits that, and
/// drops this. Only then the next one comes. Dropped without a commit, the batch comes again after a wait.
#[derive(Debug)]
pub struct PendingBatch {
    batch: Box<Batch>,
    /// Nothing is ever sent: its drop says that the application is done.
    _dropped: End<()>,
}

impl std::ops::Deref for PendingBatch {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

/// Gives a batch to the application, waits until it lets go of it, and looks whether it is committed.
fn hand(store: &mut Store, to: &mpsc::Sender<PendingBatch>, batch: &Batch) -> Result<(), StoreError> {
    if matches!(batch.change, Change::Begin(_)) {
        let nothing = &mut |_: &Transaction<'_>, _: &Batch| Ok::<(), ApplicationError>(());
        return store.apply([batch], nothing).pop().unwrap_or(Err(StoreError::Closed));
    }
    let (dropped, wait): (End<()>, Ended<()>) = sync_channel(0);
    let pending = PendingBatch { batch: Box::new(batch.clone()), _dropped: dropped };
    to.blocking_send(pending).map_err(|_| StoreError::Closed)?;
    // An error is what is waited for: the other end is gone.
    let _ = wait.recv();
    match store.place(&batch.stream)? {
        Some(place) if place == batch.ends() => Ok(()),
        _ => Err(StoreError::NotCommitted),
    }
}
