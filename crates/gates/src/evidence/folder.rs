//! The folder that evidence lies in: one envelope a file, each naming the one before it.
//!
//! What always holds: a file is whole or not there (written beside, synced, then linked under its name, which never
//! replaces another file); one writer at a time; a file is never changed or deleted. A name begins with the statement's
//! sequence number, so names in order are the chain in order; nothing is believed because of a name.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::decision::Decision;
use super::dsse::{Envelope, EnvelopeFault};
use super::keys::Signer;
use super::statement::{Body, Link, Previous, Statement};
use super::verify::{File as Named, Trust, verify};
use crate::limits::{ENVELOPE_BYTES_MAX, FILES_MAX, FOLDER_LOCK_MS, PAYLOAD_BYTES_MAX};
use crate::report::{GateReport, Sha256};

/// How the names of envelopes end.
pub const SUFFIX: &str = ".dsse.json";
/// The file that writers hold while they write.
const LOCK: &str = ".lock";
/// How the names of files end that are being written.
const UNFINISHED: &str = ".unfinished";
/// How often a writer looks whether the other one is done.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Why evidence cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The file or folder cannot be read or written.
    #[error("{path}: {source}; see that the evidence folder exists, is writable, and its disk has room")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has been writing for too long.
    #[error("another process has been writing to {0} for {FOLDER_LOCK_MS} ms; wait for it to end, and try again")]
    Busy(PathBuf),
    /// Its last envelope cannot be gone on from.
    #[error(
        "{path} cannot be gone on from ({fault}); look at it with: muster evidence verify, and go on in a new folder"
    )]
    Damaged {
        /// The envelope.
        path: PathBuf,
        /// What is wrong with it.
        fault: String,
    },
    /// There are too many files.
    #[error("{0} holds more than {FILES_MAX} envelopes; go on in a new folder")]
    Full(PathBuf),
    /// The report is larger than an envelope may be.
    #[error("the report has {0} bytes, and evidence holds at most {PAYLOAD_BYTES_MAX}; let the gate observe less")]
    TooLarge(usize),
    /// The report's result does not follow from its observations: nobody could verify it.
    #[error("the report says {said}, and {follows} follows from its observations; end it with GateReport::finish")]
    Contradiction {
        /// The result in the report.
        said: crate::GateResult,
        /// The one that follows.
        follows: crate::GateResult,
    },
}

/// An envelope that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its file.
    pub path: PathBuf,
    /// The digest of the file: the folder's head now.
    pub sha256: Sha256,
    /// Its place in the chain.
    pub sequence: u64,
}

/// A folder of evidence.
#[derive(Clone, Debug)]
pub struct EvidenceDir {
    path: PathBuf,
}

impl EvidenceDir {
    /// Opens a folder for reading and writing, made if missing.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn open(path: &Path) -> Result<EvidenceDir, FolderError> {
        fs::create_dir_all(path).map_err(|source| FolderError::File { path: path.into(), source })?;
        Ok(EvidenceDir { path: path.into() })
    }

    /// Opens a folder that must exist.
    ///
    /// # Errors
    /// If there is none.
    pub fn existing(path: &Path) -> Result<EvidenceDir, FolderError> {
        fs::read_dir(path).map_err(|source| FolderError::File { path: path.into(), source })?;
        Ok(EvidenceDir { path: path.into() })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Signs a gate's report and adds it.
    ///
    /// # Errors
    /// If the folder cannot be written to, or its end is damaged.
    pub fn write(&self, report: &GateReport, signer: &Signer) -> Result<Written, FolderError> {
        let (said, follows) = (report.result, report.verdict());
        if said != follows {
            return Err(FolderError::Contradiction { said, follows });
        }
        self.add(Body::Gate(Box::new(report.clone())), signer)
    }

    /// Signs a promotion's decision and adds it.
    ///
    /// # Errors
    /// If the folder cannot be written to, or its end is damaged.
    pub fn write_decision(&self, decision: &Decision, signer: &Signer) -> Result<Written, FolderError> {
        self.add(Body::Decision(Box::new(decision.clone())), signer)
    }

    /// Adds a promotion's decision, unless one of this promotion with this act is there under this very key: a writer that
    /// was killed after it wrote does not write again. Nothing is returned then.
    ///
    /// # Errors
    /// If the folder cannot be read or written to, or its end is damaged.
    pub fn write_decision_once(&self, decision: &Decision, signer: &Signer) -> Result<Option<Written>, FolderError> {
        let trust = Trust::new(vec![signer.public()], decision.at);
        let verdict = verify(&self.files()?, &trust);
        let is_it = |body: &Body| matches!(body, Body::Decision(it) if it.promotion == decision.promotion && it.act == decision.act);
        if verdict.entries.iter().any(|it| is_it(&it.statement.body)) {
            return Ok(None);
        }
        self.write_decision(decision, signer).map(Some)
    }

    fn add(&self, body: Body, signer: &Signer) -> Result<Written, FolderError> {
        let _turn = self.turn()?;
        self.tidy();
        let link = self.next_link()?;
        let sequence = link.sequence;
        let about = match &body {
            Body::Gate(report) => format!("{}-{}", report.lane, report.gate),
            Body::Decision(decision) => format!("{}-promotion-{}", decision.to, decision.act.as_str()),
        };
        let payload = Statement { link, body }.to_json();
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(FolderError::TooLarge(payload.len()));
        }
        let name = format!("{sequence:06}-{}-{}{SUFFIX}", plain(&about), Sha256::of(&payload).short());
        let bytes = Envelope::seal(payload, signer).to_json();
        let path = self.path.join(name);
        self.place(&path, &bytes).map_err(|source| FolderError::File { path: path.clone(), source })?;
        Ok(Written { path, sha256: Sha256::of(&bytes), sequence })
    }

    /// Whole or not at all, and never over another file.
    fn place(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // A name of its own: what a killed writer left under one may be the very file that it had linked already, and must
        // not be written to.
        let unfinished = self.path.join(format!(".{:016x}{UNFINISHED}", rand::random::<u64>()));
        let written = || {
            let mut file = OpenOptions::new().write(true).create_new(true).open(&unfinished)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::hard_link(&unfinished, path)
        };
        let written = written();
        let _ = fs::remove_file(&unfinished);
        written?;
        File::open(&self.path)?.sync_all()
    }

    /// Takes away what killed writers left unfinished: whoever calls has the turn, so nobody else is at it.
    fn tidy(&self) {
        let left = fs::read_dir(&self.path).into_iter().flatten().flatten();
        for entry in left.filter(|it| it.file_name().to_str().is_some_and(|it| it.ends_with(UNFINISHED))) {
            // A name that cannot be removed harms nothing.
            let _ = fs::remove_file(entry.path());
        }
    }

    /// Waits for the other writers.
    fn turn(&self) -> Result<File, FolderError> {
        let path = self.path.join(LOCK);
        let failed = |source| FolderError::File { path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
        let until = Instant::now() + Duration::from_millis(FOLDER_LOCK_MS);
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::Error(source)) => return Err(failed(source)),
                Err(fs::TryLockError::WouldBlock) if Instant::now() > until => {
                    return Err(FolderError::Busy(self.path.clone()));
                }
                Err(fs::TryLockError::WouldBlock) => std::thread::sleep(LOCK_POLL),
            }
        }
    }

    /// The place of the statement to come. The last envelope is taken as it is: whoever verifies the folder finds what is
    /// wrong with it, also when it is no longer the last.
    fn next_link(&self) -> Result<Link, FolderError> {
        let names = self.names()?;
        let Some(last) = names.last() else {
            let mut chain = [0_u8; 16];
            rand::RngCore::fill_bytes(&mut rand::rng(), &mut chain);
            return Ok(Link { chain: hex::encode(chain), sequence: 1, previous: None });
        };
        let path = self.path.join(last);
        let bytes = self.read(last)?;
        let damaged = |fault: String| FolderError::Damaged { path: path.clone(), fault };
        let envelope = Envelope::parse(&bytes).map_err(|fault: EnvelopeFault| damaged(fault.to_string()))?;
        let link = envelope.unverified_link().ok_or_else(|| damaged("it says nothing of its place".into()))?;
        let previous = Some(Previous { envelope: Sha256::of(&bytes), payload: envelope.payload_sha256() });
        Ok(Link { chain: link.chain, sequence: link.sequence.saturating_add(1), previous })
    }

    /// The names of the envelopes, in order.
    ///
    /// # Errors
    /// If the folder cannot be read or holds too many.
    pub fn names(&self) -> Result<Vec<String>, FolderError> {
        let failed = |source| FolderError::File { path: self.path.clone(), source };
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if let Some(name) = name.to_str().filter(|it| it.ends_with(SUFFIX) && !it.starts_with('.')) {
                names.push(name.to_owned());
            }
            if names.len() > FILES_MAX {
                return Err(FolderError::Full(self.path.clone()));
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The envelopes, in the order of their names, for [`super::verify`].
    ///
    /// # Errors
    /// If the folder or a file cannot be read.
    pub fn files(&self) -> Result<Vec<Named>, FolderError> {
        self.names()?.into_iter().map(|name| Ok(Named { bytes: self.read(&name)?, name })).collect()
    }

    /// One file's bytes; one more than an envelope may have, where it is longer.
    fn read(&self, name: &str) -> Result<Vec<u8>, FolderError> {
        let path = self.path.join(name);
        let mut bytes = Vec::new();
        let file = File::open(&path);
        let read = file.and_then(|file| file.take(ENVELOPE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
        read.map_err(|source| FolderError::File { path, source })?;
        Ok(bytes)
    }
}

/// A text as a part of a file's name.
fn plain(text: &str) -> String {
    let plain = text.chars().map(|it| if it.is_ascii_alphanumeric() || "._-".contains(it) { it } else { '_' });
    plain.take(80).collect()
}
