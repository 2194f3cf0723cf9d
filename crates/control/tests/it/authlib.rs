//! A client that nobody here wrote: Python's Authlib, and `joserfc` for the signatures, through every grant.
//!
//! Python 3.9 or newer with pip is required: without it this test fails and says so, because a test that quietly does
//! nothing would be worth nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use muster_control::{Credential, NewClient, Permission};

use crate::support::{AUDIENCE, Service, grant, set};

const REMEDY: &str = "install Python 3.9 or newer with pip, and run this again";

/// A folder with the packages, installed once for each `requirements.txt`.
fn packages(sources: &Path) -> PathBuf {
    use sha2::Digest as _;
    let wanted = std::fs::read(sources.join("requirements.txt")).unwrap();
    let hash: String = sha2::Sha256::digest(&wanted).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = tmp.join(format!("authlib-{hash}"));
    if !folder.exists() {
        // Made beside it and then renamed: two tests at once end with one whole folder.
        let making = tempfile::tempdir_in(tmp).unwrap();
        let pip = Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
            .arg(making.path())
            .arg("-r")
            .arg(sources.join("requirements.txt"))
            .output()
            .unwrap_or_else(|error| panic!("python3 cannot be run ({error}): {REMEDY}"));
        assert!(pip.status.success(), "{REMEDY}: {}", String::from_utf8_lossy(&pip.stderr));
        let _ = std::fs::rename(making.keep(), &folder);
    }
    folder
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authlib_gets_refreshes_exchanges_introspects_revokes_and_verifies() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/authlib");
    let packages = packages(&sources);
    let service = Service::start_with(|config| config.clock = muster_control::Clock::System).await;
    let permissions = set(&[Permission::Refresh, Permission::Exchange]);
    let new = |id: &str| NewClient {
        permissions: permissions.clone(),
        ..NewClient::new(id, grant("sync.read sync.write", "runtime.*"))
    };
    let secret = service.register(new("by-secret"));
    let key = p256::SecretKey::from_slice(&[9; 32]).unwrap();
    let public: serde_json::Value = serde_json::from_str(&jwk(&key)).unwrap();
    service
        .control
        .client_add("test", NewClient { credential: Credential::PublicKey(public.to_string()), ..new("by-key") })
        .unwrap();
    let pem = p256::pkcs8::EncodePrivateKey::to_pkcs8_pem(&key, p256::pkcs8::LineEnding::LF).unwrap();

    let mut python = Command::new("python3");
    python.arg(sources.join("client.py")).env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    python.env("AUTHLIB_INSECURE_TRANSPORT", "1").env("ISSUER", service.issuer()).env("AUDIENCE", AUDIENCE);
    python.env("CLIENT_SECRET", secret.secret.expose()).env("CLIENT_KEY", pem.as_str());
    let output = tokio::task::spawn_blocking(move || python.output()).await.unwrap();
    let output = output.unwrap_or_else(|error| panic!("python3 cannot be run ({error}): {REMEDY}"));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.lines().collect::<Vec<_>>(), ["client_secret_basic", "client_secret_post", "private_key_jwt"]);
}

fn jwk(key: &p256::SecretKey) -> String {
    use base64::Engine as _;
    use p256::elliptic_curve::sec1::ToEncodedPoint as _;
    let point = key.public_key().to_encoded_point(false);
    let text = |half: &[u8]| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(half);
    format!(r#"{{"kty":"EC","crv":"P-256","x":"{}","y":"{}"}}"#, text(point.x().unwrap()), text(point.y().unwrap()))
}
