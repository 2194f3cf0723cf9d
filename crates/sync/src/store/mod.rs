//! Where streams are applied: the application's own SQLite file, with the cursors in it.
//!
//! What always holds:
//! - A batch is applied only right after the cursor that the file holds, and its effects and the new cursor commit in
//!   one transaction, or neither does.
//! - One process writes a store at a time; who reads ([`Reader`]) holds up nobody and is held up by nobody.
//! - The log is ahead of the file (WAL) and synchronous is FULL unless asked otherwise: what was reported as applied
//!   survives a loss of power.
//! - Batches that wait together commit together: one sync of the disk for all of them. A batch that its application
//!   refuses takes none of the others down.

use std::path::{Path, PathBuf};

use muster_contract::cursor::{Epoch, Position};
use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};

use crate::batch::{Batch, Place};

mod apply;
mod error;
mod event_log;
mod lock;
mod reader;
mod schema;
#[cfg(test)]
mod tests;

pub use apply::{ApplicationError, Apply};
pub use error::StoreError;
pub use event_log::EventLog;
pub use reader::{LoggedEvent, Reader};
pub use schema::STORE_VERSION;

/// What SQLite waits for when it commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Until the disk has it (`synchronous = FULL`). What was reported as applied, and acknowledged to the host,
    /// survives a loss of power.
    #[default]
    Full,
    /// For nothing (`synchronous = NORMAL`): several times as many commits a second. A loss of power may take back the
    /// last ones, cursor and effects together, and they are fetched and applied again. A crash of the process takes
    /// nothing back.
    Normal,
}

/// A store, opened for writing. There is one for a file at a time.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
    path: PathBuf,
    _lock: lock::Lock,
}

impl Store {
    /// Opens the file, made where it is missing, and prepares the application's tables.
    ///
    /// # Errors
    /// [`StoreError::InUse`] while another process, or another store of this one, writes it; [`StoreError::Newer`] for
    /// a file of a newer version; [`StoreError::Corrupt`] for one that is no SQLite file; otherwise what the disk says.
    pub fn open(path: &Path, durability: Durability, application: &mut dyn Apply) -> Result<Store, StoreError> {
        let path = &*lock::canonical(path)?;
        let lock = lock::Lock::take(path)?;
        let mut connection = schema::open(path, durability)?;
        schema::migrate(&mut connection)?;
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        application.prepare(&transaction).map_err(StoreError::of_application)?;
        transaction.commit()?;
        Ok(Store { connection, path: path.to_owned(), _lock: lock })
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where each stream stands.
    ///
    /// # Errors
    /// What SQLite says; [`StoreError::Corrupt`] for rows that no store writes.
    pub fn places(&self) -> Result<Vec<(StreamId, Place)>, StoreError> {
        places(&self.connection)
    }

    /// Where one stream stands.
    ///
    /// # Errors
    /// What SQLite says; [`StoreError::Corrupt`] for rows that no store writes.
    pub fn place(&self, stream: &StreamId) -> Result<Option<Place>, StoreError> {
        place(&self.connection, stream)
    }

    /// Which patterns have been followed to the end of their first listing, with the highest number that a stream had then.
    ///
    /// # Errors
    /// What SQLite says; [`StoreError::Corrupt`] for rows that no store writes.
    pub fn established(&self) -> Result<Vec<(StreamPattern, u64)>, StoreError> {
        let mut query = self.connection.prepare("SELECT pattern, last_no FROM muster_follow ORDER BY pattern")?;
        let rows = query.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        rows.map(|row| {
            let (text, last_no) = row?;
            let pattern = StreamPattern::parse(&text);
            let pattern = pattern.map_err(|error| StoreError::corrupt(format!("muster_follow: {error}")))?;
            Ok((pattern, last_no.cast_unsigned()))
        })
        .collect()
    }

    /// Writes down that a pattern has been followed to the end of its first listing, when `last_no` was the highest number
    /// of a stream. What is there already stays.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn establish(&self, pattern: &StreamPattern, last_no: u64) -> Result<(), StoreError> {
        let insert = "INSERT INTO muster_follow (pattern, last_no) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        self.connection.execute(insert, (pattern.to_string(), last_no.cast_signed()))?;
        Ok(())
    }

    /// Applies batches in this order and commits what went well, in one transaction. Returns what became of each:
    /// whatever is `Ok` is durable, and of what is not nothing has happened.
    pub fn apply<'a>(
        &mut self,
        batches: impl IntoIterator<Item = &'a Batch>,
        application: &mut dyn Apply,
    ) -> Vec<Result<(), StoreError>> {
        apply::apply_all(&mut self.connection, &batches.into_iter().collect::<Vec<_>>(), application)
    }
}

impl Batch {
    /// Moves the stream's cursor to the end of this batch within the application's own transaction, on whatever
    /// connection to the store's file: for applications that take batches and commit them themselves. The batch counts
    /// as applied once that transaction is committed.
    ///
    /// # Errors
    /// [`StoreError::CursorMoved`] if the cursor is not the one that the batch comes after; the transaction should then
    /// be rolled back. Otherwise what SQLite says.
    pub fn commit(&self, transaction: &Transaction<'_>) -> Result<(), StoreError> {
        move_cursor(transaction, self)
    }
}

/// Moves a cursor, if it is where the batch wants it.
pub(crate) fn move_cursor(transaction: &Connection, batch: &Batch) -> Result<(), StoreError> {
    let stored = place(transaction, &batch.stream)?.map(|place| place.position);
    if stored != batch.after {
        return Err(StoreError::CursorMoved {
            stream: batch.stream.clone(),
            stored: written(stored),
            expected: written(batch.after),
        });
    }
    let ends = batch.ends();
    transaction
        .prepare_cached(
            "INSERT INTO muster_cursor (stream, epoch, seq, mark) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (stream) DO \
             UPDATE SET epoch = excluded.epoch, seq = excluded.seq, mark = excluded.mark",
        )?
        .execute((
            batch.stream.as_str(),
            ends.position.epoch.get().cast_signed(),
            ends.position.seq.get().cast_signed(),
            ends.mark.map(u64::cast_signed),
        ))?;
    Ok(())
}

/// Where a stream stands.
pub(crate) fn place(connection: &Connection, stream: &StreamId) -> Result<Option<Place>, StoreError> {
    let mut query = connection.prepare_cached("SELECT epoch, seq, mark FROM muster_cursor WHERE stream = ?1")?;
    let row = query.query_row((stream.as_str(),), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?))).optional()?;
    row.map(|(epoch, seq, mark)| read_place(epoch, seq, mark)).transpose()
}

fn places(connection: &Connection) -> Result<Vec<(StreamId, Place)>, StoreError> {
    let mut query = connection.prepare("SELECT stream, epoch, seq, mark FROM muster_cursor ORDER BY stream")?;
    let rows = query.query_map((), |row| Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?;
    rows.map(|row| {
        let (stream, epoch, seq, mark) = row?;
        let id = StreamId::parse(&stream).map_err(|error| StoreError::corrupt(format!("muster_cursor: {error}")))?;
        Ok((id, read_place(epoch, seq, mark)?))
    })
    .collect()
}

fn read_place(epoch: i64, seq: i64, mark: Option<i64>) -> Result<Place, StoreError> {
    let epoch = Epoch::new(epoch.cast_unsigned()).map_err(|error| StoreError::corrupt(error.to_string()))?;
    let mark = mark.map(i64::cast_unsigned);
    Ok(Place { position: Position { epoch, seq: seq.cast_unsigned().into() }, mark })
}

fn written(position: Option<Position>) -> String {
    position.map_or_else(|| "nothing".into(), |at| format!("event {} of epoch {}", at.seq, at.epoch))
}
