//! A client's assertion of itself: a JWT that it signs with its own key (`private_key_jwt`, RFC 7523, ES256).
//!
//! What always holds: an assertion is good once and for a minute; what is wrong with a key is said without repeating it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use p256::SecretKey;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey as _;
use serde_json::json;

use super::source::Secret;
use crate::limits::LEASE_ASSERTION_S;

/// Signs for `client_id`, to be shown to `audience`. The error is the end of a sentence about the key's file.
pub(super) fn sign(pem: &Secret, client_id: &str, audience: &str) -> Result<Secret, &'static str> {
    let key = SecretKey::from_pkcs8_pem(pem.expose()).or_else(|_| SecretKey::from_sec1_pem(pem.expose())).map_err(
        |_| "holds no private key on P-256 in PEM (PKCS#8 or SEC 1); make one, and register its public half",
    )?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let claims = json!({
        "iss": client_id, "sub": client_id, "aud": audience, "iat": now_s, "exp": now_s + LEASE_ASSERTION_S,
        "jti": format!("{:032x}", rand::random::<u128>()),
    });
    let encode = |part: String| BASE64_URL_SAFE_NO_PAD.encode(part);
    let said = format!("{}.{}", encode(json!({"alg": "ES256", "typ": "JWT"}).to_string()), encode(claims.to_string()));
    let signature: Signature = SigningKey::from(key).sign(said.as_bytes());
    Ok(Secret::new(format!("{said}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes()))))
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::VerifyingKey;
    use p256::ecdsa::signature::Verifier as _;
    use p256::pkcs8::{EncodePrivateKey as _, LineEnding};

    use super::*;

    #[test]
    fn either_form_of_pem_signs_and_the_signature_holds() {
        let key = SecretKey::from_slice(&[7; 32]).expect("a key");
        let forms = [key.to_pkcs8_pem(LineEnding::LF).expect("PEM"), key.to_sec1_pem(LineEnding::LF).expect("PEM")];
        for pem in forms {
            let assertion = sign(&Secret::new(pem.as_str()), "me", "https://control.example").expect("signed");
            let (said, signature) = assertion.expose().rsplit_once('.').expect("three parts");
            let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).expect("base64");
            let signature = Signature::from_slice(&signature).expect("a signature");
            VerifyingKey::from(SigningKey::from(&key)).verify(said.as_bytes(), &signature).expect("it holds");
        }
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_repeated() {
        let why = sign(&Secret::new("hunter2"), "me", "x").expect_err("no key");
        assert!(!why.contains("hunter2"), "{why}");
    }
}
