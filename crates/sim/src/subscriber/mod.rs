//! A subscriber's process and its store: the real engine, and a driver of the simulated world around it.
//!
//! What always holds: a batch's effects and the cursor are one transaction of the store, and a batch that does not begin
//! at the store's cursor is refused whole. What is checked after each transaction and each crash is what the store
//! holds, not what the engine believes.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use muster_contract::pattern::StreamPattern;
use muster_contract::rows::Signal as WireSignal;
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_sync::batch::Batch;
use muster_sync::engine::{
    Action, ApplyFailure, BatchNo, Engine, Event, Follow, LinkNo, Options, Reply, Request, RequestNo, Signal, StartAt,
    Trouble, Tuning,
};

use crate::context::{Context, Happening, ToNode};
use crate::disk::Disk;
use crate::limits::{CALL_MS, LIVE_LAG_MS};
use crate::oracle::{Broken, Checked, Oracle};
use crate::process::{Doom, Fate, close, wake};
use crate::rng::{Purpose, Rng};
use crate::wire::{ConnId, Down, Reply as WireReply, Request as WireRequest, RequestId};
use crate::workload::Begin;
use store::{Store, StoreStream, check_stream};
use tokens::{Token, Used};

pub mod store;
mod tokens;
mod writing;

/// What the writer has to do, in order.
#[derive(Clone, Debug)]
enum Job {
    Apply(BatchNo, Batch),
    Establish(StreamPattern, u64),
}

/// A connection.
#[derive(Clone, Copy, Debug)]
struct Link {
    number: LinkNo,
    conn: ConnId,
    greeted: bool,
}

/// A process.
#[derive(Debug)]
struct Process {
    engine: Engine,
    /// The connections that are open or opening: one, and while another token comes, two.
    links: Vec<Link>,
    calls: BTreeMap<RequestId, (LinkNo, RequestNo)>,
    jobs: VecDeque<Job>,
    writing: Option<Vec<(Job, Result<(), ApplyFailure>)>>,
    tick_ms: Option<u64>,
    told: BTreeMap<String, ConnectionState>,
    tokens: Used,
}

/// A node with a subscriber.
#[derive(Debug)]
pub struct Subscriber {
    node: usize,
    name: String,
    begin: Begin,
    /// Its disk.
    pub disk: Disk<Store>,
    /// Copies of the store's file, the newest last.
    copies: Vec<Store>,
    process: Option<Process>,
    life: u64,
    doom: Doom,
    refusals: u32,
    token: Token,
    rng: Rng,
    disk_rng: Rng,
}

impl Subscriber {
    /// A node with an empty store and no process.
    pub fn new(seed: u64, node: usize, begin: Begin) -> Subscriber {
        Subscriber {
            node,
            name: format!("sub{node}"),
            begin,
            disk: Disk::default(),
            copies: Vec::new(),
            process: None,
            life: 0,
            doom: Doom::default(),
            refusals: 0,
            token: Token::default(),
            rng: Rng::new(seed, Purpose::Process, node as u64),
            disk_rng: Rng::new(seed, Purpose::Disk, node as u64),
        }
    }

    /// What it follows.
    pub fn patterns(&self) -> Vec<StreamPattern> {
        ["s.*", "t.c"].iter().map(|text| StreamPattern::parse(text).expect("a pattern")).collect()
    }

    /// Which life its process lives; it may be dead.
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether it runs.
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// It will die after so many more actions; `None`: it will not.
    pub fn doom(&mut self, after: Option<u32>) {
        self.doom = Doom(after);
    }

    /// Its application will refuse the next batches.
    pub fn refuse(&mut self, count: u32) {
        self.refusals += count;
    }

    /// The process is gone.
    pub fn die(&mut self, ctx: &mut Context, machine: bool) -> Checked {
        self.doom = Doom::default();
        for link in self.process.take().into_iter().flat_map(|process| process.links) {
            close(ctx, link.conn);
        }
        if machine && self.disk.crash(&mut self.disk_rng) > 0 {
            ctx.coverage.hit("store lost unsynced transactions");
        }
        self.check_store(&ctx.oracle)
    }

    /// Somebody copies its file.
    pub fn copy(&mut self) {
        self.copies.push(self.disk.seen().clone());
    }

    /// The process is gone, and somebody puts a copy in the place of the store: as [`crate::publisher::Publisher::restore`].
    pub fn restore(&mut self, ctx: &mut Context, whole: bool) -> Checked {
        self.die(ctx, false)?;
        let newest = self.copies.len().checked_sub(if whole { 1 } else { 2 });
        self.disk.restore(newest.map(|index| self.copies[index].clone()).unwrap_or_default());
        self.check_store(&ctx.oracle)
    }

    /// Everything that the store holds is what the host had.
    fn check_store(&self, oracle: &Oracle) -> Checked {
        self.disk.seen().streams.iter().try_for_each(|(id, stream)| check_stream(oracle, id, stream))
    }

    /// What it calls live is.
    ///
    /// # Errors
    /// Promise 6.
    pub fn check_live(&self, ctx: &Context) -> Checked {
        let Some(process) = &self.process else { return Ok(()) };
        for (id, state) in &process.told {
            if *state == ConnectionState::Live {
                let at = self.disk.seen().streams.get(id).map(|stream| stream.place.position);
                let at = at.map(|at| (at.epoch.get(), at.seq.get()));
                ctx.oracle.check_live(ctx.now_ms, id, at, LIVE_LAG_MS)?;
            }
        }
        Ok(())
    }

    /// Whether it calls this stream live.
    pub fn is_live(&self, id: &str) -> bool {
        self.process.as_ref().is_some_and(|process| process.told.get(id) == Some(&ConnectionState::Live))
    }

    /// Something happens to it.
    ///
    /// # Errors
    /// A broken promise.
    pub fn on(&mut self, ctx: &mut Context, what: ToNode) -> Result<Fate, Broken> {
        if matches!(what, ToNode::Start) {
            return self.start(ctx);
        }
        if self.process.is_none() {
            return Ok(Fate::Alive);
        }
        match what {
            ToNode::Tick => {
                self.process_mut().tick_ms = None;
                self.feed(ctx, Event::Tick)
            }
            ToNode::Down(conn, what) => self.down(ctx, conn, what),
            ToNode::Closed(conn) => self.closed(ctx, conn, "the connection is gone"),
            ToNode::OldClosed(link) => {
                ctx.coverage.hit("word of an earlier connection");
                let why = Trouble { is_retryable: true, code: None, message: "gone long ago".to_owned() };
                self.feed(ctx, Event::Disconnected { link: LinkNo(link), why })
            }
            ToNode::ConnectTimeout(conn) if self.link_of(conn).is_some_and(|link| !link.greeted) => {
                self.closed(ctx, conn, "no greeting")
            }
            ToNode::CallTimeout(id) => match self.process_mut().calls.remove(&id) {
                Some((_, request)) => {
                    let reply = Reply::Failed("not answered in time".into());
                    self.feed(ctx, Event::Answered { request, reply })
                }
                None => Ok(Fate::Alive),
            },
            ToNode::Written => self.written(ctx),
            ToNode::BackgroundSync => {
                self.disk.sync();
                Ok(Fate::Alive)
            }
            ToNode::Token => self.token_came(ctx),
            ToNode::NoToken(link) => self.no_token(ctx, LinkNo(link)),
            ToNode::Start | ToNode::ConnectTimeout(_) | ToNode::Read | ToNode::Publish { .. } => Ok(Fate::Alive),
        }
    }

    /// Its token ends soon: it connects anew.
    pub fn refresh(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        let goes = self.process.is_some() && self.has_token(ctx);
        if goes { self.feed(ctx, Event::TokenRefreshDue) } else { Ok(Fate::Alive) }
    }

    /// A person has changed something: what is blocked is tried again.
    pub fn unblock(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        if self.process.is_some() { self.feed(ctx, Event::Unblock) } else { Ok(Fate::Alive) }
    }

    fn process_mut(&mut self) -> &mut Process {
        self.process.as_mut().expect("looked at before")
    }

    fn start(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        self.life += 1;
        let start = match self.begin {
            Begin::Start => StartAt::Start,
            Begin::Now => StartAt::Now,
        };
        let page_bytes = 4_096;
        let options = Options {
            follows: self.patterns().into_iter().map(|pattern| Follow { pattern, start }).collect(),
            client: Some(self.name.clone()),
            replay_budget: ctx.setting.replay_budget,
            tuning: Tuning {
                page_events: ctx.setting.page_events,
                page_bytes,
                in_flight_bytes: 2 * page_bytes as usize,
                apply_at_once: 2,
                ..Tuning::default()
            },
        };
        self.process = Some(Process {
            engine: Engine::new(options),
            links: Vec::new(),
            calls: BTreeMap::new(),
            jobs: VecDeque::new(),
            writing: None,
            tick_ms: None,
            told: BTreeMap::new(),
            tokens: Used::default(),
        });
        ctx.say(&self.name, format_args!("starts, life {}", self.life));
        let store = self.disk.seen();
        let place = |(id, stream): (&String, &StoreStream)| (StreamId::parse(id).expect("an id"), stream.place);
        let places = store.streams.iter().map(place).collect();
        let established = store.established.clone();
        self.feed(ctx, Event::Opened { places, established })
    }

    fn down(&mut self, ctx: &mut Context, conn: ConnId, what: Down) -> Result<Fate, Broken> {
        let Some(Link { number: link, .. }) = self.link_of(conn) else { return Ok(Fate::Alive) };
        match what {
            Down::Greeting => {
                for link in self.process_mut().links.iter_mut().filter(|link| link.conn == conn) {
                    link.greeted = true;
                }
                self.feed(ctx, Event::Connected(link))
            }
            Down::Reply(id, reply) => {
                let Some((_, request)) = self.process_mut().calls.remove(&id) else { return Ok(Fate::Alive) };
                let reply = match reply {
                    WireReply::Reducer(Ok(())) => Reply::Done,
                    WireReply::Reducer(Err(line)) => Reply::Refused(line),
                    WireReply::Streams(answer) => Reply::Listed(answer),
                    WireReply::Page(answer) => Reply::Page(answer),
                    WireReply::Snapshot(answer) => Reply::Snapshot(answer),
                    WireReply::States(_) => Reply::Failed("an answer to what was not asked".into()),
                };
                self.feed(ctx, Event::Answered { request, reply })
            }
            Down::Signal { slot, stream, what, page } => {
                let what = match what {
                    WireSignal::Ahead => Signal::Ahead,
                    WireSignal::NewStream => Signal::NewStream,
                    WireSignal::Gone => Signal::Gone,
                    WireSignal::FollowEnded => Signal::FollowEnded,
                };
                self.feed(ctx, Event::Signal { link, slot, stream, what, page })
            }
        }
    }

    fn closed(&mut self, ctx: &mut Context, conn: ConnId, why: &str) -> Result<Fate, Broken> {
        let Some(Link { number: link, .. }) = self.link_of(conn) else { return Ok(Fate::Alive) };
        self.let_go(ctx, link);
        let why = Trouble { is_retryable: true, code: None, message: why.to_owned() };
        self.feed(ctx, Event::Disconnected { link, why })
    }

    fn link_of(&mut self, conn: ConnId) -> Option<Link> {
        self.process_mut().links.iter().find(|link| link.conn == conn).copied()
    }

    fn let_go(&mut self, ctx: &mut Context, number: LinkNo) {
        let process = self.process_mut();
        process.calls.retain(|_, (link, _)| *link != number);
        if let Some(at) = process.links.iter().position(|link| link.number == number) {
            close(ctx, process.links.remove(at).conn);
        }
    }

    /// Tells the engine, and does what it says; the process may die before any of it.
    fn feed(&mut self, ctx: &mut Context, event: Event) -> Result<Fate, Broken> {
        let random = self.rng.bits();
        let now = Duration::from_millis(ctx.now_ms);
        let before = self.process_mut().engine.counters();
        let actions = self.process_mut().engine.on(now, random, event);
        let after = self.process_mut().engine.counters();
        ctx.coverage.add("subscriber: page rode on a signal", after.ridden - before.ridden);
        ctx.coverage.add("subscriber: duplicate dropped", after.duplicates - before.duplicates);
        ctx.coverage.add("subscriber: gap noticed", after.gaps - before.gaps);
        ctx.coverage.add("subscriber: stale cursor", after.stale_cursors - before.stale_cursors);
        ctx.coverage.add("subscriber: began anew", after.resets - before.resets);
        ctx.coverage.add("subscriber: began with a snapshot", after.snapshots - before.snapshots);
        ctx.coverage.add("subscriber: page of another history", after.foreign_pages - before.foreign_pages);
        ctx.coverage.add("subscriber: late answer ignored", after.late_answers - before.late_answers);
        ctx.coverage.add("subscriber: wrong hash noticed", after.hash_mismatches - before.hash_mismatches);
        ctx.coverage.add("subscriber: another session took over", after.hand_overs - before.hand_overs);
        ctx.coverage.add("subscriber: batch failed", after.failed_batches - before.failed_batches);
        for action in actions {
            if self.doom.strikes() {
                return Ok(Fate::Dead);
            }
            self.carry_out(ctx, action)?;
        }
        self.write_next(ctx);
        let process = self.process.as_mut().expect("alive");
        let deadline = process.engine.next_deadline();
        wake(ctx, self.node, self.life, &mut process.tick_ms, deadline);
        Ok(Fate::Alive)
    }

    fn carry_out(&mut self, ctx: &mut Context, action: Action) -> Checked {
        match action {
            Action::Connect(link) => self.connect(ctx, link),
            Action::Disconnect(link) => {
                self.stop_waiting(link);
                self.let_go(ctx, link);
                let wait_ms = self.rng.between(1, 400);
                ctx.at(ctx.now_ms + wait_ms, Happening::Node(self.node, self.life, ToNode::OldClosed(link.0)));
            }
            Action::Ask { link, request, what } => self.ask(ctx, link, request, what),
            Action::Apply { batch, what } => self.process_mut().jobs.push_back(Job::Apply(batch, what)),
            Action::Establish { pattern, last_no } => {
                self.process_mut().jobs.push_back(Job::Establish(pattern, last_no));
            }
            Action::Stream(status) => {
                let id = status.stream.as_str().to_owned();
                if self.process_mut().told.insert(id.clone(), status.state) != Some(status.state) {
                    ctx.say(
                        &self.name,
                        format_args!("{id} is {} {:?}", status.state, status.cursor.map(|at| at.seq.get())),
                    );
                }
            }
            Action::LetGo(id) => {
                ctx.coverage.hit("subscriber: stream let go of");
                ctx.say(&self.name, format_args!("lets {id} go"));
                self.process_mut().told.remove(id.as_str());
            }
            Action::TokenTaken(_) | Action::RenewToken(_) | Action::Status(_) => {}
        }
        Ok(())
    }

    fn ask(&mut self, ctx: &mut Context, link: LinkNo, request: RequestNo, what: Request) {
        let open = self.process_mut().links.iter().find(|own| own.number == link).copied();
        let Some(Link { conn, .. }) = open else { return };
        let what = match what {
            Request::Follow { slot, pattern } => WireRequest::Follow { slot, pattern: pattern.to_string() },
            Request::List { pattern, after_no } => WireRequest::ListStreams { pattern: pattern.to_string(), after_no },
            Request::Page { stream, epoch, after, after_mark, events_max, bytes_max } => WireRequest::ReadPage {
                stream: stream.as_str().to_owned(),
                epoch,
                after,
                after_mark: after_mark.unwrap_or(0),
                max_events: events_max,
                max_bytes: bytes_max,
            },
            Request::Snapshot { stream, epoch } => {
                WireRequest::ReadSnapshot { stream: stream.as_str().to_owned(), epoch }
            }
            Request::Checkpoint { stream, position, client } => WireRequest::Checkpoint {
                stream: stream.as_str().to_owned(),
                client,
                epoch: position.epoch.get(),
                seq: position.seq.get(),
            },
        };
        // The engine never gives a number twice in a life; the connection makes it unique for the world.
        let id = request.0;
        self.process_mut().calls.insert(id, (link, request));
        ctx.send_up(conn, id, what);
        ctx.at(ctx.now_ms + CALL_MS, Happening::Node(self.node, self.life, ToNode::CallTimeout(id)));
    }
}
