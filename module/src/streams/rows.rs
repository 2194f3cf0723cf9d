//! Finding the rows that hold events: a row holds the events of one append, under the `seq` of its first.
//!
//! What always holds: the rows of a stream hold every event from its floor to its head, each once, and follow each other
//! without a hole; only the first may reach below the floor. The host reads a range of an index to its end before the first
//! row of it arrives, so no range asked for here is much larger than what is wanted: a reader begins with one row and
//! doubles what it asks for, up to a few dozen.

use std::vec::IntoIter;

use muster_contract::limits::BATCH_EVENTS_MAX;
use muster_contract::packed::{Event, Packed};
use spacetimedb::ReducerContext;

use super::limits::ROWS_WINDOW_MAX;
use super::tables::{SyncEvent, sync_event};

/// What is said of a row that is not where the rows before it say.
const WITHOUT_A_HOLE: &str = "the rows of a stream hold every event from its floor to its head";

impl SyncEvent {
    /// The `seq` behind its last event.
    pub fn end(&self) -> u64 {
        self.seq + u64::from(self.events)
    }

    /// Its kinds and payloads, in bytes, and their line feeds.
    pub fn bytes(&self) -> u64 {
        (self.kinds.len() + self.payloads.len()) as u64
    }

    /// Its events.
    pub fn packed(&self) -> Packed<'_> {
        Packed { heads: &self.heads, kinds: &self.kinds, payloads: &self.payloads }
    }

    /// Its events from this `seq` on, each with its `seq` and its producer's number.
    pub fn from(&self, seq: u64) -> impl Iterator<Item = (u64, u64, Event<'_>)> {
        let numbered =
            (self.seq..).zip(self.number..).zip(self.packed()).map(|((seq, number), event)| (seq, number, event));
        numbered.skip(seq.saturating_sub(self.seq) as usize)
    }

    /// The mark of one of its events, or of the one before its first.
    pub fn mark_of(&self, seq: u64) -> u64 {
        let before = self.from(self.seq).take_while(|(place, ..)| *place <= seq);
        before.fold(self.mark_before, |previous, (_, number, event)| event.mark(previous, self.producer, number))
    }
}

/// The row that holds this event, if it is held.
pub(super) fn holding(ctx: &ReducerContext, stream: u64, seq: u64) -> Option<SyncEvent> {
    // Mostly it is the first of its row. A row reaches back no further than a batch may.
    let table = ctx.db.sync_event();
    let first = table.by_stream_seq().filter((stream, seq)).next();
    let mut back = 1;
    let mut found = first;
    while found.is_none() && back < 2 * BATCH_EVENTS_MAX as u64 && seq > 1 {
        let range = seq.saturating_sub(back).max(1)..seq;
        found = table.by_stream_seq().filter((stream, range)).max_by_key(|row| row.seq);
        back *= 2;
    }
    found.filter(|row| seq < row.end())
}

/// The rows that hold the events `from..=last`, which a stream holds.
pub(super) fn rows(ctx: &ReducerContext, stream: u64, from: u64, last: u64) -> Rows<'_> {
    Rows { ctx, stream, next: from, last, window: 1, read: Vec::new().into_iter(), begun: false }
}

/// See [`rows`].
pub(super) struct Rows<'a> {
    ctx: &'a ReducerContext,
    stream: u64,
    /// The `seq` at which the next row begins; before the first, one that it holds.
    next: u64,
    last: u64,
    /// How many numbers the next range has.
    window: u64,
    read: IntoIter<SyncEvent>,
    begun: bool,
}

impl Iterator for Rows<'_> {
    type Item = SyncEvent;

    fn next(&mut self) -> Option<SyncEvent> {
        if self.next > self.last {
            return None;
        }
        let row = if self.begun { self.read.next().unwrap_or_else(|| self.more()) } else { self.first() };
        assert!(!self.begun || row.seq == self.next, "{WITHOUT_A_HOLE}");
        self.begun = true;
        self.next = row.end();
        Some(row)
    }
}

impl Rows<'_> {
    fn first(&self) -> SyncEvent {
        holding(self.ctx, self.stream, self.next).expect(WITHOUT_A_HOLE)
    }

    fn more(&mut self) -> SyncEvent {
        let end = self.last.min(self.next.saturating_add(self.window - 1));
        let rows = self.ctx.db.sync_event().by_stream_seq().filter((self.stream, self.next..=end));
        self.read = rows.collect::<Vec<_>>().into_iter();
        self.window = (self.window * 2).min(ROWS_WINDOW_MAX);
        self.read.next().expect(WITHOUT_A_HOLE)
    }
}
