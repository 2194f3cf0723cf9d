//! An event table: rows that are broadcast when their transaction commits, and never stored.

use spacetimedb::{ReducerContext, Table};

/// Something that happened.
#[spacetimedb::table(accessor = announcement, public, event)]
pub struct Announcement {
    pub room: u32,
    pub text: String,
}

/// Announces to a room.
#[spacetimedb::reducer]
pub fn announce(ctx: &ReducerContext, room: u32, text: String) {
    ctx.db.announcement().insert(Announcement { room, text });
}

/// Announces, and takes it back.
#[spacetimedb::reducer]
pub fn announce_and_fail(ctx: &ReducerContext, room: u32, text: String) -> Result<(), String> {
    ctx.db.announcement().insert(Announcement { room, text });
    Err("nothing happened".into())
}
