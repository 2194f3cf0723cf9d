//! What was committed last, kept in memory so that it need not be read back to be sent.
//!
//! What always holds: only what is on the disk is in here, and what comes out is what reading it back would give, or
//! nothing; a stream's chunks stand in the order of their numbers. A chunk is gone once all of it was given out: what is sent
//! again is read. It holds at most [`RECENT_BYTES_MAX`], and what nobody wants is let go of when something else is kept a second later.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster_contract::producer::ProducerId;
use muster_contract::stream::StreamId;

use super::batch::{Args, Batch, Wanted};
use super::chunks::Written;
use crate::core::StreamNo;
use crate::frame::{self, Part};
use crate::limits::{RECENT_BYTES_MAX, RECENT_CHUNK_BYTES, RECENT_CHUNKS_MAX, RECENT_MS_MAX, ms};

/// Chunks that were committed last.
#[derive(Debug, Default)]
pub(super) struct Recent {
    streams: BTreeMap<StreamNo, Stream>,
    /// Which chunks came when, by their first numbers, the oldest first; some are gone already.
    order: VecDeque<(Instant, StreamNo, u64)>,
    bytes: usize,
}

#[derive(Debug)]
struct Stream {
    id: Arc<str>,
    /// In the order of their numbers; some between them may be missing.
    chunks: VecDeque<Arc<Written>>,
}

/// The events of a batch, before they are put together.
pub(super) struct Taken {
    id: Arc<str>,
    pieces: Vec<Piece>,
}

struct Piece {
    of: Arc<Written>,
    events: u32,
    /// Bytes of kinds and payloads.
    bytes: usize,
    at: usize,
    length: usize,
}

impl Recent {
    /// Keeps what was just committed, as far as there is room.
    pub(super) fn keep(&mut self, now: Instant, no: StreamNo, id: &StreamId, chunks: Vec<Written>) {
        self.let_go_of_old(now);
        for written in chunks {
            let (cost, first) = (cost(&written), written.first);
            if self.bytes + cost > RECENT_BYTES_MAX || self.order.len() >= RECENT_CHUNKS_MAX {
                return;
            }
            let stream =
                self.streams.entry(no).or_insert_with(|| Stream { id: id.as_str().into(), chunks: VecDeque::new() });
            debug_assert!(stream.chunks.back().is_none_or(|before| before.last() < first), "numbers rise");
            stream.chunks.push_back(Arc::new(written));
            self.order.push_back((now, no, first));
            self.bytes += cost;
        }
    }

    /// Gives out what is wanted, if all of it is here.
    pub(super) fn take(&mut self, wanted: &Wanted) -> Option<Taken> {
        self.forget(wanted.stream, wanted.first.saturating_sub(1));
        let stream = self.streams.get(&wanted.stream)?;
        let (mut pieces, mut events, mut content) = (Vec::new(), 0, 0);
        let mut chunks = stream.chunks.iter();
        while events < wanted.events_max {
            // Where they end, or some are missing, what comes next may belong to the batch.
            let next = wanted.first + u64::from(events);
            let chunk = chunks.next().filter(|chunk| chunk.first <= next)?;
            let part = part_of(chunk, next - chunk.first, wanted, events, content)?;
            (events, content) = (events + part.events, content + part.bytes);
            let is_full = chunk.first + u64::from(chunk.chunk.events) > wanted.first + u64::from(events);
            let Part { events, bytes, at, data } = part;
            pieces.push(Piece { of: chunk.clone(), events, bytes, at, length: data.len() });
            if is_full {
                break;
            }
        }
        let id = stream.id.clone();
        self.forget(wanted.stream, (wanted.first + u64::from(events)).saturating_sub(1));
        Some(Taken { id, pieces })
    }

    /// Lets go of a stream's chunks that end at this number or before it.
    pub(super) fn forget(&mut self, no: StreamNo, up_to: u64) {
        let Some(stream) = self.streams.get_mut(&no) else { return };
        while let Some(chunk) = stream.chunks.pop_front_if(|chunk| chunk.last() <= up_to) {
            self.bytes -= cost(&chunk);
        }
        if stream.chunks.is_empty() {
            self.streams.remove(&no);
        }
    }

    /// Lets go of all of a stream.
    pub(super) fn drop_stream(&mut self, no: StreamNo) {
        self.forget(no, u64::MAX);
    }

    #[cfg(test)]
    pub(super) fn holds(&self, no: StreamNo) -> bool {
        self.streams.contains_key(&no)
    }

    fn let_go_of_old(&mut self, now: Instant) {
        while let Some(&(since, no, first)) = self.order.front() {
            // A stream's chunks go in the order in which they came.
            let front = self.streams.get(&no).and_then(|stream| stream.chunks.front());
            match front.filter(|front| front.first <= first).map(|front| front.last()) {
                Some(last) if now.saturating_duration_since(since) > OLD => self.forget(no, last),
                Some(_) => return,
                None => {}
            }
            self.order.pop_front();
        }
    }
}

const OLD: Duration = ms(RECENT_MS_MAX);

/// What keeping a chunk takes, in bytes.
fn cost(written: &Written) -> usize {
    written.chunk.data.capacity() + RECENT_CHUNK_BYTES
}

/// As much of a chunk from its event `skip` on as there is room for.
fn part_of<'c>(written: &'c Written, skip: u64, wanted: &Wanted, events: u32, content: usize) -> Option<Part<'c>> {
    let (chunk, room) = (&written.chunk, wanted.room(events, content));
    if skip == 0 && chunk.events <= room.events && chunk.content() <= room.bytes {
        return Some(Part { events: chunk.events, bytes: chunk.content(), at: 0, data: &chunk.data });
    }
    frame::own_part(&chunk.data, skip, room).ok()
}

impl Taken {
    /// The call's arguments.
    pub(super) fn into_batch(self, producer: ProducerId, wanted: &Wanted) -> Batch {
        let mut args = Args::begin(&self.id, producer, wanted);
        args.reserve(self.pieces.iter().map(|piece| piece.length).sum());
        for Piece { of, events, bytes, at, length } in self.pieces {
            args.add(&Part { events, bytes, at, data: &of.chunk.data[at..at + length] });
        }
        args.finish()
    }
}
