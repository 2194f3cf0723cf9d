//! Where a stream goes on, or starts again.
//!
//! What always holds: `muster_contract::resume` decides, over what the host said it holds. Nothing is asked of a stream
//! without that decision, and a cursor that does not hold is never moved: a new beginning, which the application hears
//! of, takes its place.

use muster_contract::cursor::{Epoch, Position, Seq};
use muster_contract::page::{Snapshot, Stale, StreamInfo};
use muster_contract::resume::{self, Restart, Resume, StaleReason, StreamBounds};
use muster_contract::state::LeaveReason;

use super::stream::{Key, Step};
use super::words::StartAt;
use super::{Engine, Timer};
use crate::batch::{Batch, Change, Place, Reset};
use crate::limits::SEQ_MAX;

impl Engine {
    /// The host lists the stream.
    pub(super) fn holds(&mut self, key: Key, info: &StreamInfo) {
        let Some(bounds) = bounds(info.epoch, info.floor, info.head, info.snapshot_seq) else {
            return self.retry(key, "the host lists the stream with bounds that no stream can have".into());
        };
        let stream = &mut self.streams[key.0];
        stream.bounds = Some(bounds);
        match stream.step {
            Step::Await if stream.blocked.is_none() && stream.retry_at.is_none() => self.plan(key, bounds),
            Step::Read(at) => {
                // A page that is asked for now will say what this means.
                if at.epoch != bounds.epoch() || info.head > at.seq.get() || info.head < stream.head {
                    self.wake(key);
                }
            }
            Step::Await | Step::Snapshot { .. } => {}
        }
        self.mark(key);
    }

    /// Decides where to go on in a stream that holds this.
    pub(super) fn plan(&mut self, key: Key, bounds: StreamBounds) {
        let head = bounds.head();
        self.streams[key.0].head = head.get();
        let taken = self.streams[key.0].taken().map(|place| place.position);
        let wanted = if taken.is_none() { self.wanted(key, bounds) } else { None };
        match resume::decide(taken.or(wanted), Some(&bounds), self.options.replay_budget) {
            Resume::Resume { .. } => match (taken, wanted) {
                (Some(at), _) => self.read_from(key, at),
                (None, Some(at)) => self.begin(key, at),
                // Only a cursor can be resumed from.
                (None, None) => {}
            },
            Resume::FromStart { from: Restart::Floor { seq: Seq::FIRST } } => {
                self.read_from(key, Position { epoch: bounds.epoch(), seq: Seq::NONE });
            }
            Resume::FromStart { .. } => self.start_again(key, None, bounds),
            Resume::Stale { reason, .. } => self.start_again(key, Some(reason), bounds),
            Resume::AwaitBirth => {}
        }
    }

    /// The place after which a reader begins that has nothing yet; `None`: at the stream's first event.
    fn wanted(&self, key: Key, bounds: StreamBounds) -> Option<Position> {
        let stream = &self.streams[key.0];
        if let Some(at) = stream.begins_at.filter(|at| at.epoch == bounds.epoch()) {
            return Some(at);
        }
        let slot = &self.slots[stream.slot];
        if stream.no.is_some_and(|no| slot.is_later(no)) {
            return None;
        }
        let seq = match slot.follow.start {
            StartAt::Start => return None,
            StartAt::Now => bounds.head(),
            StartAt::Seq(seq) => Seq::new(seq).previous(),
        };
        Some(Position { epoch: bounds.epoch(), seq })
    }

    fn read_from(&mut self, key: Key, at: Position) {
        self.streams[key.0].step = Step::Read(at);
        self.nudge(key);
    }

    /// A reader that wants only what comes after `at`.
    fn begin(&mut self, key: Key, at: Position) {
        self.streams[key.0].begins_at = Some(at);
        self.put_ready(key, Change::Begin(Place { position: at, mark: None }));
        self.read_from(key, at);
    }

    /// The cursor does not hold, or there is none and the stream's beginning is gone.
    pub(super) fn start_again(&mut self, key: Key, reason: Option<StaleReason>, bounds: StreamBounds) {
        self.forget_request(key);
        self.drop_ready(key);
        let stream = &mut self.streams[key.0];
        stream.bounds = Some(bounds);
        stream.head = bounds.head().get();
        stream.is_verified = false;
        stream.is_caught_up = false;
        stream.is_live = false;
        if let Some(reason) = reason {
            self.counters.stale_cursors += 1;
            stream.reason = Some(LeaveReason::StaleCursor);
            stream.last_error = Some(format!("stale_cursor: {reason}"));
        }
        match bounds.restart() {
            Restart::Snapshot { .. } => stream.step = Step::Snapshot { reason, bounds },
            Restart::Floor { seq } => self.reset(key, reason, position(&bounds, seq.previous()), None),
        }
        self.nudge(key);
    }

    /// Begins anew at `at`.
    pub(super) fn reset(&mut self, key: Key, reason: Option<StaleReason>, at: Position, snapshot: Option<Snapshot>) {
        self.counters.resets += 1;
        self.counters.snapshots += u64::from(snapshot.is_some());
        self.put_ready(key, Change::Reset(Reset { reason, at, snapshot }));
        self.streams[key.0].was_reset = true;
        self.read_from(key, at);
    }

    /// The host answered that the cursor is stale.
    pub(super) fn stale(&mut self, key: Key, stale: &Stale) {
        if stale.epoch == 0 {
            return self.gone(key);
        }
        let Some(bounds) = bounds(stale.epoch, stale.floor, stale.head, stale.snapshot_seq) else {
            return self.retry(key, "the host answered with bounds that no stream can have".into());
        };
        let reason = match StaleReason::ALL.into_iter().find(|known| known.as_str() == stale.reason) {
            Some(reason) => reason,
            // A reason of tomorrow: what is certain is that this is not the history that was applied.
            None => StaleReason::EpochChanged,
        };
        if self.streams[key.0].was_reset {
            // Right behind a new beginning: the host must not be asked, nor the application reset, in a circle.
            return self.retry(key, format!("stale_cursor: {reason}, right after a new beginning"));
        }
        let had_nothing = self.streams[key.0].taken().is_none();
        self.start_again(key, (!had_nothing).then_some(reason), bounds);
    }

    /// Something is wrong with the stream alone: forgets what was fetched and tries again after a wait.
    pub(super) fn retry(&mut self, key: Key, message: String) {
        self.forget_request(key);
        self.drop_ready(key);
        let stream = &mut self.streams[key.0];
        stream.step = Step::Await;
        stream.is_verified = false;
        stream.is_caught_up = false;
        stream.was_reset = false;
        stream.leave_live(LeaveReason::Unknown);
        stream.attempts += 1;
        stream.last_error = Some(message);
        let attempts = stream.attempts;
        let wait = self.backoff(attempts);
        let at = self.after(wait, Timer::Retry(key));
        self.streams[key.0].retry_at = Some(at);
        self.mark(key);
    }

    pub(super) fn retry_now(&mut self, key: Key) {
        if self.streams[key.0].retry_at.is_some_and(|at| at <= self.now) {
            self.restart(key);
        }
    }

    /// Goes on after a wait or a block: from the cursor where there is one, and the host says whether it holds.
    pub(super) fn restart(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        stream.retry_at = None;
        self.mark(key);
        let stream = &self.streams[key.0];
        if stream.no.is_none() || stream.blocked.is_some() {
            return;
        }
        match (stream.taken(), stream.bounds) {
            (Some(place), _) => self.read_from(key, place.position),
            (None, Some(bounds)) => self.plan(key, bounds),
            (None, None) => {}
        }
    }

    /// Stops a stream until somebody changes something. What was fetched is not applied.
    pub(super) fn block(&mut self, key: Key, reason: LeaveReason, message: String) {
        self.forget_request(key);
        self.drop_ready(key);
        let stream = &mut self.streams[key.0];
        stream.step = Step::Await;
        stream.is_verified = false;
        stream.is_caught_up = false;
        stream.is_live = false;
        stream.last_error = Some(message.clone());
        stream.blocked = Some((reason, message));
        self.mark(key);
    }

    pub(super) fn put_ready(&mut self, key: Key, change: Change) {
        let stream = &mut self.streams[key.0];
        let after = stream.taken().map(|place| place.position);
        let batch = Batch { stream: stream.id.clone(), after, change };
        self.in_flight_bytes += batch.bytes();
        self.streams[key.0].ready = Some(batch);
        self.nudge(key);
    }

    pub(super) fn put_events(&mut self, key: Key, events: crate::batch::Events) {
        self.streams[key.0].was_reset = false;
        self.put_ready(key, Change::Events(events));
    }

    /// What was fetched and is not with the store is forgotten.
    pub(super) fn drop_ready(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        if let Some(batch) = stream.ready.take() {
            let owed = std::mem::take(&mut stream.ready_owed);
            stream.owed_since = [stream.owed_since, owed.since].into_iter().flatten().min();
            self.in_flight_bytes -= batch.bytes();
        }
    }
}

/// What a stream holds, as the host says it; `None` for what no stream can hold.
pub(super) fn bounds(epoch: u64, floor: u64, head: u64, snapshot: u64) -> Option<StreamBounds> {
    if head > SEQ_MAX {
        return None;
    }
    let snapshot = (snapshot > 0).then_some(Seq::new(snapshot));
    StreamBounds::new(Epoch::new(epoch).ok()?, floor.into(), head.into(), snapshot).ok()
}

fn position(bounds: &StreamBounds, seq: Seq) -> Position {
    Position { epoch: bounds.epoch(), seq }
}
