//! Events on their way from an outbox to a subscriber's database, while things break.
//!
//! What always holds: events are let out only up to the next fault, and again as it strikes, so that it strikes while
//! some are under way; every wait has a limit; the network that breaks is the publisher's and the subscriber's alike.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use muster_chaos::Proxy;
use muster_contract::pattern::StreamPattern;
use muster_contract::state::ConnectionState;
use muster_publisher::{ConnectConfig, OutboxConfig, Publisher};
use muster_sync::{ApplicationError, Apply, Batch, Change, EventLog, StartAt, Status, Subscriber};
use muster_wire::Endpoint;
use rusqlite::Transaction;
use tokio::sync::watch;
use tokio::time::timeout;

use super::compare::{Tally, compare};
use super::events::Events;
use super::faults::PLAN;
use super::host::HostProcess;
use crate::emit::store::store;
use crate::limits::{DEMO_LEAD_EVENTS, DEMO_STREAMS_MS_MAX};
use crate::outcome::Failure;
use crate::table;
use crate::ui::Ui;

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// What the database holds.
    pub(crate) tally: Tally,
    /// How many streams.
    streams: usize,
    /// How long the subscriber was not live, since it was first.
    away: Duration,
    /// Events that were sent again, because their acknowledgement was lost.
    resent: u64,
    /// From the first event to the last.
    took: Duration,
}

impl Report {
    /// As a table.
    pub(crate) fn table(&self) -> String {
        let Tally { emitted, applied, lost, duplicated, out_of_order, altered } = self.tally;
        let seconds = |duration: Duration| format!("{:.1}", duration.as_secs_f64());
        let head =
            ["events", "emitted", "applied", "lost", "duplicated", "out of order", "altered", "seconds away from live"];
        let row = [
            if self.streams == 1 { "in 1 stream".into() } else { format!("in {} streams", self.streams) },
            emitted.to_string(),
            applied.to_string(),
            lost.to_string(),
            duplicated.to_string(),
            out_of_order.to_string(),
            altered.to_string(),
            seconds(self.away),
        ];
        table::render(&head.map(String::from), &[row.into()])
    }

    /// What else is worth knowing.
    pub(crate) fn remark(&self) -> String {
        format!(
            "{:.1} s in all; the host turned out to have {} of the events already when they were about to be sent again",
            self.took.as_secs_f64(),
            self.resent
        )
    }
}

/// A publisher, a subscriber, and the network between them and the host.
pub(crate) struct Drill<'a> {
    ui: &'a Ui,
    host: &'a mut HostProcess,
    proxy: Proxy,
    publisher: Publisher,
    subscriber: Subscriber,
    applied: watch::Receiver<u64>,
    store: PathBuf,
    bar: ProgressBar,
}

impl<'a> Drill<'a> {
    /// Connects both ends through a proxy, with outbox and store in `folder`.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the machine has no room for it.
    pub(crate) async fn prepare(
        ui: &'a Ui,
        host: &'a mut HostProcess,
        database: &str,
        folder: &Path,
    ) -> Result<Drill<'a>, Failure> {
        let proxy = Proxy::start(host.address()?).await;
        let proxy =
            proxy.map_err(|error| Failure::could_not(format!("no port for the proxy ({error})"), "free one"))?;
        let endpoint = Endpoint::new(&format!("http://{}", proxy.address()), database)?;
        let store = folder.join("subscriber.db");
        let (applying, applied) = Counting::new();
        let subscriber = Subscriber::builder(endpoint.clone(), &store).follow(StreamPattern::All, StartAt::Start);
        let subscriber = subscriber.apply(applying).await.map_err(|error| Failure::CouldNot(error.to_string()))?;
        let publisher = Publisher::open(OutboxConfig::new(folder.join("outbox")))
            .map_err(|error| Failure::CouldNot(error.to_string()))?;
        publisher.connect(ConnectConfig::new(endpoint));
        let bar = ui.progress_bar();
        Ok(Drill { ui, host, proxy, publisher, subscriber, applied, store, bar })
    }

    /// Runs it to the end.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if something ends that should not, or nothing moves for too long.
    pub(crate) async fn run(mut self, events: &Events) -> Result<Report, Failure> {
        let all = events.events.len() as u64;
        self.bar.set_length(all);
        self.bar.set_message("events applied");
        let live = wait_for(&mut self.subscriber.status(), |status| status.state == ConnectionState::Live).await;
        live.ok_or_else(|| stuck("the subscriber does not get live"))?;
        let (stop_clock, away) = measure(self.subscriber.status());
        let began = Instant::now();

        let (gate, allowed) = Gate::new(all);
        let emitting = emit(&self.publisher, events, allowed);
        let breaking = strike_all(self.ui, self.host, &self.proxy, &self.bar, self.applied.clone(), gate);
        let (emitted, broken) = tokio::join!(emitting, breaking);
        broken.and(emitted)?;
        let limit = Duration::from_millis(DEMO_STREAMS_MS_MAX);
        self.publisher
            .flush(limit)
            .await
            .map_err(|error| Failure::could_not(error.to_string(), "please report this"))?;
        // If it never comes to this, the table says what is missing.
        let _ = reach(&mut self.applied, &self.bar, all).await;
        let _ = wait_for(&mut self.subscriber.status(), |status| status.state == ConnectionState::Live).await;
        let took = began.elapsed();
        drop(stop_clock);
        let away = away.await.unwrap_or_default();

        self.bar.finish_and_clear();
        let resent = self.publisher.metrics().sender.duplicates;
        self.publisher.close().await;
        self.subscriber.shutdown().await;
        let tally = compare(&events.events, &self.store).map_err(|error| Failure::CouldNot(error.to_string()))?;
        let streams = events.events.iter().map(|event| event.topic.stream()).collect::<BTreeSet<_>>().len();
        Ok(Report { tally, streams, away, resent, took })
    }
}

fn stuck(what: &str) -> Failure {
    Failure::could_not(
        format!("{what} within {} s", DEMO_STREAMS_MS_MAX / 1_000),
        "try again on a machine with less to do",
    )
}

/// How far events are let out, seen from whoever opens it.
struct Gate {
    /// Events in all.
    all: u64,
    /// How many are let out at a time, before a fault and again as it strikes.
    lead: u64,
    /// How far they are let out.
    allowed: watch::Sender<u64>,
    /// How many are on the disk.
    emitted: watch::Receiver<u64>,
}

/// The same, seen from whoever emits.
struct Allowed {
    window: usize,
    allowed: watch::Receiver<u64>,
    emitted: watch::Sender<u64>,
}

impl Gate {
    fn new(all: u64) -> (Gate, Allowed) {
        let lead = (all / 20).clamp(2, DEMO_LEAD_EVENTS);
        // Several windows to a lead: the first of them is what a fault waits for.
        let window = usize::try_from(lead / 4).unwrap_or(usize::MAX).max(1);
        let ((allow, allowed), (emit, emitted)) = (watch::channel(0), watch::channel(0));
        (Gate { all, lead, allowed: allow, emitted }, Allowed { window, allowed, emitted: emit })
    }

    /// Lets events out up to `count`.
    fn open(&self, count: u64) {
        self.allowed.send_if_modified(|allowed| {
            let further = count.min(self.all) > *allowed;
            *allowed = count.min(self.all).max(*allowed);
            further
        });
    }

    /// Lets more out, and waits until the first of them are on the disk, from where they are sent at once.
    async fn push(&mut self) -> Option<()> {
        let before = *self.emitted.borrow_and_update();
        self.open(before + self.lead);
        let more = self.emitted.wait_for(|emitted| *emitted > before || *emitted == self.all);
        timeout(Duration::from_millis(DEMO_STREAMS_MS_MAX), more).await.ok()?.ok().map(drop)
    }
}

/// Emits, window by window, as far as is allowed.
async fn emit(publisher: &Publisher, events: &Events, mut gate: Allowed) -> Result<(), Failure> {
    for window in events.events.chunks(gate.window) {
        let done = *gate.emitted.borrow();
        let free = gate.allowed.wait_for(|allowed| *allowed > done).await.is_ok();
        if !free {
            return Err(stuck("no more events are let out"));
        }
        let stored = store(publisher, window, Duration::ZERO).await;
        if let Some(error) = stored.failed {
            return Err(Failure::CouldNot(error.to_string()));
        }
        gate.emitted.send_modify(|emitted| *emitted += window.len() as u64);
    }
    Ok(())
}

/// Lets events out and breaks things, in turn: each fault strikes while events are on their way.
async fn strike_all(
    ui: &Ui,
    host: &mut HostProcess,
    proxy: &Proxy,
    bar: &ProgressBar,
    mut applied: watch::Receiver<u64>,
    mut gate: Gate,
) -> Result<(), Failure> {
    let all = gate.all;
    for (thousandths, fault) in PLAN {
        let due = all * thousandths / 1_000;
        gate.open(due);
        let at = reach(&mut applied, bar, due).await.ok_or_else(|| stuck("no further event is applied"))?;
        gate.push().await.ok_or_else(|| stuck("no further event is stored"))?;
        let told = fault.strike(host, proxy).await?;
        bar.suspend(|| ui.say(format!("  at event {at} of {all}: {told}")));
    }
    gate.open(all);
    Ok(())
}

/// Waits until so many events are applied; `None` if for too long none is.
async fn reach(applied: &mut watch::Receiver<u64>, bar: &ProgressBar, count: u64) -> Option<u64> {
    loop {
        let now = *applied.borrow_and_update();
        bar.set_position(now);
        if now >= count {
            return Some(now);
        }
        timeout(Duration::from_millis(DEMO_STREAMS_MS_MAX), applied.changed()).await.ok()?.ok()?;
    }
}

async fn wait_for(status: &mut watch::Receiver<Status>, is_it: impl FnMut(&Status) -> bool) -> Option<()> {
    let wait = status.wait_for(is_it);
    timeout(Duration::from_millis(DEMO_STREAMS_MS_MAX), wait).await.ok()?.ok().map(drop)
}

/// Adds up how long it is not live, until what is returned first is dropped.
fn measure(mut status: watch::Receiver<Status>) -> (watch::Sender<()>, tokio::task::JoinHandle<Duration>) {
    let (stop, mut stopped) = watch::channel(());
    let clock = tokio::spawn(async move {
        let mut away = Duration::ZERO;
        loop {
            let since = Instant::now();
            let is_live = status.borrow_and_update().state == ConnectionState::Live;
            let is_over = tokio::select! {
                changed = status.changed() => changed.is_err(),
                _ = stopped.changed() => true,
            };
            if !is_live {
                away += since.elapsed();
            }
            if is_over {
                return away;
            }
        }
    });
    (stop, clock)
}

/// Keeps events, and counts those whose transaction is about to commit.
struct Counting {
    log: EventLog,
    applied: Arc<watch::Sender<u64>>,
}

impl Counting {
    fn new() -> (Counting, watch::Receiver<u64>) {
        let (applied, receiver) = watch::channel(0);
        (Counting { log: EventLog, applied: Arc::new(applied) }, receiver)
    }
}

impl Apply for Counting {
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        self.log.prepare(transaction)
    }

    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        self.log.apply(transaction, batch)?;
        if let Change::Events(run) = &batch.change {
            self.applied.send_modify(|applied| *applied += run.events.len() as u64);
        }
        Ok(())
    }
}
