//! `muster tail`: what a person sees of streams, and what a store keeps.

use serde_json::json;

use crate::plane::{Plane, json_lines, lines, numbers, stored};
use crate::support::Sandbox;

#[test]
fn a_topic_a_stream_id_and_a_pattern_show_the_same_events() {
    let plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..3));
    for what in ["run:a:events", "runtime.run.a.events", "runtime.run.*", "*"] {
        assert_eq!(numbers(&plane.events(what)), [0, 1, 2], "{what}");
    }
    let people = plane.person.run(&["tail", "-q", "--until-idle", "0.2", "run:a:events"]).done();
    let shown: Vec<Vec<&str>> = people.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(
        shown.iter().map(|words| (words[0], words[2], words[3])).collect::<Vec<_>>(),
        [("1", "k", r#"{"n":0}"#), ("2", "k", r#"{"n":1}"#), ("3", "k", r#"{"n":2}"#)]
    );
    let several = plane.person.run(&["tail", "-q", "--until-idle", "0.2", "*"]).done();
    assert!(several.lines().all(|line| line.starts_with("runtime.run.a.events ")), "{several}");
}

#[test]
fn a_line_of_json_has_the_producers_own_bytes_and_their_hash() {
    let plane = Plane::new();
    plane.emit("{\"topic\":\"t\",\"kind\":\"k\",\"at\":\"2026-01-31T12:00:00.25Z\",\"payload\":{\"b\":1.0,\"c\":1e21,\"a\":\"\\u00e9\"}}\n");
    let none = plane.person.run(&["tail", "-q", "--json", "--until-idle", "0.2", "t:"]).error(1);
    assert!(none.starts_with("0 streams: there is no stream `runtime.topic.t%3A`"), "another topic: {none}");
    let line = plane.person.run(&["tail", "-q", "--json", "--until-idle", "0.2", "runtime.topic.t"]).done();
    assert!(line.contains(r#""payload":{"a":"é","b":1,"c":1e+21}"#), "{line}");
    let event = &json_lines(&line)[0];
    let hash = muster_contract::hash::PayloadHash::of(r#"{"a":"é","b":1,"c":1e+21}"#.as_bytes()).to_string();
    assert_eq!(event["payload_hash"], hash);
    assert_eq!(
        (&event["at"], &event["seq"], &event["kind"]),
        (&json!("2026-01-31T12:00:00.25Z"), &json!(1), &json!("k"))
    );
}

#[test]
fn a_tail_begins_where_it_is_told() {
    let plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..10));
    let from = |from: &str| {
        let run = plane.person.run(&["tail", "-q", "--json", "--until-idle", "0.2", "--from", from, "run:a:events"]);
        numbers(&json_lines(&run.done()))
    };
    assert_eq!(from("start"), (0..10).collect::<Vec<_>>());
    assert_eq!(from("8"), [7, 8, 9], "the eighth event has the number 7 in it");
    assert_eq!(from("now"), [0u64; 0]);
    let tail = plane.person.start(&["tail", "--json", "--from", "now", "run:a:events"]);
    tail.wait_for_talk("live");
    plane.emit(&lines("run:a:events", 10..11));
    assert_eq!(tail.json()["payload"]["n"], 10);
}

#[test]
fn a_store_has_each_event_once_and_the_next_run_prints_what_came_since() {
    let plane = Plane::new();
    let run = || {
        let run = plane.person.run(&["tail", "-q", "--json", "--until-idle", "0.2", "--store", "s.db", "run:a:events"]);
        numbers(&json_lines(&run.done()))
    };
    plane.emit(&lines("run:a:events", 0..700));
    assert_eq!(run(), (0..700).collect::<Vec<_>>());
    assert_eq!(run(), [0u64; 0]);
    plane.emit(&lines("run:a:events", 700..705));
    assert_eq!(run(), (700..705).collect::<Vec<_>>());
    assert_eq!(stored(&plane.person.path("s.db"), "runtime.run.a.events"), (0..705).collect::<Vec<_>>());
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(plane.person.path("s.db")).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "others cannot read what is in streams");
}

#[test]
fn a_host_that_is_away_is_waited_for_and_nothing_is_called_live_meanwhile() {
    let mut plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..2));
    plane.kill();
    let mut tail = plane.person.start(&["tail", "--json", "--store", "s.db", "run:a:events"]);
    let mut away = tail.talk_until("backoff (network)");
    plane.restart();
    assert_eq!(tail.json()["payload"]["n"], 0);
    tail.wait_for_talk("live: 1 stream");
    plane.kill();
    away.extend(tail.talk_until("backoff (network)"));
    tail.signal("INT");
    assert_eq!(tail.code(), Some(0));
    away.push(tail.rest_of_talk());
    assert!(!away.concat().contains("live"), "said live while the host was away: {away:?}");
    assert_eq!(stored(&plane.person.path("s.db"), "runtime.run.a.events"), [0, 1]);
}

#[test]
fn a_tail_until_idle_does_not_wait_for_ever_for_a_host() {
    let sandbox = Sandbox::new().with("MUSTER_SERVER", "http://127.0.0.1:9").with("MUSTER_DATABASE", "events");
    let run = sandbox.run(&["tail", "-q", "--until-idle", "0.2", "--patience", "0.5", "run:a:events"]);
    let told = run.error(2);
    assert!(told.starts_with("not live after 0.5 s, but "), "{told}");
}

#[test]
fn a_word_that_is_no_stream_is_taken_as_a_topic_and_that_is_said() {
    let plane = Plane::new();
    plane.emit(&(lines("notes", 0..2) + &lines("run:a:events", 0..1)));
    let taken = "there is no stream `notes`; the topic `notes` is the stream `runtime.topic.notes`: taking that";
    let (out, talk) = plane.person.run(&["tail", "--json", "--until-idle", "0.2", "notes"]).done_with_talk();
    assert_eq!(numbers(&json_lines(&out)), [0, 1]);
    assert_eq!(talk.matches(taken).count(), 1, "{talk}");
    let (out, talk) = plane.person.run(&["streams", "--json", "notes"]).done_with_talk();
    let listed: serde_json::Value = serde_json::from_str(&out).expect("a document");
    assert_eq!(
        (&listed["streams"][0]["id"], &listed["streams"][0]["head"]),
        (&json!("runtime.topic.notes"), &json!(2))
    );
    assert!(talk.contains(taken), "{talk}");
}

#[test]
fn a_tail_of_what_is_not_there_says_so_and_is_no_success() {
    let plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..1));
    let told = plane.person.run(&["tail", "-q", "--until-idle", "0.2", "nothing", "runtime.session.*"]).error(1);
    assert!(told.starts_with("0 streams: there is no stream `nothing`, and none of the topic `nothing`"), "{told}");
    assert!(told.contains("no stream is called `runtime.session.*`"), "{told}");
    let told = plane.person.run(&["streams", "-q", "nothing"]).error(1);
    assert!(told.contains("there is no stream `nothing`"), "{told}");
    let mut tail = plane.person.start(&["tail", "nothing"]);
    tail.wait_for_talk("live: 0 streams (there is no stream `nothing`");
    tail.signal("INT");
    assert_eq!(tail.code(), Some(0));
    assert!(tail.rest_of_talk().starts_with("0 streams: "), "in its last line too");
}

#[test]
fn a_tail_that_is_interrupted_before_it_was_idle_is_no_success() {
    let plane = Plane::new();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut tail = plane.person.start(&["tail", "--until-idle", "60", "nothing"]);
        tail.wait_for_talk("live: 0 streams");
        tail.signal(signal);
        assert_eq!(tail.code(), Some(code));
    }
}

#[test]
fn a_stream_that_was_made_anew_is_told_and_starts_again() {
    let plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..5));
    let tail = || plane.person.run(&["tail", "--json", "--until-idle", "0.2", "--store", "s.db", "run:a:events"]);
    assert_eq!(json_lines(&tail().done_with_talk().0).len(), 5);
    plane.owner.run(&["call", "-q", "delete_stream", "\"runtime.run.a.events\""]).done();
    plane.emit(&lines("run:a:events", 5..8));
    let (out, talk) = tail().done_with_talk();
    assert!(talk.contains("runtime.run.a.events: stale cursor (epoch_changed): what was shown"), "{talk}");
    let shown = json_lines(&out);
    assert_eq!(shown[0]["reset"]["reason"], "epoch_changed", "{out}");
    assert_eq!(numbers(&shown[1..]), [5, 6, 7]);
    assert_eq!(stored(&plane.person.path("s.db"), "runtime.run.a.events"), [5, 6, 7]);
}

#[test]
fn a_reader_that_goes_away_ends_it_quietly() {
    let plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..3));
    let mut child = plane.person.command(&["tail", "-q", "run:a:events"]).spawn().expect("starts");
    drop(child.stdout.take());
    let run = crate::support::finish(child);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[test]
fn what_cannot_be_followed_is_one_line() {
    let sandbox = Sandbox::new().with("MUSTER_SERVER", "http://127.0.0.1:9").with("MUSTER_DATABASE", "events");
    let told = |args: &[&str]| sandbox.run(&[&["tail"], args].concat()).error(2);
    assert!(told(&["run:*:events"]).contains("a topic has no wildcards"));
    assert!(told(&["a.*.b"]).contains("`*` that is not its last segment"));
    assert!(told(&["a b"]).contains("not a stream pattern"));
    assert!(told(&["--from", "yesterday", "a"]).contains("neither `start`, nor `now`"));
    assert!(told(&["--from", "0", "a"]).contains("numbered from 1"));
    assert!(told(&["--patience", "1", "a"]).contains("--until-idle"));
}
