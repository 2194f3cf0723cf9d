//! Backups: a copy of the folder of a running host, and what a host finds that starts from it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use muster_host::{Backup, BackupError, Host, RunningHost, backup};
use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, answer};
use crate::module::{Variant, module};

const WRITERS: usize = 4;

async fn start(folder: &Path) -> RunningHost {
    Host::builder().data_dir(folder).start().await.unwrap()
}

async fn copy(from: &Path, to: &Path) -> Result<Backup, BackupError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    tokio::task::spawn_blocking(move || backup(&from, &to)).await.unwrap()
}

/// Rows of very different lengths, so that a copy meets commits at every stage.
fn row(writer: usize, n: usize) -> String {
    format!("{writer} {n:06} {}", "x".repeat((n * 7919) % 20_000))
}

/// The numbers of the rows of each writer.
async fn written(owner: &Client, database: &str) -> Vec<BTreeSet<usize>> {
    let mut written = vec![BTreeSet::new(); WRITERS];
    for item in owner.items(database).await {
        let mut parts = item.split(' ');
        let mut number = || parts.next().unwrap().parse::<usize>().unwrap();
        let (writer, n) = (number(), number());
        assert_eq!(item, row(writer, n), "a row is whole");
        written[writer].insert(n);
    }
    written
}

/// Writes for as long as `go_on` says, each row after the last, and says which were confirmed.
async fn write(owner: Client, writer: usize, confirmed: Arc<[AtomicUsize]>, go_on: Arc<AtomicBool>) {
    for n in 0.. {
        if !go_on.load(Ordering::Relaxed) {
            break;
        }
        let (status, body) = owner.call("busy", "add", json!([row(writer, n)])).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        confirmed[writer].store(n + 1, Ordering::SeqCst);
        // Busy, and yet the log stays small enough to be read many times.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_busy_host_starts_with_everything_that_was_confirmed_before() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let host = start(&original).await;
    let owner = Client::new(host.url()).await;
    owner.publish("busy", module(Variant::Plain)).await;
    owner.publish("quiet", module(Variant::WithNotes)).await;
    owner.call("quiet", "add", json!(["still there"])).await;
    let go_on = Arc::new(AtomicBool::new(true));
    let confirmed: Arc<[AtomicUsize]> = (0..WRITERS).map(|_| AtomicUsize::new(0)).collect();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| tokio::spawn(write(owner.clone(), writer, confirmed.clone(), go_on.clone())))
        .collect();

    for round in 0..4 {
        let ahead = confirmed[0].load(Ordering::SeqCst) + 10;
        while confirmed[0].load(Ordering::SeqCst) < ahead {
            assert!(writers.iter().all(|writer| !writer.is_finished()), "the load goes on");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let before: Vec<usize> = confirmed.iter().map(|count| count.load(Ordering::SeqCst)).collect();
        let restored = folder.path().join(format!("copy-{round}"));
        let made = copy(&original, &restored).await.unwrap();
        assert_eq!(made.databases, 2);
        assert!(!restored.join("host.lock").exists());
        // The log replays cleanly, also once the host has written to it.
        for restart in 0..2 {
            let host = start(&restored).await;
            let client = Client::nobody(host.url()).with_token(owner.token.clone().unwrap());
            let rows = written(&client, "busy").await;
            for (writer, rows) in rows.iter().enumerate() {
                assert!(rows.len() >= before[writer], "round {round}: {} of {}", rows.len(), before[writer]);
                assert_eq!(rows.iter().copied().collect::<Vec<_>>(), (0..rows.len()).collect::<Vec<_>>(), "no hole");
            }
            assert_eq!(client.items("quiet").await, ["still there"]);
            assert!(client.rows("quiet", "SELECT * FROM note").await.is_empty());
            assert_eq!(client.rows("busy", "SELECT * FROM session").await.len(), 1, "the asker alone: no ghosts");
            if restart == 0 {
                // The copy is the owner's as the original is: its tokens are taken, and its module can be replaced.
                client.publish("busy", module(Variant::Plain)).await;
                assert_eq!(client.call("busy", "add", json!([row(0, rows[0].len())])).await.0, StatusCode::OK);
            }
            host.shutdown().await;
        }
    }
    go_on.store(false, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_made_while_databases_come_and_go_has_whole_ones_or_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let host = start(&original).await;
    let owner = Client::new(host.url()).await;
    owner.publish("stays", module(Variant::Plain)).await;
    let go_on = Arc::new(AtomicBool::new(true));
    let publisher = tokio::spawn({
        let (owner, go_on) = (owner.clone(), go_on.clone());
        async move {
            for n in 0.. {
                if !go_on.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("passing-{n}");
                owner.publish(&name, module(Variant::Plain)).await;
                answer(owner.delete(&format!("/v1/database/{name}"))).await;
            }
        }
    });
    let mut made = 0;
    for round in 0..4 {
        let restored = folder.path().join(format!("copy-{round}"));
        match copy(&original, &restored).await {
            Ok(backup) => {
                made += 1;
                let host = start(&restored).await;
                let client = Client::nobody(host.url()).with_token(owner.token.clone().unwrap());
                assert!(client.items("stays").await.is_empty());
                let listed =
                    crate::client::json(client.get(&format!("/v1/identity/{}/databases", owner.identity))).await;
                let listed = listed["identities"].as_array().unwrap().clone();
                assert_eq!(listed.len(), backup.databases);
                for database in listed {
                    assert!(client.items(database.as_str().unwrap()).await.is_empty(), "it launches");
                }
                host.shutdown().await;
            }
            Err(error) => {
                assert!(matches!(error, BackupError::Unquiet), "{error}");
                assert!(!restored.exists());
            }
        }
    }
    println!("{made} of 4 backups were made");
    go_on.store(false, Ordering::Relaxed);
    publisher.await.unwrap();
    // What was begun and given up is gone.
    let left: Vec<PathBuf> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.iter().all(|path| !path.to_string_lossy().contains("unfinished")), "{left:?}");
    host.shutdown().await;
}

#[tokio::test]
async fn a_backup_is_its_owners_alone_and_never_replaces_anything() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let not_yet = copy(&folder.path().join("none"), &folder.path().join("x")).await.unwrap_err();
    assert!(matches!(not_yet, BackupError::File { .. }), "{not_yet}");
    let no_data = copy(folder.path(), &folder.path().join("x")).await.unwrap_err();
    assert!(matches!(no_data, BackupError::NoData { .. }), "{no_data}");
    start(&original).await.shutdown().await;

    let inside = copy(&original, &original.join("backup")).await.unwrap_err();
    assert!(matches!(inside, BackupError::TargetInside { .. }), "{inside}");
    let taken = folder.path().join("taken");
    std::fs::create_dir(&taken).unwrap();
    std::fs::write(taken.join("precious"), "data").unwrap();
    let error = copy(&original, &taken).await.unwrap_err();
    assert!(matches!(error, BackupError::TargetTaken { .. }), "{error}");
    assert_eq!(std::fs::read_to_string(taken.join("precious")).unwrap(), "data");

    // A stopped host's folder is copied as well; an empty folder may be there.
    let restored = folder.path().join("copy");
    std::fs::create_dir(&restored).unwrap();
    assert_eq!(copy(&original, &restored).await.unwrap().databases, 0);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&restored), 0o700);
    for name in ["control.sqlite", "keys/id_ecdsa"] {
        assert_eq!(mode(&restored.join(name)), 0o600, "{name}");
    }
    start(&restored).await.shutdown().await;
}

/// The engine takes a snapshot every million transactions. Calls of this many at a time are under way on each connection.
const SNAPSHOT_EVERY: usize = 1_000_000;
const UNDER_WAY: usize = 512;

async fn write_many(owner: Client, url: String, writer: usize, rows: usize) {
    let endpoint = muster_wire::Endpoint::new(&url, "large").unwrap();
    let mut options = muster_wire::ConnectOptions::new(endpoint);
    options.token = owner.token.as_deref().map(|token| muster_wire::Token::new(token).unwrap());
    options.confirmed = false;
    let (connection, _incoming) = muster_wire::connect(options).await.unwrap();
    let calls = futures::stream::iter(0..rows).map(|n| {
        let connection = &connection;
        async move {
            let reply = connection.call_reducer("add", muster_wire::args(&(format!("{writer} {n}"),))).await.unwrap();
            assert!(reply.outcome.is_ok(), "{reply:?}");
        }
    });
    calls.buffer_unordered(UNDER_WAY).collect::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a million transactions, some minutes: run by hand"]
async fn a_copy_with_a_snapshot_in_it_starts_with_everything_too() {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("original");
    let host = start(&original).await;
    let owner = Client::new(host.url()).await;
    owner.publish("large", module(Variant::Plain)).await;
    // A few less, so that one of the calls below is the one that counts: each is three transactions.
    let rows = (SNAPSHOT_EVERY - 60) / WRITERS;
    let writers: Vec<_> =
        (0..WRITERS).map(|writer| tokio::spawn(write_many(owner.clone(), host.url(), writer, rows))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    // A confirmed call waits for all before it.
    let snapshots = original.join("replicas/1/snapshots");
    let mut copies = 0;
    for n in 0..40 {
        assert_eq!(owner.call("large", "add", json!([format!("last {n}")])).await.0, StatusCode::OK);
        let begun = std::fs::read_dir(&snapshots).is_ok_and(|mut entries| entries.next().is_some());
        if begun || n % 10 == 0 {
            let restored = folder.path().join(format!("copy-{n}"));
            copy(&original, &restored).await.unwrap();
            let copied = std::fs::read_dir(restored.join("replicas/1/snapshots")).map_or(0, Iterator::count);
            println!("after {n} more: a snapshot was begun: {begun}; copied: {copied}");
            let from_copy = start(&restored).await;
            let client = Client::nobody(from_copy.url()).with_token(owner.token.clone().unwrap());
            let count = client.rows("large", "SELECT COUNT(*) AS n FROM item").await[0][0].as_u64().unwrap();
            assert!(count >= (WRITERS * rows + n + 1) as u64, "{count}");
            from_copy.shutdown().await;
            std::fs::remove_dir_all(restored).unwrap();
            copies += copied;
        }
        if copies >= 3 {
            break;
        }
    }
    assert!(copies > 0, "no copy had a snapshot in it");
    host.shutdown().await;
}
