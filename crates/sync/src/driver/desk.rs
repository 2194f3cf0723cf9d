//! Where batches are handed to an application that commits them itself.
//!
//! What always holds: one batch at a time is out. Until the application takes it, it can be taken back; once the desk is
//! closed, none is given out any more.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::batch::Batch;
use crate::store::StoreError;

/// What both sides see.
#[derive(Debug, Default)]
pub(crate) struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    is_closed: bool,
    batch: Out,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Out {
    #[default]
    None,
    Offered,
    Taken,
}

impl Desk {
    /// The thread's side, and the application's.
    pub(crate) fn open() -> (Counter, Batches) {
        let desk = Arc::new(Desk::default());
        let (to, batches) = mpsc::channel(1);
        (Counter { desk: desk.clone(), to }, Batches { desk, batches })
    }

    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits until a batch is out. Whether one is, in that time.
    #[cfg(test)]
    pub(super) fn wait_until_offered(&self, limit: std::time::Duration) -> bool {
        let waits = |state: &mut State| state.batch == Out::None;
        let waited = self.changed.wait_timeout_while(self.lock(), limit, waits).unwrap_or_else(PoisonError::into_inner);
        !waited.1.timed_out()
    }

    fn put(&self, batch: Out) {
        self.lock().batch = batch;
        self.changed.notify_all();
    }

    /// Whether the batch that was offered is the application's now.
    fn take(&self) -> bool {
        let mut state = self.lock();
        let is_there = state.batch == Out::Offered && !state.is_closed;
        if is_there {
            state.batch = Out::Taken;
        }
        is_there
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Plain values, whole after every step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread's side.
pub(crate) struct Counter {
    pub(super) desk: Arc<Desk>,
    to: mpsc::Sender<PendingBatch>,
}

impl Counter {
    /// Offers a batch, and waits until the application has let go of it.
    ///
    /// # Errors
    /// [`StoreError::Closed`] where it was never taken, because the subscriber ends or nobody asks for batches any more.
    pub(super) fn offer(&self, batch: &Batch) -> Result<(), StoreError> {
        self.desk.put(Out::Offered);
        let pending = PendingBatch { batch: Box::new(batch.clone()), desk: self.desk.clone() };
        self.to.blocking_send(pending).map_err(|_| StoreError::Closed)?;
        let waits = |state: &mut State| state.batch == Out::Taken || (state.batch == Out::Offered && !state.is_closed);
        let state = self.desk.changed.wait_while(self.desk.lock(), waits).unwrap_or_else(PoisonError::into_inner);
        if state.batch == Out::Offered { Err(StoreError::Closed) } else { Ok(()) }
    }
}

/// A batch that the application applies and commits itself.
///
/// It applies the batch and calls [`Batch::commit`] in a transaction of its own on the store's file, commits that, and
/// drops this. Only then the next one comes. Dropped without a commit, the batch comes again after a wait.
#[derive(Debug)]
pub struct PendingBatch {
    batch: Box<Batch>,
    desk: Arc<Desk>,
}

impl std::ops::Deref for PendingBatch {
    type Target = Batch;

    fn deref(&self) -> &Batch {
        &self.batch
    }
}

impl Drop for PendingBatch {
    fn drop(&mut self) {
        self.desk.put(Out::None);
    }
}

/// The batches of a subscriber whose application commits them itself.
#[derive(Debug)]
pub struct Batches {
    desk: Arc<Desk>,
    batches: mpsc::Receiver<PendingBatch>,
}

impl Batches {
    /// The next batch, once the one before it is dropped; `None` when the subscriber has ended. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<PendingBatch> {
        let pending = self.batches.recv().await?;
        // One that was taken back is the last.
        self.desk.take().then_some(pending)
    }
}
