//! Row-level security: a public table of which everybody sees their own rows.

use spacetimedb::{Filter, Identity, ReducerContext, Table, client_visibility_filter};

/// A letter to somebody.
#[spacetimedb::table(accessor = letter, public)]
pub struct Letter {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    #[index(btree)]
    pub recipient: Identity,
    pub text: String,
}

#[client_visibility_filter]
const LETTERS_ARE_FOR_THEIR_RECIPIENTS: Filter = Filter::Sql("SELECT * FROM letter WHERE letter.recipient = :sender");

/// An event to somebody.
#[spacetimedb::table(accessor = whisper, public, event)]
pub struct Whisper {
    pub recipient: Identity,
    pub text: String,
}

#[client_visibility_filter]
const WHISPERS_ARE_FOR_THEIR_RECIPIENTS: Filter =
    Filter::Sql("SELECT * FROM whisper WHERE whisper.recipient = :sender");

/// Sends a letter and whispers it.
#[spacetimedb::reducer]
pub fn send(ctx: &ReducerContext, recipient: Identity, text: String) {
    ctx.db.whisper().insert(Whisper { recipient, text: text.clone() });
    ctx.db.letter().insert(Letter { id: 0, recipient, text });
}
