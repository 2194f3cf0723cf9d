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

/// The store's one name, without symbolic links: lock, log and file must belong together. Where there is no file yet, its
/// folder's name is what counts. A file with further hard links is refused, because nothing beside one of its names is
/// seen by whoever opens another.
pub(super) fn canonical(store: &Path) -> Result<PathBuf, StoreError> {
    let failed = |error: std::io::Error| StoreError::ReadOnly { reason: format!("{}: {error}", store.display()) };
    match store.canonicalize() {
        Ok(path) => {
            #[cfg(unix)]
            if std::os::unix::fs::MetadataExt::nlink(&path.metadata().map_err(failed)?) > 1 && path.is_file() {
                let reason = format!("{} has several names (hard links); remove all but one", path.display());
                return Err(StoreError::ReadOnly { reason });
            }
            Ok(path)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && store.symlink_metadata().is_err() => {
            let folder = store.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(folder.canonicalize().map_err(failed)?.join(store.file_name().unwrap_or_default()))
        }
        Err(error) => Err(failed(error)),
    }
}

fn beside(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    store.with_file_name(name)
}
