//! What a session reads of streams: lists, pages, and how far a producer has got.
//!
//! What always holds: each procedure reads in one transaction, so what an answer says of a stream was true at one
//! moment; on a connection that asks for confirmed reads, the host gives the answer out once that moment is durable.
//! What an answer holds is bounded, and what is scanned for it as well. A cursor is judged by `muster_contract::resume`
//! alone.

use std::ops::Range;

use muster_contract::packed::{Event, Packed};
use muster_contract::page::{
    Answer, AnswerValue, LIST_STREAMS_MAX, PRODUCER_STATES_MAX, Page, PageRef, ProducerState, RunRef, Snapshot, Stale,
    StreamInfo, StreamList,
};
use muster_contract::pattern::StreamPattern;
use muster_contract::resume::{Resume, StaleReason, decide};
use muster_contract::stream::StreamId;
use muster_contract::{Code, Refusal};
use spacetimedb::{ProcedureContext, ReducerContext, procedure};

use super::append::{cursor_of, known_producer};
use super::filling::Filling;
use super::limits::LIST_SCAN_MAX;
use super::tables::{SyncEvent, SyncStream, sync_snapshot, sync_stream};
use super::{find, grants, parse_id, parse_pattern, rows};

/// The streams of a pattern with numbers above `after`, in order.
///
/// Answers [`StreamList`]; refuses what is no pattern.
#[procedure]
pub fn list_streams(ctx: &mut ProcedureContext, pattern: String, after_no: u64) -> Vec<u8> {
    answer(ctx.with_tx(|tx| list(tx, &pattern, after_no).map(Answer::Ok)))
}

/// The events of a stream behind `after`: at most `max_events` of them and `max_bytes` bytes of kinds and payloads, but at
/// least one if there is one. `epoch` 0 stands for the present life. `after_mark` is the mark of the event `after`, where the
/// reader has it, else 0: another mark here means another history.
///
/// Answers [`Page`], or [`Stale`] where the cursor does not hold.
#[procedure]
pub fn read_page(
    ctx: &mut ProcedureContext,
    stream: String,
    epoch: u64,
    after: u64,
    after_mark: u64,
    max_events: u32,
    max_bytes: u32,
) -> Vec<u8> {
    let filling = Filling::up_to(max_events, max_bytes);
    let page = ctx.with_tx(|tx| page(tx, &stream, &Cursor { epoch, after, mark: after_mark }, filling));
    page.unwrap_or_else(|refusal| Answer::<Page>::Refused(refusal.to_wire()).to_bytes())
}

/// The newest snapshot of a stream, if there is one. `epoch` 0 stands for the present life.
///
/// Answers `Option<Snapshot>`, or [`Stale`] where the stream has another epoch.
#[procedure]
pub fn read_snapshot(ctx: &mut ProcedureContext, stream: String, epoch: u64) -> Vec<u8> {
    answer(ctx.with_tx(|tx| snapshot(tx, &stream, epoch)))
}

/// How far a producer's events of these streams were accepted, in the order of the streams.
///
/// Answers `Vec<ProducerState>`; refuses a producer of another identity, and streams that the caller may not append to, with
/// the place of the first of them in `details.event`, so that the others can be asked about without it.
#[procedure]
pub fn producer_state(ctx: &mut ProcedureContext, producer: String, streams: Vec<String>) -> Vec<u8> {
    answer(ctx.with_tx(|tx| states(tx, &producer, &streams).map(Answer::Ok)))
}

fn answer<T: AnswerValue>(result: Result<Answer<T>, Refusal>) -> Vec<u8> {
    result.unwrap_or_else(|refusal| Answer::Refused(refusal.to_wire())).to_bytes()
}

fn list(ctx: &ReducerContext, pattern: &str, after_no: u64) -> Result<StreamList, Refusal> {
    let pattern = parse_pattern(pattern)?;
    let grants = grants::of_caller(ctx)?;
    grants.may_follow(&pattern)?;
    if let StreamPattern::Exact(id) = &pattern {
        let found = find(ctx, id).filter(|stream| stream.no > after_no);
        let resume_after = found.as_ref().map_or(after_no, |stream| stream.no);
        return Ok(StreamList { streams: found.into_iter().map(info).collect(), more: false, resume_after });
    }
    if let StreamPattern::Under(prefix) = &pattern
        && let Some(few) = few_below(ctx, prefix)
    {
        let mut streams: Vec<_> = few.into_iter().filter(|stream| stream.no > after_no).map(info).collect();
        streams.retain(|stream| parse_id(&stream.id).is_ok_and(|id| grants.may_read(&id).is_ok()));
        streams.sort_unstable_by_key(|stream| stream.no);
        let resume_after = streams.last().map_or(after_no, |stream| stream.no);
        return Ok(StreamList { streams, more: false, resume_after });
    }
    let mut list = StreamList { streams: Vec::new(), more: false, resume_after: after_no };
    let rows = ctx.db.sync_stream().by_no().filter(after_no.saturating_add(1)..);
    for (looked_at, stream) in rows.enumerate() {
        if looked_at == LIST_SCAN_MAX || list.streams.len() == LIST_STREAMS_MAX {
            list.more = true;
            break;
        }
        list.resume_after = stream.no;
        let id = parse_id(&stream.id)?;
        if pattern.matches(&id) && grants.may_read(&id).is_ok() {
            list.streams.push(info(stream));
        }
    }
    Ok(list)
}

/// The streams below a prefix, if one answer has room for them all: found by their ids, so that they cost the same however
/// many streams there are elsewhere. More than that are looked for by number, as all streams are.
fn few_below(ctx: &ReducerContext, prefix: &StreamId) -> Option<Vec<SyncStream>> {
    let Range { start, end } = ids_below(prefix);
    let rows = ctx.db.sync_stream().by_id().filter(start.as_str()..end.as_str());
    let rows: Vec<_> = rows.take(LIST_STREAMS_MAX + 1).collect();
    (rows.len() <= LIST_STREAMS_MAX).then_some(rows)
}

/// The ids below a prefix, and no others: those that begin with the prefix and a dot. `/` is what comes behind the dot.
fn ids_below(prefix: &StreamId) -> Range<String> {
    format!("{prefix}.")..format!("{prefix}/")
}

fn info(stream: SyncStream) -> StreamInfo {
    let SyncStream { no, id, epoch, floor_seq: floor, head, snapshot_seq, .. } = stream;
    StreamInfo { no, id, epoch, floor, head, snapshot_seq }
}

/// Where a reader says that it is.
struct Cursor {
    epoch: u64,
    after: u64,
    mark: u64,
}

fn page(ctx: &ReducerContext, id: &str, cursor: &Cursor, filling: Filling) -> Result<Vec<u8>, Refusal> {
    let stream = match readable(ctx, id, cursor.epoch, cursor.after)? {
        Ok(stream) => stream,
        Err(stale) => return Ok(Answer::<Page>::Stale(stale).to_bytes()),
    };
    let (rows, count) = rows_of_page(ctx, &stream, cursor.after, filling);
    // The first row mostly begins behind the cursor, and has the mark.
    let mark = match rows.first().filter(|row| row.seq <= cursor.after + 1) {
        Some(row) => row.mark_of(cursor.after),
        None => mark_of(ctx, &stream, cursor.after),
    };
    if diverged(mark, cursor.mark) {
        return Ok(Answer::<Page>::Stale(stream.stale(StaleReason::HistoryDiverged.as_str())).to_bytes());
    }
    let runs = runs_of_page(&rows, cursor.after, count);
    let SyncStream { epoch, floor_seq: floor, head, .. } = stream;
    Ok(Answer::Ok(PageRef { epoch, floor, head, first: cursor.after + 1, mark, runs }).to_bytes())
}

/// The stream, if the caller may read it and may go on from its cursor.
fn readable(ctx: &ReducerContext, id: &str, epoch: u64, after: u64) -> Result<Result<SyncStream, Stale>, Refusal> {
    let id = parse_id(id)?;
    grants::may_read(ctx, &id)?;
    let Some(stream) = find(ctx, &id) else {
        let reason = StaleReason::StreamMissing.as_str().into();
        return Ok(Err(Stale { reason, epoch: 0, floor: 1, head: 0, snapshot_seq: 0 }));
    };
    match decide(Some(stream.position(epoch, after)), Some(&stream.bounds()), None) {
        Resume::Stale { reason, .. } => Ok(Err(stream.stale(reason.as_str()))),
        _ => Ok(Ok(stream)),
    }
}

/// The mark of an event from `floor - 1` to the head, which is where a cursor may be.
pub(super) fn mark_of(ctx: &ReducerContext, stream: &SyncStream, seq: u64) -> u64 {
    if seq == stream.head {
        stream.head_mark
    } else if seq < stream.floor_seq {
        stream.floor_mark
    } else {
        rows::holding(ctx, stream.no, seq).expect("a stream holds every event from its floor to its head").mark_of(seq)
    }
}

/// Whether the reader's history is another one. A host that was restored from an older copy and appended to since has the
/// same epoch and a head that may reach past the cursor. A reader without a mark has nothing to compare.
fn diverged(here: u64, claimed: u64) -> bool {
    claimed != 0 && claimed != here
}

/// The rows with what a page takes of the events behind `after`, and how many events that is.
fn rows_of_page(
    ctx: &ReducerContext,
    stream: &SyncStream,
    after: u64,
    mut filling: Filling,
) -> (Vec<SyncEvent>, usize) {
    let last = stream.head.min(after.saturating_add(filling.events_left()));
    let (mut rows, mut count) = (Vec::new(), 0);
    for row in rows::rows(ctx, stream.no, after + 1, last) {
        let events = behind(&row, after);
        let taken = filling.takes_of(events);
        count += taken;
        let is_full = taken < events.count() || filling.is_full();
        rows.push(row);
        if is_full {
            break;
        }
    }
    (rows, count)
}

/// A row's events behind `after`.
fn behind(row: &SyncEvent, after: u64) -> Packed<'_> {
    row.packed().split_at((after + 1).saturating_sub(row.seq) as usize).1
}

/// The first `count` events behind `after` of these rows, a run for each row.
fn runs_of_page(rows: &[SyncEvent], after: u64, mut count: usize) -> Vec<RunRef<'_>> {
    let run = |row| {
        let events = behind(row, after);
        let skipped = u64::from(row.events) - events.count() as u64;
        let events = if events.count() <= count { events } else { events.split_at(count).0 };
        count -= events.count();
        RunRef::of(row.producer, row.number + skipped, events)
    };
    rows.iter().map(run).filter(|run| !run.heads.is_empty()).collect()
}

fn snapshot(ctx: &ReducerContext, id: &str, epoch: u64) -> Result<Answer<Option<Snapshot>>, Refusal> {
    let id = parse_id(id)?;
    grants::may_read(ctx, &id)?;
    let Some(stream) = find(ctx, &id) else {
        let reason = StaleReason::StreamMissing.as_str().into();
        return Ok(Answer::Stale(Stale { reason, epoch: 0, floor: 1, head: 0, snapshot_seq: 0 }));
    };
    if epoch != 0 && epoch != stream.epoch {
        return Ok(Answer::Stale(stream.stale(StaleReason::EpochChanged.as_str())));
    }
    let row = ctx.db.sync_snapshot().stream().find(stream.no);
    Ok(Answer::Ok(row.map(|row| Snapshot {
        epoch: row.epoch,
        seq: row.seq,
        payload: row.payload,
        hash: row.payload_hash,
        mark: row.mark,
        at: row.at,
    })))
}

fn states(ctx: &ReducerContext, producer: &str, streams: &[String]) -> Result<Vec<ProducerState>, Refusal> {
    if streams.len() > PRODUCER_STATES_MAX {
        let message = format!("{} streams asked for, and {PRODUCER_STATES_MAX} are the most", streams.len());
        return Err(Refusal::new(Code::BatchTooLarge, message));
    }
    let grants = grants::of_caller(ctx)?;
    grants.may_write()?;
    let producer = known_producer(ctx, producer)?;
    let state = |id: &String| {
        let Some(stream) = find_to_append(ctx, &grants, id)? else {
            return Ok(ProducerState::without_event(0, 0, 0));
        };
        let Some(cursor) = producer.as_ref().and_then(|producer| cursor_of(ctx, &stream, producer)) else {
            return Ok(ProducerState::without_event(stream.epoch, 0, stream.head));
        };
        let state = ProducerState::without_event(stream.epoch, cursor.number, stream.head);
        // Retention may have deleted it; its number stays.
        let row = rows::holding(ctx, stream.no, cursor.seq).filter(|_| stream.floor_seq <= cursor.seq);
        let event = row.as_ref().and_then(|row| row.from(cursor.seq).next());
        Ok(event.map_or(state.clone(), |(_, _, Event { hash, at, .. })| ProducerState { hash, at, ..state }))
    };
    let named = |(id, index)| state(id).map_err(|refusal: Refusal| refusal.at_event(index));
    streams.iter().zip(0..).map(named).collect()
}

/// The stream, if there is one, that the caller may append to.
fn find_to_append(ctx: &ReducerContext, grants: &grants::Grants, id: &str) -> Result<Option<SyncStream>, Refusal> {
    let id = parse_id(id)?;
    grants.may_append(&id)?;
    Ok(find(ctx, &id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_of_a_prefix_has_exactly_the_ids_that_its_pattern_matches() {
        let prefix = StreamId::parse("a.b").expect("an id");
        let range = ids_below(&prefix);
        let pattern = StreamPattern::Under(prefix);
        let ids =
            ["a", "a.b", "a.b.c", "a.b.c.d", "a.b.%20", "a.b.-", "a.b.zz", "a.b-", "a.b-.c", "a.b%20.c", "a.bc.d"];
        for id in ids.iter().chain(&["a.b0.c", "a.c", "A.b.c", "b.a.b.c"]) {
            let id = StreamId::parse(id).expect(id);
            assert_eq!(range.contains(&id.to_string()), pattern.matches(&id), "{id}");
        }
    }
}
