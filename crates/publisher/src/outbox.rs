//! The outbox: events on disk until the host has confirmed them.
//!
//! What always holds: an event that was taken is on the disk before anybody hears so, and stays until the host has
//! confirmed it or a person throws it away. Everything that waits for the disk shares a commit. Nothing here knows a
//! host.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use muster_contract::producer::ProducerId;
use muster_contract::stream::StreamId;
use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::error::{OpenError, OperateError, PublishError};
use crate::limits::{COMMIT_BYTES_MAX, WRITER_QUEUE_LEN};
use crate::metrics::Meters;
use crate::publisher::Receipt;

pub(crate) mod batch;
mod chunks;
mod control;
mod feed;
mod file;
mod lock;
pub(crate) mod reader;
mod recent;
mod record;
mod totals;
mod writer;

pub(crate) use chunks::Chunk;
pub(crate) use control::Control;
pub use control::Decision;
pub(crate) use feed::Feed;
pub use reader::{Parked, StreamView};
pub use totals::OutboxLimits;
pub(crate) use writer::now_ms;
use writer::{Publish, Request, Writer};

/// An outbox that this process has opened.
#[derive(Debug)]
pub(crate) struct Outbox {
    path: PathBuf,
    producer: ProducerId,
    /// `None` once it is closed.
    requests: Mutex<Option<mpsc::Sender<Request>>>,
    /// KiB of events that may wait for the writer.
    room: Arc<Semaphore>,
    writer: Mutex<Option<JoinHandle<()>>>,
    feed: Arc<Feed>,
    meters: Arc<Meters>,
}

impl Outbox {
    pub(crate) fn open(path: &Path, limits: OutboxLimits) -> Result<Outbox, OpenError> {
        let path = &*file::canonical(path)?;
        let lock = lock::OutboxLock::take(path)?;
        let fresh = ProducerId::from_random(rand::random());
        let (connection, producer) = file::open(path, fresh, now_ms())?;
        let (feed, meters) = (Arc::new(Feed::default()), Arc::new(Meters::default()));
        let writer = Writer::new(connection, limits, feed.clone(), meters.clone())
            .map_err(|error| file::refusal(path, &error))?;
        let (requests, queue) = mpsc::channel(WRITER_QUEUE_LEN);
        let thread = std::thread::Builder::new()
            .name("outbox-writer".into())
            .spawn(move || {
                writer.run(queue);
                // The next owner must find the file closed.
                drop(lock);
            })
            .map_err(|error| OpenError::Io { path: path.into(), detail: error.to_string() })?;
        Ok(Outbox {
            path: path.into(),
            producer,
            requests: Mutex::new(Some(requests)),
            room: Arc::new(Semaphore::new(COMMIT_BYTES_MAX / 1_024)),
            writer: Mutex::new(Some(thread)),
            feed,
            meters,
        })
    }

    pub(crate) fn producer(&self) -> ProducerId {
        self.producer
    }

    pub(crate) fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    pub(crate) fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// A connection of its own, to read.
    pub(crate) fn connection_to_read(&self) -> Result<Connection, OpenError> {
        file::open_read_only(&self.path).map(|(connection, _)| connection)
    }

    pub(crate) fn numbers(&self) -> Result<BTreeMap<StreamId, u64>, OpenError> {
        let connection = self.connection_to_read()?;
        reader::numbers(&connection).map_err(|error| file::refusal(&self.path, &error))
    }

    /// Stores events of one stream: all of them or none.
    pub(crate) async fn publish(&self, stream: StreamId, chunks: Vec<Chunk>) -> Result<Receipt, PublishError> {
        let bytes: usize = chunks.iter().map(|chunk| chunk.data.len()).sum();
        let permits = u32::try_from(bytes.div_ceil(1_024).min(COMMIT_BYTES_MAX / 1_024)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(permits).await.map_err(|_| PublishError::Closed)?;
        let requests = self.requests().ok_or(PublishError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let publish = Publish { stream, chunks, reply, _room: room };
        requests.send(Request::Publish(publish)).await.map_err(|_| PublishError::Closed)?;
        drop(requests);
        answer.await.unwrap_or(Err(PublishError::Interrupted))
    }

    /// Passes a control on; false if the outbox is closed.
    pub(crate) async fn control(&self, control: Control) -> bool {
        match self.requests() {
            Some(requests) => requests.send(Request::Control(control)).await.is_ok(),
            None => false,
        }
    }

    pub(crate) async fn decide(&self, stream: StreamId, decision: Decision) -> Result<u64, OperateError> {
        let (reply, answer) = oneshot::channel();
        if !self.control(Control::Decide { stream, decision, reply }).await {
            return Err(OperateError::Closed);
        }
        answer.await.unwrap_or(Err(OperateError::Closed))
    }

    pub(crate) async fn forget_token(&self, host: String) -> Result<(), OperateError> {
        let (reply, answer) = oneshot::channel();
        if !self.control(Control::KeepToken { host, token: None, reply }).await {
            return Err(OperateError::Closed);
        }
        match answer.await {
            Ok(true) => Ok(()),
            Ok(false) => Err(OperateError::Disk { detail: "the token could not be removed".into() }),
            Err(_) => Err(OperateError::Closed),
        }
    }

    /// Ends the writer once it has written what waits, and gives the file free.
    pub(crate) async fn close(&self) {
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(requests);
        let thread = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // It ends when the last sender of a request is gone; each of those is answered first.
            let _ = tokio::task::spawn_blocking(move || thread.join()).await;
        }
    }

    fn requests(&self) -> Option<mpsc::Sender<Request>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is in an outbox, as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Who its producer is.
    pub producer: ProducerId,
    /// Events that are not confirmed, parked ones included.
    pub events: u64,
    /// Bytes on disk for them.
    pub bytes: u64,
    /// When the oldest of them was published, in milliseconds since 1970; `None` if there are none.
    pub oldest_ms: Option<i64>,
    /// Streams with any of them, in the order in which they were first used; at most as many as were asked for.
    pub streams: Vec<StreamView>,
}

/// Looks into an outbox without opening it, whoever has it open: at most `streams_max` streams, of the parked ones only if
/// `parked_only`.
///
/// # Errors
/// [`OpenError`], where there is no outbox of a known format.
pub fn inspect(path: &Path, parked_only: bool, streams_max: usize) -> Result<Inspection, OpenError> {
    let (connection, producer) = file::open_read_only(path)?;
    let read = || -> rusqlite::Result<Inspection> {
        let totals = totals::Totals::load(&connection)?;
        let oldest_ms = connection.query_row("SELECT min(id), stored_ms FROM chunk", [], |row| row.get(1))?;
        let streams = reader::views(&connection, parked_only, streams_max)?;
        Ok(Inspection { producer, events: totals.events, bytes: totals.bytes, oldest_ms, streams })
    };
    read().map_err(|error| file::refusal(path, &error))
}
