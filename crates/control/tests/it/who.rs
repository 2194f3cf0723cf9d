//! Who asks: secrets, signed assertions, and everybody who only says so.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use muster_control::rate::Rate;
use muster_control::{Credential, NewClient, Permission};
use p256::SecretKey;
use p256::elliptic_curve::sec1::ToEncodedPoint as _;
use p256::pkcs8::EncodePrivateKey as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{FormBody as _, Service, grant, refused, send};

const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

fn key(seed: u8) -> SecretKey {
    SecretKey::from_slice(&[seed; 32]).unwrap()
}

fn jwk(key: &SecretKey) -> String {
    let point = key.public_key().to_encoded_point(false);
    let text = |half: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(half);
    json!({ "kty": "EC", "crv": "P-256", "x": text(point.x().unwrap()), "y": text(point.y().unwrap()) }).to_string()
}

fn signed(key: &SecretKey, claims: &Value) -> String {
    let key = EncodingKey::from_ec_der(key.to_pkcs8_der().unwrap().as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
}

async fn with_assertion(service: &Service, assertion: &str) -> crate::support::Answer {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION_TYPE),
        ("client_assertion", assertion),
    ];
    service.post("/oauth/token", &form).await
}

#[tokio::test]
async fn a_secret_is_taken_in_the_header_or_in_the_form_and_in_one_of_them() {
    let service = Service::start().await;
    let client = service.client("runtime-1", "sync.read", "*", &[]);
    let form =
        [("grant_type", "client_credentials"), ("client_id", "runtime-1"), ("client_secret", client.secret.expose())];
    assert_eq!(service.post("/oauth/token", &form).await.status, 200);
    assert_eq!(service.token(&client, &[]).await.status, 200);
    assert_eq!(service.post_as(&client, "/oauth/token", &form).await.refusal(), refused(400, "invalid_request"));
    assert_eq!(service.token(&client, &[("client_id", "other")]).await.refusal(), refused(401, "invalid_client"));
}

#[tokio::test]
async fn nobody_gets_in_by_saying_so() {
    let service = Service::start().await;
    let client = service.client("runtime-1", "sync.read", "*", &[]);
    let disabled = service.client("disabled", "sync.read", "*", &[]);
    service.control.client_set_disabled("test", "disabled", true).unwrap();
    let right = client.secret.expose();
    let pairs = [
        format!("runtime-1:{}x", right),
        format!("runtime-1:{}", &right[1..]),
        "runtime-1:".to_owned(),
        format!("Runtime-1:{right}"),
        format!("nobody:{right}"),
        format!("runtime-1' OR '1'='1:{right}"),
        format!("disabled:{}", disabled.secret.expose()),
        "runtime-1".to_owned(),
    ];
    let mut answers = Vec::new();
    for pair in pairs {
        let request = service
            .request(Method::POST, "/oauth/token")
            .header("authorization", format!("Basic {}", BASE64_STANDARD.encode(&pair)));
        let answer = send(request.form_body(&[("grant_type", "client_credentials")])).await;
        assert_eq!(answer.refusal(), refused(401, "invalid_client"), "{pair}");
        assert!(answer.header("www-authenticate").starts_with("Basic "));
        answers.push(answer.text);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "one answer for all, which tells nobody what was wrong");
    let none = service.post("/oauth/token", &[("grant_type", "client_credentials")]).await;
    assert_eq!(none.refusal(), refused(401, "invalid_client"));
}

#[tokio::test]
async fn a_new_secret_replaces_the_old_one_after_the_overlap() {
    let service = Service::start().await;
    let old = service.client("runtime-1", "sync.read", "*", &[]);
    let new = crate::support::Registered {
        secret: service.control.client_new_secret("test", "runtime-1", 60).unwrap(),
        ..old.clone()
    };
    assert_eq!(service.token(&old, &[]).await.status, 200);
    assert_eq!(service.token(&new, &[]).await.status, 200);
    service.clock.advance(60);
    assert_eq!(
        service.token(&old, &[]).await.refusal(),
        refused(401, "invalid_client"),
        "also where it was remembered as right"
    );
    assert_eq!(service.token(&new, &[]).await.status, 200);
}

#[tokio::test]
async fn a_signed_assertion_is_good_once_and_only_as_the_rfc_says() {
    let service = Service::start_with(|config| config.rates.failures = Rate::new(1_000, 1_000, 1_000)).await;
    let (mine, strange) = (key(1), key(2));
    let new = NewClient {
        credential: Credential::PublicKey(jwk(&mine)),
        ..NewClient::new("signer", grant("sync.read", "*"))
    };
    assert!(service.control.client_add("test", new).unwrap().secret.is_none());
    let now_s = service.clock.now_s();
    let good = json!({ "iss": "signer", "sub": "signer", "aud": service.issuer(), "exp": now_s + 60, "iat": now_s, "jti": "1" });
    assert_eq!(with_assertion(&service, &signed(&mine, &good)).await.status, 200);
    assert_eq!(
        with_assertion(&service, &signed(&mine, &good)).await.refusal(),
        refused(401, "invalid_client"),
        "a replay"
    );

    let but = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims["jti"] = json!(format!("{name}-{value}"));
        claims[name] = value;
        claims
    };
    let endpoint = format!("{}/oauth/token", service.issuer());
    assert_eq!(with_assertion(&service, &signed(&mine, &but("aud", json!([endpoint])))).await.status, 200);
    let mut attempts = vec![signed(&strange, &but("jti", json!("2")))];
    for (name, value) in [
        ("aud", json!("https://elsewhere.example")),
        ("aud", json!([service.issuer(), "https://elsewhere.example"])),
        ("exp", json!(now_s)),
        ("exp", json!(now_s + 7_200)),
        ("nbf", json!(now_s + 600)),
        ("iss", json!("other")),
        ("sub", json!("other")),
        ("jti", json!("")),
        ("jti", json!("x".repeat(200))),
        ("exp", Value::Null),
    ] {
        attempts.push(signed(&mine, &but(name, value)));
    }
    let parts: Vec<String> = signed(&mine, &but("jti", json!("3"))).split('.').map(str::to_owned).collect();
    let none = BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
    attempts.push(format!("{none}.{}.", parts[1]));
    attempts.push(format!("{none}.{}.{}", parts[1], parts[2]));
    // HMAC with the public key as its secret, the classic.
    let hmac = EncodingKey::from_secret(jwk(&mine).as_bytes());
    attempts.push(jsonwebtoken::encode(&Header::new(Algorithm::HS256), &but("jti", json!("4")), &hmac).unwrap());
    let raised = BASE64_URL_SAFE_NO_PAD.encode(but("sub", json!("runtime-1")).to_string());
    attempts.push(format!("{}.{raised}.{}", parts[0], parts[2]));
    for attempt in attempts {
        let answer = with_assertion(&service, &attempt).await;
        assert_eq!(answer.refusal(), refused(401, "invalid_client"), "{attempt}");
    }
}

#[tokio::test]
async fn keys_of_a_client_come_and_go() {
    let service = Service::start().await;
    let new = NewClient {
        credential: Credential::PublicKey(jwk(&key(1))),
        ..NewClient::new("signer", grant("sync.read", "*"))
    };
    let first = service.control.client_add("test", new).unwrap().key_id.unwrap();
    service.control.client_add_key("test", "signer", &jwk(&key(2))).unwrap();
    assert!(service.control.client_add_key("test", "signer", &jwk(&key(3))).is_err(), "two at most");
    service.control.client_remove_key("test", "signer", &first).unwrap();
    let now_s = service.clock.now_s();
    let claims =
        |jti: &str| json!({ "iss": "signer", "sub": "signer", "aud": service.issuer(), "exp": now_s + 60, "jti": jti });
    assert_eq!(with_assertion(&service, &signed(&key(1), &claims("1"))).await.status, 401);
    assert_eq!(with_assertion(&service, &signed(&key(2), &claims("2"))).await.status, 200);
    assert!(
        service
            .control
            .client_list()
            .unwrap()
            .iter()
            .all(|client| !client.permissions.contains(&Permission::Introspect))
    );
}
