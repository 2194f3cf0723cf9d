//! Streams that wait for a person, and what the person can do: `muster outbox`.

use std::fs;

use serde_json::{Value, json};

use crate::plane::{Plane, copy, emit, lines, numbers};

/// A host that was restored from an older copy: it has lost `run:a:events` 3 and 4, which the outbox knows confirmed.
fn restored() -> Plane {
    let mut plane = Plane::new();
    plane.emit(&(lines("run:a:events", 0..3) + &lines("run:b:events", 0..1)));
    plane.kill();
    copy(&plane.owner.path("host"), &plane.owner.path("copy"));
    plane.restart();
    plane.emit(&lines("run:a:events", 3..5));
    plane.kill();
    fs::remove_dir_all(plane.owner.path("host")).expect("removed");
    fs::rename(plane.owner.path("copy"), plane.owner.path("host")).expect("restored");
    plane.restart();
    plane
}

fn parked(plane: &Plane) -> Vec<Value> {
    let outbox = plane.person.run(&["outbox", "--parked", "--json"]).json();
    outbox["streams"].as_array().expect("streams").clone()
}

#[test]
fn a_host_that_has_lost_events_parks_the_stream_visibly_and_the_others_go_on() {
    let plane = restored();
    let run = emit(&plane.person, &["--flush"], lines("run:a:events", 5..7) + &lines("run:b:events", 1..2));
    assert_eq!(run.code, Some(1), "{run:?}");
    let summary: Value = serde_json::from_str(&run.stdout).expect("one object");
    assert_eq!(summary, json!({"emitted": 3, "confirmed": 1, "duplicates": 0, "parked": 2}));
    assert!(run.stderr.contains("2 events are parked") && run.stderr.contains("--parked"), "{}", run.stderr);
    assert_eq!(numbers(&plane.events("run:b:events")), [0, 1]);
    let parked = parked(&plane);
    assert_eq!(
        (parked.len(), &parked[0]["stream"], &parked[0]["pending"]),
        (1, &json!("runtime.run.a.events"), &json!(2))
    );
    let table = plane.person.run(&["outbox", "--parked"]).stdout;
    assert!(table.contains("runtime.run.a.events") && table.contains("parked since"), "{table}");
    let talk = plane.person.run(&["outbox"]).stderr;
    assert!(talk.contains("--accept-loss STREAM") && talk.contains(": 2 events waiting in"), "{talk}");

    let known = plane.person.run(&["outbox", "-q", "--retry", "run:a:events"]);
    assert_eq!(known.done(), "");
    let again = emit(&plane.person, &["--flush"], "");
    assert_eq!(again.code, Some(1), "nothing was mended: {again:?}");
}

#[test]
fn a_person_may_accept_the_loss() {
    let plane = restored();
    assert_eq!(emit(&plane.person, &["--flush"], lines("run:a:events", 5..7)).code, Some(1));
    let told = plane.person.run(&["outbox", "--accept-loss", "run:a:events"]);
    assert!(told.code == Some(0) && told.stderr.contains("behind whatever the host has: 2"), "{told:?}");
    assert_eq!(plane.emit("")["confirmed"], 2);
    assert_eq!(numbers(&plane.events("run:a:events")), [0, 1, 2, 5, 6]);
    assert_eq!(parked(&plane), [json!(null); 0]);
}

#[test]
fn a_person_may_throw_the_events_away_but_not_by_accident() {
    let plane = restored();
    assert_eq!(emit(&plane.person, &["--flush"], lines("run:a:events", 5..7)).code, Some(1));
    let told = plane.person.run(&["outbox", "--drop", "run:a:events"]).error(1);
    assert_eq!(
        told,
        "will not throw away what waits in `runtime.run.a.events` (events: 2) without being told so; add --yes"
    );
    assert_eq!(parked(&plane).len(), 1, "nothing happened");
    plane.person.run(&["outbox", "-q", "--drop", "run:a:events", "--yes"]).done();
    assert_eq!(parked(&plane), [json!(null); 0]);
    assert_eq!(plane.emit(&lines("run:a:events", 7..8))["confirmed"], 1);
    assert_eq!(numbers(&plane.events("run:a:events")), [0, 1, 2, 7]);
}

#[test]
fn a_person_may_pass_over_the_first_events_alone() {
    let plane = restored();
    assert_eq!(emit(&plane.person, &["--flush"], lines("run:a:events", 5..8)).code, Some(1));
    let none = plane.person.run(&["outbox", "--skip", "run:a:events", "--through", "9"]).error(2);
    assert!(none.contains("they are 6 to 8"), "{none}");
    assert!(plane.person.run(&["outbox", "--skip", "run:a:events"]).error(2).contains("--through"));
    let told = plane.person.run(&["outbox", "--skip", "run:a:events", "--through", "6"]);
    assert!(told.code == Some(0) && told.stderr.contains("thrown away: 1"), "{told:?}");
    assert_eq!(plane.emit("")["confirmed"], 2);
    assert_eq!(numbers(&plane.events("run:a:events")), [0, 1, 2, 6, 7]);
}

#[test]
fn a_word_that_is_a_topic_is_decided_about_as_that() {
    let mut plane = Plane::new();
    plane.emit(&lines("notes", 0..1));
    plane.kill();
    copy(&plane.owner.path("host"), &plane.owner.path("copy"));
    plane.restart();
    plane.emit(&lines("notes", 1..2));
    plane.kill();
    fs::remove_dir_all(plane.owner.path("host")).expect("removed");
    fs::rename(plane.owner.path("copy"), plane.owner.path("host")).expect("restored");
    plane.restart();
    assert_eq!(emit(&plane.person, &["--flush"], lines("notes", 2..3)).code, Some(1));
    let told = plane.person.run(&["outbox", "--accept-loss", "notes"]);
    assert!(told.code == Some(0) && told.stderr.contains("the topic `notes` is the stream"), "{told:?}");
    assert_eq!(plane.emit("")["confirmed"], 1);
}

#[test]
fn what_is_not_parked_is_not_decided_about() {
    let plane = Plane::new();
    plane.emit(&lines("run:a:events", 0..1));
    for decision in
        [&["--retry", "run:a:events"][..], &["--accept-loss", "run:a:events"], &["--drop", "run:a:events", "--yes"]]
    {
        let told = plane.person.run(&[&["outbox"], decision].concat()).error(2);
        assert!(told.contains("is not parked"), "{told}");
    }
    let told = plane.person.run(&["outbox", "--drop", "run:z:events"]).error(2);
    assert!(told.contains("no stream `runtime.run.z.events` is parked"), "before it asks for --yes: {told}");
    assert!(plane.person.run(&["outbox", "--retry", "run:z:events"]).error(2).contains("has no stream"));
    assert!(plane.person.run(&["outbox", "--retry", "runtime.*"]).error(2).contains("no pattern"));
    assert!(
        plane.person.run(&["outbox", "--retry", "a", "--accept-loss", "b"]).error(2).contains("cannot be used with")
    );
    assert!(plane.person.run(&["outbox", "--yes"]).error(2).contains("--drop"));
}

#[test]
fn an_outbox_shows_what_waits_while_another_process_has_it() {
    let mut plane = Plane::new();
    plane.kill();
    let mut child =
        plane.person.command(&["emit", "--flush"]).stdin(std::process::Stdio::piped()).spawn().expect("starts");
    let mut stdin = child.stdin.take().expect("piped");
    std::io::Write::write_all(&mut stdin, lines("run:a:events", 0..3).as_bytes()).expect("it reads");
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    loop {
        let run = plane.person.run(&["outbox", "--json"]);
        let waiting =
            serde_json::from_str::<Value>(&run.stdout).map_or(0, |found| found["events"].as_u64().unwrap_or(0));
        if waiting == 3 {
            break;
        }
        assert!(std::time::Instant::now() < deadline, "{run:?}");
    }
    plane.restart();
    drop(stdin);
    assert_eq!(crate::support::finish(child).code, Some(0));
    let empty = plane.person.run(&["outbox", "--json"]).json();
    assert_eq!((&empty["events"], &empty["oldest"], &empty["streams"]), (&json!(0), &json!(null), &json!([])));
}
