//! How grants end: on time, and by revocation.
//!
//! What always holds: a grant that ended never begins again. What ended it is written into its row, its follows end in the
//! same transaction, and the session hears `FollowEnded` for each; whatever it asks next says why. A revocation is
//! remembered until every token that it ends has expired, so that a reconnect with one is refused.

use muster_contract::claims::TokenFacts;
use muster_contract::limits::{CLAIM_BYTES_MAX, CLOCK_LEEWAY_S, TOKEN_LIFETIME_MAX_S};
use muster_contract::{Code, Refusal};
use spacetimedb::{ReducerContext, Table, reducer};

use super::admit::now_s;
use super::tables::{GrantExpiry, RevokedGrant, SessionGrant, grant_expiry, revoked_grant, session_grant};
use super::{lane, refuse};
use crate::presence::readers;
use crate::streams::{follow, grants};

/// What a session hears whose token is over.
pub(super) const EXPIRED: &str = "the session's token has expired: connect with a new one";
const REVOKED: &str = "the token was revoked";

const TOKEN: &str = "token";
const SESSION: &str = "session";
const CLIENT: &str = "client";

/// Ends a grant whose time is over. Run by the schedule; of all clients, only the database's owner may call a scheduled
/// reducer.
#[reducer]
pub fn expire_grant(ctx: &ReducerContext, due: GrantExpiry) {
    ctx.db.grant_expiry().scheduled_id().delete(due.scheduled_id);
    let grant = ctx.db.session_grant().connection_id().find(due.connection_id);
    if let Some(grant) = grant.filter(|grant| grant.ended.is_none()) {
        end(ctx, grant, EXPIRED);
    }
}

/// Ends grants: of one token (`token`, its `jti`), of a session with all its tokens (`session`, their `sid`), or of a client
/// (`client`, its id) whose tokens were issued up to `before`, in seconds since 1970. Saying it twice changes nothing.
///
/// # Errors
/// `unauthorized` for anybody but the owner and the lane's revoker; `invalid_request`.
#[reducer]
pub fn revoke_grants(ctx: &ReducerContext, kind: String, value: String, before: i64) -> Result<(), String> {
    revoke(ctx, kind, value, before).map_err(|refusal| refusal.to_wire())
}

fn revoke(ctx: &ReducerContext, kind: String, value: String, before: i64) -> Result<(), Refusal> {
    if lane(ctx).and_then(|lane| lane.revoker) != Some(ctx.sender()) {
        grants::must_be_owner(ctx)?;
    }
    let until_s = check(&kind, &value, before)?;
    forget_old(ctx);
    let table = ctx.db.revoked_grant();
    let known = table.by_kind_value().filter((&kind, &value)).any(|row| row.before_s >= before);
    if !known {
        table.insert(RevokedGrant { id: 0, kind: kind.clone(), value: value.clone(), before_s: before, until_s });
    }
    let grants = ctx.db.session_grant();
    let named: Vec<_> = match kind.as_str() {
        TOKEN => grants.jti().filter(&value).collect(),
        SESSION => grants.sid().filter(&value).collect(),
        _ => grants.client_id().filter(&value).filter(|grant| grant.issued_s <= before).collect(),
    };
    for grant in named.into_iter().filter(|grant| grant.ended.is_none()) {
        end(ctx, grant, REVOKED);
    }
    Ok(())
}

/// Until when the revocation must be remembered: no token that it ends lives longer.
fn check(kind: &str, value: &str, before: i64) -> Result<i64, Refusal> {
    let refuse = |message: &str| Err(Refusal::new(Code::InvalidRequest, message));
    if ![TOKEN, SESSION, CLIENT].contains(&kind) {
        return refuse("kind is none of token, session and client");
    }
    if !(1..=CLAIM_BYTES_MAX).contains(&value.len()) {
        return refuse("value has no bytes, or more than a claim has");
    }
    let until_s = before.checked_add(TOKEN_LIFETIME_MAX_S + CLOCK_LEEWAY_S);
    until_s.filter(|_| before >= 0).map_or_else(|| refuse("before is no time in seconds since 1970"), Ok)
}

fn forget_old(ctx: &ReducerContext) {
    let old: Vec<_> = ctx.db.revoked_grant().iter().filter(|row| row.until_s < now_s(ctx)).map(|row| row.id).collect();
    for id in old {
        ctx.db.revoked_grant().id().delete(id);
    }
}

/// Refuses a token that was revoked before it was shown.
pub(super) fn check_not_revoked(ctx: &ReducerContext, facts: &TokenFacts) -> Result<(), Refusal> {
    let named = |kind: &str, value: &str| -> Vec<RevokedGrant> {
        ctx.db.revoked_grant().by_kind_value().filter((kind, value)).collect()
    };
    let ended = !named(TOKEN, &facts.jti).is_empty()
        || !named(SESSION, &facts.sid).is_empty()
        || named(CLIENT, &facts.client_id).iter().any(|row| facts.issued_s <= row.before_s);
    if ended { Err(refuse(REVOKED)) } else { Ok(()) }
}

/// Ends a grant, and tells its session.
pub(super) fn end(ctx: &ReducerContext, grant: SessionGrant, why: &str) {
    let SessionGrant { connection_id, identity, .. } = grant;
    ctx.db.session_grant().connection_id().update(SessionGrant { ended: Some(why.into()), ..grant });
    ctx.db.grant_expiry().connection_id().delete(connection_id);
    follow::end_all_of(ctx, connection_id);
    readers::changed(ctx, identity);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_is_remembered_for_as_long_as_a_token_lives() {
        assert_eq!(check(TOKEN, "j", 1_000), Ok(1_000 + TOKEN_LIFETIME_MAX_S + CLOCK_LEEWAY_S));
        assert_eq!(check(CLIENT, "c", i64::MAX).unwrap_err().code, Code::InvalidRequest);
        for (kind, value, before) in [("Token", "j", 1), ("", "j", 1), (SESSION, "", 1), (SESSION, "s", -1)] {
            assert_eq!(check(kind, value, before).unwrap_err().code, Code::InvalidRequest, "{kind} {value} {before}");
        }
    }
}
