//! The SpacetimeDB module of Muster: who is connected, what contract the database speaks, and streams of events.
//!
//! What always holds: the host runs every reducer in a transaction of its own, one after the other, so each function
//! here may read and write without races; an error or a panic takes all of its writes back. Table and column names are
//! the ones of `muster_contract::rows`, and a test holds the two together.
//!
//! The map: [`presence`] decides when a connection row appears and disappears and keeps the summary; [`people`] keeps
//! names; [`contract_info`] says what this build speaks; [`claims`] reads what a session calls itself; [`auth`], whose
//! sessions are taken and for how long, and [`streams`] have folders of their own.

#![allow(
    missing_docs,
    unreachable_pub,
    reason = "SpacetimeDB's table and reducer macros generate undocumented public items"
)]

pub mod auth;
pub mod claims;
pub mod contract_info;
pub mod people;
pub mod presence;
#[cfg(test)]
mod shape_tests;
pub mod streams;

use spacetimedb::ReducerContext;

/// Runs once, when the database is created.
#[spacetimedb::reducer(init)]
pub fn init(ctx: &ReducerContext) {
    contract_info::refresh(ctx);
    presence::start(ctx);
    streams::grants::remember_owner(ctx);
}

/// Runs in the host for every connection that is about to begin, WebSocket or HTTP; an error refuses the connection.
///
/// # Errors
/// If the host names no connection, or the lane does not take the session's token.
#[spacetimedb::reducer(client_connected)]
pub fn client_connected(ctx: &ReducerContext) -> Result<(), String> {
    // Before anything a client could read: SpacetimeDB has no hook for "the module was updated", and the first
    // connection after an update is the first that could see an old contract.
    contract_info::refresh(ctx);
    streams::retention::keep_going(ctx);
    presence::connected(ctx)?;
    auth::admit::connected(ctx).map_err(|refusal| refusal.to_wire())?;
    presence::readers::changed(ctx, ctx.sender());
    Ok(())
}

/// Runs in the host when a connection is gone, however it ended; after a crash of the host, for each session that the
/// crash cut, before the database serves anybody.
#[spacetimedb::reducer(client_disconnected)]
pub fn client_disconnected(ctx: &ReducerContext) {
    presence::disconnected(ctx);
    streams::follow::disconnected(ctx);
    auth::admit::disconnected(ctx);
    presence::readers::changed(ctx, ctx.sender());
}
