//! Canonical JSON: the one text that a payload has, whoever wrote it (RFC 8785, JSON Canonicalization Scheme).
//!
//! What always holds: a [`CanonicalJson`] is canonical; making one of its own text changes nothing; and no payload is taken
//! whose meaning the canonical text would lose. Where RFC 8785 leaves the input to others, the rules are:
//!
//! - The text is one JSON value after RFC 8259 in valid UTF-8, without a byte order mark.
//! - A key stands once in its object (RFC 7493 section 2.3): of two, some reader would take the other.
//! - Escaped surrogates come in pairs (RFC 7493 section 2.1).
//! - Numbers are IEEE 754 doubles. One beyond their range is refused. An integer (no fraction, no exponent) is refused
//!   unless its canonical text is the same decimal number: `9007199254740993` would silently become …992. Numbers with a
//!   fraction or an exponent are rounded to the nearest double, as every reader of JSON does.
//! - Arrays and objects nest at most [`PAYLOAD_DEPTH_MAX`] deep.
//!
//! Why the reader is our own: `serde_json` keeps the last of two equal keys, rounds integers above 64 bits without a word,
//! and by default reads some decimal fractions one unit off; the features that change this change it for every crate of
//! the build. The text of doubles is `ryu-js`'s. Tests hold what is read against `serde_json`, and what is written against
//! `canon-json` (which is not used instead: of two digits that are equally near it takes the larger, where RFC 8785 wants
//! the even one).

use std::fmt;

use crate::code::Code;
pub use crate::hash::PayloadHash;
use crate::limits::PAYLOAD_DEPTH_MAX;
use crate::refusal::Refusal;

mod number;
mod writer;

/// A JSON text in its canonical form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CanonicalJson(String);

/// Why a payload has no canonical form. Places are byte offsets into what was given, from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// Not UTF-8.
    #[error("the payload is not UTF-8 from byte {at} on; send JSON as UTF-8")]
    InvalidUtf8 {
        /// The first byte that is wrong.
        at: usize,
    },
    /// Not JSON.
    #[error("the payload is not JSON: expected {expected} at byte {at}")]
    Syntax {
        /// Where.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// Nested deeper than [`PAYLOAD_DEPTH_MAX`].
    #[error("the payload nests deeper than {PAYLOAD_DEPTH_MAX} at byte {at}; make it flatter")]
    TooDeep {
        /// The bracket that is one too many.
        at: usize,
    },
    /// The same key twice in one object.
    #[error("the payload has the key `{key}` a second time in one object, at byte {at}; send each key once")]
    DuplicateKey {
        /// Where it stands again.
        at: usize,
        /// The key, cut where it is long.
        key: String,
    },
    /// Half a surrogate pair: not a character.
    #[error("the payload has half a surrogate pair at byte {at}; escape the whole pair or send the character itself")]
    LoneSurrogate {
        /// The escape.
        at: usize,
    },
    /// A number beyond the range of doubles.
    #[error("the payload has a number at byte {at} that is too large for a double; send it as a string")]
    NumberOutOfRange {
        /// Where it begins.
        at: usize,
    },
    /// An integer that would silently become another one.
    #[error(
        "the payload has an integer at byte {at} that readers with doubles take for {becomes}; send it as a string"
    )]
    LossyInteger {
        /// Where it begins.
        at: usize,
        /// What it would become.
        becomes: String,
    },
    /// JSON, but not in canonical form, where canonical form was asked for.
    #[error("the payload is not in canonical form from byte {at} on; send the text that RFC 8785 gives it")]
    NotCanonical {
        /// The first byte that differs from the canonical form.
        at: usize,
    },
}

impl From<PayloadError> for Refusal {
    fn from(error: PayloadError) -> Refusal {
        Refusal::new(Code::InvalidPayload, error.to_string())
    }
}

/// The canonical form of a JSON text.
///
/// # Errors
/// [`PayloadError`]: the text is no JSON, or has no canonical form that means the same. Size is not judged here; see
/// [`crate::append::check_payload_bytes`].
pub fn canonicalize(json: impl AsRef<[u8]>) -> Result<CanonicalJson, PayloadError> {
    let text = utf8(json.as_ref())?;
    writer::canonical(text).map(CanonicalJson)
}

/// Whether these bytes are a payload in canonical form.
pub fn is_canonical(json: impl AsRef<[u8]>) -> bool {
    let json = json.as_ref();
    canonicalize(json).is_ok_and(|canonical| canonical.as_bytes() == json)
}

fn utf8(json: &[u8]) -> Result<&str, PayloadError> {
    std::str::from_utf8(json).map_err(|error| PayloadError::InvalidUtf8 { at: error.valid_up_to() })
}

impl CanonicalJson {
    /// The canonical form of a value.
    ///
    /// A `serde_json::Value` has no NaN: what makes one of a double that is none writes `null`, before this sees it.
    ///
    /// # Errors
    /// [`PayloadError::LossyInteger`] and [`PayloadError::TooDeep`], with places in the value's compact text.
    pub fn from_value(value: &serde_json::Value) -> Result<CanonicalJson, PayloadError> {
        canonicalize(value.to_string())
    }

    /// Takes a text that should be canonical already, as one that comes from elsewhere.
    ///
    /// # Errors
    /// [`PayloadError::NotCanonical`] where it is not, or what is wrong with it as JSON.
    pub fn check(text: String) -> Result<CanonicalJson, PayloadError> {
        let CanonicalJson(canonical) = canonicalize(&text)?;
        if canonical == text {
            return Ok(CanonicalJson(text));
        }
        let same = canonical.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
        Err(PayloadError::NotCanonical { at: same })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes: what is hashed, sent and stored.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The text, given away.
    pub fn into_string(self) -> String {
        self.0
    }

    /// The hash of the bytes.
    pub fn hash(&self) -> PayloadHash {
        PayloadHash::of(self.as_bytes())
    }
}

impl fmt::Display for CanonicalJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<[u8]> for CanonicalJson {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests;
