//! The database of `notes-v1` after its module moved to SpacetimeDB 2.14: the same tables, one more of them, and a
//! procedure, which 1.12 did not have.

use spacetimedb::{Identity, ProcedureContext, ReducerContext, ScheduleAt, Table, Timestamp};

/// A note.
#[spacetimedb::table(accessor = note, public)]
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
#[spacetimedb::table(accessor = setting)]
pub struct Setting {
    #[unique]
    pub key: String,
    pub value: Option<u32>,
}

/// When to tidy up.
#[spacetimedb::table(accessor = tidying, scheduled(tidy))]
pub struct Tidying {
    #[primary_key]
    #[auto_inc]
    pub scheduled_id: u64,
    pub scheduled_at: ScheduleAt,
}

/// A word about a note, new in this version.
#[spacetimedb::table(accessor = comment, public)]
pub struct Comment {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub note: u64,
    pub text: String,
}

/// Runs at its time.
#[spacetimedb::reducer]
pub fn tidy(_ctx: &ReducerContext, _tidying: Tidying) {}

/// Writes a note.
#[spacetimedb::reducer]
pub fn write(ctx: &ReducerContext, text: String) -> Result<(), String> {
    if text.is_empty() {
        return Err("an empty note says nothing".into());
    }
    ctx.db.note().insert(Note { id: 0, author: ctx.sender(), text, written_at: ctx.timestamp });
    Ok(())
}

/// Says something about a note.
#[spacetimedb::reducer]
pub fn remark(ctx: &ReducerContext, note: u64, text: String) -> Result<(), String> {
    ctx.db.note().id().find(note).ok_or("there is no such note")?;
    ctx.db.comment().insert(Comment { id: 0, note, text });
    Ok(())
}

/// What the settings held when the old module made them.
#[spacetimedb::procedure]
pub fn made_with(ctx: &mut ProcedureContext) -> Option<u32> {
    ctx.with_tx(|tx| tx.db.setting().key().find("made with".to_string()).and_then(|setting| setting.value))
}
