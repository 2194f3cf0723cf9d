//! Copying files for a backup.
//!
//! What always holds: what is copied is its owner's alone and synced; a file that grows meanwhile is copied up to the
//! length that it had when it was opened.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::BackupError;
use crate::data_dir::create_private_dir;
use crate::error::StartError;

/// Copies, and counts what it copied.
#[derive(Debug, Default)]
pub(super) struct Copier {
    bytes: u64,
    folders: Vec<PathBuf>,
}

impl Copier {
    /// Makes `folder`, and what is missing above it.
    pub(super) fn make_folder(&mut self, folder: &Path) -> Result<(), BackupError> {
        create_private_dir(folder).map_err(|error| match error {
            StartError::DiskFull { path, source } => BackupError::DiskFull { path, source },
            other => BackupError::file(folder, io::Error::other(other)),
        })?;
        self.folders.push(folder.to_owned());
        Ok(())
    }

    /// Takes a file that somebody else has written into the copy.
    pub(super) fn adopt(&mut self, path: &Path) -> Result<(), BackupError> {
        let adopt = || {
            let file = OpenOptions::new().write(true).open(path)?;
            #[cfg(unix)]
            file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
            file.sync_all()?;
            Ok(file.metadata()?.len())
        };
        self.bytes += adopt().map_err(|e| BackupError::file(path, e))?;
        Ok(())
    }

    /// Copies a file into a folder that is there.
    pub(super) fn file(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        let source = File::open(from).map_err(|e| BackupError::file(from, e))?;
        let length = source.metadata().map_err(|e| BackupError::file(from, e))?.len();
        let mut options = OpenOptions::new();
        options.create_new(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut target = options.open(to).map_err(|e| BackupError::file(to, e))?;
        self.bytes += io::copy(&mut source.take(length), &mut target).map_err(|e| BackupError::file(to, e))?;
        target.sync_all().map_err(|e| BackupError::file(to, e))
    }

    /// Copies a file, or does nothing where there is none.
    pub(super) fn file_if_there(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        if !from.is_file() {
            return Ok(());
        }
        if let Some(folder) = to.parent().filter(|folder| !folder.is_dir()) {
            self.make_folder(folder)?;
        }
        self.file(from, to)
    }

    /// Copies the files of a folder, but not what lies in folders of it, or does nothing where there is none.
    pub(super) fn flat_folder(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        for path in entries(from)?.into_iter().filter(|path| path.is_file()) {
            self.file_if_there(&path, &to.join(path.file_name().expect("an entry has a name")))?;
        }
        Ok(())
    }

    /// Copies the newest snapshot that is whole. The others only save the engine work; the commit log has everything.
    pub(super) fn newest_snapshot(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        let is_snapshot = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "snapshot_dir");
        let mut snapshots: Vec<PathBuf> = entries(from)?.into_iter().filter(is_snapshot).collect();
        // Their names are numbers of the same length.
        snapshots.sort_unstable();
        for snapshot in snapshots.into_iter().rev() {
            let copy = to.join(snapshot.file_name().expect("an entry has a name"));
            let before = self.bytes;
            if !is_locked(&snapshot) && self.tree(&snapshot, &copy).is_ok() && !is_locked(&snapshot) {
                return Ok(());
            }
            // The engine compresses it at this moment, or has replaced it: it is left out.
            self.bytes = before;
            self.folders.retain(|folder| !folder.starts_with(&copy));
            match fs::remove_dir_all(&copy) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(BackupError::file(&copy, e)),
                _ => {}
            }
        }
        Ok(())
    }

    fn tree(&mut self, from: &Path, to: &Path) -> Result<(), BackupError> {
        self.make_folder(to)?;
        for path in entries(from)? {
            let copy = to.join(path.file_name().expect("an entry has a name"));
            if path.is_dir() { self.tree(&path, &copy) } else { self.file(&path, &copy) }?;
        }
        Ok(())
    }

    /// Takes back `bytes` of what was copied.
    pub(super) fn cut(&mut self, bytes: u64) {
        self.bytes -= bytes;
    }

    /// Makes the folders durable, and says how much was copied.
    pub(super) fn finish(self, root: &Path) -> Result<u64, BackupError> {
        for folder in self.folders.iter().map(PathBuf::as_path).chain([root]) {
            sync_folder(folder)?;
        }
        Ok(self.bytes)
    }
}

/// A folder in `parent` for what is to be called `name`, its owner's alone; gone with the value, unless it is kept.
pub(super) fn unfinished(parent: &Path, name: &OsStr) -> io::Result<TempDir> {
    let prefix = format!(".{}.unfinished-", name.to_string_lossy());
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    builder.tempdir_in(parent)
}

/// The engine's lock on a snapshot that it writes or compresses is a file beside it.
fn is_locked(snapshot: &Path) -> bool {
    snapshot.with_extension("lock").exists()
}

/// What lies in a folder; nothing, where there is none.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, BackupError> {
    let listed = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match listed {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(|e| BackupError::file(folder, e)),
    }
}

/// Makes durable which names a folder has.
pub(super) fn sync_folder(folder: &Path) -> Result<(), BackupError> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| BackupError::file(folder, e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_snapshot_that_nobody_writes_is_copied_and_the_engines_locks_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        for number in 1..=3 {
            let objects = from.join(format!("{number:020}.snapshot_dir/objects"));
            fs::create_dir_all(&objects).unwrap();
            fs::write(objects.join("page"), [number]).unwrap();
        }
        // The newest is being written.
        fs::write(from.join(format!("{:020}.lock", 3)), "").unwrap();
        fs::create_dir(from.join(format!("{:020}.invalid_snapshot", 4))).unwrap();
        let mut copier = Copier::default();
        copier.newest_snapshot(&from, &to).unwrap();
        let names: Vec<_> = entries(&to).unwrap();
        assert_eq!(names, [to.join(format!("{:020}.snapshot_dir", 2))]);
        assert_eq!(fs::read(names[0].join("objects/page")).unwrap(), [2]);
        assert_eq!(copier.finish(&to).unwrap(), 1);
    }
}
