//! Databases whose commit log could not be written: noticed, told, and let alone until the host starts again.
//!
//! When the engine cannot write a commit log, because the disk is full, say, it stops writing that log for good; the next
//! transaction then panics, and the engine lets go of the database. To launch it again in this process would destroy it:
//! what the failed log could not write waits in its buffer, and is written when the log is dropped, into a file that the
//! newly opened log has gone past. The history has forked, and no launch gets through it. So, always true here:
//!
//! * a database on disk is held on to for as long as it runs, so that its log is dropped only when we let it go;
//! * one whose log failed is never launched or acknowledged on again by this host, and its log is never dropped: on disk
//!   it is as if the process had been killed, which the next start recovers from;
//! * one that could not be launched because the disk is full is not launched again either;
//! * one that the engine let go of for another reason is launched again only once all it committed is on disk.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use spacetimedb_datastore::execution_context::Workload;
use spacetimedb_engine::relational_db::RelationalDB;

use crate::limits::{DISK_PROBE_BYTES, DURABILITY_TIMEOUT};

/// Why a database has stopped until the host starts again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Stopped {
    /// No space, or no quota, is left for its commit log.
    #[error(
        "its commit log could not be written ({0}); free some space, then restart the host: everything acknowledged is kept"
    )]
    DiskFull(String),
    /// Its commit log could not be written for another reason, or the reason has gone.
    #[error(
        "its commit log could not be written, see the host's log; check the disk and its free space, then restart the \
         host: everything acknowledged is kept"
    )]
    LogFailed,
}

enum Held {
    Running(Arc<RelationalDB>),
    Stopped(Stopped),
}

/// The databases that this host has launched and not yet ended, by replica.
#[derive(Default)]
pub(crate) struct Durability {
    held: Mutex<HashMap<u64, Held>>,
    /// One at a time finds out what became of a database that the engine let go of.
    settling: tokio::sync::Mutex<()>,
}

impl Durability {
    /// Holds on to a database that was launched. One in memory has nothing to lose, and is not held.
    pub(crate) fn hold(&self, replica_id: u64, database: &Arc<RelationalDB>) {
        if database.durable_tx_offset().is_some() {
            self.lock().entry(replica_id).or_insert_with(|| Held::Running(database.clone()));
        }
    }

    /// Says whether the database may be used: not if its log has failed, now or earlier.
    pub(crate) async fn check(&self, replica_id: u64, folder: &Path) -> Result<(), Stopped> {
        match self.lock().get(&replica_id) {
            None => return Ok(()),
            Some(Held::Stopped(stopped)) => return Err(stopped.clone()),
            Some(Held::Running(database)) if !has_failed(database) => return Ok(()),
            Some(Held::Running(_)) => {}
        }
        Err(self.stop(replica_id, folder).await)
    }

    /// Makes a database ready to be launched again, if the engine has let go of it: `is_running` says whether it has not.
    pub(crate) async fn settle(
        &self,
        replica_id: u64,
        folder: &Path,
        is_running: impl AsyncFnOnce() -> bool,
    ) -> Result<(), Stopped> {
        let _turn = self.settling.lock().await;
        let database = match self.lock().get(&replica_id) {
            None => return Ok(()),
            Some(Held::Stopped(stopped)) => return Err(stopped.clone()),
            Some(Held::Running(database)) => database.clone(),
        };
        if is_running().await {
            return Ok(());
        }
        tracing::warn!(replica_id, "the engine let go of a database; launching it again");
        if has_failed(&database) || !settled(&database).await {
            return Err(self.stop(replica_id, folder).await);
        }
        self.lock().remove(&replica_id);
        Ok(())
    }

    /// Takes a database out, to be ended. What comes back is to be given to [`Self::ended`].
    pub(crate) fn take(&self, replica_id: u64) -> Option<Arc<RelationalDB>> {
        match self.lock().remove(&replica_id) {
            Some(Held::Running(database)) => Some(database),
            Some(Held::Stopped(_)) | None => None,
        }
    }

    /// Lets a database go that has ended; one whose log did not take everything keeps its buffer to itself.
    pub(crate) async fn ended(&self, replica_id: u64, database: Arc<RelationalDB>) {
        if !settled(&database).await {
            tracing::error!(replica_id, "not everything committed came to disk; what was acknowledged did");
            std::mem::forget(database);
        }
    }

    /// Stops a database that could not be launched, if the disk is full: what it could not write may still wait in a buffer
    /// of the engine's, so it is not launched again either.
    pub(crate) async fn stop_if_full(&self, replica_id: u64, folder: &Path) -> Option<Stopped> {
        match probe(folder.to_owned()).await {
            Err(e) if is_full(&e) => {
                let stopped = Stopped::DiskFull(e.to_string());
                tracing::error!(replica_id, "a database has stopped: {stopped}");
                let before = self.lock().insert(replica_id, Held::Stopped(stopped.clone()));
                if let Some(Held::Running(database)) = before {
                    std::mem::forget(database);
                }
                Some(stopped)
            }
            _ => None,
        }
    }

    /// Stops a database for good. Never dropped: see the top of this file.
    async fn stop(&self, replica_id: u64, folder: &Path) -> Stopped {
        let stopped = match probe(folder.to_owned()).await {
            Err(e) if is_full(&e) => Stopped::DiskFull(e.to_string()),
            _ => Stopped::LogFailed,
        };
        let before = self.lock().insert(replica_id, Held::Stopped(stopped.clone()));
        match before {
            // Somebody else was faster; the first answer stands.
            Some(Held::Stopped(first)) => {
                self.lock().insert(replica_id, Held::Stopped(first.clone()));
                return first;
            }
            Some(Held::Running(database)) => std::mem::forget(database),
            None => {}
        }
        tracing::error!(replica_id, "a database has stopped: {stopped}");
        stopped
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the engine has stopped writing the log. While it is held, nothing but a failure stops that.
fn has_failed(database: &RelationalDB) -> bool {
    database.durable_tx_offset().is_some_and(|durable| durable.get().is_err())
}

/// Ends the log and says whether all that was committed is on disk.
async fn settled(database: &Arc<RelationalDB>) -> bool {
    let database = database.clone();
    let settling = async move {
        let closed = database.shutdown().await;
        let durable = database.durable_tx_offset().and_then(|durable| durable.last_seen()).or(closed);
        // Taking part in no transaction, this waits for the one that is under way.
        let committed = tokio::task::spawn_blocking(move || {
            let (offset, ..) = database.release_tx(database.begin_tx(Workload::Internal));
            offset
        });
        committed.await.is_ok_and(|committed| durable.is_some_and(|durable| durable >= committed))
    };
    tokio::time::timeout(DURABILITY_TIMEOUT, settling).await.unwrap_or(false)
}

/// Whether an error says that no space, or no quota, is left.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Finds out whether something can be written in `folder`: the engine does not say why it could not.
pub(crate) fn probe_now(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&vec![1; DISK_PROBE_BYTES])?;
    file.sync_all()
}

async fn probe(folder: PathBuf) -> io::Result<()> {
    tokio::task::spawn_blocking(move || probe_now(&folder)).await.map_err(io::Error::other)?
}
