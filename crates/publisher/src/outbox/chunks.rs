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
    fn content(&self) -> usize {
        self.data.len() - self.events as usize * EVENT_OVERHEAD_BYTES
    }

    /// Whether an event, or another chunk, of this size still fits.
    pub(crate) fn has_room_for(&self, events: u32, content: usize) -> bool {
        self.events + events <= BATCH_EVENTS_MAX && self.content() + content <= BATCH_BYTES_MAX
    }
}

/// Puts the events of one stream into rows.
pub(super) struct Builder {
    stream: StreamNo,
    first: u64,
    chunk: Chunk,
}

impl Builder {
    pub(super) fn new(stream: StreamNo) -> Builder {
        Builder { stream, first: 0, chunk: Chunk::default() }
    }

    /// Adds events from number `first` on, which follows what was added before.
    pub(super) fn add(
        &mut self,
        connection: &Connection,
        first: u64,
        chunk: Chunk,
        now_ms: i64,
    ) -> rusqlite::Result<()> {
        if self.chunk.events > 0 && !self.chunk.has_room_for(chunk.events, chunk.content()) {
            self.write(connection, now_ms)?;
            self.chunk = Chunk::default();
        }
        if self.chunk.events == 0 {
            (self.first, self.chunk) = (first, chunk);
        } else {
            self.chunk.events += chunk.events;
            self.chunk.data.extend_from_slice(&chunk.data);
        }
        Ok(())
    }

    pub(super) fn finish(self, connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
        self.write(connection, now_ms)
    }

    fn write(&self, connection: &Connection, now_ms: i64) -> rusqlite::Result<()> {
        let last = self.first + u64::from(self.chunk.events) - 1;
        let bytes = i64::try_from(self.chunk.data.len()).unwrap_or(i64::MAX);
        connection
            .prepare_cached(
                "INSERT INTO chunk (stream, first, last, bytes, stored_ms, events) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute((
                self.stream.cast_signed(),
                self.first.cast_signed(),
                last.cast_signed(),
                bytes,
                now_ms,
                &self.chunk.data,
            ))?;
        Ok(())
    }
}
