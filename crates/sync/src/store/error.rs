//! What can go wrong with a store, in types.
//!
//! What always holds: every message is one line with cause and remedy, and each error says whether waiting may help.

use muster_contract::stream::StreamId;
use rusqlite::ErrorCode;

use super::apply::ApplicationError;
use crate::engine::{ApplyFailure, Scope};

/// What can go wrong with a store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process, or another store of this one, writes the file.
    #[error("the store {path} is in use by another process; stop that one, or name another file")]
    InUse {
        /// The file.
        path: String,
    },
    /// A newer version of this program has written the file.
    #[error("the store is of version {found}, and this build knows version {known}; use the newer build")]
    Newer {
        /// The file's version.
        found: i64,
        /// This build's.
        known: i64,
    },
    /// The file is damaged, or is no SQLite file.
    #[error("the store is damaged or no SQLite file ({reason}); move it away, and everything is fetched again")]
    Corrupt {
        /// What is wrong with it.
        reason: String,
    },
    /// The disk is full.
    #[error("the disk of the store is full ({reason}); make room, and it goes on by itself")]
    DiskFull {
        /// What SQLite says.
        reason: String,
    },
    /// Another connection holds the write lock for too long.
    #[error("the store is locked by another connection ({reason}); end its transaction, and it goes on by itself")]
    Busy {
        /// What SQLite says.
        reason: String,
    },
    /// The disk does not do what it is told.
    #[error("the disk of the store fails ({reason}); check the disk and the file's rights")]
    Io {
        /// What the system says.
        reason: String,
    },
    /// The file, or one beside it, cannot be opened.
    #[error(
        "the store cannot be opened ({reason}); check its folder, its rights, and how many files the process may have \
         open; it goes on by itself"
    )]
    CannotOpen {
        /// What SQLite says.
        reason: String,
    },
    /// The file cannot be written.
    #[error("the store cannot be written ({reason}); check the rights of the file and its folder")]
    ReadOnly {
        /// What SQLite says.
        reason: String,
    },
    /// Somebody else moved a cursor.
    #[error(
        "the cursor of `{stream}` stands at {stored} where {expected} was expected; something else writes \
         muster_cursor: stop it, and start again"
    )]
    CursorMoved {
        /// Which stream.
        stream: StreamId,
        /// What the file holds.
        stored: String,
        /// What the batch comes after.
        expected: String,
    },
    /// The application did not take the batch.
    #[error("the application did not apply the batch ({0})")]
    Application(#[source] ApplicationError),
    /// The application did not commit the batch.
    #[error("the application gave the batch back without committing it; it is offered again")]
    NotCommitted,
    /// Something else of SQLite's.
    #[error("the store failed: {0}")]
    Sqlite(#[source] rusqlite::Error),
    /// The thread that writes is gone.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    pub(crate) fn corrupt(reason: String) -> StoreError {
        StoreError::Corrupt { reason }
    }

    /// What the application failed with: its own error, unless it only passes on what SQLite says of the disk.
    pub(crate) fn of_application(error: ApplicationError) -> StoreError {
        match error.downcast::<rusqlite::Error>() {
            Ok(error) => match StoreError::from(*error) {
                StoreError::Sqlite(error) => StoreError::Application(error.into()),
                of_the_disk => of_the_disk,
            },
            Err(error) => StoreError::Application(error),
        }
    }

    /// Whether the same may go well later without anybody changing anything but the disk.
    pub fn is_retryable(&self) -> bool {
        match self {
            StoreError::DiskFull { .. }
            | StoreError::Busy { .. }
            | StoreError::Io { .. }
            | StoreError::CannotOpen { .. }
            | StoreError::Application(_)
            | StoreError::NotCommitted
            | StoreError::Sqlite(_) => true,
            StoreError::InUse { .. }
            | StoreError::Newer { .. }
            | StoreError::Corrupt { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::CursorMoved { .. }
            | StoreError::Closed => false,
        }
    }

    /// Whether it is about this batch alone.
    pub(crate) fn scope(&self) -> Scope {
        match self {
            StoreError::Application(_) | StoreError::NotCommitted | StoreError::CursorMoved { .. } => Scope::Stream,
            _ => Scope::Store,
        }
    }

    /// The same for the engine.
    pub(crate) fn failure(&self) -> ApplyFailure {
        ApplyFailure { scope: self.scope(), is_retryable: self.is_retryable(), message: self.to_string() }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        let reason = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::DiskFull { reason },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { reason },
            Some(ErrorCode::SystemIoFailure) => StoreError::Io { reason },
            Some(ErrorCode::CannotOpen) => StoreError::CannotOpen { reason },
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => StoreError::ReadOnly { reason },
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Corrupt { reason },
            _ => StoreError::Sqlite(error),
        }
    }
}
