//! Bad input and bad days: each gives one line that names cause and remedy, and code 2, or 1 where the answer is no.

use std::fs;
use std::net::TcpListener;

use crate::support::variants::{Variant, module};
use crate::support::{Host, Run, Sandbox, finish, sandbox_at};

/// Runs each command and keeps its error line, with what differs from run to run taken out.
fn transcript(sandbox: &Sandbox, host: &Host, cases: &[(&[&str], i32)]) -> String {
    let told = cases.iter().map(|(args, code)| {
        let line = sandbox.run(args).error(*code);
        format!("$ muster {}\n{code}: {line}\n", args.join(" "))
    });
    let told: Vec<_> = told.collect();
    let folder = sandbox.path("");
    let folder = folder.to_str().expect("plain").trim_end_matches('/');
    told.join("\n").replace(host.authority(), "HOST").replace(folder, "FOLDER")
}

fn snapshot(name: &str, text: &str) {
    insta::with_settings!({ prepend_module_to_snapshot => false }, { insta::assert_snapshot!(name, text) });
}

#[test]
fn a_place_that_cannot_be_reached_is_named() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    // A port that was free a moment ago: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    let (nobody, tls) = (format!("http://{free}"), format!("https://{}", host.authority()));
    let sandbox = Sandbox::new();
    let ask = |server: &'static str| ["sql", "SELECT 1", "--server", server, "--database", "db"];
    let refused = ["sql", "SELECT 1", "--server", &nobody, "--database", "db"];
    let tls = ["sql", "SELECT 1", "--server", &tls, "--database", "db"];
    let told = transcript(
        &sandbox,
        &host,
        &[
            (&["sql", "SELECT 1"], 2),
            (&["sql", "SELECT 1", "--server", "http://localhost"], 2),
            (&ask("localhost:3000"), 2),
            (&ask("ws://localhost:3000"), 2),
            (&ask("http://user:secret@localhost"), 2),
            (&ask("http://no-such-host.invalid"), 2),
            (&refused, 2),
            (&tls, 2),
        ],
    );
    assert!(!told.contains("secret@localhost; ") && !told.contains("error: secret"));
    snapshot("unreachable", &told.replace(&free.to_string(), "NOBODY"));
}

#[test]
fn a_lane_that_is_not_described_or_misspelt_is_named() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = Sandbox::new()
        .with("OA_SPACETIME_DEV_HTTP_BASE_URL", "http://127.0.0.1:3000")
        .with("OA_SPACETIME_DEV_DATABSE", "presence");
    sandbox.file("broken.envvars", "this is no variable\n");
    let one = "OA_SPACETIME_EU_TEST_HTTP_BASE_URL=http://127.0.0.1:3000\nOA_SPACETIME_EU_TEST_DATABASE=presence\n";
    sandbox.file("one.envvars", one);
    sandbox.file("two.envvars", format!("{one}export OA_SPACETIME_PROD_HTTP_BASE_URL=https://prod.example\n"));
    let told = transcript(
        &sandbox,
        &host,
        &[
            (&["describe", "--lane", "prod"], 2),
            (&["describe", "--lane", "dev"], 2),
            (&["describe", "--lane", "dev", "--env-file", "missing.envvars"], 2),
            (&["describe", "--lane", "dev", "--env-file", "broken.envvars"], 2),
            (&["describe", "--env-file", "one.envvars"], 2),
            (&["lane", "check", "--env-file", "two.envvars"], 2),
            (&["describe", "--env-file", "broken.envvars"], 2),
            (&["describe", "--env-file", "missing.envvars"], 2),
            (&["describe", "--env-file", "one.envvars", "--server", "http://127.0.0.1:3000"], 2),
        ],
    );
    snapshot("lanes", &told);
}

#[test]
fn a_file_that_is_no_module_is_named() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db");
    sandbox.file("text.wasm", "not a module");
    sandbox.file("empty.wasm", "");
    sandbox.file("module.js", "export default {}");
    sandbox.file("nothing.wasm", b"\0asm\x01\0\0\0");
    sandbox.file("damaged.wasm", b"\0asm\x01\0\0\0\x07\x7fxx");
    let failing = sandbox.file("failing.wasm", module(Variant::FailingInit));
    let publish = |file: &'static str| ["publish", "-q", "--module", file];
    let told = transcript(
        &sandbox,
        &host,
        &[
            (&publish("missing.wasm"), 2),
            (&publish("."), 2),
            (&publish("text.wasm"), 2),
            (&publish("empty.wasm"), 2),
            (&publish("module.js"), 2),
            (&publish("nothing.wasm"), 2),
            (&publish("damaged.wasm"), 2),
            (&["publish", "-q"], 2),
            (&["publish", "-q", "--module", &failing], 2),
            (&["describe"], 2),
        ],
    );
    snapshot("no_module", &told);
}

#[test]
fn a_request_that_makes_no_sense_to_the_database_is_named() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db");
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    sandbox.run(&["publish", "-q", "--module", &wasm]).done();
    let told = transcript(
        &sandbox,
        &host,
        &[
            (&["sql", "SELEC * FROM item"], 2),
            (&["sql", "SELECT * FROM itme"], 2),
            (&["sql", "SELECT 1"], 2),
            (&["sql", "item"], 2),
            (&["sql", " "], 2),
            (&["sql", "SELECT COUNT(*) FROM item"], 2),
            (&["sql", "SELECT * FROM item WHERE name = \"x\""], 2),
            (&["sql", "SELECT * FROM item", "--database", "Bad_Name"], 2),
            (&["sql", "SELECT * FROM item", "--database", "elsewhere"], 2),
            (&["call", "ad", "\"x\""], 2),
            (&["call", "add"], 2),
            (&["call", "add", "\"x\"", "\"y\""], 2),
            (&["call", "fail", "1"], 2),
            (&["call", "add", "7"], 2),
            (&["call", "nothing_like_it"], 2),
            (&["call", "add", "\"x\"", "--database", "Bad_Name"], 2),
            (&["handshake", "--database", "Bad_Name"], 2),
            (&["subscribe", "SELECT * FROM item", "--database", "Bad_Name"], 2),
            (&["delete", "--yes", "--database", "Bad_Name"], 2),
            (&["call", "add", "plain text"], 2),
            (&["call", "init"], 2),
            (&["call", "add", "\"x\"", "--database", "elsewhere"], 2),
            (&["call", "fail"], 1),
            (&["call", "crash"], 1),
            (&["subscribe", "SELEC"], 2),
            (&["subscribe", "SELECT 1"], 2),
            (&["subscribe", "SELECT * FROM item", "item"], 2),
            (&["subscribe", "SELECT * FROM itme"], 2),
            (&["subscribe", "SELECT * FROM item", "--database", "elsewhere"], 2),
            (&["logs", "--anonymous"], 2),
            (&["logs", "--database", "elsewhere"], 2),
            (&["delete", "--yes", "--anonymous"], 2),
            (&["delete"], 1),
        ],
    );
    snapshot("no_sense", &without_identities(&told));
    assert_eq!(
        sandbox.run(&["sql", "--json", "SELECT * FROM item"]).json()["statements"][0]["rows"],
        serde_json::json!([])
    );
}

/// Identities, which differ from run to run, as one word.
fn without_identities(text: &str) -> String {
    let words = text.split_inclusive(|c: char| !c.is_ascii_hexdigit());
    let plain = words.map(|word| {
        let hex = word.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
        if hex.len() == 64 { word.replace(hex, "IDENTITY") } else { word.into() }
    });
    plain.collect()
}

#[test]
fn a_client_that_the_module_refuses_hears_why() {
    let hosts = Sandbox::new();
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db");
    let wasm = sandbox.file("module.wasm", module(Variant::RefusesClients));
    sandbox.run(&["publish", "-q", "--module", &wasm]).done();
    let told = transcript(
        &sandbox,
        &host,
        &[
            (&["sql", "SELECT * FROM item"], 2),
            (&["call", "add", "\"x\""], 2),
            (&["subscribe", "SELECT * FROM item"], 2),
        ],
    );
    let port = host.authority().rsplit(':').next().expect("a port");
    snapshot("refused_clients", &told.replace(port, "PORT"));
}

#[test]
fn a_host_that_cannot_start_says_why() {
    let sandbox = Sandbox::new();
    let host = Host::start(&sandbox, &["--data-dir", "data"]);
    let occupied = ["host", "--in-memory", "--listen", host.authority()];
    let file = sandbox.file("a-file", "");
    let told = transcript(
        &sandbox,
        &host,
        &[
            (&occupied, 2),
            (&["host", "--data-dir", "data", "--listen", "127.0.0.1:0"], 2),
            (&["host", "--data-dir", &file, "--listen", "127.0.0.1:0"], 2),
            (&["host", "--in-memory", "--listen", "192.0.2.1:80"], 2),
            (&["host", "--in-memory", "--listen", "localhost"], 2),
        ],
    );
    snapshot("no_host", &without_process_ids(&told));
}

fn without_process_ids(text: &str) -> String {
    let mut parts = text.split("(process ");
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |text, part| text + "(process PID" + part.trim_start_matches(|c: char| c.is_ascii_digit()))
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_named_and_harms_nobody() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("small");
    fs::create_dir(&folder).expect("made");
    // A file system of 64 KiB, in a mount namespace of its own that goes with the process. Needs the right to make one.
    let script = "mount -t tmpfs -o size=64k none small && exec \"$0\" host --data-dir small --listen 127.0.0.1:0";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--map-root-user", "sh", "-c", script, crate::support::MUSTER]);
    command.current_dir(sandbox.path("")).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let Ok(child) = command.spawn() else {
        println!("skipped: this machine has no `unshare`");
        return;
    };
    let run: Run = crate::support::finish(child);
    if run.stderr.contains("unshare") || run.stderr.contains("mount:") {
        println!("skipped: this user may not mount: {}", run.stderr);
        return;
    }
    let line = run.error(2);
    assert!(line.contains("no space left for") && line.contains("free some space"), "{line}");
}

#[test]
#[cfg(unix)]
fn variables_that_say_nothing_or_are_not_text_are_named() {
    use std::os::unix::ffi::OsStrExt;
    let not_text = std::ffi::OsStr::from_bytes(b"x\xff");
    let place = [("MUSTER_SERVER", "http://127.0.0.1:1"), ("MUSTER_DATABASE", "db"), ("MUSTER_TOKEN", "abc")];
    for (name, _) in place {
        for (value, cause) in [(not_text, "is not UTF-8"), (std::ffi::OsStr::new(" "), "is set, but empty")] {
            let sandbox = Sandbox::new();
            let mut command = sandbox.command(&["sql", "SELECT 1"]);
            let told = finish(command.envs(place).env(name, value).spawn().expect("the program starts")).error(2);
            assert_eq!(told, format!("{name} {cause}; set it to a value, or unset it"));
        }
    }
    let sandbox = Sandbox::new();
    let mut command = sandbox.command(&["sql", "SELECT 1", "--lane", "dev"]);
    command.env("OA_SPACETIME_DEV_WEBSOCKET_PATH", not_text);
    let told = finish(command.spawn().expect("the program starts")).error(2);
    assert!(told.starts_with("OA_SPACETIME_DEV_WEBSOCKET_PATH in the environment is not UTF-8"), "{told}");
}

#[test]
#[cfg(unix)]
fn a_file_of_variables_that_is_a_pipe_or_has_no_end_is_refused_at_once() {
    let sandbox = Sandbox::new();
    let pipe = sandbox.path("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("mkfifo runs").success());
    for file in ["pipe", "/dev/zero"] {
        let told = sandbox.run(&["sql", "SELECT 1", "--lane", "dev", "--env-file", file]).error(2);
        assert!(told.contains("give a regular file"), "{told}");
    }
}
