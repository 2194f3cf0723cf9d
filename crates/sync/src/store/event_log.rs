//! A ready-made application: every event as a row of one table, every snapshot of another.
//!
//! What always holds: the tables hold exactly the events from the last new beginning of each stream up to its cursor,
//! payloads byte for byte as their producers made them.

use muster_contract::page::digest;
use rusqlite::Transaction;

use super::apply::{ApplicationError, Apply};
use crate::batch::{Batch, Change, Events, Reset};

/// Keeps events in the tables `event` and `snapshot`:
///
/// | column | what |
/// | --- | --- |
/// | `stream`, `epoch`, `seq` | where; the key of `event` is `(stream, seq)`, of `snapshot` `stream` |
/// | `kind`, `payload` | what; the payload is the producer's canonical JSON |
/// | `payload_hash` | SHA-256 of the payload, 32 bytes |
/// | `at` | when, by the producer's clock, in microseconds since 1970 |
/// | `producer`, `number` | who, as the module numbers producers, and the producer's number of the event |
///
/// A snapshot is a producer's summary of everything up to its `seq`; the events behind it are in `event`.
#[derive(Clone, Copy, Debug, Default)]
pub struct EventLog;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS event (
        stream TEXT NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL,
        payload_hash BLOB NOT NULL, at INTEGER NOT NULL, producer INTEGER NOT NULL, number INTEGER NOT NULL,
        PRIMARY KEY (stream, seq)
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS snapshot (
        stream TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, payload TEXT NOT NULL,
        payload_hash BLOB NOT NULL, at INTEGER NOT NULL
    ) WITHOUT ROWID;
";

impl Apply for EventLog {
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        Ok(transaction.execute_batch(TABLES)?)
    }

    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        let stream = batch.stream.as_str();
        match &batch.change {
            Change::Events(run) => insert(transaction, stream, run)?,
            Change::Reset(reset) => start_again(transaction, stream, reset)?,
            Change::Begin(_) => {}
        }
        Ok(())
    }
}

fn insert(transaction: &Transaction<'_>, stream: &str, run: &Events) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare_cached(
        "INSERT INTO event (stream, seq, epoch, kind, payload, payload_hash, at, producer, number) VALUES (?1, ?2, ?3, \
         ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let epoch = run.epoch.get().cast_signed();
    for (seq, event) in run.numbered() {
        insert.execute((
            stream,
            seq.get().cast_signed(),
            epoch,
            &event.kind,
            &event.payload,
            digest(event.hash),
            event.at.to_micros_since_unix_epoch(),
            event.producer.cast_signed(),
            event.number.cast_signed(),
        ))?;
    }
    Ok(())
}

fn start_again(transaction: &Transaction<'_>, stream: &str, reset: &Reset) -> rusqlite::Result<()> {
    transaction.execute("DELETE FROM event WHERE stream = ?1", (stream,))?;
    transaction.execute("DELETE FROM snapshot WHERE stream = ?1", (stream,))?;
    if let Some(snapshot) = &reset.snapshot {
        transaction.execute(
            "INSERT INTO snapshot (stream, epoch, seq, payload, payload_hash, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            (
                stream,
                snapshot.epoch.cast_signed(),
                snapshot.seq.cast_signed(),
                &snapshot.payload,
                digest(snapshot.hash),
                snapshot.at.to_micros_since_unix_epoch(),
            ),
        )?;
    }
    Ok(())
}
