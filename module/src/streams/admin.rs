//! What the owner alone does to streams.
//!
//! What always holds: an epoch that ended never comes back. The numbers that producers had in it end with a stream's
//! deletion; they go on where only the epoch is renewed, because the events do, and one whose acknowledgement was lost
//! would be stored twice.

use muster_contract::Refusal;
use muster_contract::stream::StreamId;
use spacetimedb::{ReducerContext, Table, reducer};

use super::append::new_epoch;
use super::tables::{
    Signal, SyncGarbage, SyncSnapshot, SyncStream, producer_cursor, sync_checkpoint, sync_garbage, sync_snapshot,
    sync_stream,
};
use super::{find, follow, grants, parse_id, retention, rows};

/// Deletes a stream. From this transaction on it does not exist; what it stored is removed bit by bit afterwards. An
/// append makes it anew, with another number and epoch.
///
/// # Errors
/// `unauthorized` for anybody but the owner; `bad_stream_id`. A stream that does not exist is no error.
#[reducer]
pub fn delete_stream(ctx: &ReducerContext, stream: String) -> Result<(), String> {
    delete(ctx, &stream).map_err(|refusal| refusal.to_wire())
}

/// Gives every stream another epoch: for use after the database was restored from an older copy. Every reader starts
/// again from snapshot or floor; producers go on with the numbers that the copy has of them.
///
/// # Errors
/// `unauthorized` for anybody but the owner.
#[reducer]
pub fn renew_epochs(ctx: &ReducerContext) -> Result<(), String> {
    grants::must_be_owner(ctx).map_err(|refusal| refusal.to_wire())?;
    let streams: Vec<_> = ctx.db.sync_stream().iter().collect();
    for stream in streams {
        renew(ctx, stream);
    }
    Ok(())
}

fn delete(ctx: &ReducerContext, stream: &str) -> Result<(), Refusal> {
    grants::must_be_owner(ctx)?;
    let id = parse_id(stream)?;
    let Some(SyncStream { no, floor_seq, head, .. }) = find(ctx, &id) else {
        return Ok(());
    };
    ctx.db.sync_stream().no().delete(no);
    ctx.db.sync_snapshot().stream().delete(no);
    ctx.db.sync_checkpoint().by_stream_identity().delete(no);
    ctx.db.producer_cursor().by_stream_producer().delete(no);
    if floor_seq <= head {
        // A row may reach below the floor.
        let floor_seq = rows::holding(ctx, no, floor_seq).map_or(floor_seq, |row| row.seq);
        ctx.db.sync_garbage().insert(SyncGarbage { stream: no, floor_seq, head });
        retention::begin_now(ctx);
    }
    follow::signal(ctx, &id, no, Signal::Gone, &[]);
    Ok(())
}

fn renew(ctx: &ReducerContext, stream: SyncStream) {
    let id = StreamId::parse(&stream.id).expect("an id was parsed before it was stored");
    let epoch = new_epoch(ctx);
    if let Some(snapshot) = ctx.db.sync_snapshot().stream().find(stream.no) {
        ctx.db.sync_snapshot().stream().update(SyncSnapshot { epoch, ..snapshot });
    }
    let stream = ctx.db.sync_stream().no().update(SyncStream { epoch, ..stream });
    follow::signal(ctx, &id, stream.no, Signal::NewStream, &[]);
}
