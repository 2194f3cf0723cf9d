//! The store on real files: what commits together, what does not commit, and who may open it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use muster_contract::cursor::{Epoch, Position};
use muster_contract::hash::PayloadHash;
use muster_contract::page::{Snapshot, StoredEvent};
use muster_contract::resume::StaleReason;
use muster_wire::Timestamp;

use super::*;
use crate::batch::{Change, Events, Reset};

const STREAM: &str = "runtime.run.1.events";

fn at(seq: u64) -> Position {
    Position { epoch: Epoch::new(7).expect("not 0"), seq: seq.into() }
}

fn event(payload: String) -> StoredEvent {
    StoredEvent {
        kind: "test".into(),
        hash: PayloadHash::of(payload.as_bytes()).into(),
        payload,
        at: Timestamp::UNIX_EPOCH,
        producer: 1,
        number: 1,
    }
}

/// Events `first` to `first + count - 1` of a stream.
fn run(stream: &str, first: u64, count: u64, payload: impl Fn(u64) -> String) -> Batch {
    let events = (first..first + count).map(|seq| event(payload(seq))).collect();
    Batch {
        stream: StreamId::parse(stream).expect("a stream id"),
        after: (first > 1).then(|| at(first - 1)),
        change: Change::Events(Events { epoch: at(0).epoch, first: first.into(), mark: first + count, events }),
    }
}

fn small(first: u64, count: u64) -> Batch {
    run(STREAM, first, count, |seq| seq.to_string())
}

fn reset(after: u64, seq: u64) -> Batch {
    let payload = "{}".to_owned();
    let hash = PayloadHash::of(payload.as_bytes()).into();
    let snapshot = Some(Snapshot { epoch: 7, seq, payload, hash, mark: 4, at: Timestamp::UNIX_EPOCH });
    let reason = Some(StaleReason::RetentionFloorBreach);
    Batch {
        stream: StreamId::parse(STREAM).expect("a stream id"),
        after: Some(at(after)),
        change: Change::Reset(Reset { reason, at: at(seq), snapshot }),
    }
}

fn open(path: &Path) -> Store {
    Store::open(path, Durability::Full, &mut EventLog).expect("it opens")
}

fn file() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    (folder, path)
}

fn seqs(path: &Path) -> Vec<u64> {
    let reader = Reader::open(path).expect("readable");
    reader
        .events(&StreamId::parse(STREAM).expect("an id"), 0, usize::MAX)
        .expect("rows")
        .iter()
        .map(|e| e.seq)
        .collect()
}

#[test]
fn cursor_and_effects_are_there_after_a_restart() {
    let (_folder, path) = file();
    let mut store = open(&path);
    assert!(store.apply([&small(1, 3), &small(4, 2)], &mut EventLog).iter().all(Result::is_ok));
    drop(store);
    let places = open(&path).places().expect("places");
    assert_eq!(places.len(), 1);
    assert_eq!(places[0].1.position, at(5));
    assert_eq!(places[0].1.mark, Some(6));
    assert_eq!(seqs(&path), [1, 2, 3, 4, 5]);
}

#[test]
fn a_batch_that_does_not_come_right_after_the_cursor_is_refused_and_takes_nothing_down() {
    let (_folder, path) = file();
    let mut store = open(&path);
    let outcomes = store.apply([&small(1, 3), &small(5, 1), &small(3, 2), &small(4, 1)], &mut EventLog);
    assert!(outcomes[0].is_ok() && outcomes[3].is_ok());
    for outcome in &outcomes[1..3] {
        assert!(matches!(outcome, Err(StoreError::CursorMoved { .. })), "{outcome:?}");
    }
    assert_eq!(seqs(&path), [1, 2, 3, 4]);
}

#[test]
fn what_the_application_refuses_leaves_nothing_behind_and_takes_no_other_batch_down() {
    let (_folder, path) = file();
    let mut store = open(&path);
    let mut picky = |transaction: &Transaction<'_>, batch: &Batch| {
        EventLog.apply(transaction, batch)?;
        if batch.stream.as_str() == "bad" { Err(ApplicationError::from("not this one")) } else { Ok(()) }
    };
    let bad = run("bad", 1, 2, |seq| seq.to_string());
    let outcomes = store.apply([&small(1, 2), &bad, &small(3, 1)], &mut picky);
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    let error = outcomes[1].as_ref().expect_err("refused").to_string();
    assert_eq!(error, "the application did not apply the batch (not this one)");
    assert_eq!(seqs(&path), [1, 2, 3]);
    let reader = Reader::open(&path).expect("readable");
    assert!(reader.events(&bad.stream, 0, 10).expect("rows").is_empty());
    assert_eq!(reader.place(&bad.stream).expect("a look"), None);
}

#[test]
fn a_new_beginning_clears_the_rows_and_moves_the_cursor_at_once() {
    let (_folder, path) = file();
    let mut store = open(&path);
    store.apply([&small(1, 3), &reset(3, 9), &small(10, 1)], &mut EventLog);
    assert_eq!(seqs(&path), [10]);
    let reader = Reader::open(&path).expect("readable");
    let stream = StreamId::parse(STREAM).expect("an id");
    assert_eq!(reader.snapshot(&stream).expect("a look"), Some((9, "{}".into())));
    assert_eq!(reader.place(&stream).expect("a look").expect("a place").position, at(10));
}

#[test]
fn the_beginning_of_a_reader_is_not_the_applications_business() {
    let (_folder, path) = file();
    let mut store = open(&path);
    let mut nobody = |_: &Transaction<'_>, _: &Batch| Err::<(), _>("must not be asked");
    let begin = Batch { change: Change::Begin(Place { position: at(5), mark: None }), ..small(1, 1) };
    assert!(store.apply([&begin], &mut nobody)[0].is_ok());
    assert_eq!(store.places().expect("places")[0].1.position, at(5));
}

#[test]
fn an_application_commits_a_batch_in_its_own_transaction_or_not_at_all() {
    let (_folder, path) = file();
    let store = open(&path);
    let mut own = Connection::open(&path).expect("another connection");
    let transaction = own.transaction().expect("a transaction");
    small(1, 2).commit(&transaction).expect("moved");
    drop(transaction);
    assert!(store.places().expect("places").is_empty(), "rolled back");
    let transaction = own.transaction().expect("a transaction");
    small(1, 2).commit(&transaction).expect("moved");
    assert!(matches!(small(1, 2).commit(&transaction), Err(StoreError::CursorMoved { .. })), "twice");
    transaction.commit().expect("committed");
    assert_eq!(store.places().expect("places")[0].1.position, at(2));
}

#[test]
fn what_was_established_is_remembered() {
    let (_folder, path) = file();
    let store = open(&path);
    let pattern = StreamPattern::parse("a.*").expect("a pattern");
    store.establish(&pattern, 7).expect("written");
    store.establish(&pattern, 9).expect("again");
    drop(store);
    assert_eq!(open(&path).established().expect("patterns"), [(pattern, 7)]);
}

#[test]
fn a_store_that_does_not_know_which_streams_were_there_is_taken_over() {
    let (_folder, path) = file();
    let store = open(&path);
    let older = "DROP TABLE muster_follow; CREATE TABLE muster_follow (pattern TEXT PRIMARY KEY) WITHOUT ROWID; \
                 INSERT INTO muster_follow (pattern) VALUES ('a.*')";
    store.connection.execute_batch(older).expect("made older");
    drop(store);
    let pattern = StreamPattern::parse("a.*").expect("a pattern");
    assert_eq!(open(&path).established().expect("patterns"), [(pattern, 0)]);
}

#[test]
fn a_second_writer_by_another_name_is_refused() {
    let (folder, path) = file();
    let store = open(&path);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&path, &link).expect("a link");
    let error = Store::open(&link, Durability::Full, &mut EventLog).expect_err("in use");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(store);
    std::fs::remove_file(&link).expect("removed");
    std::fs::hard_link(&path, &link).expect("a second name");
    let error = Store::open(&link, Durability::Full, &mut EventLog).expect_err("two names");
    assert!(error.to_string().contains("hard links"), "{error}");
}

#[test]
fn a_second_writer_is_refused_and_a_reader_is_not() {
    let (_folder, path) = file();
    let mut store = open(&path);
    store.apply([&small(1, 3)], &mut EventLog);
    let error = Store::open(&path, Durability::Full, &mut EventLog).expect_err("in use");
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    let writing = store.connection.transaction_with_behavior(TransactionBehavior::Immediate).expect("writing");
    assert_eq!(seqs(&path), [1, 2, 3], "read while somebody writes");
    drop(writing);
    drop(store);
    open(&path);
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let (_folder, path) = file();
    drop(open(&path));
    Connection::open(&path).expect("opened").execute("UPDATE muster_store SET version = 2", ()).expect("changed");
    let before = std::fs::read(&path).expect("bytes");
    let error = Store::open(&path, Durability::Full, &mut EventLog).expect_err("newer");
    assert!(matches!(error, StoreError::Newer { found: 2, known: 1 }), "{error}");
    assert!(matches!(Reader::open(&path), Err(StoreError::Newer { .. })));
    assert_eq!(std::fs::read(&path).expect("bytes"), before);
}

#[test]
fn a_file_that_is_no_store_or_a_damaged_one_is_a_typed_error() {
    let (_folder, path) = file();
    std::fs::write(&path, "this is a letter to somebody, and no database at all".repeat(40)).expect("written");
    let error = Store::open(&path, Durability::Full, &mut EventLog).expect_err("no database");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");

    let (_folder, path) = file();
    drop(open(&path));
    let mut bytes = std::fs::read(&path).expect("bytes");
    bytes[200..].fill(0xA5);
    std::fs::write(&path, bytes).expect("damaged");
    let error = Store::open(&path, Durability::Full, &mut EventLog).expect_err("damaged");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    assert_eq!(error.to_string().lines().count(), 1);
}

#[test]
fn a_cursor_that_no_store_writes_is_a_damaged_store() {
    let (_folder, path) = file();
    let store = open(&path);
    let wrong = "INSERT INTO muster_cursor (stream, epoch, seq) VALUES ('a..b', 1, 1)";
    store.connection.execute(wrong, ()).expect("written");
    assert!(matches!(store.places(), Err(StoreError::Corrupt { .. })));
}

#[test]
fn tables_and_version_of_the_application_are_its_own() {
    let (_folder, path) = file();
    let own = Connection::open(&path).expect("opened");
    own.execute_batch("PRAGMA user_version = 42; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .expect("made");
    let mut store = open(&path);
    store.apply([&small(1, 1)], &mut EventLog);
    let (version, count): (i64, i64) = own
        .query_row("SELECT (SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM theirs)", (), |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .expect("a row");
    assert_eq!((version, count), (42, 1));
}

/// Where the children of the tests below keep their store.
const CHILD: &str = "MUSTER_SYNC_TEST_STORE";

/// What a child process does: applies for as long as it lives, and says after each commit how far it is.
#[test]
fn a_child_that_applies_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let mut store = Store::open(Path::new(&path), Durability::Full, &mut EventLog).expect("it opens");
    let place = store.place(&StreamId::parse(STREAM).expect("an id")).expect("a look");
    let mut next = place.map_or(0, |place| place.position.seq.get()) + 1;
    loop {
        match store.apply([&run(STREAM, next, 50, |seq| format!("\"{seq:0>1000}\""))], &mut EventLog).remove(0) {
            Ok(()) => {
                next += 50;
                println!("applied {}", next - 1);
            }
            Err(error) => {
                assert!(error.is_retryable(), "{error}");
                println!("failed {error}");
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

fn child(path: &Path) -> Child {
    let program = std::env::current_exe().expect("this program");
    Command::new(program)
        .args(["--exact", "store::tests::a_child_that_applies_until_it_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a child")
}

#[test]
fn a_process_killed_in_the_middle_of_applying_leaves_cursor_and_effects_in_agreement() {
    use std::io::{BufRead, BufReader};
    let (_folder, path) = file();
    let mut said = 0;
    for round in 0..12u64 {
        let mut child = child(&path);
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        // At another moment in each round, once it has begun.
        let mut left = round % 4 + 1;
        let begun = Instant::now();
        while left > 0 {
            let line = lines.next().expect("it lives").expect("text");
            if let Some(seq) = line.strip_prefix("applied ") {
                said = seq.parse().expect("a number");
                left -= 1;
            }
        }
        std::thread::sleep(begun.elapsed() / 7 * (round as u32 % 5));
        child.kill().expect("killed");
        child.wait().expect("gone");
        for line in lines.map_while(Result::ok) {
            if let Some(seq) = line.strip_prefix("applied ") {
                said = seq.parse().expect("a number");
            }
        }
        let reader = Reader::open(&path).expect("readable");
        let place = reader.place(&StreamId::parse(STREAM).expect("an id")).expect("a look").expect("a place");
        let seqs = seqs(&path);
        assert_eq!(seqs, (1..=place.position.seq.get()).collect::<Vec<_>>(), "round {round}");
        assert!(place.position.seq.get() >= said, "what was reported as applied is gone");
    }
    assert!(said > 0);
}

#[test]
fn a_full_disk_is_said_nothing_half_is_left_and_it_goes_on_when_there_is_room() {
    use std::io::{BufRead, BufReader, Write};
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("small")).expect("a folder");
    let program = std::env::current_exe().expect("this program");
    // In a mount namespace of its own the folder is a file system of 3 MiB, half of it taken; a line on its input makes room.
    let script = format!(
        "mount -t tmpfs -o size=3m none small && head -c 1500000 /dev/zero >small/ballast && echo mounted && \
         {{ {} --exact store::tests::a_child_that_applies_until_it_is_killed --nocapture & }} && \
         read -r line && rm small/ballast && echo 'room made' && read -r line; kill -9 $!; wait; \
         sqlite3 small/store.db 'SELECT count(*), max(seq), (SELECT seq FROM muster_cursor) FROM event'",
        program.display()
    );
    let mut shell = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", &script])
        .current_dir(folder.path())
        .env(CHILD, "small/store.db")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("unshare");
    let mut input = shell.stdin.take().expect("a pipe");
    let mut lines = BufReader::new(shell.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let Some(first) = lines.next() else {
        shell.wait().expect("gone");
        return eprintln!("this user may not mount; the disk was not filled");
    };
    assert_eq!(first, "mounted");
    let full = lines.find(|line| line.starts_with("failed")).expect("the disk fills up");
    assert!(full.contains("the disk of the store is full"), "{full}");
    writeln!(input).expect("it listens");
    lines.find(|line| line == "room made").expect("room");
    lines.find(|line| line.starts_with("applied")).expect("it goes on");
    writeln!(input).expect("it listens");
    let last = lines.last().expect("the count");
    shell.wait().expect("gone");
    let numbers: Vec<u64> = last.split('|').map(|number| number.parse().expect("a number")).collect();
    assert!(numbers[0] > 0 && numbers.iter().all(|number| *number == numbers[0]), "{last}");
}

#[test]
#[ignore = "a measurement: cargo test -p muster-sync -- --ignored --nocapture cost"]
fn the_cost_of_a_page() {
    let (_folder, path) = file();
    for durability in [Durability::Full, Durability::Normal] {
        let mut store = Store::open(&path, durability, &mut EventLog).expect("it opens");
        let from = store.places().expect("places").first().map_or(0, |(_, place)| place.position.seq.get());
        let pages: Vec<Batch> =
            (0..200).map(|page| run(STREAM, from + page * 500 + 1, 500, |seq| format!("\"{seq:0>254}\""))).collect();
        let Change::Events(first) = &pages[0].change else { panic!("events") };
        let began = Instant::now();
        for event in &first.events {
            assert_eq!(PayloadHash::of(event.payload.as_bytes()), event.hash.into());
        }
        let verify = began.elapsed();
        let answer = muster_contract::page::Answer::Ok(muster_contract::page::Page {
            epoch: 7,
            floor: 1,
            head: first.last().get(),
            first: first.first.get(),
            mark: 0,
            events: first.events.clone(),
        });
        let bytes = answer.to_bytes();
        let began = Instant::now();
        muster_contract::page::Answer::<muster_contract::page::Page>::from_bytes(&bytes).expect("an answer");
        let decode = began.elapsed();
        let mut took: Vec<Duration> = pages
            .iter()
            .map(|page| {
                let began = Instant::now();
                store.apply([page], &mut EventLog).remove(0).expect("applied");
                began.elapsed()
            })
            .collect();
        took.sort();
        let (least, median) = (took[0], took[took.len() / 2]);
        eprintln!(
            "{durability:?}: decode {decode:?}, verify {verify:?}, apply {least:?} at least, {median:?} at the median, \
             for 500 events of 256 bytes"
        );
    }
}

#[test]
fn a_process_that_may_open_no_more_files_is_helped_by_waiting() {
    let cannot_open = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN), None);
    let error = StoreError::from(cannot_open);
    assert!(matches!(error, StoreError::CannotOpen { .. }) && error.is_retryable(), "{error}");
}
