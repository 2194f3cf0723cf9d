//! `muster host`: readiness, signals, and data that stays.

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox, sandbox_at};

#[test]
fn the_ready_line_says_where_and_the_host_answers() {
    let sandbox = Sandbox::new();
    let running = sandbox.start(&["host", "--data-dir", "data", "--listen", "127.0.0.1:0"]);
    let line = running.line();
    let (url, folder) = line.strip_prefix("ready at ").and_then(|it| it.split_once(", data in ")).expect("the line");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    assert!(std::path::Path::new(folder).join("keys").is_dir(), "{folder}");
    let told = sandbox.run(&["describe", "--server", url, "--database", "none"]).error(2);
    assert!(told.contains("404"), "{told}");
}

#[test]
fn interrupt_and_terminate_end_it_with_code_0_and_the_data_stays() {
    let sandbox = Sandbox::new();
    for (round, signal) in ["INT", "TERM", "TERM"].into_iter().enumerate() {
        let mut host = Host::start(&sandbox, &["--data-dir", "data"]);
        let at = ["--server", &host.url, "--database", "db", "--token-file", "owner.token"];
        if round == 0 {
            let wasm = sandbox.file("module.wasm", module(Variant::Plain));
            sandbox.run(&["publish", "--module", &wasm, "--server", &host.url, "--database", "db"]).done();
            let saved = format!(".config/muster/tokens/http_{}.token", host.authority().replace(':', "_"));
            std::fs::copy(sandbox.path(&saved), sandbox.path("owner.token")).expect("saved");
        }
        sandbox.run(&[&["call", "add", &format!("\"round {round}\"")], &at[..]].concat()).done();
        let rows = sandbox.run(&[&["sql", "--json", "SELECT * FROM item"], &at[..]].concat()).json();
        assert_eq!(rows["statements"][0]["rows"].as_array().map(Vec::len), Some(round + 1), "{rows}");
        host.process.signal(signal);
        assert_eq!(host.process.code(), Some(0), "SIG{signal}");
    }
}

#[test]
fn a_killed_host_comes_back_without_ghosts() {
    let sandbox = Sandbox::new();
    let mut host = Host::start(&sandbox, &["--data-dir", "data"]);
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    let first = sandbox_at(&host, "db");
    first.run(&["publish", "-q", "--module", &wasm]).done();
    let watchers: Vec<_> = (0..5)
        .map(|_| {
            let watcher = first.start(&["subscribe", "--json", "--anonymous", "SELECT * FROM session"]);
            assert_eq!(watcher.json()["op"], "insert", "it is connected, and sees itself");
            watcher
        })
        .collect();
    host.process.signal("KILL");
    assert_eq!(host.process.code(), None);
    drop(watchers);
    let host = Host::start(&sandbox, &["--data-dir", "data"]);
    let rows = sandbox_at(&host, "db").run(&["sql", "--json", "--anonymous", "SELECT * FROM session"]).json();
    // The asker alone.
    assert_eq!(rows["statements"][0]["rows"].as_array().map(Vec::len), Some(1), "{rows}");
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let sandbox = Sandbox::new();
    let mut host = Host::in_memory(&sandbox);
    let at = sandbox_at(&host, "db");
    let wasm = at.file("module.wasm", module(Variant::Plain));
    at.run(&["publish", "-q", "--module", &wasm]).done();
    // A client that is stopped answers no closing handshake, so that the host has something to wait for.
    let watcher = at.start(&["subscribe", "--json", "SELECT * FROM session"]);
    watcher.json();
    watcher.signal("STOP");
    host.process.signal("TERM");
    host.process.wait_for_talk("closing connections");
    host.process.signal("TERM");
    assert_eq!(host.process.code(), Some(2));
}

#[test]
fn a_host_that_ends_tells_its_followers() {
    let sandbox = Sandbox::new();
    let mut host = Host::in_memory(&sandbox);
    let at = sandbox_at(&host, "db");
    let wasm = at.file("module.wasm", module(Variant::Plain));
    at.run(&["publish", "-q", "--module", &wasm]).done();
    let mut watcher = at.start(&["subscribe", "--json", "SELECT * FROM session"]);
    watcher.json();
    at.run(&["call", "say", "\"hello\""]).done();
    let mut follower = at.start(&["logs", "-f"]);
    follower.line();
    host.process.signal("TERM");
    assert_eq!(host.process.code(), Some(0));
    assert_eq!((watcher.code(), follower.code()), (Some(2), Some(2)));
}

#[test]
fn a_data_folder_whose_key_is_gone_is_not_opened_until_somebody_says_so() {
    let sandbox = Sandbox::new();
    let mut host = Host::start(&sandbox, &["--data-dir", "data"]);
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    sandbox.run(&["publish", "-q", "--module", &wasm, "--server", &host.url, "--database", "db"]).done();
    host.process.signal("TERM");
    assert_eq!(host.process.code(), Some(0));
    std::fs::rename(sandbox.path("data/keys"), sandbox.path("keys")).expect("moved away");
    let told = sandbox.run(&["host", "--data-dir", "data", "--listen", "127.0.0.1:0"]).error(2);
    assert!(
        told.contains("id_ecdsa is missing") && told.contains("1 database:") && told.contains("--new-keys"),
        "{told}"
    );
    assert!(!sandbox.path("data/keys").exists(), "nothing is made by a refusal");
    drop(Host::start(&sandbox, &["--data-dir", "data", "--new-keys"]));
    // The new key is a key: from now on it is there.
    drop(Host::start(&sandbox, &["--data-dir", "data"]));
}
