//! Who comes in, and with what.
//!
//! What always holds: a session whose token is of the lane's issuer is taken with what that token grants, or refused; a
//! token that is not good is never taken for none. The owner and the revoker always come in, so that a lane can be mended.

use muster_contract::claims::{ClaimsError, Expected, TokenFacts, judge};
use muster_contract::{OLDEST_CLIENT_BUILD, Refusal};
use spacetimedb::{ReducerContext, Table, Timestamp};

use super::tables::{GrantExpiry, LaneAuth, SessionGrant, grant_expiry, session_grant};
use super::{ending, is_owner, lane, refuse};

/// Takes the connection that is about to begin, or not.
pub(crate) fn connected(ctx: &ReducerContext) -> Result<(), Refusal> {
    let Some(lane) = lane(ctx) else { return Ok(()) };
    if is_owner(ctx, ctx.sender()) {
        return Ok(());
    }
    let judged = match ctx.sender_auth().jwt() {
        Some(claims) => judge(claims.raw_payload(), &expected(&lane), now_s(ctx)),
        None => Err(ClaimsError::Issuer),
    };
    match judged {
        Ok(facts) => {
            ending::check_not_revoked(ctx, &facts)?;
            remember(ctx, facts)
        }
        // A stranger: a token of the host's own, or of another issuer that the host trusts.
        Err(ClaimsError::Issuer) if lane.allow_anonymous || lane.revoker == Some(ctx.sender()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn expected(lane: &LaneAuth) -> Expected<'_> {
    Expected { issuer: &lane.issuer, audience: &lane.audience, oldest_client_build: OLDEST_CLIENT_BUILD }
}

fn remember(ctx: &ReducerContext, facts: TokenFacts) -> Result<(), Refusal> {
    let connection_id = ctx.connection_id().ok_or_else(|| refuse("the host named no connection"))?;
    let expires_at = Timestamp::from_micros_since_unix_epoch(facts.expires_s * 1_000_000);
    ctx.db.session_grant().insert(SessionGrant {
        connection_id,
        identity: ctx.sender(),
        jti: facts.jti,
        sid: facts.sid,
        client_id: facts.client_id,
        issued_s: facts.issued_s,
        expires_s: facts.expires_s,
        scopes: facts.granted.scopes.iter().map(ToString::to_string).collect(),
        streams: facts.granted.streams.iter().map(ToString::to_string).collect(),
        ended: None,
    });
    ctx.db.grant_expiry().insert(GrantExpiry { scheduled_id: 0, scheduled_at: expires_at.into(), connection_id });
    Ok(())
}

/// Forgets the grant of the connection that is gone.
pub(crate) fn disconnected(ctx: &ReducerContext) {
    if let Some(connection_id) = ctx.connection_id() {
        ctx.db.session_grant().connection_id().delete(connection_id);
        ctx.db.grant_expiry().connection_id().delete(connection_id);
    }
}

/// Seconds since 1970, by the host's clock.
pub(super) fn now_s(ctx: &ReducerContext) -> i64 {
    ctx.timestamp.to_micros_since_unix_epoch().div_euclid(1_000_000)
}
