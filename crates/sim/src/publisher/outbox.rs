//! What an outbox holds, and the transactions that change it.
//!
//! What always holds: local numbers are given once, in the order of publishing; events leave only from the front.

use std::collections::{BTreeMap, BTreeSet};

use muster_contract::page::{NewEvent, ProducerState, WireHash};
use muster_publisher::core::{HostEvent, StreamNo, StreamRecord};

use crate::disk::Ledger;
use crate::oracle::Tag;

/// What the outbox holds of a stream.
#[derive(Clone, Debug, Default)]
pub struct OutboxStream {
    /// Its id.
    pub id: String,
    /// Its numbers.
    pub record: StreamRecord,
    /// Its events by local number.
    pub events: BTreeMap<u64, NewEvent>,
}

impl OutboxStream {
    /// Whose event the host has last.
    pub(super) fn whose(&self, generation: u32, state: &ProducerState) -> HostEvent {
        if state.number == 0 || state.hash == WireHash::ZERO || generation != self.record.generation {
            return HostEvent::Unknown;
        }
        let local = self.record.base + state.number;
        let is_unconfirmed = local > self.record.confirmed && local <= self.record.last;
        match self.events.get(&local).filter(|_| is_unconfirmed) {
            None => HostEvent::Unknown,
            Some(event) if (event.hash, event.at) == (state.hash, state.at) => HostEvent::Own,
            Some(_) => HostEvent::Other,
        }
    }
}

/// What the outbox holds.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    /// By number.
    pub streams: BTreeMap<StreamNo, OutboxStream>,
}

/// A transaction on the outbox.
#[derive(Clone, Debug)]
pub enum OutboxTx {
    /// Events of a stream are published.
    Publish(String, Vec<NewEvent>),
    /// See [`Action::Save`].
    Save(StreamRecord),
    /// See [`Action::Park`].
    Park(StreamNo),
    /// See [`Action::Forget`].
    Forget(Vec<(StreamNo, u64)>),
    /// A person accepts what a parked stream lost.
    Accept(StreamNo),
}

impl Outbox {
    pub(super) fn no(&self, id: &str) -> Option<StreamNo> {
        self.streams.iter().find(|(_, stream)| stream.id == id).map(|(no, _)| *no)
    }

    /// Which events it holds.
    pub fn tags(&self) -> BTreeSet<Tag> {
        let events = self.streams.values().flat_map(|stream| stream.events.values());
        events.filter_map(|event| Tag::of_kind(&event.kind)).collect()
    }
}

impl Ledger for Outbox {
    type Tx = OutboxTx;

    fn apply(&mut self, tx: &OutboxTx) {
        match tx {
            OutboxTx::Publish(id, events) => {
                let no = self.no(id).unwrap_or(self.streams.len() as u64 + 1);
                let stream = self.streams.entry(no).or_insert_with(|| OutboxStream {
                    id: id.clone(),
                    record: StreamRecord { no, ..StreamRecord::default() },
                    events: BTreeMap::new(),
                });
                for event in events {
                    stream.record.last += 1;
                    stream.events.insert(stream.record.last, event.clone());
                }
            }
            OutboxTx::Save(record) => {
                if let Some(stream) = self.streams.get_mut(&record.no) {
                    let StreamRecord { epoch, generation, base, confirmed, .. } = *record;
                    let before = stream.record;
                    stream.record = StreamRecord { epoch, generation, base, confirmed, renumber: false, ..before };
                    stream.events = stream.events.split_off(&(confirmed + 1));
                }
            }
            OutboxTx::Park(no) => {
                if let Some(stream) = self.streams.get_mut(no) {
                    stream.record.parked = true;
                }
            }
            OutboxTx::Forget(upto) => {
                for (no, confirmed) in upto {
                    if let Some(stream) = self.streams.get_mut(no) {
                        stream.record.confirmed = stream.record.confirmed.max(*confirmed);
                        stream.events = stream.events.split_off(&(confirmed + 1));
                    }
                }
            }
            OutboxTx::Accept(no) => {
                if let Some(stream) = self.streams.get_mut(no) {
                    stream.record.parked = false;
                    stream.record.renumber = true;
                }
            }
        }
    }
}
