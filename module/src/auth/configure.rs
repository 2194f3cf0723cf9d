//! What the owner says about tokens.
//!
//! What always holds: only the owner closes or opens a lane. A change takes effect in its own transaction: sessions whose
//! token it does not cover any more have nothing from then on, and no follow of theirs goes on.

use muster_contract::limits::CLAIM_BYTES_MAX;
use muster_contract::{Code, Refusal};
use spacetimedb::{Identity, ReducerContext, Table, reducer};

use super::tables::{LaneAuth, lane_auth, session_grant};
use super::{ending, lane};
use crate::presence::readers;
use crate::streams::{follow, grants};

/// Closes the lane to all but tokens of this issuer for this audience, or changes that. Where `allow_anonymous`, others may
/// connect, and see what is public and no stream. Where `presence_needs_scope`, rows of `active_connection` and `person`
/// are for tokens with `presence.read` alone. `revoker` may end grants beside the owner. With an empty `issuer` the lane is
/// open again, and the other arguments mean nothing.
///
/// # Errors
/// `unauthorized` for anybody but the owner; `invalid_request` for an issuer or audience that no token can name.
#[reducer]
pub fn configure_auth(
    ctx: &ReducerContext,
    issuer: String,
    audience: String,
    allow_anonymous: bool,
    presence_needs_scope: bool,
    revoker: Option<Identity>,
) -> Result<(), String> {
    let row = LaneAuth { id: 0, issuer, audience, allow_anonymous, revoker, presence_needs_scope };
    configure(ctx, row).map_err(|refusal| refusal.to_wire())
}

fn configure(ctx: &ReducerContext, row: LaneAuth) -> Result<(), Refusal> {
    grants::must_be_owner(ctx)?;
    if row.issuer.is_empty() {
        ctx.db.lane_auth().id().delete(0);
        readers::lane_changed(ctx);
        return Ok(());
    }
    check(&row)?;
    let same_tokens = lane(ctx).is_some_and(|old| (&old.issuer, &old.audience) == (&row.issuer, &row.audience));
    ctx.db.lane_auth().id().insert_or_update(row);
    if !same_tokens {
        let taken: Vec<_> = ctx.db.session_grant().iter().filter(|grant| grant.ended.is_none()).collect();
        for grant in taken {
            ending::end(ctx, grant, "the lane takes other tokens now: connect with one");
        }
    }
    follow::end_where(ctx, |follow| {
        let grant = ctx.db.session_grant().connection_id().find(follow.connection_id);
        grants::owner(ctx) != Some(follow.identity) && grant.is_none_or(|grant| grant.ended.is_some())
    });
    readers::lane_changed(ctx);
    Ok(())
}

fn check(row: &LaneAuth) -> Result<(), Refusal> {
    let refuse = |message: String| Err(Refusal::new(Code::InvalidRequest, message));
    for (name, text) in [("issuer", &row.issuer), ("audience", &row.audience)] {
        // SpacetimeDB takes no longer `iss`.
        if !(1..=CLAIM_BYTES_MAX).contains(&text.len()) {
            return refuse(format!("{name} has {} bytes, and must have 1 to {CLAIM_BYTES_MAX}", text.len()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_token_can_name_is_refused() {
        let row = |issuer: &str, audience: &str| LaneAuth {
            id: 0,
            issuer: issuer.into(),
            audience: audience.into(),
            allow_anonymous: false,
            revoker: None,
            presence_needs_scope: false,
        };
        assert_eq!(check(&row("https://i.example", "lane")), Ok(()));
        assert!(check(&row("https://i.example", "")).is_err());
        assert!(check(&row(&"i".repeat(CLAIM_BYTES_MAX + 1), "lane")).is_err());
    }
}
