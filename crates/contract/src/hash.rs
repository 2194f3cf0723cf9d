//! The hash of a payload: SHA-256 over its canonical JSON.
//!
//! What always holds: the bytes that are hashed are the bytes that travel and are stored, so checking a payload is hashing
//! it, and nobody on the path parses it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::page::{WireHash, digest, wire_hash};

const PREFIX: &str = "sha256:";

/// A SHA-256 (FIPS 180-4) of a payload's canonical bytes. Written as `sha256:` and 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PayloadHash([u8; 32]);

/// A text that is no `sha256:` with 64 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a payload hash is `sha256:` and 64 lower-case hex digits")]
pub struct PayloadHashError;

impl PayloadHash {
    /// The hash of these bytes, which should be canonical JSON ([`crate::CanonicalJson`]): other bytes of the same
    /// meaning have another hash.
    pub fn of(canonical: &[u8]) -> PayloadHash {
        PayloadHash(Sha256::digest(canonical).into())
    }

    /// The hash with this digest.
    pub const fn from_bytes(digest: [u8; 32]) -> PayloadHash {
        PayloadHash(digest)
    }

    /// The digest.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<WireHash> for PayloadHash {
    fn from(hash: WireHash) -> PayloadHash {
        PayloadHash(digest(hash))
    }
}

impl From<PayloadHash> for WireHash {
    fn from(hash: PayloadHash) -> WireHash {
        wire_hash(&hash.0)
    }
}

impl fmt::Display for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PayloadHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PayloadHash({self})")
    }
}

impl FromStr for PayloadHash {
    type Err = PayloadHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = text.strip_prefix(PREFIX).ok_or(PayloadHashError)?.as_bytes();
        let (pairs, rest) = hex.as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(PayloadHashError);
        }
        let mut digest = [0; 32];
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Ok(PayloadHash(digest))
    }
}

/// A lower-case hex digit: one spelling for each hash.
fn nibble(digit: u8) -> Result<u8, PayloadHashError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(PayloadHashError),
    }
}

impl TryFrom<String> for PayloadHash {
    type Error = PayloadHashError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PayloadHash> for String {
    fn from(hash: PayloadHash) -> String {
        hash.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_of_abc_is_the_one_in_the_standard() {
        assert_eq!(
            PayloadHash::of(b"abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn a_hash_has_one_spelling() {
        let hash = PayloadHash::of(b"{}").to_string();
        let upper = hash.to_uppercase();
        let digits = &hash["sha256:".len()..];
        let wrong = [
            upper.clone(),
            upper.replace("SHA", "sha"),
            digits.into(),
            format!("{hash}0"),
            format!("{hash}00"),
            format!("{hash} "),
            hash[..hash.len() - 1].into(),
            hash.replace("sha256", "sha512"),
            format!("sha256:{}", "+1".repeat(32)),
        ];
        for text in wrong {
            assert_eq!(text.parse::<PayloadHash>(), Err(PayloadHashError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_hash_survives_being_written_and_read_and_sent(digest: [u8; 32]) {
            let hash = PayloadHash::from_bytes(digest);
            prop_assert_eq!(hash.to_string().parse(), Ok(hash));
            prop_assert_eq!(PayloadHash::from(WireHash::from(hash)), hash);
        }
    }
}
