//! The host's signing key: ES256, made once, readable by its owner alone.
//!
//! The private key file is the only truth; `<name>.pub` beside it is derived, for people, and rewritten when it is
//! missing. A key that exists is never replaced: every token the host ever signed depends on it. For the same reason
//! one that is missing is not made anew where there are databases ([`require`]), unless that is asked for.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use p256::SecretKey;
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use spacetimedb::auth::JwtKeys;

use crate::data_dir::{create_private_dir, restrict};
use crate::error::StartError;

/// Refuses to go on without the key at `path` where there are `databases`: a new one would lock their owners out.
pub(crate) fn require<E: std::fmt::Display>(
    path: &Path,
    databases: impl FnOnce() -> Result<usize, E>,
) -> Result<(), StartError> {
    if !matches!(fs::metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound) {
        // There, or unreadable, which reading it will say.
        return Ok(());
    }
    match databases().map_err(|e| StartError::Engine(e.to_string()))? {
        0 => Ok(()),
        databases => Err(StartError::KeysMissing { path: path.to_owned(), databases }),
    }
}

/// Reads the key at `path`, or makes one there if there is none.
pub(crate) fn load_or_create(path: &Path) -> Result<JwtKeys, StartError> {
    let key = match fs::read_to_string(path) {
        Ok(pem) => {
            restrict(path).map_err(|e| StartError::file(path, e))?;
            SecretKey::from_pkcs8_pem(&pem).map_err(|e| unusable(path, e))?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => create(path)?,
        Err(e) => return Err(StartError::file(path, e)),
    };
    let private = key.to_pkcs8_pem(LineEnding::LF).map_err(|e| unusable(path, e))?;
    let public = key.public_key().to_public_key_pem(LineEnding::LF).map_err(|e| unusable(path, e))?;
    publish_public_half(path, &public)?;
    JwtKeys::new(public.into_bytes(), private.as_bytes().to_vec()).map_err(|e| unusable(path, e))
}

fn unusable(path: &Path, reason: impl std::fmt::Display) -> StartError {
    StartError::Key { path: path.to_owned(), reason: reason.to_string() }
}

/// Writes a new key under another name and renames it: a crash leaves no half of a key behind.
fn create(path: &Path) -> Result<SecretKey, StartError> {
    let failed = |e| StartError::file(path, e);
    if let Some(parent) = path.parent() {
        create_private_dir(parent)?;
    }
    let key = SecretKey::random(&mut OsRng);
    let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|e| unusable(path, e))?;
    let unfinished = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&unfinished).map_err(failed)?;
    file.write_all(pem.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&unfinished, path).map_err(failed)?;
    Ok(key)
}

fn publish_public_half(path: &Path, pem: &str) -> Result<(), StartError> {
    let public = path.with_extension("pub");
    if public.exists() {
        return Ok(());
    }
    match fs::write(&public, pem) {
        // A key handed to us may lie where we cannot write; nobody needs the second file.
        Err(e) if matches!(e.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => Ok(()),
        other => other.map_err(|e| StartError::file(&public, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_key_is_an_error_only_where_there_are_databases() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/id_ecdsa");
        let require = |databases: usize| super::require(&path, || Ok::<_, String>(databases));
        assert!(require(0).is_ok());
        let error = require(2).unwrap_err();
        assert!(matches!(error, StartError::KeysMissing { databases: 2, .. }), "{error}");
        assert!(error.to_string().contains("--new-keys") && error.to_string().contains("id_ecdsa"), "{error}");
        load_or_create(&path).unwrap();
        assert!(require(2).is_ok());
    }

    #[test]
    fn a_key_is_made_once_and_read_ever_after() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/id_ecdsa");
        let first = load_or_create(&path).unwrap();
        fs::remove_file(path.with_extension("pub")).unwrap();
        let second = load_or_create(&path).unwrap();
        assert_eq!(first.public_pem, second.public_pem);
        assert_eq!(fs::read(path.with_extension("pub")).unwrap(), *first.public_pem);
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_can_read_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/id_ecdsa");
        load_or_create(&path).unwrap();
        let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        load_or_create(&path).unwrap();
        assert_eq!(mode(), 0o600);
    }

    #[test]
    fn a_file_that_is_no_key_is_refused_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("id_ecdsa");
        fs::write(&path, "not a key").unwrap();
        let error = load_or_create(&path).map(|_| ()).unwrap_err();
        assert!(matches!(error, StartError::Key { .. }), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), "not a key");
    }
}
