//! As whom: where tokens come from, and bad ones.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use serde_json::{Value, json};

use crate::module::{Variant, module};
use crate::support::{Host, Sandbox, sandbox_at};

fn published(host: &Host) -> Sandbox {
    let sandbox = sandbox_at(host, "db");
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    sandbox.run(&["publish", "-q", "--module", &wasm]).done();
    sandbox
}

fn saved_file(host: &Host) -> String {
    format!(".config/muster/tokens/{}.token", host.authority().replace(':', "_"))
}

/// The token with some claims changed, signed by `key`.
fn forged(token: &str, key: &SigningKey, change: impl FnOnce(&mut Value)) -> String {
    let (header, claims) = token.trim().split_once('.').expect("a JWT");
    let claims = claims.split_once('.').expect("a JWT").0;
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let mut claims: Value = serde_json::from_slice(&claims).expect("JSON");
    change(&mut claims);
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let signature: Signature = key.sign(text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}

fn key_of(host: &Host) -> SigningKey {
    let pem = fs::read_to_string(host.data_dir.join("keys/id_ecdsa")).expect("the host's key");
    SigningKey::from_pkcs8_pem(&pem).expect("a P-256 key")
}

#[test]
fn the_first_publish_saves_a_token_that_later_commands_use() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db");
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    let run = sandbox.run(&["publish", "--module", &wasm]);
    let told: Vec<_> = run.stderr.lines().filter(|line| line.contains("saved its token in")).collect();
    assert_eq!(told.len(), 1, "{}", run.stderr);
    let file = sandbox.path(&saved_file(&host));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(fs::metadata(&file).expect("saved").permissions().mode() & 0o777, 0o600);
    }
    let run = sandbox.run(&["logs", "-v"]);
    assert!(run.stderr.contains(&format!("with the token from {}", file.display())), "{}", run.stderr);
    run.done();
    let run = sandbox.run(&["publish", "--module", &wasm]);
    assert!(!run.stderr.contains("saved its token"), "once is enough: {}", run.stderr);
    run.done();
}

#[test]
fn a_saved_token_that_the_host_no_longer_takes_is_set_aside() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let file = sandbox.path(&saved_file(&host));
    let other = Host::in_memory(&hosts);
    let foreign = published(&other);
    fs::copy(foreign.path(&saved_file(&other)), &file).expect("replaced");
    let run = sandbox.run(&["sql", "SELECT * FROM item"]);
    assert!(run.stderr.contains("takes the token saved for it no longer"), "{}", run.stderr);
    run.done();
    assert!(!file.exists() && file.with_extension("token.refused-1").exists());
}

#[test]
fn bad_tokens_are_named_and_not_repeated() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let good = fs::read_to_string(sandbox.path(&saved_file(&host))).expect("saved");
    let expired = forged(&good, &key_of(&host), |claims| {
        claims["iat"] = json!(1_600_000_000);
        claims["exp"] = json!(1_600_000_100);
    });
    let other = Host::in_memory(&hosts);
    let foreign = forged(&good, &key_of(&other), |claims| claims["iss"] = json!("https://issuer.example"));
    sandbox.file("expired.token", &expired);
    sandbox.file("foreign.token", &foreign);
    sandbox.file("malformed.token", "abc.def");
    sandbox.file("blank.token", "\n");
    sandbox.file("two.token", "one two");
    for (file, cause) in [
        ("expired.token", "401"),
        ("foreign.token", "401"),
        ("malformed.token", "401"),
        ("blank.token", "the token is empty"),
        ("two.token", "no bearer token can have"),
        ("missing.token", "cannot be read"),
    ] {
        for command in [&["sql", "SELECT * FROM item"][..], &["subscribe", "-n", "0", "SELECT * FROM item"]] {
            let told = sandbox.run(&[command, &["--token-file", file]].concat()).error(2);
            assert!(told.contains(cause) && told.contains(file), "{file}: {told}");
            assert!(!told.contains(expired.trim()) && !told.contains(foreign.trim()) && !told.contains("abc.def"));
        }
    }
    // The same from the environment.
    let sandbox = sandbox_at(&host, "db").with("MUSTER_TOKEN", expired);
    let told = sandbox.run(&["sql", "SELECT * FROM item"]).error(2);
    assert!(told.contains("401") && told.contains("MUSTER_TOKEN"), "{told}");
    sandbox.run(&["sql", "--anonymous", "SELECT * FROM item"]).done();
}

#[test]
fn the_official_clis_token_goes_to_its_own_servers_only() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let owner = published(&host);
    let token = fs::read_to_string(owner.path(&saved_file(&host))).expect("saved");
    let configured = |listed: &str| {
        let sandbox = sandbox_at(&host, "db");
        let toml = format!(
            "spacetimedb_token = \"{}\"\n[[server_configs]]\nhost = \"{listed}\"\nprotocol = \"http\"\n",
            token.trim()
        );
        sandbox.file(".config/spacetime/cli.toml", toml);
        sandbox
    };
    configured(host.authority()).run(&["logs"]).done();
    let elsewhere = configured("elsewhere.example");
    assert!(elsewhere.run(&["logs"]).error(2).contains("anonymously"));
    assert!(!elsewhere.path("").join(".config/muster").exists());
    let broken = sandbox_at(&host, "db");
    broken.file(".config/spacetime/cli.toml", "spacetimedb_token = [");
    let told = broken.run(&["logs"]).error(2);
    assert!(told.contains("cli.toml") && told.contains("spacetime login"), "{told}");
    assert!(Path::new(&broken.path(".config/spacetime/cli.toml")).exists());
}
