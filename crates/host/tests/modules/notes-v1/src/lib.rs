//! A database as somebody made it with SpacetimeDB 1.12: what the upgrade to 2.14 starts from.

use spacetimedb::{Identity, ReducerContext, ScheduleAt, Table, Timestamp};

/// A note.
#[spacetimedb::table(name = note, public)]
pub struct Note {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub author: Identity,
    pub text: String,
    pub written_at: Timestamp,
}

/// A setting that no client reads.
#[spacetimedb::table(name = setting)]
pub struct Setting {
    #[unique]
    pub key: String,
    pub value: Option<u32>,
}

/// When to tidy up.
#[spacetimedb::table(name = tidying, scheduled(tidy))]
pub struct Tidying {
    #[primary_key]
    #[auto_inc]
    pub scheduled_id: u64,
    pub scheduled_at: ScheduleAt,
}

/// Runs at its time.
#[spacetimedb::reducer]
pub fn tidy(_ctx: &ReducerContext, _tidying: Tidying) {
    log::info!("tidied");
}

/// Runs once, when the database is created.
#[spacetimedb::reducer(init)]
pub fn init(ctx: &ReducerContext) {
    ctx.db.setting().insert(Setting { key: "made with".into(), value: Some(1) });
}

/// Writes a note.
#[spacetimedb::reducer]
pub fn write(ctx: &ReducerContext, text: String) -> Result<(), String> {
    if text.is_empty() {
        return Err("an empty note says nothing".into());
    }
    ctx.db.note().insert(Note { id: 0, author: ctx.sender, text, written_at: ctx.timestamp });
    Ok(())
}
