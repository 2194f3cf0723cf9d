//! What goes out: questions, batches, and what may be forgotten.
//!
//! What always holds: streams take turns, whatever their backlog; what is under way is bounded in calls, events and
//! bytes; one question and one forgetting are under way at a time.

use std::ops::Bound::{Excluded, Unbounded};
use std::time::Duration;

use muster_contract::limits::{KIND_BYTES_MAX, PAYLOAD_BYTES_MAX};

use super::stream::Phase;
use super::{Action, Call, CallId, Core, Link, StreamNo};
use crate::limits::{ASK_STREAMS_MAX, FORGET_RETRY_MS, FORGET_STREAMS_MAX, ms};

impl Core {
    fn fresh_call(&mut self) -> CallId {
        self.last_call += 1;
        self.last_call
    }

    /// Asks about the streams that are due, in one question.
    pub(super) fn ask(&mut self, actions: &mut Vec<Action>) {
        if self.link != Link::Up || self.successor.is_draining() || self.asking || self.to_ask.is_empty() {
            return;
        }
        let mut streams = Vec::new();
        let mut generation = None;
        for &no in &self.to_ask {
            let Some(stream) = self.streams.get(&no) else { continue };
            let alone = stream.alone;
            // One question is about one producer.
            let fits = *generation.get_or_insert(stream.record.generation) == stream.record.generation;
            if streams.is_empty() || (!alone && fits) {
                streams.push(no);
            }
            if streams.len() == ASK_STREAMS_MAX || (alone && streams.len() == 1) {
                break;
            }
        }
        for no in &streams {
            self.to_ask.remove(no);
            if let Some(stream) = self.streams.get_mut(no) {
                stream.phase = Phase::Asking;
            }
        }
        let call = self.fresh_call();
        self.asking = true;
        self.calls.insert(call, Call::Ask { streams: streams.clone() });
        actions.push(Action::Ask { call, generation: generation.unwrap_or(0), streams });
    }

    /// Sends batches, stream by stream in turn, while there is room.
    pub(super) fn send(&mut self, now: Duration, actions: &mut Vec<Action>) {
        while self.link == Link::Up
            && !self.successor.is_draining()
            && let Some(no) = self.next_to_send()
        {
            if !self.send_one(now, no, actions) {
                return;
            }
        }
    }

    fn next_to_send(&self) -> Option<StreamNo> {
        let after = self.to_send.range((Excluded(self.served), Unbounded)).next();
        after.or_else(|| self.to_send.first()).copied()
    }

    /// Sends one batch of a stream; false if there is no room for it.
    fn send_one(&mut self, now: Duration, no: StreamNo, actions: &mut Vec<Action>) -> bool {
        let config = self.config;
        let Some(stream) = self.streams.get_mut(&no) else { return true };
        let events_max = stream.next_events(config.batch_events_max);
        let events = u64::from(events_max);
        let largest = (KIND_BYTES_MAX + PAYLOAD_BYTES_MAX).saturating_mul(events_max as usize);
        // A first event larger than a batch may be comes alone.
        let bytes = largest.min(config.batch_bytes_max.max(KIND_BYTES_MAX + PAYLOAD_BYTES_MAX));
        let appends = self.calls.len() - usize::from(self.asking);
        let fits = appends < config.calls_max
            && self.in_flight_events + events <= config.in_flight_events_max
            && self.in_flight_bytes + bytes <= config.in_flight_bytes_max;
        // What is too large for the whole budget goes alone.
        if !fits && appends > 0 {
            return false;
        }
        let first = stream.next;
        let (epoch, generation) = (stream.record.epoch, stream.record.generation);
        // `base` is at most what is confirmed, so there is one.
        let number = stream.record.wire_number(first).unwrap_or(0);
        stream.reading = true;
        stream.calls += 1;
        self.in_flight_events += events;
        self.in_flight_bytes += bytes;
        self.served = no;
        let call = self.fresh_call();
        self.calls.insert(call, Call::Append { stream: no, first, count: None, events, bytes });
        let bytes_max = config.batch_bytes_max;
        actions.push(Action::Append { call, stream: no, generation, epoch, first, number, events_max, bytes_max });
        self.index(now, no);
        true
    }

    /// Has confirmed events forgotten.
    pub(super) fn forget(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if !self.forgetting.is_empty() || self.to_forget.is_empty() || now < self.forget_not_before {
            return;
        }
        while self.forgetting.len() < FORGET_STREAMS_MAX
            && let Some(no) = self.to_forget.pop_first()
        {
            if let Some(stream) = self.streams.get_mut(&no) {
                stream.forgetting = true;
                self.forgetting.push((no, stream.record.confirmed));
            }
        }
        if !self.forgetting.is_empty() {
            actions.push(Action::Forget(self.forgetting.clone()));
        }
    }

    pub(super) fn forgotten(&mut self, now: Duration, ok: bool) {
        let done = std::mem::take(&mut self.forgetting);
        // Forgetting is a commit of its own: the next publisher must not wait for one with every answer.
        self.forget_not_before = now + self.config.forget_pause;
        if !ok {
            self.forget_not_before = now + ms(FORGET_RETRY_MS);
            self.to_forget.extend(done.iter().map(|(no, _)| *no));
        }
        for (no, _) in done {
            if let Some(stream) = self.streams.get_mut(&no) {
                stream.forgetting = false;
            }
            self.index(now, no);
        }
    }
}
