//! One writer of a store at a time.
//!
//! What always holds: the lock belongs to the process (the operating system gives it back when that ends, however it
//! ends), and lies beside the store, so that SQLite's own locks stay SQLite's.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::error::StoreError;

/// Held while it lives.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // By name: a child of this process that has not become another program yet would hold it a moment longer.
        // Where that fails, the system unlocks it with the file.
        let _ = self.0.unlock();
    }
}

impl Lock {
    pub(super) fn take(store: &Path) -> Result<Lock, StoreError> {
        let path = beside(store);
        let failed = |error: std::io::Error| StoreError::ReadOnly { reason: format!("{}: {error}", path.display()) };
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: store.display().to_string() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

fn beside(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    store.with_file_name(name)
}
