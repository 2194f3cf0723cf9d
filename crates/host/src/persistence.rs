//! Where a database on disk keeps its commit log and its snapshots, and who compresses what is old.
//!
//! The engine's own provider starts a task that compresses old segments of the log after each snapshot, and that task keeps
//! the log open for as long as it waits. What it waits for is the snapshot worker's end, and the log keeps that worker, in
//! order to ask it for a snapshot whenever a segment is full. So a database that was deleted or reset would keep its files
//! open, and their space taken, until the process ends. The task here only knows the log for as long as somebody else has
//! it. Always true:
//!
//! * nothing here keeps a commit log open: whoever drops the database closes it (which [`crate::durability`] relies on);
//! * only segments are compressed that end before a snapshot, and never the one that is written.

use std::io;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use spacetimedb::db::persistence::{Database, Persistence, PersistenceProvider};
use spacetimedb_engine::relational_db::{local_durability, open_snapshot_repo};
use spacetimedb_engine::snapshot::{Compression, SnapshotWorker};
use spacetimedb_paths::server::ServerDataDir;
use spacetimedb_runtime::Handle;
use tokio::sync::watch;

/// Hands the engine the files of each replica in a data folder.
pub(crate) struct FolderPersistence {
    folder: Arc<ServerDataDir>,
}

impl FolderPersistence {
    /// For the replicas in `folder`.
    pub(crate) fn new(folder: Arc<ServerDataDir>) -> Self {
        Self { folder }
    }
}

#[async_trait]
impl PersistenceProvider for FolderPersistence {
    async fn persistence(&self, database: &Database, replica_id: u64) -> anyhow::Result<Persistence> {
        let runtime = Handle::tokio_current();
        let replica = self.folder.replica(replica_id);
        let (snapshots, identity) = (replica.snapshots(), database.database_identity);
        let repository =
            tokio::task::spawn_blocking(move || open_snapshot_repo(snapshots, identity, replica_id)).await??;
        let worker = SnapshotWorker::new(repository, Compression::Enabled, runtime.clone());
        let (durability, disk_size) = local_durability(replica, runtime.clone(), Some(&worker)).await?;
        let log = Arc::downgrade(&durability);
        tokio::spawn(compress_after_snapshots(worker.subscribe(), log, |log, snapshot| {
            let segments = log.existing_segment_offsets()?;
            // Those that are compressed already stay as they are.
            log.compress_segments(before(&segments, snapshot)).map(drop)
        }));
        Ok(Persistence { durability, disk_size, snapshots: Some(worker), runtime })
    }
}

/// Compresses what lies before each new snapshot, until the log is gone or nobody can take a snapshot any more.
async fn compress_after_snapshots<L: Send + Sync + 'static>(
    mut snapshots: watch::Receiver<Option<u64>>,
    log: Weak<L>,
    compress: impl Fn(&L, u64) -> io::Result<()> + Copy + Send + 'static,
) {
    while snapshots.changed().await.is_ok() {
        let Some(snapshot) = *snapshots.borrow_and_update() else { continue };
        let Some(log) = log.upgrade() else { return };
        match tokio::task::spawn_blocking(move || compress(&log, snapshot)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(snapshot, %error, "cannot compress old segments of a commit log"),
            // The runtime ends.
            Err(_) => return,
        }
    }
}

/// Those segments, each named by the number of its first transaction, that end before `snapshot`. The last
/// one never does: it is written.
fn before(names: &[u64], snapshot: u64) -> &[u64] {
    let begun = names.partition_point(|first| *first <= snapshot);
    &names[..begun.saturating_sub(1)]
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn what_a_snapshot_falls_into_is_left_alone_and_so_is_what_comes_after() {
        assert_eq!(before(&[0, 10, 20, 30], 25), [0, 10]);
        assert_eq!(before(&[0, 10, 20, 30], 20), [0, 10]);
        assert_eq!(before(&[0, 10, 20, 30], 1000), [0, 10, 20]);
        assert_eq!(before(&[0, 10], 9), [0; 0]);
        assert_eq!(before(&[0], 1000), [0; 0]);
        assert_eq!(before(&[], 1000), [0; 0]);
    }

    fn note(log: &Mutex<Vec<u64>>, snapshot: u64) -> io::Result<()> {
        log.lock().unwrap().push(snapshot);
        Ok(())
    }

    #[tokio::test]
    async fn each_snapshot_is_followed_by_a_compression_and_none_keeps_the_log() {
        let (taken, snapshots) = watch::channel(None);
        let log = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(compress_after_snapshots(snapshots, Arc::downgrade(&log), note));
        for snapshot in [15, 25] {
            taken.send_replace(Some(snapshot));
            while log.lock().unwrap().last() != Some(&snapshot) {
                tokio::task::yield_now().await;
            }
        }
        while Arc::strong_count(&log) > 1 {
            tokio::task::yield_now().await;
        }
        drop(log);
        taken.send_replace(Some(35));
        task.await.unwrap();
    }

    #[tokio::test]
    async fn the_task_ends_with_whoever_takes_snapshots() {
        let (taken, snapshots) = watch::channel(Some(3));
        let log = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(compress_after_snapshots(snapshots, Arc::downgrade(&log), note));
        drop(taken);
        task.await.unwrap();
        assert!(log.lock().unwrap().is_empty());
    }
}
