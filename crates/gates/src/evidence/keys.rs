//! The operator's keys: ES256 (P-256, SHA-256) or Ed25519, as PEM (PKCS#8 for the private half, SPKI for the public one).
//!
//! What always holds: a private key's file is its owner's alone (0600) or it is not read; a private half is never
//! printed; a key's fingerprint is the SHA-256 of its SPKI DER, and is only ever a name, never a reason to trust.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::Verifier as _;
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, LineEnding};
use zeroize::Zeroizing;

use crate::limits::KEY_FILE_BYTES_MAX;
use crate::report::Sha256;

/// A signature algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256; signatures are ASN.1 DER, as other DSSE tools write them.
    Es256,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl Algorithm {
    /// As it is written and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Algorithm::Es256 => "es256",
            Algorithm::Ed25519 => "ed25519",
        }
    }
}

/// Why a key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("{path}: {source}; name a key's file (make one with: muster evidence keygen FILE)")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read the private key.
    #[error("{path} may be read by others (mode {mode:o}); run: chmod 600 {path}, and make a new key if somebody did")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is no private key of a kind that signs evidence.
    #[error("{path} is no private key for evidence; it takes a PKCS#8 PEM (BEGIN PRIVATE KEY) of P-256 or Ed25519")]
    Private {
        /// The file.
        path: PathBuf,
    },
    /// It is no public key of a kind that signs evidence.
    #[error("{path} is no public key for evidence; it takes a PEM (BEGIN PUBLIC KEY) of P-256 or Ed25519")]
    Public {
        /// The file.
        path: PathBuf,
    },
}

/// A private key.
pub struct Signer(Private);

enum Private {
    Es256(Box<p256::ecdsa::SigningKey>),
    Ed25519(Box<ed25519_dalek::SigningKey>),
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({})", self.public().fingerprint())
    }
}

impl Signer {
    /// A new key.
    pub fn generate(algorithm: Algorithm) -> Signer {
        loop {
            let mut bytes = Zeroizing::new([0_u8; 32]);
            rand::RngCore::fill_bytes(&mut rand::rng(), &mut *bytes);
            if let Some(signer) = Signer::from_seed(algorithm, &bytes) {
                return signer;
            }
        }
    }

    /// The key of these bytes; nothing if they are none (which one in 2^32 is of P-256's).
    pub fn from_seed(algorithm: Algorithm, seed: &[u8; 32]) -> Option<Signer> {
        Some(Signer(match algorithm {
            Algorithm::Es256 => Private::Es256(Box::new(p256::ecdsa::SigningKey::from_slice(seed).ok()?)),
            Algorithm::Ed25519 => Private::Ed25519(Box::new(ed25519_dalek::SigningKey::from_bytes(seed))),
        }))
    }

    /// Reads a private key.
    ///
    /// # Errors
    /// If the file cannot be read, others may read it, or it is no such key.
    pub fn read(path: &Path) -> Result<Signer, KeyError> {
        let failed = |source| KeyError::File { path: path.into(), source };
        let file = File::open(path).map_err(failed)?;
        let mode = file.metadata().map_err(failed)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::Exposed { path: path.into(), mode });
        }
        let mut pem = Zeroizing::new(String::new());
        file.take(KEY_FILE_BYTES_MAX as u64).read_to_string(&mut pem).map_err(failed)?;
        Signer::from_pem(&pem).ok_or_else(|| KeyError::Private { path: path.into() })
    }

    /// The key in a PKCS#8 PEM.
    pub fn from_pem(pem: &str) -> Option<Signer> {
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_pem(pem) {
            return Some(Signer(Private::Es256(Box::new(key))));
        }
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem).ok()?;
        Some(Signer(Private::Ed25519(Box::new(key))))
    }

    /// Writes it to a new file (0600), and its public half beside it as `FILE.pub`, whose path is returned. Files that
    /// exist are left alone.
    ///
    /// # Errors
    /// If a file exists already or cannot be written.
    pub fn create(&self, path: &Path) -> Result<PathBuf, KeyError> {
        let mut name = path.as_os_str().to_owned();
        name.push(".pub");
        let beside = PathBuf::from(name);
        let private = match &self.0 {
            Private::Es256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Private::Ed25519(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        let private = private.expect("a key of this process can be written");
        write_new(&beside, 0o644, self.public().to_pem().as_bytes())?;
        write_new(path, 0o600, private.as_bytes()).inspect_err(|_| {
            // Its other half would be a key of nobody.
            let _ = fs::remove_file(&beside);
        })?;
        Ok(beside)
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(match &self.0 {
            Private::Es256(key) => Public::Es256(*key.verifying_key()),
            Private::Ed25519(key) => Public::Ed25519(key.verifying_key()),
        })
    }

    /// A signature over these bytes.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        match &self.0 {
            Private::Es256(key) => {
                let signature: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(&**key, bytes);
                signature.normalize_s().unwrap_or(signature).to_der().as_bytes().to_vec()
            }
            Private::Ed25519(key) => key.sign(bytes).to_vec(),
        }
    }
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), KeyError> {
    let written = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    written().map_err(|source: io::Error| KeyError::File { path: path.into(), source })
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(Public);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Public {
    Es256(p256::ecdsa::VerifyingKey),
    Ed25519(ed25519_dalek::VerifyingKey),
}

impl PublicKey {
    /// Reads a public key.
    ///
    /// # Errors
    /// If the file cannot be read or is no such key.
    pub fn read(path: &Path) -> Result<PublicKey, KeyError> {
        let failed = |source| KeyError::File { path: path.into(), source };
        let mut pem = String::new();
        File::open(path).map_err(failed)?.take(KEY_FILE_BYTES_MAX as u64).read_to_string(&mut pem).map_err(failed)?;
        PublicKey::from_pem(&pem).ok_or_else(|| KeyError::Public { path: path.into() })
    }

    /// The key in a PEM.
    pub fn from_pem(pem: &str) -> Option<PublicKey> {
        if let Ok(key) = p256::ecdsa::VerifyingKey::from_public_key_pem(pem) {
            return Some(PublicKey(Public::Es256(key)));
        }
        Some(PublicKey(Public::Ed25519(ed25519_dalek::VerifyingKey::from_public_key_pem(pem).ok()?)))
    }

    /// As PEM.
    pub fn to_pem(&self) -> String {
        let pem = match &self.0 {
            Public::Es256(key) => key.to_public_key_pem(LineEnding::LF),
            Public::Ed25519(key) => key.to_public_key_pem(LineEnding::LF),
        };
        pem.expect("a key that was read can be written")
    }

    /// The SHA-256 of its SPKI DER.
    pub fn fingerprint(&self) -> Sha256 {
        let der = match &self.0 {
            Public::Es256(key) => key.to_public_key_der(),
            Public::Ed25519(key) => key.to_public_key_der(),
        };
        Sha256::of(der.expect("a key that was read can be written").as_bytes())
    }

    /// Its algorithm. It decides how a signature is read; nothing in an envelope does.
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Public::Es256(_) => Algorithm::Es256,
            Public::Ed25519(_) => Algorithm::Ed25519,
        }
    }

    /// Whether this is the key's signature over these bytes. Of the two that anybody can make of an ECDSA signature, (r, s)
    /// and (r, n - s), only the one with the smaller s is: no envelope can be changed without a finding.
    pub(crate) fn holds(&self, bytes: &[u8], signature: &[u8]) -> bool {
        match &self.0 {
            Public::Es256(key) => {
                let is_it = |it: p256::ecdsa::Signature| it.normalize_s().is_none() && key.verify(bytes, &it).is_ok();
                p256::ecdsa::Signature::from_der(signature).is_ok_and(is_it)
            }
            Public::Ed25519(key) => {
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|it| key.verify_strict(bytes, &it).is_ok())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_comes_back_from_its_files_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        for algorithm in [Algorithm::Es256, Algorithm::Ed25519] {
            let path = folder.path().join(algorithm.as_str());
            let signer = Signer::generate(algorithm);
            let public = signer.create(&path).expect("written");
            assert_eq!(fs::metadata(&path).expect("there").mode() & 0o777, 0o600);
            let read = Signer::read(&path).expect("read");
            let public = PublicKey::read(&public).expect("read");
            assert_eq!((read.public(), public.algorithm()), (public.clone(), algorithm));
            assert!(public.holds(b"bytes", &read.sign(b"bytes")));
            assert!(!public.holds(b"other", &read.sign(b"bytes")));
            assert!(matches!(signer.create(&path), Err(KeyError::File { .. })), "a key is never replaced");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
            assert!(matches!(Signer::read(&path), Err(KeyError::Exposed { mode: 0o640, .. })));
        }
    }
}
