//! SIGKILL in the middle, and the same command again: each event once.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use crate::plane::{Plane, json_lines, lines, numbers, stored};
use crate::support::{PATIENCE, finish, signal};

const STREAM: &str = "runtime.run.a.events";

/// Kills `child` once `is_there` says so. Fails if it has ended before.
#[track_caller]
fn kill_when(mut child: Child, what: &str, is_there: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_there() {
        assert!(Instant::now() < deadline, "{what} is never reached");
        assert_eq!(child.try_wait().expect("waited for"), None, "it ended before {what}");
        thread::sleep(Duration::from_millis(1));
    }
    signal(child.id(), "KILL");
    assert_eq!(finish(child).code, None, "{what} was not in the middle");
}

/// Events that were ever taken by the person's outbox.
fn taken(plane: &Plane) -> u64 {
    let folder = plane.person.path(".local/state/muster/outboxes");
    let Ok(mut entries) = std::fs::read_dir(folder) else { return 0 };
    let outbox = entries.find_map(|entry| {
        entry.ok().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|kind| kind == "outbox"))
    });
    let inspection = outbox.and_then(|path| muster_publisher::inspect(&path, false, 10).ok());
    inspection.map_or(0, |found| found.streams.iter().map(|stream| stream.pending + stream.confirmed).sum())
}

#[test]
fn an_emit_that_is_killed_while_it_reads_goes_on_where_it_was() {
    let plane = Plane::new();
    let all = 60_000;
    let file = plane.person.file("events.ndjson", lines("run:a:events", 0..all));
    let mut last = 0;
    for at in [1_000, 20_000] {
        let child = plane.person.command(&["emit", "--flush", &file]).spawn().expect("starts");
        kill_when(child, &format!("{at} events"), || taken(&plane) >= at);
        let taken = taken(&plane);
        assert!(taken > last && taken < all, "killed at {taken}, which is not in the middle");
        last = taken;
    }
    let run = plane.person.run(&["emit", "--flush", &file]);
    assert!(run.stderr.contains(&format!("was interrupted; in the outbox already: {last}\n")), "{}", run.stderr);
    assert_eq!(run.json()["emitted"], all - last);
    // And once more, on purpose, because it was read to its end: that is another emit of the same events.
    assert_eq!(numbers(&plane.events("run:a:events")), (0..all).collect::<Vec<_>>());
    assert_eq!(plane.person.run(&["emit", "--flush", &file]).json()["emitted"], all);
}

#[test]
fn an_emit_that_is_interrupted_while_it_waits_says_so_and_stores_nothing_twice() {
    let plane = Plane::new();
    let all = 400;
    let file = plane.person.file("events.ndjson", lines("run:a:events", 0..all));
    // Nobody is there: everything is stored, and then it waits.
    let place = ["--server", "http://127.0.0.1:9", "--database", "muster", "--outbox", "o.outbox"];
    let emit = [&["emit", "--flush", "--patience", "600"][..], &place, &[&file]].concat();
    let outbox = plane.person.path("o.outbox");
    for run in 1..=2 {
        let mut child = plane.person.command(&emit).spawn().expect("starts");
        let mut stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut said = String::new();
        while !said.contains("the host is away") {
            assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "run {run} ended: {said}");
        }
        // It stores before it waits, or beside it.
        let deadline = Instant::now() + PATIENCE;
        while pending(&outbox) < all {
            assert!(Instant::now() < deadline, "run {run} never stores all");
            thread::sleep(Duration::from_millis(5));
        }
        signal(child.id(), "INT");
        assert_eq!(finish(child).code, Some(130), "run {run}");
        stderr.read_to_string(&mut said).expect("text");
        let kept = format!("interrupted; events in the outbox: {all}; the same command goes on where this one was");
        assert!(said.contains(&kept), "{said}");
        assert_eq!(pending(&outbox), all, "run {run}");
    }
}

/// Events that wait in an outbox.
fn pending(outbox: &Path) -> u64 {
    let found = muster_publisher::inspect(outbox, false, 10);
    found.map_or(0, |found| found.streams.iter().map(|stream| stream.pending).sum())
}

#[test]
fn an_emit_that_is_killed_while_it_sends_is_confirmed_by_the_next_one_and_nothing_is_there_twice() {
    let plane = Plane::new();
    let all = 20_000;
    let file = plane.person.file("events.ndjson", lines("run:a:events", 0..all));
    plane.person.run(&["emit", "-q", "--store-only", &file]).done();
    let head = || {
        let listed = plane.owner.run(&["sql", "-q", "--json", "SELECT head FROM sync_stream"]).json();
        listed["statements"][0]["rows"][0]["head"].as_u64().unwrap_or(0)
    };
    let child = plane.person.command(&["emit", "--flush"]).spawn().expect("starts");
    kill_when(child, "a first confirmed event", || head() > 0);
    let (summary, before) = (plane.emit(""), head());
    assert_eq!((&summary["emitted"], &summary["parked"]), (&0.into(), &0.into()), "{summary}");
    assert_eq!(before, all);
    assert_eq!(numbers(&plane.events("run:a:events")), (0..all).collect::<Vec<_>>());
}

#[test]
fn a_tail_that_is_killed_has_each_event_once_in_its_store_and_has_printed_each() {
    let plane = Plane::new();
    let all = 30_000;
    let file = plane.person.file("events.ndjson", lines("run:a:events", 0..all));
    plane.person.run(&["emit", "-q", "--flush", &file]).done();
    let store = plane.person.path("s.db");
    let args = ["tail", "-q", "--json", "--until-idle", "0.2", "--store", "s.db", "run:a:events"];
    let count = || {
        let Ok(reader) = muster_sync::Reader::open(&store) else { return 0 };
        let count = "SELECT count(*) FROM event";
        reader.connection().query_row(count, [], |row| row.get::<_, i64>(0)).map_or(0, i64::cast_unsigned)
    };
    let mut printed = Vec::new();
    let mut last = 0;
    for at in [500, 10_000] {
        let out = std::fs::File::create(plane.person.path(&format!("out.{at}"))).expect("a file");
        let child = plane.person.command(&args).stdout(out).spawn().expect("starts");
        kill_when(child, &format!("{at} events"), || count() >= at);
        let now = count();
        assert!(now > last && now < all, "killed at {now}, which is not in the middle");
        last = now;
        let text = std::fs::read_to_string(plane.person.path(&format!("out.{at}"))).expect("text");
        // The last line may be half a line.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        printed.extend(numbers(&json_lines(whole)));
    }
    printed.extend(numbers(&json_lines(&plane.person.run(&args).done())));
    assert_eq!(stored(&store, STREAM), (0..all).collect::<Vec<_>>());
    printed.sort_unstable();
    printed.dedup();
    assert_eq!(printed, (0..all).collect::<Vec<_>>(), "each was printed");
}
