//! Signing keys over HTTP: rotation by the clock, and what lies on the disk.

use std::os::unix::fs::PermissionsExt as _;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use muster_control::limits::{KEY_ANNOUNCE_S, KEY_RETIRE_S};
use muster_control::schedule::KeyState;
use muster_control::{Control, ControlError, RevokedKind, Secret};
use serde_json::Value;

use crate::support::{Service, eventually, header};

fn in_state(service: &Service, state: KeyState) -> Vec<String> {
    let keys = service.control.keys_list().unwrap().into_iter();
    keys.filter(|key| key.facts.state == state).map(|key| key.facts.kid).collect()
}

async fn published(service: &Service) -> Vec<String> {
    let set = service.get("/jwks.json").await.json();
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Verifies as a host does: by the key set at the issuer, with a library's own checks.
async fn verifies(service: &Service, token: &str) -> bool {
    let set = service.get("/jwks.json").await.json();
    let kid = header(token)["kid"].clone();
    let Some(key) = set["keys"].as_array().unwrap().iter().find(|key| key["kid"] == kid).cloned() else { return false };
    let key = DecodingKey::from_jwk(&serde_json::from_value(key).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&[service.issuer()]);
    validation.set_audience(&[crate::support::AUDIENCE]);
    validation.validate_exp = false;
    jsonwebtoken::decode::<Value>(token, &key, &validation).is_ok()
}

#[tokio::test]
async fn a_rotation_announces_waits_signs_and_lets_the_old_key_go() {
    let service = Service::start().await;
    let client = service.client("one", "sync.read", "a.*", &[]);
    let token = || async { service.token(&client, &[]).await.field("access_token") };
    let before = token().await;
    let rotation = service.control.keys_rotate("test").unwrap();
    assert_eq!(header(&before)["kid"], rotation.active.as_str());
    assert_eq!(rotation.not_before_s, Some(service.clock.now_s() + KEY_ANNOUNCE_S));
    assert_eq!(published(&service).await, [rotation.active.clone(), rotation.next.clone()]);

    service.clock.advance(KEY_ANNOUNCE_S - 1);
    assert!(!service.control.keys_advance().unwrap(), "nothing is due");
    assert_eq!(header(&token().await)["kid"], rotation.active.as_str(), "a second too early");
    service.clock.advance(1);
    eventually("the successor signs", || in_state(&service, KeyState::Active) == [rotation.next.clone()]).await;
    let after = token().await;
    assert_eq!(header(&after)["kid"], rotation.next.as_str());
    assert!(verifies(&service, &before).await && verifies(&service, &after).await);
    assert_eq!(published(&service).await.len(), 3, "the old, the new and the next");
    let private = |kid: &str| service.dir.path().join(format!("state/keys/{kid}.pem"));
    eventually("the old key's private half is deleted", || !private(&rotation.active).exists()).await;
    assert!(private(&rotation.next).exists());

    service.clock.advance(KEY_RETIRE_S);
    eventually("the old key goes", || in_state(&service, KeyState::Gone) == [rotation.active.clone()]).await;
    assert!(!verifies(&service, &before).await);
    assert!(!service.is_active(&client, &before).await);
    let actions: Vec<_> = service.control.audit(0).unwrap().into_iter().map(|entry| entry.action).collect();
    for action in ["key.create", "key.announce", "key.rotate", "key.retire", "key.activate", "key.remove"] {
        assert!(actions.iter().any(|done| done == action), "{action} in {actions:?}");
    }
}

#[tokio::test]
async fn a_key_that_got_loose_is_gone_at_once_with_all_it_signed() {
    let service = Service::start().await;
    let client = service.client("one", "sync.read", "a.*", &[]);
    let token = service.token(&client, &[]).await.field("access_token");
    let kid = header(&token)["kid"].as_str().unwrap().to_owned();
    service.control.keys_compromised("test", &kid).unwrap();
    assert!(!published(&service).await.contains(&kid));
    assert!(!service.is_active(&client, &token).await);
    let next = service.token(&client, &[]).await.field("access_token");
    assert!(header(&next)["kid"] != kid.as_str() && verifies(&service, &next).await);
    assert!(matches!(service.control.keys_compromised("test", &kid), Err(ControlError::NoKey)));
    let told = service.control.revocations_after(0, 10).unwrap();
    assert!(told.iter().any(|revocation| (revocation.kind, revocation.value.as_str()) == (RevokedKind::Client, "one")));
}

#[tokio::test]
async fn everything_on_the_disk_is_its_owners_alone_and_what_is_not_is_refused() {
    let service = Service::start().await;
    service.client("one", "sync.read", "a.*", &[]);
    let state = service.dir.path().join("state");
    let mut seen = 0;
    for dir in [state.clone(), state.join("keys")] {
        assert_eq!(std::fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o700, "{}", dir.display());
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            if entry.file_name() == "serving.lock" {
                continue;
            }
            seen += 1;
            assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", entry.path().display());
        }
    }
    assert!(seen >= 5, "the database, its two companions and two keys");
    let config = service.control.config().clone();
    service.stop().await;
    // The directory is gone with the service's own; another takes its place.
    let dir = tempfile::tempdir().unwrap();
    let config = muster_control::Config { state_dir: dir.path().join("state"), ..config };
    drop(Control::open(config.clone()).unwrap());
    for key in std::fs::read_dir(config.state_dir.join("keys")).unwrap().map(Result::unwrap) {
        std::fs::set_permissions(key.path(), std::fs::Permissions::from_mode(0o640)).unwrap();
    }
    let refused = Control::open(config.clone()).and_then(|control| control.own_token().map(drop));
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains(".pem can be read by others (mode 640)") && refused.contains("chmod 600"), "{refused}");
    let database = config.state_dir.join("control.sqlite");
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = Control::open(config).unwrap_err().to_string();
    assert!(refused.contains("chmod 600"), "{refused}");
}

#[tokio::test]
async fn one_service_for_a_state_directory() {
    let service = Service::start().await;
    let other = Control::open(service.control.config().clone()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    eventually("the first serves", || service.dir.path().join("state/serving.lock").exists()).await;
    service.get("/healthz").await;
    let second = tokio::time::timeout(std::time::Duration::from_secs(5), other.serve(listener, std::future::pending()));
    assert!(matches!(second.await.expect("it is refused at once"), Err(ControlError::AlreadyServing)));
}

#[tokio::test]
async fn a_given_key_becomes_the_first_one() {
    use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
    let key = p256::SecretKey::from_slice(&[7; 32]).unwrap();
    let pem = key.to_pkcs8_pem(LineEnding::LF).unwrap().to_string();
    let service = Service::start_with(|config| config.first_signing_key = Some(Secret::new(pem.clone()))).await;
    let client = service.client("one", "sync.read", "a.*", &[]);
    let token = service.token(&client, &[]).await.field("access_token");
    let public = jsonwebtoken::DecodingKey::from_ec_der(&sec1(&key));
    let mut validation = Validation::new(Algorithm::ES256);
    validation.validate_aud = false;
    validation.validate_exp = false;
    assert!(jsonwebtoken::decode::<Value>(&token, &public, &validation).is_ok());
    let mut config = service.control.config().clone();
    config.first_signing_key = Some(Secret::new("-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----"));
    let refused = Control::open(config).unwrap_err().to_string();
    assert!(refused.contains("PKCS#8") && !refused.contains("nonsense"), "{refused}");
}

fn sec1(key: &p256::SecretKey) -> Vec<u8> {
    use p256::elliptic_curve::sec1::ToEncodedPoint as _;
    key.public_key().to_encoded_point(false).as_bytes().to_vec()
}
