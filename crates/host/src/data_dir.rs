//! The data folder: where its files lie, and the lock that keeps it to one host.
//!
//! ```text
//! host.lock          locked for as long as a host uses the folder; holds its process number
//! control.sqlite     which databases exist, their names, replicas and programs
//! keys/id_ecdsa      the signing key, mode 0600; id_ecdsa.pub is derived from it
//! programs/<hash>    modules as they were published
//! replicas/<id>/     the engine's own: clog/ (commit log), snapshots/, module_logs/
//! cache/             compiled modules; may be deleted at any time
//! ```
//!
//! The lock is the kernel's: it goes when the process does, however it dies, and `host.lock` itself is never removed.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use spacetimedb_paths::FromPathUnchecked;
use spacetimedb_paths::server::ServerDataDir;
use tempfile::TempDir;

use crate::error::StartError;

/// A folder this host alone uses, until the value is dropped.
#[derive(Debug)]
pub(crate) struct DataDir {
    root: PathBuf,
    // Field order: the lock goes before a temporary folder does.
    _lock: File,
    _temporary: Option<TempDir>,
}

impl DataDir {
    /// Takes `root`, creating it if it is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, StartError> {
        create_private_dir(root)?;
        // Relative paths would change their meaning if the program changes its folder.
        let root = fs::canonicalize(root).map_err(|e| StartError::file(root, e))?;
        let lock = lock(&root)?;
        Ok(Self { root, _lock: lock, _temporary: None })
    }

    /// Makes a folder of its own that goes when the value is dropped.
    pub(crate) fn temporary() -> Result<Self, StartError> {
        let parent = std::env::temp_dir();
        let temporary = tempfile::Builder::new()
            .prefix("muster-host-")
            .tempdir_in(&parent)
            .map_err(|e| StartError::file(&parent, e))?;
        let mut this = Self::open(temporary.path())?;
        this._temporary = Some(temporary);
        Ok(this)
    }

    /// The folder itself, absolute.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The folder as the engine names it: it adds `replicas/` and `cache/`.
    pub(crate) fn engine(&self) -> ServerDataDir {
        ServerDataDir::from_path_unchecked(&self.root)
    }

    /// Where the catalogue of databases lies.
    pub(crate) fn control(&self) -> PathBuf {
        self.root.join("control.sqlite")
    }

    /// Makes an empty catalogue, its owner's alone, where there is none: SQLite would make it readable to others. Refused
    /// where there is data, whose catalogue must have been lost.
    pub(crate) fn create_control(&self) -> Result<(), StartError> {
        let (path, replicas) = (self.control(), self.root.join("replicas"));
        let is_there = fs::metadata(&path).is_ok_and(|found| found.len() > 0);
        if is_there {
            // A host of an earlier version, or a copy, may have left it open to others; so may what SQLite keeps beside it.
            for file in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"].map(|name| self.root.join(name))
            {
                match restrict(&file) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(StartError::file(&file, e)),
                    _ => {}
                }
            }
            return Ok(());
        }
        if fs::read_dir(&replicas).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(StartError::ControlMissing { path, replicas });
        }
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|e| StartError::file(&path, e)).map(drop)
    }

    /// The highest number that a replica's folder has.
    pub(crate) fn newest_replica(&self) -> Option<u64> {
        let folders = fs::read_dir(self.root.join("replicas")).ok()?;
        folders.filter_map(|folder| folder.ok()?.file_name().to_str()?.parse().ok()).max()
    }

    /// Where published modules lie.
    pub(crate) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    /// Where the signing key lies unless the builder names another.
    pub(crate) fn signing_key(&self) -> PathBuf {
        self.root.join("keys").join("id_ecdsa")
    }
}

/// Takes a file away from group and others, as far as this user may.
#[cfg(unix)]
pub(crate) fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(file = %path.display(), mode = format!("{:o}", mode & 0o777), "was open to others; now its owner's alone");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// There is nothing like it here.
#[cfg(not(unix))]
pub(crate) fn restrict(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// Creates `dir` and what is missing above it; what is created is its owner's alone.
pub(crate) fn create_private_dir(dir: &Path) -> Result<(), StartError> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|e| StartError::file(dir, e))
}

/// Creates `dir`, its owner's alone, and what is missing above it; fails if it is there already.
pub(crate) fn create_new_private_dir(dir: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    if let Some(parent) = dir.parent() {
        builder.recursive(true).create(parent)?;
    }
    builder.recursive(false).create(dir)
}

fn lock(root: &Path) -> Result<File, StartError> {
    let path = root.join("host.lock");
    let failed = |e| StartError::file(&path, e);
    let mut file =
        OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let pid = file.read_to_string(&mut owner).ok().and_then(|_| owner.trim().parse().ok());
            return Err(StartError::DataDirInUse { path: root.to_owned(), pid });
        }
        Err(TryLockError::Error(e)) => return Err(failed(e)),
    }
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    write!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_host_at_a_time_and_is_free_again_after() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("deep/data");
        let first = DataDir::open(&folder).unwrap();
        match DataDir::open(&folder) {
            Err(StartError::DataDirInUse { path, pid }) => {
                assert_eq!(path, first.root());
                assert_eq!(pid, Some(std::process::id()));
            }
            other => panic!("expected a refusal, got {other:?}"),
        }
        drop(first);
        DataDir::open(&folder).unwrap();
    }

    #[test]
    fn a_temporary_folder_leaves_nothing_behind() {
        let dir = DataDir::temporary().unwrap();
        let root = dir.root().to_owned();
        assert!(root.join("host.lock").exists());
        drop(dir);
        assert!(!root.exists());
    }
}
