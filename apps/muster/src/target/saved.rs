//! The tokens that `publish` saved, below the folder of configuration: `muster/tokens/<scheme>_<host>_<port>.token`, and
//! `….2.token` and so on, because different hosts may stand at one address one after the other.
//!
//! What always holds: a file is mode 0600 and holds nothing but the token; no file is ever replaced or deleted, because
//! it may be the only key to a database; a token is sent only to the scheme, host and port it was saved for; one process
//! at a time makes an identity for an address.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use muster_wire::http::HttpClient;
use muster_wire::{Endpoint, Identity, Token};

use super::files::{config_home, create_private_folder, write_new_secret};
use super::tokens::{Deadline, from_file};
use crate::limits::{CHECK_MS_MAX, SAVED_TOKENS_MAX, TOKEN_LOCK_MS_MAX, TOKEN_LOCK_POLL_MS};
use crate::outcome::Failure;
use crate::ui::Ui;

/// A token that was saved, and its file.
#[derive(Clone, Debug)]
pub(super) struct Saved {
    pub(super) token: Token,
    pub(super) path: PathBuf,
}

/// Who `publish` is from now on.
pub(super) enum Owner {
    /// Somebody whom the host has just made up, saved now.
    New(Identity, Saved),
    /// Somebody whom another process saved in the meantime.
    Found(Saved),
}

/// What is saved for the host of `endpoint`, in the order in which it is to be tried.
///
/// # Errors
/// [`Failure::CouldNot`] if a file cannot be read or holds no token.
pub(super) fn all(endpoint: &Endpoint) -> Result<Vec<Saved>, Failure> {
    let slots = slots(endpoint).unwrap_or_default().into_iter();
    slots.filter(|path| path.exists()).map(|path| Ok(Saved { token: from_file(&path)?, path })).collect()
}

/// The names by which a host on this machine is usually known.
const NAMES_OF_THIS_MACHINE: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// If `endpoint` is a host on this machine: another name of this machine, with the same scheme and port, for which
/// something is saved. Sends nothing, and whether the host takes it is not known.
pub(super) fn other_name(endpoint: &Endpoint) -> Option<String> {
    let authority = endpoint.authority();
    let (host, port) = authority.rsplit_once(':')?;
    if !NAMES_OF_THIS_MACHINE.contains(&host) {
        return None;
    }
    let scheme = if endpoint.is_encrypted() { "https" } else { "http" };
    let others = NAMES_OF_THIS_MACHINE.into_iter().filter(|name| *name != host).map(|name| format!("{name}:{port}"));
    let is_saved = |authority: &String| {
        let other = Endpoint::new(&format!("{scheme}://{authority}"), endpoint.database());
        other.ok().and_then(|other| slots(&other)).is_some_and(|slots| slots.iter().any(|path| path.exists()))
    };
    { others }.find(is_saved)
}

/// Whether others than its owner can read the file.
#[cfg(unix)]
pub(super) fn is_open_to_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(path).is_ok_and(|data| data.permissions().mode() & 0o077 != 0)
}

/// Whether others than its owner can read the file: this system has no modes.
#[cfg(not(unix))]
pub(super) fn is_open_to_others(_path: &Path) -> bool {
    false
}

/// Has the host make up an identity and saves its token; or takes the one that another process has just saved.
///
/// # Errors
/// [`Failure::CouldNot`] if the host makes none, or it cannot be saved.
pub(super) async fn make_owner(endpoint: &Endpoint, ui: &Ui) -> Result<Owner, Failure> {
    let slots = slots(endpoint).ok_or_else(|| {
        let cause = "there is no folder to save the new identity's token in";
        Failure::could_not(cause, "set HOME, or give --token-file FILE")
    })?;
    let unwritable = |error: io::Error| {
        let cause = format!("the new identity's token cannot be saved in {} ({error})", slots[0].display());
        Failure::could_not(cause, "make the folder writable, or give --token-file FILE")
    };
    let folder = slots[0].parent().expect("a slot is a file in a folder");
    create_private_folder(folder).map_err(unwritable)?;
    let _held = lock(&slots[0].with_extension("lock")).await?;
    if let Some(saved) = first_taken(endpoint).await? {
        return Ok(Owner::Found(saved));
    }
    let client = HttpClient::new(endpoint.clone(), None)?.with_timeout(Duration::from_millis(CHECK_MS_MAX));
    let issued = client.create_identity().await?;
    let text = format!("{}\n", issued.token.expose());
    // Where locks do not work, a file may still come between the look and the deed; each round then meets another one.
    for _ in 0..=SAVED_TOKENS_MAX {
        let path = free_slot(&slots, ui)?;
        match write_new_secret(&path, &text) {
            Ok(()) => return Ok(Owner::New(issued.identity, Saved { token: issued.token, path })),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if let Some(saved) = first_taken(endpoint).await? {
                    return Ok(Owner::Found(saved));
                }
            }
            Err(error) => return Err(unwritable(error)),
        }
    }
    Err(Failure::could_not("other processes keep saving tokens for this host", "run this again when they are done"))
}

/// The first saved token that the host takes.
async fn first_taken(endpoint: &Endpoint) -> Result<Option<Saved>, Failure> {
    let deadline = Deadline::after_ms(CHECK_MS_MAX);
    for saved in all(endpoint)? {
        if deadline.takes(endpoint, &saved.token).await? {
            return Ok(Some(saved));
        }
    }
    Ok(None)
}

/// A name that is free; if there is none, the oldest file is set aside first. The host takes none of them: the caller
/// asked.
fn free_slot(slots: &[PathBuf], ui: &Ui) -> Result<PathBuf, Failure> {
    if let Some(free) = slots.iter().find(|path| !path.exists()) {
        return Ok(free.clone());
    }
    // A file whose time cannot be read counts as the newest, and stays.
    let age =
        |path: &&PathBuf| fs::metadata(path).and_then(|data| data.modified()).map_or((1, None), |at| (0, Some(at)));
    let oldest = slots.iter().min_by_key(age).expect("there is at least one name");
    let aside = (1..)
        .map(|number| oldest.with_extension(format!("token.refused-{number}")))
        .find(|path| !path.exists())
        .expect("some number is free");
    fs::rename(oldest, &aside).map_err(|error| {
        let cause =
            format!("the host does not take the token in {}, and it cannot be renamed ({error})", oldest.display());
        Failure::could_not(cause, "move it to another folder")
    })?;
    ui.say(format!(
        "the host takes none of the {} tokens saved for it; the oldest is now in {}",
        slots.len(),
        aside.display()
    ));
    Ok(oldest.clone())
}

/// The lock of an address: held until the file is dropped, or the process ends. `None` where the file system has none.
async fn lock(path: &Path) -> Result<Option<File>, Failure> {
    let failed = |why: String| {
        let cause = format!("the lock {} cannot be had ({why})", path.display());
        Failure::could_not(cause, "run this again, or give --token-file FILE")
    };
    let file = File::options().create(true).append(true).open(path).map_err(|error| failed(error.to_string()))?;
    let began = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            Err(TryLockError::WouldBlock) if began.elapsed() < Duration::from_millis(TOKEN_LOCK_MS_MAX) => {
                tokio::time::sleep(Duration::from_millis(TOKEN_LOCK_POLL_MS)).await;
            }
            Err(TryLockError::WouldBlock) => return Err(failed("another process holds it".into())),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(failed(error.to_string())),
        }
    }
}

/// The files that may hold tokens for the host of `endpoint`.
fn slots(endpoint: &Endpoint) -> Option<Vec<PathBuf>> {
    let (folder, stem) = (config_home()?.join("muster/tokens"), file_stem(endpoint));
    let name = |number: usize| match number {
        1 => folder.join(format!("{stem}.token")),
        number => folder.join(format!("{stem}.{number}.token")),
    };
    Some((1..=SAVED_TOKENS_MAX).map(name).collect())
}

/// Scheme, host and port as a file name: what is not a letter, digit, dot or hyphen becomes an underscore
/// (`[::1]:3000`). With the scheme, a token saved for `https` never goes out in the clear.
pub(super) fn file_stem(endpoint: &Endpoint) -> String {
    let scheme = if endpoint.is_encrypted() { "https" } else { "http" };
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    format!("{scheme}_{}", endpoint.authority().chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scheme_host_and_port_make_a_plain_file_name() {
        let stem = |url| file_stem(&Endpoint::new(url, "db").expect("an endpoint"));
        assert_eq!(stem("http://127.0.0.1:3000"), "http_127.0.0.1_3000");
        assert_eq!(stem("https://127.0.0.1:3000"), "https_127.0.0.1_3000");
        assert_eq!(stem("http://[::1]:3000"), "http____1__3000");
    }
}
