//! Bad days of the data folder and of publishing: what must not be lost, taken for something else, or waited for.

use std::time::{Duration, Instant};

use muster_host::{Host, StartError};
use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, PATIENCE, answer, host};
use crate::module::{Variant, module};

#[tokio::test]
async fn a_lost_catalogue_is_noticed_before_its_databases_are_taken_for_new_ones() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("old", module(Variant::Plain)).await;
    owner.call("old", "add", json!(["kept"])).await;
    host.shutdown().await;
    let catalogue = folder.path().join("control.sqlite");
    let kept = std::fs::read(&catalogue).unwrap();
    let lose = || {
        for name in ["control.sqlite", "control.sqlite-wal", "control.sqlite-shm"] {
            let _ = std::fs::remove_file(folder.path().join(name));
        }
    };
    lose();
    for empty in [false, true] {
        if empty {
            std::fs::write(&catalogue, "").unwrap();
        }
        let error = Host::builder().data_dir(folder.path()).start().await.unwrap_err();
        assert!(matches!(error, StartError::ControlMissing { .. }), "{error}");
        assert!(error.to_string().contains("restore control.sqlite from a backup"), "{error}");
    }
    // With the catalogue back, everything is.
    lose();
    std::fs::write(&catalogue, kept).unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::nobody(host.url()).with_token(owner.token.unwrap());
    assert_eq!(owner.items("old").await, ["kept"]);
    host.shutdown().await;
}

#[tokio::test]
async fn a_folder_that_the_catalogue_does_not_know_is_never_taken_for_a_new_database() {
    let folder = tempfile::tempdir().unwrap();
    Host::builder().data_dir(folder.path()).start().await.unwrap().shutdown().await;
    // As after an older backup of the catalogue.
    let foreign = folder.path().join("replicas/3/clog/precious");
    std::fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    std::fs::write(&foreign, "data").unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("new", module(Variant::Plain)).await;
    assert!(folder.path().join("replicas/4").is_dir());
    // Also where one appears while the host runs: refused, and left as it is.
    let appeared = folder.path().join("replicas/5");
    std::fs::create_dir(&appeared).unwrap();
    let (status, body) = answer(owner.put("/v1/database/next").body(module(Variant::Plain))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    assert!(appeared.is_dir() && foreign.is_file());
    assert_eq!(answer(owner.get("/v1/database/next")).await.0, StatusCode::NOT_FOUND);
    host.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn what_the_host_keeps_is_its_owners_alone_also_in_a_folder_that_was_there() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("private", module(Variant::Plain)).await;
    let mode = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!([mode("control.sqlite"), mode("control.sqlite-wal"), mode("replicas")], [0o600, 0o600, 0o700]);
    host.shutdown().await;
}

/// One whose `__describe_module__` never returns.
fn looping() -> Vec<u8> {
    // What is imported tells the engine that it is a module.
    let text = r#"(module
        (import "spacetime_10.0" "bytes_sink_write" (func (param i32 i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "__describe_module__") (param i32) (loop $for_ever (br $for_ever)))
        (func (export "__call_reducer__")
            (param i32 i64 i64 i64 i64 i64 i64 i64 i32 i32) (result i32) (i32.const 0))
        (data (i32.const 0) "\ff"))"#;
    wat::parse_str(text).unwrap()
}

#[test]
fn a_module_that_loops_while_it_is_described_holds_up_nobody() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let host = host().await;
        let nobody = Client::nobody(host.url());
        let request = nobody.post("/v1/database").body(looping()).timeout(Duration::from_secs(100));
        let started = Instant::now();
        let looping = tokio::spawn(answer(request));
        let is_tried = async || {
            let (_, metrics) = answer(nobody.get("/v1/metrics")).await;
            metrics.lines().any(|line| line == "muster_host_trials 1")
        };
        let begun = async { while !is_tried().await {} };
        tokio::time::timeout(PATIENCE, begun).await.expect("the host has it");
        let owner = Client::new(host.url()).await;
        owner.publish("brisk", module(Variant::Plain)).await;
        owner.publish("brisk", module(Variant::WithNotes)).await;
        assert_eq!(answer(owner.delete("/v1/database/brisk")).await.0, StatusCode::OK);
        assert!(!looping.is_finished(), "it loops on");
        let (status, body) = looping.await.unwrap();
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(body.contains("did not describe"), "{body}");
        assert!(started.elapsed() < Duration::from_secs(90), "{:?}", started.elapsed());
    });
    // It loops until its budget ends; nobody waits for that.
    runtime.shutdown_background();
}

#[tokio::test]
async fn one_owner_who_publishes_a_name_several_times_at_once_hears_no_refusal() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    let publish = || answer(owner.put("/v1/database/eager").body(module(Variant::Plain)));
    let (a, b, c, d) = tokio::join!(publish(), publish(), publish(), publish());
    for (status, body) in [a, b, c, d] {
        assert_eq!(status, StatusCode::OK, "{body}");
    }
    host.shutdown().await;
}

#[tokio::test]
async fn a_reset_that_cannot_be_done_leaves_the_data() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("kept", module(Variant::Plain)).await;
    owner.call("kept", "add", json!(["here"])).await;
    // The new replica finds its place taken.
    std::fs::create_dir(folder.path().join("replicas/2")).unwrap();
    let (status, body) = answer(owner.put("/v1/database/kept/reset").body(module(Variant::WithNotes))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    assert_eq!(owner.items("kept").await, ["here"]);
    assert_eq!(answer(owner.put("/v1/database/kept/reset")).await.0, StatusCode::OK);
    assert!(owner.items("kept").await.is_empty());
    host.shutdown().await;
}

#[tokio::test]
async fn a_database_that_does_not_launch_can_be_cleared_or_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    for name in ["cleared", "reset", "deleted"] {
        owner.publish(name, module(Variant::Plain)).await;
    }
    host.shutdown().await;
    for replica in std::fs::read_dir(folder.path().join("replicas")).unwrap() {
        let replica = replica.unwrap().path();
        std::fs::remove_dir_all(replica.join("clog")).unwrap();
        std::fs::write(replica.join("clog"), "no log").unwrap();
    }
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::nobody(host.url()).with_token(owner.token.unwrap());
    let (status, body) = answer(owner.post("/v1/database/cleared/pre_publish").body(module(Variant::Plain))).await;
    assert!(status == StatusCode::INTERNAL_SERVER_ERROR && body.contains("cannot be launched"), "{status}: {body}");
    let clear = owner.put("/v1/database/cleared?clear=true").body(module(Variant::Plain));
    assert_eq!(answer(clear).await.0, StatusCode::OK);
    assert!(owner.items("cleared").await.is_empty());
    assert_eq!(answer(owner.put("/v1/database/reset/reset")).await.0, StatusCode::OK);
    assert_eq!(answer(owner.delete("/v1/database/deleted")).await.0, StatusCode::OK);
    assert_eq!(std::fs::read_dir(folder.path().join("replicas")).unwrap().count(), 2);
    host.shutdown().await;
}
