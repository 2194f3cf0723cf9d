//! The journal of a lane's promotions: a file of facts, one a line, each with the digest of the line before and itself.
//!
//! What always holds: a fact that [`Journal::append`] returned for is on the disk; one process has the journal at a time;
//! a last line that is not whole (the machine or the process stopped while it was written) never happened and is cut off;
//! anything else that is not as it was written is refused.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::core::{Core, Fact, Plan};
use crate::report::Sha256;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The file cannot be read or written.
    #[error("{path}: {source}; see that the journal's folder is writable and its disk has room, and run it again")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another promotion is running with {0}; wait for it, or stop it, and run this again")]
    Busy(PathBuf),
    /// It is not what was written.
    #[error("line {line} of {path} is not as it was written ({why}); find out who changed it: nothing was done")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// A journal, held by this process.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    tip: Sha256,
    core: Option<Core>,
}

impl Journal {
    /// Opens a journal, or makes it, and reads it.
    ///
    /// # Errors
    /// If it cannot be read, another process has it, or it is not as it was written.
    pub fn open(path: &Path) -> Result<Journal, JournalError> {
        let failed = |source| JournalError::File { path: path.into(), source };
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(JournalError::Busy(path.into())),
            Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let whole = bytes.iter().rposition(|it| *it == b'\n').map_or(0, |at| at + 1);
        let mut journal = Journal { path: path.into(), file, tip: Sha256::of(b""), core: None };
        for (index, line) in bytes[..whole].split_inclusive(|it| *it == b'\n').enumerate() {
            journal.take_in(line).map_err(|why| JournalError::Damaged { path: path.into(), line: index + 1, why })?;
        }
        let cut = || {
            journal.file.set_len(whole as u64)?;
            journal.file.seek(SeekFrom::End(0))?;
            journal.file.sync_all()?;
            // The name is to outlive a crash of the machine as well.
            File::open(path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new(".")))?.sync_all()
        };
        let mut cut = cut;
        cut().map_err(failed)?;
        Ok(journal)
    }

    /// Reads a journal without holding it: for `--plan`. Nothing if there is none.
    ///
    /// # Errors
    /// If it cannot be read or is not as it was written.
    pub fn peek(path: &Path) -> Result<Option<Core>, JournalError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(JournalError::File { path: path.into(), source }),
        };
        let whole = bytes.iter().rposition(|it| *it == b'\n').map_or(0, |at| at + 1);
        let (mut tip, mut core) = (Sha256::of(b""), None);
        for (index, line) in bytes[..whole].split_inclusive(|it| *it == b'\n').enumerate() {
            let taken = take_in(&mut tip, &mut core, line);
            taken.map_err(|why| JournalError::Damaged { path: path.into(), line: index + 1, why })?;
        }
        Ok(core)
    }

    /// The last promotion, over or not; nothing if there was none.
    pub fn core(&self) -> Option<&Core> {
        self.core.as_ref()
    }

    /// Begins a promotion.
    ///
    /// # Errors
    /// If it cannot be written.
    ///
    /// # Panics
    /// If the last one is not over: it is to be gone on with.
    pub fn begin(&mut self, plan: Plan) -> Result<(), JournalError> {
        assert!(self.core.as_ref().is_none_or(Core::is_over), "a promotion that is not over is gone on with");
        self.append(&Fact::Begun { plan: Box::new(plan) })
    }

    /// Writes down what happened, and takes it in.
    ///
    /// # Errors
    /// If it cannot be written: then it is to be taken as not having happened.
    ///
    /// # Panics
    /// If it cannot happen now.
    pub fn append(&mut self, fact: &Fact) -> Result<(), JournalError> {
        let (mut core, mut tip) = (self.core.clone(), self.tip);
        let json = serde_json::to_string(fact).expect("a fact can be written as JSON");
        let line = format!("{} {json}\n", mark(tip, json.as_bytes()));
        take_in(&mut tip, &mut core, line.as_bytes()).expect("what the driver reports may happen now");
        let length = self.file.stream_position();
        let written = length.and_then(|length| {
            let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_all());
            if written.is_err() {
                // Half a line is no line; and what could not be synced must not be read back.
                let _ = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
            }
            written
        });
        written.map_err(|source| JournalError::File { path: self.path.clone(), source })?;
        (self.core, self.tip) = (core, tip);
        Ok(())
    }

    fn take_in(&mut self, line: &[u8]) -> Result<(), String> {
        take_in(&mut self.tip, &mut self.core, line)
    }
}

/// The digest of a line: of the one before, and of what it says.
fn mark(tip: Sha256, json: &[u8]) -> Sha256 {
    let mut bytes = tip.to_string().into_bytes();
    bytes.extend_from_slice(json);
    Sha256::of(&bytes)
}

fn take_in(tip: &mut Sha256, core: &mut Option<Core>, line: &[u8]) -> Result<(), String> {
    let line = std::str::from_utf8(line).map_err(|_| "it is no text")?.trim_end_matches('\n');
    let (said, json) = line.split_once(' ').ok_or("it has no digest")?;
    let is = mark(*tip, json.as_bytes());
    if said != is.to_string() {
        return Err("its digest is another".into());
    }
    let fact: Fact = serde_json::from_str(json).map_err(|error| error.to_string())?;
    match (&fact, core.as_mut()) {
        (Fact::Begun { plan }, None) => *core = Some(Core::new((**plan).clone())),
        (Fact::Begun { plan }, Some(last)) if last.is_over() => *last = Core::new((**plan).clone()),
        (_, Some(core)) => core.on(&fact).map_err(|illegal| illegal.to_string())?,
        (_, None) => return Err("nothing has begun".into()),
    }
    *tip = is;
    Ok(())
}
