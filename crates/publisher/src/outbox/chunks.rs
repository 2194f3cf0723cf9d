//! Chunks: the rows that events are kept in, as large as one call to the host.
//!
//! What always holds: a chunk is of one stream, its numbers follow each other, and it is never larger than a batch, so
//! that reading one is reading a call's arguments. Events that share a commit share chunks.

use rusqlite::Connection;

use crate::core::StreamNo;
use crate::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, EVENT_OVERHEAD_BYTES};

/// Events, encoded ([`crate::frame`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) events: u32,
    pub(crate) data: Vec<u8>,
}

impl Chunk {
    /// Bytes of kinds and payloads.
    pub(super) fn content(&self) -> usize {
        self.data.len() - self.events as usize * EVENT_OVERHEAD_BYTES
    }

    /// Takes memory for so many events of this size, or as many of them as fit, if there is none for one: growing means
    /// copying what is there already.
    pub(crate) fn make_room_for(&mut self, events: usize, content: usize) {
        let event = content + EVENT_OVERHEAD_BYTES;
        if self.data.capacity() - self.data.len() < event {
            let events = events.min((BATCH_EVENTS_MAX - self.events.min(BATCH_EVENTS_MAX)) as usize);
            let fit = BATCH_BYTES_MAX.saturating_sub(self.content()) / content.max(1);
            self.data.reserve(events.min(fit).max(1) * event);
        }
    }

    /// Gives memory back that was taken for events larger than those that came.
    pub(crate) fn finished(mut self) -> Chunk {
        if self.data.capacity() > 2 * self.data.len() {
            self.data.shrink_to_fit();
        }
        self
    }

    /// Whether an event, or another chunk, of this size still fits.
    pub(crate) fn has_room_for(&self, events: u32, content: usize) -> bool {
        self.events + events <= BATCH_EVENTS_MAX && self.content() + content <= BATCH_BYTES_MAX
    }
}

/// A row's events, and the local number of the first of them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) first: u64,
    pub(super) chunk: Chunk,
}

impl Written {
    /// The local number of the last event.
    pub(super) fn last(&self) -> u64 {
        (self.first + u64::from(self.chunk.events)).saturating_sub(1)
    }
}

/// Puts the events of one stream into rows.
pub(super) struct Builder {
    stream: StreamNo,
    open: Written,
    written: Vec<Written>,
}

impl Builder {
    pub(super) fn new(stream: StreamNo) -> Builder {
        Builder { stream, open: Written::default(), written: Vec::new() }
    }

    /// Adds events from number `first` on, which follows what was added before.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        first: u64,
        chunk: Chunk,
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        if self.open.chunk.events > 0 && !self.open.chunk.has_room_for(chunk.events, chunk.content()) {
            self.write(connection, now_ms)?;
        }
        if self.open.chunk.events == 0 {
            self.open = Written { first, chunk };
        } else {
            self.open.chunk.events += chunk.events;
            self.open.chunk.data.extend_from_slice(&chunk.data);
        }
        Ok(())
    }

    /// Writes the last row; returns all of them.
    pub(super) fn finish(mut self, connection: &Connection, now_ms: i64) -> rusqlite::Result<Vec<Written>> {
        self.write(connection, now_ms)?;
        Ok(self.written)
    }

    fn write(&mut self, connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
        let Written { first, chunk } = &self.open;
        let bytes = i64::try_from(chunk.data.len()).unwrap_or(i64::MAX);
        connection
            .prepare_cached(
                "INSERT INTO chunk (stream, first, last, bytes, stored_ms, events) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                self.stream.cast_signed(),
                first.cast_signed(),
                self.open.last().cast_signed(),
                bytes,
                now_ms,
                &chunk.data,
            ))?;
        self.written.push(std::mem::take(&mut self.open));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(chunk: &mut Chunk, content: usize, following: usize) {
        chunk.make_room_for(1 + following, content);
        chunk.data.extend(std::iter::repeat_n(b'x', content + EVENT_OVERHEAD_BYTES));
        chunk.events += 1;
    }

    #[test]
    fn a_chunk_of_equal_events_takes_its_memory_once_and_no_more_than_they_need() {
        for (events, content) in [(1, 10), (500, 300), (2_000, 64), (2_000, 4_096)] {
            let mut chunk = Chunk::default();
            event(&mut chunk, content, events - 1);
            let capacity = chunk.data.capacity();
            for nth in 1..events {
                if chunk.has_room_for(1, content) {
                    event(&mut chunk, content, events - nth - 1);
                }
            }
            assert_eq!((chunk.data.len(), chunk.data.capacity()), (capacity, capacity), "{events} of {content}");
        }
    }

    #[test]
    fn memory_for_events_that_turned_out_small_is_given_back() {
        let mut chunk = Chunk::default();
        event(&mut chunk, 100_000, 500);
        for _ in 0..500 {
            event(&mut chunk, 1, 0);
        }
        let chunk = chunk.finished();
        assert!(chunk.data.capacity() <= 2 * chunk.data.len(), "{} of {}", chunk.data.len(), chunk.data.capacity());
    }
}
