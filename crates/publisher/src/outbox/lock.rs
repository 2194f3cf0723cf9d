//! One outbox, one owner.
//!
//! What always holds: while an [`OutboxLock`] lives, no other process and no other publisher of this one has the same
//! outbox. The operating system holds the lock and lets go of it when a process ends, however it ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::OpenError;

/// The lock on an outbox: on a file beside it, because SQLite locks the file itself in ways of its own.
#[derive(Debug)]
pub(crate) struct OutboxLock {
    file: File,
}

fn lock_path(outbox: &Path) -> PathBuf {
    let mut name = outbox.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

impl OutboxLock {
    pub(crate) fn take(outbox: &Path) -> Result<OutboxLock, OpenError> {
        let io = |error: std::io::Error| OpenError::Io { path: outbox.into(), detail: error.to_string() };
        let path = lock_path(outbox);
        let mut file = OpenOptions::new()
            .create(true)
            .read(true)
            .write(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who locked it may not have written its name yet.
                let _ = (&mut file).take(64).read_to_string(&mut holder);
                let holder = if holder.trim().is_empty() { "another process".into() } else { holder.trim().into() };
                return Err(OpenError::InUse { path: outbox.into(), holder });
            }
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        // For people only; that it cannot be written is no reason not to publish.
        let _ = file.set_len(0).and_then(|()| file.rewind());
        let _ = writeln!(file, "process {}", std::process::id());
        Ok(OutboxLock { file })
    }
}

impl Drop for OutboxLock {
    /// Closing alone would leave the lock to a process that this one is just starting, until that has begun.
    fn drop(&mut self) {
        let _ = self.file.unlock();
    }
}
