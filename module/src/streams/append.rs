//! Events come in.
//!
//! What always holds: a batch is stored whole or not at all, and each event once. `seq` goes on from the stream's head
//! without a hole, in the order of the producer's numbers; events, head and the producer's cursor change in one
//! transaction. The payload is stored as the bytes that came, after their hash was checked. What came in one call is one row.

use muster_contract::append::check_batch;
use muster_contract::cursor::{Epoch, Seq};
use muster_contract::page::{PageRef, RIDING_BYTES_MAX, RunRef};
use muster_contract::producer::{Admit, ProducerId, Run, admit, check_expected};
use muster_contract::stream::StreamId;
use muster_contract::{Code, Refusal};
use spacetimedb::rand::Rng;
use spacetimedb::sats::bsatn;
use spacetimedb::{ReducerContext, Table, reducer};

use super::packed::{Called, check_hash};
use super::tables::{
    ProducerCursor, Signal, SyncEvent, SyncProducer, SyncStream, producer_cursor, sync_event, sync_producer,
    sync_stream,
};
use super::{epoch_changed, find, follow, grants, parse_id};

/// Appends the events that a producer numbers `first`, `first + 1`, … to a stream, which the first append makes.
///
/// `epoch` is the life of the stream that the producer means; 0 if it knows none. `expected_next_seq` is the `seq` that it
/// expects for the first event; 0 for any. What is stored already is acknowledged and left out.
///
/// # Errors
/// A refusal; nothing is stored then. In this order: the limits of events and batch, `bad_stream_id`, what the grants refuse,
/// `invalid_request` for what is no producer id, `forbidden_stream` for another identity's, `epoch_changed`, `producer_hole`,
/// `sequence_conflict`, `payload_hash_mismatch`.
#[reducer]
pub fn append_events(
    ctx: &ReducerContext,
    stream: String,
    epoch: u64,
    producer: String,
    first: u64,
    expected_next_seq: u64,
    events: Called,
) -> Result<(), String> {
    let batch = Batch { epoch, producer, first, expected_next_seq, events };
    append(ctx, &stream, batch).map_err(|refusal| refusal.to_wire())
}

/// [`append_events`] for a publisher in a hurry: the same events as one byte string, the BSATN of a list of
/// `muster_contract::page::NewEvent`. The host looks into every argument and makes a value of each part of it, a handful for
/// each event; of a byte string it makes one (docs/performance.md).
///
/// # Errors
/// As [`append_events`]; and first of all `batch_too_large` for more bytes than any batch has, and `invalid_batch` for bytes
/// that are no such list.
#[reducer]
pub fn append_encoded(
    ctx: &ReducerContext,
    stream: String,
    epoch: u64,
    producer: String,
    first: u64,
    expected_next_seq: u64,
    events: Vec<u8>,
) -> Result<(), String> {
    let appended = Called::read(&events).and_then(|events| {
        let batch = Batch { epoch, producer, first, expected_next_seq, events };
        append(ctx, &stream, batch)
    });
    appended.map_err(|refusal| refusal.to_wire())
}

struct Batch {
    epoch: u64,
    producer: String,
    first: u64,
    expected_next_seq: u64,
    events: Called,
}

fn append(ctx: &ReducerContext, stream: &str, batch: Batch) -> Result<(), Refusal> {
    let size = check_batch(batch.events.events().map(|event| (event.kind, event.payload.len())))?;
    let count = u32::try_from(size.events).expect("a batch has at most as many events as the limit says");
    let run = Run::new(batch.first, count).ok_or_else(|| {
        Refusal::new(Code::InvalidBatch, format!("{count} events numbered from {} on are no numbers", batch.first))
    })?;
    let id = parse_id(stream)?;
    grants::may_append(ctx, &id)?;
    let producer = known_producer(ctx, &batch.producer)?;

    let stream = find(ctx, &id);
    let present = stream.as_ref().map_or(0, |stream| stream.epoch);
    if batch.epoch != 0 && batch.epoch != present {
        return Err(epoch_changed(batch.epoch, present));
    }
    let cursor = stream.as_ref().zip(producer.as_ref()).and_then(|(stream, producer)| cursor_of(ctx, stream, producer));
    let skip = match admit(cursor.as_ref().map_or(0, |cursor| cursor.number), run) {
        Admit::Duplicate => return Ok(()),
        Admit::Append { skip } => skip,
        Admit::Hole { expected } => {
            let message = format!("event {} of this producer came before event {expected}", run.first());
            return Err(Refusal::new(Code::ProducerHole, message).expecting(expected));
        }
    };
    let expected = Some(batch.expected_next_seq).filter(|seq| *seq != 0).map(Seq::new);
    let head = stream.as_ref().map_or(Seq::NONE, |stream| stream.head.into());
    check_expected(expected, head, skip).map_err(|conflict| {
        Refusal::new(Code::SequenceConflict, conflict.to_string()).expecting(conflict.next.get())
    })?;
    let fresh = batch.events.without_first(skip as usize);
    check_hashes(&fresh, skip)?;

    let producer = producer.unwrap_or_else(|| new_producer(ctx, batch.producer));
    let to =
        Numbered { producer: producer.no, first: run.last() + 1 - fresh.events().count() as u64, last: run.last() };
    let mark_before = stream.as_ref().map_or(0, |stream| stream.head_mark);
    let (before, stream) = grown(ctx, stream, &id, &fresh, mark_after(mark_before, &to, &fresh));
    let (what, page) = if before == 0 {
        (Signal::NewStream, Vec::new())
    } else {
        (Signal::Ahead, riding(&stream, before + 1, mark_before, &to, &fresh))
    };
    store(ctx, &stream, before + 1, &to, mark_before, fresh);
    note_cursor(ctx, cursor, &to, &stream);
    follow::signal(ctx, &id, stream.no, what, &page);
    Ok(())
}

/// What rides on the signals: the page that a reader of everything before would be given, if it is small enough. It ends at
/// the head.
fn riding(stream: &SyncStream, first: u64, mark: u64, numbered: &Numbered, events: &Called) -> Vec<u8> {
    let packed = events.events();
    if packed.bytes() > RIDING_BYTES_MAX {
        return Vec::new();
    }
    let runs = vec![RunRef::of(numbered.producer, numbered.first, packed)];
    let SyncStream { epoch, floor_seq: floor, head, .. } = *stream;
    let page = PageRef { epoch, floor, head, first, mark, runs };
    let page = bsatn::to_vec(&page).expect("numbers and texts encode");
    if page.len() > RIDING_BYTES_MAX { Vec::new() } else { page }
}

/// The producer's row, if it has been here before; only who was first with an id may use it.
pub(super) fn known_producer(ctx: &ReducerContext, id: &str) -> Result<Option<SyncProducer>, Refusal> {
    id.parse::<ProducerId>().map_err(|error| Refusal::new(Code::InvalidRequest, error.to_string()))?;
    let producer = ctx.db.sync_producer().id().find(id.to_owned());
    match &producer {
        Some(known) if known.identity != ctx.sender() => {
            let message = "this producer id belongs to another identity: keep the token beside the outbox";
            Err(Refusal::new(Code::ForbiddenStream, message))
        }
        _ => Ok(producer),
    }
}

/// A row for a producer that was not here before.
pub(super) fn new_producer(ctx: &ReducerContext, id: String) -> SyncProducer {
    let row = SyncProducer { no: 0, id, identity: ctx.sender(), first_seen: ctx.timestamp };
    ctx.db.sync_producer().insert(row)
}

/// How far the producer's events were accepted in the stream's present life.
pub(super) fn cursor_of(ctx: &ReducerContext, stream: &SyncStream, producer: &SyncProducer) -> Option<ProducerCursor> {
    ctx.db.producer_cursor().by_stream_producer().filter((stream.no, producer.no)).next()
}

/// Hashes each payload once.
fn check_hashes(events: &Called, skipped: u32) -> Result<(), Refusal> {
    for (event, index) in events.events().zip(skipped..) {
        check_hash(event.payload, event.hash).map_err(|refusal| refusal.at_event(index))?;
    }
    Ok(())
}

/// How a producer numbers events.
struct Numbered {
    producer: u64,
    first: u64,
    last: u64,
}

/// The mark of the last of these events, which stands for all before it.
fn mark_after(before: u64, to: &Numbered, events: &Called) -> u64 {
    let numbered = events.events().zip(to.first..);
    numbered.fold(before, |previous, (event, number)| event.mark(previous, to.producer, number))
}

/// The stream's row with room for these events, made if there is none, and the head before them.
fn grown(
    ctx: &ReducerContext,
    stream: Option<SyncStream>,
    id: &StreamId,
    events: &Called,
    head_mark: u64,
) -> (u64, SyncStream) {
    let (count, bytes) = (events.events().count() as u64, events.events().bytes());
    let Some(mut stream) = stream else {
        return (0, born(ctx, id, count, bytes as u64, head_mark));
    };
    let before = stream.head;
    stream.head += count;
    stream.head_mark = head_mark;
    stream.bytes += bytes as u64;
    stream.appended_at = ctx.timestamp;
    (before, ctx.db.sync_stream().no().update(stream))
}

fn born(ctx: &ReducerContext, id: &StreamId, head: u64, bytes: u64, head_mark: u64) -> SyncStream {
    let row = SyncStream {
        no: 0,
        id: id.as_str().into(),
        epoch: new_epoch(ctx),
        head,
        floor_seq: 1,
        head_mark,
        floor_mark: 0,
        bytes,
        snapshot_seq: 0,
        created_at: ctx.timestamp,
        appended_at: ctx.timestamp,
    };
    ctx.db.sync_stream().insert(row)
}

/// A new epoch. The host seeds each call's numbers with its time, so that a call repeated later draws others.
pub(super) fn new_epoch(ctx: &ReducerContext) -> u64 {
    Epoch::from_random(ctx.rng().r#gen()).get()
}

fn store(ctx: &ReducerContext, stream: &SyncStream, seq: u64, numbered: &Numbered, mark_before: u64, events: Called) {
    ctx.db.sync_event().insert(SyncEvent {
        stream: stream.no,
        seq,
        events: u32::try_from(events.events().count()).expect("a batch has at most as many events as the limit says"),
        producer: numbered.producer,
        number: numbered.first,
        mark_before,
        stored_at: ctx.timestamp,
        kinds: events.0.kinds,
        payloads: events.0.payloads,
        heads: events.0.heads,
    });
}

fn note_cursor(ctx: &ReducerContext, cursor: Option<ProducerCursor>, to: &Numbered, stream: &SyncStream) {
    let (number, seq, at) = (to.last, stream.head, ctx.timestamp);
    let table = ctx.db.producer_cursor();
    match cursor {
        Some(cursor) => {
            table.id().update(ProducerCursor { number, seq, at, ..cursor });
        }
        None => {
            let (stream, producer) = (stream.no, to.producer);
            table.insert(ProducerCursor { id: 0, stream, producer, number, seq, at });
        }
    }
}
