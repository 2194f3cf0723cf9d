//! Traffic of a gate's own: a publisher and a subscriber as applications use them, on a stream of this run.
//!
//! What always holds: every event is kept in memory as it was sent, so that what arrived is compared with it byte for
//! byte; the outbox and the store are in a folder that goes with the traffic; every wait has a limit, and says what it
//! waited for when it is over.

pub(crate) mod judge;
mod times;

use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_contract::ConnectionState;
use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, Publisher};
use muster_sync::{EventLog, Reader, StartAt, Status, Subscriber};
use muster_wire::{Endpoint, Token};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::limits::{LOOK_MS, TICK_MS};
use super::site::{impatient, words};
use judge::{Held, Tally};
pub(crate) use times::Times;
use times::Timing;

/// The kind of every event that a gate sends.
pub(crate) const KIND: &str = "muster.gate";

/// Where traffic goes.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// The publisher's way to the database.
    pub(crate) publisher: Endpoint,
    /// The subscriber's.
    pub(crate) subscriber: Endpoint,
    /// As whom.
    pub(crate) token: Option<Token>,
    /// How long any one state may take to come about.
    pub(crate) patience: Duration,
}

/// A publisher, a subscriber, and what was sent.
pub(crate) struct Traffic {
    pub(crate) stream: StreamId,
    pub(crate) times: Arc<Times>,
    way: Way,
    folder: TempDir,
    publisher: Publisher,
    subscriber: Option<Subscriber>,
    sent: Vec<String>,
    run: String,
}

impl Traffic {
    /// Starts both ends, and waits until the subscriber is live.
    ///
    /// # Errors
    /// In words.
    pub(crate) async fn start(way: Way, stream: StreamId) -> Result<Traffic, String> {
        let folder = tempfile::tempdir().map_err(|error| format!("no temporary folder ({error})"))?;
        let publisher =
            Publisher::open(OutboxConfig::new(folder.path().join("outbox"))).map_err(|error| words(&error))?;
        let mut config = ConnectConfig::new(way.publisher.clone());
        config.options.timeouts = impatient();
        if let Some(token) = &way.token {
            config = config.token(token.clone());
        }
        publisher.connect(config);
        let run = stream.as_str().to_owned();
        let times = Times::new();
        let mut traffic = Traffic { stream, times, way, folder, publisher, subscriber: None, sent: Vec::new(), run };
        traffic.resume().await?;
        traffic.live().await?;
        Ok(traffic)
    }

    /// What a subscriber gets that begins now, beside what `other` sent: nothing is published.
    ///
    /// # Errors
    /// In words, if it does not get everything.
    pub(crate) async fn late(way: Way, stream: StreamId, other: &Traffic) -> Result<Tally, String> {
        let mut late = Traffic::start(way, stream).await?;
        late.sent.clone_from(&other.sent);
        late.times.publishing(late.sent.len());
        // It may have come further already than its clocks were there to see.
        let limit = late.way.patience;
        let sent = late.sent.len();
        let complete = until(limit, async || late.applied().is_ok_and(|tally| tally.found as usize >= sent)).await;
        let tally = late.applied();
        late.stop().await;
        match tally {
            Ok(tally) if complete || tally.first_wrong.is_some() => Ok(tally),
            Ok(_) => Err(format!("it did not get everything within {} s", limit.as_secs())),
            Err(why) => Err(why),
        }
    }

    /// Starts the subscriber, which goes on where its store is.
    pub(crate) async fn resume(&mut self) -> Result<(), String> {
        let store = self.folder.path().join("store");
        let mut builder = Subscriber::builder(self.way.subscriber.clone(), store)
            .follow(StreamPattern::Exact(self.stream.clone()), StartAt::Start)
            .timeouts(impatient());
        if let Some(token) = &self.way.token {
            builder = builder.token(token.clone());
        }
        let application = Timing { log: EventLog, times: self.times.clone() };
        self.subscriber = Some(builder.apply(application).await.map_err(|error| words(&error))?);
        Ok(())
    }

    /// Stops the subscriber; its store stays.
    pub(crate) async fn pause(&mut self) {
        if let Some(subscriber) = self.subscriber.take() {
            subscriber.shutdown().await;
        }
    }

    /// How many events were sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.len() as u64
    }

    /// Sends so many events at once: on disk when this returns.
    pub(crate) async fn send(&mut self, count: u64) -> Result<(), String> {
        let payloads: Vec<String> =
            (self.sent.len() as u64 + 1..).take(count as usize).map(|n| self.payload(n)).collect();
        self.times.publishing(payloads.len());
        let drafts = payloads.iter().map(|payload| Draft::new(KIND, payload));
        self.publisher.publish_many(&self.stream, drafts).await.map_err(|error| words(&error))?;
        self.sent.extend(payloads);
        Ok(())
    }

    /// Canonical already: its keys are in order.
    fn payload(&self, n: u64) -> String {
        format!(r#"{{"fill":"{:048x}","n":{n},"run":"{}"}}"#, n.wrapping_mul(0x9e37_79b9_7f4a_7c15), self.run)
    }

    /// Sends so many events a second until `stop` is true or gone.
    pub(crate) async fn flow(&mut self, per_s: u64, mut stop: watch::Receiver<bool>) -> Result<(), String> {
        let began = Instant::now();
        let before = self.sent();
        let mut tick = interval(Duration::from_millis(TICK_MS));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = told_to(&mut stop) => return Ok(()),
            }
            let due = (began.elapsed().as_secs_f64() * per_s as f64) as u64 + 1;
            let count = (before + due).saturating_sub(self.sent()).min(per_s.max(1));
            if count > 0 {
                self.send(count).await?;
            }
        }
    }

    /// Waits until the host has confirmed every event.
    pub(crate) async fn flush(&self) -> Result<(), String> {
        self.publisher.flush(self.way.patience).await.map_err(|error| words(&error))?;
        // What is parked is not waited for.
        match self.publisher.status().borrow().parked_streams {
            0 => Ok(()),
            _ => Err("the host has lost or refused events for good: the publisher has parked the stream".into()),
        }
    }

    /// What the subscriber says of itself, as it changes.
    pub(crate) fn status(&self) -> Option<watch::Receiver<Status>> {
        self.subscriber.as_ref().map(Subscriber::status)
    }

    /// Waits until the subscriber is live.
    pub(crate) async fn live(&self) -> Result<(), String> {
        let Some(mut status) = self.status() else { return Err("the subscriber does not run".into()) };
        let live = status.wait_for(|status| status.state == ConnectionState::Live);
        if matches!(timeout(self.way.patience, live).await, Ok(Ok(_))) {
            return Ok(());
        }
        let last = status.borrow().clone();
        let why = last.last_error.unwrap_or_else(|| format!("it is {}", last.state));
        Err(format!("the subscriber does not get live within {} s: {why}", self.way.patience.as_secs()))
    }

    /// Waits until the subscriber has applied every event and is live.
    pub(crate) async fn settle(&self) -> Result<(), String> {
        let mut applied = self.times.applied();
        let sent = self.sent();
        let wait = timeout(self.way.patience, applied.wait_for(|count| *count >= sent));
        let is_reached = matches!(wait.await, Ok(Ok(_)));
        if !is_reached {
            let count = *applied.borrow();
            let status = self.status().map(|status| status.borrow().clone());
            let why = status.and_then(|it| it.last_error).map(|why| format!(": {why}")).unwrap_or_default();
            let limit = self.way.patience.as_secs();
            return Err(format!("the subscriber has {count} of {sent} events, and no more came within {limit} s{why}"));
        }
        self.live().await
    }

    /// Waits until the subscriber's database has so many events, whoever sent them.
    pub(crate) async fn reaches(&self, count: u64) -> Result<(), String> {
        let cursor = || self.reader()?.place(&self.stream).map_err(|error| words(&error));
        let there = until(self.way.patience, async || {
            cursor().is_ok_and(|place| place.is_some_and(|place| place.position.seq.get() >= count))
        });
        if there.await {
            return Ok(());
        }
        let at = cursor()?.map_or(0, |place| place.position.seq.get());
        Err(format!("it is at {at} of {count} events after {} s", self.way.patience.as_secs()))
    }

    /// What is in the subscriber's database, beside what was sent.
    pub(crate) fn applied(&self) -> Result<Tally, String> {
        let reader = Reader::open(&self.folder.path().join("store")).map_err(|error| words(&error))?;
        let events = reader.events(&self.stream, 0, usize::MAX).map_err(|error| words(&error))?;
        let held: Vec<_> = events
            .into_iter()
            .map(|event| Held { seq: event.seq, number: event.number, payload: event.payload })
            .collect();
        Ok(judge::judge(&self.sent, &held))
    }

    /// Whether this payload was sent under this number.
    pub(crate) fn was_sent(&self, number: u64, payload: &str) -> bool {
        let index = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        index.and_then(|index| self.sent.get(index)).is_some_and(|sent| sent == payload)
    }

    /// The subscriber's store, for a look at more than its events.
    pub(crate) fn reader(&self) -> Result<Reader, String> {
        Reader::open(&self.folder.path().join("store")).map_err(|error| words(&error))
    }

    /// What somebody else has, beside what was sent.
    pub(crate) fn judge(&self, held: &[Held]) -> Tally {
        judge::judge(&self.sent, held)
    }

    /// Ends both ends.
    pub(crate) async fn stop(mut self) {
        self.pause().await;
        self.publisher.close().await;
    }
}

/// Waits until something holds, looking again and again, up to a limit. Whether it came to hold.
pub(crate) async fn until(limit: Duration, mut holds: impl AsyncFnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if holds().await {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Waits until the word is given, or nobody is left to give it.
pub(crate) async fn told_to(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await.is_ok();
}
