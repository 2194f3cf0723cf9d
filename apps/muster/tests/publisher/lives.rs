//! Streams that are made anew, and hosts that come back from an older copy.

use std::path::{Path, PathBuf};

use muster_publisher::{Decision, Publisher, SenderState, Trouble, inspect};
use tempfile::TempDir;

use crate::lane::{Lane, Place};
use crate::plane::{FLUSH, config, folder, free_port, host_at, open, payloads, publish, stored, stream, until};
use crate::support::{Host, Sandbox, muster_module};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_was_deleted_begins_anew_with_what_was_not_confirmed() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    for (first, last) in [(1, 10), (11, 11)] {
        publish(&publisher, "a.x", "p", first..=last).await;
        publisher.flush(FLUSH).await.expect("all confirmed");
    }
    let owner = lane.owner().await;
    owner.call("delete_stream", &("a.x",)).await.expect("deleted");
    publish(&publisher, "a.x", "p", 12..=30).await;
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&owner, "a.x").await, payloads("p", 12..=30));
    assert_eq!(publisher.metrics().sender.rebased, 1);

    // Again, with a publisher that was away meanwhile.
    publisher.close().await;
    owner.call("delete_stream", &("a.x",)).await.expect("deleted");
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 31..=40).await;
    publisher.connect(config(lane.place.endpoint()));
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&owner, "a.x").await, payloads("p", 31..=40));
}

#[tokio::test(flavor = "multi_thread")]
async fn renewed_epochs_change_nothing_for_a_publisher() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    publish(&publisher, "a.x", "p", 1..=10).await;
    publisher.flush(FLUSH).await.expect("all confirmed");
    let owner = lane.owner().await;
    for round in 1..=3 {
        publish(&publisher, "a.x", "p", round * 10 + 1..=round * 10 + 5).await;
        owner.call("renew_epochs", &()).await.expect("renewed");
        publish(&publisher, "a.x", "p", round * 10 + 6..=round * 10 + 10).await;
        publisher.flush(FLUSH).await.expect("all confirmed");
    }
    assert_eq!(stored(&owner, "a.x").await, payloads("p", 1..=40));
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success());
}

/// A host that has events 1 to 20, of 30 that it had confirmed to this publisher.
struct Restored {
    _sandbox: Sandbox,
    place: Place,
    publisher: Publisher,
    outbox: PathBuf,
    _folder: TempDir,
    _host: Host,
}

async fn restored() -> Restored {
    let sandbox = Sandbox::new();
    let port = free_port();
    let host = host_at(&sandbox, port);
    let module = std::fs::read(muster_module()).expect("the module's file");
    let place = Place::publish(host.url.clone(), module).await;
    let (folder, outbox) = folder();
    let publisher = open(&outbox);
    publisher.connect(config(place.endpoint()));
    for (first, last) in [(1, 10), (11, 20)] {
        publish(&publisher, "a.x", "p", first..=last).await;
        publisher.flush(FLUSH).await.expect("all confirmed");
    }
    let data = host.data_dir.clone();
    host.kill();
    copy(&data, &folder.path().join("copy"));
    let host = host_at(&sandbox, port);
    publish(&publisher, "a.x", "p", 21..=30).await;
    publisher.flush(FLUSH).await.expect("all confirmed");
    host.kill();
    std::fs::remove_dir_all(&data).expect("the host is gone");
    copy(&folder.path().join("copy"), &data);
    let host = host_at(&sandbox, port);
    Restored { _sandbox: sandbox, place, publisher, outbox, _folder: folder, _host: host }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_restored_from_an_older_copy_parks_the_stream_until_a_person_accepts_the_loss() {
    let Restored { place, publisher, outbox, .. } = &restored().await;
    publish(publisher, "a.x", "p", 31..=40).await;
    until(publisher, |status| status.parked_streams == 1).await;
    publisher.flush(FLUSH).await.expect("parked events are not waited for");
    let parked = inspect(outbox, true, 10).expect("an outbox").streams;
    assert_eq!(parked[0].parked.as_ref().expect("a reason").code, "host_behind_outbox");
    let session = place.join(None).await;
    assert_eq!(stored(&session, "a.x").await, payloads("p", 1..=20), "nothing was sent past the hole");

    publisher.decide(&stream("a.x"), Decision::AcceptLoss).await.expect("accepted");
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&session, "a.x").await, [payloads("p", 1..=20), payloads("p", 31..=40)].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_host_whose_epochs_were_renewed_says_what_it_lost_too() {
    let Restored { place, publisher, outbox, .. } = &restored().await;
    let owner = place.join(Some(place.owner.clone())).await;
    owner.call("renew_epochs", &()).await.expect("renewed");
    publish(publisher, "a.x", "p", 31..=40).await;
    until(publisher, |status| status.parked_streams == 1).await;
    publisher.flush(FLUSH).await.expect("parked events are not waited for");
    let parked = inspect(outbox, true, 10).expect("an outbox").streams.remove(0).parked.expect("a reason");
    assert_eq!(parked.code, "host_behind_outbox");
    assert!(parked.message.contains("events 21 to 30"), "{}", parked.message);
    publisher.decide(&stream("a.x"), Decision::AcceptLoss).await.expect("accepted");
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&owner, "a.x").await, [payloads("p", 1..=20), payloads("p", 31..=40)].concat());
    assert_eq!(publisher.metrics().sender.rebased, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outbox_restored_from_an_older_copy_loses_none_of_what_was_published_since() {
    let lane = Lane::start().await;
    let (folder, outbox) = folder();
    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    publish(&publisher, "a.x", "p", 1..=20).await;
    publisher.flush(FLUSH).await.expect("all confirmed");
    publisher.close().await;
    assert!(!folder.path().join("outbox-wal").exists(), "a closed outbox is one file");
    let older = folder.path().join("older");
    std::fs::copy(&outbox, &older).expect("copied");

    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    publish(&publisher, "a.x", "p", 21..=50).await;
    publisher.flush(FLUSH).await.expect("all confirmed");
    publisher.close().await;
    std::fs::rename(&older, &outbox).expect("the older copy is there again");

    let publisher = open(&outbox);
    let new = payloads("p", 100..=140);
    publish(&publisher, "a.x", "p", 100..=140).await;
    publisher.connect(config(lane.place.endpoint()));
    until(&publisher, |status| status.parked_streams == 1).await;
    publisher.flush(FLUSH).await.expect("parked events are not waited for");
    let parked = inspect(&outbox, true, 10).expect("an outbox").streams.remove(0);
    assert_eq!((parked.parked.expect("a reason").code.as_str(), parked.pending), ("outbox_behind_host", 41));
    publisher.decide(&stream("a.x"), Decision::AcceptLoss).await.expect("accepted");
    publisher.flush(FLUSH).await.expect("all confirmed");
    let session = lane.join().await;
    assert_eq!(stored(&session, "a.x").await, [payloads("p", 1..=50), new].concat());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_does_not_take_the_kept_token_any_more_is_told_apart_and_the_token_is_forgotten_on_request() {
    let Restored { _sandbox: sandbox, place, publisher, _host: host, .. } = restored().await;
    until(&publisher, |status| status.state == SenderState::Idle).await;
    let (data, port) = (host.data_dir.clone(), port_of(&host.url));
    host.kill();
    std::fs::remove_dir_all(&data).expect("the host is gone, with its keys");
    let _host = host_at(&sandbox, port);
    let status = until(&publisher, |status| status.trouble == Some(Trouble::KeptTokenRefused)).await;
    assert_eq!(status.state, SenderState::Blocked);
    assert!(status.last_error.expect("a reason").contains("forget_token"));

    publisher.forget_token(&place.endpoint()).await.expect("forgotten");
    publisher.retry_now();
    let status = until(&publisher, |status| status.trouble.is_none() && status.last_error.is_some()).await;
    assert!(status.last_error.expect("a reason").contains("has no database"));
}

fn port_of(url: &str) -> u16 {
    url.trim_end_matches('/').rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
}
