//! How far clients say that they have got, for operators.
//!
//! What always holds: a checkpoint never moves back within an epoch, and never reaches past the head. Nothing reads it
//! but people: a reader resumes from the cursor in its own store.

use muster_contract::limits::CLAIM_BYTES_MAX;
use muster_contract::{Code, Refusal};
use spacetimedb::{ReducerContext, Table, reducer};

use super::limits::CHECKPOINT_CLIENTS_MAX;
use super::tables::{SyncCheckpoint, SyncStream, sync_checkpoint};
use super::{find_in_epoch, grants, parse_id};

/// Notes that the client of this name, one of the caller's, has applied the stream up to `seq`. An older one than is
/// noted changes nothing.
///
/// # Errors
/// A refusal: `bad_stream_id`, `forbidden_stream`, `epoch_changed`, `stale_cursor` past the head, `invalid_request` for a
/// name that is empty, too long, or has control characters.
#[reducer]
pub fn ack_checkpoint(
    ctx: &ReducerContext,
    stream: String,
    epoch: u64,
    seq: u64,
    client: String,
) -> Result<(), String> {
    acknowledge(ctx, &stream, epoch, seq, client).map_err(|refusal| refusal.to_wire())
}

fn acknowledge(ctx: &ReducerContext, stream: &str, epoch: u64, seq: u64, client: String) -> Result<(), Refusal> {
    check_name(&client)?;
    let id = parse_id(stream)?;
    grants::may_read(ctx, &id)?;
    let stream = find_in_epoch(ctx, &id, epoch)?;
    if seq > stream.head {
        let message = format!("a checkpoint at {seq} of a stream that ends with {}", stream.head);
        return Err(Refusal::new(Code::StaleCursor, message).expecting(stream.head));
    }
    note(ctx, &stream, seq, client);
    Ok(())
}

fn note(ctx: &ReducerContext, stream: &SyncStream, seq: u64, client: String) {
    let table = ctx.db.sync_checkpoint();
    let rows: Vec<_> = table.by_stream_identity().filter((stream.no, ctx.sender())).collect();
    if let Some(row) = rows.iter().find(|row| row.client == client) {
        if row.epoch == stream.epoch && row.seq >= seq {
            return;
        }
        table.id().delete(row.id);
    } else if rows.len() >= CHECKPOINT_CLIENTS_MAX
        && let Some(silent) = rows.iter().min_by_key(|row| row.at)
    {
        table.id().delete(silent.id);
    }
    let (stream, epoch) = (stream.no, stream.epoch);
    table.insert(SyncCheckpoint { id: 0, stream, identity: ctx.sender(), client, epoch, seq, at: ctx.timestamp });
}

fn check_name(client: &str) -> Result<(), Refusal> {
    if (1..=CLAIM_BYTES_MAX).contains(&client.len()) && !client.chars().any(char::is_control) {
        return Ok(());
    }
    let message = format!("a client's name has 1 to {CLAIM_BYTES_MAX} bytes and no control characters");
    Err(Refusal::new(Code::InvalidRequest, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_and_printable() {
        assert_eq!(check_name("desk-1"), Ok(()));
        assert!(check_name("").is_err());
        assert!(check_name("a\nb").is_err());
        assert!(check_name(&"x".repeat(CLAIM_BYTES_MAX + 1)).is_err());
    }
}
