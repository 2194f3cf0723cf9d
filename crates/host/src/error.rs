//! What can go wrong before a host runs.
//!
//! Each variant prints one line that names the cause and what to do about it. Errors of requests are
//! [`crate::http_error::ApiError`]; a running host does not die of them.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::limits::HostLimitsError;
use crate::subscribe::WebSocketLimitsError;

/// Why a host did not start. Nothing keeps running, and no lock is held, once this is returned.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Another host, in this or another process, uses the data folder.
    #[error(
        "data folder {} is in use by another host{}; stop that host, or give this one a folder of its own",
        path.display(),
        pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    DataDirInUse {
        /// The folder.
        path: PathBuf,
        /// The process that wrote its number into the lock file, where it could be read.
        pid: Option<u32>,
    },
    /// The data folder cannot be created, read or written by this user.
    #[error("cannot write to {}: {source}; check its owner and mode, or choose another data folder", path.display())]
    DataDirNotWritable {
        /// The file or folder that was refused.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No space, or no quota, is left where the data folder lies.
    #[error("no space left for {}: {source}; free some space, or choose another data folder", path.display())]
    DiskFull {
        /// The file that could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file stands where a folder must be.
    #[error("{} is a file where the data folder needs a folder; choose another data folder", path.display())]
    NotAFolder {
        /// The file.
        path: PathBuf,
    },
    /// Any other failure to read or write a file of the data folder.
    #[error("cannot use {}: {source}; check the disk and the data folder", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another program listens on the address.
    #[error(
        "address {addr} is already in use; stop the program that listens there, or choose another port (0 picks a free one)"
    )]
    AddressInUse {
        /// The address that was asked for.
        addr: SocketAddr,
    },
    /// The address cannot be listened on for another reason.
    #[error("cannot listen on {addr}: {source}; choose an address of this machine and a port this user may open")]
    Listen {
        /// The address that was asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The signing key is there but cannot be used.
    #[error("signing key {}: {reason}; it must be a P-256 private key in PKCS#8 PEM form", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The data folder holds databases, and the key with which the host signed their owners' tokens is not there.
    #[error(
        "signing key {} is missing, but the data folder holds {databases} {}: with a new key every token that this host \
         issued, their owners' too, would be refused for ever; restore the key from a backup, or start with --new-keys to \
         make one all the same",
        path.display(),
        if *databases == 1 { "database" } else { "databases" }
    )]
    KeysMissing {
        /// Where the key must be.
        path: PathBuf,
        /// How many databases there are.
        databases: usize,
    },
    /// The certificate or its key cannot be used for TLS.
    #[error(
        "TLS file {}: {reason}; give a PEM file with the certificate chain and one with the private key of its first",
        path.display()
    )]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// `control.sqlite` was written by a newer version of this host.
    #[error(
        "{} has schema version {found}, newer than {supported}; start the newer host that wrote it, or restore a backup",
        path.display()
    )]
    ControlTooNew {
        /// The file.
        path: PathBuf,
        /// The version found in the file.
        found: i64,
        /// The newest version this host knows.
        supported: i64,
    },
    /// There is no catalogue, but there is data: its databases would be lost from sight, and their folders taken for new
    /// ones.
    #[error(
        "{} is missing or empty, but {} holds data; restore control.sqlite from a backup, or move that folder away to begin \
         anew",
        path.display(),
        replicas.display()
    )]
    ControlMissing {
        /// Where the catalogue must be.
        path: PathBuf,
        /// The folder with the data of databases.
        replicas: PathBuf,
    },
    /// `control.sqlite` cannot be opened or read.
    #[error("cannot open {}: {source}; restore it from a backup, it says which databases the folder holds", path.display())]
    Control {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// What is to be trusted is no issuer: tokens of it could never be checked.
    #[error(
        "trusted issuer `{issuer}` is no URL; write it as the `iss` of its tokens has it, as in https://issuer.example"
    )]
    TrustedIssuer {
        /// What was given.
        issuer: String,
    },
    /// The limits of connections and requests leave no room for any.
    #[error("limits: {0}")]
    HostLimits(#[from] HostLimitsError),
    /// The limits of WebSocket sessions contradict each other.
    #[error("WebSocket limits: {0}")]
    WebSocketLimits(#[from] WebSocketLimitsError),
    /// The engine could not be assembled.
    #[error("cannot start the SpacetimeDB engine: {0}")]
    Engine(String),
}

impl StartError {
    /// Sorts a file's failure into the variant whose remedy fits it.
    pub(crate) fn file(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::DataDirNotWritable { path, source }
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull { path, source },
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => Self::NotAFolder { path },
            _ => Self::File { path, source },
        }
    }

    /// Sorts a failure of the catalogue's SQLite: a full disk is no damage, and its remedy is another.
    pub(crate) fn control(path: &Path, source: rusqlite::Error) -> Self {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => {
                Self::DiskFull { path, source: io::Error::new(io::ErrorKind::StorageFull, source) }
            }
            // SQLite does not say what the system said; a full disk is among it.
            Some(rusqlite::ErrorCode::SystemIoFailure) => {
                let folder = path.parent().unwrap_or(&path);
                match crate::durability::probe_now(folder) {
                    Err(full) if crate::durability::is_full(&full) => Self::DiskFull { path, source: full },
                    _ => Self::File { path, source: io::Error::other(source) },
                }
            }
            _ => Self::Control { path, source },
        }
    }

    /// Sorts a failure to listen on `addr`.
    pub(crate) fn listen(addr: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { addr },
            _ => Self::Listen { addr, source },
        }
    }
}
