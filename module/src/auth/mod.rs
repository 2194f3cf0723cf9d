//! Whose sessions this lane takes, and for how long.
//!
//! What always holds: without a row in `lane_auth` the lane is open. With one, a session has what its row in
//! `session_grant` says, until that row ends: a token is judged once, at connect, by `muster_contract::claims`, and never
//! read again, because the host never looks at it again either. A row that ended stays until its session goes, so that
//! every door can say why. `crate::streams::grants` asks here, and nobody else decides.
//!
//! The map: [`tables`] what is stored; [`configure`] what the owner says; [`admit`] who comes in; [`ending`] expiry and
//! revocation.

pub mod admit;
pub mod configure;
pub mod ending;
pub mod tables;

use muster_contract::pattern::StreamPattern;
use muster_contract::scope::{Granted, Scope};
use muster_contract::{Code, Refusal};
use spacetimedb::{ConnectionId, Identity, ReducerContext};

use crate::presence::active_connection;
use tables::{LaneAuth, SessionGrant, lane_auth, session_grant};

/// What a caller may do.
pub(crate) enum Caller {
    /// Anything but what is the owner's alone: the lane is open, or the caller owns it.
    Unbound,
    /// What its token granted, which is good now.
    Granted(Granted),
}

/// What the owner said, if anything.
pub(crate) fn lane(ctx: &ReducerContext) -> Option<LaneAuth> {
    ctx.db.lane_auth().id().find(0)
}

/// Who calls, as far as it matters here. The time is looked at here too: that the schedule ends grants is a courtesy to
/// followers, not what holds.
pub(crate) fn caller(ctx: &ReducerContext) -> Result<Caller, Refusal> {
    if lane(ctx).is_none() || is_owner(ctx, ctx.sender()) {
        return Ok(Caller::Unbound);
    }
    let connection_id = ctx.connection_id().ok_or_else(|| refuse("only a connected session has a token"))?;
    let row = ctx.db.session_grant().connection_id().find(connection_id);
    let row = row
        .filter(|row| row.identity == ctx.sender())
        .ok_or_else(|| refuse("this session has no token of this lane: connect with one"))?;
    if let Some(why) = row.ended {
        return Err(refuse(&why));
    }
    if row.expires_s <= admit::now_s(ctx) {
        return Err(refuse(ending::EXPIRED));
    }
    Ok(Caller::Granted(row.granted()))
}

/// Whether the token of a live session grants this now, for whatever streams; without a scope, whether it grants anything
/// still.
pub(crate) fn has_grant(ctx: &ReducerContext, connection_id: ConnectionId, scope: Option<Scope>) -> bool {
    granted_now(ctx, connection_id).is_some_and(|granted| scope.is_none_or(|scope| granted.has(scope).is_ok()))
}

/// Whether an identity has no more than so many live sessions, and this holds of what each of them may do now. Of a session that
/// may do anything it does; of one that has no token of the lane, or whose token is over, it does not.
pub(crate) fn all_sessions(
    ctx: &ReducerContext,
    identity: Identity,
    sessions_max: usize,
    holds: impl Fn(&Granted) -> bool,
) -> bool {
    let sessions: Vec<_> = ctx.db.active_connection().identity().filter(identity).take(sessions_max + 1).collect();
    if sessions.len() > sessions_max {
        return false;
    }
    let is_unbound = lane(ctx).is_none() || is_owner(ctx, identity);
    is_unbound
        || sessions.iter().all(|session| granted_now(ctx, session.connection_id).is_some_and(|granted| holds(&granted)))
}

/// What the token of a live session grants, if it is not over.
fn granted_now(ctx: &ReducerContext, connection_id: ConnectionId) -> Option<Granted> {
    let row = ctx.db.session_grant().connection_id().find(connection_id)?;
    let is_good = row.ended.is_none() && row.expires_s > admit::now_s(ctx);
    is_good.then(|| row.granted())
}

fn is_owner(ctx: &ReducerContext, identity: Identity) -> bool {
    crate::streams::grants::owner(ctx) == Some(identity)
}

fn refuse(why: &str) -> Refusal {
    Refusal::new(Code::Unauthorized, why)
}

impl SessionGrant {
    /// What the row grants. The words were parsed before they were stored; one that a newer build wrote grants nothing.
    fn granted(&self) -> Granted {
        Granted {
            scopes: self.scopes.iter().filter_map(|word| word.parse::<Scope>().ok()).collect(),
            streams: self.streams.iter().filter_map(|word| StreamPattern::parse(word).ok()).collect(),
        }
    }
}
