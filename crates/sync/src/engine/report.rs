//! What may be said of it: states, reasons, lag.
//!
//! What always holds: a stream is called live only while the connection is open, its follow is acknowledged, the host's
//! newest word is younger than [`super::Tuning::liveness`], the last page said that nothing follows the cursor,
//! and it has not been known to be behind for longer than [`crate::limits::BEHIND_MS_MAX`]. What is told costs nothing
//! for streams that have not changed.

use muster_contract::state::{ConnectionState, LeaveReason};

use super::link::LinkState;
use super::slot::{Slot, SlotState};
use super::stream::{Key, Step};
use super::words::Action;
use super::{Engine, Phase};
use crate::status::{Counts, Status, StreamStatus};

#[derive(Debug, Default)]
pub(super) struct Overall {
    pub(super) counts: Counts,
    /// Over all streams, each at most [`crate::limits::SEQ_MAX`].
    lag: u128,
    pub(super) store_error: Option<String>,
    told: Option<Status>,
}

impl Overall {
    /// A stream that was told of so counts no more.
    pub(super) fn forget(&mut self, told: ConnectionState, lag: u64) {
        self.counts.remove(told);
        self.lag -= u128::from(lag);
    }
}

impl Engine {
    pub(super) fn mark(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        if !stream.is_vacant && !std::mem::replace(&mut stream.is_dirty, true) {
            self.dirty.push(key);
        }
    }

    pub(super) fn mark_all(&mut self) {
        for key in self.keys() {
            self.mark(key);
        }
    }

    pub(super) fn mark_slot(&mut self, slot: usize) {
        for key in self.keys() {
            if self.streams[key.0].slot == slot {
                self.mark(key);
            }
        }
    }

    /// Tells what has changed.
    pub(super) fn report(&mut self) {
        for key in std::mem::take(&mut self.dirty) {
            self.report_stream(key);
        }
        if self.store_attempts == 0 {
            self.overall.store_error = None;
        }
        let status = self.status();
        if self.overall.told.as_ref() != Some(&status) {
            self.overall.told = Some(status.clone());
            self.out.push(Action::Status(status));
        }
    }

    fn report_stream(&mut self, key: Key) {
        if self.streams[key.0].is_vacant {
            return;
        }
        let status = self.stream_status(key);
        let stream = &mut self.streams[key.0];
        stream.is_dirty = false;
        self.overall.counts.remove(stream.told);
        self.overall.counts.add(status.state);
        self.overall.lag = self.overall.lag - u128::from(stream.told_lag) + u128::from(status.lag);
        stream.told = status.state;
        stream.told_lag = status.lag;
        self.out.push(Action::Stream(status));
    }

    fn stream_status(&self, key: Key) -> StreamStatus {
        let stream = &self.streams[key.0];
        let (state, reason) = self.state_of(key);
        StreamStatus {
            stream: stream.id.clone(),
            state,
            reason,
            cursor: stream.place.map(|place| place.position),
            head: stream.head,
            lag: stream.lag(),
            attempts: stream.attempts,
            next_retry: stream.retry_at,
            last_error: stream.last_error.clone(),
        }
    }

    fn state_of(&self, key: Key) -> (ConnectionState, Option<LeaveReason>) {
        use ConnectionState::{Backoff, Blocked, Connecting, Idle, Live, Replaying};
        let stream = &self.streams[key.0];
        if let Some((reason, _)) = stream.blocked {
            return (Blocked, Some(reason));
        }
        if let Some(state) = self.link_state() {
            return (state, self.link.reason);
        }
        let slot = &self.slots[stream.slot];
        if let SlotState::Blocked(reason) = slot.state {
            return (Blocked, Some(reason));
        }
        // Open, and the host has not been heard of for too long, or not yet.
        if !self.link.is_proven() {
            return (Connecting, self.link.reason);
        }
        if let Some((state, _)) = slot.waits_as() {
            return (state, stream.reason);
        }
        match slot.state {
            SlotState::Waiting { .. } | SlotState::Blocked(_) => {}
            SlotState::Away | SlotState::Asked => return (Connecting, stream.reason),
            SlotState::Following => {}
        }
        if stream.retry_at.is_some() {
            return (Backoff, stream.reason);
        }
        match (stream.no, stream.step) {
            // Not listed: not yet, or no more.
            (None, _) if self.slots[stream.slot].is_complete => (Idle, Some(LeaveReason::StreamClosed)),
            (None, _) => (Connecting, stream.reason),
            (Some(_), Step::Read(_)) if stream.is_live => (Live, None),
            (Some(_), _) => (Replaying, stream.reason),
        }
    }

    /// What the connection imposes on every stream; `None` where it imposes nothing.
    fn link_state(&self) -> Option<ConnectionState> {
        match (self.phase, self.link.state) {
            (Phase::Closed | Phase::Stopped, _) | (_, LinkState::Down) => Some(ConnectionState::Idle),
            (_, LinkState::Blocked(_)) => Some(ConnectionState::Blocked),
            (_, LinkState::Opening(_) | LinkState::Open(_)) if self.link.is_blocked => Some(ConnectionState::Blocked),
            (_, LinkState::Opening(_)) => Some(ConnectionState::Connecting),
            (_, LinkState::Waiting(_)) => Some(ConnectionState::Backoff),
            (_, LinkState::Open(_)) => None,
        }
    }

    fn status(&self) -> Status {
        let (state, reason) = self.overall_state();
        let slot_wait = || {
            let waits = |slot: &Slot| match slot.state {
                SlotState::Waiting { until, .. } => Some(until),
                _ => None,
            };
            self.slots.iter().filter_map(waits).min()
        };
        let next_retry = match self.link.state {
            LinkState::Waiting(until) => Some(until),
            LinkState::Blocked(until) => until,
            _ => self.store_wait.or_else(slot_wait),
        };
        let refused = match self.link_state() {
            Some(_) => Vec::new(),
            None => {
                self.slots.iter().filter(|slot| slot.is_blocked()).map(|slot| slot.follow.pattern.clone()).collect()
            }
        };
        let stream_error = || match state {
            ConnectionState::Blocked => {
                self.streams.iter().find_map(|stream| stream.blocked.as_ref().map(|(_, said)| said.clone()))
            }
            _ => None,
        };
        let slot_error = || self.slots.iter().find_map(|slot| slot.last_error.clone());
        Status {
            state,
            reason,
            streams: self.overall.counts,
            follows: self.slots.len(),
            refused,
            lag: u64::try_from(self.overall.lag).unwrap_or(u64::MAX),
            attempts: self.link.attempts,
            next_retry,
            last_error: self
                .link
                .last_error
                .clone()
                .or(self.overall.store_error.clone())
                .or_else(slot_error)
                .or_else(stream_error),
        }
    }

    fn overall_state(&self) -> (ConnectionState, Option<LeaveReason>) {
        use ConnectionState::{Backoff, Blocked, Connecting, Live, Replaying};
        if let Some(state) = self.link_state() {
            return (state, self.link.reason);
        }
        if !self.link.is_proven() && self.asks_anything() {
            return (Connecting, self.link.reason);
        }
        let counts = &self.overall.counts;
        if counts.of(Replaying) > 0 {
            return (Replaying, None);
        }
        let is_blocked = |slot: &Slot| match slot.state {
            SlotState::Blocked(reason) => Some(reason),
            _ => None,
        };
        if let Some(reason) = self.slots.iter().find_map(is_blocked) {
            return (Blocked, Some(reason));
        }
        if counts.of(Blocked) > 0 {
            let reason = self.streams.iter().find_map(|stream| stream.blocked.as_ref().map(|(reason, _)| *reason));
            return (Blocked, reason);
        }
        let waits = |wanted| {
            let mut waiting = self.slots.iter().filter_map(Slot::waits_as);
            waiting.find_map(move |(state, reason)| (state == wanted).then_some(reason))
        };
        let refused = waits(Backoff);
        if counts.of(Backoff) > 0 || self.store_wait.is_some() || refused.is_some() {
            return (Backoff, Some(refused.unwrap_or(LeaveReason::Unknown)));
        }
        let is_following = |slot: &Slot| slot.state == SlotState::Following && slot.is_complete;
        if counts.of(Connecting) > 0 || !self.slots.iter().all(is_following) {
            return (Connecting, waits(Connecting));
        }
        (Live, None)
    }
}
