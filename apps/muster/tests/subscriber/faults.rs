//! Kills, cuts, retention, other histories.

use std::process::Command;
use std::time::{Duration, Instant};

use muster_contract::state::{ConnectionState, LeaveReason};

use crate::lane::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_again_and_again_costs_nothing_but_time() {
    let mut lane = Lane::start().await;
    let follower = lane.follow("a.db").await;
    let mut last = 0;
    for round in 0..4 {
        let producer = lane.owner().await;
        append(&producer, "a.b", last + 1, last + 700).await;
        last += 700;
        // Sometimes in the middle of the replay, sometimes live.
        if round % 2 == 0 {
            follower.until_at("a.b", last).await;
        }
        lane.kill_host();
        let status = follower.until(|status| status.state != ConnectionState::Live).await;
        assert_ne!(status.state, ConnectionState::Blocked, "{status:?}");
        assert_eq!(rows(&lane.store("a.db"), "a.b").0.max(1), 1, "readable while the host is away");
        lane.start_host();
    }
    follower.until_at("a.b", last).await;
    assert_eq!(follower.resets(), Vec::<String>::new());
    holds(&follower.stop().await, "a.b", 1, last);
}

#[tokio::test(flavor = "multi_thread")]
async fn live_is_left_within_the_bound_when_the_network_goes_silent_and_comes_back() {
    let lane = Lane::start().await;
    let producer = lane.owner().await;
    append(&producer, "a.b", 1, 5).await;
    let follower = lane.follow("a.db").await;
    follower.until_at("a.b", 5).await;
    lane.proxy.freeze();
    let frozen = Instant::now();
    append(&producer, "a.b", 6, 8).await;
    let status = follower.until(|status| status.state != ConnectionState::Live).await;
    let bound = Duration::from_millis(muster_sync::limits::LIVENESS_MS_MAX) + Duration::from_secs(2);
    assert!(frozen.elapsed() < bound, "{:?}", frozen.elapsed());
    assert_eq!(status.reason, Some(LeaveReason::Network));
    lane.proxy.clear();
    follower.until_at("a.b", 8).await;
    lane.proxy.cut();
    append(&producer, "a.b", 9, 9).await;
    follower.until_at("a.b", 9).await;
    holds(&follower.stop().await, "a.b", 1, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_retention_has_passed_by_is_told_and_ends_right() {
    let lane = Lane::start().await;
    let owner = lane.owner().await;
    append(&owner, "a.b", 1, 100).await;
    let follower = lane.follow("a.db").await;
    follower.until_at("a.b", 100).await;
    follower.stop().await;
    append(&owner, "a.b", 101, 500).await;
    snapshot(&owner, "a.b", 480).await;
    call(&owner, "configure_lane", &(0u64, 30u64, 0u64, true, 1u64)).await;
    let deadline = Instant::now() + PATIENCE;
    while info(&owner, "a.b").await.floor <= 101 {
        assert!(Instant::now() < deadline, "retention never came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let follower = lane.follow("a.db").await;
    follower.until_at("a.b", 500).await;
    assert_eq!(follower.resets(), ["retention_floor_breach"]);
    let store = follower.stop().await;
    holds(&store, "a.b", 481, 500);
    let reader = muster_sync::Reader::open(&store).expect("readable");
    assert_eq!(reader.snapshot(&id("a.b")).expect("a look"), Some((480, "{\"upto\":480}".to_owned())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_epoch_starts_again_and_ends_right() {
    let lane = Lane::start().await;
    let owner = lane.owner().await;
    append(&owner, "a.b", 1, 50).await;
    let follower = lane.follow("a.db").await;
    follower.until_at("a.b", 50).await;
    call(&owner, "renew_epochs", &()).await;
    let deadline = Instant::now() + PATIENCE;
    while follower.resets().is_empty() {
        assert!(Instant::now() < deadline, "it was never noticed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    follower.until_at("a.b", 50).await;
    assert_eq!(follower.resets(), ["epoch_changed"]);
    holds(&follower.stop().await, "a.b", 1, 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_said_to_be_closed_and_its_rows_stay() {
    let lane = Lane::start().await;
    let owner = lane.owner().await;
    append(&owner, "a.b", 1, 5).await;
    let follower = lane.follow("a.db").await;
    follower.until_at("a.b", 5).await;
    call(&owner, "delete_stream", &("a.b",)).await;
    follower.until(|status| status.streams.of(ConnectionState::Idle) == 1).await;
    let status = follower.subscriber.stream(&id("a.b")).expect("known").borrow().clone();
    assert_eq!(status.reason, Some(LeaveReason::StreamClosed));
    // And after a while it is not spoken of any more.
    follower.until(|status| status.streams.total() == 0).await;
    assert!(follower.subscriber.stream(&id("a.b")).is_none());
    holds(&follower.stop().await, "a.b", 1, 5);
}

/// Something that upgrades every connection to a WebSocket as a host does, and then never says a word.
async fn mute_host() -> std::net::SocketAddr {
    use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((socket, _)) = listener.accept().await {
            #[expect(clippy::result_large_err, reason = "the library's own type")]
            let accepts = |request: &Request, mut response: Response| {
                let name = "sec-websocket-protocol";
                let asked = request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
                let first = asked.split(',').next().unwrap_or("").trim().to_owned();
                response.headers_mut().insert(name, first.parse().expect("a header"));
                Ok(response)
            };
            // It is kept, so that nothing but the silence ends it.
            open.push(tokio_tungstenite::accept_hdr_async(socket, accepts).await.ok());
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_accepts_and_never_greets_is_given_up_and_tried_again() {
    let mut lane = Lane::start().await;
    let producer = lane.owner().await;
    append(&producer, "a.b", 1, 5).await;
    producer.close().await;
    lane.kill_host();
    lane.proxy.set_upstream(mute_host().await);
    let started = Instant::now();
    let follower = lane.follow("a.db").await;
    let status = follower.until(|status| status.state == ConnectionState::Backoff && status.attempts >= 1).await;
    assert!(started.elapsed() < Duration::from_millis(muster_sync::limits::OPENING_MS_MAX), "{:?}", started.elapsed());
    assert_eq!(status.reason, Some(LeaveReason::Network), "{status:?}");
    assert!(status.last_error.is_some(), "{status:?}");
    // It goes on trying.
    follower.until(|status| status.attempts >= 2).await;
    lane.start_host();
    follower.until_at("a.b", 5).await;
    holds(&follower.stop().await, "a.b", 1, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_restored_from_an_older_copy_is_noticed_and_never_clamped() {
    let mut lane = Lane::start().await;
    let owner = lane.owner().await;
    append(&owner, "shorter", 1, 20).await;
    append(&owner, "diverged", 1, 20).await;
    owner.close().await;
    lane.stop_host();
    let (folder, copy) = (lane.host_folder(), lane.store("copy"));
    copy_folder(&folder, &copy);
    lane.start_host();
    let owner = lane.owner().await;
    append(&owner, "shorter", 21, 40).await;
    append(&owner, "diverged", 21, 40).await;
    let follower = lane.follow("a.db").await;
    follower.until_at("shorter", 40).await;
    follower.until_at("diverged", 40).await;
    lane.kill_host();
    std::fs::remove_dir_all(&folder).expect("gone");
    copy_folder(&copy, &folder);
    // Before the subscriber sees it, one stream is as long again, with other events: all but the one at its cursor, which
    // is the very same, so that only what came before it tells the two apart.
    lane.proxy.refuse();
    lane.start_host();
    let owner = lane.owner().await;
    let other: Vec<muster_contract::page::NewEvent> = Vec::from_iter((21..=45).map(other_event));
    call(&owner, "append_events", &("diverged", 0u64, PRODUCER, 21u64, 0u64, other)).await;
    lane.proxy.clear();
    follower.until_at("shorter", 20).await;
    follower.until_at("diverged", 45).await;
    let mut resets = follower.resets();
    resets.sort();
    assert_eq!(resets, ["head_behind_cursor", "history_diverged"]);
    let store = follower.stop().await;
    holds(&store, "shorter", 1, 20);
    assert_eq!(rows(&store, "diverged").1[20], "{\"other\":21}");
}

fn other_event(number: u64) -> muster_contract::page::NewEvent {
    if number == 40 {
        return event(payload("diverged", number));
    }
    event(format!("{{\"other\":{number}}}"))
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp").success());
}
