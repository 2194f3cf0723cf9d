//! A copy of a data folder that a host can start from, also while another host runs on the original.
//!
//! Copying the folder with `cp` while a host runs is not safe: SQLite's files do not belong together then, and a snapshot
//! or a commit may be half written. What always holds here:
//!
//! * the catalogue is copied by SQLite, first; if it changed before everything else was copied, all is copied again, so
//!   that it and the databases are of one time;
//! * of each database, the snapshot is copied before the commit log: a log may go past a snapshot, never the other way;
//! * a commit log is copied from its first segment to its last, which is then cut behind its last whole commit: the copy
//!   is the log as it was at one moment after the copy began;
//! * locks, caches and the log's indexes, which the engine makes anew, are left out;
//! * the copy appears under its name only once it is whole and on disk.

mod files;
mod log;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use spacetimedb_paths::FromPathUnchecked;
use spacetimedb_paths::server::{ReplicaDir, ServerDataDir};

use crate::control::copy::{CatalogueSource, Contents};
use crate::limits::{BACKUP_ATTEMPTS_MAX, BACKUP_RETRY_PAUSE};
use files::Copier;

/// What a backup holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backup {
    /// How many databases.
    pub databases: usize,
    /// How large all its files are together, in bytes.
    pub bytes: u64,
}

/// Why there is no backup. Nothing is left under its name.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder is no host's.
    #[error("{} is no data folder of a host: it has no control.sqlite; name the folder that `muster host` uses", path.display())]
    NoData {
        /// The folder.
        path: PathBuf,
    },
    /// Something is there already, and stays as it is.
    #[error("{} is there already; name a folder that is not there yet, or an empty one", path.display())]
    TargetTaken {
        /// The folder.
        path: PathBuf,
    },
    /// The copy would become part of what is copied.
    #[error("{} lies in the data folder itself; name a folder elsewhere", path.display())]
    TargetInside {
        /// The folder.
        path: PathBuf,
    },
    /// No space is left for the copy.
    #[error("no space left for {}: {source}; free some space, or name a folder on another disk", path.display())]
    DiskFull {
        /// The file that could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file could not be read or written.
    #[error("cannot copy {}: {source}; check its owner and mode, and the disk", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The catalogue could not be copied.
    #[error("cannot copy {}: {source}; check its owner and mode, and the disk", path.display())]
    Catalogue {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// Databases were created, updated, reset, named or deleted during every attempt.
    #[error(
        "databases were published or deleted during all {BACKUP_ATTEMPTS_MAX} attempts; try again at a calmer time"
    )]
    Unquiet,
}

impl BackupError {
    /// Sorts the failure of a file.
    fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if crate::durability::is_full(&source) { Self::DiskFull { path, source } } else { Self::File { path, source } }
    }
}

/// Copies the data folder `data_dir` to `to`, whether a host runs on it or not; a running one is neither asked nor held
/// up. `to` must not be there yet, or be empty; a host can be started on it. Blocks for as long as copying takes.
///
/// The copy holds every transaction that was confirmed before the call, and may hold later ones: of each database, the
/// transactions up to some moment during the call, without a hole. It holds the signing key, if that lies in the folder,
/// and is readable to its owner alone. It does not hold which sessions were connected.
///
/// # Errors
/// See [`BackupError`]; each says what to do.
pub fn backup(data_dir: &Path, to: &Path) -> Result<Backup, BackupError> {
    backup_watched(data_dir, to, |_| ())
}

/// [`backup`], and tells `copied` of each attempt when all is copied and nothing is judged yet.
fn backup_watched(data_dir: &Path, to: &Path, mut copied: impl FnMut(u32)) -> Result<Backup, BackupError> {
    let from = fs::canonicalize(data_dir).map_err(|e| BackupError::file(data_dir, e))?;
    let catalogue = from.join("control.sqlite");
    if !fs::metadata(&catalogue).is_ok_and(|found| found.len() > 0) {
        return Err(BackupError::NoData { path: from });
    }
    let (parent, name) = target(&from, to)?;
    let source = CatalogueSource::open(&catalogue).map_err(|e| catalogue_error(&catalogue, e))?;
    for attempt in 0..BACKUP_ATTEMPTS_MAX {
        if attempt > 0 {
            std::thread::sleep(BACKUP_RETRY_PAUSE * attempt);
        }
        let unfinished = files::unfinished(&parent, &name).map_err(|e| BackupError::file(&parent, e))?;
        let before = source.version().map_err(|e| catalogue_error(&catalogue, e))?;
        let made = copy(&source, &from, unfinished.path());
        copied(attempt);
        // Also if copying failed: a database that was deleted meanwhile has no folder any more.
        if source.version().map_err(|e| catalogue_error(&catalogue, e))? != before {
            continue;
        }
        let backup = made?;
        let place = parent.join(&name);
        fs::rename(unfinished.path(), &place).map_err(|e| BackupError::file(&place, e))?;
        // Nothing is there any more to be removed.
        drop(unfinished.keep());
        files::sync_folder(&parent)?;
        return Ok(backup);
    }
    Err(BackupError::Unquiet)
}

fn catalogue_error(path: &Path, source: rusqlite::Error) -> BackupError {
    match crate::error::StartError::control(path, source) {
        crate::error::StartError::Control { path, source } => BackupError::Catalogue { path, source },
        crate::error::StartError::DiskFull { path, source } => BackupError::DiskFull { path, source },
        other => BackupError::File { path: path.to_owned(), source: io::Error::other(other) },
    }
}

/// The folder that the copy is to be made in, and its name there.
fn target(from: &Path, to: &Path) -> Result<(PathBuf, std::ffi::OsString), BackupError> {
    let taken = || BackupError::TargetTaken { path: to.to_owned() };
    let name = to.file_name().ok_or_else(taken)?.to_owned();
    let parent = match to.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => parent,
        None => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|e| BackupError::file(parent, e))?;
    let parent = fs::canonicalize(parent).map_err(|e| BackupError::file(parent, e))?;
    if parent.starts_with(from) {
        return Err(BackupError::TargetInside { path: to.to_owned() });
    }
    let is_free = match fs::read_dir(parent.join(&name)) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    };
    if is_free { Ok((parent, name)) } else { Err(taken()) }
}

fn copy(source: &CatalogueSource, from: &Path, to: &Path) -> Result<Backup, BackupError> {
    let mut copier = Copier::default();
    let catalogue = to.join("control.sqlite");
    let contents = source.copy_to(&catalogue).map_err(|e| catalogue_error(&catalogue, e))?;
    copier.adopt(&catalogue)?;
    let Contents { replicas, programs } = contents;
    for program in programs {
        let name = program.to_hex();
        copier.file_if_there(&from.join("programs").join(name.as_str()), &to.join("programs").join(name.as_str()))?;
    }
    copier.flat_folder(&from.join("keys"), &to.join("keys"))?;
    let (from, to) = (ServerDataDir::from_path_unchecked(from), ServerDataDir::from_path_unchecked(to));
    for replica in &replicas {
        copy_replica(&mut copier, &from.replica(*replica), &to.replica(*replica))?;
    }
    let bytes = copier.finish(&to.0)?;
    Ok(Backup { databases: replicas.len(), bytes })
}

fn copy_replica(copier: &mut Copier, from: &ReplicaDir, to: &ReplicaDir) -> Result<(), BackupError> {
    if !from.0.is_dir() {
        // Its database was being created when the host was killed, and is then created at the next start.
        return Ok(());
    }
    copier.make_folder(&to.0)?;
    copier.newest_snapshot(&from.clone().snapshots().0, &to.clone().snapshots().0)?;
    log::copy(copier, &from.clone().commit_log().0, &to.clone().commit_log().0)?;
    copier.flat_folder(&from.clone().module_logs().0, &to.clone().module_logs().0)
}

#[cfg(test)]
mod tests {
    use spacetimedb_lib::Identity;
    use spacetimedb_lib::hash_bytes;

    use super::*;
    use crate::control::Control;

    /// Enters a database, as a publish does.
    fn publish(control: &Control, n: u8) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let identity = Identity::from_byte_array([n; 32]);
        runtime.block_on(control.create(identity, identity, hash_bytes([n]), None)).unwrap();
    }

    #[test]
    fn a_catalogue_that_changes_meanwhile_is_copied_again_with_everything_else() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let control = Control::open(&data.join("control.sqlite")).unwrap();
        publish(&control, 1);
        let mut attempts = 0;
        let made = backup_watched(&data, &folder.path().join("copy"), |attempt| {
            attempts += 1;
            if attempt == 0 {
                publish(&control, 2);
            }
        });
        assert_eq!((made.unwrap().databases, attempts), (2, 2));
        let copied = Control::open(&folder.path().join("copy/control.sqlite")).unwrap();
        assert_eq!(copied.databases().unwrap(), control.databases().unwrap());
    }

    #[test]
    fn a_catalogue_that_never_rests_is_said_to_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let control = Control::open(&data.join("control.sqlite")).unwrap();
        let made = backup_watched(&data, &folder.path().join("copy"), |attempt| {
            publish(&control, u8::try_from(attempt).unwrap() + 1);
        });
        assert!(matches!(made, Err(BackupError::Unquiet)));
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["data"]);
    }
}
