//! Where statuses are looked up while the task runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;
use tokio::sync::watch;

use crate::status::{Counts, Status, StreamStatus};

/// The newest statuses.
#[derive(Debug)]
pub(crate) struct Board {
    overall: watch::Sender<Status>,
    streams: Mutex<BTreeMap<StreamId, watch::Sender<StreamStatus>>>,
    /// In microseconds on the runtime's clock, and one more; 0 while there is none.
    proof: AtomicU64,
}

impl Board {
    pub(crate) fn new() -> Board {
        let idle = Status {
            state: ConnectionState::Idle,
            reason: None,
            streams: Counts::default(),
            follows: 0,
            refused: Vec::new(),
            lag: 0,
            attempts: 0,
            next_retry: None,
            last_error: None,
        };
        Board { overall: watch::Sender::new(idle), streams: Mutex::default(), proof: AtomicU64::new(0) }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Status> {
        self.overall.subscribe()
    }

    pub(crate) fn watch_stream(&self, stream: &StreamId) -> Option<watch::Receiver<StreamStatus>> {
        self.lock().get(stream).map(watch::Sender::subscribe)
    }

    pub(crate) fn all(&self) -> Vec<StreamStatus> {
        self.lock().values().map(|status| status.borrow().clone()).collect()
    }

    /// When the newest request was made that the host has answered, as long as that is recent.
    pub(crate) fn proof(&self) -> Option<Duration> {
        self.proof.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_micros)
    }

    pub(super) fn proven(&self, at: Option<Duration>) {
        let micros = at.map_or(0, |at| u64::try_from(at.as_micros()).unwrap_or(u64::MAX - 1) + 1);
        self.proof.store(micros, Ordering::Relaxed);
    }

    pub(super) fn overall(&self, status: Status) {
        self.overall.send_replace(status);
    }

    pub(super) fn stream(&self, status: StreamStatus) {
        let mut streams = self.lock();
        match streams.get(&status.stream) {
            Some(sender) => {
                sender.send_replace(status);
            }
            None => {
                streams.insert(status.stream.clone(), watch::Sender::new(status));
            }
        }
    }

    /// Nothing is said of this stream any more; who watches it hears that nothing more comes.
    pub(super) fn let_go(&self, stream: &StreamId) {
        self.lock().remove(stream);
    }

    /// Nothing goes on any more.
    pub(super) fn broken(&self, message: &str) {
        self.proven(None);
        let streams = self.lock();
        let mut counts = Counts::default();
        for sender in streams.values() {
            counts.add(ConnectionState::Blocked);
            sender.send_modify(|status| {
                status.state = ConnectionState::Blocked;
                status.reason = Some(LeaveReason::Unknown);
                status.next_retry = None;
                status.last_error = Some(message.into());
            });
        }
        drop(streams);
        self.overall.send_modify(|status| {
            status.state = ConnectionState::Blocked;
            status.reason = Some(LeaveReason::Unknown);
            status.streams = counts;
            status.refused = Vec::new();
            status.next_retry = None;
            status.last_error = Some(message.into());
        });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StreamId, watch::Sender<StreamStatus>>> {
        // A map of plain values is whole after every step.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes with the task: if that ends without having been told to, the last word must not stay `live`.
#[derive(Debug)]
pub(crate) struct Ending {
    board: Arc<Board>,
    pub(super) is_told: bool,
}

impl Ending {
    pub(crate) fn of(board: Arc<Board>) -> Ending {
        Ending { board, is_told: false }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_told {
            self.board.broken("the subscriber's task has ended without being told to (it panicked, or its runtime is gone); start again");
        }
    }
}
