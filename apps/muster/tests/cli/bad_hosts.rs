//! Hosts that fail, are silent, or make the program say too much.

use std::process::Stdio;

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox, Stub, finish, sandbox_at};

fn sandbox_of(stub: &Stub) -> Sandbox {
    Sandbox::new().with("MUSTER_SERVER", &stub.url).with("MUSTER_DATABASE", "db")
}

#[test]
fn after_a_failure_of_the_host_nobody_claims_that_nothing_was_changed() {
    let stub = Stub::start(|asked| match asked.split('?').next()? {
        "GET /v1/ping" => Some((200, "")),
        "GET /v1/database/db" => Some((404, "`db` not found")),
        "POST /v1/identity/websocket-token" => Some((200, r#"{"token":"abc.def.ghi"}"#)),
        _ => Some((500, "disk on fire")),
    });
    let sandbox = sandbox_of(&stub).with("MUSTER_TOKEN", "abc.def.ghi");
    sandbox.file("module.wasm", module(Variant::Plain));
    let told = sandbox.run(&["publish", "-q", "--module", "module.wasm"]).error(2);
    assert!(told.contains("answered 500: disk on fire") && told.contains("`muster describe` tells"), "{told}");
    assert!(!told.contains("nothing was changed") && !told.contains("take this module"), "{told}");
    let told = sandbox.run(&["call", "add", "\"x\""]).error(2);
    assert!(told.contains("disk on fire; ") && told.contains("whether add ran is not known"), "{told}");
}

#[test]
fn a_taken_name_is_refused_in_words() {
    let stub = Stub::start(|asked| match asked.split('?').next()? {
        "GET /v1/ping" => Some((200, "")),
        "GET /v1/database/db" => Some((404, "`db` not found")),
        _ => Some((401, r#"{"PermissionDenied":{"name":"db"}}"#)),
    });
    let sandbox = sandbox_of(&stub).with("MUSTER_TOKEN", "abc.def.ghi");
    sandbox.file("module.wasm", module(Variant::Plain));
    let told = sandbox.run(&["publish", "-q", "--module", "module.wasm"]).error(2);
    assert!(told.starts_with("the name `db` belongs to another owner's database; choose another name"), "{told}");
    assert!(told.contains("MUSTER_TOKEN") && !told.contains('{'), "{told}");
}

#[test]
fn whoever_waits_for_a_silent_host_can_interrupt() {
    for args in [&["subscribe", "SELECT * FROM item"][..], &["logs", "-f"]] {
        for signal in ["INT", "TERM"] {
            let stub = Stub::start(|_| None);
            let mut waiting = sandbox_of(&stub).start(args);
            stub.wait_until_asked();
            waiting.signal(signal);
            assert_eq!(waiting.code(), Some(0), "{args:?}, SIG{signal}");
        }
    }
}

#[test]
fn a_hosts_log_begins_without_a_warning_that_warns_of_nothing() {
    let hosts = Sandbox::new();
    // One that keeps data: without, there are no snapshots.
    let log = |hosts: &Sandbox, folder| {
        let host = Host::start(hosts, &["--data-dir", folder]);
        let sandbox = sandbox_at(&host, "db");
        let wasm = sandbox.file("module.wasm", module(Variant::Plain));
        sandbox.run(&["publish", "-q", "--module", &wasm]).done();
        let mut process = host.process;
        process.signal("TERM");
        assert_eq!(process.code(), Some(0));
        process.rest_of_talk()
    };
    let told = log(&hosts, "one");
    assert!(told.contains("created database") && !told.contains("WARN"), "{told}");
    // Who asks for the log has all of it; and this shows that there was something to leave out.
    let told = log(&hosts.with("MUSTER_LOG", "warn"), "two");
    assert!(told.contains("database state not set"), "{told}");
}

#[test]
fn no_token_reaches_the_log_and_a_wrong_filter_is_said() {
    let hosts = Sandbox::new().with("MUSTER_LOG", "trace,tungstenite::protocol=trace");
    let host = Host::in_memory(&hosts);
    let sandbox = sandbox_at(&host, "db").with("MUSTER_LOG", "trace,tungstenite::protocol=trace");
    let wasm = sandbox.file("module.wasm", module(Variant::Plain));
    let mut logs = vec![sandbox.run(&["publish", "--module", &wasm]).stderr];
    for args in [
        &["subscribe", "-n", "0", "SELECT * FROM item"][..],
        &["subscribe", "-n", "0", "--anonymous", "SELECT * FROM item"],
    ] {
        logs.push(sandbox.run(args).stderr);
    }
    let mut process = host.process;
    process.signal("TERM");
    assert_eq!(process.code(), Some(0));
    logs.push(process.rest_of_talk());
    assert!(logs.concat().contains("TRACE"), "it says much");
    for log in logs {
        let secret = log.lines().find(|line| line.contains("eyJ") || line.contains("101, 121, 74"));
        assert_eq!(secret, None);
    }
    let run = sandbox_at_closed_port().with("MUSTER_LOG", "muster=lots").run(&["sql", "SELECT 1"]);
    let warnings: Vec<_> = run.stderr.lines().filter(|line| line.contains("MUSTER_LOG")).collect();
    assert_eq!(warnings.len(), 1, "{}", run.stderr);
    assert_eq!(run.code, Some(2));
}

fn sandbox_at_closed_port() -> Sandbox {
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port");
    Sandbox::new().with("MUSTER_SERVER", format!("http://{free}")).with("MUSTER_DATABASE", "db")
}

#[test]
fn a_reader_that_went_away_changes_nothing_about_the_verdict() {
    for args in [&["lane", "check"][..], &["lane", "check", "--json"]] {
        let args = [args, &["--server", "http://127.0.0.1:1", "--database", "x"]].concat();
        let sandbox = Sandbox::new();
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let unread = finish(sandbox.command(&args).stdout(writer).spawn().expect("the program starts"));
        assert_eq!(unread.code, sandbox.run(&args).code, "{args:?}: {}", unread.stderr);
        assert_eq!(unread.code, Some(1));
    }
}

#[test]
fn a_page_is_not_shown_as_a_log() {
    let stub = Stub::start(|_| Some((200, "<html>\nnot a host\n")));
    let told = sandbox_of(&stub).run(&["logs", "--anonymous"]).error(2);
    assert!(told.contains("no log record") && told.contains("is this a SpacetimeDB 2.x host?"), "{told}");
}

#[test]
fn a_database_that_stopped_before_a_call_is_not_said_to_have_perhaps_run_it() {
    let stub =
        Stub::start(|_| Some((507, "database c2 has stopped: its commit log is full; free some space, then restart")));
    let told = sandbox_of(&stub).run(&["call", "add", "\"x\"", "--anonymous"]).error(2);
    assert!(told.contains("answered 507") && told.ends_with("add did not run"), "{told}");
    assert!(!told.contains("is it a SpacetimeDB") && !told.contains("is not known"), "{told}");
}

#[test]
fn a_place_for_evidence_is_looked_at_before_any_client_connects() {
    let sandbox = Sandbox::new();
    sandbox.file("file", "x");
    let place = ["--server", "http://127.0.0.1:1", "--database", "x"];
    let told = sandbox.run(&[&["handshake", "--evidence-dir", "file"][..], &place].concat()).error(2);
    assert!(told.contains("cannot write the evidence to file"), "{told}");
}

#[test]
#[cfg(unix)]
fn too_many_open_files_are_not_blamed_on_the_network() {
    let sandbox = Sandbox::new();
    // How many files the program has open before it connects differs from machine to machine: from too few to start it to
    // enough to hear that nobody listens.
    let told: Vec<String> = (4..40)
        .flat_map(|files| ["127.0.0.1", "localhost"].map(|name| (files, name)))
        .map(|(files, name)| {
            let muster = sandbox.command(&[]).get_program().to_owned();
            let server = format!("http://{name}:1");
            let script =
                format!("ulimit -n {files}; exec \"$0\" sql 'SELECT 1' --server {server} --database x --anonymous");
            let mut command = std::process::Command::new("sh");
            command.arg("-c").arg(script).arg(muster).env_clear().env("HOME", sandbox.path(""));
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            finish(command.spawn().expect("sh starts")).stderr
        })
        .collect();
    assert!(told.iter().any(|line| line.contains("raise the limit (`ulimit -n`)")), "{told:?}");
    assert!(told.iter().any(|line| line.contains("nothing listens")), "{told:?}");
    assert!(!told.iter().any(|line| line.contains("the spelling") || line.contains("the network")), "{told:?}");
}
