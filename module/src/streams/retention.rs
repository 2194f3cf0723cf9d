//! What goes, and when.
//!
//! What always holds: what may go is decided by `muster_contract::retention`, ages by a clock that [`clock`] believes; the events and the floor go in one
//! transaction, so a stream holds exactly `floor..=head` at any moment; so does a snapshot that they pass by. A sweep does a bounded amount of work and then
//! lets others have the host before it goes on: a backlog of a million events takes many sweeps and holds up no append
//! for longer than one. There is a row in `retention_sweep` for as long as there is something that a sweep could find; each connection
//! sees to it.

use std::time::Duration;

use muster_contract::retention::{Cut, Held, Old, Policy, cut};
use spacetimedb::{ReducerContext, Table, Timestamp, reducer};

use super::clock;
use super::lane_config;
use super::limits::{SWEEP_BYTES_MAX, SWEEP_EVENTS_MAX, SWEEP_PAUSE_MS, SWEEP_STREAMS_MAX};
use super::read::mark_of;
use super::rows::rows;
use super::tables::{
    RetentionSweep, SyncEvent, SyncGarbage, SyncStream, retention_sweep, sync_event, sync_garbage, sync_snapshot,
    sync_stream,
};

/// Sweeps a part of the streams. Run by the schedule; of all clients, only the database's owner may call a scheduled
/// reducer.
#[reducer]
pub fn sweep_retention(ctx: &ReducerContext, due: RetentionSweep) {
    ctx.db.retention_sweep().scheduled_id().delete(due.scheduled_id);
    let mut work = Work { events: SWEEP_EVENTS_MAX as u64, bytes: SWEEP_BYTES_MAX };
    empty_garbage(ctx, &mut work);
    let config = lane_config::current(ctx);
    let mut policy = config.policy();
    if policy.age_s > 0 && !clock::is_believed(ctx, &config) {
        policy.age_s = 0;
    }
    let reached = sweep_streams(ctx, &policy, due.after, &mut work);
    let now = ctx.timestamp;
    match next(reached, ctx.db.sync_garbage().count() > 0, config.policy().deletes()) {
        Next::GoOn { after } => schedule(ctx, now + Duration::from_millis(SWEEP_PAUSE_MS), after),
        Next::Rest => schedule(ctx, now + Duration::from_secs(config.sweep_every_s), 0),
        Next::Nothing => {}
    }
}

/// What is left for this sweep.
struct Work {
    events: u64,
    bytes: u64,
}

impl Work {
    fn done(&self) -> bool {
        self.events == 0 || self.bytes == 0
    }
}

/// What comes after a sweep.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The round goes on behind this stream, after a pause.
    GoOn { after: u64 },
    /// The round is over; another one comes later.
    Rest,
    /// There is nothing to do before something changes.
    Nothing,
}

/// `reached` is the stream behind which the round goes on, if it is not over.
fn next(reached: Option<u64>, garbage: bool, deletes: bool) -> Next {
    match reached {
        Some(after) => Next::GoOn { after },
        None if garbage => Next::GoOn { after: 0 },
        None if deletes => Next::Rest,
        None => Next::Nothing,
    }
}

/// Sweeps now, because something changed.
pub(super) fn begin_now(ctx: &ReducerContext) {
    let due: Vec<_> = ctx.db.retention_sweep().iter().map(|row| row.scheduled_id).collect();
    for scheduled_id in due {
        ctx.db.retention_sweep().scheduled_id().delete(scheduled_id);
    }
    schedule(ctx, ctx.timestamp, 0);
}

/// Sweeps again if nothing is scheduled and something should be: the host takes a schedule's row away also when its
/// reducer failed, and retention must not end with one bad sweep.
pub(crate) fn keep_going(ctx: &ReducerContext) {
    let wanted = || lane_config::current(ctx).policy().deletes() || ctx.db.sync_garbage().count() > 0;
    if ctx.db.retention_sweep().count() == 0 && wanted() {
        schedule(ctx, ctx.timestamp, 0);
    }
}

fn schedule(ctx: &ReducerContext, at: Timestamp, after: u64) {
    ctx.db.retention_sweep().insert(RetentionSweep { scheduled_id: 0, scheduled_at: at.into(), after });
}

/// Removes the rows of deleted streams.
fn empty_garbage(ctx: &ReducerContext, work: &mut Work) {
    let rows: Vec<_> = ctx.db.sync_garbage().iter().take(SWEEP_STREAMS_MAX).collect();
    for SyncGarbage { stream, floor_seq: floor, head } in rows {
        if work.done() {
            return;
        }
        let last = head.min(floor.saturating_add(work.events - 1));
        if floor <= last {
            work.events -= ctx.db.sync_event().by_stream_seq().delete((stream, floor..=last)).min(work.events);
        }
        if last >= head {
            ctx.db.sync_garbage().stream().delete(stream);
        } else {
            ctx.db.sync_garbage().stream().update(SyncGarbage { stream, floor_seq: last + 1, head });
        }
    }
}

/// Sweeps the streams behind `after`; where it had to stop, if it had to.
fn sweep_streams(ctx: &ReducerContext, policy: &Policy, after: u64, work: &mut Work) -> Option<u64> {
    if !policy.deletes() {
        return None;
    }
    let rows = ctx.db.sync_stream().by_no().filter(after.saturating_add(1)..).take(SWEEP_STREAMS_MAX + 1);
    let streams: Vec<_> = rows.collect();
    let mut reached = after;
    for stream in streams.iter().take(SWEEP_STREAMS_MAX) {
        if work.done() {
            return Some(reached);
        }
        sweep(ctx, policy, stream, work);
        // A stream of which something is left when the work is done is the first of the next sweep.
        if !work.done() {
            reached = stream.no;
        }
    }
    (work.done() || streams.len() > SWEEP_STREAMS_MAX).then_some(reached)
}

/// Deletes what may go of one stream, as far as this sweep may work.
fn sweep(ctx: &ReducerContext, policy: &Policy, stream: &SyncStream, work: &mut Work) {
    let SyncStream { floor_seq: floor, head, bytes, snapshot_seq, .. } = *stream;
    let held = Held { floor, head, bytes, snapshot_seq };
    let Some(last) = policy.last_candidate(&held) else {
        return;
    };
    let last = last.min(floor.saturating_add(work.events - 1));
    let mut bytes_left = work.bytes;
    let mut bytes_read = 0;
    let mut looked_at = Vec::new();
    let events = rows(ctx, stream.no, floor, last).flat_map(|row| {
        looked_at.push(row.seq..row.end());
        bytes_read += row.bytes();
        old(&row, floor)
    });
    let old = events.map_while(|old| {
        let read = bytes_left > 0;
        bytes_left = bytes_left.saturating_sub(old.bytes);
        read.then_some(old)
    });
    let Cut { floor: new_floor, bytes: gone } = cut(policy, &held, now_us(ctx), old);
    // A row is read whole, also where only its first event is looked at.
    work.bytes = bytes_left.min(work.bytes.saturating_sub(bytes_read));
    if new_floor == floor {
        return;
    }
    let floor_mark = mark_of(ctx, stream, new_floor - 1);
    // A row goes when its last event does.
    let whole = looked_at.iter().take_while(|row| row.end <= new_floor);
    if let (Some(first), Some(last)) = (looked_at.first(), whole.last()) {
        ctx.db.sync_event().by_stream_seq().delete((stream.no, first.start..=last.start));
    }
    work.events -= (new_floor - floor).min(work.events);
    // A snapshot with a gap behind it is none that anybody could go on from.
    let snapshot_seq = if snapshot_seq + 1 < new_floor { 0 } else { snapshot_seq };
    if snapshot_seq == 0 {
        ctx.db.sync_snapshot().stream().delete(stream.no);
    }
    let bytes = bytes - gone;
    ctx.db.sync_stream().no().update(SyncStream {
        floor_seq: new_floor,
        floor_mark,
        bytes,
        snapshot_seq,
        ..stream.clone()
    });
}

fn old(row: &SyncEvent, floor: u64) -> Vec<Old> {
    let stored_at_us = row.stored_at.to_micros_since_unix_epoch();
    row.from(floor).map(|(_, _, event)| Old { bytes: event.bytes() as u64, stored_at_us }).collect()
}

fn now_us(ctx: &ReducerContext) -> i64 {
    ctx.timestamp.to_micros_since_unix_epoch()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_goes_on_until_it_is_over_and_rests_only_if_there_is_a_limit() {
        assert_eq!(next(Some(7), false, true), Next::GoOn { after: 7 });
        assert_eq!(next(None, true, false), Next::GoOn { after: 0 });
        assert_eq!(next(None, false, true), Next::Rest);
        assert_eq!(next(None, false, false), Next::Nothing);
    }
}
