//! What the store gets, and what follows from its word.
//!
//! What always holds: the cursor moves only when the store says that it has. A batch that failed is not tried again as
//! it is: what was fetched behind it is forgotten too, and the stream is read again from its cursor.

use muster_contract::state::LeaveReason;

use super::requests::Purpose;
use super::stream::{Applying, Key};
use super::words::{Action, ApplyFailure, BatchNo, Reply, Request, Scope};
use super::{Engine, Timer};
use crate::batch::Place;
use crate::limits::{BEHIND_MS_MAX, CHECKPOINT_AFTER_MS, CHECKPOINTS_AT_ONCE_MAX, ms};

impl Engine {
    /// Gives the store what is ready, in turn, as long as it takes more.
    pub(super) fn hand_out(&mut self) {
        while self.store_wait.is_none()
            && self.applying.len() < self.options.tuning.apply_at_once
            && let Some(key) = self.ready.pop_front()
        {
            let stream = &mut self.streams[key.0];
            stream.is_ready = false;
            if stream.applying.is_some() {
                continue;
            }
            let Some(what) = stream.ready.take() else { continue };
            let owed = std::mem::take(&mut stream.ready_owed);
            stream.applying = Some(Applying { ends: what.ends(), bytes: what.bytes(), owed });
            self.last_batch.0 += 1;
            let batch = self.last_batch;
            self.applying.insert(batch, key);
            self.out.push(Action::Apply { batch, what });
            self.nudge(key);
        }
    }

    pub(super) fn applied(&mut self, batch: BatchNo) {
        let Some(key) = self.applying.remove(&batch) else { return };
        let stream = &mut self.streams[key.0];
        let Some(applying) = stream.applying.take() else { return };
        stream.place = Some(applying.ends);
        self.in_flight_bytes -= applying.bytes;
        self.store_attempts = 0;
        if applying.owed.is_all {
            self.reaches_the_head(key);
        }
        self.settle(key);
        self.arm_checkpoint(key);
        self.nudge(key);
    }

    /// Everything that was taken is committed, and the host says that there is no more: the stream is live.
    pub(super) fn settle(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        if !stream.is_verified || !stream.is_caught_up || !stream.is_settled() {
            return;
        }
        if stream.asked.is_none() {
            stream.owed_since = None;
        }
        self.reaches_the_head(key);
    }

    /// What the host had at the last look, or at one not long before it, is committed. A tail may always be one page
    /// behind: what is missing then has been known for a short time only.
    fn reaches_the_head(&mut self, key: Key) {
        let now = self.now;
        let stream = &mut self.streams[key.0];
        if stream.is_verified && stream.is_caught_up && !stream.is_long_behind(now) {
            stream.is_live = true;
            stream.reason = None;
            stream.attempts = 0;
            stream.last_error = None;
            if let Some(since) = stream.behind_since() {
                self.timers.insert((since + ms(BEHIND_MS_MAX), Timer::Behind(key)));
            }
        }
    }

    pub(super) fn apply_failed(&mut self, batch: BatchNo, failure: ApplyFailure) {
        let Some(key) = self.applying.remove(&batch) else { return };
        let Some(applying) = self.streams[key.0].applying.take() else { return };
        self.in_flight_bytes -= applying.bytes;
        self.counters.failed_batches += 1;
        if !failure.is_retryable {
            return self.block(key, LeaveReason::Unknown, failure.message);
        }
        if failure.scope == Scope::Store && self.store_wait.is_none() {
            self.store_attempts += 1;
            let wait = self.backoff(self.store_attempts);
            self.store_wait = Some(self.after(wait, Timer::Store));
            self.overall.store_error = Some(failure.message.clone());
        }
        self.retry(key, failure.message);
    }

    /// The store is right about where it stands: what was fetched for another place is forgotten.
    pub(super) fn moved(&mut self, batch: BatchNo, place: Option<Place>) {
        let Some(key) = self.applying.remove(&batch) else { return };
        let Some(applying) = self.streams[key.0].applying.take() else { return };
        self.in_flight_bytes -= applying.bytes;
        self.counters.failed_batches += 1;
        self.streams[key.0].place = place;
        self.retry(key, "the store stands elsewhere than was believed; reading goes on from there".into());
    }

    /// Whether the stream is still what it was when it was last called live.
    pub(super) fn look_behind(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        if stream.is_long_behind(self.now) {
            stream.leave_live(LeaveReason::Unknown);
            self.mark(key);
        }
    }

    /// Has the cursor acknowledged a little later, with whatever has been applied by then.
    pub(super) fn arm_checkpoint(&mut self, key: Key) {
        let stream = &mut self.streams[key.0];
        let is_new = stream.place.is_some_and(|place| Some(place.position) != stream.acknowledged);
        if self.options.client.is_some() && is_new && !stream.checkpoint_armed {
            stream.checkpoint_armed = true;
            self.after(ms(CHECKPOINT_AFTER_MS), Timer::Checkpoint(key));
        }
    }

    pub(super) fn checkpoint(&mut self, key: Key) {
        if !self.streams[key.0].checkpoint_armed {
            return;
        }
        if self.checkpoints_under_way >= CHECKPOINTS_AT_ONCE_MAX {
            return self.checkpoints.push_back(key);
        }
        let Some(client) = self.options.client.clone() else { return };
        let stream = &mut self.streams[key.0];
        stream.checkpoint_armed = false;
        let (Some(place), Some(_)) = (stream.place, stream.no) else { return };
        stream.acknowledged = Some(place.position);
        let what = Request::Checkpoint { stream: stream.id.clone(), position: place.position, client };
        self.checkpoints_under_way += 1;
        self.send(Purpose::Checkpoint(key), what);
    }

    /// A refused acknowledgement harms nobody but the operator who would see it; the next one tries again.
    pub(super) fn checkpoint_answered(&mut self, key: Key, reply: Reply) {
        self.checkpoints_under_way = self.checkpoints_under_way.saturating_sub(1);
        if let Reply::Failed(message) = reply {
            return self.give_up_link(message);
        }
        self.arm_checkpoint(key);
        if let Some(next) = self.checkpoints.pop_front() {
            self.checkpoint(next);
        }
    }
}
