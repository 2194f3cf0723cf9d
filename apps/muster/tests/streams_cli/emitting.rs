//! `muster emit`: from lines to streams.

use std::io::Write;
use std::process::Stdio;

use crate::plane::{Plane, emit, lines, numbers};
use crate::support::Sandbox;
use serde_json::json;

#[test]
fn events_of_a_file_and_of_stdin_are_confirmed_counted_and_there() {
    let plane = Plane::new();
    // The streams' lines alternate at first.
    let pair = |n: u64| lines("run:2:events", n..n + 1) + &lines("run:1:events", n..n + 1);
    let text = (0..10).map(pair).collect::<String>() + &lines("run:1:events", 10..1_500);
    let file = plane.person.file("events.ndjson", text);
    let summary = plane.person.run(&["emit", "--flush", &file]).json();
    assert_eq!(summary, json!({"emitted": 1_510, "confirmed": 1_510, "duplicates": 0, "parked": 0}));
    let more =
        emit(&plane.person, &["--flush", "--topic", "run:2:events", "-"], "{\"kind\":\"k\",\"payload\":{\"n\":10}}\n");
    assert_eq!(more.json()["confirmed"], 1);
    assert_eq!(numbers(&plane.events("run:1:events")), (0..1_500).collect::<Vec<_>>());
    assert_eq!(numbers(&plane.events("runtime.run.2.events")), (0..=10).collect::<Vec<_>>());
}

#[test]
fn bad_lines_are_reported_with_their_numbers_and_the_others_go_on() {
    let plane = Plane::new();
    let deep = format!("{{\"kind\":\"k\",\"payload\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
    let large = format!("{{\"kind\":\"k\",\"payload\":\"{}\"}}", "x".repeat(256 * 1_024));
    let endless = format!("{{\"kind\":\"k\",\"payload\":\"{}\"}}", "x".repeat(5 * 1_024 * 1_024));
    let good = |n: u64| format!("{{\"kind\":\"k\",\"payload\":{{\"n\":{n}}}}}").into_bytes();
    let input: [Vec<u8>; 14] = [
        good(0),
        b"{\"kind\":\"k\",\"payload\":\"\xff\xfe\"}".to_vec(),
        good(1),
        b"{\"kind\":\"k\",\"payload\":NaN}".to_vec(),
        deep.into_bytes(),
        large.into_bytes(),
        good(2),
        endless.into_bytes(),
        b"".to_vec(),
        b"{\"kind\":\"k\",\"payload\":{\"a\":1,\"a\":2}}".to_vec(),
        b"{\"kind\":\"\",\"payload\":1}".to_vec(),
        b"{\"topic\":\"\",\"kind\":\"k\",\"payload\":1}".to_vec(),
        b"{\"kind\":\"k\",\"payload\":1,\"at\":\"soon\"}".to_vec(),
        good(3),
    ];
    let run = emit(&plane.person, &["--flush", "--topic", "run:1:events"], input.join(&b'\n'));
    assert_eq!(run.code, Some(1), "{run:?}");
    let summary: serde_json::Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!(summary, json!({"emitted": 4, "confirmed": 4, "duplicates": 0, "parked": 0}));
    let told: Vec<_> = run.stderr.lines().filter_map(|line| line.strip_prefix("line ")?.split_once(": ")).collect();
    let at: Vec<_> = told.iter().map(|(number, _)| *number).collect();
    assert_eq!(at, ["2", "4", "5", "6", "8", "10", "11", "12", "13"], "{}", run.stderr);
    assert!(told[0].1.contains("UTF-8") && told[4].1.contains("longer than"), "{}", run.stderr);
    let last = run.stderr.lines().last().expect("an error");
    assert!(last.starts_with("error: 9 lines are no event and left out; "), "{last}");
    assert_eq!(numbers(&plane.events("run:1:events")), [0, 1, 2, 3]);
}

#[test]
fn a_line_without_a_topic_needs_one() {
    let sandbox = Sandbox::new();
    let run = emit(&sandbox, &["--store-only", "--outbox", "o"], "{\"kind\":\"k\",\"payload\":1}\n");
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("line 1: it names no topic; give one with --topic"), "{}", run.stderr);
}

#[test]
fn a_topic_that_looks_like_a_stream_is_warned_about_once() {
    let sandbox = Sandbox::new();
    let run = emit(&sandbox, &["--store-only", "--outbox", "o"], lines("runtime.run.7.events", 0..2_000));
    assert_eq!(run.code, Some(0), "{run:?}");
    let warned = "go to the stream `runtime.topic.runtime%2Erun%2E7%2Eevents`";
    assert_eq!(run.stderr.matches(warned).count(), 1, "{}", run.stderr);
}

#[test]
fn what_cannot_be_read_or_sent_anywhere_is_one_line() {
    let sandbox = Sandbox::new();
    let told = |args: &[&str]| emit(&sandbox, args, "").error(2);
    assert!(told(&["--store-only", "--outbox", "o", "missing.ndjson"]).contains("missing.ndjson cannot be read"));
    assert!(told(&["--store-only", "--outbox", "o", "."]).contains("is a folder"));
    assert!(told(&["--store-only", "--outbox", "o", "--topic", ""]).contains("a topic is empty"));
    let long = "x".repeat(300);
    assert!(told(&["--store-only", "--outbox", "o", "--topic", &long]).contains("use a shorter topic"));
    assert!(told(&["--outbox", "o"]).contains("no host is named"));
    assert!(told(&["--store-only"]).contains("no host is named"), "there is no outbox then");
    let nowhere = ["--store-only", "--server", "http://127.0.0.1:9", "--database", "Bad_Name"];
    assert!(told(&nowhere).contains("`Bad_Name` cannot be the name"));
    assert!(!sandbox.path(".local").exists(), "nor for a database that cannot be");
    assert!(told(&["--store-only", "--outbox", "no/such/folder/o"]).contains("cannot be opened"));
    assert!(told(&["--store-only", "--flush", "--outbox", "o"]).contains("cannot be used with"));
    assert!(!sandbox.path("o").exists(), "nothing was made");
}

#[test]
fn events_are_kept_while_the_host_is_away_and_confirmed_when_it_is_back() {
    let mut plane = Plane::new();
    plane.emit(&lines("run:1:events", 0..5));
    plane.kill();
    let stored = emit(&plane.person, &["--store-only"], lines("run:1:events", 5..10));
    assert_eq!((stored.code, stored.stdout.as_str()), (Some(0), ""), "{}", stored.stderr);
    assert!(
        stored.stderr.contains("stored by this run: 5; in the outbox, not confirmed by the host yet: 5"),
        "{}",
        stored.stderr
    );
    let tried = emit(&plane.person, &[], lines("run:1:events", 10..15));
    assert_eq!((tried.code, tried.stdout.as_str()), (Some(0), ""), "{}", tried.stderr);
    assert!(tried.stderr.contains("the host is away"), "{}", tried.stderr);
    let flushed = emit(&plane.person, &["--flush", "--patience", "0.5"], lines("run:1:events", 15..20));
    assert_eq!(flushed.code, Some(2), "{}", flushed.stderr);
    let summary: serde_json::Value = serde_json::from_str(&flushed.stdout).expect("one object");
    assert_eq!(summary, json!({"emitted": 5, "confirmed": 0, "duplicates": 0, "parked": 0}));
    assert!(flushed.stderr.contains("events that are not confirmed yet: 15"), "{}", flushed.stderr);
    plane.restart();
    assert_eq!(plane.emit(""), json!({"emitted": 0, "confirmed": 15, "duplicates": 0, "parked": 0}));
    assert_eq!(numbers(&plane.events("run:1:events")), (0..20).collect::<Vec<_>>());
}

#[test]
fn one_process_at_a_time_has_an_outbox_and_an_event_does_not_wait_for_the_end_of_stdin() {
    let plane = Plane::new();
    let mut first = plane.person.command(&["emit", "--flush"]).stdin(Stdio::piped()).spawn().expect("starts");
    let mut stdin = first.stdin.take().expect("piped");
    stdin.write_all(lines("run:1:events", 0..1).as_bytes()).expect("it reads");
    let tail = plane.person.start(&["tail", "--json", "run:1:events"]);
    assert_eq!(tail.json()["payload"]["n"], 0, "although stdin is open");
    let second = emit(&plane.person, &[], lines("run:1:events", 1..2)).error(2);
    assert!(second.contains(&format!("in use by process {}", first.id())), "{second}");
    drop(stdin);
    assert_eq!(crate::support::finish(first).json()["confirmed"], 1);
}

#[test]
fn an_outbox_stays_the_same_somebody_to_the_host_and_its_token_is_nobody_elses_to_read() {
    let plane = Plane::new();
    plane.emit(&lines("run:1:events", 0..1));
    plane.emit(&lines("run:1:events", 1..2));
    let producers = plane.owner.run(&["sql", "--json", "SELECT * FROM sync_producer"]).json();
    assert_eq!(producers["statements"][0]["rows"].as_array().map(Vec::len), Some(1), "{producers}");
    let folder = plane.person.path(".local/state/muster/outboxes");
    for entry in std::fs::read_dir(folder).expect("the default place") {
        use std::os::unix::fs::PermissionsExt;
        let entry = entry.expect("an entry");
        let mode = entry.metadata().expect("there").permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?} can be read by others", entry.file_name());
    }
}

#[test]
fn nothing_of_a_token_is_said_however_much_is_asked_for() {
    let plane = Plane::new();
    let run = emit(&plane.person, &["-vvv", "--flush"], lines("run:1:events", 0..1));
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    // Every token is a JWT, whose first part is base64 of `{"`.
    assert!(!run.stderr.contains("eyJ"), "{}", run.stderr);
}
