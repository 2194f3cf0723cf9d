//! Signing keys: private halves in files for their owner alone, signatures, and the key set.
//!
//! What always holds: a private half is on disk before the transaction that names it commits, and is deleted as soon as
//! its key signs no more. It is never printed, and is no part of the database, so that a copy of that cannot sign. Only
//! ES256 is signed and verified; what a token's header asks for never chooses the algorithm.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, LineEnding};
use rusqlite::Transaction;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::schedule::{KeyState, Phases, Step, due};
use crate::secret::{Secret, random_bytes};
use crate::store::keys::{self as rows, PublicKey};
use crate::store::{PRIVATE_DIR, PRIVATE_FILE, StoreError, audit, check_private};

/// Who keys are changed by when nobody asked.
pub(crate) const SELF: &str = "control";

/// The private halves.
pub(crate) struct KeyFiles {
    dir: PathBuf,
    loaded: Mutex<HashMap<String, Arc<EncodingKey>>>,
}

/// Why a key given from outside cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a private key.
    #[error("the signing key cannot be read; give a P-256 private key as PKCS#8 PEM (BEGIN PRIVATE KEY)")]
    Private,
    /// Not a public key.
    #[error("the public key cannot be read; give a JWK with kty EC, crv P-256, x and y, and without d")]
    Public,
}

impl KeyFiles {
    /// Opens the directory of private halves, or makes it.
    pub(crate) fn open(dir: &Path) -> Result<KeyFiles, StoreError> {
        make_private_dir(dir)?;
        Ok(KeyFiles { dir: dir.into(), loaded: Mutex::default() })
    }

    fn path(&self, kid: &str) -> PathBuf {
        self.dir.join(format!("{kid}.pem"))
    }

    /// Signs claims with the key that is active in this transaction.
    pub(crate) fn sign(&self, tx: &Transaction<'_>, typ: &str, claims: &impl Serialize) -> Result<String, StoreError> {
        let kid = rows::active(tx)?;
        let key = self.load(&kid)?;
        let header = Header { typ: Some(typ.into()), kid: Some(kid), ..Header::new(Algorithm::ES256) };
        jsonwebtoken::encode(&header, claims, &key).map_err(|_| StoreError::Corrupt("signing key"))
    }

    /// Whether the private half of this key is there and can be used.
    pub(crate) fn can_sign(&self, kid: &str) -> Result<(), StoreError> {
        self.load(kid).map(|_| ())
    }

    fn load(&self, kid: &str) -> Result<Arc<EncodingKey>, StoreError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(key) = loaded.get(kid) {
            return Ok(key.clone());
        }
        let path = self.path(kid);
        check_private(&path, PRIVATE_FILE)?;
        let pem = fs::read_to_string(&path).map_err(|source| StoreError::File { path, source })?;
        let key = read_private(&Secret::new(pem)).map_err(|_| StoreError::Corrupt("signing key's file"))?;
        let der = key.to_pkcs8_der().map_err(|_| StoreError::Corrupt("signing key's file"))?;
        let key = Arc::new(EncodingKey::from_ec_der(der.as_bytes()));
        // One key signs at a time; the one before it signs no more.
        loaded.clear();
        loaded.insert(kid.to_owned(), key.clone());
        Ok(key)
    }

    /// Does what is due, in the given transaction. Returns whether anything was.
    pub(crate) fn advance(
        &self,
        tx: &Transaction<'_>,
        phases: Phases,
        now_s: i64,
        serving_since_s: Option<i64>,
        first: Option<&Secret>,
    ) -> Result<bool, StoreError> {
        let facts: Vec<_> = rows::all(tx)?.into_iter().map(|key| key.facts).collect();
        // What is deleted here was committed as not signing any more; a change of this transaction may still fail.
        self.delete_all_but(facts.iter().filter(|key| may_sign(key.state)).map(|key| key.kid.as_str()))?;
        let steps = due(&facts, phases, now_s, serving_since_s);
        for step in &steps {
            self.apply(tx, step, now_s, first)?;
        }
        Ok(!steps.is_empty())
    }

    /// Makes one change and writes it to the audit log.
    pub(crate) fn apply(
        &self,
        tx: &Transaction<'_>,
        step: &Step,
        now_s: i64,
        first: Option<&Secret>,
    ) -> Result<(), StoreError> {
        let (kid, state, action) = match step {
            Step::CreateActive => (self.create(tx, KeyState::Active, now_s, first)?, KeyState::Active, "key.create"),
            Step::Announce => (self.create(tx, KeyState::Announced, now_s, None)?, KeyState::Announced, "key.announce"),
            Step::Retire(kid) => (kid.clone(), KeyState::Retiring, "key.retire"),
            Step::Activate(kid) => (kid.clone(), KeyState::Active, "key.activate"),
            Step::Remove(kid) => (kid.clone(), KeyState::Gone, "key.remove"),
        };
        rows::set_state(tx, &kid, state, now_s)?;
        tracing::info!(kid, state = state.as_str(), "signing key");
        audit::append(tx, now_s, SELF, action, &kid, &serde_json::json!({}))
    }

    fn create(
        &self,
        tx: &Transaction<'_>,
        state: KeyState,
        now_s: i64,
        given: Option<&Secret>,
    ) -> Result<String, StoreError> {
        let key = match given {
            Some(pem) => read_private(pem).map_err(|_| StoreError::Corrupt("given signing key"))?,
            None => new_private(),
        };
        let public = public_half(&key);
        let kid = thumbprint(&public);
        self.save(&kid, &key)?;
        rows::insert(tx, &kid, state, &public, now_s)?;
        Ok(kid)
    }

    fn save(&self, kid: &str, key: &SecretKey) -> Result<(), StoreError> {
        let pem = key.to_pkcs8_pem(LineEnding::LF).map_err(|_| StoreError::Corrupt("signing key"))?;
        let path = self.path(kid);
        let written = write_private(&path, pem.as_bytes()).and_then(|()| File::open(&self.dir)?.sync_all());
        written.map_err(|source| StoreError::File { path, source })
    }

    /// Deletes private halves that nothing will be signed with, also those of a transaction that failed.
    fn delete_all_but<'a>(&self, kept: impl Iterator<Item = &'a str>) -> Result<(), StoreError> {
        let failed = |source| StoreError::File { path: self.dir.clone(), source };
        let kept: Vec<PathBuf> = kept.map(|kid| self.path(kid)).collect();
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "pem") && !kept.contains(&path) {
                fs::remove_file(&path).map_err(failed)?;
            }
        }
        Ok(())
    }
}

fn may_sign(state: KeyState) -> bool {
    matches!(state, KeyState::Announced | KeyState::Active)
}

/// Makes a directory for its owner alone; one that exists must be so.
pub(crate) fn make_private_dir(dir: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(PRIVATE_DIR).create(dir);
    made.map_err(|source| StoreError::File { path: dir.into(), source })?;
    check_private(dir, PRIVATE_DIR)
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn new_private() -> SecretKey {
    loop {
        // All but one in 2^32 of the 256-bit numbers are keys.
        if let Ok(key) = SecretKey::from_slice(random_bytes::<32>().as_ref()) {
            return key;
        }
    }
}

/// A public key whose private half is gone.
pub(crate) fn public_key_of_nobody() -> PublicKey {
    public_half(&new_private())
}

/// Reads a private key.
pub(crate) fn read_private(pem: &Secret) -> Result<SecretKey, KeyError> {
    SecretKey::from_pkcs8_pem(pem.expose()).map_err(|_| KeyError::Private)
}

fn public_half(key: &SecretKey) -> PublicKey {
    let point = key.public_key().to_encoded_point(false);
    let text = |coordinate: Option<_>| {
        BASE64_URL_SAFE_NO_PAD.encode::<&p256::FieldBytes>(coordinate.expect("a public key's point is not at infinity"))
    };
    PublicKey { x: text(point.x()), y: text(point.y()) }
}

/// The id of a key: its JWK thumbprint (RFC 7638).
pub(crate) fn thumbprint(key: &PublicKey) -> String {
    let json = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, key.x, key.y);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(json))
}

/// Reads a client's public key from its JWK, and makes sure that it is a point of the curve.
pub(crate) fn read_public_jwk(jwk: &str) -> Result<PublicKey, KeyError> {
    #[derive(serde::Deserialize)]
    struct Jwk {
        kty: String,
        crv: String,
        x: String,
        y: String,
        d: Option<serde::de::IgnoredAny>,
    }
    let jwk: Jwk = serde_json::from_str(jwk).map_err(|_| KeyError::Public)?;
    let good = jwk.kty == "EC" && jwk.crv == "P-256" && jwk.d.is_none();
    let key = PublicKey { x: jwk.x, y: jwk.y };
    let point = [&key.x, &key.y].map(|text| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap_or_default());
    let sec1: Vec<u8> = [vec![4], point.concat()].concat();
    let on_curve = point.iter().all(|half| half.len() == 32) && p256::PublicKey::from_sec1_bytes(&sec1).is_ok();
    if good && on_curve { Ok(key) } else { Err(KeyError::Public) }
}

/// Verifies the signature of a token and reads its claims. Times, issuer and audience are the caller's to check.
pub(crate) fn verify<T: DeserializeOwned + Clone>(token: &str, key: &PublicKey) -> Option<T> {
    let key = DecodingKey::from_ec_components(&key.x, &key.y).ok()?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    jsonwebtoken::decode(token, &key, &validation).ok().map(|data| data.claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thumbprint_is_that_of_rfc_7638() {
        // The key of RFC 7517 appendix A.1; its thumbprint computed with another program (python's hashlib).
        let key = PublicKey {
            x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4".into(),
            y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM".into(),
        };
        assert_eq!(thumbprint(&key), "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s");
    }

    #[test]
    fn only_public_points_of_the_curve_are_taken() {
        let good = r#"{"kty":"EC","crv":"P-256","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM","kid":"1"}"#;
        assert!(read_public_jwk(good).is_ok());
        for bad in [
            good.replace("\"kid\"", "\"d\""),
            good.replace("MKBC", "MKBD"),
            good.replace("P-256", "P-384"),
            good.replace("\"EC\"", "\"oct\""),
            r#"{"kty":"oct","k":"AAAA"}"#.into(),
        ] {
            assert_eq!(read_public_jwk(&bad), Err(KeyError::Public), "{bad}");
        }
    }
}
