//! A batch: which events are wanted, and the arguments of the call that sends them.
//!
//! What always holds: wherever its events come from, a batch has as many of them as fit, and the same bytes.

use muster_contract::producer::ProducerId;
use spacetimedb_sats::bsatn;

use crate::core::{StreamNo, producer_of};
use crate::frame::{Part, Room};
use crate::limits::EVENT_OVERHEAD_BYTES;

/// Which events.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) stream: StreamNo,
    pub(crate) generation: u32,
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    pub(crate) number: u64,
    pub(crate) events_max: u32,
    pub(crate) bytes_max: usize,
}

impl Wanted {
    /// How much more a batch takes that has so many events and bytes.
    pub(super) fn room(&self, events: u32, bytes: usize) -> Room {
        Room {
            events: self.events_max.saturating_sub(events),
            bytes: self.bytes_max.saturating_sub(bytes),
            is_empty: events == 0,
        }
    }
}

/// Events, ready to go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) events: u32,
    /// The BSATN of the arguments of `append_encoded`.
    pub(crate) args: Vec<u8>,
}

/// A batch that is being made.
pub(super) struct Args {
    bytes: Vec<u8>,
    /// Where the events begin, with their number.
    count_at: usize,
    pub(super) events: u32,
    /// Bytes of kinds and payloads.
    pub(super) content: usize,
}

impl Args {
    /// All that stands before the events. The last eight bytes are still to be written: they are the length of the byte
    /// string that the events are in, and their number, which that string begins with.
    pub(super) fn begin(id: &str, producer: ProducerId, wanted: &Wanted) -> Args {
        // No particular `seq` is expected: other producers may write to the stream.
        let expected_next_seq = 0u64;
        let producer = producer_of(producer, wanted.generation);
        let head = (id, wanted.epoch, producer.to_string(), wanted.number, expected_next_seq, 0u32, 0u32);
        let bytes = bsatn::to_vec(&head).expect("plain data encodes");
        Args { count_at: bytes.len() - 4, bytes, events: 0, content: 0 }
    }

    pub(super) fn reserve(&mut self, bytes: usize) {
        self.bytes.reserve(bytes);
    }

    pub(super) fn add(&mut self, part: &Part<'_>) {
        self.bytes.extend_from_slice(part.data);
        (self.events, self.content) = (self.events + part.events, self.content + part.bytes);
    }

    pub(super) fn finish(mut self) -> Batch {
        let at = self.count_at;
        let length = u32::try_from(self.bytes.len() - at).expect("a batch is limited to far less than 4 GiB");
        self.bytes[at - 4..at].copy_from_slice(&length.to_le_bytes());
        self.bytes[at..at + 4].copy_from_slice(&self.events.to_le_bytes());
        debug_assert_eq!(self.bytes.len(), at + 4 + self.content + self.events as usize * EVENT_OVERHEAD_BYTES);
        Batch { events: self.events, args: self.bytes }
    }
}
