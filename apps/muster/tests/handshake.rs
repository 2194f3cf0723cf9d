//! The handshake, end to end: the real program against a real host, also one that was killed with clients connected.
#![cfg(feature = "host")]

#[allow(dead_code, reason = "these tests need one of its modules")]
#[path = "../../../crates/host/tests/it/module.rs"]
mod module;
mod support;

use std::path::Path;

use muster_wire::{ConnectOptions, Connection, Endpoint, Incoming, connect};
use serde_json::Value;
use support::{Host, done, muster, run};

const CLIENTS: usize = 50;

fn handshake(home: &Path, host: &Host, clients: usize, more: &[&str]) -> Value {
    let clients = clients.to_string();
    let mut args = vec!["handshake", "--json", "--server", &host.url, "--database", "meet", "--clients", &clients];
    args.extend(more);
    serde_json::from_str(&done(home, &args)).expect("one JSON object on stdout")
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
    let home = tempfile::tempdir().expect("a home");
    let folder = home.path().join("data");
    let host = Host::on(&folder);
    host.publish(home.path(), "meet");

    let crowd = crowd(&host).await;
    let beside = handshake(home.path(), &host, CLIENTS, &[]);
    assert_eq!(beside["baseline"], CLIENTS, "the crowd is the baseline");
    assert_eq!(beside["during"], 2 * CLIENTS);
    assert_eq!(beside["final"], CLIENTS);

    host.kill();
    let host = Host::on(&folder);
    let after = handshake(home.path(), &host, CLIENTS, &[]);
    assert_eq!(after["baseline"], 0, "no ghost of the crowd that was connected when the host was killed");
    assert_eq!((&after["during"], &after["final"], &after["passed"]), (&CLIENTS.into(), &0.into(), &true.into()));
    assert_eq!(after["module_hash"], beside["module_hash"]);
    for (connection, _) in &crowd {
        let reason = connection.closed_reason().expect("the host is long gone");
        assert!(reason.is_retryable(), "a client must come back after a crash of the host: {reason}");
    }
    assert!(host.terminate().success(), "SIGTERM ends a host with exit code 0");
}

#[test]
fn the_report_has_exactly_the_promised_fields_and_the_evidence_has_the_rest() {
    let home = tempfile::tempdir().expect("a home");
    let host = Host::in_memory();
    host.publish(home.path(), "meet");
    let evidence = home.path().join("evidence");
    let report = handshake(home.path(), &host, 3, &["--evidence-dir", evidence.to_str().expect("a path")]);
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

    let module = std::fs::read(support::module()).expect("the module's file");
    let hash = muster_wire::sats::hash::hash_bytes(module).to_hex().to_string();
    assert_eq!(report["module_hash"], hash, "the hash of exactly the bytes that were published");

    let file = std::fs::read_dir(&evidence).expect("the folder").next().expect("a file").expect("readable").path();
    let kept: Value = serde_json::from_slice(&std::fs::read(file).expect("the file")).expect("JSON");
    for field in promised {
        assert_eq!(kept[field], report[field], "{field}");
    }
    assert_eq!(kept["sessions"].as_array().expect("sessions").len(), 3);
    assert_eq!(kept["problems"], Value::Array(Vec::new()));
}

#[test]
fn a_lane_from_the_environment_is_named_in_the_report() {
    let home = tempfile::tempdir().expect("a home");
    let host = Host::in_memory();
    host.publish(home.path(), "meet");
    let output = muster(home.path(), &["handshake", "--json", "--lane", "eu-test"])
        .env("OA_SPACETIME_EU_TEST_HTTP_BASE_URL", &host.url)
        .env("OA_SPACETIME_EU_TEST_DATABASE", "meet")
        .env("OA_SPACETIME_EU_TEST_TOKEN_ISSUER", "localhost")
        .env("OA_SPACETIME_EU_TEST_TOKEN_AUDIENCE", "meet")
        .output()
        .expect("muster runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&report["lane"], &report["passed"]), (&"eu-test".into(), &true.into()));
}

#[test]
fn a_host_that_accepts_and_says_nothing_costs_the_patience_and_no_more() {
    let home = tempfile::tempdir().expect("a home");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let server = format!("http://{}", silent.local_addr().expect("an address"));
    let began = std::time::Instant::now();
    let output = run(home.path(), &["handshake", "--patience", "1", "--server", &server, "--database", "meet"]);
    // Generous: the limits that it must not wait for are 30 s and more.
    assert!(began.elapsed() < std::time::Duration::from_secs(15));
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_database_that_is_not_ours_is_told_so_with_the_code() {
    let home = tempfile::tempdir().expect("a home");
    let host = Host::in_memory();
    let file = home.path().join("foreign.wasm");
    std::fs::write(&file, module::module(module::Variant::Plain)).expect("written");
    host.publish_file(home.path(), "meet", &file);
    let output = run(home.path(), &["handshake", "--server", &host.url, "--database", "meet"]);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: schema_mismatch: table `person` does not exist on the host"), "{stderr}");
}

#[test]
fn what_cannot_run_exits_with_two_and_one_line() {
    let home = tempfile::tempdir().expect("a home");
    let host = Host::in_memory();
    for (server, expected) in [(host.url.as_str(), "nowhere"), ("http://127.0.0.1:9", "127.0.0.1:9")] {
        let output = run(home.path(), &["handshake", "--server", server, "--database", "nowhere"]);
        let stderr = String::from_utf8(output.stderr).expect("text");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(output.stdout.is_empty());
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(expected), "{stderr}");
    }
}
