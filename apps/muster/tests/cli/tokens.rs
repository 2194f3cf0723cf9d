//! As whom: where tokens come from, and bad ones.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::DecodePrivateKey;
use serde_json::{Value, json};

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox, sandbox_at};

fn published(host: &Host) -> Sandbox {
    published_as(host, "db")
}

fn published_as(host: &Host, database: &str) -> Sandbox {
    let sandbox = sandbox_at(host, database);
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    sandbox.run(&["publish", "-q", "--module", &wasm]).done();
    sandbox
}

fn saved_file(host: &Host) -> String {
    format!(".config/muster/tokens/http_{}.token", host.authority().replace(':', "_"))
}

/// The names of all files that hold, or held, a token.
fn token_files(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.path(".config/muster/tokens")).expect("the folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("plain"));
    names.filter(|name| name.contains(".token")).collect()
}

/// A sandbox whose saved token for `host` is that of `foreign`, which `host` does not take.
fn with_foreign_token(host: &Host, foreign: &Host) -> (Sandbox, String) {
    let other = published(foreign);
    let token = fs::read_to_string(other.path(&saved_file(foreign))).expect("saved");
    let sandbox = sandbox_at(host, "db");
    sandbox.file(&saved_file(host), &token);
    (sandbox, token)
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
fn reading_passes_a_refused_token_over_and_leaves_it_where_it_is() {
    let hosts = Sandbox::new();
    let (host, foreign) = (Host::in_memory(&hosts), Host::in_memory(&hosts));
    published(&host);
    let (sandbox, token) = with_foreign_token(&host, &foreign);
    let run = sandbox.run(&["sql", "-v", "SELECT * FROM item"]);
    assert!(run.stderr.contains("does not take the token from"), "{}", run.stderr);
    run.done();
    assert_eq!(fs::read_to_string(sandbox.path(&saved_file(&host))).expect("still there"), token);
    // Who may not do something hears which tokens were tried.
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    for args in [&["delete", "--yes"][..], &["publish", "-q", "--module", &wasm]] {
        let told = sandbox.run(args).error(2);
        assert!(told.contains("403") && told.contains(&saved_file(&host)), "{told}");
    }
    assert_eq!(token_files(&sandbox).len(), 1);
}

#[test]
fn the_tokens_of_hosts_that_share_an_address_are_kept_beside_each_other() {
    let hosts = Sandbox::new();
    let (host, foreign) = (Host::in_memory(&hosts), Host::in_memory(&hosts));
    let (sandbox, token) = with_foreign_token(&host, &foreign);
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    sandbox.run(&["publish", "-q", "--module", &wasm]).done();
    sandbox.run(&["logs"]).done();
    assert_eq!(fs::read_to_string(sandbox.path(&saved_file(&host))).expect("still there"), token);
    let second = saved_file(&host).replace(".token", ".2.token");
    let run = sandbox.run(&["logs", "-v"]);
    assert!(run.stderr.contains(&second), "{}", run.stderr);
    // The first host is back: so is its token.
    let back = sandbox_at(&foreign, "db");
    for (file, name) in
        [(saved_file(&host), saved_file(&foreign)), (second, saved_file(&foreign).replace(".token", ".2.token"))]
    {
        back.file(&name, fs::read(sandbox.path(&file)).expect("saved"));
    }
    back.run(&["logs"]).done();
}

#[test]
fn who_is_refused_under_another_name_of_this_machine_hears_of_the_token_saved_for_the_first() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let port = host.authority().strip_prefix("127.0.0.1:").expect("on this machine");
    let hint = format!(
        "; a token is saved for `127.0.0.1:{port}`, which is not sent to `localhost:{port}`: write 127.0.0.1:{port} to use it"
    );
    let other = format!("http://localhost:{port}");
    for args in [&["logs"][..], &["delete", "--yes"], &["publish", "-q", "--module", "module.wasm"]] {
        let told = sandbox.run(&[args, &["--server", &other]].concat()).error(2);
        assert!(told.contains("403") && told.ends_with(&hint), "{told}");
    }
    // Who says outright as whom, or has nothing saved, hears nothing of it.
    let told =
        sandbox.run(&["logs", "--server", &other, "--token-file", &sandbox.file("bad.token", "abc.def")]).error(2);
    assert!(!told.contains("is saved for"), "{told}");
    let told = sandbox_at(&host, "db").run(&["logs", "--server", &other]).error(2);
    assert!(told.contains("403") && !told.contains("is saved for"), "{told}");
    // The reverse.
    let sandbox = sandbox_at(&host, "other").with("MUSTER_SERVER", &other);
    sandbox.file("module.wasm", module(Variant::Plain));
    sandbox.run(&["publish", "-q", "--module", "module.wasm"]).done();
    let told = sandbox.run(&["logs", "--server", &host.url]).error(2);
    assert!(told.contains(&format!("a token is saved for `localhost:{port}`")), "{told}");
}

#[test]
fn only_publish_sets_a_token_aside_and_only_when_there_is_no_place_left() {
    let hosts = Sandbox::new();
    let (host, foreign) = (Host::in_memory(&hosts), Host::in_memory(&hosts));
    let (sandbox, token) = with_foreign_token(&host, &foreign);
    for number in 2..=4 {
        sandbox.file(&saved_file(&host).replace(".token", &format!(".{number}.token")), &token);
    }
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    let run = sandbox.run(&["publish", "--module", &wasm]);
    assert!(run.stderr.contains("the oldest is now in") && run.stderr.contains("refused-1"), "{}", run.stderr);
    run.done();
    sandbox.run(&["logs"]).done();
    assert_eq!(token_files(&sandbox).len(), 5, "none is lost");
}

#[test]
fn a_publish_that_nobody_could_ever_follow_is_refused_and_the_saved_token_stays() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let before = fs::read_to_string(sandbox.path(&saved_file(&host))).expect("saved");
    let told =
        sandbox.run(&["publish", "-q", "--anonymous", "--module", "module.wasm", "--database", "other"]).error(2);
    assert!(told.contains("could never be updated") && told.contains("leave --anonymous out"), "{told}");
    assert_eq!(fs::read_to_string(sandbox.path(&saved_file(&host))).expect("saved"), before);
    sandbox.run(&["publish", "-q", "--module", "module.wasm"]).done();
    sandbox.run(&["describe", "--database", "other"]).error(2);
}

#[test]
fn first_publishes_at_once_share_one_owner() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db");
    sandbox.file("module.wasm", module(Variant::Plain));
    let databases = ["one", "two", "three", "four"];
    let publish = |database| sandbox.command(&["publish", "-q", "--module", "module.wasm", "--database", database]);
    let all = databases.map(|database| publish(database).spawn().expect("starts"));
    for child in all {
        crate::support::finish(child).done();
    }
    assert_eq!(token_files(&sandbox).len(), 1);
    for database in databases {
        sandbox.run(&["logs", "--database", database]).done();
        sandbox.run(&["publish", "-q", "--module", "module.wasm", "--database", database]).done();
    }
}

#[test]
#[cfg(unix)]
fn a_saved_token_that_others_can_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    assert!(!sandbox.run(&["logs"]).stderr.contains("warning"));
    let file = sandbox.path(&saved_file(&host));
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("changed");
    let told = sandbox.run(&["logs"]).stderr;
    assert!(told.contains("warning: others can read the token") && told.contains("chmod 600"), "{told}");
}

#[test]
#[cfg(unix)]
fn a_token_file_that_is_a_pipe_is_refused_and_not_waited_for() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let pipe = sandbox.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    let told = sandbox.run(&["logs", "-f", "--token-file", "pipe"]).error(2);
    assert_eq!(told, "the token file pipe is a pipe or a device; give a regular file");
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
    let login = configured(host.authority());
    login.run(&["logs"]).done();
    // It comes before what was saved, which is nobody's choice.
    login.file(&saved_file(&host), fs::read(published_as(&host, "other").path(&saved_file(&host))).expect("saved"));
    login.run(&["logs"]).done();
    let broken = login.path(".config/spacetime/cli.toml");
    let text = fs::read_to_string(&broken).expect("there").replace(token.trim(), "abc.def.ghi");
    fs::write(&broken, text).expect("written");
    // A login that the host refuses is passed over for one that it takes.
    login.run(&["logs", "--database", "other"]).done();
    let elsewhere = configured("elsewhere.example");
    assert!(elsewhere.run(&["logs"]).error(2).contains("anonymously"));
    assert!(!elsewhere.path("").join(".config/muster").exists());
    let broken = sandbox_at(&host, "db");
    broken.file(".config/spacetime/cli.toml", "spacetimedb_token = [");
    let told = broken.run(&["logs"]).error(2);
    assert!(told.contains("cli.toml") && told.contains("spacetime login"), "{told}");
    assert!(Path::new(&broken.path(".config/spacetime/cli.toml")).exists());
}
