use proptest::prelude::*;
use serde_json::json;

use super::*;

const NOW: i64 = 1_000_000;
const LANE: Expected<'_> =
    Expected { issuer: "https://control.example", audience: "lane", oldest_client_build: "0.1.0" };

fn good() -> Value {
    json!({
        "iss": "https://control.example", "sub": "user:7", "aud": "lane",
        "iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 290,
        "jti": "j", "sid": "s", "client_id": "c",
        "oa_sync_scopes": ["sync.read", "presence.read"], "oa_sync_streams": ["runtime.run.*", "one"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = good();
    claims.as_object_mut().expect("an object").remove(name);
    claims
}

fn judged(claims: &Value) -> Result<TokenFacts, ClaimsError> {
    judge(&claims.to_string(), &LANE, NOW)
}

#[test]
fn a_good_token_is_taken_for_what_it_says() {
    let facts = judged(&good()).expect("taken");
    assert_eq!((facts.jti.as_str(), facts.sid.as_str(), facts.client_id.as_str()), ("j", "s", "c"));
    assert_eq!((facts.issued_s, facts.expires_s), (NOW - 10, NOW + 290));
    assert_eq!(facts.granted.scopes, [Scope::SyncRead, Scope::PresenceRead].into());
    let streams: Vec<_> = facts.granted.streams.iter().map(ToString::to_string).collect();
    assert_eq!(streams, ["runtime.run.*", "one"]);
}

#[test]
fn issuer_and_audience_are_compared_byte_for_byte() {
    for issuer in
        [json!("https://control.example/"), json!("https://CONTROL.example"), json!(["https://control.example"])]
    {
        assert_eq!(judged(&with("iss", issuer)), Err(ClaimsError::Issuer));
    }
    assert_eq!(judged(&without("iss")), Err(ClaimsError::Issuer));
    for audience in [json!("Lane"), json!("lane "), json!("lanes"), json!([]), json!(["other"]), json!(7), json!(null)]
    {
        assert_eq!(judged(&with("aud", audience.clone())), Err(ClaimsError::Audience), "{audience}");
    }
    assert_eq!(judged(&without("aud")), Err(ClaimsError::Audience));
    assert!(judged(&with("aud", json!(["other", "lane"]))).is_ok());
}

#[test]
fn the_end_holds_to_the_second_and_the_beginning_with_a_leeway() {
    assert!(judged(&with("exp", json!(NOW + 1))).is_ok());
    assert_eq!(judged(&with("exp", json!(NOW))), Err(ClaimsError::Expired { ago_s: 0 }));
    assert_eq!(judged(&with("exp", json!(NOW - 5))), Err(ClaimsError::Expired { ago_s: 5 }));
    for claim in ["nbf", "iat"] {
        assert!(judged(&with(claim, json!(NOW + CLOCK_LEEWAY_S))).is_ok());
        let early = judged(&with(claim, json!(NOW + CLOCK_LEEWAY_S + 1)));
        assert_eq!(early, Err(ClaimsError::NotYetValid { in_s: CLOCK_LEEWAY_S + 1 }));
    }
}

#[test]
fn no_token_lives_longer_than_revocations_are_remembered() {
    let end = NOW - 10 + TOKEN_LIFETIME_MAX_S;
    assert!(judged(&with("exp", json!(end))).is_ok());
    assert_eq!(judged(&with("exp", json!(end + 1))), Err(ClaimsError::Lifetime));
}

#[test]
fn a_token_that_a_host_issued_anew_is_as_old_as_it_was() {
    let facts = judged(&with("iat", json!(NOW))).expect("taken");
    assert_eq!(facts.issued_s, NOW - 10);
}

#[test]
fn what_is_missing_or_of_another_type_is_named() {
    for claim in ["iat", "nbf", "exp", "jti", "sid", "client_id", "oa_sync_scopes", "oa_sync_streams"] {
        assert_eq!(judged(&without(claim)), Err(ClaimsError::Claim(claim)));
        for wrong in [json!(null), json!({}), json!(""), json!(1.5), json!(-1), json!(1e300)] {
            assert_eq!(judged(&with(claim, wrong.clone())), Err(ClaimsError::Claim(claim)), "{claim}: {wrong}");
        }
    }
    assert_eq!(judged(&with("jti", json!("x".repeat(CLAIM_BYTES_MAX + 1)))), Err(ClaimsError::Claim("jti")));
    for text in ["", "null", "[]", "{", "\"x\""] {
        assert_eq!(judge(text, &LANE, NOW), Err(ClaimsError::Malformed), "{text}");
    }
}

#[test]
fn a_word_that_is_no_scope_grants_nothing_and_one_that_is_no_pattern_refuses_all() {
    let facts = judged(&with("oa_sync_scopes", json!(["SYNC.READ", "sync.write ", 7, "sync.admin"]))).expect("taken");
    assert!(facts.granted.scopes.is_empty());
    for trick in ["a..b", "a.", ".a", "a.*.b", "a*", "a.%2a", "a.%2E%2e", "é", ""] {
        let refused = judged(&with("oa_sync_streams", json!(["fine", trick])));
        assert_eq!(refused, Err(ClaimsError::Pattern { index: 1 }), "{trick}");
    }
    let many: Vec<_> = (0..=TOKEN_PATTERNS_MAX).map(|n| format!("s.{n}")).collect();
    assert_eq!(judged(&with("oa_sync_streams", json!(many))), Err(ClaimsError::TooManyPatterns));
    assert_eq!(ClaimsError::Pattern { index: 1 }.code(), Code::BadSubscription);
}

#[test]
fn an_old_client_is_told_so_and_one_that_says_nothing_is_taken() {
    for (build, taken) in
        [(json!("0.1.0"), true), (json!("1.0.0"), true), (json!("0.0.9"), false), (json!("new"), false)]
    {
        let judged = judged(&with("oa_client_build", build.clone()));
        assert_eq!(judged.is_ok(), taken, "{build}");
        assert!(taken || judged.expect_err("refused").code() == Code::UnsupportedClientBuild);
    }
}

#[test]
fn a_refusal_repeats_nothing_of_the_token() {
    let secret = "hunter2";
    for claim in ["iss", "aud", "jti", "exp", "oa_client_build", "oa_sync_scopes"] {
        if let Err(error) = judged(&with(claim, json!(secret))) {
            assert!(!Refusal::from(error).to_wire().contains(secret), "{claim}");
        }
    }
    let error = judged(&with("oa_sync_streams", json!(["hunter2..x"]))).expect_err("no pattern");
    assert!(!Refusal::from(error).to_wire().contains(secret));
}

proptest! {
    #[test]
    fn no_token_is_taken_outside_of_its_time(iat in 0i64..2_000_000, nbf in 0i64..2_000_000, exp in 0i64..2_000_000) {
        let mut claims = good();
        (claims["iat"], claims["nbf"], claims["exp"]) = (json!(iat), json!(nbf), json!(exp));
        if let Ok(facts) = judged(&claims) {
            prop_assert!(facts.expires_s > NOW && facts.expires_s == exp);
            prop_assert!(iat.max(nbf) <= NOW + CLOCK_LEEWAY_S);
            prop_assert!(exp - facts.issued_s <= TOKEN_LIFETIME_MAX_S);
        }
    }

    #[test]
    fn any_bytes_are_judged_without_a_panic(text in "\\PC{0,200}") {
        let _ = judge(&text, &LANE, NOW);
    }
}
