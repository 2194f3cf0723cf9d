//! Waiting for snapshots that the engine is still writing.
//!
//! The engine writes a snapshot in the background, beside a lock file, and stopping a database does not wait for that.
//! Whoever removes the folder meanwhile makes the engine panic when it wants to remove the lock, and a next host could
//! meet a snapshot that is growing. So both a removal and a shutdown wait here, for a moment: a snapshot only saves
//! time, the commit log has everything.

use std::path::Path;
use std::time::SystemTime;

use crate::limits::{SNAPSHOT_POLL_INTERVAL, SNAPSHOT_SETTLE_TIMEOUT};

/// Returns once nobody writes to the snapshots in `dir`. Locks from before `host_start` are those of a host that was
/// killed: nobody will remove them, and the engine ignores what they belong to.
pub(crate) async fn settled(dir: &Path, host_start: SystemTime) {
    let wait = async {
        while is_being_written(dir, host_start) {
            tokio::time::sleep(SNAPSHOT_POLL_INTERVAL).await;
        }
    };
    if tokio::time::timeout(SNAPSHOT_SETTLE_TIMEOUT, wait).await.is_err() {
        tracing::warn!(dir = %dir.display(), "a snapshot is still being written; going on without it");
    }
}

fn is_being_written(dir: &Path, host_start: SystemTime) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    entries.filter_map(Result::ok).any(|entry| {
        let is_lock = entry.path().extension().is_some_and(|extension| extension == "lock");
        // One that vanished between the listing and here was released.
        is_lock && entry.metadata().and_then(|metadata| metadata.modified()).is_ok_and(|made| made >= host_start)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_locks_of_this_host_count() {
        let dir = tempfile::tempdir().unwrap();
        let start = SystemTime::now() - Duration::from_secs(1);
        assert!(!is_being_written(&dir.path().join("absent"), start));
        std::fs::write(dir.path().join("1.snapshot_dir"), "").unwrap();
        assert!(!is_being_written(dir.path(), start));
        std::fs::write(dir.path().join("1.lock"), "").unwrap();
        assert!(is_being_written(dir.path(), start));
        assert!(!is_being_written(dir.path(), SystemTime::now() + Duration::from_secs(60)));
    }

    #[tokio::test]
    async fn the_wait_ends_with_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = dir.path().join("1.lock");
        std::fs::write(&lock, "").unwrap();
        let start = SystemTime::UNIX_EPOCH;
        let mut waiting = std::pin::pin!(settled(dir.path(), start));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        std::fs::remove_file(lock).unwrap();
        waiting.await;
    }
}
