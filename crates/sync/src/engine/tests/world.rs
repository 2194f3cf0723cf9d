//! A host, a store and a clock around an engine, all of them plain data.
//!
//! What always holds: nothing is answered, applied or lost unless a test says so; the store takes a batch only right
//! after its cursor, as the real one does, and panics at anything else.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use muster_contract::cursor::{Epoch, Position, Seq};
use muster_contract::hash::PayloadHash;
use muster_contract::page::{Answer, Page, Snapshot, Stale, StoredEvent, StreamInfo, StreamList, mark};
use muster_contract::pattern::StreamPattern;
use muster_contract::resume::{self, Resume, StreamBounds};
use muster_contract::state::ConnectionState;
use muster_contract::stream::StreamId;
use muster_wire::Timestamp;

use crate::batch::{Batch, Change, Place};
use crate::engine::*;
use crate::status::{Status, StreamStatus};

pub(super) fn id(text: &str) -> StreamId {
    StreamId::parse(text).expect("a stream id")
}

pub(super) fn event(payload: &str) -> StoredEvent {
    StoredEvent {
        kind: "test".into(),
        payload: payload.into(),
        hash: PayloadHash::of(payload.as_bytes()).into(),
        at: Timestamp::UNIX_EPOCH,
        producer: 1,
        number: 1,
    }
}

/// A stream at the host.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) no: u64,
    pub(super) epoch: u64,
    pub(super) floor: u64,
    pub(super) events: Vec<StoredEvent>,
    pub(super) snapshot: Option<Snapshot>,
}

impl Log {
    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    /// The mark of the event `seq`, also of those that are not held any more.
    fn mark(&self, seq: u64) -> u64 {
        let events = self.events.iter().take(usize::try_from(seq).expect("small"));
        events.fold(0, |before, event| mark(before, event.hash, event.at, event.producer, event.number))
    }

    fn bounds(&self) -> StreamBounds {
        let snapshot = self.snapshot.as_ref().map(|snapshot| Seq::new(snapshot.seq));
        let epoch = Epoch::new(self.epoch).expect("an epoch");
        StreamBounds::new(epoch, self.floor.into(), self.head().into(), snapshot).expect("sound")
    }

    fn info(&self, id: &StreamId) -> StreamInfo {
        StreamInfo {
            no: self.no,
            id: id.to_string(),
            epoch: self.epoch,
            floor: self.floor,
            head: self.head(),
            snapshot_seq: self.snapshot.as_ref().map_or(0, |snapshot| snapshot.seq),
        }
    }

    fn stale(&self, reason: &str) -> Stale {
        Stale {
            reason: reason.into(),
            epoch: self.epoch,
            floor: self.floor,
            head: self.head(),
            snapshot_seq: self.snapshot.as_ref().map_or(0, |snapshot| snapshot.seq),
        }
    }
}

/// What the store holds of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Kept {
    pub(super) place: Option<Place>,
    /// The number before the first event below, and the events.
    pub(super) base: u64,
    pub(super) payloads: Vec<String>,
    /// What the application was told of new beginnings.
    pub(super) resets: Vec<Option<String>>,
    pub(super) snapshot: Option<String>,
}

pub(super) struct World {
    pub(super) engine: Engine,
    pub(super) now: Duration,
    pub(super) host: BTreeMap<StreamId, Log>,
    pub(super) last_no: u64,
    pub(super) list_max: usize,
    pub(super) store: BTreeMap<StreamId, Kept>,
    pub(super) established: Vec<(StreamPattern, u64)>,
    pub(super) asked: VecDeque<(LinkNo, RequestNo, Request)>,
    pub(super) to_apply: VecDeque<(BatchNo, Batch)>,
    pub(super) opening: Option<LinkNo>,
    /// The connection that opened last.
    pub(super) open: Option<LinkNo>,
    /// The one before it, while it is open too.
    pub(super) older: Option<LinkNo>,
    /// What the engine said of tokens.
    pub(super) renewals: Vec<LinkNo>,
    pub(super) taken: Vec<LinkNo>,
    pub(super) follows: BTreeMap<u32, StreamPattern>,
    pub(super) status: Option<Status>,
    pub(super) streams: BTreeMap<StreamId, StreamStatus>,
    pub(super) checkpoints: Vec<(StreamId, u64)>,
    pub(super) options: Options,
    random: u64,
}

pub(super) fn options(follows: &[(&str, StartAt)]) -> Options {
    let follow = |(pattern, start): &(&str, StartAt)| Follow {
        pattern: StreamPattern::parse(pattern).expect("a pattern"),
        start: *start,
    };
    Options {
        follows: follows.iter().map(follow).collect(),
        client: None,
        replay_budget: None,
        tuning: Tuning {
            page_events: 4,
            page_bytes: 1_000,
            in_flight_bytes: 4_000,
            apply_at_once: 3,
            ..Tuning::default()
        },
    }
}

impl World {
    /// An engine that follows every stream from its start, with an empty store.
    pub(super) fn new() -> World {
        World::with(options(&[("*", StartAt::Start)]))
    }

    pub(super) fn with(options: Options) -> World {
        let mut world = World {
            engine: Engine::new(options.clone()),
            now: Duration::ZERO,
            host: BTreeMap::new(),
            last_no: 0,
            list_max: 1_000,
            store: BTreeMap::new(),
            established: Vec::new(),
            asked: VecDeque::new(),
            to_apply: VecDeque::new(),
            opening: None,
            open: None,
            older: None,
            renewals: Vec::new(),
            taken: Vec::new(),
            follows: BTreeMap::new(),
            status: None,
            streams: BTreeMap::new(),
            checkpoints: Vec::new(),
            options,
            random: 1,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        let places = self.store.iter().filter_map(|(id, kept)| Some((id.clone(), kept.place?))).collect();
        let established = self.established.clone();
        self.feed(Event::Opened { places, established });
    }

    /// The process is killed and started again: only the store is left.
    pub(super) fn restart(&mut self) {
        self.engine = Engine::new(self.options.clone());
        self.asked.clear();
        self.to_apply.clear();
        self.streams.clear();
        (self.opening, self.open, self.older) = (None, None, None);
        self.start();
    }

    pub(super) fn feed(&mut self, event: Event) {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (now, random) = (self.now, self.random);
        for action in self.engine.on(now, random, event) {
            match action {
                Action::Connect(link) => self.opening = Some(link),
                Action::Disconnect(link) => self.cut(link),
                Action::Ask { link, request, what } => self.asked.push_back((link, request, what)),
                Action::Apply { batch, what } => self.to_apply.push_back((batch, what)),
                Action::Establish { pattern, last_no } => self.established.push((pattern, last_no)),
                Action::Stream(status) => {
                    self.streams.insert(status.stream.clone(), status);
                }
                Action::LetGo(id) => {
                    self.streams.remove(&id).expect("it was told of");
                }
                Action::RenewToken(link) => self.renewals.push(link),
                Action::TokenTaken(link) => self.taken.push(link),
                Action::Status(status) => self.status = Some(status),
            }
        }
        let bound = self.options.tuning.in_flight_bytes + 2_000;
        assert!(self.engine.in_flight_bytes() <= bound, "{} bytes", self.engine.in_flight_bytes());
    }

    fn cut(&mut self, link: LinkNo) {
        if self.older == Some(link) {
            self.older = None;
        }
        if self.open == Some(link) {
            self.open = self.older.take();
            if self.open.is_none() {
                self.follows.clear();
            }
        }
        if self.opening == Some(link) {
            self.opening = None;
        }
    }

    /// The connection that is asked for opens.
    pub(super) fn connect(&mut self) {
        if let Some(link) = self.opening.take() {
            self.older = self.open.replace(link);
            self.feed(Event::Connected(link));
        }
    }

    /// The open connection breaks.
    pub(super) fn disconnect(&mut self) {
        if let Some(link) = self.open {
            self.cut(link);
            let why = Trouble { is_retryable: true, code: None, message: "cut".into() };
            self.feed(Event::Disconnected { link, why });
        }
    }

    /// Time passes, in steps no longer than the engine asks for.
    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.engine.next_deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Event::Tick);
        }
        self.now = end;
        self.feed(Event::Tick);
    }

    /// Appends events at the host, and tells whoever follows.
    pub(super) fn append(&mut self, stream: &str, payloads: &[&str]) {
        let what = self.append_in_silence(stream, payloads);
        self.signal(stream, what);
    }

    pub(super) fn append_in_silence(&mut self, stream: &str, payloads: &[&str]) -> Signal {
        let mut what = Signal::Ahead;
        let no = self.last_no + 1;
        let log = self.host.entry(id(stream)).or_insert_with(|| {
            what = Signal::NewStream;
            Log { no, epoch: 100 + no, floor: 1, events: Vec::new(), snapshot: None }
        });
        self.last_no = self.last_no.max(log.no);
        log.events.extend(payloads.iter().map(|payload| event(payload)));
        what
    }

    /// All that the host has behind `after`, in a page of any length.
    pub(super) fn page_behind(&self, stream: &str, after: u64) -> Page {
        let epoch = self.host[&id(stream)].epoch;
        match self.page(&id(stream), epoch, after, None, u32::MAX) {
            Answer::Ok(page) => page,
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn signal(&mut self, stream: &str, what: Signal) {
        self.signal_with(stream, what, None);
    }

    pub(super) fn signal_with(&mut self, stream: &str, what: Signal, page: Option<Page>) {
        let Some(no) = self.host.get(&id(stream)).map(|log| log.no) else { return };
        for link in [self.older, self.open].into_iter().flatten() {
            for (slot, _) in self.follows.clone().into_iter().filter(|(_, pattern)| pattern.matches(&id(stream))) {
                self.feed(Event::Signal { link, slot, stream: no, what, page: page.clone() });
            }
        }
    }

    pub(super) fn log(&mut self, stream: &str) -> &mut Log {
        self.host.get_mut(&id(stream)).expect("the stream")
    }

    /// Summarizes the stream up to `seq`, and forgets what is before `floor`.
    pub(super) fn prune(&mut self, stream: &str, seq: u64, floor: u64) {
        let log = self.log(stream);
        let payload = format!("{{\"upto\":{seq}}}");
        log.snapshot = Some(Snapshot {
            epoch: log.epoch,
            seq,
            hash: PayloadHash::of(payload.as_bytes()).into(),
            mark: log.mark(seq),
            payload,
            at: Timestamp::UNIX_EPOCH,
        });
        log.floor = floor;
    }

    /// What the host says to a request now.
    pub(super) fn answer(&mut self, request: &Request) -> Reply {
        match request {
            Request::Follow { slot, pattern } => {
                self.follows.insert(*slot, pattern.clone());
                Reply::Done
            }
            Request::List { pattern, after_no } => Reply::Listed(Answer::Ok(self.list(pattern, *after_no))),
            Request::Page { stream, epoch, after, after_mark, events_max, .. } => {
                Reply::Page(self.page(stream, *epoch, *after, *after_mark, *events_max))
            }
            Request::Snapshot { stream, .. } => {
                Reply::Snapshot(Answer::Ok(self.host.get(stream).and_then(|log| log.snapshot.clone())))
            }
            Request::Checkpoint { stream, position, .. } => {
                self.checkpoints.push((stream.clone(), position.seq.get()));
                Reply::Done
            }
        }
    }

    fn list(&self, pattern: &StreamPattern, after_no: u64) -> StreamList {
        let mut streams: Vec<StreamInfo> = self
            .host
            .iter()
            .filter(|(id, log)| pattern.matches(id) && log.no > after_no)
            .map(|(id, log)| log.info(id))
            .collect();
        streams.sort_by_key(|info| info.no);
        let more = streams.len() > self.list_max;
        streams.truncate(self.list_max);
        let resume_after = streams.last().map_or(after_no, |info| info.no);
        StreamList { streams, more, resume_after }
    }

    fn page(
        &self,
        stream: &StreamId,
        epoch: u64,
        after: u64,
        after_mark: Option<u64>,
        events_max: u32,
    ) -> Answer<Page> {
        let Some(log) = self.host.get(stream) else {
            let stale = Stale { reason: "stream_missing".into(), epoch: 0, floor: 1, head: 0, snapshot_seq: 0 };
            return Answer::Stale(stale);
        };
        let position = Position { epoch: Epoch::new(epoch).expect("an epoch"), seq: after.into() };
        if let Resume::Stale { reason, .. } = resume::decide(Some(position), Some(&log.bounds()), None) {
            return Answer::Stale(log.stale(reason.as_str()));
        }
        if after_mark.is_some_and(|mark| mark != log.mark(after)) {
            return Answer::Stale(log.stale("history_diverged"));
        }
        let end = (after + u64::from(events_max)).min(log.head());
        Answer::Ok(Page {
            epoch,
            floor: log.floor,
            head: log.head(),
            first: after + 1,
            mark: log.mark(after),
            events: log.events[after as usize..end as usize].to_vec(),
        })
    }

    /// The host answers the request that waits the longest. Whether there was one.
    pub(super) fn answer_next(&mut self) -> bool {
        let Some((_, request, what)) = self.asked.pop_front() else { return false };
        let reply = self.answer(&what);
        self.feed(Event::Answered { request, reply });
        true
    }

    /// The store commits the batch that waits the longest. Whether there was one.
    pub(super) fn commit_next(&mut self) -> bool {
        let Some((number, batch)) = self.to_apply.pop_front() else { return false };
        self.keep(&batch);
        self.feed(Event::Applied(number));
        true
    }

    /// What the store does with a batch.
    pub(super) fn keep(&mut self, batch: &Batch) {
        let kept = self.store.entry(batch.stream.clone()).or_default();
        assert_eq!(kept.place.map(|place| place.position), batch.after, "out of order: {batch:?}");
        match &batch.change {
            Change::Events(run) => {
                assert_eq!(run.first.get(), kept.base + kept.payloads.len() as u64 + 1, "a hole or a repeat");
                kept.payloads.extend(run.events.iter().map(|event| event.payload.clone()));
            }
            Change::Reset(reset) => {
                kept.payloads.clear();
                kept.base = reset.at.seq.get();
                kept.resets.push(reset.reason.map(|reason| reason.to_string()));
                kept.snapshot = reset.snapshot.as_ref().map(|snapshot| snapshot.payload.clone());
            }
            Change::Begin(place) => kept.base = place.position.seq.get(),
        }
        kept.place = Some(batch.ends());
    }

    /// Host and store do what they are asked until nothing is left to do.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            self.connect();
            if !self.answer_next() && !self.commit_next() {
                return;
            }
        }
        panic!("it never comes to rest");
    }

    pub(super) fn state(&self, stream: &str) -> ConnectionState {
        self.streams.get(&id(stream)).map_or(ConnectionState::Idle, |status| status.state)
    }

    pub(super) fn kept(&self, stream: &str) -> Kept {
        self.store.get(&id(stream)).cloned().unwrap_or_default()
    }

    pub(super) fn overall(&self) -> &Status {
        self.status.as_ref().expect("a status")
    }

    /// The requests of one kind that wait.
    pub(super) fn waiting(&self, is: impl Fn(&Request) -> bool) -> usize {
        self.asked.iter().filter(|(_, _, what)| is(what)).count()
    }

    /// Takes the page request that waits the longest out of the queue.
    pub(super) fn page_request(&mut self) -> (RequestNo, Request) {
        let at =
            self.asked.iter().position(|(_, _, what)| matches!(what, Request::Page { .. })).expect("a page request");
        let (_, request, what) = self.asked.remove(at).expect("it is there");
        (request, what)
    }
}

pub(super) fn many(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("{{\"n\":{number}}}")).collect()
}

/// A world whose only stream `a` has so many events, all of them applied.
pub(super) fn applied(count: usize) -> World {
    let mut world = World::new();
    let payloads = many(count);
    world.append("a", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    world.settle();
    assert_eq!(world.kept("a").payloads, payloads);
    assert_eq!(world.state("a"), ConnectionState::Live);
    world
}
