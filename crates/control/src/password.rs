//! Client secrets: hashed with argon2id, checked off the async threads, a few at a time.
//!
//! What always holds: a client that does not exist costs what a wrong secret costs. A secret that was right is
//! remembered for minutes under a key that lives in this process alone, so that those who know theirs do not wait behind
//! those who guess; what is remembered hangs on the stored hash, so a changed secret is forgotten by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::limits::{HASH_WAIT, HASHES_AT_ONCE, VERIFIED_SECRET_S, VERIFIED_SECRETS_MAX};
use crate::secret::{Secret, random_bytes};

/// 19 MiB, two passes, one lane: the least that OWASP's password storage page recommends for argon2id. Secrets here are
/// 256 random bits, so this is for those that somebody chose by hand and imported.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// As RFC 9106 section 3.1 recommends.
const SALT_BYTES: usize = 16;

/// Checks secrets.
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// What an unknown client's secret is compared with.
    dummy: Arc<str>,
    remember_key: Zeroizing<[u8; 32]>,
    remembered: Mutex<HashMap<[u8; 32], Instant>>,
}

/// The right to compute one hash.
pub(crate) struct Turn(#[expect(dead_code, reason = "held until the hash is done")] OwnedSemaphorePermit);

/// There was no turn within [`HASH_WAIT`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Busy;

fn argon2id() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).expect("the constants are within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

/// The hash of a secret, as a PHC string. Takes tens of milliseconds.
///
/// # Panics
/// Where the operating system has no random numbers.
pub(crate) fn hash(secret: &Secret) -> String {
    let salt = SaltString::encode_b64(random_bytes::<SALT_BYTES>().as_ref()).expect("a salt of the recommended length");
    argon2id().hash_password(secret.expose().as_bytes(), &salt).expect("a short secret and a random salt").to_string()
}

fn verify(secret: &Secret, phc: &str) -> bool {
    let Ok(parsed) = PasswordHash::new(phc) else { return false };
    argon2id().verify_password(secret.expose().as_bytes(), &parsed).is_ok()
}

impl Passwords {
    pub(crate) fn new() -> Passwords {
        Passwords {
            turns: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            dummy: hash(&Secret::generate("")).into(),
            remember_key: random_bytes(),
            remembered: Mutex::default(),
        }
    }

    /// Whether `secret` is one of those that are stored, and was right a while ago. Takes no time.
    pub(crate) fn remembers(&self, secret: &Secret, stored: &[String]) -> bool {
        stored.iter().any(|phc| self.is_remembered(&self.mark(secret, phc)))
    }

    /// Waits for a turn to hash, at most [`HASH_WAIT`].
    pub(crate) async fn turn(&self) -> Result<Turn, Busy> {
        let turn = tokio::time::timeout(HASH_WAIT, self.turns.clone().acquire_owned()).await.map_err(|_| Busy)?;
        turn.map(Turn).map_err(|_| Busy)
    }

    /// Whether `secret` is one of those that are stored. With none stored, it takes the time of a wrong one.
    pub(crate) async fn check(&self, turn: Turn, secret: Secret, stored: Vec<String>) -> Result<bool, Busy> {
        let marks: Vec<[u8; 32]> = stored.iter().map(|phc| self.mark(&secret, phc)).collect();
        let dummy = self.dummy.clone();
        let found = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            if stored.is_empty() {
                verify(&secret, &dummy);
            }
            stored.iter().position(|phc| verify(&secret, phc))
        });
        let found = found.await.map_err(|_| Busy)?;
        if let Some(place) = found {
            self.remember(marks[place]);
        }
        Ok(found.is_some())
    }

    /// Keyed by random bytes of this process: of no use to anybody who reads it elsewhere.
    fn mark(&self, secret: &Secret, phc: &str) -> [u8; 32] {
        let mut hasher = Sha256::new();
        hasher.update(self.remember_key.as_ref());
        hasher.update((phc.len() as u64).to_be_bytes());
        hasher.update(phc.as_bytes());
        hasher.update(secret.expose().as_bytes());
        hasher.finalize().into()
    }

    fn is_remembered(&self, mark: &[u8; 32]) -> bool {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = Duration::from_secs(VERIFIED_SECRET_S);
        // The map finds by the whole mark, which nobody outside can compute; the comparison is constant all the same.
        remembered
            .get_key_value(mark)
            .is_some_and(|(found, since)| bool::from(found.ct_eq(mark)) && since.elapsed() < fresh)
    }

    fn remember(&self, mark: [u8; 32]) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= VERIFIED_SECRETS_MAX {
            remembered.clear();
        }
        remembered.insert(mark, Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn checked(passwords: &Passwords, secret: Secret, stored: Vec<String>) -> Result<bool, Busy> {
        if passwords.remembers(&secret, &stored) {
            return Ok(true);
        }
        passwords.check(passwords.turn().await?, secret, stored).await
    }

    #[tokio::test]
    async fn only_the_right_secret_is_taken_also_when_remembered() {
        let (right, wrong) = (Secret::new("right"), Secret::new("wrong"));
        let (passwords, stored) = (Passwords::new(), vec![hash(&right)]);
        assert!(stored[0].starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        for _ in 0..2 {
            assert_eq!(checked(&passwords, right.clone(), stored.clone()).await, Ok(true));
            assert_eq!(checked(&passwords, wrong.clone(), stored.clone()).await, Ok(false));
        }
        assert_eq!(checked(&passwords, right.clone(), vec![]).await, Ok(false), "no secret is stored");
        assert_eq!(checked(&passwords, right, vec![hash(&wrong)]).await, Ok(false), "another is stored now");
    }

    #[tokio::test]
    async fn a_client_that_does_not_exist_costs_what_a_wrong_secret_costs() {
        let passwords = Passwords::new();
        let stored = vec![hash(&Secret::new("right"))];
        let took = async |stored: Vec<String>| {
            let mut best = Duration::MAX;
            for _ in 0..5 {
                let before = Instant::now();
                assert_eq!(checked(&passwords, Secret::new("wrong"), stored.clone()).await, Ok(false));
                best = best.min(before.elapsed());
            }
            best
        };
        let (wrong, unknown) = (took(stored).await, took(vec![]).await);
        assert!(unknown * 2 > wrong && wrong * 2 > unknown, "wrong {wrong:?}, unknown {unknown:?}");
    }
}
