//! DSSE 1.0: the envelope around a statement, what is signed of it, and how a signature is checked
//! (`secure-systems-lab/dsse`, `protocol.md` and `envelope.md`).
//!
//! What always holds: an envelope's payload comes out only as [`VerifiedPayload`], after a trusted key's signature held
//! over its very bytes; every signature is tried with every key, whatever `keyid` says; unknown fields are ignored.

use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use super::keys::{PublicKey, Signer};
use crate::limits::{ENVELOPE_BYTES_MAX, PAYLOAD_BYTES_MAX, SIGNATURES_MAX};
use crate::report::Sha256;

/// The payload type of in-toto statements.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What is signed: DSSE's pre-authentication encoding of the payload's type and bytes.
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    payload_type: String,
    payload: String,
    signatures: Vec<WireSignature>,
}

#[derive(Serialize, Deserialize)]
struct WireSignature {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keyid: Option<String>,
    sig: String,
}

/// A signature, and a name that nobody vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Which key it says it is of: a hint for people, never a reason.
    pub keyid: Option<String>,
    /// Its bytes; empty where they were not base64.
    pub bytes: Vec<u8>,
}

/// Why bytes are no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeFault {
    /// Larger than any envelope of ours.
    #[error("it is larger than {ENVELOPE_BYTES_MAX} bytes")]
    TooLarge,
    /// It ends before its JSON does.
    #[error("it ends in the middle: the file is cut off")]
    CutOff,
    /// It is not an envelope's JSON.
    #[error("it is no DSSE envelope ({0})")]
    NotAnEnvelope(String),
    /// The payload is not base64.
    #[error("its payload is not base64")]
    PayloadEncoding,
    /// It has no signature, or more than are looked at.
    #[error("it has {0} signatures; from 1 to {SIGNATURES_MAX} are looked at")]
    Signatures(usize),
}

/// An envelope of which nothing is known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    payload_type: String,
    payload: Vec<u8>,
    signatures: Vec<Signature>,
}

/// A payload under a signature that holds, and whose it is.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedPayload<'a> {
    /// The payload's type, signed as well.
    pub payload_type: &'a str,
    /// Its bytes.
    pub payload: &'a [u8],
    /// The key whose signature holds.
    pub by: &'a PublicKey,
}

impl Envelope {
    /// A payload of an in-toto statement, signed.
    pub fn seal(payload: Vec<u8>, signer: &Signer) -> Envelope {
        Envelope::seal_as(PAYLOAD_TYPE, payload, signer)
    }

    /// A payload of any type, signed.
    pub fn seal_as(payload_type: &str, payload: Vec<u8>, signer: &Signer) -> Envelope {
        let bytes = signer.sign(&pae(payload_type, &payload));
        let keyid = Some(signer.public().fingerprint().to_string());
        Envelope { payload_type: payload_type.into(), payload, signatures: vec![Signature { keyid, bytes }] }
    }

    /// As JSON, in one line, with a line feed.
    pub fn to_json(&self) -> Vec<u8> {
        let signature =
            |it: &Signature| WireSignature { keyid: it.keyid.clone(), sig: BASE64_STANDARD.encode(&it.bytes) };
        let wire = Wire {
            payload_type: self.payload_type.clone(),
            payload: BASE64_STANDARD.encode(&self.payload),
            signatures: self.signatures.iter().map(signature).collect(),
        };
        let mut bytes = serde_json::to_vec(&wire).expect("texts can be written as JSON");
        bytes.push(b'\n');
        bytes
    }

    /// Reads the JSON of an envelope, and nothing of its payload.
    ///
    /// # Errors
    /// If it is none.
    pub fn parse(bytes: &[u8]) -> Result<Envelope, EnvelopeFault> {
        if bytes.len() > ENVELOPE_BYTES_MAX {
            return Err(EnvelopeFault::TooLarge);
        }
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| match error.classify() {
            serde_json::error::Category::Eof => EnvelopeFault::CutOff,
            _ => EnvelopeFault::NotAnEnvelope(error.to_string()),
        })?;
        if wire.signatures.is_empty() || wire.signatures.len() > SIGNATURES_MAX {
            return Err(EnvelopeFault::Signatures(wire.signatures.len()));
        }
        let payload = decode(&wire.payload).ok_or(EnvelopeFault::PayloadEncoding)?;
        if payload.len() > PAYLOAD_BYTES_MAX {
            return Err(EnvelopeFault::TooLarge);
        }
        let signature = |it: WireSignature| Signature { bytes: decode(&it.sig).unwrap_or_default(), keyid: it.keyid };
        let signatures = wire.signatures.into_iter().map(signature).collect();
        Ok(Envelope { payload_type: wire.payload_type, payload, signatures })
    }

    /// The payload, if one of these keys signed it.
    pub fn verify<'a>(&'a self, keys: &'a [PublicKey]) -> Option<VerifiedPayload<'a>> {
        let by = self.signed_by(&self.payload_type, keys)?;
        Some(VerifiedPayload { payload_type: &self.payload_type, payload: &self.payload, by })
    }

    /// The key that signed the payload as one of this type, whatever type the envelope says.
    pub(super) fn signed_by<'a>(&self, payload_type: &str, keys: &'a [PublicKey]) -> Option<&'a PublicKey> {
        let bytes = pae(payload_type, &self.payload);
        keys.iter().find(|key| self.signatures.iter().any(|it| key.holds(&bytes, &it.bytes)))
    }

    /// What the payload says of its place, though nobody has verified it: only for who adds to a folder of its own.
    pub(super) fn unverified_link(&self) -> Option<super::statement::Link> {
        let mut statement: serde_json::Value = serde_json::from_slice(&self.payload).ok()?;
        let link = statement.get_mut("predicate")?.get_mut(super::statement::CHAIN_FIELD)?;
        serde_json::from_value(link.take()).ok()
    }

    /// The signatures, for telling what is wrong with them.
    pub(super) fn signatures(&self) -> &[Signature] {
        &self.signatures
    }

    /// Whether it has one signature, named with this key.
    pub(super) fn names_alone(&self, key: &Sha256) -> bool {
        matches!(&self.signatures[..], [one] if one.keyid.as_deref() == Some(&key.to_string()))
    }

    /// The type that the envelope claims, for telling what is wrong with it.
    pub(super) fn claimed_type(&self) -> &str {
        &self.payload_type
    }

    /// The digest of the payload's bytes, which is no trust in them.
    pub(super) fn payload_sha256(&self) -> Sha256 {
        Sha256::of(&self.payload)
    }
}

/// DSSE lets signers write either alphabet, and verifiers must take both.
fn decode(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let alphabet = match text.bytes().any(|it| it == b'-' || it == b'_') {
        true => &base64::alphabet::URL_SAFE,
        false => &base64::alphabet::STANDARD,
    };
    GeneralPurpose::new(alphabet, lenient).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::super::keys::Algorithm;
    use super::*;

    #[test]
    fn what_is_signed_is_what_the_protocols_own_example_says() {
        let bytes = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    }

    /// The key and the message of the protocol's test vector. Its signature is `r` and `s` side by side; ours is DER of
    /// the same two numbers, because P-256 signs deterministically (RFC 6979).
    #[test]
    fn the_protocols_test_vector_is_signed_alike() {
        let vector = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA==";
        let seed = decimal("97358161215184420915383655311931858321456579547487070936769975997791359926199");
        let signer = Signer::from_seed(Algorithm::Es256, &seed).expect("a key");
        let ours = signer.sign(&pae("http://example.com/HelloWorld", b"hello world"));
        let ours = p256::ecdsa::Signature::from_der(&ours).expect("DER");
        assert_eq!(BASE64_STANDARD.encode(ours.to_bytes()), vector);
    }

    /// The 256-bit number that these decimal digits are, big-endian.
    fn decimal(digits: &str) -> [u8; 32] {
        let mut number = [0_u8; 32];
        for digit in digits.bytes() {
            let mut carry = u16::from(digit - b'0');
            for byte in number.iter_mut().rev() {
                let next = u16::from(*byte) * 10 + carry;
                *byte = (next & 0xff) as u8;
                carry = next >> 8;
            }
        }
        number
    }

    #[test]
    fn an_envelope_opens_only_for_the_key_that_sealed_it_whatever_its_keyid_says() {
        let (ours, theirs) = (Signer::generate(Algorithm::Ed25519), Signer::generate(Algorithm::Es256));
        let keys = [theirs.public(), ours.public()];
        let mut envelope = Envelope::seal(b"{}".to_vec(), &ours);
        envelope.signatures[0].keyid = Some(theirs.public().fingerprint().to_string());
        let envelope = Envelope::parse(&envelope.to_json()).expect("an envelope");
        assert_eq!(envelope.verify(&keys).map(|it| it.by.clone()), Some(ours.public()));
        assert!(envelope.verify(&keys[..1]).is_none());
        assert!(envelope.verify(&[]).is_none());
    }

    #[test]
    fn both_alphabets_are_taken_with_and_without_padding() {
        for text in ["-_8=", "-_8", "+/8=", "+/8"] {
            assert_eq!(decode(text).as_deref(), Some(&[0xfb, 0xff][..]), "{text}");
        }
        assert_eq!(decode("+_8="), None);
    }
}
