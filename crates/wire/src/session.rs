//! What a connection decides: which answer belongs to which request, what each subscription's state is, when to ping,
//! and when to give up.
//!
//! What always holds: this is pure. It has no clock (the time comes with each event, as a duration since the
//! connection began), no socket and no task; the same events give the same actions. Every request is answered exactly
//! once, at the latest when the session ends; nothing is done after [`Action::End`].
//!
//! A request that times out keeps its place among those in flight until the host answers, because it keeps its place in
//! the host's queue. A subscription that nobody waits for any more is undone when the host confirms it.
//!
//! | set | subscribe answered | asker gone | unsubscribe | host drops it |
//! | --- | --- | --- | --- | --- |
//! | subscribing | live, or gone if refused | undone once live | refused | gone |
//! | live | - | unsubscribing | unsubscribing | gone, and told |
//! | unsubscribing | - | - | refused | gone once answered |

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::error::{CallError, ClosedReason};
use crate::limits::OUTBOUND_BYTES_MAX;
use crate::messages::*;
use crate::options::{Queues, Timeouts};
use crate::rows::RowError;
use crate::update::{self, Order, ProcedureReply, QueryAnswer, ReducerReply, Subscription, Transaction, Update};

mod hear;
#[cfg(test)]
mod tests;
mod words;

pub use words::{Action, CallId, Event, Reply, Request};

#[derive(Debug)]
struct Pending {
    /// `None` once nobody waits for the answer any more.
    call: Option<CallId>,
    kind: Kind,
    timeout: Duration,
    deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Subscribe(QuerySetId),
    Unsubscribe(QuerySetId),
    Query,
    Reducer,
    Procedure,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SetState {
    Subscribing,
    Live,
    Unsubscribing,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Open,
    Closing { deadline: Duration },
    Ended,
}

/// The state of one connection after the host's greeting.
#[derive(Debug)]
pub struct Session {
    timeouts: Timeouts,
    in_flight_max: usize,
    state: State,
    pending: HashMap<u32, Pending>,
    deadlines: BTreeSet<(Duration, u32)>,
    sets: HashMap<QuerySetId, SetState>,
    last_request_id: u32,
    last_query_set: u32,
    order: Order,
    heard_at: Duration,
    /// Until when silence does not count against the host.
    excused_until: Duration,
    pinged_at: Duration,
}

impl Session {
    /// A session whose host has just greeted, at time zero.
    pub fn new(timeouts: Timeouts, queues: &Queues) -> Session {
        Session {
            timeouts,
            in_flight_max: queues.in_flight.max(1),
            state: State::Open,
            pending: HashMap::new(),
            deadlines: BTreeSet::new(),
            sets: HashMap::new(),
            last_request_id: 0,
            last_query_set: 0,
            order: 0,
            heard_at: Duration::ZERO,
            excused_until: Duration::ZERO,
            pinged_at: Duration::ZERO,
        }
    }

    /// How many more requests may go out now. Requests must not be brought while this is 0.
    pub fn room(&self) -> usize {
        self.in_flight_max.saturating_sub(self.pending.len())
    }

    /// Whether the session is over.
    pub fn has_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// When [`Event::Tick`] is due next.
    pub fn next_deadline(&self) -> Duration {
        let idle = self.idle_due();
        let first_call = self.deadlines.first().map(|(deadline, _)| *deadline);
        let close = match self.state {
            State::Closing { deadline } => Some(deadline),
            State::Open | State::Ended => None,
        };
        [Some(idle), Some(self.ping_due()), first_call, close].into_iter().flatten().min().unwrap_or(idle)
    }

    /// Takes an event at the time `now`, which never falls, and says what to do.
    pub fn on(&mut self, now: Duration, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.has_ended() {
            // Only callers can still come, between the end and the driver's last look at its queue.
            if let Event::Ask { call, .. } = event {
                actions.push(refuse(call, CallError::Closed { reason: ClosedReason::ByClient, sent: false }));
            }
            return actions;
        }
        match event {
            Event::Ask { call, request, timeout, deadline } => {
                self.ask(now, call, request, timeout, deadline, &mut actions);
            }
            Event::Unclaimed(set) => self.unclaimed(set, &mut actions),
            Event::Close => self.close(now, &mut actions),
            Event::Heard => self.heard_at = now,
            Event::NotListening => self.excused_until = now,
            Event::Message(message) => {
                self.order += 1;
                if let Err(violation) = self.hear(message, &mut actions) {
                    self.end(ClosedReason::Protocol { detail: violation.0 }, &mut actions);
                }
            }
            Event::Tick => self.tick(now, &mut actions),
            Event::HostClosed { code, said } => self.end(ClosedReason::ByHost { code, said }, &mut actions),
            Event::Failed(reason) => self.end(reason, &mut actions),
        }
        actions
    }

    fn ask(
        &mut self,
        now: Duration,
        call: CallId,
        request: Request,
        timeout: Duration,
        deadline: Duration,
        actions: &mut Vec<Action>,
    ) {
        let bytes = request.bytes();
        let refusal = if self.state != State::Open {
            Some(CallError::Closed { reason: ClosedReason::ByClient, sent: false })
        } else if deadline <= now {
            Some(CallError::Timeout { limit: timeout, sent: false })
        } else if bytes > OUTBOUND_BYTES_MAX {
            Some(CallError::TooLarge { bytes, bytes_max: OUTBOUND_BYTES_MAX })
        } else if let Request::Unsubscribe { query_set } = &request {
            let is_live = self.sets.get(query_set) == Some(&SetState::Live);
            (!is_live).then(|| CallError::Refused(format!("there is no live subscription {}", query_set.id)))
        } else {
            None
        };
        match refusal {
            Some(error) => actions.push(refuse(call, error)),
            None => self.send(Some(call), request, timeout, deadline, actions),
        }
    }

    fn send(
        &mut self,
        call: Option<CallId>,
        request: Request,
        timeout: Duration,
        deadline: Duration,
        actions: &mut Vec<Action>,
    ) {
        let request_id = self.fresh_request_id();
        let (kind, message) = self.message(request_id, request);
        self.pending.insert(request_id, Pending { call, kind, timeout, deadline });
        if call.is_some() {
            self.deadlines.insert((deadline, request_id));
        }
        actions.push(Action::Send(message));
    }

    fn message(&mut self, request_id: u32, request: Request) -> (Kind, ClientMessage) {
        match request {
            Request::Subscribe { queries: query_strings } => {
                let query_set_id = self.fresh_query_set();
                self.sets.insert(query_set_id, SetState::Subscribing);
                let message = ClientMessage::Subscribe(Subscribe { request_id, query_set_id, query_strings });
                (Kind::Subscribe(query_set_id), message)
            }
            Request::Unsubscribe { query_set } => {
                self.sets.insert(query_set, SetState::Unsubscribing);
                let flags = UnsubscribeFlags::Default;
                let message = ClientMessage::Unsubscribe(Unsubscribe { request_id, query_set_id: query_set, flags });
                (Kind::Unsubscribe(query_set), message)
            }
            Request::Query { sql: query_string } => {
                (Kind::Query, ClientMessage::OneOffQuery(OneOffQuery { request_id, query_string }))
            }
            Request::Reducer { name: reducer, args } => {
                (Kind::Reducer, ClientMessage::CallReducer(CallReducer { request_id, flags: 0, reducer, args }))
            }
            Request::Procedure { name: procedure, args } => {
                (Kind::Procedure, ClientMessage::CallProcedure(CallProcedure { request_id, flags: 0, procedure, args }))
            }
        }
    }

    /// Undoes a live subscription by itself, for nobody.
    fn undo(&mut self, query_set: QuerySetId, actions: &mut Vec<Action>) {
        self.send(None, Request::Unsubscribe { query_set }, Duration::ZERO, Duration::MAX, actions);
    }

    fn unclaimed(&mut self, set: QuerySetId, actions: &mut Vec<Action>) {
        if self.state == State::Open && self.sets.get(&set) == Some(&SetState::Live) {
            self.undo(set, actions);
        }
    }

    fn close(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.state == State::Open {
            self.state = State::Closing { deadline: now + self.timeouts.close };
            actions.push(Action::Close);
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let State::Closing { deadline } = self.state
            && now >= deadline
        {
            return self.end(ClosedReason::ByClient, actions);
        }
        if now >= self.idle_due() {
            return self.end(ClosedReason::Idle { limit: self.timeouts.idle }, actions);
        }
        while let Some(&(deadline, request_id)) = self.deadlines.first()
            && deadline <= now
        {
            self.deadlines.pop_first();
            let pending = self.pending.get_mut(&request_id).expect("a deadline belongs to a pending request");
            let call = pending.call.take().expect("a deadline belongs to a waiting caller");
            actions.push(refuse(call, CallError::Timeout { limit: pending.timeout, sent: true }));
        }
        if self.state == State::Open && now >= self.ping_due() {
            self.pinged_at = now;
            actions.push(Action::Ping);
        }
    }

    fn idle_due(&self) -> Duration {
        self.heard_at.max(self.excused_until) + self.timeouts.idle
    }

    fn ping_due(&self) -> Duration {
        match self.state {
            State::Open => self.heard_at.max(self.pinged_at) + self.timeouts.ping_interval,
            State::Closing { .. } | State::Ended => Duration::MAX,
        }
    }

    /// Ends the session: every waiting caller hears why.
    fn end(&mut self, reason: ClosedReason, actions: &mut Vec<Action>) {
        // Once this side has asked to close, it does not matter how the host takes its leave.
        let reason = match self.state {
            State::Closing { .. } => ClosedReason::ByClient,
            State::Open | State::Ended => reason,
        };
        self.state = State::Ended;
        self.deadlines.clear();
        self.sets.clear();
        let mut waiting: Vec<_> = self.pending.drain().filter_map(|(id, pending)| Some((id, pending.call?))).collect();
        waiting.sort_unstable();
        for (_, call) in waiting {
            actions.push(refuse(call, CallError::Closed { reason: reason.clone(), sent: true }));
        }
        actions.push(Action::End(reason));
    }

    fn fresh_request_id(&mut self) -> u32 {
        loop {
            self.last_request_id = self.last_request_id.wrapping_add(1);
            if !self.pending.contains_key(&self.last_request_id) {
                return self.last_request_id;
            }
        }
    }

    fn fresh_query_set(&mut self) -> QuerySetId {
        loop {
            self.last_query_set = self.last_query_set.wrapping_add(1);
            let id = QuerySetId { id: self.last_query_set };
            if !self.sets.contains_key(&id) {
                return id;
            }
        }
    }
}

fn refuse(call: CallId, error: CallError) -> Action {
    Action::Reply { call, result: Err(error) }
}
