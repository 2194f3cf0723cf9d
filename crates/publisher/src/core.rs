//! What the sender decides: which events go out when, what an answer means, when to ask again and when to give up.
//!
//! What always holds: this is pure. It has no clock (the time comes with each event, as a duration since some moment, and
//! never falls), no socket, no disk and no randomness (64 random bits come with each event); the same events give the
//! same actions. It knows ranges of numbers, never a payload, so its memory does not grow with the backlog.
//!
//! - Events of a stream are sent in the order of their numbers; a stream's numbers are sent only after the host was asked,
//!   on this connection, how far it has them ([`Action::Ask`]).
//! - An event is forgotten only after the host has confirmed it: a successful `append_encoded`, or a `producer_state` that
//!   counts it. Both are durable when they are answered.
//! - Nothing is sent under a new epoch or base before both are on disk ([`Action::Save`]).
//! - A refusal does not wait for anything to be durable, so it may have been computed from a state that a crash then takes
//!   back. After one, nothing more of its stream is sent; what is under way is waited for, the host is asked, and sending
//!   goes on from its answer. A stream is parked only when a final refusal comes again for the only call under way.
//!
//! | phase of a stream | goes on when | to |
//! | --- | --- | --- |
//! | unknown | there are events, and a connection | asking |
//! | asking | the host answers | ready; saving, where numbers change; parked, where they contradict each other |
//! | saving | the outbox has written | ready; unknown, where another counting begins |
//! | ready | a call is refused or cannot be read, or the first one of an unknown epoch accepted | draining |
//! | draining | no call is under way any more | unknown, waiting or parked |
//! | waiting | its time has come | unknown |
//! | parked | a person resets it | unknown |
//!
//! The end of a connection makes every phase but saving, waiting and parked unknown again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::limits;

mod answers;
mod link;
mod sending;
mod stream;
mod successor;
#[cfg(test)]
mod tests;
mod words;

use stream::{Phase, Stream};
use successor::Successor;
pub(crate) use words::named;
pub use words::{
    Action, CallId, Counters, Event, HostEvent, HostState, Refusal, State, Status, StreamNo, StreamRecord, producer_of,
};

/// How a core batches and how much it has under way. The defaults are in [`crate::limits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreConfig {
    /// The most events in a batch.
    pub batch_events_max: u32,
    /// The most bytes in a batch.
    pub batch_bytes_max: usize,
    /// Calls under way for one stream.
    pub stream_calls_max: usize,
    /// Calls under way in all.
    pub calls_max: usize,
    /// Events under way in all.
    pub in_flight_events_max: u64,
    /// Bytes under way in all.
    pub in_flight_bytes_max: usize,
    /// Calls of a stream beside which its next event goes out at once, however few there are; at least 1.
    pub eager_calls: usize,
    /// How long an event waits for company while its stream has that many calls under way.
    pub linger: Duration,
    /// How long confirmed events stay on disk after others were forgotten.
    pub forget_pause: Duration,
    /// Streams without pending events that are remembered.
    pub drained_streams_max: usize,
}

impl Default for CoreConfig {
    fn default() -> Self {
        CoreConfig {
            batch_events_max: limits::BATCH_EVENTS_MAX,
            batch_bytes_max: limits::BATCH_BYTES_MAX,
            stream_calls_max: limits::STREAM_CALLS_MAX,
            calls_max: limits::CALLS_MAX,
            in_flight_events_max: limits::IN_FLIGHT_EVENTS_MAX,
            in_flight_bytes_max: limits::IN_FLIGHT_BYTES_MAX,
            eager_calls: limits::EAGER_CALLS,
            linger: limits::ms(limits::LINGER_MS),
            forget_pause: limits::ms(limits::FORGET_PAUSE_MS),
            drained_streams_max: limits::DRAINED_STREAMS_MAX,
        }
    }
}

/// What a call to the host was for.
#[derive(Clone, Debug)]
enum Call {
    Append {
        stream: StreamNo,
        first: u64,
        /// Known once the events were read.
        count: Option<u32>,
        /// What it holds of the budget, in events and bytes; an upper bound until the events were read.
        events: u64,
        bytes: usize,
    },
    Ask {
        streams: Vec<StreamNo>,
    },
}

/// The connection.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Link {
    Off,
    Connecting,
    Up,
    Backoff {
        until: Duration,
    },
    /// As `Backoff`, but the next attempt is hardly expected to help.
    Blocked {
        until: Duration,
    },
}

/// The sender's mind. See the module's page.
#[derive(Clone, Debug)]
pub struct Core {
    config: CoreConfig,
    link: Link,
    /// Whether the last attempt met what only a person can mend, and the present one is to see whether it is.
    blocked: bool,
    /// Failed attempts to connect since a host last answered a call.
    attempts: u32,
    last_error: Option<String>,
    /// The number of the present connection, and of the one that was asked for last.
    session: u64,
    sessions: u64,
    /// The connection that is to take over.
    successor: Successor,
    /// For which connection another token was asked for last, and which one's token was seen to be good last.
    renewed: u64,
    taken: u64,
    streams: BTreeMap<StreamNo, Stream>,
    calls: BTreeMap<CallId, Call>,
    last_call: CallId,
    in_flight_events: u64,
    in_flight_bytes: usize,
    /// Streams whose question is due.
    to_ask: BTreeSet<StreamNo>,
    asking: bool,
    /// Streams that may send now.
    to_send: BTreeSet<StreamNo>,
    /// The stream that was served last: the next one follows it, so that each has its turn.
    served: StreamNo,
    /// When which stream has something to do again.
    timers: BTreeSet<(Duration, StreamNo)>,
    /// Streams with confirmed events that are still on disk.
    to_forget: BTreeSet<StreamNo>,
    forgetting: Vec<(StreamNo, u64)>,
    forget_not_before: Duration,
    /// Streams with events neither confirmed nor parked.
    pending: BTreeSet<StreamNo>,
    parked: BTreeSet<StreamNo>,
    /// Streams with a refusal that is being dealt with.
    troubled: BTreeSet<StreamNo>,
    /// Streams with nothing to do, the longest idle first.
    drained: BTreeMap<u64, StreamNo>,
    last_drained: u64,
    counters: Counters,
}

impl Core {
    /// A core that knows no stream and does nothing before [`Event::Start`].
    pub fn new(config: CoreConfig) -> Core {
        Core {
            config,
            link: Link::Off,
            blocked: false,
            attempts: 0,
            last_error: None,
            session: 0,
            sessions: 0,
            successor: Successor::default(),
            renewed: 0,
            taken: 0,
            streams: BTreeMap::new(),
            calls: BTreeMap::new(),
            last_call: 0,
            in_flight_events: 0,
            in_flight_bytes: 0,
            to_ask: BTreeSet::new(),
            asking: false,
            to_send: BTreeSet::new(),
            served: 0,
            timers: BTreeSet::new(),
            to_forget: BTreeSet::new(),
            forgetting: Vec::new(),
            forget_not_before: Duration::ZERO,
            pending: BTreeSet::new(),
            parked: BTreeSet::new(),
            troubled: BTreeSet::new(),
            drained: BTreeMap::new(),
            last_drained: 0,
            counters: Counters::default(),
        }
    }

    /// Takes an event at the time `now`, with 64 random bits, and says what to do.
    pub fn on(&mut self, now: Duration, random: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Start => self.start(&mut actions),
            Event::Stop => self.stop(&mut actions),
            Event::TokenRefreshDue => self.refresh(&mut actions),
            Event::RetryNow => self.retry_now(now, &mut actions),
            Event::Stored(record) => self.stored(now, record),
            Event::Reset(record) => self.reset(now, record),
            Event::Connected { connection } => self.connected(now, connection),
            Event::Disconnected { connection, retryable, message } => {
                self.disconnected(now, random, connection, retryable, message);
            }
            Event::Taken { call, count, bytes } => self.taken(now, call, count, bytes),
            Event::NotTaken { call, damaged, message } => {
                self.not_taken(now, random, call, damaged, message, &mut actions);
            }
            Event::Accepted { call } => self.accepted(now, random, call, &mut actions),
            Event::Refused { call, refusal } => self.refused(now, random, call, refusal, &mut actions),
            Event::States { call, states } => self.states(now, random, call, &states, &mut actions),
            Event::Saved { stream, ok } => self.saved(now, random, stream, ok, &mut actions),
            Event::Forgotten { ok } => self.forgotten(now, ok),
            Event::Tick => {}
        }
        self.successor_time(now, &mut actions);
        self.time(now, &mut actions);
        self.ask(&mut actions);
        self.send(now, &mut actions);
        self.forget(now, &mut actions);
        self.evict();
        actions
    }

    /// When [`Event::Tick`] is due next; `None` while only an answer can change anything.
    pub fn next_deadline(&self) -> Option<Duration> {
        let reconnect = match self.link {
            Link::Backoff { until } | Link::Blocked { until } => Some(until),
            Link::Off | Link::Connecting | Link::Up => None,
        };
        let stream = self.timers.first().map(|(due, _)| *due);
        let forget = (self.forgetting.is_empty() && !self.to_forget.is_empty()).then_some(self.forget_not_before);
        [reconnect, stream, forget, self.successor.deadline()].into_iter().flatten().min()
    }

    /// What the core is doing.
    pub fn status(&self) -> Status {
        let refused = self.troubled.iter().filter_map(|no| Some((*no, self.streams.get(no)?.refusal.clone()?)));
        Status {
            state: match self.link {
                Link::Off => State::Off,
                // Until the attempt has shown that it is mended.
                Link::Connecting if self.blocked => State::Blocked { until: Duration::ZERO },
                Link::Connecting => State::Connecting,
                Link::Up if self.pending.is_empty() => State::Idle,
                Link::Up => State::Sending,
                Link::Backoff { until } => State::Backoff { until },
                Link::Blocked { until } => State::Blocked { until },
            },
            attempts: self.attempts,
            last_error: self.last_error.clone(),
            pending_streams: self.pending.len(),
            parked_streams: self.parked.len(),
            calls: self.calls.len(),
            refused: refused.take(10).collect(),
        }
    }

    /// What was counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The last local number of a stream that the host has confirmed; `None` for a stream that the core does not know.
    pub fn confirmed(&self, stream: StreamNo) -> Option<u64> {
        self.streams.get(&stream).map(|stream| stream.record.confirmed)
    }

    fn stored(&mut self, now: Duration, record: StreamRecord) {
        match self.streams.get_mut(&record.no) {
            Some(stream) => {
                if stream.next > stream.record.last {
                    stream.waiting_since = now;
                }
                stream.record.last = stream.record.last.max(record.last);
            }
            None => {
                self.streams.insert(record.no, Stream::new(record, now));
            }
        }
        self.index(now, record.no);
    }

    fn reset(&mut self, now: Duration, mut record: StreamRecord) {
        // Nothing is under way for a stream that a person may decide about. Should there be, its answers are not for what
        // comes now.
        let old: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| matches!(call, Call::Append { stream, .. } if *stream == record.no))
            .map(|(call, _)| *call)
            .collect();
        for call in old {
            self.end_append(call);
        }
        self.to_forget.remove(&record.no);
        // What the host has confirmed stays so, whether the disk has heard of it before the person or not.
        let confirmed = self.confirmed(record.no).unwrap_or(0).min(record.last);
        if confirmed > record.confirmed {
            record.confirmed = confirmed;
            self.to_forget.insert(record.no);
        }
        self.unindex(record.no);
        self.streams.insert(record.no, Stream::new(record, now));
        self.index(now, record.no);
    }

    /// What is due.
    fn time(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let Link::Backoff { until } | Link::Blocked { until } = self.link
            && until <= now
        {
            self.connect(actions);
        }
        while let Some(&(due, no)) = self.timers.first()
            && due <= now
        {
            self.timers.pop_first();
            if let Some(stream) = self.streams.get_mut(&no)
                && matches!(stream.phase, Phase::Waiting { until } if until <= now)
            {
                stream.phase = Phase::Unknown;
            }
            self.index(now, no);
        }
    }

    /// Puts a stream into the sets that it belongs to now. To be called after every change of it.
    fn index(&mut self, now: Duration, no: StreamNo) {
        self.unindex(no);
        let is_up = self.link == Link::Up;
        let Some(stream) = self.streams.get_mut(&no) else { return };
        let has_events = stream.record.pending() > 0;
        if stream.refusal.is_some() && stream.phase != Phase::Parked {
            self.troubled.insert(no);
        }
        match stream.phase {
            Phase::Parked => {
                self.parked.insert(no);
            }
            _ if has_events => {
                self.pending.insert(no);
            }
            _ => {}
        }
        match stream.phase {
            Phase::Unknown if is_up && has_events => {
                self.to_ask.insert(no);
            }
            Phase::Waiting { until } => {
                stream.timer = Some(until);
                self.timers.insert((until, no));
            }
            Phase::Ready if is_up => match stream.sends_at(&self.config) {
                Some(due) if due <= now => {
                    self.to_send.insert(no);
                }
                Some(due) => {
                    stream.timer = Some(due);
                    self.timers.insert((due, no));
                }
                None => {}
            },
            _ => {}
        }
        if !has_events && stream.is_idle() && !stream.forgetting && !self.to_forget.contains(&no) {
            self.last_drained += 1;
            stream.drained = Some(self.last_drained);
            self.drained.insert(self.last_drained, no);
        }
    }

    fn unindex(&mut self, no: StreamNo) {
        self.to_ask.remove(&no);
        self.to_send.remove(&no);
        self.pending.remove(&no);
        self.parked.remove(&no);
        self.troubled.remove(&no);
        let Some(stream) = self.streams.get_mut(&no) else { return };
        if let Some(due) = stream.timer.take() {
            self.timers.remove(&(due, no));
        }
        if let Some(turn) = stream.drained.take() {
            self.drained.remove(&turn);
        }
    }

    /// Lets go of streams that have had nothing to do for the longest time.
    fn evict(&mut self) {
        while self.drained.len() > self.config.drained_streams_max
            && let Some((_, no)) = self.drained.pop_first()
        {
            self.streams.remove(&no);
        }
    }
}
