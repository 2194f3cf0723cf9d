//! The task that carries out what the engine decides: it owns the connection, the requests under way and the way to
//! the store's thread.
//!
//! What always holds: no decision is made here. Every branch that is waited on is cancel-safe. What the engine asks for
//! is bounded by the engine, so no queue here fills up. The task ends after [`Event::Stop`], and only once the store's
//! thread has finished what it was given.

use std::collections::HashMap;
use std::future::pending;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use muster_contract::page::Page;
use muster_contract::rows::{Row, Signal as RowSignal, SyncSignal};
use muster_wire::clock::Clock;
use muster_wire::lease::Tokens;
use muster_wire::{ConnectOptions, Connection, Incoming, Keeper, Token, Transaction, Update};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::engine::{Action, Engine, Event, LinkNo, Reply, RequestNo, Signal, Trouble};
use crate::limits::{LOOK_MS, SHUTDOWN_MS_MAX, ms};
use board::{Board, Ending};
use link::Opened;
use worker::{Done, Job, Worker};

pub(crate) mod board;
pub(crate) mod desk;
mod link;
mod requests;
#[cfg(test)]
mod tests;
mod tokens;
pub(crate) mod worker;

/// What the application says to the running task.
pub(crate) enum Command {
    /// Something was changed: try again what is blocked. With another token, connect as that.
    Unblock(Option<Token>),
    /// The token ends soon; this is the next.
    Refresh(Token),
}

pub(crate) struct Task {
    pub(crate) ending: Ending,
    pub(crate) engine: Engine,
    /// Time zero of the engine's clock.
    pub(crate) began: Instant,
    pub(crate) options: ConnectOptions,
    /// Who has the tokens, where that is not the options' one.
    pub(crate) keeper: Option<Keeper>,
    pub(crate) worker: Worker,
    pub(crate) board: Arc<Board>,
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) store: PathBuf,
}

/// A connection that is open.
struct Link {
    number: LinkNo,
    connection: Connection,
    incoming: Incoming,
    requests: JoinSet<(RequestNo, Reply)>,
}

impl Link {
    async fn next(&mut self) -> Wake {
        tokio::select! {
            update = self.incoming.next() => Wake::Heard(self.number, update),
            Some(answered) = self.requests.join_next(), if !self.requests.is_empty() => match answered {
                Ok((request, reply)) => Wake::Answered(request, reply),
                Err(_) => Wake::Nothing,
            },
        }
    }
}

struct Running {
    task: Task,
    link: Option<Link>,
    /// The one that is to take over from it.
    next: Option<Link>,
    tokens: Tokens,
    opening: JoinSet<(LinkNo, Option<u64>, Result<Opened, Trouble>)>,
    /// The connection asked for last, until it is open or has failed. Whatever else is opened is nobody's.
    awaited: Option<LinkNo>,
    clock: Clock,
    closing: JoinSet<()>,
    /// The store's thread is gone, which it is before the end only if the application panicked.
    is_broken: bool,
}

enum Wake {
    Stop,
    Command(Command),
    /// There is another token, or none any more.
    Tokens,
    Opened(LinkNo, Option<u64>, Result<Opened, Trouble>),
    Heard(LinkNo, Option<Update>),
    Answered(RequestNo, Reply),
    Done(Option<Done>),
    Time,
    Nothing,
}

impl Task {
    /// Runs until it is told to stop, or nobody is left to tell it.
    pub(crate) async fn run(self, first: Event) {
        tracing::debug!(store = %self.store.display(), "following");
        let mut running = Running::new(self);
        running.feed(first);
        loop {
            match running.wait().await {
                Wake::Stop => break,
                wake => running.handle(wake),
            }
        }
        running.finish().await;
    }
}

impl Running {
    fn new(mut task: Task) -> Running {
        let tokens = Tokens::of(task.keeper.take());
        Running {
            task,
            link: None,
            next: None,
            tokens,
            opening: JoinSet::new(),
            awaited: None,
            clock: Clock::new(),
            closing: JoinSet::new(),
            is_broken: false,
        }
    }

    async fn wait(&mut self) -> Wake {
        // A timer stands still while the machine sleeps; so it is looked often enough to notice.
        let soon = Instant::now() + ms(LOOK_MS);
        let deadline = self.task.engine.next_deadline();
        let deadline = deadline.map(|at| soon.min(self.task.began + self.clock.awake(at)));
        let Running { task, link, next, tokens, opening, closing, is_broken, .. } = self;
        tokio::select! {
            _ = task.stop.wait_for(|stop| *stop) => Wake::Stop,
            Some(command) = task.commands.recv() => Wake::Command(command),
            done = task.worker.done.recv(), if !*is_broken => Wake::Done(done),
            wake = async { match link { Some(link) => link.next().await, None => pending().await } } => wake,
            wake = async { match next { Some(next) => next.next().await, None => pending().await } } => wake,
            () = tokens.changed() => Wake::Tokens,
            Some(opened) = opening.join_next(), if !opening.is_empty() => match opened {
                Ok((number, serial, result)) => Wake::Opened(number, serial, result),
                Err(_) => Wake::Nothing,
            },
            Some(_) = closing.join_next(), if !closing.is_empty() => Wake::Nothing,
            () = async { match deadline { Some(at) => sleep_until(at).await, None => pending().await } } => Wake::Time,
        }
    }

    fn handle(&mut self, wake: Wake) {
        match wake {
            Wake::Stop | Wake::Nothing => {}
            Wake::Command(Command::Unblock(token)) => {
                if token.is_some() {
                    self.task.options.token = token;
                }
                self.feed(Event::Unblock);
            }
            Wake::Command(Command::Refresh(token)) => {
                self.task.options.token = Some(token);
                self.feed(Event::TokenRefreshDue);
            }
            Wake::Tokens => {}
            // Another was asked for since.
            Wake::Opened(number, _, result) if self.awaited != Some(number) => {
                if let Ok(opened) = result {
                    self.let_go(opened.connection);
                }
            }
            Wake::Opened(number, serial, Ok(opened)) => {
                self.awaited = None;
                self.tokens.connected(number.0, serial);
                if !self.tokens.are_kept() {
                    // The host made up an identity for somebody without a token: this subscriber stays that one.
                    self.task.options.token.get_or_insert_with(|| opened.connection.token().clone());
                }
                let Opened { connection, incoming } = opened;
                let link = Link { number, connection, incoming, requests: JoinSet::new() };
                if self.link.is_some() {
                    self.next = Some(link)
                } else {
                    self.link = Some(link)
                }
                self.feed(Event::Connected(number));
            }
            Wake::Opened(link, serial, Err(why)) => {
                self.awaited = None;
                self.tokens.connected(link.0, serial);
                self.feed(Event::Disconnected { link, why });
            }
            Wake::Heard(link, update) => self.heard(link, update),
            Wake::Answered(request, reply) => self.feed(Event::Answered { request, reply }),
            Wake::Done(Some(Done::Applied(batch))) => self.feed(Event::Applied(batch)),
            Wake::Done(Some(Done::Failed(batch, failure))) => self.feed(Event::ApplyFailed { batch, failure }),
            Wake::Done(Some(Done::Moved(batch, place))) => self.feed(Event::Moved { batch, place }),
            Wake::Done(Some(Done::NotEstablished(pattern))) => self.feed(Event::EstablishFailed(pattern)),
            // The thread ends only when it is told to, or with a panic of the application's.
            Wake::Done(None) => {
                self.is_broken = true;
                self.feed(Event::Stop);
                self.task.board.broken("the application panicked while it applied a batch; start again");
            }
            Wake::Time => self.feed(Event::Tick),
        }
        if self.tokens.is_another() {
            self.feed(Event::TokenRefreshDue);
        }
    }

    /// The open connection of this number.
    fn open(&mut self, number: LinkNo) -> Option<&mut Link> {
        [&mut self.link, &mut self.next].into_iter().flatten().find(|link| link.number == number)
    }

    /// Lets go of the open connection of this number, with what is under way on it.
    fn close(&mut self, number: LinkNo) -> Option<Link> {
        let closed = self.link.take_if(|link| link.number == number);
        let closed = closed.or_else(|| self.next.take_if(|link| link.number == number));
        if self.link.is_none() {
            self.link = self.next.take();
        }
        closed
    }

    fn heard(&mut self, link: LinkNo, update: Option<Update>) {
        match update {
            Some(Update::Transaction(transaction)) => self.signals(link, &transaction),
            Some(Update::SubscriptionFailed { message, .. }) => self.lost(
                link,
                Trouble {
                    is_retryable: true,
                    code: None,
                    message: format!("the host dropped the subscription to signals: {message}"),
                },
            ),
            Some(Update::Closed(reason)) => {
                let why = Trouble { is_retryable: reason.is_retryable(), code: None, message: reason.to_string() };
                self.lost(link, why);
            }
            None => {
                self.lost(link, Trouble { is_retryable: true, code: None, message: "the connection is gone".into() })
            }
        }
    }

    fn lost(&mut self, link: LinkNo, why: Trouble) {
        if let Some(link) = self.close(link) {
            self.feed(Event::Disconnected { link: link.number, why });
        }
    }

    fn signals(&mut self, link: LinkNo, transaction: &Transaction) {
        let Some(open) = self.open(link) else { return };
        let own = open.connection.connection_id();
        let tables = transaction.query_sets.iter().flat_map(|set| &set.tables);
        let mut rows: Vec<SyncSignal> = Vec::new();
        for table in tables.filter(|table| table.table == SyncSignal::TABLE) {
            match table.inserted.decode() {
                Ok(decoded) => rows.extend(decoded),
                Err(error) => {
                    return self.lost(link, Trouble { is_retryable: false, code: None, message: error.to_string() });
                }
            }
        }
        // A page rides on one signal of a transaction, for all sessions of the identity and all of their slots.
        let pages: HashMap<u64, Page> =
            rows.iter().filter_map(|row| row.riding().map(|page| (row.stream, page))).collect();
        // The filter is by identity; another connection of the same one has its own slots.
        for row in rows.into_iter().filter(|row| row.connection_id == own) {
            let what = match row.what {
                RowSignal::Ahead => Signal::Ahead,
                RowSignal::NewStream => Signal::NewStream,
                RowSignal::Gone => Signal::Gone,
                RowSignal::FollowEnded => Signal::FollowEnded,
            };
            let page = pages.get(&row.stream).cloned();
            self.feed(Event::Signal { link, slot: row.slot, stream: row.stream, what, page });
        }
    }

    fn feed(&mut self, event: Event) {
        let now = self.clock.now(self.task.began.elapsed(), SystemTime::now());
        for action in self.task.engine.on(now, rand::random(), event) {
            self.act(action);
        }
        self.task.board.proven(self.task.engine.proof().map(|at| self.clock.awake(at)));
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Connect(number) => {
                let options = self.task.options.clone();
                self.opening.abort_all();
                self.awaited = Some(number);
                let keeper = self.tokens.connecting();
                self.opening.spawn(async move {
                    let (serial, result) = link::open(options, keeper).await;
                    (number, serial, result)
                });
            }
            Action::Disconnect(number) => self.disconnect(number),
            Action::Ask { link, request, what } => {
                let Some(open) = self.open(link) else { return };
                let connection = open.connection.clone();
                open.requests.spawn(async move { (request, requests::ask(&connection, what).await) });
            }
            Action::Apply { batch, what } => self.task.worker.give(Job::Apply(batch, Box::new(what))),
            Action::Establish { pattern, last_no } => self.task.worker.give(Job::Establish(pattern, last_no)),
            Action::RenewToken(link) => self.tokens.denied(link.0),
            Action::TokenTaken(link) => self.tokens.taken(link.0),
            Action::Stream(mut status) => {
                status.next_retry = status.next_retry.map(|at| self.clock.awake(at));
                self.task.board.stream(status);
            }
            Action::LetGo(stream) => self.task.board.let_go(&stream),
            Action::Status(mut status) => {
                status.next_retry = status.next_retry.map(|at| self.clock.awake(at));
                self.task.board.overall(status);
            }
        }
    }

    fn disconnect(&mut self, number: LinkNo) {
        if self.awaited.take_if(|awaited| *awaited == number).is_some() {
            self.opening.abort_all();
            self.tokens.given_up();
        }
        if let Some(link) = self.close(number) {
            self.let_go(link.connection);
        }
    }

    /// Closes it politely, and bounded by the connection's own limit; nobody waits for it.
    fn let_go(&mut self, connection: Connection) {
        self.closing.spawn(async move {
            connection.close().await;
        });
    }

    async fn finish(mut self) {
        self.feed(Event::Stop);
        self.task.ending.is_told = true;
        self.opening.shutdown().await;
        (self.link, self.next) = (None, None);
        self.task.worker.close();
        let drain = async { while self.task.worker.done.recv().await.is_some() {} };
        if timeout(ms(SHUTDOWN_MS_MAX), drain).await.is_err() {
            tracing::warn!("the application still applies a batch; its transaction ends with the process");
        }
        while self.closing.join_next().await.is_some() {}
    }
}
