//! Texts that are never shown: client secrets, refresh tokens, private keys.
//!
//! What always holds: `Debug` says nothing, there is no `Display` and no `Serialize`, and the memory is overwritten when
//! the text is dropped. Whoever needs the text calls [`Secret::expose`], and can be found by that word.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A text that is never shown.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes a text that is to be kept from sight.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(Zeroizing::new(text.into()))
    }

    /// A new secret: 256 random bits, as base64url, after a prefix that scanners of repositories can look for.
    pub(crate) fn generate(prefix: &str) -> Secret {
        Secret::new(format!("{prefix}{}", random_text::<32>()))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// What is stored of a refresh token, and looked up by. One round of SHA-256 is enough for 256 random bits.
    pub(crate) fn fingerprint(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Secret {
        Secret::new(text)
    }
}

impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

/// `N` random bytes of the operating system.
///
/// # Panics
/// Where the operating system has no random numbers: nothing here could go on.
pub(crate) fn random_bytes<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    OsRng.try_fill_bytes(bytes.as_mut()).expect("the operating system has random numbers");
    bytes
}

/// `N` random bytes as base64url text: an id that nobody guesses.
pub(crate) fn random_text<const N: usize>() -> String {
    BASE64_URL_SAFE_NO_PAD.encode(*random_bytes::<N>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_and_no_two_are_alike() {
        let (one, other) = (Secret::generate("x_"), Secret::generate("x_"));
        assert_ne!(one.expose(), other.expose());
        assert_eq!(format!("{one:?} {:#?}", Some(&other)), "Secret(…) Some(\n    Secret(…),\n)");
        assert_eq!(one.expose().len(), 2 + 43);
    }
}
