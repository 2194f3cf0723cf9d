//! Who is connected. **This file decides when a connection row appears and disappears.**
//!
//! What always holds: `active_connection` has exactly one row for each connection that the host has accepted and not
//! yet reported gone. [`connected`] adds it and [`disconnected`] removes it, each in the transaction in which the host
//! itself records the client; nothing else writes the table. When the host is killed, it finds its own client records
//! on the next start and runs [`disconnected`] for each before it serves anybody, so no ghost outlives a crash.
//!
//! Who sees the rows is decided in [`readers`].
//!
//! `presence_summary` follows within [`PRESENCE_REFRESH_MS`]: the first change after a quiet time schedules one
//! recount, and further changes ride along with it.

pub mod readers;

use std::time::Duration;

use muster_contract::limits::PRESENCE_REFRESH_MS;
use muster_contract::role::Role;
use spacetimedb::{ConnectionId, Identity, ReducerContext, ScheduleAt, SpacetimeType, Table, Timestamp};

use crate::claims::{Description, describe};

/// See `muster_contract::rows::ActiveConnection`.
#[spacetimedb::table(accessor = active_connection, public)]
pub struct ActiveConnection {
    /// Which connection.
    #[primary_key]
    pub connection_id: ConnectionId,
    /// Who.
    #[index(btree)]
    pub identity: Identity,
    /// As what.
    pub role: String,
    /// By which OAuth client.
    pub client_id: Option<String>,
    /// With which build.
    pub client_build: Option<String>,
    /// Since when.
    pub connected_at: Timestamp,
    /// Who sees the row: see [`readers`]. The last column, which the contract does not name.
    #[index(btree)]
    #[default(readers::EVERYBODY)]
    pub seen_by: u8,
}

/// See `muster_contract::rows::RoleCount`.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
pub struct RoleCount {
    /// The role.
    pub role: String,
    /// Its sessions.
    pub count: u32,
}

/// See `muster_contract::rows::PresenceSummary`.
#[spacetimedb::table(accessor = presence_summary, public)]
pub struct PresenceSummary {
    /// Always 0.
    #[primary_key]
    pub id: u8,
    /// All sessions.
    pub total: u32,
    /// By role.
    pub by_role: Vec<RoleCount>,
    /// When counted.
    pub counted_at: Timestamp,
}

/// The recount that is due, if one is: at most one row.
#[spacetimedb::table(accessor = presence_refresh, scheduled(refresh_presence_summary))]
pub struct PresenceRefresh {
    /// Assigned by the host.
    #[primary_key]
    #[auto_inc]
    pub scheduled_id: u64,
    /// When it is due.
    pub scheduled_at: ScheduleAt,
}

/// Begins with nobody connected.
pub(crate) fn start(ctx: &ReducerContext) {
    write_summary(ctx, Vec::new());
}

/// Adds the row of the connection that is about to begin.
pub(crate) fn connected(ctx: &ReducerContext) -> Result<(), String> {
    let connection_id = ctx.connection_id().ok_or("the host named no connection")?;
    let Description { role, client_id, client_build } =
        describe(ctx.sender_auth().jwt().map(|claims| claims.raw_payload()));
    let row = ActiveConnection {
        connection_id,
        identity: ctx.sender(),
        role: role.as_str().into(),
        client_id,
        client_build,
        connected_at: ctx.timestamp,
        seen_by: readers::seen_by(ctx),
    };
    // The client chooses its id. One that is held belongs to a connection that has not ended yet: letting a second one
    // in would make the end of the first remove the row of the second.
    if ctx.db.active_connection().connection_id().find(connection_id).is_some() {
        return Err("this connection id is in use by a live connection: choose another".into());
    }
    ctx.db.active_connection().insert(row);
    summary_is_due(ctx);
    Ok(())
}

/// Removes the row of the connection that is gone.
pub(crate) fn disconnected(ctx: &ReducerContext) {
    let Some(connection_id) = ctx.connection_id() else {
        log::error!("the host reported a disconnect without a connection");
        return;
    };
    if ctx.db.active_connection().connection_id().delete(connection_id) {
        summary_is_due(ctx);
    }
}

/// Schedules a recount, unless one is due already.
fn summary_is_due(ctx: &ReducerContext) {
    if ctx.db.presence_refresh().count() == 0 {
        let at = ctx.timestamp + Duration::from_millis(PRESENCE_REFRESH_MS);
        ctx.db.presence_refresh().insert(PresenceRefresh { scheduled_id: 0, scheduled_at: at.into() });
    }
}

/// Recounts the sessions. Run by the schedule; of all clients, only the database's owner may call a scheduled reducer.
#[spacetimedb::reducer]
pub fn refresh_presence_summary(ctx: &ReducerContext, due: PresenceRefresh) {
    // Taken away here, in the transaction that counts, and not left to the scheduler: a session that comes between the
    // count and a later removal would find a recount still due, and never be counted.
    ctx.db.presence_refresh().scheduled_id().delete(due.scheduled_id);
    let by_role = count_by_role(ctx.db.active_connection().iter().map(|row| row.role));
    write_summary(ctx, by_role);
}

fn write_summary(ctx: &ReducerContext, by_role: Vec<RoleCount>) {
    let total = by_role.iter().map(|role| role.count).sum();
    let row = PresenceSummary { id: 0, total, by_role, counted_at: ctx.timestamp };
    let by_id = ctx.db.presence_summary().id();
    if by_id.find(row.id).is_some() {
        by_id.update(row);
    } else {
        ctx.db.presence_summary().insert(row);
    }
}

/// Counts sessions by role, in the order of [`Role::ALL`], roles without a session left out.
fn count_by_role(roles: impl Iterator<Item = String>) -> Vec<RoleCount> {
    let mut counts = [0u32; Role::ALL.len()];
    for role in roles {
        let known = Role::ALL.iter().position(|candidate| candidate.as_str() == role);
        // Only `connected` writes roles, and it writes known ones; an older build's word still counts as a session.
        let other = Role::ALL.len() - 1;
        counts[known.unwrap_or(other)] += 1;
    }
    Role::ALL
        .iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .map(|(role, count)| RoleCount { role: role.as_str().into(), count })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(roles: &[&str]) -> Vec<(String, u32)> {
        let counts = count_by_role(roles.iter().map(|role| role.to_string()));
        counts.into_iter().map(|RoleCount { role, count }| (role, count)).collect()
    }

    #[test]
    fn nobody_connected_counts_to_nothing() {
        assert_eq!(counted(&[]), []);
    }

    #[test]
    fn sessions_are_counted_by_role_in_a_fixed_order() {
        assert_eq!(
            counted(&["operator", "anonymous", "desktop", "anonymous"]),
            [("anonymous".into(), 2), ("desktop".into(), 1), ("operator".into(), 1)]
        );
    }

    #[test]
    fn a_role_of_another_build_still_counts_as_a_session() {
        assert_eq!(counted(&["overseer", "other"]), [("other".into(), 2)]);
    }
}
