//! Files that are in use, of another kind, of another time, or damaged.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;

use muster_contract::stream::StreamId;
use muster_publisher::{Decision, OpenError, OperateError, OutboxConfig, Publisher, inspect};

use crate::support::{FOLDER, Killed, again, events, folder, open};

#[tokio::test]
async fn an_outbox_is_for_its_owner_alone_and_keeps_its_producer() {
    let (folder, outbox) = folder();
    let publisher = open(&outbox);
    let producer = publisher.producer();
    publisher.publish("t", "k", "{}").await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
    publisher.close().await;
    let publisher = open(&outbox);
    assert_eq!(publisher.producer(), producer);
    let receipt = publisher.publish("t", "k", "{}").await.unwrap();
    assert_eq!((receipt.first, receipt.last), (2, 2));
}

#[test]
fn an_outbox_held_open() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let _publisher = open(&std::path::Path::new(&folder).join("outbox"));
    println!("open");
    let _ = std::io::stdin().read_line(&mut String::new());
}

#[test]
fn two_processes_do_not_share_an_outbox_and_the_second_hears_who_has_it() {
    let (folder, outbox) = folder();
    let mut other = Killed(again("files::an_outbox_held_open", folder.path()).spawn().unwrap());
    let lines = BufReader::new(other.0.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.ends_with("open")));
    let error = Publisher::open(OutboxConfig::new(&outbox)).unwrap_err();
    let OpenError::InUse { holder, .. } = &error else { panic!("{error}") };
    assert_eq!(*holder, format!("process {}", other.0.id()));
    assert_eq!(inspect(&outbox, false, 10).unwrap().events, 0, "looking is always allowed");
    drop(other);
    Publisher::open(OutboxConfig::new(&outbox)).unwrap();
}

#[tokio::test]
async fn two_publishers_of_one_process_do_not_share_an_outbox_either() {
    let (_folder, outbox) = folder();
    let first = open(&outbox);
    assert!(matches!(Publisher::open(OutboxConfig::new(&outbox)), Err(OpenError::InUse { .. })));
    first.close().await;
    Publisher::open(OutboxConfig::new(&outbox)).unwrap();
}

#[tokio::test]
async fn a_newer_format_is_refused_and_left_alone() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publisher.publish("t", "k", "{}").await.unwrap();
    publisher.close().await;
    rusqlite::Connection::open(&outbox).unwrap().pragma_update(None, "user_version", 2).unwrap();
    let error = Publisher::open(OutboxConfig::new(&outbox)).unwrap_err();
    assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1, .. }), "{error}");
    assert_eq!(events(&outbox).len(), 1);
}

#[test]
fn a_file_of_something_else_is_refused_and_left_alone() {
    let (_folder, outbox) = folder();
    let text = "a shopping list, for instance".repeat(100);
    std::fs::write(&outbox, &text).unwrap();
    let error = Publisher::open(OutboxConfig::new(&outbox)).unwrap_err();
    assert!(matches!(error, OpenError::NotAnOutbox { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(&outbox).unwrap(), text);

    std::fs::remove_file(&outbox).unwrap();
    rusqlite::Connection::open(&outbox).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    let error = Publisher::open(OutboxConfig::new(&outbox)).unwrap_err();
    assert!(matches!(error, OpenError::NotAnOutbox { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_outbox_is_refused_and_left_alone() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    for _ in 0..50 {
        publisher.publish("t", "k", &format!("\"{}\"", "x".repeat(10_000))).await.unwrap();
    }
    publisher.close().await;
    let whole = std::fs::read(&outbox).unwrap();
    // Among the tables, and in the middle of what events are kept in; the first page still says that it is an outbox.
    for at in [4 * 4_096, whole.len() / 2 / 4_096 * 4_096] {
        let mut damaged = whole.clone();
        damaged[at..at + 5 * 4_096].fill(0xa5);
        std::fs::write(&outbox, &damaged).unwrap();
        let error = Publisher::open(OutboxConfig::new(&outbox)).unwrap_err();
        assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
        assert_eq!(std::fs::read(&outbox).unwrap(), damaged);
    }
}

#[test]
fn an_outbox_cut_short_is_refused() {
    let (_folder, outbox) = folder();
    drop(open(&outbox));
    // The writer closes its file by itself a moment later.
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while matches!(Publisher::open(OutboxConfig::new(&outbox)).map(drop), Err(OpenError::InUse { .. })) {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    while outbox.with_file_name("outbox-wal").exists() {
        assert!(std::time::Instant::now() < deadline);
        std::thread::yield_now();
    }
    let bytes = std::fs::read(&outbox).unwrap();
    std::fs::write(&outbox, &bytes[..20_000]).unwrap();
    let error = Publisher::open(OutboxConfig::new(&outbox)).unwrap_err();
    assert!(matches!(error, OpenError::Corrupt { .. }), "{error}");
}

#[test]
fn a_folder_that_does_not_exist_is_an_error_with_a_remedy() {
    let (folder, _) = folder();
    let error = Publisher::open(OutboxConfig::new(folder.path().join("no/outbox"))).unwrap_err();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(error.to_string().contains("check the folder"), "{error}");
}

#[tokio::test]
async fn an_outbox_reached_by_two_names_has_one_owner() {
    let (folder, outbox) = folder();
    let first = open(&outbox);
    let link = folder.path().join("link");
    std::os::unix::fs::symlink(&outbox, &link).unwrap();
    let error = Publisher::open(OutboxConfig::new(&link)).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    let other_folder = folder.path().join("folder");
    std::os::unix::fs::symlink(folder.path(), &other_folder).unwrap();
    let error = Publisher::open(OutboxConfig::new(other_folder.join("outbox"))).unwrap_err();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    first.close().await;

    // By the other name alone it is the same outbox, with the same files beside it.
    let second = open(&link);
    second.publish("t", "k", "{}").await.unwrap();
    assert!(folder.path().join("outbox-wal").exists());
    assert!(!folder.path().join("link.lock").exists());
    second.close().await;
    assert_eq!(events(&outbox).len(), 1);
}

#[tokio::test]
async fn an_outbox_with_a_second_hard_link_is_refused() {
    let (folder, outbox) = folder();
    open(&outbox).close().await;
    let link = folder.path().join("link");
    std::fs::hard_link(&outbox, &link).unwrap();
    for name in [&outbox, &link] {
        let error = Publisher::open(OutboxConfig::new(name)).unwrap_err();
        assert!(error.to_string().contains("2 names"), "{error}");
    }
    std::fs::remove_file(&link).unwrap();
    open(&outbox).close().await;
}

#[tokio::test]
async fn events_that_are_passed_over_are_gone_and_no_others() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    for n in 1..=5 {
        publisher.publish("t", "k", &n.to_string()).await.unwrap();
    }
    publisher.close().await;
    let park = "UPDATE stream SET parked_code = 'payload_too_large', parked_message = '', parked_ms = 0";
    rusqlite::Connection::open(&outbox).unwrap().execute(park, []).unwrap();

    let publisher = open(&outbox);
    let stream: StreamId = muster_contract::topic::Topic::parse("t").unwrap().stream().clone();
    for through in [0, 6] {
        let none = publisher.decide(&stream, Decision::Skip { through }).await;
        let expected = OperateError::NoSuchEvent { stream: stream.clone(), number: through, first: 1, last: 5 };
        assert_eq!(none, Err(expected));
    }
    assert_eq!(publisher.decide(&stream, Decision::Skip { through: 2 }).await, Ok(2));
    let again = publisher.decide(&stream, Decision::Skip { through: 3 }).await;
    assert_eq!(again, Err(OperateError::NotParked { stream: stream.clone() }), "it goes on");
    let view = inspect(&outbox, false, 10).unwrap().streams.remove(0);
    assert_eq!((view.pending, view.confirmed, view.parked), (3, 2, None));
    publisher.close().await;
    let left: Vec<String> = events(&outbox).into_values().map(|event| event.payload).collect();
    assert_eq!(left, ["3", "4", "5"]);
}
