//! The connection with the next token, and when it takes over from the one that is open.
//!
//! | state | goes to |
//! | --- | --- |
//! | none | opening, when another token came while a connection is up |
//! | opening | draining, once it is open; waiting, if it cannot be opened |
//! | draining | none: it is the connection, once every call on the one before is answered, or has had its time |
//! | waiting | opening, when its time has come, or when yet another token came |
//!
//! What always holds: while calls drain, nothing new goes out. With the hand-over, as with every connection, the host is
//! asked how far it has a stream before anything of it goes out; a call that was not answered in time is therefore known or
//! made again, and the host counts it once. If the connection ends first, the successor is the connection.

use std::time::Duration;

use muster_contract::backoff;

use super::link::blocked_wait;
use super::stream::Phase;
use super::{Action, Core, Link, StreamNo};
use crate::limits::{HAND_OVER_MS_MAX, ms};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Successor {
    state: State,
    attempts: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    None,
    Opening {
        session: u64,
    },
    Draining {
        session: u64,
        until: Duration,
    },
    Waiting {
        until: Duration,
    },
}

impl Successor {
    /// The connection that is opening or open.
    pub(super) fn session(&self) -> Option<u64> {
        match self.state {
            State::Opening { session } | State::Draining { session, .. } => Some(session),
            State::None | State::Waiting { .. } => None,
        }
    }

    /// Whether the connection before waits for its last answers.
    pub(super) fn is_draining(&self) -> bool {
        matches!(self.state, State::Draining { .. })
    }

    /// When something is due.
    pub(super) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Draining { until, .. } | State::Waiting { until } => Some(until),
            State::None | State::Opening { .. } => None,
        }
    }
}

impl Core {
    /// There is another token.
    pub(super) fn refresh(&mut self, actions: &mut Vec<Action>) {
        match self.link {
            Link::Off => {}
            Link::Up => self.begin_successor(actions),
            Link::Backoff { .. } | Link::Blocked { .. } => {
                self.blocked = false;
                self.connect(actions);
            }
            Link::Connecting => {
                actions.push(Action::Disconnect { connection: self.session });
                self.connect(actions);
            }
        }
    }

    fn begin_successor(&mut self, actions: &mut Vec<Action>) {
        if let Some(connection) = self.successor.session() {
            // It has the token before that one.
            actions.push(Action::Disconnect { connection });
        }
        self.sessions += 1;
        self.successor.state = State::Opening { session: self.sessions };
        actions.push(Action::Connect { connection: self.sessions });
    }

    pub(super) fn successor_connected(&mut self, now: Duration) {
        if let State::Opening { session } = self.successor.state {
            self.successor.state = State::Draining { session, until: now + ms(HAND_OVER_MS_MAX) };
        }
    }

    /// It cannot be had: the present connection goes on, and another is tried later.
    pub(super) fn successor_failed(&mut self, now: Duration, random: u64, retryable: bool) {
        let wait = if retryable { ms(backoff::wait_ms(self.successor.attempts, random)) } else { blocked_wait(random) };
        self.successor.attempts = self.successor.attempts.saturating_add(1);
        self.successor.state = State::Waiting { until: now + wait };
    }

    pub(super) fn drop_successor(&mut self, actions: &mut Vec<Action>) {
        if let Some(connection) = self.successor.session() {
            actions.push(Action::Disconnect { connection });
        }
        self.successor = Successor::default();
    }

    /// The connection is gone: the successor takes its place as it is. False if there is none.
    pub(super) fn successor_steps_in(&mut self, now: Duration) -> bool {
        match std::mem::take(&mut self.successor.state) {
            State::Opening { session } => {
                (self.session, self.link) = (session, Link::Connecting);
                self.drop_calls();
                true
            }
            State::Draining { session, .. } => {
                self.take_over(now, session);
                true
            }
            State::None | State::Waiting { .. } => false,
        }
    }

    /// What is due.
    pub(super) fn successor_time(&mut self, now: Duration, actions: &mut Vec<Action>) {
        match self.successor.state {
            State::Draining { session, until } if self.calls.is_empty() || until <= now => {
                actions.push(Action::Disconnect { connection: self.session });
                self.successor = Successor::default();
                self.counters.hand_overs += 1;
                self.take_over(now, session);
            }
            State::Waiting { until } if until <= now && self.link == Link::Up => self.begin_successor(actions),
            // The next connection is made with the newest token anyway.
            State::Waiting { until } if until <= now => self.successor.state = State::None,
            _ => {}
        }
    }

    fn take_over(&mut self, now: Duration, session: u64) {
        self.session = session;
        self.drop_calls();
        self.link = Link::Up;
        self.counters.connections += 1;
        let mended: Vec<StreamNo> = self
            .streams
            .iter_mut()
            .filter(|(_, stream)| {
                let is_of_the_token = |code: &str| matches!(code, "unauthorized" | "forbidden_stream");
                matches!(stream.phase, Phase::Waiting { .. })
                    && stream.refusal.as_ref().is_some_and(|refusal| is_of_the_token(&refusal.code))
            })
            .map(|(no, stream)| {
                stream.phase = Phase::Unknown;
                *no
            })
            .collect();
        let all: Vec<StreamNo> = self.pending.iter().copied().chain(mended).collect();
        all.into_iter().for_each(|no| self.index(now, no));
    }

    /// What a refusal says of the token of the present connection: said once for each.
    pub(super) fn token_may_be_over(&mut self, code: &str, actions: &mut Vec<Action>) {
        if code == "unauthorized" && self.renewed != self.session {
            self.renewed = self.session;
            actions.push(Action::RenewToken { connection: self.session });
        }
    }

    /// The host has done what the present connection's token grants.
    pub(super) fn token_taken(&mut self, actions: &mut Vec<Action>) {
        if self.taken != self.session {
            self.taken = self.session;
            actions.push(Action::TokenTaken { connection: self.session });
        }
    }
}
