//! The outbox's file: its format, how it is opened, and what is refused.
//!
//! What always holds: every commit is on the disk when it returns (write-ahead log, `synchronous = FULL`); the file can be
//! read by its owner alone; a file of another kind, of a newer format, or that is damaged, is left as it is.
//!
//! Format 1. `outbox` has one row: who this producer is. `token` has, for each host, the token by which this producer is known
//! there, because a producer belongs to the identity that used it first. `stream` has a row for every stream that ever had an event here,
//! and `chunk` the events that are not confirmed (and those confirmed that share a chunk with one that is not), as
//! `append_encoded` takes them. Numbers are local ones; see [`crate::core::StreamRecord`].

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use muster_contract::producer::ProducerId;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::error::{OpenError, is_damage, words};
use crate::limits::{BUSY_MS_MAX, CHECKPOINT_PAGES, FULL_CHECK_BYTES_MAX, PAGE_BYTES, WAL_KEPT_BYTES, ms};

/// `MSOB`, in the header's field for the kind of file (SQLite's file format, 1.3.17).
const APPLICATION_ID: i64 = 0x4d53_4f42;

/// The format that this build writes.
pub(crate) const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE outbox (
        id INTEGER PRIMARY KEY CHECK (id = 0), producer TEXT NOT NULL, created_ms INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE token (host TEXT PRIMARY KEY, token TEXT NOT NULL) STRICT;
    CREATE TABLE stream (
        no INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, epoch INTEGER NOT NULL DEFAULT 0,
        generation INTEGER NOT NULL DEFAULT 0,        base INTEGER NOT NULL DEFAULT 0, confirmed INTEGER NOT NULL DEFAULT 0, last INTEGER NOT NULL DEFAULT 0,
        renumber INTEGER NOT NULL DEFAULT 0, parked_code TEXT, parked_message TEXT, parked_ms INTEGER
    ) STRICT;
    CREATE INDEX stream_pending ON stream (no) WHERE last > confirmed;
    CREATE TABLE chunk (
        id INTEGER PRIMARY KEY, stream INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        bytes INTEGER NOT NULL, stored_ms INTEGER NOT NULL, events BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX chunk_by_stream ON chunk (stream, last, first, bytes);
";

/// The file's one name, without symbolic links: what is locked, synced and opened must be one file, and SQLite puts its log
/// beside the file that a link leads to. Where there is no file yet, its folder's name is what counts.
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, OpenError> {
    let io = |error: std::io::Error| OpenError::Io { path: path.into(), detail: error.to_string() };
    match path.canonicalize() {
        Ok(canonical) => return Ok(canonical),
        // A link that leads nowhere is no place for a new outbox: what it leads to may come to be another one's.
        Err(error) if error.kind() != std::io::ErrorKind::NotFound || path.symlink_metadata().is_ok() => {
            return Err(io(error));
        }
        Err(_) => {}
    }
    let name = path.file_name().ok_or_else(|| io(std::io::ErrorKind::InvalidFilename.into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(folder.canonicalize().map_err(io)?.join(name))
}

/// Refuses a file with further hard links: the locks and the log that stand beside one of its names say nothing to whoever
/// opens another (SQLite, How To Corrupt An SQLite Database File, 2.5).
fn check_names(path: &Path) -> Result<(), OpenError> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() && metadata.nlink() > 1 => {
            Err(OpenError::SeveralNames { path: path.into(), names: metadata.nlink() })
        }
        // What else is wrong with it is found when it is opened.
        _ => Ok(()),
    }
}

/// Opens the file for its owner, and makes it if there is none. The path must be [`canonical`], and the lock held.
pub(crate) fn open(path: &Path, producer: ProducerId, now_ms: i64) -> Result<(Connection, ProducerId), OpenError> {
    check_names(path)?;
    create(path)
        .and_then(|()| settle(path))
        .map_err(|error| OpenError::Io { path: path.into(), detail: error.to_string() })?;
    let refuse = |error| refusal(path, &error);
    let mut connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)
            .map_err(refuse)?;
    connection.busy_timeout(ms(BUSY_MS_MAX)).map_err(refuse)?;
    if is_new(path, &connection)? {
        make(&mut connection, producer, now_ms).map_err(refuse)?;
    }
    check_format(path, &connection)?;
    settings(&connection).map_err(refuse)?;
    check_pages(path, &connection)?;
    let producer = producer_of(path, &connection)?;
    Ok((connection, producer))
}

/// Opens the file of an outbox, whoever has it, to read only.
pub(crate) fn open_read_only(path: &Path) -> Result<(Connection, ProducerId), OpenError> {
    if !path.exists() {
        return Err(OpenError::Io { path: path.into(), detail: "there is no such file".into() });
    }
    let refuse = |error| refusal(path, &error);
    // SQLite needs to write the index of the write-ahead log even to read; the flag below forbids everything else.
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(refuse)?;
    connection.busy_timeout(ms(BUSY_MS_MAX)).map_err(refuse)?;
    connection.pragma_update(None, "query_only", true).map_err(refuse)?;
    if is_new(path, &connection)? {
        return Err(OpenError::NotAnOutbox { path: path.into(), detail: "it is empty".into() });
    }
    check_format(path, &connection)?;
    let producer = producer_of(path, &connection)?;
    Ok((connection, producer))
}

/// Makes an empty file that only its owner can read, and its name durable; leaves one that exists.
fn create(path: &Path) -> std::io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => {
            file.sync_all()?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

/// Makes durable what the file and its log hold. A process that was killed between a write and its sync leaves commits
/// that can be read and that the end of the machine would still take back; their numbers, sent and then given again,
/// would be another event's.
fn settle(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    match File::open(log) {
        Ok(log) => log.sync_all(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_new(path: &Path, connection: &Connection) -> Result<bool, OpenError> {
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| refusal(path, &error))?;
    let kind = pragma(path, connection, "application_id")?;
    Ok(tables == 0 && kind == 0)
}

fn make(connection: &mut Connection, producer: ProducerId, now_ms: i64) -> rusqlite::Result<()> {
    // Both must be settled before the first page is written.
    connection.pragma_update(None, "page_size", PAGE_BYTES)?;
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    settings(connection)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.execute("INSERT INTO outbox VALUES (0, ?1, ?2)", (producer.to_string(), now_ms))?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn settings(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    connection.pragma_update(None, "journal_size_limit", i64::try_from(WAL_KEPT_BYTES).unwrap_or(i64::MAX))?;
    connection.pragma_update(None, "foreign_keys", false)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(())
}

fn check_format(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let kind = pragma(path, connection, "application_id")?;
    if kind != APPLICATION_ID {
        return Err(OpenError::NotAnOutbox { path: path.into(), detail: "an SQLite file of another program".into() });
    }
    let found = pragma(path, connection, "user_version")?;
    match found {
        FORMAT => Ok(()),
        found if found > FORMAT => Err(OpenError::NewerFormat { path: path.into(), found, known: FORMAT }),
        found => Err(OpenError::Corrupt { path: path.into(), detail: format!("there never was a format {found}") }),
    }
}

/// Checks every page of a small file. A large one is checked by what is read of it.
fn check_pages(path: &Path, connection: &Connection) -> Result<(), OpenError> {
    let bytes = std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    if bytes > FULL_CHECK_BYTES_MAX {
        return Ok(());
    }
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|error| refusal(path, &error))?;
    if verdict == "ok" { Ok(()) } else { Err(OpenError::Corrupt { path: path.into(), detail: verdict }) }
}

fn producer_of(path: &Path, connection: &Connection) -> Result<ProducerId, OpenError> {
    let corrupt = |detail: &str| OpenError::Corrupt { path: path.into(), detail: detail.into() };
    let text: Option<String> = connection
        .query_row("SELECT producer FROM outbox WHERE id = 0", [], |row| row.get(0))
        .optional()
        .map_err(|error| refusal(path, &error))?;
    let text = text.ok_or_else(|| corrupt("it does not say who its producer is"))?;
    text.parse().map_err(|_| corrupt("its producer id is none"))
}

fn pragma(path: &Path, connection: &Connection, name: &str) -> Result<i64, OpenError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|error| refusal(path, &error))
}

/// What an SQLite error while opening means.
pub(crate) fn refusal(path: &Path, error: &rusqlite::Error) -> OpenError {
    let path = path.to_path_buf();
    if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) {
        return OpenError::NotAnOutbox {
            path,
            detail: "not a file of SQLite's, or one with a damaged beginning".into(),
        };
    }
    if is_damage(error) || matches!(error, rusqlite::Error::InvalidColumnType(..)) {
        return OpenError::Corrupt { path, detail: words(error) };
    }
    // A file that says it is an outbox of this format and lacks a table is damaged.
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::Unknown) => OpenError::Corrupt { path, detail: words(error) },
        _ => OpenError::Io { path, detail: words(error) },
    }
}
