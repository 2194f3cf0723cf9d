//! `muster publish` and `muster delete`: what may change, and what may not.

use serde_json::json;

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox, Stub, muster_module, sandbox_at};

/// A database with the plain module and one item in it.
fn published(host: &Host) -> Sandbox {
    let sandbox = sandbox_at(host, "db");
    for (name, variant) in
        [("plain", Variant::Plain), ("notes", Variant::WithNotes), ("numbered", Variant::NumberedItems)]
    {
        sandbox.file(&format!("{name}.wasm"), module(variant));
    }
    let done = sandbox.run(&["publish", "--json", "--module", "plain.wasm"]).json();
    assert_eq!(done["operation"], "created");
    sandbox.run(&["call", "add", "\"kept\""]).done();
    sandbox
}

fn items(sandbox: &Sandbox) -> usize {
    let rows = sandbox.run(&["sql", "--json", "SELECT * FROM item"]).json();
    rows["statements"][0]["rows"].as_array().expect("rows").len()
}

#[test]
fn our_own_module_is_published_described_and_deleted() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "presence");
    let wasm = muster_module();
    let run = sandbox.run(&["publish", "--module", &wasm]);
    assert!(
        run.stderr.contains("built by rustc") && run.stderr.contains("for wasm32-unknown-unknown"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("will create the database `presence`"), "{}", run.stderr);
    let said = run.done();
    assert!(said.starts_with("created presence\n  identity     c200"), "{said}");
    // Both hashes: of the file, and the one by which the host and a handshake know it.
    let word = |name: &str| said.lines().find_map(|line| line.trim().strip_prefix(name)).expect("a line").trim();
    let handshake = sandbox.run(&["handshake", "--json"]).json();
    assert_eq!(handshake["module_hash"], word("module hash"), "{said}");
    assert_eq!(sandbox.run(&["describe", "--json"]).json()["module_hash"], word("module hash"));
    let shown = sandbox.run(&["describe"]).done();
    assert!(shown.contains(&format!("\n  module hash  {} (wasm)\n", word("module hash"))), "{shown}");
    let sha256 = std::process::Command::new("sha256sum").arg(&wasm).output().expect("sha256sum runs").stdout;
    let sha256 = String::from_utf8(sha256).expect("text");
    assert_eq!(Some(word("sha256")), sha256.split_whitespace().next());
    // A field's name means the same in every document.
    let again = sandbox.run(&["publish", "--json", "--module", &wasm]).json();
    assert_eq!((&again["sha256"], &again["module_hash"]), (&json!(word("sha256")), &json!(word("module hash"))));
    let schema = sandbox.run(&["describe", "--json"]).json();
    let tables: Vec<_> = schema["tables"].as_array().expect("tables").iter().map(|it| &it["name"]).collect();
    assert!(tables.iter().any(|name| *name == "active_connection"), "{tables:?}");
    let again = sandbox.run(&["publish", "--module", &wasm]);
    assert!(again.stderr.contains("no change of the schema"), "{}", again.stderr);
    assert!(again.done().starts_with("updated presence\n"));
    sandbox.run(&["delete", "--yes"]).done();
    assert!(sandbox.run(&["describe"]).error(2).contains("404"));
}

#[test]
fn a_harmless_change_goes_through_and_keeps_the_data() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let run = sandbox.run(&["publish", "--module", "notes.wasm"]);
    assert!(run.stderr.contains("note"), "the plan names the new table: {}", run.stderr);
    assert!(run.done().starts_with("updated db\n"));
    assert_eq!(items(&sandbox), 1);
}

#[test]
fn a_dry_run_changes_nothing() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let always = ["publish", "--module", "notes.wasm", "--dry-run", "--json", "--delete-data=always"];
    let plan = sandbox.run(&always).json();
    assert_eq!((&plan["clears_data"], &plan["breaks_clients"]), (&json!(true), &json!(false)), "{plan}");
    let plan = sandbox.run(&["publish", "--module", "notes.wasm", "--dry-run", "--json"]).json();
    assert_eq!(plan["clears_data"], json!(false), "{plan}");
    assert!(plan["plan"].to_string().contains("note") && plan["operation"].is_null(), "{plan}");
    assert!(sandbox.run(&["sql", "-q", "SELECT * FROM note"]).error(2).contains("note"));
    // And of a database that does not exist yet.
    sandbox.run(&["publish", "--module", "plain.wasm", "--dry-run", "--database", "other"]).done();
    assert!(sandbox.run(&["describe", "--database", "other"]).error(2).contains("404"));
}

#[test]
fn clients_are_broken_only_where_that_was_said() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    sandbox.run(&["publish", "-q", "--module", "notes.wasm"]).done();
    let refusal = sandbox.run(&["publish", "-q", "--module", "plain.wasm"]).error(1);
    assert!(refusal.contains("breaks connected clients") && refusal.ends_with("or add --break-clients"), "{refusal}");
    sandbox.run(&["sql", "-q", "SELECT * FROM note"]).done();
    sandbox.run(&["publish", "-q", "--module", "plain.wasm", "--break-clients"]).done();
    sandbox.run(&["sql", "-q", "SELECT * FROM note"]).error(2);
    assert_eq!(items(&sandbox), 1, "breaking clients deletes no data");
}

#[test]
fn data_is_deleted_only_where_that_was_said_and_confirmed() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let refusal = sandbox.run(&["publish", "-q", "--module", "numbered.wasm"]).error(1);
    assert!(refusal.contains("keep the data") && refusal.ends_with("or add --delete-data"), "{refusal}");
    let refusal = sandbox.run(&["publish", "-q", "--module", "numbered.wasm", "--break-clients"]).error(1);
    assert!(refusal.ends_with("or add --delete-data"), "{refusal}");
    let refusal = sandbox.run(&["publish", "-q", "--module", "numbered.wasm", "--delete-data"]).error(1);
    assert!(refusal.starts_with("will not delete all data of `db`") && refusal.ends_with("; add --yes"), "{refusal}");
    assert_eq!(items(&sandbox), 1);
    // Where the data can be kept, the flag alone deletes nothing.
    sandbox.run(&["publish", "-q", "--module", "notes.wasm", "--delete-data", "--yes"]).done();
    assert_eq!(items(&sandbox), 1);
    sandbox.run(&["publish", "-q", "--module", "numbered.wasm", "--delete-data", "--yes"]).done();
    assert_eq!(items(&sandbox), 0);
    sandbox.run(&["publish", "-q", "--module", "plain.wasm", "--delete-data=always", "--yes"]).done();
    sandbox.run(&["call", "add", "\"new\""]).done();
    assert_eq!(items(&sandbox), 1);
}

/// The hash of the module that runs.
fn running(sandbox: &Sandbox) -> String {
    let answer = sandbox.run(&["sql", "--json", "SELECT program_hash FROM st_module"]).json();
    answer["statements"][0]["rows"][0]["program_hash"].to_string()
}

#[test]
fn rolling_back_runs_the_module_of_before_and_keeps_the_data() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    let before = running(&sandbox);
    let publish =
        |file, flags: &[&str]| sandbox.run(&[&["publish", "--json", "--module", file], flags].concat()).json();
    let forward = publish("notes.wasm", &[]);
    assert_ne!(running(&sandbox), before);
    sandbox.run(&["call", "add", "\"of the new one\""]).done();
    let back = publish("plain.wasm", &["--break-clients"]);
    assert_eq!(running(&sandbox), before);
    assert_ne!(forward["module_hash"], back["module_hash"]);
    assert_eq!(sandbox.run(&["describe", "--json"]).json()["module_hash"], back["module_hash"]);
    assert_eq!(items(&sandbox), 2, "what either wrote is there");
    sandbox.run(&["sql", "-q", "SELECT * FROM note"]).error(2);
}

#[test]
fn only_the_owner_may_change_or_delete() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let owner = published(&host);
    let stranger = sandbox_at(&host, "db");
    let wasm = owner.path("notes.wasm");
    let wasm = wasm.to_str().expect("plain");
    for args in [&["publish", "-q", "--module", wasm][..], &["delete", "--yes"], &["logs"]] {
        let told = stranger.run(args).error(2);
        assert!(told.contains("403") && told.contains("anonymously"), "{args:?}: {told}");
    }
    assert_eq!(items(&owner), 1);
}

/// A checkout, as far as `publish` looks: a folder `module` and a script that builds.
fn checkout(sandbox: &Sandbox, script: &str) {
    std::fs::create_dir_all(sandbox.path("module")).expect("made");
    let script = sandbox.file("scripts/build-module", format!("#!/bin/sh\n{script}\n"));
    let made = std::process::Command::new("chmod").args(["+x", &script]).status();
    assert!(made.expect("chmod runs").success());
}

#[test]
fn without_a_file_the_checkouts_own_module_is_built() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db");
    sandbox.file("out/built.wasm", module(Variant::Plain));
    checkout(&sandbox, "echo compiling >&2; echo \"$PWD/out/built.wasm\"");
    let run = sandbox.run(&["publish"]);
    assert!(run.stderr.contains("building the module in") && run.stderr.contains("compiling"), "{}", run.stderr);
    assert!(run.stderr.contains("the first time takes"), "nothing was built before: {}", run.stderr);
    assert!(run.stderr.contains("an unknown compiler"), "what is missing is said: {}", run.stderr);
    assert!(run.done().starts_with("created db\n"));
    // What an earlier build left, in the folder of one of the ways to build.
    sandbox.file("target/module-rustup/wasm32-unknown-unknown/release/muster_module.wasm", "");
    let run = sandbox.run(&["publish"]);
    assert!(run.stderr.contains("building the module") && !run.stderr.contains("first time"), "{}", run.stderr);
    let run = sandbox.run(&["publish", "-q"]);
    assert_eq!(run.stderr, "", "nor the compiler's words");
    run.done();
    checkout(&sandbox, "echo 'error: no such type' >&2; exit 3");
    let run = sandbox.run(&["publish", "-q"]);
    let told = run.stderr.strip_prefix("error: no such type\n").expect("the compiler's words come first");
    assert!(run.code == Some(2) && told.contains("see the lines above"), "{told}");
    checkout(&sandbox, "exit 3");
    let told = sandbox.run(&["publish", "-q"]).error(2);
    assert!(
        told.contains("the module was not built") && told.contains("scripts/toolchain says what is missing"),
        "{told}"
    );
}

#[test]
fn a_wrong_name_or_address_costs_no_build() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "Bad_Name");
    checkout(&sandbox, "touch was-built; exit 3");
    let told = sandbox.run(&["publish"]).error(2);
    assert_eq!(
        told,
        "`Bad_Name` cannot be the name of a SpacetimeDB database; write lower-case letters and digits, with single \
         hyphens between them, such as `bad-name`"
    );
    let told = sandbox.run(&["publish", "--server", "http://127.0.0.1:9", "--database", "db"]).error(2);
    assert!(told.starts_with("nothing listens at 127.0.0.1:9"), "{told}");
    let other = Stub::start(|_| Some((404, "no such page")));
    let told = sandbox.run(&["publish", "--server", &other.url, "--database", "db"]).error(2);
    assert!(told.contains("answers its health path with 404; is it a SpacetimeDB 2.x host"), "{told}");
    assert!(!sandbox.path("was-built").exists());
    sandbox.run(&["publish", "--database", "db"]).code.filter(|code| *code == 2).expect("the build fails");
    assert!(sandbox.path("was-built").exists(), "where both are right it builds");
}

#[test]
#[cfg(target_os = "linux")]
fn a_person_is_asked_for_the_databases_name() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = published(&host);
    // util-linux's `script` lends the program a terminal.
    let answer = |answer: &str| {
        let line = format!("echo {answer} | script -qec '{} delete' /dev/null", crate::support::MUSTER);
        let mut command = sandbox.command(&[]);
        let run = crate::support::finish(
            std::process::Command::new("sh")
                .args(["-c", &line])
                .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
                .current_dir(command.current_dir(sandbox.path("")).get_current_dir().expect("set"))
                .stdin(std::process::Stdio::null())
                .stdout(std::process::Stdio::piped())
                .stderr(std::process::Stdio::piped())
                .spawn()
                .expect("sh starts"),
        );
        (run.code, run.stdout)
    };
    if answer("y").1.contains("script: ") || std::process::Command::new("script").arg("-V").output().is_err() {
        println!("skipped: this machine has no `script`");
        return;
    }
    let (code, said) = answer("y");
    assert!(
        code == Some(1) && said.contains("Type the database's name") && said.contains("was not its name"),
        "{said}"
    );
    assert_eq!(items(&sandbox), 1);
    let (code, said) = answer("db");
    assert!(code == Some(0) && said.contains("deleted `db`"), "{said}");
    sandbox.run(&["describe"]).error(2);
}
