//! The tables of the catalogue, and how an older file becomes a newer one.
//!
//! `user_version` holds the schema's version. Migrations only ever append to [`MIGRATIONS`]; a file from the future is
//! refused untouched. Every commit is synced: losing the line that names a database would lose the database.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use crate::error::StartError;
use crate::limits::CONTROL_BUSY_TIMEOUT;

/// Step `n` turns version `n` into version `n + 1`.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE database (
        id              INTEGER PRIMARY KEY AUTOINCREMENT,
        identity        BLOB NOT NULL UNIQUE CHECK (length(identity) = 32),
        owner           BLOB NOT NULL CHECK (length(owner) = 32),
        initial_program BLOB NOT NULL CHECK (length(initial_program) = 32)
    ) STRICT;
    CREATE INDEX database_by_owner ON database (owner);

    CREATE TABLE database_name (
        name        TEXT NOT NULL UNIQUE,
        database_id INTEGER NOT NULL REFERENCES database (id) ON DELETE CASCADE
    ) STRICT;
    CREATE INDEX database_name_by_database ON database_name (database_id);

    -- AUTOINCREMENT: a number, and so a folder, is never used again.
    CREATE TABLE replica (
        id          INTEGER PRIMARY KEY AUTOINCREMENT,
        database_id INTEGER UNIQUE REFERENCES database (id)
    ) STRICT;

    CREATE TABLE program (
        database_id INTEGER NOT NULL REFERENCES database (id) ON DELETE CASCADE,
        hash        BLOB NOT NULL CHECK (length(hash) = 32),
        launched_by TEXT,
        UNIQUE (database_id, hash)
    ) STRICT;
    CREATE INDEX program_by_hash ON program (hash);
"];

/// The version this host reads and writes.
const VERSION: i64 = MIGRATIONS.len() as i64;

pub(super) fn open(path: &Path) -> Result<Connection, StartError> {
    let failed = |source| StartError::control(path, source);
    let connection = Connection::open(path).map_err(failed)?;
    connection.busy_timeout(CONTROL_BUSY_TIMEOUT).map_err(failed)?;
    // The version is read before anything is written: a newer file is left as it is.
    migrate(connection, path, |c| {
        c.pragma_update(None, "journal_mode", "WAL")?;
        c.pragma_update(None, "synchronous", "FULL")
    })
}

pub(super) fn open_in_memory() -> Result<Connection, StartError> {
    let path = Path::new(":memory:");
    let connection = Connection::open_in_memory().map_err(|source| StartError::control(path, source))?;
    migrate(connection, path, |_| Ok(()))
}

fn migrate(
    mut connection: Connection,
    path: &Path,
    prepare: impl FnOnce(&Connection) -> rusqlite::Result<()>,
) -> Result<Connection, StartError> {
    let failed = |source| StartError::control(path, source);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?;
    let Some(pending) = usize::try_from(found).ok().and_then(|done| MIGRATIONS.get(done..)) else {
        return Err(StartError::ControlTooNew { path: path.to_owned(), found, supported: VERSION });
    };
    prepare(&connection).map_err(failed)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(failed)?;
    if !pending.is_empty() {
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed)?;
        for step in pending {
            tx.execute_batch(step).map_err(failed)?;
        }
        tx.pragma_update(None, "user_version", VERSION).map_err(failed)?;
        tx.commit().map_err(failed)?;
    }
    Ok(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_from_the_future_is_refused_untouched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sqlite");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", VERSION + 1).unwrap();
        let before = std::fs::read(&path).unwrap();
        match open(&path) {
            Err(StartError::ControlTooNew { found, supported, .. }) => {
                assert_eq!((found, supported), (VERSION + 1, VERSION))
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_file_that_is_no_database_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("control.sqlite");
        std::fs::write(&path, "this is not a database, and long enough to say so").unwrap();
        assert!(matches!(open(&path), Err(StartError::Control { .. })));
    }

    #[test]
    fn commits_are_synced_and_logged_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(&dir.path().join("control.sqlite")).unwrap();
        let mode: String = connection.pragma_query_value(None, "journal_mode", |r| r.get(0)).unwrap();
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |r| r.get(0)).unwrap();
        let foreign_keys: bool = connection.pragma_query_value(None, "foreign_keys", |r| r.get(0)).unwrap();
        assert_eq!((mode.as_str(), synchronous, foreign_keys), ("wal", 2, true));
    }
}
