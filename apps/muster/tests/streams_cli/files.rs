//! Outboxes and stores that are no good, or somebody else's: refused in one line, and left as they are.

use std::fs;

use crate::plane::{Plane, emit, lines};
use crate::support::Sandbox;

fn nowhere() -> Sandbox {
    Sandbox::new().with("MUSTER_SERVER", "http://127.0.0.1:9").with("MUSTER_DATABASE", "events")
}

fn sql(sandbox: &Sandbox, file: &str, sql: &str) {
    rusqlite::Connection::open(sandbox.path(file)).expect("opens").execute_batch(sql).expect("done");
}

/// An outbox with one event in it.
fn outbox(sandbox: &Sandbox) {
    assert_eq!(emit(sandbox, &["--store-only", "--outbox", "o"], lines("t", 0..1)).code, Some(0));
}

#[test]
fn a_second_tail_of_one_store_is_refused() {
    let plane = Plane::new();
    let first = plane.person.start(&["tail", "--store", "s.db", "*"]);
    first.wait_for_talk("live");
    let second = plane.person.run(&["tail", "--store", "s.db", "*"]).error(2);
    assert!(second.contains("s.db") && second.contains("another"), "{second}");
    assert_eq!(second.matches("s.db").count(), 1, "said once: {second}");
}

#[test]
fn files_of_a_newer_version_are_refused_and_left_alone() {
    let sandbox = nowhere();
    outbox(&sandbox);
    sql(&sandbox, "o", "PRAGMA user_version = 99; PRAGMA wal_checkpoint(TRUNCATE)");
    let before = fs::read(sandbox.path("o")).expect("there");
    for args in [&["emit", "--store-only", "--outbox", "o"][..], &["outbox", "--outbox", "o"]] {
        let told = sandbox.run(args).error(2);
        assert!(told.contains("has format 99") && told.contains("newer"), "{told}");
    }
    assert_eq!(fs::read(sandbox.path("o")).expect("there"), before);

    drop(muster_sync::Store::open(&sandbox.path("s.db"), muster_sync::Durability::Full, &mut muster_sync::EventLog));
    sql(&sandbox, "s.db", "UPDATE muster_store SET version = 99");
    let told = sandbox.run(&["tail", "--store", "s.db", "*"]).error(2);
    assert!(told.contains("s.db") && told.contains("99"), "{told}");
}

#[test]
fn files_that_are_damaged_or_something_else_are_refused_and_left_alone() {
    let sandbox = nowhere();
    let garbage = "this is no database, but somebody's only copy of something else".repeat(100);
    let file = sandbox.file("garbage", &garbage);
    for args in [&["emit", "--store-only", "--outbox"][..], &["outbox", "--outbox"]] {
        let told = sandbox.run(&[args, &[&file]].concat()).error(2);
        assert!(told.contains("is no outbox") || told.contains("damaged"), "{told}");
    }
    let told = sandbox.run(&["tail", "*", "--store", &file]).error(2);
    assert!(told.contains("garbage"), "{told}");
    let text = sandbox.file("text", &garbage);
    sandbox.run(&["tail", "*", "--store", &text]).error(2);
    assert!(!sandbox.path("text.lock").exists(), "nothing is left beside what is no store");
    let told = sandbox.run(&["tail", "*", "--store", "no/such/x.db"]).error(2);
    assert!(told.starts_with("no such folder for the store: no/such; "), "{told}");
    assert_eq!(fs::read_to_string(&file).expect("there"), garbage);

    sql(&sandbox, "mine.db", "CREATE TABLE mine (x); INSERT INTO mine VALUES (1)");
    let told = sandbox.run(&["outbox", "--outbox", "mine.db"]).error(2);
    assert!(told.contains("of another program"), "{told}");

    outbox(&sandbox);
    sql(&sandbox, "o", "PRAGMA wal_checkpoint(TRUNCATE)");
    let mut bytes = fs::read(sandbox.path("o")).expect("there");
    let half = bytes.len() / 2;
    bytes.truncate(half);
    fs::write(sandbox.path("o"), &bytes).expect("written");
    let told = emit(&sandbox, &["--store-only", "--outbox", "o"], lines("t", 1..2)).error(2);
    assert!(told.contains("damaged"), "{told}");
    assert_eq!(fs::read(sandbox.path("o")).expect("there"), bytes);

    let told = sandbox.run(&["tail", "*", "--store", "."]).error(2);
    assert!(told.starts_with(".: the store "), "{told}");
}

#[test]
fn looking_into_an_outbox_that_is_not_there_does_not_make_it() {
    let sandbox = nowhere();
    for args in [&["outbox", "--outbox", "o"][..], &["outbox", "--outbox", "o", "--retry", "t:x"], &["outbox"]] {
        let told = sandbox.run(args).error(2);
        assert!(told.contains("outbox") && told.contains("no"), "{told}");
        assert!(!sandbox.path("o").exists());
    }
    let told = sandbox.run(&["outbox"]).error(2);
    assert!(told.starts_with("nothing was ever emitted to events on http://127.0.0.1:9"), "{told}");
}

#[test]
fn a_store_belongs_to_one_database() {
    let (plane, mut other) = (Plane::new(), Plane::new());
    // Another database in place of the template's own, which both hosts have.
    let made = "other";
    let module = crate::support::muster_module();
    other.owner.run(&["publish", "-q", "--yes", "--database", made, "--module", &module]).done();
    plane.emit(&lines("run:a:events", 0..5));
    emit(&other.person, &["--flush", "--database", made], lines("run:a:events", 7..9)).json();
    let store = plane.person.path("s.db");
    let file = store.to_str().expect("plain");
    let tail = ["tail", "-q", "--until-idle", "0.2", "--store", file];
    let run = |sandbox: &Sandbox, more: &[&str]| sandbox.run(&[&tail[..], more].concat());
    run(&plane.person, &["run:a:events"]).done();
    for what in ["run:a:events", "nothing"] {
        let told = run(&other.person, &["--database", made, what]).error(2);
        assert!(told.contains("belongs to database c2") && told.contains("another --store"), "{told}");
    }
    assert_eq!(crate::plane::stored(&store, "runtime.run.a.events"), [0, 1, 2, 3, 4]);
    // Nor where it cannot be known at first which database it is.
    other.kill();
    let late = other.person.start(&["tail", "--store", file, "--database", made, "run:a:events"]);
    late.wait_for_talk("backoff (network)");
    other.restart();
    late.wait_for_talk("belongs to database c2");
    assert_eq!(crate::plane::stored(&store, "runtime.run.a.events"), [0, 1, 2, 3, 4]);
    drop(late);
    plane.emit(&lines("run:a:events", 5..6));
    run(&plane.person, &["run:a:events"]).done();
    assert_eq!(crate::plane::stored(&store, "runtime.run.a.events"), [0, 1, 2, 3, 4, 5]);
}
