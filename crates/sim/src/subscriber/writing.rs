//! The store's writer, late and unreliable as disks are, and what is checked of each batch.
//!
//! What always holds: batches are committed in order, each at the cursor or not at all; they are answered later, synced or
//! not.

use muster_contract::resume::StaleReason;
use muster_sync::batch::{Batch, Change};
use muster_sync::engine::{ApplyFailure, Event, Scope};

use super::store::{StoreTx, check_news};
use super::{Job, Subscriber};
use crate::context::{Context, Happening, ToNode};
use crate::oracle::{Broken, Checked, broken};
use crate::process::Fate;
use crate::workload::Begin;

impl Subscriber {
    /// The writer takes up what waits: committed now, synced or not when [`ToNode::Written`] comes.
    pub(super) fn write_next(&mut self, ctx: &mut Context) {
        let Some(process) = self.process.as_mut().filter(|process| process.writing.is_none()) else { return };
        if process.jobs.is_empty() {
            return;
        }
        let jobs = std::mem::take(&mut process.jobs);
        let mut done = Vec::new();
        for job in jobs {
            let result = self.commit(ctx, &job);
            done.push((job, result));
        }
        self.process_mut().writing = Some(done);
        let (low, high) = ctx.setting.disk_ms;
        let wait_ms = self.disk_rng.between(low, high);
        ctx.at(ctx.now_ms + wait_ms, Happening::Node(self.node, self.life, ToNode::Written));
    }

    pub(super) fn commit(&mut self, ctx: &mut Context, job: &Job) -> Result<(), ApplyFailure> {
        let failure = |scope, message: &str| ApplyFailure { scope, is_retryable: true, message: message.to_owned() };
        let tx = match job {
            Job::Establish(pattern, last_no) => StoreTx::Establish(pattern.clone(), *last_no),
            Job::Apply(_, batch) => {
                let cursor = self.disk.seen().streams.get(batch.stream.as_str()).map(|stream| stream.place.position);
                if cursor != batch.after {
                    ctx.coverage.hit("store: batch that does not begin at the cursor refused");
                    return Err(failure(Scope::Stream, "the batch does not begin at the cursor"));
                }
                if self.refusals > 0 {
                    self.refusals -= 1;
                    return Err(failure(Scope::Stream, "the application does not take it"));
                }
                StoreTx::Apply(batch.clone())
            }
        };
        self.disk.commit(tx).map_err(|_| {
            ctx.coverage.hit("store refused a write, disk full");
            failure(Scope::Store, "the disk is full")
        })
    }

    pub(super) fn written(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        let Some(done) = self.process_mut().writing.take() else { return Ok(Fate::Alive) };
        if self.doom.strikes() {
            return Ok(Fate::Dead);
        }
        if ctx.setting.lazy_stores {
            let wait_ms = self.disk_rng.between(0, 2_000);
            ctx.at(ctx.now_ms + wait_ms, Happening::Node(self.node, self.life, ToNode::BackgroundSync));
        } else {
            self.disk.sync();
        }
        for (job, result) in done {
            let Job::Apply(batch, what) = job else { continue };
            if result.is_ok() {
                self.check_batch(ctx, &what)?;
            }
            let event = match result {
                Ok(()) => Event::Applied(batch),
                Err(failure) => Event::ApplyFailed { batch, failure },
            };
            if self.feed(ctx, event)? == Fate::Dead {
                return Ok(Fate::Dead);
            }
        }
        self.write_next(ctx);
        Ok(Fate::Alive)
    }

    /// What was just applied was right, and nothing was given up without a reason.
    pub(super) fn check_batch(&self, ctx: &mut Context, batch: &Batch) -> Checked {
        let id = batch.stream.as_str();
        match &batch.change {
            Change::Events(events) => {
                let last = events.last();
                ctx.say(&self.name, format_args!("applies {id} {}..={last} in epoch {}", events.first, events.epoch));
            }
            Change::Begin(at) => {
                ctx.say(&self.name, format_args!("begins {id} after {}", at.position.seq));
                if self.begin == Begin::Start && batch.after.is_none() {
                    return broken(2, format!("{} skips the beginning of {id}", self.name));
                }
            }
            Change::Reset(reset) => {
                let snapshot = reset.snapshot.is_some();
                ctx.say(
                    &self.name,
                    format_args!(
                        "clears {id}: {:?}, goes on after {} (snapshot: {snapshot})",
                        reset.reason, reset.at.seq
                    ),
                );
                ctx.coverage.hit(match reset.reason {
                    None => "subscriber: told that the beginning is gone",
                    Some(StaleReason::RetentionFloorBreach) => "subscriber: told retention_floor_breach",
                    Some(StaleReason::ReplayBudgetExceeded) => "subscriber: told replay_budget_exceeded",
                    Some(StaleReason::EpochChanged) => "subscriber: told epoch_changed",
                    Some(StaleReason::HeadBehindCursor) => "subscriber: told head_behind_cursor",
                    Some(StaleReason::HistoryDiverged) => "subscriber: told history_diverged",
                    Some(_) => "subscriber: told another reason",
                });
                if let (Some(was), Some(reason)) = (batch.after, reset.reason)
                    && reason != StaleReason::ReplayBudgetExceeded
                    && !ctx.oracle.may_start_again(id, was.epoch.get(), was.seq.get())
                {
                    return broken(2, format!("{} gives up {id} at {was:?} without cause: {reason}", self.name));
                }
            }
        }
        match self.disk.seen().streams.get(id) {
            Some(stream) => check_news(&ctx.oracle, id, stream, batch),
            None => broken(3, format!("{}: {id} was applied and is not in the store", self.name)),
        }
    }
}
