//! The store's own tables, and how the file is opened.
//!
//! What always holds: every table of ours begins with `muster_`, beside the application's; `PRAGMA user_version` is the
//! application's. Numbers of 64 bits stand as SQLite's signed ones, bit for bit.

use std::fs::OpenOptions;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::{Durability, StoreError};
use crate::limits::{SQLITE_BUSY_MS_MAX, WAL_PAGES, ms};

/// The version of the tables below.
pub const STORE_VERSION: i64 = 1;

const TABLES: &str = "
    CREATE TABLE muster_store (id INTEGER PRIMARY KEY CHECK (id = 0), version INTEGER NOT NULL);
    CREATE TABLE muster_cursor (
        stream TEXT PRIMARY KEY, epoch INTEGER NOT NULL, seq INTEGER NOT NULL, mark INTEGER
    ) WITHOUT ROWID;
    CREATE TABLE muster_follow (pattern TEXT PRIMARY KEY, last_no INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
    INSERT INTO muster_store (id, version) VALUES (0, 1);
";

pub(super) fn open(path: &Path, durability: Durability) -> Result<Connection, StoreError> {
    make_private(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(ms(SQLITE_BUSY_MS_MAX))?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::Io { reason: format!("the file system does not bear SQLite's WAL (it is {mode})") });
    }
    connection.pragma_update(
        None,
        "synchronous",
        match durability {
            Durability::Full => "FULL",
            Durability::Normal => "NORMAL",
        },
    )?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_PAGES)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// Makes the file where there is none, for its owner alone: what is in streams is not everybody's to read. SQLite gives
/// its `-wal` and `-shm` the same rights. Whatever goes wrong here, SQLite meets it next and says it.
fn make_private(path: &Path) {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(path);
}

/// Makes the tables where there are none.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    match version(&transaction)? {
        None => transaction.execute_batch(TABLES)?,
        Some(STORE_VERSION) => add_last_no(&transaction)?,
        Some(found) => return Err(StoreError::Newer { found, known: STORE_VERSION }),
    }
    transaction.commit()?;
    Ok(())
}

/// Stores of earlier builds do not know which streams were there when a follow began. Every stream that they have no
/// cursor of begins at its first event, as it did with those builds, which do not mind the column.
fn add_last_no(connection: &Connection) -> Result<(), StoreError> {
    let has = "SELECT 1 FROM pragma_table_info('muster_follow') WHERE name = 'last_no'";
    if connection.query_row(has, (), |_| Ok(())).optional()?.is_none() {
        connection.execute_batch("ALTER TABLE muster_follow ADD COLUMN last_no INTEGER NOT NULL DEFAULT 0")?;
    }
    Ok(())
}

/// The version of the file's tables; `None` where there are none.
pub(super) fn version(connection: &Connection) -> Result<Option<i64>, StoreError> {
    let has = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'muster_store'";
    if connection.query_row(has, (), |_| Ok(())).optional()?.is_none() {
        return Ok(None);
    }
    let version = connection.query_row("SELECT version FROM muster_store WHERE id = 0", (), |row| row.get(0));
    match version.optional()? {
        Some(version) => Ok(Some(version)),
        None => Err(StoreError::corrupt("muster_store has no row".into())),
    }
}
