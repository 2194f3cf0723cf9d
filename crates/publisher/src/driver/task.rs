//! The sender's loop. See [`super`].

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use muster_wire::lease::Tokens;
use muster_wire::{ClosedReason, Connection, args};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use super::calls::{self, Ended};
use super::greeting::{Greeted, Lost, greet};
use super::reading::Reader;
use super::{Command, ConnectConfig, PublisherStatus, Sender, TokenSource, Trouble};
use crate::core::{Action, CallId, Core, Event, Refusal, StreamNo, StreamRecord, producer_of};
use crate::limits::{ASK_STREAMS_MAX, FORGET_RETRY_MS, PENDING_STREAMS_MAX, ms};
use crate::outbox::reader::{Batch, ReadError, Wanted};
use crate::outbox::{Control, Outbox};

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
        self.feed(Event::Disconnected { connection, retryable, message }).await;
    }

    /// Hands a batch that was read to its connection, and only then tells the core.
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
        let Some((connection, wire)) = self.connection.clone().filter(|(number, _)| Some(*number) == meant_for) else {
            // Its connection has ended since; the core knows.
            return;
        };
        let (count, bytes) = (batch.events, batch.args.len());
        let mut work: Work = Box::pin(async move {
            let ended = calls::append_ended(call, wire.call_reducer("append_encoded", batch.args).await);
            Done::Call { connection, ended }
        });
        // The first poll puts it into the connection's queue, which has room (see the limits): so calls keep their order.
        let first = tokio::task::unconstrained(async { futures::poll!(work.as_mut()) }).await;
        self.feed(Event::Taken { call, count, bytes }).await;
        match first {
            std::task::Poll::Ready(Done::Call { connection, ended }) => {
                self.work.push(Box::pin(async move { Done::Call { connection, ended } }));
            }
            std::task::Poll::Ready(_) => {}
            std::task::Poll::Pending => self.work.push(work),
        }
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
        let now = self.began.elapsed();
        for action in self.core.on(now, rand::random(), event) {
            self.act(action).await;
        }
    }

    async fn act(&mut self, action: Action) {
        let outbox = self.outbox.clone();
        match action {
            Action::Connect { connection } => self.connect(connection),
            Action::Disconnect { connection } => {
                if self.wanted.take_if(|wanted| *wanted == connection).is_some() {
                    self.tokens.given_up();
                }
                if let Some(wire) = self.take(connection) {
                    self.close(wire);
                }
            }
            Action::RenewToken { connection } => self.tokens.denied(connection),
            Action::TokenTaken { connection } => self.tokens.taken(connection),
            Action::Ask { call, generation, streams } => {
                let reader = self.reader.clone();
                self.note_reading(call);
                self.work.push(Box::pin(async move {
                    let result = reader.ids(streams.clone()).await;
                    Done::Named { call, generation, streams, result }
                }));
            }
            Action::Append { call, stream, generation, epoch, first, number, events_max, bytes_max } => {
                let wanted = Wanted { stream, generation, epoch, first, number, events_max, bytes_max };
                let reader = self.reader.clone();
                self.note_reading(call);
                self.work.push(Box::pin(async move { Done::Read { call, result: reader.batch(wanted).await } }));
            }
            Action::Save(record) => {
                let stream = record.no;
                let (reply, answer) = oneshot::channel();
                self.work.push(Box::pin(async move {
                    let asked = outbox.control(Control::Save { record, reply }).await;
                    Done::Event(Event::Saved { stream, ok: asked && answer.await.unwrap_or(false) })
                }));
            }
            Action::Park { stream, refusal } => {
                tracing::warn!(stream, code = refusal.code, message = refusal.message, "a stream is parked");
                if refusal.code.starts_with("outbox_") || refusal.code.starts_with("host_") {
                    self.outbox.meters().failed(&refusal.code);
                }
                self.park(stream, refusal).await;
            }
            Action::Forget(up_to) => {
                let (reply, answer) = oneshot::channel();
                self.work.push(Box::pin(async move {
                    let asked = outbox.control(Control::Forget { up_to, reply }).await;
                    Done::Event(Event::Forgotten { ok: asked && answer.await.unwrap_or(false) })
                }));
            }
        }
    }

    /// Has a stream marked as parked, again and again until it is. The first time before anything else, so that a person
    /// who sees it can decide about it.
    async fn park(&mut self, stream: StreamNo, refusal: Refusal) {
        let outbox = self.outbox.clone();
        let (reply, mut answer) = oneshot::channel();
        if !outbox.control(Control::Park { stream, refusal: refusal.clone(), reply }).await {
            return;
        }
        self.work.push(Box::pin(async move {
            while !answer.await.unwrap_or(false) {
                tokio::time::sleep(ms(FORGET_RETRY_MS)).await;
                let (reply, next) = oneshot::channel();
                answer = next;
                if !outbox.control(Control::Park { stream, refusal: refusal.clone(), reply }).await {
                    break;
                }
            }
            Done::Nothing
        }));
    }

    fn note_reading(&mut self, call: CallId) {
        if let Some((connection, _)) = &self.connection {
            self.reading.insert(call, *connection);
        }
    }

    fn connect(&mut self, connection: u64) {
        self.wanted = Some(connection);
        self.tokens.connecting();
        let (options, source) = (self.config.options.clone(), self.config.token.clone());
        let (outbox, reader) = (self.outbox.clone(), self.reader.clone());
        self.work.push(Box::pin(async move {
            let result = greet(options, source, &outbox, reader).await;
            Done::Connected { connection, result: Box::new(result) }
        }));
    }
}
