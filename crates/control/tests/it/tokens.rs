//! `client_credentials`, the plane's own mint, and the discovery documents.

use muster_control::{NewClient, Permission, Secret};
use serde_json::json;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use p256::pkcs8::{EncodePrivateKey as _, LineEnding};

use crate::support::{AUDIENCE, Service, claims, grant, header, refused, send};

#[tokio::test]
async fn discovery_names_every_address_and_the_key_set_may_be_cached_for_a_minute() {
    let service = Service::start().await;
    let openid = service.get("/.well-known/openid-configuration").await;
    let oauth = service.get("/.well-known/oauth-authorization-server").await;
    assert_eq!((openid.status, &openid.text), (200, &oauth.text));
    assert_eq!(openid.field("issuer"), service.issuer());
    assert_eq!(openid.field("jwks_uri"), format!("{}/jwks.json", service.issuer()));
    let keys = service.get("/jwks.json").await;
    assert_eq!(keys.header("cache-control"), "public, max-age=60");
    let keys = keys.json()["keys"].as_array().unwrap().clone();
    assert_eq!(keys.len(), 2, "one that signs, and its successor");
    for key in keys {
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"], &key["use"]),
            (&json!("EC"), &json!("P-256"), &json!("ES256"), &json!("sig"))
        );
        assert!(key.get("d").is_none());
    }
}

#[tokio::test]
async fn a_client_gets_what_it_is_registered_for_or_less_and_never_more() {
    let service = Service::start().await;
    let client = service.client("runtime-1", "sync.read sync.write", "runtime.run.*", &[]);
    let all = service.token(&client, &[]).await;
    assert_eq!(all.status, 200, "{all:?}");
    assert_eq!((all.header("cache-control"), all.header("pragma")), ("no-store", "no-cache"));
    assert_eq!(all.field("scope"), "sync.read sync.write");
    assert_eq!(all.json().get("refresh_token"), None);
    let token = all.field("access_token");
    let (said, now_s) = (claims(&token), service.clock.now_s());
    assert_eq!(header(&token)["typ"], "at+jwt");
    assert_eq!(header(&token)["alg"], "ES256");
    assert_eq!((&said["iss"], &said["aud"]), (&json!(service.issuer()), &json!(AUDIENCE)));
    assert_eq!((&said["sub"], &said["client_id"]), (&json!("runtime-1"), &json!("runtime-1")));
    assert_eq!((&said["iat"], &said["exp"]), (&json!(now_s), &json!(now_s + 300)));
    assert_eq!(said["oa_sync_streams"], json!(["runtime.run.*"]));

    let less = service
        .token(
            &client,
            &[("scope", "sync.read"), ("oa_sync_streams", "runtime.run.7.events"), ("requested_expires_in", "30")],
        )
        .await;
    let said = claims(&less.field("access_token"));
    assert_eq!(
        (&said["oa_sync_scopes"], &said["oa_sync_streams"]),
        (&json!(["sync.read"]), &json!(["runtime.run.7.events"]))
    );
    assert_eq!(less.json()["expires_in"], 30);

    for more in [
        [("scope", "presence.read")],
        [("scope", "sync.admin")],
        [("oa_sync_streams", "*")],
        [("oa_sync_streams", "runtime.*")],
        [("oa_sync_streams", "runtime.run")],
        [("oa_sync_streams", "runtime.runs.x")],
        [("oa_sync_streams", "Runtime.run.x")],
        [("oa_sync_streams", "runtime.run.%2e")],
        [("oa_sync_streams", "runtime.run.x.")],
    ] {
        assert_eq!(service.token(&client, &more).await.refusal(), refused(400, "invalid_scope"), "{more:?}");
    }
    assert_eq!(service.token(&client, &[("subject", "user:1")]).await.refusal(), refused(400, "unauthorized_client"));
    assert_eq!(
        service.token(&client, &[("requested_expires_in", "1")]).await.refusal(),
        refused(400, "invalid_request")
    );
    let long = service.token(&client, &[("requested_expires_in", "999999")]).await;
    assert_eq!(long.json()["expires_in"], 300, "no longer than the client is registered for");
}

#[tokio::test]
async fn a_client_may_name_only_the_subjects_it_is_registered_for() {
    let service = Service::start().await;
    let new =
        NewClient { subject_prefixes: vec!["user:".into()], ..NewClient::new("backend", grant("sync.read", "*")) };
    let backend = service.register(new);
    let token = service.token(&backend, &[("subject", "user:7")]).await.field("access_token");
    assert_eq!((&claims(&token)["sub"], &claims(&token)["client_id"]), (&json!("user:7"), &json!("backend")));
    for other in ["user:", "user", "admin:7", "runtime-1"] {
        assert_eq!(
            service.token(&backend, &[("subject", other)]).await.refusal(),
            refused(400, "unauthorized_client"),
            "{other}"
        );
    }
    let long = format!("user:{}", "x".repeat(124));
    assert_eq!(service.token(&backend, &[("subject", &long)]).await.refusal(), refused(400, "invalid_request"));
    assert!(
        service
            .control
            .client_add(
                "test",
                NewClient { subject_prefixes: vec!["run".into()], ..NewClient::new("x", grant("sync.read", "*")) }
            )
            .is_err()
    );
}

#[tokio::test]
async fn the_planes_mint_answers_all_that_a_session_needs() {
    let service = Service::start().await;
    let client = service.client("desktop-1", "sync.read presence.read", "runtime.*", &[Permission::Refresh]);
    let ask = |body: serde_json::Value| {
        let request = service.request(reqwest::Method::POST, "/api/sync/token").header("authorization", client.basic());
        let request = request.header("oa-client-build", "0.1.0").header("oa-protocol-id", "spacetime.sync.v1");
        send(request.header("oa-schema-version", "1").body(body.to_string()))
    };
    let answer = ask(json!({ "scopes": ["sync.read"], "streams": ["runtime.run.1.events"], "expires_in": 60 })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut body = answer.json();
    let token = body["token"].take();
    assert_eq!(
        body,
        json!({
            "token": null, "token_type": "Bearer", "transport": "spacetime_ws", "protocol_version": "spacetime.sync.v1",
            "expires_in": 60, "refresh_after_in": 39, "refresh_after": service.clock.now_s() + 39,
            "scopes": ["sync.read"], "granted_streams": ["runtime.run.1.events"],
        })
    );
    assert_eq!(claims(token.as_str().unwrap())["oa_client_build"], "0.1.0");
    assert_eq!(ask(json!({ "scopes": ["sync.write"] })).await.refusal(), refused(400, "invalid_scope"));
    assert_eq!(
        ask(json!({ "scope": "sync.read" })).await.refusal(),
        refused(400, "invalid_request"),
        "a misspelt field"
    );
}

/// The service's own key signs them all, so that nothing but the rule under test can refuse them.
#[tokio::test]
async fn a_token_that_only_looks_like_one_of_ours_is_worth_nothing() {
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    let service = Service::start_with(|config| config.first_signing_key = Some(Secret::new(pem))).await;
    let client = service.client("one", "sync.read", "a.*", &[]);
    let real = service.token(&client, &[]).await.field("access_token");
    let signing = EncodingKey::from_ec_der(key.to_pkcs8_der().unwrap().as_bytes());
    let kid = header(&real)["kid"].as_str().unwrap().to_owned();
    let head = |algorithm| Header { typ: Some("at+jwt".into()), kid: Some(kid.clone()), ..Header::new(algorithm) };
    let sign = |head: &Header, claims: &serde_json::Value| jsonwebtoken::encode(head, claims, &signing).unwrap();
    assert!(service.is_active(&client, &sign(&head(Algorithm::ES256), &claims(&real))).await, "unchanged, it is good");

    let now_s = service.clock.now_s();
    let mut forged = Vec::new();
    for (name, value) in [
        ("iss", json!("http://127.0.0.1:1")),
        ("aud", json!("another-lane")),
        ("nbf", json!(now_s + 60)),
        ("exp", json!(now_s)),
        ("jti", json!("never-issued")),
    ] {
        let mut said = claims(&real);
        said[name] = value;
        forged.push((name, sign(&head(Algorithm::ES256), &said)));
    }
    let other_type = Header { typ: Some("JWT".into()), ..head(Algorithm::ES256) };
    forged.push(("typ", sign(&other_type, &claims(&real))));
    let other_key = Header { kid: Some("unknown".into()), ..head(Algorithm::ES256) };
    forged.push(("kid", sign(&other_key, &claims(&real))));
    forged.push(("no kid", sign(&Header { kid: None, ..head(Algorithm::ES256) }, &claims(&real))));
    let hmac = EncodingKey::from_secret(
        p256::elliptic_curve::sec1::ToEncodedPoint::to_encoded_point(&key.public_key(), false).as_bytes(),
    );
    forged.push((
        "HMAC with the public key",
        jsonwebtoken::encode(&head(Algorithm::HS256), &claims(&real), &hmac).unwrap(),
    ));
    let parts: Vec<&str> = real.split('.').collect();
    let none = BASE64_URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","typ":"at+jwt","kid":"{kid}"}}"#));
    forged.push(("alg none", format!("{none}.{}.", parts[1])));
    let mut wider = claims(&real);
    wider["oa_sync_streams"] = json!(["*"]);
    let wider = BASE64_URL_SAFE_NO_PAD.encode(wider.to_string());
    forged.push(("claims", format!("{}.{wider}.{}", parts[0], parts[2])));
    for (what, token) in forged {
        assert!(!service.is_active(&client, &token).await, "{what}");
    }
}
