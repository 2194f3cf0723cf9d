//! What a store holds, and the transactions that change it.
//!
//! What always holds: a batch's rows and its cursor are one transaction.

use std::collections::BTreeMap;

use muster_contract::page::StoredEvent;
use muster_contract::pattern::StreamPattern;
use muster_sync::batch::{Batch, Change, Place};

use crate::disk::Ledger;
use crate::oracle::{Checked, Oracle, broken, summary};

/// What the store holds of a stream: the cursor, and what the application made of its events.
#[derive(Clone, Debug)]
pub struct StoreStream {
    /// The cursor.
    pub place: Place,
    /// Everything up to here came as a snapshot, or not at all.
    pub base: u64,
    /// The snapshot that it began with.
    pub snapshot: Option<String>,
    /// The events after `base`, as they were applied.
    pub rows: Vec<StoredEvent>,
}

/// What the store holds.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// By stream.
    pub streams: BTreeMap<String, StoreStream>,
    /// Patterns that were followed to the end of their first listing.
    pub established: Vec<(StreamPattern, u64)>,
}

/// A transaction on the store.
#[derive(Clone, Debug)]
pub enum StoreTx {
    /// A batch.
    Apply(Batch),
    /// See [`Action::Establish`].
    Establish(StreamPattern, u64),
}

impl Ledger for Store {
    type Tx = StoreTx;

    fn apply(&mut self, tx: &StoreTx) {
        let batch = match tx {
            StoreTx::Apply(batch) => batch,
            StoreTx::Establish(pattern, last_no) => return self.established.push((pattern.clone(), *last_no)),
        };
        let id = batch.stream.as_str().to_owned();
        let place = batch.ends();
        match &batch.change {
            Change::Events(events) => {
                let stream = self.streams.entry(id).or_insert_with(|| StoreStream {
                    place,
                    base: events.first.previous().get(),
                    snapshot: None,
                    rows: Vec::new(),
                });
                stream.place = place;
                stream.rows.extend(events.events.iter().cloned());
            }
            Change::Reset(reset) => {
                let snapshot = reset.snapshot.as_ref().map(|snapshot| snapshot.payload.clone());
                let base = reset.at.seq.get();
                self.streams.insert(id, StoreStream { place, base, snapshot, rows: Vec::new() });
            }
            Change::Begin(at) => {
                let base = at.position.seq.get();
                let new = StoreStream { place, base, snapshot: None, rows: Vec::new() };
                // Where the stream is known, only its mark is new.
                self.streams.entry(id).or_insert(new).place = place;
            }
        }
    }
}

/// What a store holds of a stream is what the host had: its rows, and the snapshot before them.
pub(super) fn check_stream(oracle: &Oracle, id: &str, stream: &StoreStream) -> Checked {
    let at = stream.place.position;
    let life = (id.to_owned(), at.epoch.get());
    if let Some(snapshot) = &stream.snapshot {
        let made = |events: &[StoredEvent]| summary(events, stream.base) == *snapshot;
        if !oracle.timelines(&life).iter().any(|timeline| made(&timeline.events)) {
            return broken(2, format!("{id}: began with a snapshot that nobody made: {snapshot}"));
        }
    }
    oracle.check_rows(&life, stream.base, at.seq.get(), &stream.rows)
}

/// The same after one more batch: of a life with one history alone, what was there before was checked before.
pub(super) fn check_news(oracle: &Oracle, id: &str, stream: &StoreStream, batch: &Batch) -> Checked {
    let at = stream.place.position;
    let life = (id.to_owned(), at.epoch.get());
    match &batch.change {
        Change::Events(events) if oracle.timelines(&life).len() == 1 && stream.rows.len() >= events.events.len() => {
            let before = stream.rows.len() - events.events.len();
            oracle.check_rows(&life, stream.base + before as u64, at.seq.get(), &stream.rows[before..])
        }
        _ => check_stream(oracle, id, stream),
    }
}
