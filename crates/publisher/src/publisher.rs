//! The publisher as an application holds it.
//!
//! What always holds: a payload is made canonical and hashed once, here, in the caller's task; from then on it is bytes
//! that nobody parses.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use muster_contract::append::check_event;
use muster_contract::canonical::{CanonicalJson, canonicalize};
use muster_contract::hash::PayloadHash;
use muster_contract::producer::ProducerId;
use muster_contract::stream::StreamId;
use muster_contract::topic::Topic;
use muster_wire::Endpoint;
use spacetimedb_lib::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::driver::{self, ConnectConfig, PublisherStatus, Sender, Trouble};
use crate::error::{FlushError, OpenError, OperateError, PublishError};
use crate::frame;
use crate::limits::{PUBLISH_BYTES_MAX, PUBLISH_EVENTS_MAX};
use crate::metrics::Metrics;
use crate::outbox::{Chunk, Decision, Outbox, OutboxLimits, now_ms, reader};

/// How often [`Publisher::flush`] looks, where nothing wakes it.
const FLUSH_LOOK: Duration = Duration::from_millis(50);

/// Which outbox, and how much it may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OutboxConfig {
    /// The file; made if there is none, with SQLite's `-wal` and `-shm` and a `.lock` beside it.
    pub path: PathBuf,
    /// How much it may hold.
    pub limits: OutboxLimits,
}

impl OutboxConfig {
    /// An outbox in the file `path`, with the default limits.
    pub fn new(path: impl Into<PathBuf>) -> OutboxConfig {
        OutboxConfig { path: path.into(), limits: OutboxLimits::default() }
    }

    /// The same with other limits.
    pub fn limits(mut self, limits: OutboxLimits) -> OutboxConfig {
        self.limits = limits;
        self
    }
}

/// A payload on its way in.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// JSON in any form.
    Json(&'a [u8]),
    /// JSON that is canonical already.
    Canonical(&'a CanonicalJson),
}

impl<'a> From<&'a str> for Payload<'a> {
    fn from(json: &'a str) -> Self {
        Payload::Json(json.as_bytes())
    }
}

impl<'a> From<&'a String> for Payload<'a> {
    fn from(json: &'a String) -> Self {
        Payload::Json(json.as_bytes())
    }
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(json: &'a [u8]) -> Self {
        Payload::Json(json)
    }
}

impl<'a> From<&'a CanonicalJson> for Payload<'a> {
    fn from(json: &'a CanonicalJson) -> Self {
        Payload::Canonical(json)
    }
}

/// An event to be published.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// What kind of event: 1 to 128 bytes without control characters.
    pub kind: &'a str,
    /// JSON of at most 256 KiB in canonical form.
    pub payload: Payload<'a>,
    /// When it happened; the moment of publishing if not given.
    pub at: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    /// An event that happens now.
    pub fn new(kind: &'a str, payload: impl Into<Payload<'a>>) -> Draft<'a> {
        Draft { kind, payload: payload.into(), at: None }
    }

    /// The same at another time.
    pub fn at(mut self, at: Timestamp) -> Draft<'a> {
        self.at = Some(at);
        self
    }
}

/// Events are on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Their stream.
    pub stream: StreamId,
    /// The outbox's number of the first one in that stream, from 1 on.
    pub first: u64,
    /// Its number of the last one.
    pub last: u64,
}

/// An open outbox, and perhaps a sender that empties it.
///
/// Dropped without [`Publisher::close`], it loses nothing that was taken, but its file may stay in use for a moment.
#[derive(Debug)]
pub struct Publisher {
    outbox: Arc<Outbox>,
    sender: Mutex<Option<Sender>>,
    status: watch::Sender<PublisherStatus>,
}

impl Publisher {
    /// Opens an outbox for this process alone, and makes it if there is none. Reads the disk: call it before serving, or
    /// on a thread that may wait.
    ///
    /// # Errors
    /// [`OpenError`]; nothing is changed then.
    pub fn open(config: OutboxConfig) -> Result<Publisher, OpenError> {
        let outbox = Arc::new(Outbox::open(&config.path, config.limits)?);
        Ok(Publisher { outbox, sender: Mutex::new(None), status: watch::Sender::new(PublisherStatus::off()) })
    }

    /// Who this outbox is to hosts.
    pub fn producer(&self) -> ProducerId {
        self.outbox.producer()
    }

    /// Keeps one event of a topic: returns once it is on disk.
    ///
    /// # Errors
    /// [`PublishError`]: the event is not kept, but for [`PublishError::Disk`] and [`PublishError::Interrupted`], after
    /// which it may be.
    pub async fn publish<'a>(
        &self,
        topic: &str,
        kind: &'a str,
        payload: impl Into<Payload<'a>>,
    ) -> Result<Receipt, PublishError> {
        self.publish_many(Topic::parse(topic)?.stream(), [Draft::new(kind, payload)]).await
    }

    /// Keeps events of one stream, in this order: all of them or none, at most [`PUBLISH_EVENTS_MAX`] and
    /// [`PUBLISH_BYTES_MAX`]. Canonicalizing and hashing happen in the caller's task. Returns once they are on disk; if the future is dropped before, they may be kept or not.
    ///
    /// # Errors
    /// [`PublishError`]: none is kept, with the same two exceptions, after which all may be.
    pub async fn publish_many<'a>(
        &self,
        stream: &StreamId,
        events: impl IntoIterator<Item = Draft<'a>>,
    ) -> Result<Receipt, PublishError> {
        let chunks = chunks(events)?;
        self.outbox.publish(stream.clone(), chunks).await
    }

    /// Begins to send to a host, or to another one, on the current tokio runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn connect(&self, config: ConnectConfig) {
        let mut sender = self.sender();
        let before = sender.take();
        // What is said of a sender that has ended does not concern the next one.
        self.status.send_if_modified(|status| status.trouble.take().is_some());
        *sender = Some(driver::start(self.outbox.clone(), config, self.status.clone(), before));
    }

    /// Tries again now, whatever the sender waits for: after a token was renewed, or a cause mended.
    pub fn retry_now(&self) {
        if let Some(sender) = self.sender().as_ref() {
            sender.retry_now();
        }
    }

    /// Forgets the token that the outbox keeps for a host, where that does not take it any more
    /// ([`crate::Trouble::KeptTokenRefused`]). The next connection is that of somebody new. A host that still knows this
    /// producer as its former owner's refuses the events then (`forbidden_stream`), so this is for a host that was made
    /// anew.
    ///
    /// # Errors
    /// [`OperateError`]; the token is kept then.
    pub async fn forget_token(&self, endpoint: &Endpoint) -> Result<(), OperateError> {
        self.outbox.forget_token(driver::greeting::kept_for(endpoint)).await
    }

    /// What the sender is doing, whenever it changes.
    pub fn status(&self) -> watch::Receiver<PublisherStatus> {
        self.status.subscribe()
    }

    /// What was counted since the outbox was opened.
    pub fn metrics(&self) -> Metrics {
        self.outbox.meters().snapshot(now_ms())
    }

    /// The last number given in every stream that ever had an event here, whether the host has confirmed it or not: where
    /// a source that is read again goes on.
    ///
    /// # Errors
    /// [`OpenError`], where the file cannot be read.
    pub fn numbers(&self) -> Result<BTreeMap<StreamId, u64>, OpenError> {
        self.outbox.numbers()
    }

    /// Carries out what a person decides about a parked stream; returns how many events it concerned.
    ///
    /// # Errors
    /// [`OperateError`]; nothing is changed then.
    pub async fn decide(&self, stream: &StreamId, decision: Decision) -> Result<u64, OperateError> {
        self.outbox.decide(stream.clone(), decision).await
    }

    /// Waits until the host has confirmed every event that is not parked.
    ///
    /// # Errors
    /// [`FlushError`]; sending goes on nevertheless.
    pub async fn flush(&self, limit: Duration) -> Result<(), FlushError> {
        let deadline = Instant::now() + limit;
        let mut status = self.status.subscribe();
        let read = |error: OpenError| OperateError::Disk { detail: error.to_string() };
        let connection = self.outbox.connection_to_read().map_err(read)?;
        loop {
            status.borrow_and_update();
            let pending = reader::pending_events(&connection).map_err(OperateError::from)?;
            if pending == 0 {
                return Ok(());
            }
            if self.sender().is_none() {
                return Err(FlushError::NotConnected { pending });
            }
            if status.borrow().trouble == Some(Trouble::SenderEnded) {
                let detail = status.borrow().last_error.clone().unwrap_or_default();
                return Err(FlushError::SenderEnded { pending, detail });
            }
            if Instant::now() >= deadline {
                let now = status.borrow();
                // A connection that is well does not mean that the host takes everything.
                let refused = now.refused.first().map(|refusal| refusal.message.clone());
                return Err(FlushError::Deadline { pending, last_error: now.last_error.clone().or(refused) });
            }
            let look = (Instant::now() + FLUSH_LOOK).min(deadline);
            // Whatever wakes it, the disk says whether it is done.
            let _ = tokio::time::timeout_at(look, status.changed()).await;
        }
    }

    /// Stops sending, without waiting for events that are not confirmed, and closes the file. What was taken stays.
    pub async fn close(self) {
        let sender = self.sender().take();
        if let Some(sender) = sender {
            sender.stop().await;
        }
        self.outbox.close().await;
    }

    fn sender(&self) -> MutexGuard<'_, Option<Sender>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Checks, canonicalizes, hashes and encodes events.
fn chunks<'a>(events: impl IntoIterator<Item = Draft<'a>>) -> Result<Vec<Chunk>, PublishError> {
    let mut chunks = Vec::new();
    let mut chunk = Chunk::default();
    let (mut count, mut bytes) = (0usize, 0usize);
    let now = Timestamp::now();
    let mut events = events.into_iter();
    while let Some(event) = events.next() {
        let made;
        let payload = match event.payload {
            Payload::Canonical(payload) => payload,
            Payload::Json(json) => {
                made = canonicalize(json)?;
                &made
            }
        };
        check_event(event.kind, payload.as_bytes().len())?;
        let content = event.kind.len() + payload.as_bytes().len();
        (count, bytes) = (count + 1, bytes + content);
        if count > PUBLISH_EVENTS_MAX || bytes > PUBLISH_BYTES_MAX {
            return Err(PublishError::TooMuchAtOnce { events: count, bytes });
        }
        if chunk.events > 0 && !chunk.has_room_for(1, content) {
            chunks.push(std::mem::take(&mut chunk).finished());
        }
        // The next ones are probably as large.
        chunk.make_room_for(events.size_hint().0.saturating_add(1), content);
        let hash = PayloadHash::of(payload.as_bytes());
        frame::encode(&mut chunk.data, event.kind, payload.as_str(), hash.as_bytes(), event.at.unwrap_or(now));
        chunk.events += 1;
    }
    if chunk.events == 0 {
        return Err(PublishError::Nothing);
    }
    chunks.push(chunk.finished());
    Ok(chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_sender_that_dies_is_seen_and_nobody_waits_for_it() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let publisher = Publisher::open(OutboxConfig::new(folder.path().join("outbox"))).expect("an outbox");
        publisher.publish("t", "k", "{}").await.expect("kept");
        *publisher.sender() = Some(driver::start_to_die(publisher.outbox.clone(), publisher.status.clone()));
        let flushed = publisher.flush(Duration::from_secs(60)).await;
        assert!(matches!(flushed, Err(FlushError::SenderEnded { pending: 1, .. })), "{flushed:?}");
        let status = publisher.status().borrow().clone();
        assert_eq!((status.state, status.trouble), (driver::SenderState::Blocked, Some(Trouble::SenderEnded)));
        publisher.close().await;
    }
}
