//! Who a caller is: identities made up, tokens exchanged, tokens refused.

use std::time::{Duration, SystemTime};

use muster_host::Host;
use reqwest::StatusCode;
use serde_json::{Value, json};
use spacetimedb::auth::JwtKeys;
use spacetimedb::auth::token_validation::TokenSigner;

use crate::client::{Client, answer, host, json, text};
use crate::module::{Variant, module};

/// Seconds since 1970, `offset` from now.
fn unix_seconds(offset: i64) -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    now as i64 + offset
}

fn sign(keys: &JwtKeys, claims: Value) -> String {
    keys.private.sign(&claims).unwrap()
}

#[tokio::test]
async fn a_new_identity_proves_itself_with_its_token() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    let verify = format!("/v1/identity/{}/verify", client.identity);
    assert_eq!(answer(client.get(&verify)).await, (StatusCode::NO_CONTENT, String::new()));
    let other = Client::new(host.url()).await;
    assert_eq!(answer(other.get(&verify)).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(answer(Client::nobody(host.url()).get(&verify)).await.0, StatusCode::UNAUTHORIZED);
    host.shutdown().await;
}

#[tokio::test]
async fn whoever_comes_without_a_token_is_given_one_and_stays_the_same_with_it() {
    let host = host().await;
    let nobody = Client::nobody(host.url());
    Client::new(host.url()).await.publish("door", module(Variant::Plain)).await;
    let response = nobody.get("/v1/database/door").send().await.unwrap();
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    let (identity, token) = (header("spacetime-identity"), header("spacetime-identity-token"));

    let somebody = nobody.with_token(&token);
    let response = somebody.get("/v1/database/door").send().await.unwrap();
    assert_eq!(response.headers()["spacetime-identity"].to_str().unwrap(), identity);
    assert_eq!(response.headers()["spacetime-identity-token"].to_str().unwrap(), token);
    host.shutdown().await;
}

#[tokio::test]
async fn a_websocket_token_is_the_same_identity_for_a_minute() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    let exchanged = json(client.post("/v1/identity/websocket-token")).await;
    let short = client.with_token(text(&exchanged["token"]));
    let verify = format!("/v1/identity/{}/verify", client.identity);
    assert_eq!(answer(short.get(&verify)).await.0, StatusCode::NO_CONTENT);
    // Browsers cannot set headers on a WebSocket: the query works as well.
    let in_query = format!("{verify}?token={}", short.token.unwrap());
    assert_eq!(answer(Client::nobody(host.url()).get(&in_query)).await.0, StatusCode::NO_CONTENT);
    let without = answer(Client::nobody(host.url()).post("/v1/identity/websocket-token")).await;
    assert_eq!(without, (StatusCode::UNAUTHORIZED, "Authorization required".to_owned()));
    host.shutdown().await;
}

#[tokio::test]
async fn tokens_verify_with_the_published_key_and_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let client = Client::new(host.url()).await;
    let key = client.get("/v1/identity/public-key").send().await.unwrap();
    assert_eq!(key.headers()["content-type"], "application/pem-certificate-chain");
    assert_eq!(key.text().await.unwrap(), host.public_key_pem());
    host.shutdown().await;

    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let again = Client::nobody(host.url()).with_token(client.token.unwrap());
    let verify = format!("/v1/identity/{}/verify", client.identity);
    assert_eq!(answer(again.get(&verify)).await.0, StatusCode::NO_CONTENT);
    host.shutdown().await;
}

#[tokio::test]
async fn bad_tokens_are_refused_with_a_reason_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let private = std::fs::read(folder.path().join("keys/id_ecdsa")).unwrap();
    let own = JwtKeys::new(host.public_key_pem().into_bytes(), private).unwrap();
    let strange = JwtKeys::generate().unwrap();
    let local = |exp: i64| json!({"iss": "localhost", "sub": "s", "iat": unix_seconds(-600), "exp": unix_seconds(exp)});

    let client = Client::new(host.url()).await;
    let good = client.with_token(sign(&own, local(60)));
    assert_eq!(answer(good.get("/v1/ping")).await.0, StatusCode::OK);

    let foreign = json!({"iss": "https://issuer.invalid", "sub": "s", "iat": unix_seconds(0)});
    for (token, reason) in [
        (sign(&own, local(-120)), "expired"),
        (sign(&strange, local(60)), "not signed by this instance"),
        (sign(&strange, foreign), "issuer `https://issuer.invalid` is not trusted"),
        ("not.a.token".to_owned(), "malformed"),
        ("nonsense".to_owned(), "malformed"),
        (sign(&own, json!({"iss": "localhost", "iat": unix_seconds(0)})), "sub"),
    ] {
        for path in ["/v1/ping", "/v1/database/any", "/v1/database/any/subscribe"] {
            let (status, body) = answer(client.with_token(token.clone()).get(path)).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
            assert!(body.contains(reason), "`{body}` does not say `{reason}`");
        }
    }
    let basic = Client::nobody(host.url()).get("/v1/ping").basic_auth("user", Some("password"));
    assert_eq!(answer(basic).await.0, StatusCode::BAD_REQUEST);
    host.shutdown().await;
}

#[tokio::test]
async fn a_trusted_issuer_is_asked_for_its_keys() {
    // Nobody listens there: what counts is that the host tried, which a foreign issuer does not make it do.
    let unreachable = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", unreachable.local_addr().unwrap());
    let asked = tokio::task::spawn_blocking(move || unreachable.accept().map(|_| ()));
    let host = Host::builder().in_memory().trusted_issuer(&issuer).start().await.unwrap();
    let token = sign(&JwtKeys::generate().unwrap(), json!({"iss": issuer, "sub": "s", "iat": unix_seconds(0)}));
    let (status, _) = answer(Client::nobody(host.url()).with_token(token).get("/v1/ping")).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    tokio::time::timeout(Duration::from_secs(5), asked).await.unwrap().unwrap().unwrap();
    host.shutdown().await;
}
