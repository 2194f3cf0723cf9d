//! Who may do what to which stream. **This file is the one place where that is decided.**
//!
//! What always holds: every reducer and procedure of the streams asks here before it reads or writes a row of a stream, and
//! hands the refusal on unchanged. Who calls is [`auth::caller`]'s to say, anew at each call; what that allows is
//! `muster_contract::scope`'s. On an open lane every session may do everything but what is the owner's alone.

use muster_contract::pattern::StreamPattern;
use muster_contract::scope::{Granted, NotGranted, Scope};
use muster_contract::stream::StreamId;
use muster_contract::{Code, Refusal};
use spacetimedb::{Identity, ReducerContext, Table};

use super::limits::RIDING_SESSIONS_MAX;
use super::tables::{LaneOwner, lane_owner};
use crate::auth::{self, Caller};

/// What the caller may do, for a call that asks about many streams.
pub(crate) struct Grants(Caller);

/// What the caller may do now.
pub(crate) fn of_caller(ctx: &ReducerContext) -> Result<Grants, Refusal> {
    auth::caller(ctx).map(Grants)
}

impl Grants {
    /// Whether the caller may read the stream: its pages, its snapshot, its checkpoints of its own.
    pub(crate) fn may_read(&self, stream: &StreamId) -> Result<(), Refusal> {
        self.ask(|granted| granted.allows(Scope::SyncRead, stream))
    }

    /// Whether the caller may learn that streams of this pattern exist, and be woken by them: all that it could ever bring.
    pub(crate) fn may_follow(&self, pattern: &StreamPattern) -> Result<(), Refusal> {
        self.ask(|granted| granted.allows_all(Scope::SyncRead, pattern))
    }

    /// Whether the caller may append to any stream at all.
    pub(crate) fn may_write(&self) -> Result<(), Refusal> {
        self.ask(|granted| granted.has(Scope::SyncWrite))
    }

    /// Whether the caller may append to the stream.
    pub(crate) fn may_append(&self, stream: &StreamId) -> Result<(), Refusal> {
        self.ask(|granted| granted.allows(Scope::SyncWrite, stream))
    }

    /// Whether the caller may put a snapshot.
    pub(crate) fn may_snapshot(&self, stream: &StreamId) -> Result<(), Refusal> {
        self.ask(|granted| granted.allows(Scope::SyncSnapshot, stream))
    }

    fn ask(&self, question: impl FnOnce(&Granted) -> Result<(), NotGranted>) -> Result<(), Refusal> {
        match &self.0 {
            Caller::Unbound => Ok(()),
            Caller::Granted(granted) => question(granted).map_err(refusal),
        }
    }
}

/// A scope that is missing is missing for every stream; a stream, for this one.
fn refusal(why: NotGranted) -> Refusal {
    let code = match why {
        NotGranted::Scope(_) => Code::Unauthorized,
        NotGranted::Stream(_) => Code::ForbiddenStream,
    };
    Refusal::new(code, why.to_string())
}

/// See [`Grants::may_read`].
pub(crate) fn may_read(ctx: &ReducerContext, stream: &StreamId) -> Result<(), Refusal> {
    of_caller(ctx)?.may_read(stream)
}

/// Whether every live session of an identity may read the stream now: what is sent to the identity, each of them can see. Of
/// an identity with very many sessions nobody looks, and the answer is no.
pub(crate) fn all_may_read(ctx: &ReducerContext, identity: Identity, stream: &StreamId) -> bool {
    auth::all_sessions(ctx, identity, RIDING_SESSIONS_MAX, |granted| granted.allows(Scope::SyncRead, stream).is_ok())
}

/// See [`Grants::may_follow`].
pub(crate) fn may_follow(ctx: &ReducerContext, pattern: &StreamPattern) -> Result<(), Refusal> {
    of_caller(ctx)?.may_follow(pattern)
}

/// See [`Grants::may_append`].
pub(crate) fn may_append(ctx: &ReducerContext, stream: &StreamId) -> Result<(), Refusal> {
    of_caller(ctx)?.may_append(stream)
}

/// See [`Grants::may_snapshot`].
pub(crate) fn may_snapshot(ctx: &ReducerContext, stream: &StreamId) -> Result<(), Refusal> {
    of_caller(ctx)?.may_snapshot(stream)
}

/// Remembers whose lane this is: SpacetimeDB runs `init` as the database's owner, and tells a module of it no other way.
pub(crate) fn remember_owner(ctx: &ReducerContext) {
    ctx.db.lane_owner().insert(LaneOwner { id: 0, identity: ctx.sender() });
}

/// Who owns the database, where the module knows.
pub(crate) fn owner(ctx: &ReducerContext) -> Option<Identity> {
    ctx.db.lane_owner().id().find(0).map(|row| row.identity)
}

/// Whether the caller owns the database.
pub(crate) fn must_be_owner(ctx: &ReducerContext) -> Result<(), Refusal> {
    is_owner(owner(ctx), ctx.sender())
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
