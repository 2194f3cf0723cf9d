//! The handshake, end to end: the real program against a real host, also one that was killed with clients connected.
#![cfg(feature = "host")]

mod support;

use std::time::Duration;

use muster_wire::{ConnectOptions, Connection, Endpoint, Incoming, connect};
use serde_json::Value;
use support::variants::{Variant, module};
use support::{Host, Sandbox, finish_within, muster_module};

const CLIENTS: usize = 50;

fn handshake(sandbox: &Sandbox, host: &Host, clients: usize, more: &[&str]) -> Value {
    let clients = clients.to_string();
    let mut args = vec!["handshake", "--json", "--server", &host.url, "--database", "meet", "--clients", &clients];
    args.extend(more);
    sandbox.run(&args).json()
}

async fn crowd(host: &Host) -> Vec<(Connection, Incoming)> {
    let endpoint = Endpoint::new(&host.url, "meet").expect("an endpoint");
    let mut crowd = Vec::new();
    for _ in 0..CLIENTS {
        let (connection, incoming) = connect(ConnectOptions::new(endpoint.clone())).await.expect("connected");
        connection.subscribe(&["SELECT * FROM presence_summary"]).await.expect("subscribed");
        crowd.push((connection, incoming));
    }
    crowd
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_meet_also_right_after_the_host_was_killed_with_fifty_connected() {
    let sandbox = Sandbox::new();
    let host = Host::start(&sandbox, &["--data-dir", "data"]);
    host.publish(&sandbox, "meet", &muster_module());

    let crowd = crowd(&host).await;
    let beside = handshake(&sandbox, &host, CLIENTS, &[]);
    assert_eq!(beside["baseline"], CLIENTS, "the crowd is the baseline");
    assert_eq!(beside["during"], 2 * CLIENTS);
    assert_eq!(beside["final"], CLIENTS);

    host.kill();
    let mut host = Host::start(&sandbox, &["--data-dir", "data"]);
    let after = handshake(&sandbox, &host, CLIENTS, &[]);
    assert_eq!(after["baseline"], 0, "no ghost of the crowd that was connected when the host was killed");
    assert_eq!((&after["during"], &after["final"], &after["passed"]), (&CLIENTS.into(), &0.into(), &true.into()));
    assert_eq!(after["module_hash"], beside["module_hash"]);
    for (connection, _) in &crowd {
        let reason = connection.closed_reason().expect("the host is long gone");
        assert!(reason.is_retryable(), "a client must come back after a crash of the host: {reason}");
    }
    host.process.signal("TERM");
    assert_eq!(host.process.code(), Some(0), "SIGTERM ends a host with exit code 0");
}

#[test]
fn a_reader_that_went_away_changes_neither_the_verdict_nor_the_evidence() {
    let sandbox = Sandbox::new();
    let host = Host::in_memory(&sandbox);
    host.publish(&sandbox, "meet", &muster_module());
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let args = ["handshake", "--server", &host.url, "--database", "meet", "--evidence-dir", "evidence"];
    let unread = sandbox.command(&args).stdout(writer).spawn().expect("the program starts");
    let unread = finish_within(unread, Duration::from_secs(120));
    assert_eq!(unread.code, Some(0), "{}", unread.stderr);
    assert!(unread.stderr.contains("evidence   evidence"), "what is said after the result is said: {}", unread.stderr);
    assert_eq!(
        std::fs::read_dir(sandbox.path("evidence")).expect("the folder").count(),
        1,
        "the evidence, and no probe"
    );
}

#[test]
fn the_report_has_exactly_the_promised_fields_and_the_evidence_has_the_rest() {
    let sandbox = Sandbox::new();
    let host = Host::in_memory(&sandbox);
    host.publish(&sandbox, "meet", &muster_module());
    let report = handshake(&sandbox, &host, 3, &["--evidence-dir", "evidence"]);
    let fields: Vec<_> = report.as_object().expect("an object").keys().cloned().collect();
    let mut promised = [
        "schema",
        "lane",
        "server",
        "database",
        "module_hash",
        "clients",
        "baseline",
        "during",
        "final",
        "passed",
        "started_at",
        "elapsed_ms",
    ];
    promised.sort_unstable();
    let mut sorted = fields.clone();
    sorted.sort();
    assert_eq!(sorted, promised);
    assert_eq!(report["schema"], "muster.handshake.v1");
    assert_eq!(report["lane"], Value::Null);
    let started_at = report["started_at"].as_str().expect("a time");
    assert!(started_at.len() == "2026-01-01T00:00:00.000000Z".len() && started_at.ends_with('Z'), "{started_at}");

    let module = std::fs::read(muster_module()).expect("the module's file");
    let hash = muster_wire::sats::hash::hash_bytes(module).to_hex().to_string();
    assert_eq!(report["module_hash"], hash, "the hash of exactly the bytes that were published");

    let file = std::fs::read_dir(sandbox.path("evidence"))
        .expect("the folder")
        .next()
        .expect("a file")
        .expect("readable")
        .path();
    let name = file.file_name().expect("a name").to_str().expect("UTF-8");
    let database = &report["database"].as_str().expect("an identity")[..12];
    let digits: String = started_at.chars().filter(char::is_ascii_alphanumeric).collect();
    assert_eq!(name, format!("handshake-{digits}-{database}.json"), "names sort as their times");
    let kept: Value = serde_json::from_slice(&std::fs::read(&file).expect("the file")).expect("JSON");
    for field in promised {
        assert_eq!(kept[field], report[field], "{field}");
    }
    assert_eq!(kept["sessions"].as_array().expect("sessions").len(), 3);
    assert_eq!(kept["problems"], Value::Array(Vec::new()));
}

#[test]
fn a_lane_from_the_environment_is_named_in_the_report() {
    let sandbox = Sandbox::new();
    let host = Host::in_memory(&sandbox);
    host.publish(&sandbox, "meet", &muster_module());
    let lane = sandbox
        .with("OA_SPACETIME_EU_TEST_HTTP_BASE_URL", &host.url)
        .with("OA_SPACETIME_EU_TEST_DATABASE", "meet")
        .with("OA_SPACETIME_EU_TEST_TOKEN_ISSUER", "localhost")
        .with("OA_SPACETIME_EU_TEST_TOKEN_AUDIENCE", "meet");
    let report = lane.run(&["handshake", "--json", "--lane", "eu-test"]).json();
    assert_eq!((&report["lane"], &report["passed"]), (&"eu-test".into(), &true.into()));
}

#[test]
fn a_host_that_accepts_and_says_nothing_costs_the_patience_and_no_more() {
    let sandbox = Sandbox::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("http://{}", silent.local_addr().expect("an address"));
    let args = ["handshake", "--patience", "1", "--server", &server, "--database", "meet"];
    // Generous: the limits that it must not wait for are 30 s and more.
    let run = finish_within(sandbox.command(&args).spawn().expect("starts"), Duration::from_secs(15));
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[test]
fn a_database_that_is_not_ours_is_told_so_with_the_code() {
    let sandbox = Sandbox::new();
    let host = Host::in_memory(&sandbox);
    let file = sandbox.file("foreign.wasm", module(Variant::Plain));
    host.publish(&sandbox, "meet", &file);
    let told = sandbox.run(&["handshake", "--server", &host.url, "--database", "meet"]).error(2);
    assert!(told.starts_with("schema_mismatch: table `person` does not exist on the host"), "{told}");
}

#[test]
fn what_cannot_run_exits_with_two_and_one_line() {
    let sandbox = Sandbox::new();
    let host = Host::in_memory(&sandbox);
    for (server, expected) in [(host.url.as_str(), "nowhere"), ("http://127.0.0.1:9", "127.0.0.1:9")] {
        let told = sandbox.run(&["handshake", "--server", server, "--database", "nowhere"]).error(2);
        assert!(told.contains(expected), "{told}");
    }
}
