//! The service's memory: one SQLite database, written by the service and by the command line beside it.
//!
//! What always holds: every change is one transaction, begun `IMMEDIATE`, so that what it read is what it changes; it is
//! on disk before anybody hears of it (`synchronous = FULL`); and the file is for its owner alone.

pub(crate) mod audit;
pub(crate) mod clients;
pub(crate) mod cohorts;
pub(crate) mod facts;
pub(crate) mod keys;
pub(crate) mod revocations;
pub(crate) mod sessions;

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use crate::limits::SQLITE_BUSY_MS;

/// What makes each version of the one before; the first of nothing.
const STEPS: [&str; 3] = [include_str!("schema.sql"), include_str!("schema_2.sql"), include_str!("schema_3.sql")];
const SCHEMA_VERSION: i64 = STEPS.len() as i64;

/// What can go wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite says so.
    #[error("the token service's database failed: {0}; check the disk and that the file is not damaged")]
    Sqlite(#[from] rusqlite::Error),
    /// A file cannot be read or written.
    #[error("cannot use {path}: {source}; check that the directory exists, is on a local disk and is writable")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others can read what only its owner may.
    #[error("{path} can be read by others (mode {mode:o}); make it yours alone: chmod {wanted:o}")]
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they must be.
        wanted: u32,
    },
    /// Written by a later build.
    #[error("the database is of version {0}, this build reads version {SCHEMA_VERSION}; use the newer build")]
    Newer(i64),
    /// A row that this program cannot have written.
    #[error("the database has a {0} that cannot be read; restore it from a backup")]
    Corrupt(&'static str),
}

/// The database.
pub(crate) struct Store {
    connection: Mutex<Connection>,
}

impl Store {
    /// Opens the database at `path`, or makes it.
    pub(crate) fn open(path: &Path) -> Result<Store, StoreError> {
        make_private(path)?;
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(Duration::from_millis(SQLITE_BUSY_MS))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        connection.pragma_update(None, "trusted_schema", false)?;
        migrate(&mut connection)?;
        Ok(Store { connection: Mutex::new(connection) })
    }

    /// Does `work` in one transaction. What it returns as an error is rolled back.
    pub(crate) fn write<T, E: From<StoreError>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // A panic inside a transaction rolled it back, so the connection is good.
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(StoreError::from)?;
        let result = work(&transaction)?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(result)
    }

    /// Reads. Each statement sees one state; a rule that needs two to agree belongs in [`Store::write`].
    pub(crate) fn read<T, E: From<StoreError>>(&self, work: impl FnOnce(&Connection) -> Result<T, E>) -> Result<T, E> {
        work(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let done = usize::try_from(version).ok().filter(|done| *done <= STEPS.len());
    for step in &STEPS[done.ok_or(StoreError::Newer(version))?..] {
        transaction.execute_batch(step)?;
    }
    if version != SCHEMA_VERSION {
        transaction.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    }
    transaction.commit()?;
    Ok(())
}

/// The mode of files that only their owner reads.
pub(crate) const PRIVATE_FILE: u32 = 0o600;
/// The mode of directories that only their owner enters.
pub(crate) const PRIVATE_DIR: u32 = 0o700;

/// Creates the file for its owner alone, before SQLite does with whatever the umask allows; `-wal` and `-shm` take its
/// mode. One that exists must already be so.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::File { path: path.into(), source };
    match OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(path) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => check_private(path, PRIVATE_FILE),
        Err(error) => Err(failed(error)),
    }
}

/// Whether nobody but the owner can do anything with `path`.
pub(crate) fn check_private(path: &Path, wanted: u32) -> Result<(), StoreError> {
    let metadata = std::fs::metadata(path).map_err(|source| StoreError::File { path: path.into(), source })?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(StoreError::Exposed { path: path.into(), mode, wanted });
    }
    Ok(())
}

/// A list as it is stored.
fn to_json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("lists of texts have a JSON form")
}

/// A stored list.
fn from_json<T: serde::de::DeserializeOwned>(text: &str, what: &'static str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|_| StoreError::Corrupt(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_the_first_version_is_taken_over_with_all_it_has() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sqlite");
        make_private(&path).expect("made");
        let old = Connection::open(&path).expect("opened");
        old.execute_batch(STEPS[0]).expect("the first version");
        old.pragma_update(None, "user_version", 1).expect("its number");
        let sql = "INSERT INTO revocation (kind, value, at_s, expires_s, reason, delivered_s) VALUES ('token', 'j', 1, 2, 'r', 3)";
        old.execute(sql, []).expect("a revocation");
        drop(old);
        for _ in 0..2 {
            let store = Store::open(&path).expect("taken over, and opened again");
            let waiting = store.read(|connection| revocations::waiting(connection, "lane", 10)).expect("read");
            assert_eq!(waiting.iter().map(|found| found.value.as_str()).collect::<Vec<_>>(), ["j"], "told once more");
        }
    }

    #[test]
    fn a_database_of_a_later_version_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("control.sqlite");
        drop(Store::open(&path).expect("made"));
        Connection::open(&path).and_then(|it| it.pragma_update(None, "user_version", 99)).expect("its number");
        assert!(matches!(Store::open(&path), Err(StoreError::Newer(99))));
    }
}
