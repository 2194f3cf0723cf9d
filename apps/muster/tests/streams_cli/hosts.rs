//! Hosts that will not have it: an older module, a token that is none, somebody else's token.

use std::io::Read;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::plane::{DATABASE, Plane, emit, lines, numbers, publish};
use crate::support::{Host, Sandbox, muster_module};

/// The limit below which a command did not just wait out its patience.
const SOON: Duration = Duration::from_secs(45);

#[test]
fn a_module_without_streams_is_named_at_once_and_events_stay() {
    let sandbox = Sandbox::new();
    let host = Host::in_memory(&sandbox);
    let packed = include_bytes!("../streams/presence-only.wasm.gz");
    let mut module = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut module).expect("unpacks");
    publish(&sandbox, &host.url, &sandbox.file("old.wasm", module));
    let sandbox = sandbox.with("MUSTER_SERVER", &host.url).with("MUSTER_DATABASE", DATABASE);
    let began = Instant::now();
    let run = emit(&sandbox, &["--flush"], lines("run:a:events", 0..2));
    assert_eq!(run.code, Some(2), "{run:?}");
    let told = run.stderr.lines().last().expect("an error");
    assert!(told.contains("schema") && told.contains("events that stay in the outbox: 2"), "{told}");
    let without = emit(&sandbox, &[], "");
    assert!(without.code == Some(0) && without.stderr.contains("cannot send: "), "{without:?}");
    for command in [&["streams"][..], &["tail", "-q", "*"]] {
        let told = sandbox.run(command).error(2);
        assert!(told.contains("schema"), "{command:?}: {told}");
    }
    assert!(began.elapsed() < SOON, "it waited for what cannot come");
    assert_eq!(sandbox.run(&["outbox", "--json"]).json()["events"], 2);
}

#[test]
fn a_token_that_the_host_does_not_take_is_said_at_once_and_not_repeated() {
    let plane = Plane::new();
    let token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
    let file = plane.person.file("forged.token", token);
    let began = Instant::now();
    let run = emit(&plane.person, &["--flush", "--token-file", &file, "-vv"], lines("run:a:events", 0..1));
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("events that stay in the outbox: 1"), "{}", run.stderr);
    let tail = plane.person.run(&["tail", "--token-file", &file, "run:a:events"]);
    assert_eq!(tail.code, Some(2), "{tail:?}");
    assert!(began.elapsed() < SOON, "it waited for what cannot come");
    for said in [&run.stderr, &tail.stderr] {
        assert!(!said.contains("eyJ") && !said.contains("c2lnbmF0dXJl"), "{said}");
    }
    assert_eq!(plane.emit("")["confirmed"], 1, "as itself the outbox may");
}

#[test]
fn an_outbox_that_comes_as_somebody_else_is_refused_and_loses_nothing() {
    let plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..1));
    let file = plane.person.file("owner.token", plane.token());
    let run = emit(&plane.person, &["--flush", "--patience", "20", "--token-file", &file], lines("run:a:events", 1..2));
    assert_ne!(run.code, Some(0), "{run:?}");
    let summary: Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!((&summary["emitted"], &summary["confirmed"]), (&json!(1), &json!(0)), "{summary}");
    if summary["parked"] == 1 {
        let parked = plane.person.run(&["outbox", "--parked", "--json"]).json();
        assert_eq!(parked["streams"][0]["parked"]["code"], "forbidden_stream");
        plane.person.run(&["outbox", "-q", "--retry", "run:a:events"]).done();
    }
    assert_eq!(plane.emit("")["confirmed"], 1, "as itself it may");
    assert_eq!(numbers(&plane.events("run:a:events")), [0, 1]);
}

#[test]
fn at_a_host_that_was_made_anew_the_outbox_begins_as_somebody_new_once_it_is_told_to() {
    let mut plane = Plane::new();
    plane.emit(&lines("run:1:events", 0..3));
    plane.kill();
    let authority = plane.url.strip_prefix("http://").expect("plain HTTP").to_owned();
    let owner = Sandbox::new();
    let host = owner.start(&["host", "--listen", &authority, "--json", "--in-memory"]);
    assert_eq!(host.json()["url"], plane.url.as_str());
    publish(&owner, &plane.url, &muster_module());

    let refused = emit(&plane.person, &["--flush"], lines("run:1:events", 3..5));
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("`muster outbox --forget-token`"), "{}", refused.stderr);
    plane.person.run(&["outbox", "--forget-token"]).done();
    plane.emit("");
    assert_eq!(numbers(&plane.events("run:1:events")), [3, 4]);
}
