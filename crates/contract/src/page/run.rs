//! A page of events, as it is used and as it travels.
//!
//! What always holds: what was read is within the limits of a page, its heads tell of exactly its texts, and no number in it is
//! past the last one.

use spacetimedb_lib::Timestamp;
use spacetimedb_sats::de::{Deserialize, Deserializer, Error as _};
use spacetimedb_sats::ser::{Serialize, Serializer};

use super::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX, WireHash};
use crate::packed::{Event, Packed, PackedBuf};

/// A stored event, without what its page says of all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// What kind of event.
    pub kind: String,
    /// Canonical JSON.
    pub payload: String,
    /// SHA-256 of the payload's bytes.
    pub hash: WireHash,
    /// When it happened, by the producer's clock.
    pub at: Timestamp,
    /// The module's number of the producer.
    pub producer: u64,
    /// The producer's number of the event.
    pub number: u64,
}

/// Consecutive events of a stream. Its bytes are those of a [`PageRef`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The stream's epoch.
    pub epoch: u64,
    /// The lowest `seq` that the stream holds; `head + 1` when it holds none.
    pub floor: u64,
    /// The highest `seq` that the stream ever had; 0 when it had none.
    pub head: u64,
    /// The `seq` of the first event of this page. The others follow without a hole.
    pub first: u64,
    /// The [mark](super::mark) of the event before the first; 0 where nothing was before it.
    pub mark: u64,
    /// The events; empty only where the stream has none after what was asked.
    pub events: Vec<StoredEvent>,
}

/// A [`Page`] as it travels: events of one producer that it numbers without a hole are one run, as they are stored, so that
/// the host copies a run and looks at no event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[sats(crate = spacetimedb_lib)]
pub struct PageRef<'a> {
    /// See [`Page::epoch`].
    pub epoch: u64,
    /// See [`Page::floor`].
    pub floor: u64,
    /// See [`Page::head`].
    pub head: u64,
    /// See [`Page::first`].
    pub first: u64,
    /// See [`Page::mark`].
    pub mark: u64,
    /// See [`Page::events`].
    pub runs: Vec<RunRef<'a>>,
}

/// Events of one producer that follow each other, [packed](crate::packed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[sats(crate = spacetimedb_lib)]
pub struct RunRef<'a> {
    /// The module's number of the producer.
    pub producer: u64,
    /// The producer's number of the first event.
    pub number: u64,
    /// See [`Packed::heads`].
    pub heads: &'a [u8],
    /// See [`Packed::kinds`].
    pub kinds: &'a str,
    /// See [`Packed::payloads`].
    pub payloads: &'a str,
}

impl<'a> RunRef<'a> {
    /// A producer's events, from this number on.
    #[must_use]
    pub fn of(producer: u64, number: u64, events: Packed<'a>) -> RunRef<'a> {
        let Packed { heads, kinds, payloads } = events;
        RunRef { producer, number, heads, kinds, payloads }
    }

    /// Its events.
    #[must_use]
    pub fn packed(&self) -> Packed<'a> {
        Packed { heads: self.heads, kinds: self.kinds, payloads: self.payloads }
    }

    fn unpack(&self, into: &mut Vec<StoredEvent>) {
        // A number past the last one is nobody's: what begins there is refused before.
        let numbered = self.packed().zip(self.number..);
        into.extend(numbered.map(|(Event { kind, payload, hash, at }, number)| StoredEvent {
            kind: kind.into(),
            payload: payload.into(),
            hash,
            at,
            producer: self.producer,
            number,
        }));
    }
}

impl Serialize for Page {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let follows =
            |a: &StoredEvent, b: &StoredEvent| a.producer == b.producer && a.number.checked_add(1) == Some(b.number);
        let packed: Vec<(&StoredEvent, PackedBuf)> = self
            .events
            .chunk_by(follows)
            .map(|run| {
                let mut packed = PackedBuf::default();
                for StoredEvent { kind, payload, hash, at, .. } in run {
                    packed.push(Event { kind, payload, hash: *hash, at: *at });
                }
                (&run[0], packed)
            })
            .collect();
        let runs = packed.iter().map(|(first, packed)| RunRef::of(first.producer, first.number, packed.packed()));
        let Page { epoch, floor, head, first, mark, .. } = *self;
        PageRef { epoch, floor, head, first, mark, runs: runs.collect() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Page {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Page, D::Error> {
        let PageRef { epoch, floor, head, first, mark, runs } = PageRef::deserialize(deserializer)?;
        let packed = || runs.iter().map(RunRef::packed);
        let (count, bytes) = (packed().map(|run| run.count()).sum(), packed().map(|run| run.bytes()).sum::<usize>());
        if count > PAGE_EVENTS_MAX || bytes > PAGE_BYTES_MAX {
            return Err(D::Error::custom("more events than a page holds"));
        }
        let is_run = |run: &RunRef<'_>| {
            let packed = run.packed();
            let ends = run.number.checked_add(packed.count() as u64);
            run.number > 0 && packed.count() > 0 && ends.is_some() && packed.is_whole()
        };
        if !runs.iter().all(is_run) {
            return Err(D::Error::custom("a run of events that is not what its heads say"));
        }
        let mut events = Vec::with_capacity(count);
        runs.iter().for_each(|run| run.unpack(&mut events));
        Ok(Page { epoch, floor, head, first, mark, events })
    }
}
