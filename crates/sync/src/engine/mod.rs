//! The subscriber's decisions: when to connect, what to ask for, what may be applied, and what may be called live.
//!
//! What always holds:
//! - It is pure: no clock, no socket, no database, no randomness of its own. Time and random bits come with each event;
//!   the same events give the same actions.
//! - A batch is handed out only if it begins right after the stream's cursor in the same life of the stream, its events
//!   follow each other without a hole, and every payload has its hash. A stream has one batch with the store at a time,
//!   at most one behind it, and at most one request under way.
//! - A cursor is never clamped. Where it does not hold, a [`crate::batch::Change::Reset`] with the reason comes before
//!   the first event.
//! - What is asked for, waits or is being applied stays below [`Tuning::in_flight_bytes`], and streams take turns.
//! - An answer counts once, and only for the connection on which it was asked for.
//!
//! | file | what it decides |
//! | --- | --- |
//! | `link.rs` | the connection: opening, losing, trying again |
//! | `successor.rs` | the connection with the next token, and when it takes over |
//! | `follow.rs` | patterns: following, listing, new and gone streams, the poll |
//! | `plan.rs` | where a stream goes on, or starts again |
//! | `pages.rs` | what to ask for, and what an answered page is worth |
//! | `commit.rs` | what the store gets, and what follows from its word |
//! | `report.rs` | what may be said of it: states, reasons, lag |

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use muster_contract::backoff;
use muster_contract::pattern::StreamPattern;
use muster_contract::state::LeaveReason;
use muster_contract::stream::StreamId;

use crate::batch::Place;
use crate::limits::{self, ms};

mod commit;
mod follow;
mod link;
mod pages;
mod plan;
mod report;
mod requests;
mod riding;
mod slot;
mod stream;
mod successor;
#[cfg(test)]
mod tests;
mod words;

use link::Link;
use report::Overall;
use requests::Requests;
use slot::Slot;
use stream::{Key, Stream};
use successor::Successor;

pub use words::{
    Action, ApplyFailure, BatchNo, Event, Follow, LinkNo, Reply, Request, RequestNo, Scope, Signal, StartAt, Trouble,
};

/// What an engine is made with.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// What to follow; at most [`limits::FOLLOWS_MAX`], more are left out.
    pub follows: Vec<Follow>,
    /// The name under which cursors are acknowledged to the host; `None`: they are not.
    pub client: Option<String>,
    /// The most events to replay where a snapshot would save it; `None`: all.
    pub replay_budget: Option<u64>,
    /// Sizes.
    pub tuning: Tuning,
}

/// Sizes that a simulation makes small, and times that a screen makes short. The defaults are in [`limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tuning {
    /// Events in a page.
    pub page_events: u32,
    /// Bytes in a page.
    pub page_bytes: u32,
    /// Bytes asked for, waiting or being applied, over all streams. At least two pages.
    pub in_flight_bytes: usize,
    /// Batches with the store, at most [`limits::APPLY_AT_ONCE_MAX`].
    pub apply_at_once: usize,
    /// How often the streams of a followed pattern are listed anew, as proof that the host is there.
    pub poll: Duration,
    /// How old that proof may be for anything to be called live. At least twice `poll`, or one slow answer ends it.
    pub liveness: Duration,
}

impl Default for Tuning {
    fn default() -> Tuning {
        Tuning {
            page_events: limits::PAGE_EVENTS_MAX,
            page_bytes: limits::PAGE_BYTES_MAX,
            in_flight_bytes: limits::IN_FLIGHT_BYTES_MAX,
            apply_at_once: limits::APPLY_AT_ONCE_MAX,
            poll: ms(limits::POLL_MS),
            liveness: ms(limits::LIVENESS_MS_MAX),
        }
    }
}

/// How often each rule was applied, since the engine was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Events taken from pages.
    pub events: u64,
    /// Pages that came with a signal, taken without asking.
    pub ridden: u64,
    /// Events that a page repeated, dropped.
    pub duplicates: u64,
    /// Pages that left events out, fetched again.
    pub gaps: u64,
    /// Pages and snapshots with a payload that is not what its hash says.
    pub hash_mismatches: u64,
    /// Pages of another epoch than was asked for, or from behind the cursor, asked for again.
    pub foreign_pages: u64,
    /// Answers that nobody waited for any more.
    pub late_answers: u64,
    /// Cursors that did not hold.
    pub stale_cursors: u64,
    /// New beginnings.
    pub resets: u64,
    /// Those of them with a snapshot.
    pub snapshots: u64,
    /// Streams let go of, because the host does not show them any more.
    pub let_go: u64,
    /// Batches that the store did not commit.
    pub failed_batches: u64,
    /// Connections asked for.
    pub connections: u64,
    /// Connections that took over from an open one.
    pub hand_overs: u64,
}

/// What is to happen when its time has come. Whether it still makes sense is looked at then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The wait between two connections is over.
    Reconnect,
    /// The wait between two attempts at a successor is over.
    Successor,
    /// The connection took too long to open.
    Opening(LinkNo),
    /// A request took too long.
    Request(RequestNo),
    /// A refused or ended follow is tried again.
    Refollow(usize),
    /// A pattern is listed anew.
    Poll(usize),
    /// A stream is tried again.
    Retry(Key),
    /// The store is tried again.
    Store,
    /// A stream may have been behind for too long to be called live.
    Behind(Key),
    /// A cursor is acknowledged.
    Checkpoint(Key),
}

/// The state of a subscriber.
#[derive(Debug)]
pub struct Engine {
    options: Options,
    now: Duration,
    random: u64,
    phase: Phase,
    link: Link,
    successor: Successor,
    slots: Vec<Slot>,
    streams: Vec<Stream>,
    /// Places in that list that are nobody's.
    vacant: Vec<Key>,
    /// Where the store has streams that are let go of: what the host has no more, or shows no more.
    left: BTreeMap<StreamId, Place>,
    by_id: BTreeMap<StreamId, Key>,
    /// By the host's number, for those listed on this connection.
    by_no: BTreeMap<u64, Key>,
    requests: Requests,
    timers: BTreeSet<(Duration, Timer)>,
    /// Streams that want to ask for something, in turn.
    asking: VecDeque<Key>,
    /// Streams that have something to apply, in turn.
    ready: VecDeque<Key>,
    /// What is with the store.
    applying: BTreeMap<BatchNo, Key>,
    last_batch: BatchNo,
    /// Bytes asked for, waiting or with the store.
    in_flight_bytes: usize,
    /// Until when the store is left alone, and how often it failed.
    store_wait: Option<Duration>,
    store_attempts: u32,
    /// Cursors to acknowledge for which there is no room at the moment.
    checkpoints: VecDeque<Key>,
    checkpoints_under_way: usize,
    overall: Overall,
    counters: Counters,
    dirty: Vec<Key>,
    out: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Closed,
    Running,
    Stopped,
}

impl Engine {
    /// An engine that waits for [`Event::Opened`].
    pub fn new(mut options: Options) -> Engine {
        options.follows.truncate(limits::FOLLOWS_MAX);
        // The way to the store has room for so many.
        options.tuning.apply_at_once = options.tuning.apply_at_once.clamp(1, limits::APPLY_AT_ONCE_MAX);
        let slots = options.follows.iter().cloned().map(Slot::new).collect();
        Engine {
            options,
            now: Duration::ZERO,
            random: 0,
            phase: Phase::Closed,
            link: Link::default(),
            successor: Successor::default(),
            slots,
            streams: Vec::new(),
            vacant: Vec::new(),
            left: BTreeMap::new(),
            by_id: BTreeMap::new(),
            by_no: BTreeMap::new(),
            requests: Requests::default(),
            timers: BTreeSet::new(),
            asking: VecDeque::new(),
            ready: VecDeque::new(),
            applying: BTreeMap::new(),
            last_batch: BatchNo(0),
            in_flight_bytes: 0,
            store_wait: None,
            store_attempts: 0,
            checkpoints: VecDeque::new(),
            checkpoints_under_way: 0,
            overall: Overall::default(),
            counters: Counters::default(),
            dirty: Vec::new(),
            out: Vec::new(),
        }
    }

    /// When [`Event::Tick`] is due next; `None`: not before something else happens.
    pub fn next_deadline(&self) -> Option<Duration> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let proof = self.proof_ends();
        [timer, proof].into_iter().flatten().min()
    }

    /// Bytes of pages and snapshots that are asked for, waiting or with the store.
    pub fn in_flight_bytes(&self) -> usize {
        self.in_flight_bytes
    }

    /// When the newest request was made that the host has answered on the present connection, on the clock that the
    /// engine is given; `None` while there is none that is younger than [`Tuning::liveness`].
    pub fn proof(&self) -> Option<Duration> {
        (self.phase == Phase::Running).then(|| self.link.proof()).flatten()
    }

    /// How many streams there is room for in memory.
    #[cfg(test)]
    fn places_of_streams(&self) -> usize {
        self.streams.len()
    }

    /// How often each rule was applied.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Takes in what happened at `now`, a time since some fixed moment that does not run backwards, and says what to do.
    /// `random` is 64 evenly distributed bits.
    pub fn on(&mut self, now: Duration, random: u64, event: Event) -> Vec<Action> {
        if self.phase == Phase::Stopped {
            return Vec::new();
        }
        self.now = self.now.max(now);
        self.random = random;
        self.due();
        self.take(event);
        self.hand_out();
        self.ask_in_turn();
        self.report();
        std::mem::take(&mut self.out)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened { places, established } => self.opened(places, &established),
            Event::Connected(link) => self.connected(link),
            Event::Disconnected { link, why } => self.disconnected(link, why),
            Event::Answered { request, reply } => self.answered(request, reply),
            Event::Signal { link, slot, stream, what, page } => self.signalled(link, slot, stream, what, page),
            Event::Applied(batch) => self.applied(batch),
            Event::ApplyFailed { batch, failure } => self.apply_failed(batch, failure),
            Event::Moved { batch, place } => self.moved(batch, place),
            Event::EstablishFailed(pattern) => self.establish_failed(&pattern),
            Event::TokenRefreshDue => self.refresh_link(),
            Event::Unblock => self.unblock(),
            Event::Tick => {}
            Event::Stop => self.stop(),
        }
    }

    fn opened(&mut self, places: Vec<(StreamId, Place)>, established: &[(StreamPattern, u64)]) {
        if self.phase != Phase::Closed {
            return;
        }
        self.phase = Phase::Running;
        for slot in &mut self.slots {
            let known = established.iter().find(|(pattern, _)| *pattern == slot.follow.pattern);
            slot.established = known.map(|(_, last_no)| *last_no);
            slot.is_recorded = known.is_some();
        }
        for (id, place) in places {
            let slot = self.slots.iter().position(|slot| slot.follow.pattern.matches(&id));
            if let Some(slot) = slot {
                let key = self.add_stream(id, slot);
                self.streams[key.0].place = Some(place);
            }
        }
        if !self.slots.is_empty() {
            self.connect();
        }
    }

    fn stop(&mut self) {
        self.drop_successor();
        if let Some(link) = self.link.number() {
            self.out.push(Action::Disconnect(link));
        }
        self.phase = Phase::Stopped;
        self.link = Link::default();
        self.timers.clear();
        for stream in &mut self.streams {
            stream.leave_live(LeaveReason::StreamClosed);
        }
        self.mark_all();
    }

    fn unblock(&mut self) {
        for key in self.keys() {
            if self.streams[key.0].blocked.take().is_some() {
                self.restart(key);
            }
        }
        for slot in 0..self.slots.len() {
            self.unblock_slot(slot);
        }
        self.unblock_link();
        self.mark_all();
    }

    /// Carries out what is due.
    fn due(&mut self) {
        self.proof_may_end();
        while let Some((at, timer)) = self.timers.first().copied()
            && at <= self.now
        {
            self.timers.pop_first();
            match timer {
                Timer::Reconnect => self.reconnect(),
                Timer::Successor => self.successor_again(),
                Timer::Opening(link) => self.opening_took_too_long(link),
                Timer::Request(request) => self.request_took_too_long(request),
                Timer::Refollow(slot) => self.refollow(slot),
                Timer::Poll(slot) => self.poll(slot),
                Timer::Retry(key) => self.retry_now(key),
                Timer::Store => self.store_wait = None,
                Timer::Behind(key) => self.look_behind(key),
                Timer::Checkpoint(key) => self.checkpoint(key),
            }
        }
    }

    fn after(&mut self, wait: Duration, timer: Timer) -> Duration {
        let at = self.now + wait;
        self.timers.insert((at, timer));
        at
    }

    /// The wait before the next attempt, after `failed` failures in a row.
    fn backoff(&mut self, failed: u32) -> Duration {
        ms(backoff::wait_ms(failed.saturating_sub(1), self.next_random()))
    }

    /// Further random bits from those that came with the event (SplitMix64, Steele, Lea and Flood, 2014).
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn keys(&self) -> impl Iterator<Item = Key> + use<> {
        (0..self.streams.len()).map(Key)
    }

    fn add_stream(&mut self, id: StreamId, slot: usize) -> Key {
        let mut stream = Stream::new(id.clone(), slot);
        stream.place = self.left.remove(&id);
        let key = match self.vacant.pop() {
            Some(key) => {
                self.streams[key.0] = stream;
                key
            }
            None => {
                self.streams.push(stream);
                Key(self.streams.len() - 1)
            }
        };
        self.by_id.insert(id, key);
        self.overall.counts.add(self.streams[key.0].told);
        self.mark(key);
        key
    }

    /// Forgets a stream but for where the store has it: nothing is under way for it, and nobody is told of it any more
    /// before it is listed again.
    fn let_go_of(&mut self, key: Key) {
        let id = self.streams[key.0].id.clone();
        let gone = std::mem::replace(&mut self.streams[key.0], Stream::vacant(id.clone()));
        self.overall.forget(gone.told, gone.told_lag);
        self.by_id.remove(&id);
        if let Some(place) = gone.place {
            self.left.insert(id.clone(), place);
        }
        self.vacant.push(key);
        self.counters.let_go += 1;
        self.out.push(Action::LetGo(id));
    }
}
