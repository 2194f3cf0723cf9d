//! The folder that a plane lives in: what lies where, who has it, and on which addresses it answers.
//!
//! What always holds: one `muster up` has it at a time; it is for its owner alone; addresses that were chosen once are
//! written down before anything listens on them, because the token service is bound to its own for ever.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use muster_wire::Token;
use serde::{Deserialize, Serialize};

use crate::limits::{CONFIG_FILE_BYTES_MAX, TOKEN_FILE_BYTES_MAX};
use crate::outcome::Failure;
use crate::target::{create_private_folder, read_limited, state_home, write_new_secret};

const SCHEMA: &str = "muster.up.addresses.v1";

/// Where a plane lives unless `--data-dir` says otherwise.
///
/// # Errors
/// [`Failure::CouldNot`] if there is no home.
pub(crate) fn default_folder() -> Result<PathBuf, Failure> {
    let home = state_home().ok_or_else(|| {
        Failure::could_not("there is no folder to keep the data in", "set HOME, or give --data-dir DIR")
    })?;
    Ok(home.join("muster/up"))
}

/// A folder that this process has.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked for as long as this lives.
    _lock: File,
}

/// Where the plane answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addresses {
    /// The host.
    pub(crate) host: SocketAddr,
    /// The token service.
    pub(crate) control: SocketAddr,
}

#[derive(Serialize, Deserialize)]
struct Written {
    schema: String,
    host: SocketAddr,
    control: SocketAddr,
}

impl Folder {
    /// Takes a folder, made if missing.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if another process has it, or it cannot be made.
    pub(crate) fn take(path: &Path) -> Result<Folder, Failure> {
        let failed = |error: io::Error| {
            let cause = format!("the folder {} cannot be used ({error})", path.display());
            Failure::could_not(cause, "check its rights, or name another with --data-dir")
        };
        for folder in [path, &path.join("secrets"), &path.join("logs")] {
            create_private_folder(folder).map_err(failed)?;
        }
        let path = path.canonicalize().map_err(failed)?;
        let lock = File::options().write(true).create(true).truncate(false).open(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Folder { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::could_not(
                format!("another `muster up` runs with the data in {}", path.display()),
                "stop it first, or name another folder with --data-dir",
            )),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// The folder itself.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The host's data.
    pub(crate) fn host(&self) -> PathBuf {
        self.path.join("host")
    }

    /// The token service's state.
    pub(crate) fn control(&self) -> PathBuf {
        self.path.join("control")
    }

    /// The runtime's outbox.
    pub(crate) fn outbox(&self) -> PathBuf {
        self.path.join("runtime.outbox")
    }

    /// The screen's store of cursors and events.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("desktop.db")
    }

    /// A client's secret.
    pub(crate) fn secret(&self, client: &str) -> PathBuf {
        self.path.join("secrets").join(format!("{client}.secret"))
    }

    /// The token of the database's owner.
    pub(crate) fn owner_token(&self) -> PathBuf {
        self.path.join("secrets/owner.token")
    }

    /// A new log of a part; the one of the last time is kept beside it.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it cannot be made.
    pub(crate) fn log(&self, part: &str) -> Result<(File, PathBuf), Failure> {
        let path = self.path.join("logs").join(format!("{part}.log"));
        // There may be none, and one that cannot be moved is written over.
        let _ = fs::rename(&path, path.with_extension("log.before"));
        let file = File::create(&path).map_err(|error| unwritable(&path, &error))?;
        Ok((file, path))
    }

    /// The owner's token, once there is one.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if there is something that is none.
    pub(crate) fn read_owner(&self) -> Result<Option<Token>, Failure> {
        let path = self.owner_token();
        if !path.exists() {
            return Ok(None);
        }
        let bytes = read_limited("the owner's token", &path, TOKEN_FILE_BYTES_MAX)?;
        Ok(Some(Token::new(String::from_utf8_lossy(&bytes).trim())?))
    }

    /// Keeps what is secret, for its owner alone, in place of what was there.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it cannot be written.
    pub(crate) fn keep_secret(path: &Path, text: &str) -> Result<(), Failure> {
        // What was there is of no use any more.
        let _ = fs::remove_file(path);
        write_new_secret(path, text).map_err(|error| unwritable(path, &error))
    }

    /// Where the plane answers: what is asked for, else where it did the last time, else on free ports of this machine.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if no port is free, the token service is to move, or it cannot be written down.
    pub(crate) fn addresses(
        &self,
        host: Option<SocketAddr>,
        control: Option<SocketAddr>,
    ) -> Result<Addresses, Failure> {
        let path = self.path.join("addresses.json");
        let before = if path.exists() { Some(read(&path)?) } else { None };
        if let (Some(asked), Some(before)) = (control.filter(|asked| asked.port() != 0), &before)
            && asked != before.control
        {
            let cause = format!("the token service in {} is bound to {}", self.path.display(), before.control);
            return Err(Failure::could_not(
                cause,
                "leave --control-listen out, or name another folder with --data-dir",
            ));
        }
        let addresses = Addresses {
            host: settle(host, before.as_ref().map(|before| before.host))?,
            control: settle(before.as_ref().map(|before| before.control).or(control), None)?,
        };
        let written = Written { schema: SCHEMA.into(), host: addresses.host, control: addresses.control };
        let text = serde_json::to_string(&written).expect("text and numbers are JSON");
        replace(&path, &text).map_err(|error| unwritable(&path, &error))?;
        Ok(addresses)
    }
}

fn read(path: &Path) -> Result<Written, Failure> {
    let bytes = read_limited("the addresses", path, CONFIG_FILE_BYTES_MAX)?;
    let written = serde_json::from_slice::<Written>(&bytes).ok().filter(|written| written.schema == SCHEMA);
    written.ok_or_else(|| {
        let cause = format!("{} is not what `muster up` wrote", path.display());
        Failure::could_not(cause, "put it back from a backup, or name another folder with --data-dir")
    })
}

/// What is asked for, with a free port in place of 0; else what was; else any on this machine.
fn settle(asked: Option<SocketAddr>, before: Option<SocketAddr>) -> Result<SocketAddr, Failure> {
    let asked = asked.or(before).unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
    if asked.port() != 0 {
        return Ok(asked);
    }
    // Between here and the part's own bind somebody else may take it; the part says so then, and nothing is lost.
    let free = TcpListener::bind(asked).and_then(|listener| listener.local_addr());
    free.map_err(|error| {
        Failure::could_not(format!("no port of {} is free ({error})", asked.ip()), "name one with --listen")
    })
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(new, path)
}

fn unwritable(path: &Path, error: &io::Error) -> Failure {
    Failure::could_not(
        format!("{} cannot be written ({error})", path.display()),
        "free some space, or check its rights",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Option<SocketAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn addresses_stay_and_only_the_hosts_may_be_changed() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::take(place.path()).expect("free");
        let first = folder.addresses(None, None).expect("free ports");
        assert!(first.host.port() != 0 && first.control.port() != 0 && first.host != first.control, "{first:?}");
        assert_eq!(folder.addresses(None, at("127.0.0.1:0")).expect("the same"), first);
        let moved = folder.addresses(at("127.0.0.1:4321"), None).expect("the host moves");
        assert_eq!(moved, Addresses { host: at("127.0.0.1:4321").expect("one"), control: first.control });
        assert_eq!(folder.addresses(None, None).expect("the same"), moved);
        let refused = folder.addresses(None, at("127.0.0.1:4322")).expect_err("bound to the other").to_string();
        assert!(refused.contains("is bound to") && refused.contains("--data-dir"), "{refused}");
    }

    #[test]
    fn a_folder_is_taken_once_and_secrets_are_replaced() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::take(place.path()).expect("free");
        let refused = Folder::take(place.path()).expect_err("taken").to_string();
        assert!(refused.starts_with("another `muster up` runs"), "{refused}");
        assert_eq!(folder.read_owner().expect("none"), None);
        for token in ["one", "two"] {
            Folder::keep_secret(&folder.owner_token(), token).expect("written");
            assert_eq!(folder.read_owner().expect("one").expect("one").expose(), token);
        }
        drop(folder);
        Folder::take(place.path()).expect("free again");
    }
}
