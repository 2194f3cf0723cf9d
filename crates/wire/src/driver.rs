//! The task that owns the socket: it feeds the [`Session`] and carries out what that decides.
//!
//! What always holds: no decision is made here. Nothing is read from the socket while something read earlier waits for
//! the application ([`Task::outbox`]), which is how a slow application slows the host down instead of filling this
//! process; writing never blocks reading, so that two full directions cannot wait for each other. When the task ends it
//! first says why ([`TaskEnds::closed`]) and then answers whoever still waits.

use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use reqwest::Upgraded;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::connection::{Command, Queued, TaskEnds};
use crate::driver::budget::{permits_of, reserve, update_permits};
use crate::error::{CallError, ClosedReason, quote};
use crate::frame::{self, Messages};
use crate::messages::ClientMessage;
use crate::options::{Compression, Protocol};
use crate::session::{Action, CallId, Event, Reply, Session};
use crate::update::Update;

pub(crate) mod budget;
mod hearing;

/// The socket after its upgrade.
pub(crate) type Socket = WebSocketStream<Upgraded>;

type Answer = Result<Reply, CallError>;

/// How many commands are taken at once, and so how many v3 messages may share a frame.
const COMMANDS_AT_ONCE: usize = 64;

/// How many frames may wait for the socket before no further commands are taken.
const FRAMES_WAITING_MAX: usize = 64;

/// How long the last frame of a connection that the host closed may take to leave.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a task is made of.
pub(crate) struct Parts {
    pub(crate) socket: Socket,
    pub(crate) protocol: Protocol,
    pub(crate) compression: Compression,
    pub(crate) session: Session,
    pub(crate) ends: TaskEnds,
    pub(crate) message_bytes_max: usize,
    pub(crate) update_bytes_max: usize,
    pub(crate) slow_consumer: Duration,
}

struct Task {
    session: Session,
    protocol: Protocol,
    compression: Compression,
    began: Instant,
    message_bytes_max: usize,
    update_permits_max: u32,
    slow_consumer: Duration,
    ends: TaskEnds,
    /// Who waits for what. An entry lives exactly as long as the session owes an answer.
    callers: HashMap<CallId, oneshot::Sender<Answer>>,
    last_call: CallId,
    /// The frame that was read last, as far as it is not yet heard. The next is read after it.
    inbound: Option<Messages>,
    /// What was heard and not yet handed on, in order: replies must not overtake updates.
    outbox: VecDeque<Outgoing>,
    stalled_since: Option<Instant>,
    /// Messages of one round, put together into frames at its end.
    messages: Vec<ClientMessage>,
    frames: VecDeque<Message>,
    is_flushed: bool,
    sent_close: bool,
    ended: Option<ClosedReason>,
}

enum Outgoing {
    Update(Update, u32),
    Reply(CallId, Answer),
}

/// What wakes the task.
enum Wake {
    Commands(Vec<Command>),
    /// Every [`crate::Connection`] and the [`crate::Incoming`] are gone, or one of them asks to close.
    CloseAsked,
    Read(Option<Result<Message, SocketError>>),
    /// The frame that was read last has more messages, and what came before is handed on.
    More,
    CanWrite(Result<(), SocketError>),
    Flushed(Result<(), SocketError>),
    CanDeliver(Option<(mpsc::OwnedPermit<Queued>, OwnedSemaphorePermit)>),
    Time,
}

/// Runs a connection to its end.
pub(crate) async fn run(parts: Parts) {
    let (sink, stream) = parts.socket.split();
    let task = Task {
        session: parts.session,
        protocol: parts.protocol,
        compression: parts.compression,
        began: Instant::now(),
        message_bytes_max: parts.message_bytes_max,
        update_permits_max: permits_of(parts.update_bytes_max),
        slow_consumer: parts.slow_consumer,
        ends: parts.ends,
        callers: HashMap::new(),
        last_call: 0,
        inbound: None,
        outbox: VecDeque::new(),
        stalled_since: None,
        messages: Vec::new(),
        frames: VecDeque::new(),
        is_flushed: true,
        sent_close: false,
        ended: None,
    };
    task.run(sink, stream).await;
}

impl Task {
    async fn run(mut self, mut sink: SplitSink<Socket, Message>, mut stream: SplitStream<Socket>) {
        while self.ended.is_none() {
            let wake = self.wait(&mut sink, &mut stream).await;
            self.handle(wake, &mut sink);
            self.pack();
        }
        let reason = self.finish();
        if matches!(reason, ClosedReason::ByHost { .. }) {
            // The library has the answer to the host's close frame ready; a host that does not take it loses it.
            let _ = tokio::time::timeout(FAREWELL, sink.flush()).await;
        }
    }

    /// Waits for the next thing that can be done. Every branch is cancel-safe.
    async fn wait(&mut self, sink: &mut SplitSink<Socket, Message>, stream: &mut SplitStream<Socket>) -> Wake {
        let mut commands = Vec::new();
        let room = self.session.room().min(COMMANDS_AT_ONCE);
        let takes_commands = room > 0 && self.frames.len() < FRAMES_WAITING_MAX && !self.sent_close;
        let deadline = self.next_deadline();
        let commands_gone = self.ends.commands.is_closed() && self.ends.commands.is_empty();
        let next_update = self.outbox.front().map(|front| match front {
            Outgoing::Update(_, permits) => *permits,
            Outgoing::Reply(..) => 0,
        });
        let has_frames = !self.frames.is_empty();
        let (updates, update_bytes) = (&self.ends.updates, &self.ends.update_bytes);
        tokio::select! {
            taken = self.ends.commands.recv_many(&mut commands, room), if takes_commands && !commands_gone => {
                // None taken means that every sender is gone; the next round waits for the other end too.
                if taken == 0 { Wake::Time } else { Wake::Commands(commands) }
            }
            () = updates.closed(), if commands_gone && !self.sent_close => Wake::CloseAsked,
            asked = self.ends.close.wait_for(|asked| *asked), if !self.sent_close && !commands_gone => {
                match asked { Ok(_) => Wake::CloseAsked, Err(_) => Wake::Time }
            }
            room = reserve(updates, update_bytes, next_update.unwrap_or(0)), if next_update.is_some() => {
                Wake::CanDeliver(room)
            }
            wake = poll_fn(|context| write(sink, has_frames, context)), if has_frames || !self.is_flushed => wake,
            // After everything else that is ready had its turn, on this thread too: a frame may hold many.
            () = tokio::task::yield_now(), if self.outbox.is_empty() && self.inbound.is_some() => Wake::More,
            read = stream.next(), if self.outbox.is_empty() && self.inbound.is_none() => Wake::Read(read),
            () = sleep_until(deadline) => Wake::Time,
        }
    }

    fn handle(&mut self, wake: Wake, sink: &mut SplitSink<Socket, Message>) {
        match wake {
            Wake::Commands(commands) => commands.into_iter().for_each(|command| self.ask(command)),
            Wake::CloseAsked => self.feed(Event::Close),
            Wake::Read(read) => self.read(read),
            Wake::More => self.hear_some(),
            Wake::CanWrite(Ok(())) => {
                let frame = self.frames.pop_front().expect("waited to write a frame");
                self.is_flushed = false;
                if let Err(error) = sink.start_send_unpin(frame) {
                    self.socket_failed(&error);
                }
            }
            Wake::Flushed(Ok(())) => self.is_flushed = true,
            Wake::CanWrite(Err(error)) | Wake::Flushed(Err(error)) => self.socket_failed(&error),
            Wake::CanDeliver(room) => self.hand_on(room),
            Wake::Time => self.time(),
        }
    }

    fn next_deadline(&self) -> Instant {
        let session = self.at(self.session.next_deadline());
        match self.stalled_since {
            Some(since) => session.min(since + self.slow_consumer),
            None => session,
        }
    }

    /// A time of the session as one of the clock; far away where the session says "never".
    fn at(&self, time: Duration) -> Instant {
        self.began.checked_add(time).unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600))
    }

    fn time(&mut self) {
        if self.stalled_since.is_some_and(|since| Instant::now() >= since + self.slow_consumer) {
            let limit = self.slow_consumer;
            return self.feed(Event::Failed(ClosedReason::SlowConsumer { limit }));
        }
        if !self.outbox.is_empty() {
            self.feed(Event::NotListening);
        }
        self.feed(Event::Tick);
    }

    fn ask(&mut self, command: Command) {
        // Nobody waits any more: the future was dropped while the command was in the queue.
        if command.reply.is_closed() {
            return;
        }
        self.last_call += 1;
        self.callers.insert(self.last_call, command.reply);
        let deadline = command.deadline.saturating_duration_since(self.began);
        let (request, timeout) = (command.request, command.timeout);
        self.feed(Event::Ask { call: self.last_call, request, timeout, deadline });
    }

    fn read(&mut self, read: Option<Result<Message, SocketError>>) {
        match read {
            Some(Ok(message)) => {
                self.feed(Event::Heard);
                match message {
                    Message::Binary(payload) => self.read_frame(&payload),
                    Message::Text(_) => self.broken("it sent text where only binary is agreed".into()),
                    Message::Close(close) => {
                        let (code, said) =
                            close.map_or((1005, String::new()), |close| (close.code.into(), quote(&close.reason)));
                        self.feed(Event::HostClosed { code, said });
                    }
                    // The library answers pings by itself.
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
                }
            }
            Some(Err(error)) => self.socket_failed(&error),
            None => {
                let reason = "the host ended the connection without a close frame".into();
                self.feed(Event::Failed(ClosedReason::Lost { reason }));
            }
        }
    }

    /// Hands on what is ready: every reply at the front, and the update at the front if there is `room` for it.
    fn hand_on(&mut self, room: Option<(mpsc::OwnedPermit<Queued>, OwnedSemaphorePermit)>) {
        if let Some((permit, budget)) = room
            && let Some(Outgoing::Update(..)) = self.outbox.front()
            && let Some(Outgoing::Update(update, _)) = self.outbox.pop_front()
        {
            permit.send(Queued { update, _budget: budget });
            self.stalled_since = None;
        }
        loop {
            match self.outbox.front() {
                Some(Outgoing::Reply(..)) => {
                    if let Some(Outgoing::Reply(call, result)) = self.outbox.pop_front() {
                        self.reply(call, result);
                    }
                }
                // Nobody listens: updates are thrown away.
                Some(Outgoing::Update(..)) if self.ends.updates.is_closed() => drop(self.outbox.pop_front()),
                Some(Outgoing::Update(..)) => {
                    self.stalled_since.get_or_insert_with(Instant::now);
                    return;
                }
                None => {
                    self.stalled_since = None;
                    return;
                }
            }
        }
    }

    fn reply(&mut self, call: CallId, result: Answer) {
        let Some(caller) = self.callers.remove(&call) else { return };
        if let Err(Ok(Reply::Subscribed(subscription))) = caller.send(result) {
            // The caller gave up at the last moment; nobody would ever unsubscribe.
            self.feed(Event::Unclaimed(subscription.query_set));
        }
    }

    fn feed(&mut self, event: Event) {
        let now = self.now();
        for action in self.session.on(now, event) {
            self.act(action);
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Send(message) => self.messages.push(message),
            Action::Ping => self.frames.push_back(Message::Ping(Bytes::new())),
            Action::Close => {
                self.pack();
                let frame = CloseFrame { code: CloseCode::Normal, reason: "".into() };
                self.frames.push_back(Message::Close(Some(frame)));
                self.sent_close = true;
            }
            Action::Reply { call, result } => self.reply(call, result),
            Action::Deliver(update) => {
                // One update may be larger than the whole budget; it then needs all of it.
                let permits = update_permits(&update).min(self.update_permits_max);
                self.outbox.push_back(Outgoing::Update(update, permits));
            }
            Action::End(reason) => self.ended = Some(reason),
        }
    }

    /// Puts the messages of this round into frames.
    fn pack(&mut self) {
        let messages = std::mem::take(&mut self.messages);
        self.frames.extend(frame::encode(self.protocol, &messages).into_iter().map(Message::Binary));
    }

    fn broken(&mut self, detail: String) {
        self.feed(Event::Failed(ClosedReason::Protocol { detail }));
    }

    fn socket_failed(&mut self, error: &SocketError) {
        let reason = match error {
            SocketError::Capacity(_) => {
                let detail = format!("it sent a message of more than {} bytes", self.message_bytes_max);
                ClosedReason::Protocol { detail }
            }
            // What a host that is killed leaves behind. It kept to the protocol as long as it lived, and may come back.
            SocketError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                ClosedReason::Lost { reason: quote(&error.to_string()) }
            }
            SocketError::Protocol(_) | SocketError::Utf8(_) => {
                ClosedReason::Protocol { detail: quote(&error.to_string()) }
            }
            _ => ClosedReason::Lost { reason: quote(&error.to_string()) },
        };
        self.feed(Event::Failed(reason));
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Says why it is over, and answers whoever still waits: replies that were read, then commands never sent.
    fn finish(mut self) -> ClosedReason {
        let reason = self.ended.take().unwrap_or(ClosedReason::ByClient);
        tracing::debug!(%reason, "a connection ended");
        self.ends.closed.send_replace(Some(reason.clone()));
        for outgoing in std::mem::take(&mut self.outbox) {
            if let Outgoing::Reply(call, result) = outgoing {
                self.reply(call, result);
            }
        }
        self.ends.commands.close();
        while let Ok(command) = self.ends.commands.try_recv() {
            let error = CallError::Closed { reason: reason.clone(), sent: false };
            // A caller that is gone needs no answer.
            let _ = command.reply.send(Err(error));
        }
        reason
    }
}

/// Waits until a frame can be written, or, if there is none, until all that was written has left.
fn write(sink: &mut SplitSink<Socket, Message>, has_frames: bool, context: &mut Context<'_>) -> Poll<Wake> {
    if has_frames {
        sink.poll_ready_unpin(context).map(Wake::CanWrite)
    } else {
        sink.poll_flush_unpin(context).map(Wake::Flushed)
    }
}
