//! What a verified access token says, and whether this lane takes it now.
//!
//! What always holds: the host has verified the signature, and nothing else that matters here: neither the audience, nor
//! the time after the handshake, nor what is granted (SpacetimeDB, "Authentication"). So [`judge`] takes only a token of
//! the lane's issuer and audience, in its time, of a bounded life, with an id, a session and a client by which it can be
//! revoked. What a claim says is never repeated in a refusal: a token is a secret, and refusals are logged.
//!
//! Claims are those of RFC 9068 and RFC 7519, and `oa_sync_scopes`, `oa_sync_streams`.

use std::collections::BTreeSet;

use semver::Version;
use serde_json::Value;

use crate::code::Code;
use crate::limits::{CLAIM_BYTES_MAX, CLOCK_LEEWAY_S, TOKEN_LIFETIME_MAX_S, TOKEN_PATTERNS_MAX};
use crate::pattern::StreamPattern;
use crate::refusal::Refusal;
use crate::scope::{Granted, Scope};

/// Whose tokens a lane takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected<'a> {
    /// The issuer, byte for byte.
    pub issuer: &'a str,
    /// The lane's own name among the token's audiences.
    pub audience: &'a str,
    /// The oldest client build served (semantic version), for tokens that name one.
    pub oldest_client_build: &'a str,
}

/// What there is to remember of a token that was taken. Times are seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// The token's id: what a revocation of it names.
    pub jti: String,
    /// The session (refresh family) that it belongs to.
    pub sid: String,
    /// The client that it was given to.
    pub client_id: String,
    /// When it was issued: the earlier of `iat` and `nbf`. A host that exchanges a token for a short-lived one of its own
    /// (`/v1/identity/websocket-token`) writes a new `iat` and keeps `nbf`; by the new one, a client's old token would
    /// outlive the revocation of everything issued before a moment.
    pub issued_s: i64,
    /// The first moment at which it is good no more.
    pub expires_s: i64,
    /// What it grants.
    pub granted: Granted,
}

/// Why a token is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimsError {
    /// No JSON object.
    #[error("the token's claims cannot be read")]
    Malformed,
    /// A claim is absent, empty, too long, or of another type than its definition says.
    #[error("the token's claim `{0}` is missing or not what it must be")]
    Claim(&'static str),
    /// Of another issuer: a stranger on this lane.
    #[error("the token is of another issuer than this lane's")]
    Issuer,
    /// For somebody else.
    #[error("the token is not for this lane's audience")]
    Audience,
    /// Its time has not come.
    #[error("the token is not valid for another {in_s} s; if it is new, a clock is wrong")]
    NotYetValid {
        /// How long until then.
        in_s: i64,
    },
    /// Its time is over.
    #[error("the token expired {ago_s} s ago")]
    Expired {
        /// How long ago.
        ago_s: i64,
    },
    /// It lives longer than revocations are remembered.
    #[error("the token lives longer than {TOKEN_LIFETIME_MAX_S} s")]
    Lifetime,
    /// More patterns than are looked through at each request.
    #[error("the token names more than {TOKEN_PATTERNS_MAX} stream patterns")]
    TooManyPatterns,
    /// A text among the streams that is no pattern. All is refused then: a session that believes in a stream that it
    /// does not have fails later and elsewhere.
    #[error("pattern {index} of the token's `oa_sync_streams` is neither a stream id nor a prefix ending in `.*`")]
    Pattern {
        /// Which, from 0.
        index: usize,
    },
    /// The client is older than this lane serves.
    #[error("the token's client build is none that this lane serves")]
    ClientBuild,
}

impl ClaimsError {
    /// The code by which programs know it.
    pub const fn code(&self) -> Code {
        match self {
            ClaimsError::Pattern { .. } | ClaimsError::TooManyPatterns => Code::BadSubscription,
            ClaimsError::ClientBuild => Code::UnsupportedClientBuild,
            ClaimsError::Malformed
            | ClaimsError::Claim(_)
            | ClaimsError::Issuer
            | ClaimsError::Audience
            | ClaimsError::NotYetValid { .. }
            | ClaimsError::Expired { .. }
            | ClaimsError::Lifetime => Code::Unauthorized,
        }
    }
}

impl From<ClaimsError> for Refusal {
    fn from(error: ClaimsError) -> Refusal {
        Refusal::new(error.code(), error.to_string())
    }
}

/// Judges the payload of a token whose signature was verified, at `now_s` by the host's clock.
///
/// `exp` holds to the second. `nbf` may lie [`CLOCK_LEEWAY_S`] ahead: a fresh token from a clock that goes before ours must
/// be good, and nobody gains by it. Scopes that this build does not know grant nothing.
///
/// # Errors
/// The first thing found wrong, in the order of [`ClaimsError`].
pub fn judge(payload: &str, expected: &Expected<'_>, now_s: i64) -> Result<TokenFacts, ClaimsError> {
    let claims: Value = serde_json::from_str(payload).map_err(|_| ClaimsError::Malformed)?;
    if !claims.is_object() {
        return Err(ClaimsError::Malformed);
    }
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(ClaimsError::Issuer);
    }
    check_audience(&claims, expected.audience)?;
    let (issued_s, expires_s) = check_times(&claims, now_s)?;
    let (jti, sid, client_id) = (text(&claims, "jti")?, text(&claims, "sid")?, text(&claims, "client_id")?);
    check_build(&claims, expected.oldest_client_build)?;
    let granted = Granted { scopes: scopes(&claims)?, streams: streams(&claims)? };
    Ok(TokenFacts { jti, sid, client_id, issued_s, expires_s, granted })
}

/// One text, or a list of them (RFC 7519 section 4.1.3).
fn check_audience(claims: &Value, audience: &str) -> Result<(), ClaimsError> {
    let named = match claims.get("aud") {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(audience)),
        _ => false,
    };
    named.then_some(()).ok_or(ClaimsError::Audience)
}

fn check_times(claims: &Value, now_s: i64) -> Result<(i64, i64), ClaimsError> {
    let (iat, nbf, exp) = (seconds(claims, "iat")?, seconds(claims, "nbf")?, seconds(claims, "exp")?);
    if iat.max(nbf) > now_s.saturating_add(CLOCK_LEEWAY_S) {
        return Err(ClaimsError::NotYetValid { in_s: iat.max(nbf) - now_s });
    }
    if exp <= now_s {
        return Err(ClaimsError::Expired { ago_s: now_s - exp });
    }
    let issued = iat.min(nbf);
    if exp - issued > TOKEN_LIFETIME_MAX_S {
        return Err(ClaimsError::Lifetime);
    }
    Ok((issued, exp))
}

/// Whole seconds since 1970, of this side of the year 10,000: sums of them do not overflow.
fn seconds(claims: &Value, name: &'static str) -> Result<i64, ClaimsError> {
    let value = claims.get(name).and_then(Value::as_i64);
    value.filter(|seconds| (0..=253_402_300_799).contains(seconds)).ok_or(ClaimsError::Claim(name))
}

fn text(claims: &Value, name: &'static str) -> Result<String, ClaimsError> {
    let value = claims.get(name).and_then(Value::as_str);
    let short = value.filter(|text| (1..=CLAIM_BYTES_MAX).contains(&text.len()));
    short.map(str::to_owned).ok_or(ClaimsError::Claim(name))
}

fn check_build(claims: &Value, oldest: &str) -> Result<(), ClaimsError> {
    let Some(build) = claims.get("oa_client_build") else { return Ok(()) };
    let build = build.as_str().and_then(|text| Version::parse(text).ok()).ok_or(ClaimsError::ClientBuild)?;
    // A window that cannot be read is no permission.
    let oldest = Version::parse(oldest).map_err(|_| ClaimsError::ClientBuild)?;
    if build >= oldest { Ok(()) } else { Err(ClaimsError::ClientBuild) }
}

fn scopes(claims: &Value) -> Result<BTreeSet<Scope>, ClaimsError> {
    let words = list(claims, "oa_sync_scopes")?;
    Ok(words.iter().filter_map(|word| word.as_str()?.parse().ok()).collect())
}

fn streams(claims: &Value) -> Result<Vec<StreamPattern>, ClaimsError> {
    let words = list(claims, "oa_sync_streams")?;
    if words.len() > TOKEN_PATTERNS_MAX {
        return Err(ClaimsError::TooManyPatterns);
    }
    let parse = |(index, word): (usize, &Value)| {
        word.as_str().and_then(|text| StreamPattern::parse(text).ok()).ok_or(ClaimsError::Pattern { index })
    };
    words.iter().enumerate().map(parse).collect()
}

fn list<'a>(claims: &'a Value, name: &'static str) -> Result<&'a [Value], ClaimsError> {
    claims.get(name).and_then(Value::as_array).map(Vec::as_slice).ok_or(ClaimsError::Claim(name))
}

#[cfg(test)]
mod tests;
