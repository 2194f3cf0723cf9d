//! What stays open of a database that is gone: nothing. Counted in `/proc`, among the files of the test's own folder,
//! because other tests run in this process too.

use std::path::Path;
use std::time::{Duration, Instant};

use muster_host::Host;
use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, answer};
use crate::module::{Variant, module};

/// How long files may stay open behind the answer to a delete: tasks of the engine's end on their own.
const CLOSED_WITHIN: Duration = Duration::from_secs(20);

/// The files below `folder` that this process has open and that `counts`.
fn open_below(folder: &Path, counts: impl Fn(&str) -> bool) -> Vec<String> {
    let links = std::fs::read_dir("/proc/self/fd").unwrap().filter_map(Result::ok);
    let files = links.filter_map(|link| std::fs::read_link(link.path()).ok());
    let below = files.filter(|file| file.starts_with(folder)).map(|file| file.to_string_lossy().into_owned());
    below.filter(|file| counts(file)).collect()
}

/// Waits until none is open any more.
async fn closed(folder: &Path, counts: impl Fn(&str) -> bool) {
    let until = Instant::now() + CLOSED_WITHIN;
    loop {
        let open = open_below(folder, &counts);
        if open.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "still open: {open:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_database_that_was_deleted_or_reset_leaves_no_file_open() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    for _ in 0..3 {
        owner.publish("comes-and-goes", module(Variant::Plain)).await;
        assert_eq!(owner.call("comes-and-goes", "add", json!(["kept"])).await.0, StatusCode::OK);
        let logs = open_below(folder.path(), |file| file.contains("/replicas/") && !file.ends_with(" (deleted)"));
        assert!(!logs.is_empty(), "a database that runs has files open, else this test counts nothing");
        assert_eq!(answer(owner.delete("/v1/database/comes-and-goes")).await.0, StatusCode::OK);
    }
    owner.publish("emptied", module(Variant::Plain)).await;
    let reset = answer(owner.put("/v1/database/emptied?clear=true").body(module(Variant::Plain))).await;
    assert_eq!(reset.0, StatusCode::OK, "{}", reset.1);
    closed(folder.path(), |file| file.ends_with(" (deleted)")).await;
    assert_eq!(owner.call("emptied", "add", json!(["still there"])).await.0, StatusCode::OK);
    host.shutdown().await;
}

#[tokio::test]
async fn a_host_that_has_ended_has_none_of_its_folders_files_open() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
        let owner = Client::new(host.url()).await;
        owner.publish("kept", module(Variant::Plain)).await;
        host.shutdown().await;
        closed(folder.path(), |_| true).await;
        std::fs::remove_dir_all(folder.path()).unwrap();
    }
}
