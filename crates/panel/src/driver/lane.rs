//! One lane that is shown: its subscriber, its connection, its files.
//!
//! What always holds: one look at the outbox is under way at a time; the store is let go of before it is opened again; both
//! connections go to the same database, the lane's own or the one that the token service names with its token. What is in the
//! store is shown as this lane's only if an earlier run wrote down that it is, or its host has spoken.

use muster_contract::pattern::StreamPattern;
use muster_contract::state::ConnectionState;
use muster_sync::engine::Tuning;
use muster_sync::{StartError, Status, Subscriber};
use muster_wire::lease::LeaseStatus;
use muster_wire::{ConnectOptions, Keeper, Timeouts, Token};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::outbox::Watched;
use super::reading::Reading;
use super::tap::{Tapped, tap};
use super::target::{Target, TokenChoice};
use super::{Teller, cache, futures_now, presence, store, words};
use crate::clock::At;
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
    reading: Reading,
    watched: Option<Watched>,
    looking: Option<JoinHandle<(Watched, Observation)>>,
    looked_at: At,
    cached_at: At,
    /// The store is known to be this lane's.
    is_ours: bool,
}

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
            reading: Reading::of(target.store.clone()),
            looking: None,
            looked_at: At(0),
            cached_at: now,
            is_ours: false,
            target,
            teller,
        };
        lane.recall(model, now).await;
        lane
    }

    async fn recall(&mut self, model: &mut Model, now: At) {
        let (path, endpoint) = (self.target.store.clone(), self.target.endpoint.clone());
        let recalling = tokio::task::spawn_blocking(move || {
            cache::read(&path, &endpoint).map(|noted| (store::standing(&path, &noted), noted))
        });
        let Ok(Some((standing, noted))) = recalling.await else { return };
        self.is_ours = true;
        if let Some(database) = noted.at_database {
            model.on(now, Observation::Database(database));
        }
        model.on(now, Observation::Remembered(noted.remembered));
        // A store that cannot be read is said by the subscriber, which cannot use it either.
        if let Ok(Some(standing)) = standing {
            self.words.clone_from(&standing.words);
            model.on(now, Observation::LastEvents(standing.last));
            model.on(now, Observation::Streams(standing.words));
        }
    }

    /// Connects, if it is not.
    pub(super) async fn connect(&mut self, model: &mut Model, now: At) {
        if self.running.is_some() {
            return;
        }
        model.on(now, Observation::Wanted(true));
        let held = self.keeper.as_ref().and_then(Keeper::held);
        let is_ready = self.keeper.is_none() || held.is_some();
        let serial = held.as_ref().map_or(0, |held| held.serial);
        let token = match (&self.target.token, &held) {
            (TokenChoice::Given(token), _) => Some(token.clone()),
            (_, held) => held.as_ref().map(|held| held.token.clone()),
        };
        let database = held.and_then(|held| held.database);
        let (tokens, asked) = watch::channel(options(&self.target, token, database).filter(|_| is_ready));
        let presence = tokio::spawn(presence::run(asked, self.teller.clone()));
        let lease = self.keeper.as_ref().map(Keeper::status);
        // Without a token it is not known yet what may be followed.
        let sync = if is_ready { self.start_sync(model, now).await } else { None };
        self.running = Some(Running { presence, tokens, sync, lease, serial, is_waiting: !is_ready });
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

    /// Ends the connections; what is known stays. `teller` is the next ones'.
    pub(super) async fn disconnect(&mut self, model: &mut Model, teller: Teller) {
        self.teller = teller;
        let Some(running) = self.running.take() else { return };
        running.presence.abort();
        if let Some(sync) = running.sync {
            sync.subscriber.shutdown().await;
        }
        let now = self.teller.now();
        for word in self.words.iter_mut().filter(|word| !word.is_gone()) {
            (word.state, word.reason, word.next_retry) = (ConnectionState::Idle, None, None);
        }
        // Before the proof is gone: until now the streams were what they were.
        model.on(now, Observation::Streams(self.words.clone()));
        model.on(now, Observation::Wanted(false));
        model.on(now, Observation::Presence(PresenceWord::Closed));
        model.on(now, Observation::Sync(idle()));
        self.write_cache(model, now);
    }

    /// Ends everything.
    pub(super) async fn close(mut self, model: &mut Model) {
        let teller = self.teller.clone();
        self.disconnect(model, teller).await;
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
        self.read_events(model, now);
        self.look_at_outbox(model, now);
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
            running.tokens.send_replace(options(&self.target, Some(held.token), held.database));
        }
        if let Some(status) = running.lease.as_ref().filter(|_| running.is_waiting && running.serial == 0) {
            model.on(now, Observation::Sync(words::waiting(&status.borrow())));
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
        if !self.is_ours && word.proof.is_some() {
            (self.is_ours, self.cached_at) = (true, At(0));
        }
        model.on(now, Observation::Sync(word));
    }

    /// Reads the events to show, unless they are what was read last.
    pub(super) fn read_events(&mut self, model: &mut Model, now: At) {
        self.reading.look(model, &self.words, now);
    }

    fn look_at_outbox(&mut self, model: &mut Model, now: At) {
        if let Some(looking) = self.looking.take_if(|looking| looking.is_finished())
            && let Some(Ok((watched, observation))) = futures_now(looking)
        {
            self.watched = Some(watched);
            model.on(now, observation);
        }
        if self.looking.is_none() && now.since(self.looked_at) >= ms(OUTBOX_LOOK_MS) {
            self.looked_at = now;
            match self.watched.take() {
                Some(watched) => self.looking = Some(tokio::task::spawn_blocking(move || watched.look())),
                None => model.on(now, Observation::Outbox(None)),
            }
        }
    }

    /// Nobody waits for it: it is for the next run.
    fn write_cache(&mut self, model: &mut Model, now: At) {
        self.cached_at = now;
        if !self.is_ours {
            return;
        }
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

/// With a token, and to the database that it is for; `None` where that cannot be one, which the sync says.
fn options(target: &Target, token: Option<Token>, database: Option<String>) -> Option<ConnectOptions> {
    let endpoint = target.endpoint.clone();
    let endpoint = match database {
        Some(database) => endpoint.with_database(&database).ok()?,
        None => endpoint,
    };
    let mut options = ConnectOptions::new(endpoint).token(token);
    options.timeouts = timeouts();
    Some(options)
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
