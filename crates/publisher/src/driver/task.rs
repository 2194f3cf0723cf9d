//! The sender's loop: what comes in, and what the core hears of it. See [`super`].

mod acting;

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_wire::lease::Tokens;
use muster_wire::{ClosedReason, Connection, args};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::calls::{self, Ended};
use super::greeting::{Greeted, Lost};
use super::reading::Reader;
use super::{Command, ConnectConfig, PublisherStatus, Sender, TokenSource, Trouble};
use crate::core::{CallId, Core, Event, Refusal, StreamNo, StreamRecord, producer_of};
use crate::limits::{ASK_STREAMS_MAX, FORGET_RETRY_MS, PENDING_STREAMS_MAX, ms};
use crate::outbox::Outbox;
use crate::outbox::batch::Batch;
use crate::outbox::reader::ReadError;

/// Something under way has come to its end.
enum Done {
    Connected { connection: u64, result: Box<Result<Greeted, Lost>> },
    Closed { connection: u64, reason: ClosedReason },
    Read { call: CallId, result: Result<Batch, ReadError> },
    Named { call: CallId, generation: u32, streams: Vec<StreamNo>, result: Result<Vec<String>, ReadError> },
    Call { connection: u64, ended: Ended },
    Event(Event),
    Pending { after: StreamNo, result: Result<Vec<StreamRecord>, ReadError> },
    Nothing,
}

type Work = Pin<Box<dyn Future<Output = Done> + Send>>;

struct Task {
    outbox: Arc<Outbox>,
    config: ConnectConfig,
    core: Core,
    began: Instant,
    reader: Reader,
    work: FuturesUnordered<Work>,
    /// The number of the connection that the core wants.
    wanted: Option<u64>,
    /// The connection that the core knows as the present one.
    connection: Option<(u64, Connection)>,
    /// The one that is to take over from it.
    next: Option<(u64, Connection)>,
    tokens: Tokens,
    /// Which connection a call that is being read is for.
    reading: BTreeMap<CallId, u64>,
    status: watch::Sender<PublisherStatus>,
    /// Why the last attempt to connect failed, where that has a remedy of its own.
    trouble: Option<Trouble>,
}

pub(super) async fn run(
    outbox: Arc<Outbox>,
    config: ConnectConfig,
    status: watch::Sender<PublisherStatus>,
    mut orders: mpsc::Receiver<Command>,
    before: Option<Sender>,
) -> Result<(), String> {
    if let Some(before) = before {
        before.stop().await;
    }
    let reader = outbox
        .connection_to_read()
        .map_err(|error| error.to_string())
        .and_then(|connection| Reader::start(connection, outbox.producer()).map_err(|error| error.to_string()));
    let (reader, thread) =
        reader.map_err(|error| format!("the sender cannot read its outbox ({error}); connect again"))?;
    outbox.feed().listen(true);
    outbox.feed().connected(false);
    let core = Core::new(config.core);
    let tokens = Tokens::of(match &config.token {
        TokenSource::Leased(keeper) => Some(keeper.clone()),
        TokenSource::Outbox | TokenSource::Given(_) => None,
    });
    let mut task = Task {
        outbox,
        config,
        core,
        began: Instant::now(),
        reader,
        work: FuturesUnordered::new(),
        wanted: None,
        connection: None,
        next: None,
        tokens,
        reading: BTreeMap::new(),
        status,
        trouble: None,
    };
    task.load_pending(0, Duration::ZERO);
    task.feed(Event::Start).await;
    task.serve(&mut orders).await;
    task.outbox.feed().listen(false);
    for (_, connection) in [task.connection.take(), task.next.take()].into_iter().flatten() {
        connection.close().await;
    }
    task.status.send_replace(PublisherStatus::off());
    // The last one to close an SQLite file writes its log back into it. If that were the reading thread, which may not, or
    // if it came after the end, a copy of the outbox's file would lack what was published last.
    drop(task);
    let _ = tokio::task::spawn_blocking(move || thread.join()).await;
    Ok(())
}

impl Task {
    async fn serve(&mut self, orders: &mut mpsc::Receiver<Command>) {
        let outbox = self.outbox.clone();
        loop {
            let deadline = self.deadline();
            tokio::select! {
                command = orders.recv() => match command {
                    Some(Command::RetryNow) => self.feed(Event::RetryNow).await,
                    // Without a handle nobody could stop it later.
                    Some(Command::Stop) | None => return,
                },
                Some(done) = self.work.next() => self.done(done).await,
                () = outbox.feed().notify.notified() => {
                    for event in outbox.feed().take() {
                        self.feed(event).await;
                    }
                }
                () = self.tokens.changed() => {}
                () = sleep_until(deadline) => self.feed(Event::Tick).await,
            }
            if self.tokens.is_another() {
                self.feed(Event::TokenRefreshDue).await;
            }
            self.show();
        }
    }

    fn deadline(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3_600);
        self.core.next_deadline().and_then(|deadline| self.began.checked_add(deadline)).map_or(far, |at| at.min(far))
    }

    fn show(&self) {
        self.outbox.meters().counted(self.core.counters());
        let mut now = PublisherStatus::of(&self.core, self.began.elapsed());
        now.trouble = self.trouble;
        self.status.send_if_modified(|status| {
            let changed = *status != now;
            *status = now;
            changed
        });
    }

    /// Has the next streams read that were left over from before.
    fn load_pending(&mut self, after: StreamNo, wait: Duration) {
        let reader = self.reader.clone();
        self.work.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            Done::Pending { after, result: reader.pending(after, ASK_STREAMS_MAX).await }
        }));
    }

    async fn done(&mut self, done: Done) {
        match done {
            Done::Connected { connection, result } => self.connected(connection, *result).await,
            Done::Closed { connection, reason } => {
                // One that was let go of is not missed.
                if self.take(connection).is_some() {
                    let lost = Lost::new(reason.is_retryable(), reason.to_string());
                    self.lost(connection, lost).await;
                }
            }
            Done::Read { call, result } => self.read(call, result).await,
            Done::Named { call, generation, streams, result } => self.named(call, generation, streams, result).await,
            Done::Call { connection, ended } => self.call_ended(connection, ended).await,
            Done::Event(event) => self.feed(event).await,
            Done::Pending { after, result: Ok(records) } => self.pending(after, records).await,
            Done::Pending { after, result: Err(error) } => {
                tracing::warn!(?error, "the outbox cannot be read");
                self.outbox.meters().failed("outbox_unreadable");
                self.load_pending(after, ms(FORGET_RETRY_MS));
            }
            Done::Nothing => {}
        }
    }

    /// Takes on streams that were left over, as many as there is room for.
    async fn pending(&mut self, after: StreamNo, records: Vec<StreamRecord>) {
        if self.core.status().pending_streams + records.len() > PENDING_STREAMS_MAX {
            return self.load_pending(after, ms(FORGET_RETRY_MS));
        }
        if let Some(last) = records.last().filter(|_| records.len() == ASK_STREAMS_MAX) {
            self.load_pending(last.no, Duration::ZERO);
        }
        for record in records {
            self.feed(Event::Stored(record)).await;
        }
    }

    async fn connected(&mut self, connection: u64, result: Result<Greeted, Lost>) {
        match result {
            Ok(Greeted { wire, .. }) if self.wanted != Some(connection) => self.close(wire),
            Ok(Greeted { wire, serial }) => {
                let watched = wire.clone();
                self.tokens.connected(connection, serial);
                let place = if self.connection.is_some() { &mut self.next } else { &mut self.connection };
                *place = Some((connection, wire));
                self.outbox.feed().connected(true);
                self.trouble = None;
                self.work
                    .push(Box::pin(async move { Done::Closed { connection, reason: watched.wait_closed().await } }));
                self.feed(Event::Connected { connection }).await;
            }
            Err(lost) => {
                self.tokens.connected(connection, None);
                self.tokens.refused(lost.denied);
                self.lost(connection, lost).await;
            }
        }
    }

    /// Lets go of a connection; the next one, if there is one, takes its place.
    fn take(&mut self, connection: u64) -> Option<Connection> {
        let is_it = |open: &mut (u64, Connection)| open.0 == connection;
        let taken = self.connection.take_if(is_it).or_else(|| self.next.take_if(is_it));
        if self.connection.is_none() {
            self.connection = self.next.take();
        }
        taken.map(|(_, wire)| wire)
    }

    /// A connection that is not held any more was lost, or could not be had.
    async fn lost(&mut self, connection: u64, lost: Lost) {
        self.outbox.meters().failed("network");
        let Lost { retryable, message, trouble, .. } = lost;
        self.trouble = trouble;
        tracing::info!(retryable, message, "the publisher has no connection");
        self.outbox.feed().connected(self.connection.is_some());
        self.feed(Event::Disconnected { connection, retryable, message }).await;
    }

    /// Hands a batch that was read to its connection.
    async fn read(&mut self, call: CallId, result: Result<Batch, ReadError>) {
        let meant_for = self.reading.remove(&call);
        let batch = match result {
            Ok(batch) => batch,
            Err(error) => {
                let (damaged, message) = match error {
                    ReadError::Damaged(message) => (true, message),
                    ReadError::Unreadable(message) => (false, message),
                };
                return self.feed(Event::NotTaken { call, damaged, message }).await;
            }
        };
        // Otherwise its connection has ended since; the core knows.
        if self.connection.as_ref().is_some_and(|(number, _)| Some(*number) == meant_for)
            && let Some(taken) = self.hand_over(call, batch).await
        {
            self.feed(taken).await;
        }
    }

    /// Hands a batch to the connection that there is; what the core has to know of it comes back, and only then.
    async fn hand_over(&mut self, call: CallId, batch: Batch) -> Option<Event> {
        let (connection, wire) = self.connection.clone()?;
        let (count, bytes) = (batch.events, batch.args.len());
        let mut work: Work = Box::pin(async move {
            let ended = calls::append_ended(call, wire.call_reducer("append_encoded", batch.args).await);
            Done::Call { connection, ended }
        });
        // The first poll puts it into the connection's queue, which has room (see the limits): so calls keep their order.
        let first = tokio::task::unconstrained(async { futures::poll!(work.as_mut()) }).await;
        match first {
            std::task::Poll::Ready(Done::Call { connection, ended }) => {
                self.work.push(Box::pin(async move { Done::Call { connection, ended } }));
            }
            std::task::Poll::Ready(_) => {}
            std::task::Poll::Pending => self.work.push(work),
        }
        Some(Event::Taken { call, count, bytes })
    }

    async fn named(
        &mut self,
        call: CallId,
        generation: u32,
        streams: Vec<StreamNo>,
        result: Result<Vec<String>, ReadError>,
    ) {
        let meant_for = self.reading.remove(&call);
        let ids = match result {
            Ok(ids) => ids,
            Err(error) => {
                let refusal = Refusal::new("outbox_unreadable", format!("{error:?}"));
                return self.feed(Event::Refused { call, refusal }).await;
            }
        };
        let Some((connection, wire)) = self.connection.clone().filter(|(number, _)| Some(*number) == meant_for) else {
            return;
        };
        let question = args(&(producer_of(self.outbox.producer(), generation).to_string(), ids));
        let reader = self.reader.clone();
        self.work.push(Box::pin(async move {
            let ended = match calls::ask_ended(call, wire.call_procedure("producer_state", question).await) {
                Ok(states) => calls::compared(call, reader.compared(generation, streams, states).await),
                Err(ended) => ended,
            };
            Done::Call { connection, ended }
        }));
    }

    async fn call_ended(&mut self, connection: u64, ended: Ended) {
        match ended {
            Ended::With(event) => {
                if let Event::Refused { refusal, .. } = &event {
                    tracing::info!(code = refusal.code, message = refusal.message, "the host refused a call");
                    self.outbox.meters().failed(&refusal.code);
                }
                self.feed(event).await;
            }
            Ended::InSilence(message) => {
                if let Some(wire) = self.take(connection) {
                    self.close(wire);
                    self.lost(connection, Lost::new(true, message)).await;
                }
            }
            Ended::WithConnection => {}
        }
    }

    fn close(&mut self, wire: Connection) {
        self.work.push(Box::pin(async move {
            wire.close().await;
            Done::Nothing
        }));
    }

    async fn feed(&mut self, event: Event) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let now = self.began.elapsed();
            for action in self.core.on(now, rand::random(), event) {
                events.extend(self.act(action).await);
            }
        }
    }
}
