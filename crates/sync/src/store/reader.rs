//! Reading a store, whoever writes it and whether the host is there or not.
//!
//! What always holds: the connection cannot write, and neither holds up the writer nor waits for it (SQLite's WAL).

use std::path::Path;

use muster_contract::hash::PayloadHash;
use muster_contract::stream::StreamId;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::schema::{self, STORE_VERSION};
use super::{StoreError, place, places};
use crate::batch::Place;
use crate::limits::{SQLITE_BUSY_MS_MAX, ms};

/// A store, opened for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
}

/// An event as [`super::EventLog`] keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedEvent {
    /// Which life of the stream.
    pub epoch: u64,
    /// Its number.
    pub seq: u64,
    /// What kind of event.
    pub kind: String,
    /// Canonical JSON, byte for byte the producer's.
    pub payload: String,
    /// The payload's hash.
    pub hash: PayloadHash,
    /// When it happened, by the producer's clock, in microseconds since 1970.
    pub at_micros: i64,
    /// The module's number of the producer.
    pub producer: u64,
    /// The producer's number of the event.
    pub number: u64,
}

impl Reader {
    /// Opens a store that exists.
    ///
    /// # Errors
    /// [`StoreError::Newer`], [`StoreError::Corrupt`], or what the disk says.
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(ms(SQLITE_BUSY_MS_MAX))?;
        match schema::version(&connection)? {
            Some(STORE_VERSION) => Ok(Reader { connection }),
            Some(found) => Err(StoreError::Newer { found, known: STORE_VERSION }),
            None => Err(StoreError::corrupt("it has no table muster_store".into())),
        }
    }

    /// Where each stream stands.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn places(&self) -> Result<Vec<(StreamId, Place)>, StoreError> {
        places(&self.connection)
    }

    /// Where one stream stands; `None` where nothing of it has been applied.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn place(&self, stream: &StreamId) -> Result<Option<Place>, StoreError> {
        place(&self.connection, stream)
    }

    /// The events of a stream after this number, in order, at most so many. For stores that [`super::EventLog`] fills.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn events(&self, stream: &StreamId, after: u64, limit: usize) -> Result<Vec<LoggedEvent>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT epoch, seq, kind, payload, payload_hash, at, producer, number FROM event WHERE stream = ?1 AND seq \
             > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map((stream.as_str(), after.cast_signed(), limit), |row| {
            Ok(LoggedEvent {
                epoch: row.get::<_, i64>(0)?.cast_unsigned(),
                seq: row.get::<_, i64>(1)?.cast_unsigned(),
                kind: row.get(2)?,
                payload: row.get(3)?,
                hash: PayloadHash::from_bytes(row.get(4)?),
                at_micros: row.get(5)?,
                producer: row.get::<_, i64>(6)?.cast_unsigned(),
                number: row.get::<_, i64>(7)?.cast_unsigned(),
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The snapshot that a stream was started from, with the number of the last event in it. For stores that
    /// [`super::EventLog`] fills.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn snapshot(&self, stream: &StreamId) -> Result<Option<(u64, String)>, StoreError> {
        let mut query = self.connection.prepare_cached("SELECT seq, payload FROM snapshot WHERE stream = ?1")?;
        let row = query.query_row((stream.as_str(),), |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)));
        Ok(row.optional()?)
    }

    /// The connection itself, for an application's own queries.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }
}
