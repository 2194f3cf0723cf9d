//! Who is woken when a stream has something new.
//!
//! What always holds: `sync_follow` has rows of live sessions only, one for each slot that a session uses. A signal goes
//! to the sessions whose pattern matches the stream and to no others, one for each slot; it names the stream by its
//! number. What is in the stream rides on it only where every live session of the identity that sees it may read the stream
//! at that moment, on one signal for each identity, and where it is little for all of them together. Finding the followers asks an index for each pattern that could match, so
//! its cost does not grow with the sessions that follow something else.

use std::collections::BTreeSet;

use muster_contract::page::FOLLOW_SLOTS_MAX;
use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;
use muster_contract::{Code, Refusal};
use spacetimedb::{ConnectionId, Identity, ReducerContext, Table, reducer};

use super::limits::{RIDERS_MAX, RIDING_ALL_BYTES_MAX};
use super::tables::{Signal, SyncFollow, SyncSignal, sync_follow, sync_signal};
use super::{grants, parse_pattern};

/// Follows the streams of a pattern under a number of the session's choice. A slot that is in use changes to the new
/// pattern. The session hears of changes after this call; what there is, it asks `list_streams`.
///
/// # Errors
/// `bad_subscription`: no pattern, or no slot; else what `grants` refuses.
#[reducer]
pub fn follow(ctx: &ReducerContext, slot: u32, pattern: String) -> Result<(), String> {
    start(ctx, slot, pattern).map_err(|refusal| refusal.to_wire())
}

/// Follows no longer. A slot that is not in use is no error.
///
/// # Errors
/// If the host names no connection.
#[reducer]
pub fn unfollow(ctx: &ReducerContext, slot: u32) -> Result<(), String> {
    let connection_id = session(ctx).map_err(|refusal| refusal.to_wire())?;
    ctx.db.sync_follow().by_connection_slot().delete((connection_id, slot));
    Ok(())
}

fn start(ctx: &ReducerContext, slot: u32, pattern: String) -> Result<(), Refusal> {
    check_slot(slot)?;
    let parsed = parse_pattern(&pattern)?;
    let connection_id = session(ctx)?;
    grants::may_follow(ctx, &parsed)?;
    let table = ctx.db.sync_follow();
    table.by_connection_slot().delete((connection_id, slot));
    table.insert(SyncFollow { id: 0, connection_id, identity: ctx.sender(), slot, pattern });
    Ok(())
}

/// Slots are numbers below a bound, so that nobody needs to count a session's rows.
fn check_slot(slot: u32) -> Result<(), Refusal> {
    if slot < FOLLOW_SLOTS_MAX {
        return Ok(());
    }
    let message = format!("slot {slot} is beyond the {FOLLOW_SLOTS_MAX} that a session has, counted from 0");
    Err(Refusal::new(Code::BadSubscription, message))
}

fn session(ctx: &ReducerContext) -> Result<ConnectionId, Refusal> {
    ctx.connection_id().ok_or_else(|| Refusal::new(Code::BadSubscription, "only a connected session can follow"))
}

/// Ends what the connection that is gone followed.
pub(crate) fn disconnected(ctx: &ReducerContext) {
    if let Some(connection_id) = ctx.connection_id() {
        ctx.db.sync_follow().by_connection_slot().delete(connection_id);
    }
}

/// Ends every follow of a session, and tells it.
pub(crate) fn end_all_of(ctx: &ReducerContext, connection_id: ConnectionId) {
    let rows: Vec<_> = ctx.db.sync_follow().by_connection_slot().filter(connection_id).collect();
    end(ctx, rows);
}

/// Ends the follows of which this holds, and tells their sessions.
pub(crate) fn end_where(ctx: &ReducerContext, holds: impl Fn(&SyncFollow) -> bool) {
    let rows: Vec<_> = ctx.db.sync_follow().iter().filter(holds).collect();
    end(ctx, rows);
}

fn end(ctx: &ReducerContext, follows: Vec<SyncFollow>) {
    for SyncFollow { id, identity: to, connection_id, slot, .. } in follows {
        ctx.db.sync_follow().id().delete(id);
        let what = Signal::FollowEnded;
        ctx.db.sync_signal().insert(SyncSignal { to, connection_id, slot, stream: 0, what, page: Vec::new() });
    }
}

/// Wakes the followers of a stream, once this transaction has committed. `page`, unless it is empty, rides to those that
/// may have it, on the first signal of each identity: all of an identity's sessions see all of its signals.
pub(super) fn signal(ctx: &ReducerContext, id: &StreamId, stream: u64, what: Signal, page: &[u8]) {
    let mut followers = Vec::new();
    for pattern in StreamPattern::that_match(id) {
        followers.extend(ctx.db.sync_follow().pattern().filter(&pattern));
    }
    let mut riders = if page.is_empty() { BTreeSet::new() } else { riders(ctx, id, &followers, page.len()) };
    for SyncFollow { identity: to, connection_id, slot, .. } in followers {
        let page = if riders.remove(&to) { page.to_vec() } else { Vec::new() };
        ctx.db.sync_signal().insert(SyncSignal { to, connection_id, slot, stream, what, page });
    }
}

/// To whom of these a page of so many bytes rides.
fn riders(ctx: &ReducerContext, id: &StreamId, followers: &[SyncFollow], bytes: usize) -> BTreeSet<Identity> {
    let mut riders = BTreeSet::new();
    for follower in followers {
        riders.insert(follower.identity);
        if riders.len() > RIDERS_MAX || riders.len() * bytes > RIDING_ALL_BYTES_MAX {
            return BTreeSet::new();
        }
    }
    riders.retain(|identity| grants::all_may_read(ctx, *identity, id));
    riders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_1024_slots_counted_from_0() {
        assert_eq!(check_slot(0), Ok(()));
        assert_eq!(check_slot(1_023), Ok(()));
        assert_eq!(check_slot(1_024).unwrap_err().code, Code::BadSubscription);
    }
}
