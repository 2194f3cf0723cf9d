//! Snapshots: what a stream comes to, up to a `seq`, as a producer sums it up.
//!
//! What always holds: a stream has one snapshot at most, the newest; it reaches to an event that the stream has had, in
//! its present life, and a reader can go on from it: nothing between it and the floor is missing.

use muster_contract::page::{SNAPSHOT_BYTES_MAX, WireHash};
use muster_contract::{Code, Refusal};
use spacetimedb::{ReducerContext, reducer};

use super::append::{known_producer, new_producer};
use super::packed::check_hash;
use super::read::mark_of;
use super::tables::{SyncSnapshot, SyncStream, sync_snapshot, sync_stream};
use super::{find_in_epoch, grants, parse_id};

/// Puts a snapshot in the place of the one there is. The same one again is acknowledged and changes nothing.
///
/// # Errors
/// A refusal, and nothing is changed: `payload_too_large` beyond a mebibyte, `bad_stream_id`, `forbidden_stream`,
/// `epoch_changed`, `sequence_conflict` if it reaches past the head, or not past the present one, or not to the floor,
/// `payload_hash_mismatch`.
#[reducer]
pub fn put_snapshot(
    ctx: &ReducerContext,
    stream: String,
    epoch: u64,
    seq: u64,
    payload: String,
    hash: WireHash,
    producer: String,
) -> Result<(), String> {
    let offered = Offered { seq, payload, hash };
    put(ctx, &stream, epoch, offered, producer).map_err(|refusal| refusal.to_wire())
}

struct Offered {
    seq: u64,
    payload: String,
    hash: WireHash,
}

fn put(ctx: &ReducerContext, stream: &str, epoch: u64, offered: Offered, producer: String) -> Result<(), Refusal> {
    if offered.payload.len() > SNAPSHOT_BYTES_MAX {
        let message = format!("a snapshot of {} bytes, and {SNAPSHOT_BYTES_MAX} are the most", offered.payload.len());
        return Err(Refusal::new(Code::PayloadTooLarge, message));
    }
    let id = parse_id(stream)?;
    grants::may_snapshot(ctx, &id)?;
    let known = known_producer(ctx, &producer)?;
    let stream = find_in_epoch(ctx, &id, epoch)?;
    let present = ctx.db.sync_snapshot().stream().find(stream.no);
    if present.as_ref().is_some_and(|row| (row.seq, row.payload_hash) == (offered.seq, offered.hash)) {
        return Ok(());
    }
    check_reach(&stream, offered.seq)?;
    check_hash(&offered.payload, offered.hash)?;
    let producer = known.unwrap_or_else(|| new_producer(ctx, producer)).no;
    let Offered { seq, payload, hash } = offered;
    let mark = mark_of(ctx, &stream, seq);
    let (stream_no, at) = (stream.no, ctx.timestamp);
    let row = SyncSnapshot { stream: stream_no, epoch, seq, payload, payload_hash: hash, mark, producer, at };
    ctx.db.sync_snapshot().stream().insert_or_update(row);
    ctx.db.sync_stream().no().update(SyncStream { snapshot_seq: seq, ..stream });
    Ok(())
}

/// Whether a snapshot up to `seq` is newer than the present one, and can be gone on from.
fn check_reach(stream: &SyncStream, seq: u64) -> Result<(), Refusal> {
    let conflict = |message: String, expected| Err(Refusal::new(Code::SequenceConflict, message).expecting(expected));
    if seq > stream.head {
        return conflict(format!("a snapshot up to {seq} of a stream that ends with {}", stream.head), stream.head);
    }
    if seq <= stream.snapshot_seq {
        let next = stream.snapshot_seq + 1;
        return conflict(format!("a snapshot up to {seq}, where there is one up to {}", stream.snapshot_seq), next);
    }
    if seq + 1 < stream.floor_seq {
        let lowest = stream.floor_seq - 1;
        return conflict(format!("a snapshot up to {seq} of a stream that begins with {}", stream.floor_seq), lowest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use spacetimedb::Timestamp;

    fn expected(floor: u64, head: u64, snapshot_seq: u64, seq: u64) -> Option<u64> {
        let at = Timestamp::UNIX_EPOCH;
        let stream = SyncStream {
            no: 1,
            id: "a".into(),
            epoch: 1,
            head,
            floor_seq: floor,
            head_mark: 9,
            floor_mark: 5,
            bytes: 0,
            snapshot_seq,
            created_at: at,
            appended_at: at,
        };
        check_reach(&stream, seq).err().map(|refusal| refusal.details.expected.expect("what would do"))
    }

    #[test]
    fn a_snapshot_is_newer_than_the_last_one_and_reaches_from_floor_to_head() {
        assert_eq!(expected(1, 9, 0, 9), None);
        assert_eq!(expected(1, 9, 0, 1), None);
        assert_eq!(expected(5, 9, 0, 4), None);
        assert_eq!(expected(1, 9, 0, 10), Some(9));
        assert_eq!(expected(1, 9, 0, 0), Some(1));
        assert_eq!(expected(1, 9, 4, 4), Some(5));
        assert_eq!(expected(5, 9, 0, 3), Some(4));
    }
}
