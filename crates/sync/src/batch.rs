//! What is applied in one piece: a run of events, or a new beginning.
//!
//! What always holds: a [`Batch`] says which cursor it comes after ([`Batch::after`]) and which one it leads to
//! ([`Batch::ends`]); the store applies it only to the former, and writes the latter in the same transaction as the
//! application's effects.

use muster_contract::cursor::{Epoch, Position, Seq};
use muster_contract::page::{Snapshot, StoredEvent};
use muster_contract::resume::StaleReason;
use muster_contract::stream::StreamId;

/// Where a stream stands in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Everything up to here has been applied.
    pub position: Position,
    /// The mark of the last applied event (`muster_contract::page::mark`), which the host compares with its own: it stands for everything up to
    /// there. `None` where nothing before this place is known here.
    pub mark: Option<u64>,
}

impl Place {
    /// A place before which nothing is known here.
    pub fn new(epoch: Epoch, seq: Seq) -> Place {
        Place { position: Position { epoch, seq }, mark: None }
    }
}

/// One step of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Which stream.
    pub stream: StreamId,
    /// The cursor that it comes after; `None` where the store has none of this stream.
    pub after: Option<Position>,
    /// What happens.
    pub change: Change,
}

/// What a batch does.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Consecutive events, the first right after the cursor. Never empty.
    Events(Events),
    /// The stream starts again, or, for a new reader, elsewhere than at its first event: whatever was made of this
    /// stream must be cleared, and the snapshot, where there is one, takes its place.
    Reset(Reset),
    /// The reader wants what comes after this place, and nothing before, or the mark of the place where it is has become
    /// known. The application has nothing to do.
    Begin(Place),
}

/// Consecutive events.
#[derive(Clone, Debug, PartialEq)]
pub struct Events {
    /// The life of the stream that they belong to.
    pub epoch: Epoch,
    /// The number of the first.
    pub first: Seq,
    /// The mark of the last.
    pub mark: u64,
    /// The events. Their payloads are the producer's bytes, and their hashes were compared.
    pub events: Vec<StoredEvent>,
}

impl Events {
    /// Each event with its number.
    pub fn numbered(&self) -> impl ExactSizeIterator<Item = (Seq, &StoredEvent)> {
        let first = self.first.get();
        self.events.iter().enumerate().map(move |(index, event)| (Seq::new(first + index as u64), event))
    }

    /// The number of the last event.
    pub fn last(&self) -> Seq {
        Seq::new(self.first.get() + self.events.len() as u64 - 1)
    }
}

/// A new beginning.
#[derive(Clone, Debug, PartialEq)]
pub struct Reset {
    /// Why the old cursor does not hold. `None` for a reader that had none, where the stream's beginning is gone.
    pub reason: Option<StaleReason>,
    /// The events after this place come next.
    pub at: Position,
    /// A producer's summary of everything up to `at`, its hash compared. `None` where the stream has none: what was
    /// before `at` is gone.
    pub snapshot: Option<Snapshot>,
}

impl Batch {
    /// Where the stream stands once this is applied.
    pub fn ends(&self) -> Place {
        match &self.change {
            Change::Events(run) => {
                Place { position: Position { epoch: run.epoch, seq: run.last() }, mark: Some(run.mark) }
            }
            Change::Reset(reset) => {
                Place { position: reset.at, mark: reset.snapshot.as_ref().map(|snapshot| snapshot.mark) }
            }
            Change::Begin(place) => *place,
        }
    }

    /// Its size in memory, in bytes, nearly.
    pub fn bytes(&self) -> usize {
        match &self.change {
            Change::Events(run) => run.events.iter().map(event_bytes).sum(),
            Change::Reset(reset) => reset.snapshot.as_ref().map_or(0, |snapshot| snapshot.payload.len()),
            Change::Begin(_) => 0,
        }
    }
}

/// An event's size in memory, in bytes, nearly.
pub(crate) fn event_bytes(event: &StoredEvent) -> usize {
    size_of::<StoredEvent>() + event.kind.len() + event.payload.len()
}
