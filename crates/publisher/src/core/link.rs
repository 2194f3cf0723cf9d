//! The connection: when to make it, and what its end means.
//!
//! What always holds: attempts come after [`muster_contract::backoff`]'s waits, which start again only after a host has
//! answered a call, so that a host that greets and drops everybody is not hammered. What only a person can mend is tried
//! again too, much more slowly: a database may be published later, and a token be trusted again.

use std::time::Duration;

use muster_contract::backoff;

use super::stream::Phase;
use super::{Action, Core, Link, StreamNo};
use crate::limits::{BLOCKED_RETRY_MS, ms};

/// How long until it is looked whether what only a person can mend is mended: from three quarters of the time to five
/// quarters, so that many publishers of one host do not come together.
pub(super) fn blocked_wait(random: u64) -> Duration {
    ms(BLOCKED_RETRY_MS / 4 * 3 + random % (BLOCKED_RETRY_MS / 2 + 1))
}

impl Core {
    pub(super) fn start(&mut self, actions: &mut Vec<Action>) {
        if self.link == Link::Off {
            self.connect(actions);
        }
    }

    pub(super) fn stop(&mut self, actions: &mut Vec<Action>) {
        self.drop_successor(actions);
        if matches!(self.link, Link::Connecting | Link::Up) {
            actions.push(Action::Disconnect { connection: self.session });
        }
        self.link = Link::Off;
        self.blocked = false;
        self.attempts = 0;
        self.last_error = None;
        self.drop_calls();
    }

    pub(super) fn retry_now(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if matches!(self.link, Link::Backoff { .. } | Link::Blocked { .. }) {
            self.blocked = false;
            self.connect(actions);
        }
        let waiting: Vec<StreamNo> = self
            .streams
            .iter_mut()
            .filter(|(_, stream)| matches!(stream.phase, Phase::Waiting { .. }))
            .map(|(no, stream)| {
                stream.phase = Phase::Unknown;
                *no
            })
            .collect();
        waiting.into_iter().for_each(|no| self.index(now, no));
    }

    pub(super) fn connect(&mut self, actions: &mut Vec<Action>) {
        self.drop_successor(actions);
        self.link = Link::Connecting;
        self.sessions += 1;
        self.session = self.sessions;
        actions.push(Action::Connect { connection: self.session });
    }

    pub(super) fn connected(&mut self, now: Duration, connection: u64) {
        if self.successor.session() == Some(connection) {
            return self.successor_connected(now);
        }
        if self.link != Link::Connecting || connection != self.session {
            return;
        }
        self.link = Link::Up;
        self.blocked = false;
        self.last_error = None;
        self.counters.connections += 1;
        let all: Vec<StreamNo> = self.pending.iter().copied().collect();
        all.into_iter().for_each(|no| self.index(now, no));
    }

    pub(super) fn disconnected(
        &mut self,
        now: Duration,
        random: u64,
        connection: u64,
        retryable: bool,
        message: String,
    ) {
        if self.successor.session() == Some(connection) {
            return self.successor_failed(now, random, retryable);
        }
        if connection != self.session || !matches!(self.link, Link::Connecting | Link::Up) {
            return;
        }
        if self.successor_steps_in(now) {
            return;
        }
        self.last_error = Some(message);
        self.link = if retryable {
            let wait = ms(backoff::wait_ms(self.attempts, random));
            Link::Backoff { until: now + wait }
        } else {
            Link::Blocked { until: now + blocked_wait(random) }
        };
        self.blocked = !retryable;
        self.attempts = self.attempts.saturating_add(1);
        self.drop_calls();
    }

    /// A host has answered: the connection is one.
    pub(super) fn proven(&mut self) {
        self.attempts = 0;
    }

    /// Forgets what was under way: what became of it will be asked. To be called once there is no connection any more.
    pub(super) fn drop_calls(&mut self) {
        self.calls.clear();
        self.asking = false;
        self.in_flight_events = 0;
        self.in_flight_bytes = 0;
        let all: Vec<StreamNo> = self.streams.keys().copied().collect();
        for no in all {
            let Some(stream) = self.streams.get_mut(&no) else { continue };
            stream.rewind();
            if matches!(stream.phase, Phase::Asking | Phase::Ready | Phase::Draining) {
                stream.phase = Phase::Unknown;
            }
            // With no connection, nothing is sent at a time.
            self.index(Duration::ZERO, no);
        }
    }
}
