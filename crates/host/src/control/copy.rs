//! Copying the catalogue while a host, perhaps in another process, uses it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use spacetimedb_lib::Hash;

use crate::limits::CONTROL_BUSY_TIMEOUT;

/// A catalogue that is only read.
#[derive(Debug)]
pub(crate) struct CatalogueSource {
    connection: Connection,
}

/// What a catalogue's databases consist of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Contents {
    /// The numbers of the folders with their data.
    pub(crate) replicas: Vec<u64>,
    /// The modules that they may need.
    pub(crate) programs: Vec<Hash>,
}

impl CatalogueSource {
    /// Opens the catalogue at `path`, which must be there.
    pub(crate) fn open(path: &Path) -> rusqlite::Result<Self> {
        // To read a file that is logged ahead, SQLite writes beside it.
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(CONTROL_BUSY_TIMEOUT)?;
        Ok(Self { connection })
    }

    /// A number that is another one once somebody else has changed the catalogue (SQLite, `PRAGMA data_version`).
    pub(crate) fn version(&self) -> rusqlite::Result<i64> {
        self.connection.pragma_query_value(None, "data_version", |row| row.get(0))
    }

    /// Writes the catalogue, as it is at one moment, to the new file `path`, and says what it lists.
    pub(crate) fn copy_to(&self, path: &Path) -> rusqlite::Result<Contents> {
        let name = path.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(path.to_owned()))?;
        self.connection.execute("VACUUM INTO ?1", [name])?;
        let copy = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let mut replicas = copy.prepare("SELECT id FROM replica WHERE database_id IS NOT NULL ORDER BY id")?;
        let replicas = replicas.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut programs = copy.prepare("SELECT hash FROM program UNION SELECT initial_program FROM database")?;
        let programs =
            programs.query_map([], |row| row.get(0).map(Hash::from_byte_array))?.collect::<Result<_, _>>()?;
        Ok(Contents { replicas, programs })
    }
}
