//! The core against a model of an outbox and a host, in any order of events: whatever is cut, killed, made anew or
//! renumbered, each event is stored once, in order, in the stream's present life, or still in the outbox.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use muster_contract::producer::{Admit, Run, admit};
use proptest::prelude::*;

use crate::core::{Action, CallId, Core, CoreConfig, Event, HostEvent, HostState, Refusal, StreamNo, StreamRecord};

/// What may happen next. Indices choose among what is possible then.
#[derive(Clone, Debug)]
enum Step {
    Publish {
        stream: u8,
        count: u8,
    },
    /// The host takes the next call that was sent.
    Host,
    /// An answer arrives.
    Answer,
    /// The disk finishes what it was asked first.
    Disk,
    /// A batch is read.
    Read(u8),
    Cut,
    /// There is another token: a second connection takes over from the first. What was sent over that one may still be done.
    AnotherToken,
    /// The publisher's process is killed, and starts again from its disk.
    Kill,
    /// A stream is deleted.
    Delete(u8),
    /// Every epoch is renewed; producers stay known.
    Renew,
    /// A copy of the host is made.
    Copy,
    /// The host is replaced by its copy, and every epoch renewed.
    Restore,
    /// A person accepts what parked streams lost.
    Accept,
    Wait,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0u8..3, 1u8..6).prop_map(|(stream, count)| Step::Publish { stream, count }),
        12 => Just(Step::Host),
        12 => Just(Step::Answer),
        8 => Just(Step::Disk),
        12 => (0u8..4).prop_map(Step::Read),
        2 => Just(Step::Cut),
        2 => Just(Step::AnotherToken),
        1 => Just(Step::Kill),
        1 => (0u8..3).prop_map(Step::Delete),
        1 => Just(Step::Renew),
        1 => Just(Step::Copy),
        1 => Just(Step::Restore),
        2 => Just(Step::Accept),
        6 => Just(Step::Wait),
    ]
}

#[derive(Clone, Default)]
struct HostStream {
    epoch: u64,
    /// The last number accepted, by counting.
    numbers: BTreeMap<u32, u64>,
    /// Local numbers of the events in it: what the events are.
    events: Vec<u64>,
}

enum Sent {
    Append { call: CallId, stream: StreamNo, generation: u32, epoch: u64, number: u64, first: u64, count: u32 },
    Ask { call: CallId, generation: u32, streams: Vec<StreamNo> },
}

struct World {
    core: Core,
    now: Duration,
    bits: u64,
    /// The outbox: rows, of which `confirmed` says what is forgotten.
    rows: BTreeMap<StreamNo, StreamRecord>,
    host: BTreeMap<StreamNo, HostStream>,
    copy: BTreeMap<StreamNo, HostStream>,
    /// Streams deleted since the copy was made.
    deleted: BTreeSet<StreamNo>,
    /// Streams whose deletion a copy has undone: what they stored before it without a word may be stored again. Nothing
    /// is lost in them either.
    undone: BTreeSet<StreamNo>,
    last_epoch: u64,
    /// Events that were stored and that a deletion or a restored copy took away.
    gone: BTreeMap<StreamNo, BTreeSet<u64>>,
    sent: VecDeque<Sent>,
    answers: VecDeque<Event>,
    disk: VecDeque<Action>,
    reads: Vec<Action>,
    connections: Vec<u64>,
    /// Whether the host was ever set back: only then a stream may be parked.
    set_back: bool,
}

fn core() -> Core {
    Core::new(CoreConfig {
        batch_events_max: 4,
        stream_calls_max: 3,
        calls_max: 4,
        in_flight_events_max: 12,
        drained_streams_max: 1,
        ..CoreConfig::default()
    })
}

impl World {
    fn new() -> World {
        let mut world = World {
            core: core(),
            now: Duration::ZERO,
            bits: 0,
            rows: (1..=3).map(|no| (no, StreamRecord { no, ..StreamRecord::default() })).collect(),
            host: BTreeMap::new(),
            copy: BTreeMap::new(),
            deleted: BTreeSet::new(),
            undone: BTreeSet::new(),
            last_epoch: 0,
            gone: BTreeMap::new(),
            sent: VecDeque::new(),
            answers: VecDeque::new(),
            disk: VecDeque::new(),
            reads: Vec::new(),
            connections: Vec::new(),
            set_back: false,
        };
        world.feed(Event::Start);
        world
    }

    fn feed(&mut self, event: Event) {
        // Every event comes with other bits, as it does outside.
        self.bits = self.bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
        for action in self.core.on(self.now, self.bits, event) {
            match action {
                Action::Connect { connection } => {
                    self.connections.push(connection);
                    self.answers.push_back(Event::Connected { connection });
                }
                Action::Disconnect { connection } => {
                    // What is still being read is for the connection that was made first; what was sent over it may be done.
                    if self.connections.first() == Some(&connection) {
                        self.reads.clear();
                    }
                    self.connections.retain(|open| *open != connection);
                }
                Action::TokenTaken { .. } => {}
                Action::RenewToken { .. } => panic!("no token ends here"),
                Action::Ask { call, generation, streams } => {
                    self.sent.push_back(Sent::Ask { call, generation, streams })
                }
                action @ Action::Append { .. } => self.reads.push(action),
                Action::Park { stream, refusal } => {
                    assert!(self.set_back && refusal.code == "host_behind_outbox", "parked: {refusal:?}");
                    self.rows.get_mut(&stream).expect("a row").parked = true;
                }
                action @ (Action::Save(_) | Action::Forget(_)) => self.disk.push_back(action),
            }
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Publish { stream, count } => {
                let row = self.rows.get_mut(&(u64::from(stream) + 1)).expect("three streams");
                row.last += u64::from(count);
                let row = *row;
                self.feed(Event::Stored(row));
            }
            Step::Host => self.host_takes_one(),
            Step::Answer => {
                if let Some(answer) = self.answers.pop_front() {
                    self.feed(answer);
                }
            }
            Step::Disk => self.disk_finishes_one(),
            Step::Read(which) => self.read(which),
            Step::Cut => self.cut(),
            Step::AnotherToken => self.feed(Event::TokenRefreshDue),
            Step::Kill => self.kill(),
            Step::Delete(stream) => {
                let no = u64::from(stream) + 1;
                if let Some(stream) = self.host.remove(&no) {
                    self.gone.entry(no).or_default().extend(stream.events);
                    self.deleted.insert(no);
                }
            }
            Step::Renew => self.renew(),
            Step::Copy => {
                self.copy = self.host.clone();
                self.deleted.clear();
            }
            Step::Restore => {
                for (no, stream) in std::mem::replace(&mut self.host, self.copy.clone()) {
                    self.gone.entry(no).or_default().extend(stream.events);
                }
                self.set_back = true;
                self.undone.append(&mut self.deleted);
                self.renew();
            }
            Step::Accept => {
                let parked: Vec<StreamNo> = self.rows.values().filter(|row| row.parked).map(|row| row.no).collect();
                for no in parked {
                    let row = self.rows.get_mut(&no).expect("a row");
                    (row.parked, row.renumber) = (false, true);
                    let row = *row;
                    self.feed(Event::Reset(row));
                }
            }
            Step::Wait => {
                self.now += Duration::from_secs(8);
                self.feed(Event::Tick);
            }
        }
    }

    fn renew(&mut self) {
        for stream in self.host.values_mut() {
            self.last_epoch += 1;
            stream.epoch = self.last_epoch;
        }
    }

    fn read(&mut self, which: u8) {
        if self.reads.is_empty() {
            return;
        }
        let which = usize::from(which) % self.reads.len();
        let Action::Append { call, stream, generation, epoch, first, number, events_max, .. } =
            self.reads.remove(which)
        else {
            panic!("only appends are read")
        };
        let row = self.rows[&stream];
        assert!(first > row.confirmed, "an event that was forgotten is wanted again");
        let count = events_max.min(u32::try_from(row.last - first + 1).expect("few"));
        self.sent.push_back(Sent::Append { call, stream, generation, epoch, number, first, count });
        self.feed(Event::Taken { call, count, bytes: 1 });
    }

    fn cut(&mut self) {
        let cut = std::mem::take(&mut self.connections);
        if cut.is_empty() {
            return;
        }
        // Of the calls under way, the host takes some before it notices.
        for _ in 0..self.sent.len() / 2 {
            self.host_takes_one();
        }
        self.sent.clear();
        self.reads.clear();
        self.answers.clear();
        for connection in cut {
            self.feed(Event::Disconnected { connection, retryable: true, message: String::new() });
        }
    }

    fn kill(&mut self) {
        self.cut();
        self.disk.clear();
        self.answers.clear();
        self.core = core();
        for row in self.rows.clone().into_values().filter(|row| row.pending() > 0 && !row.parked) {
            self.feed(Event::Stored(row));
        }
        self.feed(Event::Start);
    }

    fn disk_finishes_one(&mut self) {
        match self.disk.pop_front() {
            Some(Action::Save(record)) => {
                let row = self.rows.get_mut(&record.no).expect("a row");
                (row.epoch, row.generation, row.base) = (record.epoch, record.generation, record.base);
                row.renumber = false;
                row.confirmed = row.confirmed.max(record.confirmed);
                self.feed(Event::Saved { stream: record.no, ok: true });
            }
            Some(Action::Forget(list)) => {
                for (no, up_to) in list {
                    let row = self.rows.get_mut(&no).expect("a row");
                    row.confirmed = row.confirmed.max(up_to);
                }
                self.feed(Event::Forgotten { ok: true });
            }
            _ => {}
        }
    }

    fn host_takes_one(&mut self) {
        let answer = match self.sent.pop_front() {
            None => return,
            Some(Sent::Ask { call, generation, streams }) => {
                let state = |no: &StreamNo| match self.host.get(no) {
                    Some(stream) => {
                        let number = stream.numbers.get(&generation).copied().unwrap_or(0);
                        // No outbox is set back here: what the host has of it is its own.
                        let event = if number > 0 { HostEvent::Own } else { HostEvent::Unknown };
                        HostState { epoch: stream.epoch, number, event }
                    }
                    None => HostState::default(),
                };
                Event::States { call, states: streams.iter().map(state).collect() }
            }
            Some(Sent::Append { call, stream: no, generation, epoch, number, first, count }) => {
                match self.append(no, (generation, epoch), number, first, count) {
                    Ok(()) => Event::Accepted { call },
                    Err(code) => Event::Refused { call, refusal: Refusal::new(code, "") },
                }
            }
        };
        self.answers.push_back(answer);
    }

    fn append(
        &mut self,
        no: StreamNo,
        (generation, epoch): (u32, u64),
        number: u64,
        first: u64,
        count: u32,
    ) -> Result<(), &'static str> {
        let run = Run::new(number, count).expect("a run");
        if let Some(stream) = self.host.get(&no) {
            if epoch != 0 && epoch != stream.epoch {
                return Err("epoch_changed");
            }
        } else if epoch != 0 {
            return Err("epoch_changed");
        } else if number != 1 {
            return Err("producer_hole");
        } else {
            self.last_epoch += 1;
            self.host.insert(no, HostStream { epoch: self.last_epoch, ..HostStream::default() });
        }
        let stream = self.host.get_mut(&no).expect("there or made");
        let last = stream.numbers.entry(generation).or_default();
        match admit(*last, run) {
            Admit::Append { skip } => {
                stream.events.extend(first + u64::from(skip)..first + u64::from(count));
                *last = run.last();
                Ok(())
            }
            Admit::Duplicate => Ok(()),
            Admit::Hole { .. } => Err("producer_hole"),
        }
    }

    fn check(&self) {
        for (no, row) in &self.rows {
            let none = BTreeSet::new();
            let gone = self.gone.get(no).unwrap_or(&none);
            let events = self.host.get(no).map_or(&[][..], |stream| &stream.events);
            assert!(
                self.undone.contains(no) || events.windows(2).all(|pair| pair[0] < pair[1]),
                "stream {no} has an event twice or out of order: {events:?}"
            );
            // Whatever was forgotten is in the stream, or was in it and is taken away; and so is what a hole is of.
            let held: BTreeSet<u64> = events.iter().copied().collect();
            let last = events.iter().copied().max().unwrap_or(0).max(row.confirmed);
            for event in 1..=last {
                assert!(
                    held.contains(&event) || gone.contains(&event),
                    "event {event} of stream {no} is lost: {events:?}"
                );
            }
        }
    }

    /// Lets everything come to its end.
    fn finish(&mut self) {
        for _ in 0..2_000 {
            for step in [Step::Accept, Step::Wait, Step::Read(0), Step::Host, Step::Answer, Step::Disk] {
                self.take(step);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_stored_once_and_in_order_whatever_happens(steps in prop::collection::vec(step(), 1..250)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
            world.check();
        }
        world.finish();
        world.check();
        for (no, row) in &world.rows {
            prop_assert_eq!(row.confirmed, row.last, "stream {} is not empty in the end", no);
        }
        prop_assert_eq!(world.core.status().calls, 0);
    }
}
