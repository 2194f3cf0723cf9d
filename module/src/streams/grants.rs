//! Who may do what to which stream. **This file is the one place where that is decided.**
//!
//! What always holds: every reducer and procedure of the streams calls a function of this file before it reads or writes
//! a row of a stream, and hands the refusal on unchanged. Sessions' tokens carry no grants yet, so today every session
//! may do everything but what is the owner's alone.

use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;
use muster_contract::{Code, Refusal};
use spacetimedb::{Identity, ReducerContext, Table};

use super::tables::{LaneOwner, lane_owner};

/// Whether the caller may read the stream: its pages, its snapshot, its checkpoints of its own.
pub(crate) fn may_read(_ctx: &ReducerContext, _stream: &StreamId) -> Result<(), Refusal> {
    Ok(())
}

/// Whether the caller may learn that streams of this pattern exist, and be woken by them. Each stream that a pattern
/// brings is asked for again with [`may_read`].
pub(crate) fn may_follow(_ctx: &ReducerContext, _pattern: &StreamPattern) -> Result<(), Refusal> {
    Ok(())
}

/// Whether the caller may append to the stream.
pub(crate) fn may_append(_ctx: &ReducerContext, _stream: &StreamId) -> Result<(), Refusal> {
    Ok(())
}

/// Whether the caller may put a snapshot.
pub(crate) fn may_snapshot(_ctx: &ReducerContext, _stream: &StreamId) -> Result<(), Refusal> {
    Ok(())
}

/// Remembers whose lane this is: SpacetimeDB runs `init` as the database's owner, and tells a module of it no other way.
pub(crate) fn remember_owner(ctx: &ReducerContext) {
    ctx.db.lane_owner().insert(LaneOwner { id: 0, identity: ctx.sender() });
}

/// Whether the caller owns the database.
pub(crate) fn must_be_owner(ctx: &ReducerContext) -> Result<(), Refusal> {
    is_owner(ctx.db.lane_owner().id().find(0).map(|row| row.identity), ctx.sender())
}

fn is_owner(owner: Option<Identity>, caller: Identity) -> Result<(), Refusal> {
    match owner {
        Some(owner) if owner == caller => Ok(()),
        Some(_) => Err(Refusal::new(Code::Unauthorized, "only the owner of the database may do this")),
        // Made by a module that did not remember. Only the owner may write with SQL, so the statement is proof.
        None => Err(Refusal::new(
            Code::Unauthorized,
            format!(
                "this database does not know its owner: as its owner, run the SQL \
                 INSERT INTO lane_owner (id, identity) VALUES (0, 0x{})",
                caller.to_hex()
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_is_the_owner() {
        let [ada, bob] = [1u8, 2].map(|byte| Identity::from_byte_array([byte; 32]));
        assert_eq!(is_owner(Some(ada), ada), Ok(()));
        assert_eq!(is_owner(Some(ada), bob).unwrap_err().code, Code::Unauthorized);
        assert!(is_owner(None, bob).unwrap_err().message.contains("INSERT INTO lane_owner"));
    }
}
