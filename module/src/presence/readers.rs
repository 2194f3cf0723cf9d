//! Who sees who is connected.
//!
//! What always holds: on a lane that asks for `presence.read`, rows of `active_connection` and `person` reach an identity
//! only while every live session of it has a grant with that scope, and the database's owner, by subscription and by SQL
//! alike. On another lane that takes no strangers, any grant that has not ended does; else they reach everybody.
//!
//! SpacetimeDB filters rows by identity, never by session, so two sessions of one identity see the same rows. The rule is
//! therefore "each session may" and not "some session may": a token that was narrowed by an exchange has the identity of the
//! one that it was made from, and must not see more because that one is connected too.
//!
//! The filters are row-level security and no views: a view of what a caller may see would keep a copy of all rows for each
//! caller, and no database that exists could be brought over to it, because SpacetimeDB removes only empty tables.

use std::collections::BTreeSet;

use muster_contract::scope::Scope;
use spacetimedb::{Filter, Identity, ReducerContext, Table, client_visibility_filter, table};

use super::{ActiveConnection, active_connection};
use crate::auth;
use crate::people::{Person, person};

/// In `seen_by`: everybody sees the row.
pub(crate) const EVERYBODY: u8 = 0;
/// In `seen_by` and `reads`: those in `presence_reader` see the row.
pub(crate) const READERS: u8 = 1;

/// An identity that sees the rows for [`READERS`]. Each identity sees its own row at most: nobody learns who else may.
// It has to be public: SpacetimeDB lets a filter read only tables that the one who is filtered may read.
#[table(accessor = presence_reader, public)]
pub struct PresenceReader {
    /// Who.
    #[primary_key]
    pub identity: Identity,
    /// Always [`READERS`]: what `seen_by` is joined with.
    #[index(btree)]
    pub reads: u8,
}

#[client_visibility_filter]
const READERS_ARE_FOR_THEMSELVES: Filter = Filter::Sql("SELECT * FROM presence_reader WHERE identity = :sender");

// `< 1` and not `= 0`: a subscription to a table with two filters is looked at for a changed row only where the row fits an
// equation of one of them (SpacetimeDB 2.14), and the second filter has none, so rows for readers would never be sent.
#[client_visibility_filter]
const SESSIONS_FOR_EVERYBODY: Filter = Filter::Sql("SELECT * FROM active_connection WHERE seen_by < 1");

// `presence_reader` comes first, because it has a filter of its own: as the second table of a join, SpacetimeDB would not
// find an index for it. That filter is also what binds the row to the caller.
#[client_visibility_filter]
const SESSIONS_FOR_READERS: Filter =
    Filter::Sql("SELECT a.* FROM presence_reader r JOIN active_connection a ON r.reads = a.seen_by");

#[client_visibility_filter]
const PEOPLE_FOR_EVERYBODY: Filter = Filter::Sql("SELECT * FROM person WHERE seen_by < 1");

#[client_visibility_filter]
const PEOPLE_FOR_READERS: Filter =
    Filter::Sql("SELECT p.* FROM presence_reader r JOIN person p ON r.reads = p.seen_by");

/// Who sees the rows that are written now.
pub(crate) fn seen_by(ctx: &ReducerContext) -> u8 {
    // Where strangers are admitted, a session whose grant has ended may see what they see.
    let for_readers = auth::lane(ctx).is_some_and(|lane| lane.presence_needs_scope || !lane.allow_anonymous);
    if for_readers { READERS } else { EVERYBODY }
}

/// Decides anew about an identity of which a session came, went or lost its grant.
pub(crate) fn changed(ctx: &ReducerContext, identity: Identity) {
    let table = ctx.db.presence_reader();
    let reads = seen_by(ctx) == READERS && every_session_may(ctx, identity);
    let stands = table.identity().find(identity).is_some();
    if reads && !stands {
        table.insert(PresenceReader { identity, reads: READERS });
    } else if !reads && stands {
        table.identity().delete(identity);
    }
}

fn every_session_may(ctx: &ReducerContext, identity: Identity) -> bool {
    let scope = auth::lane(ctx).is_some_and(|lane| lane.presence_needs_scope).then_some(Scope::PresenceRead);
    let mut sessions = ctx.db.active_connection().identity().filter(identity).peekable();
    sessions.peek().is_some() && sessions.all(|session| auth::has_grant(ctx, session.connection_id, scope))
}

/// Decides anew about everybody and every row: the owner has changed what the lane asks for.
pub(crate) fn lane_changed(ctx: &ReducerContext) {
    let seen_by = seen_by(ctx);
    let sessions: Vec<_> = ctx.db.active_connection().iter().collect();
    for identity in sessions.iter().map(|session| session.identity).collect::<BTreeSet<_>>() {
        changed(ctx, identity);
    }
    for session in sessions.into_iter().filter(|session| session.seen_by != seen_by) {
        ctx.db.active_connection().connection_id().update(ActiveConnection { seen_by, ..session });
    }
    let people: Vec<_> = ctx.db.person().iter().filter(|person| person.seen_by != seen_by).collect();
    for person in people {
        ctx.db.person().identity().update(Person { seen_by, ..person });
    }
}
