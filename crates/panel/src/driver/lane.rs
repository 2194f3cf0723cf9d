//! One lane that is shown: its subscriber, its connection, its files.
//!
//! What always holds: one look at the outbox and one reading of events are under way at a time; the store is let go of
//! before it is opened again.

use muster_contract::pattern::StreamPattern;
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_sync::engine::Tuning;
use muster_sync::{Reader, StartError, Status, Subscriber};
use muster_wire::lease::LeaseStatus;
use muster_wire::{ConnectOptions, Keeper, Timeouts, Token};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::outbox::Watched;
use super::store::Wanted;
use super::tap::{Tapped, tap};
use super::target::{Target, TokenChoice};
use super::{Teller, cache, presence, store, words};
use crate::clock::{At, Clock};
use crate::limits::{CACHE_WRITE_MS, CONNECT_MS_MAX, IDLE_MS_MAX, OUTBOX_LOOK_MS, PING_MS, PROBE_MS, PROOF_MS_MAX, ms};
use crate::model::observation::{PresenceWord, SyncWord};
use crate::model::streams::StreamWord;
use crate::model::token::{TokenFacts, TokenKind};
use crate::model::{LaneFacts, Model, Observation, Refusal};

pub(super) struct Lane {
    target: Target,
    teller: Teller,
    keeper: Option<Keeper>,
    running: Option<Running>,
    words: Vec<StreamWord>,
    words_at: At,
    reader: Option<Reader>,
    reading: Option<JoinHandle<Read>>,
    /// What was read last, and through which number.
    read: Option<(Wanted, u64)>,
    watched: Option<Watched>,
    looking: Option<JoinHandle<(Watched, Observation)>>,
    looked_at: At,
    cached_at: At,
}

/// What came of a reading.
type Read = (Option<Reader>, Wanted, Option<Observation>);

/// What is there while connected.
struct Running {
    presence: JoinHandle<()>,
    tokens: watch::Sender<Option<ConnectOptions>>,
    sync: Option<Syncing>,
    lease: Option<watch::Receiver<LeaseStatus>>,
    serial: u64,
    /// The sync is to be started with the first token.
    is_waiting: bool,
}

struct Syncing {
    subscriber: Subscriber,
    status: watch::Receiver<Status>,
    tapped: Tapped,
}

impl Lane {
    /// Shows what is known of a lane without its host.
    pub(super) async fn open(target: Target, teller: Teller, model: &mut Model) -> Lane {
        let now = teller.now();
        model.on(now, Observation::Lane(facts_of(&target)));
        model.outbox_at(target.outbox.as_ref().map(|path| path.display().to_string()));
        let (keeper, token) = match &target.token {
            TokenChoice::Anonymous => (None, TokenFacts::default()),
            TokenChoice::Given(token) => (None, TokenFacts::of(TokenKind::Given, token.expose())),
            TokenChoice::Renewed(source) => (Some(Keeper::start(source.clone())), renewed()),
            TokenChoice::Kept(keeper) => (Some(keeper.clone()), renewed()),
        };
        model.on(now, Observation::Token(token));
        let mut lane = Lane {
            watched: target.outbox.clone().map(Watched::new),
            keeper,
            running: None,
            words: Vec::new(),
            words_at: now,
            reader: None,
            reading: None,
            read: None,
            looking: None,
            looked_at: At(0),
            cached_at: now,
            target,
            teller,
        };
        lane.recall(model, now).await;
        lane
    }

    async fn recall(&mut self, model: &mut Model, now: At) {
        let (path, endpoint) = (self.target.store.clone(), self.target.endpoint.clone());
        let recalled =
            tokio::task::spawn_blocking(move || (store::standing(&path), cache::read(&path, &endpoint))).await;
        let Ok((standing, remembered)) = recalled else { return };
        // A store that cannot be read is said by the subscriber, which cannot use it either.
        if let Ok(Some(standing)) = standing {
            self.words.clone_from(&standing.words);
            model.on(now, Observation::LastEvents(standing.last));
            model.on(now, Observation::Streams(standing.words));
        }
        if let Some(remembered) = remembered {
            model.on(now, Observation::Remembered(remembered));
        }
    }

    /// Connects, if it is not.
    pub(super) async fn connect(&mut self, model: &mut Model, now: At) {
        if self.running.is_some() {
            return;
        }
        model.on(now, Observation::Wanted(true));
        let token = match (&self.target.token, &self.keeper) {
            (TokenChoice::Given(token), _) => Some(token.clone()),
            (_, Some(keeper)) => keeper.held().map(|held| held.token),
            _ => None,
        };
        let is_ready = self.keeper.is_none() || token.is_some();
        let serial = self.keeper.as_ref().and_then(Keeper::held).map_or(0, |held| held.serial);
        let (tokens, asked) = watch::channel(is_ready.then(|| self.options(token)));
        let presence = tokio::spawn(presence::run(asked, self.teller.clone()));
        let lease = self.keeper.as_ref().map(Keeper::status);
        // Without a token it is not known yet what may be followed.
        let sync = if is_ready { self.start_sync(model, now).await } else { None };
        self.running = Some(Running { presence, tokens, sync, lease, serial, is_waiting: !is_ready });
    }

    fn options(&self, token: Option<Token>) -> ConnectOptions {
        let mut options = ConnectOptions::new(self.target.endpoint.clone()).token(token);
        options.timeouts = timeouts();
        options
    }

    async fn start_sync(&mut self, model: &mut Model, now: At) -> Option<Syncing> {
        let target = &self.target;
        let tuning = Tuning { poll: ms(PROBE_MS), liveness: ms(PROOF_MS_MAX), ..Tuning::default() };
        let builder = Subscriber::builder(target.endpoint.clone(), &target.store).tuning(tuning).timeouts(timeouts());
        let mut builder = match (&target.token, &self.keeper) {
            (TokenChoice::Given(token), _) => builder.token(token.clone()),
            (_, Some(keeper)) => builder.tokens(keeper.clone()),
            _ => builder,
        };
        if let Some(client) = &target.client {
            builder = builder.client(client);
        }
        for pattern in self.follows() {
            builder = builder.follow(pattern, target.start);
        }
        let (tap, tapped) = tap();
        match builder.apply(tap).await {
            Ok(subscriber) => Some(Syncing { status: subscriber.status(), subscriber, tapped }),
            Err(error) => {
                let title = match error {
                    StartError::Store(_) => "The store cannot be used",
                    StartError::Follows { .. } | StartError::Thread(_) => "The sync does not start",
                };
                model.on(now, Observation::StoreUnusable(Refusal::local(title, &error.to_string())));
                None
            }
        }
    }

    /// What is named; or what the token grants, because a host refuses a follow that goes beyond that; or everything.
    fn follows(&self) -> Vec<StreamPattern> {
        if !self.target.follows.is_empty() {
            return self.target.follows.clone();
        }
        let held = self.keeper.as_ref().and_then(Keeper::held).map(|held| held.token);
        let token = match &self.target.token {
            TokenChoice::Given(token) => Some(token.clone()),
            _ => held,
        };
        let granted = token.map(|token| TokenFacts::of(TokenKind::Given, token.expose()).streams).unwrap_or_default();
        let patterns: Vec<_> = granted.iter().filter_map(|pattern| StreamPattern::parse(pattern).ok()).collect();
        if patterns.is_empty() { vec![StreamPattern::All] } else { patterns }
    }

    /// Ends the connections; what is known stays.
    pub(super) async fn disconnect(&mut self, model: &mut Model, clock: &Clock) {
        let Some(running) = self.running.take() else { return };
        running.presence.abort();
        if let Some(sync) = running.sync {
            sync.subscriber.shutdown().await;
        }
        let now = clock.now();
        model.on(now, Observation::Wanted(false));
        model.on(now, Observation::Presence(PresenceWord::Closed));
        model.on(now, Observation::Sync(idle()));
        for word in &mut self.words {
            (word.state, word.reason, word.next_retry) = (ConnectionState::Idle, None, None);
        }
        model.on(now, Observation::Streams(self.words.clone()));
        self.write_cache(model, now);
    }

    /// Ends everything.
    pub(super) async fn close(mut self, model: &mut Model) {
        let clock = self.teller.clock.clone();
        self.disconnect(model, &clock).await;
    }

    /// Looks at what does not announce its changes.
    pub(super) async fn look(&mut self, model: &mut Model, now: At) {
        self.look_at_lease(model, now);
        if self.running.as_ref().is_some_and(|running| running.is_waiting && running.serial > 0) {
            let sync = self.start_sync(model, now).await;
            if let Some(running) = &mut self.running {
                (running.sync, running.is_waiting) = (sync, false);
            }
        }
        self.look_at_sync(model, now);
        self.read_events(model);
        self.look_at_outbox(now);
        if now.since(self.cached_at) >= ms(CACHE_WRITE_MS) {
            self.write_cache(model, now);
        }
    }

    fn look_at_lease(&mut self, model: &mut Model, now: At) {
        let (Some(keeper), Some(running)) = (&self.keeper, &mut self.running) else { return };
        let held = keeper.held();
        let is_other = held.as_ref().is_some_and(|held| held.serial != running.serial);
        let has_changed = running.lease.as_ref().is_some_and(|lease| lease.has_changed().unwrap_or(false));
        if has_changed || is_other {
            let status = running.lease.as_mut().map(|lease| lease.borrow_and_update().clone());
            if let Some(status) = status {
                let text = held.as_ref().map(|held| held.token.expose());
                model.on(now, Observation::Token(words::lease(&status, text, now)));
            }
        }
        if let Some(held) = held.filter(|_| is_other) {
            running.serial = held.serial;
            let mut options = ConnectOptions::new(self.target.endpoint.clone()).token(Some(held.token));
            options.timeouts = timeouts();
            running.tokens.send_replace(Some(options));
        }
    }

    fn look_at_sync(&mut self, model: &mut Model, now: At) {
        let Some(Syncing { subscriber, status, tapped }) = self.running.as_mut().and_then(|it| it.sync.as_mut()) else {
            return;
        };
        let clock = &self.teller.clock;
        let has_changed = status.has_changed().unwrap_or(true);
        let word = words::sync(subscriber, &status.borrow_and_update(), clock);
        if let Some(sum) = tapped.take() {
            model.on(now, Observation::LastEvents(sum.last));
            let (counts, left_out, uncounted_batches) = (Box::new(sum.counts), sum.left_out, sum.dropped);
            model.on(now, Observation::Latencies { counts, left_out, uncounted_batches });
        }
        let is_busy = model.facts().sync.rate > 0.0;
        if has_changed || is_busy || now.since(self.words_at) >= ms(1_000) {
            let words = words::streams(subscriber, clock);
            self.words_at = now;
            if is_busy || words != self.words {
                self.words.clone_from(&words);
                model.on(now, Observation::Streams(words));
            }
        }
        model.on(now, Observation::Sync(word));
    }

    /// Reads the events to show, unless they are what was read last.
    pub(super) fn read_events(&mut self, model: &mut Model) {
        if let Some(reading) = self.reading.take_if(|reading| reading.is_finished()) {
            self.take_reading(reading, model);
        }
        let events = &model.facts().events;
        let Some(stream) = events.stream.as_deref().and_then(|stream| StreamId::parse(stream).ok()) else { return };
        let wanted = Wanted { search: events.search.clone(), stream };
        let cursor = self.words.iter().find(|word| word.stream == wanted.stream).and_then(|word| word.cursor);
        let is_read = self.read.as_ref().is_some_and(|(read, through)| *read == wanted && Some(*through) == cursor);
        if is_read || self.reading.is_some() || cursor.is_none() {
            return;
        }
        let (reader, path) = (self.reader.take(), self.target.store.clone());
        self.reading = Some(tokio::task::spawn_blocking(move || {
            let Some(reader) = reader.or_else(|| Reader::open(&path).ok()) else { return (None, wanted, None) };
            let stream = wanted.stream.to_string();
            let search = wanted.search.clone();
            let read = store::events(&reader, &wanted)
                .map(|(rows, through)| Observation::Events { stream, search, rows, through })
                .ok();
            (Some(reader), wanted, read)
        }));
    }

    fn take_reading(&mut self, reading: JoinHandle<Read>, model: &mut Model) {
        // It is finished, so this is ready at once; a panic in it has been printed.
        let Some(Ok((reader, wanted, read))) = futures_now(reading) else { return };
        self.reader = reader;
        if let Some(read) = read {
            if let Observation::Events { through, .. } = &read {
                self.read = Some((wanted, *through));
            }
            model.on(self.teller.now(), read);
        }
    }

    fn look_at_outbox(&mut self, now: At) {
        if let Some(looking) = self.looking.take_if(|looking| looking.is_finished())
            && let Some(Ok((watched, observation))) = futures_now(looking)
        {
            self.watched = Some(watched);
            let teller = self.teller.clone();
            tokio::spawn(async move { teller.tell(observation).await });
        }
        if self.looking.is_none() && now.since(self.looked_at) >= ms(OUTBOX_LOOK_MS) {
            self.looked_at = now;
            match self.watched.take() {
                Some(watched) => self.looking = Some(tokio::task::spawn_blocking(move || watched.look())),
                None => {
                    let teller = self.teller.clone();
                    tokio::spawn(async move { teller.tell(Observation::Outbox(None)).await });
                }
            }
        }
    }

    /// Nobody waits for it: it is for the next run.
    fn write_cache(&mut self, model: &mut Model, now: At) {
        self.cached_at = now;
        let (facts, store, endpoint) = (model.facts().clone(), self.target.store.clone(), self.target.endpoint.clone());
        drop(tokio::task::spawn_blocking(move || {
            if let Err(error) = cache::write(&store, &endpoint, &facts) {
                tracing::warn!(%error, "what the next run shows first cannot be written down");
            }
        }));
    }
}

/// A lease of which nothing is known yet.
fn renewed() -> TokenFacts {
    TokenFacts { kind: TokenKind::Renewed, ..TokenFacts::default() }
}

/// What a finished task has come to.
fn futures_now<T>(mut task: JoinHandle<T>) -> Option<Result<T, tokio::task::JoinError>> {
    use std::future::Future;
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    match Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

fn timeouts() -> Timeouts {
    Timeouts { connect: ms(CONNECT_MS_MAX), ping_interval: ms(PING_MS), idle: ms(IDLE_MS_MAX), ..Timeouts::default() }
}

fn idle() -> SyncWord {
    SyncWord {
        state: ConnectionState::Idle,
        reason: None,
        attempts: 0,
        next_retry: None,
        last_error: None,
        lag: 0,
        is_stuck: false,
        proof: None,
    }
}

fn facts_of(target: &Target) -> LaneFacts {
    LaneFacts {
        lane: target.lane.clone(),
        server: target.endpoint.base().into(),
        database: target.endpoint.database().into(),
        store: target.store.display().to_string(),
        module: None,
        is_wanted: false,
    }
}
