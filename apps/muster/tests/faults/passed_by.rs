//! Retention that passes a subscriber while it is away.

use muster_contract::resume::StaleReason;

use crate::desk::{Desk, Told, numbered, rows, snapshot};
use crate::lane::Lane;

fn payloads(numbers: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = String> {
    numbers.map(|n| format!(r#"{{"n":{n}}}"#))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_retention_has_passed_is_told_starts_from_the_snapshot_and_ends_right() {
    let lane = Lane::start().await;
    let (folder, session, owner) = (tempfile::tempdir().expect("a folder"), lane.join().await, lane.owner().await);
    let store = folder.path().join("store");
    session.emit("a.x", 1..=300).await;
    let desk = Desk::open(lane.place.endpoint(), &store, "a.x").await;
    desk.until_rows("a.x", &numbered(1, payloads(1..=300))).await;
    desk.close().await;

    for first in (301..=900).step_by(100) {
        session.emit("a.x", first..=first + 99).await;
    }
    let epoch = session.read("a.x", 890).await.epoch;
    session.put_snapshot("a.x", epoch, 800, r#"{"sum":"of 800"}"#).await.expect("kept");
    // At most 50 events; but what is newer than the snapshot stays.
    owner.call("configure_lane", &(0u64, 50u64, 0u64, true, 1u64)).await.expect("configured");
    lane.place.until_count("sync_stream WHERE floor_seq = 801", 1).await;
    assert_eq!(lane.place.count("sync_event").await, 1, "rows go with their last event");

    assert_eq!(rows(&store, "a.x").len(), 300, "readable while it is away");
    let desk = Desk::open(lane.place.endpoint(), &store, "a.x").await;
    desk.until_rows("a.x", &numbered(801, payloads(801..=900))).await;
    let told = desk.told();
    let reset = Told::Reset { reason: Some(StaleReason::RetentionFloorBreach), at: 800, has_snapshot: true };
    assert_eq!(told[0], reset, "before the first row");
    assert!(told[1..].iter().all(|told| matches!(told, Told::Events { .. })), "and once: {told:?}");
    assert_eq!(snapshot(&store, "a.x"), Some((800, r#"{"sum":"of 800"}"#.into())));
    session.emit("a.x", 901..=910).await;
    desk.until_rows("a.x", &numbered(801, payloads(801..=910))).await;
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_kept_a_snapshot_it_starts_from_the_floor_and_is_told_too() {
    let lane = Lane::start().await;
    let (folder, session, owner) = (tempfile::tempdir().expect("a folder"), lane.join().await, lane.owner().await);
    let store = folder.path().join("store");
    session.emit("a.x", 1..=10).await;
    let desk = Desk::open(lane.place.endpoint(), &store, "a.x").await;
    desk.until_rows("a.x", &numbered(1, payloads(1..=10))).await;
    desk.close().await;

    session.emit("a.x", 11..=100).await;
    owner.call("configure_lane", &(0u64, 20u64, 0u64, false, 1u64)).await.expect("configured");
    lane.place.until_count("sync_stream WHERE floor_seq = 81", 1).await;
    let desk = Desk::open(lane.place.endpoint(), &store, "a.x").await;
    desk.until_rows("a.x", &numbered(81, payloads(81..=100))).await;
    let reset = Told::Reset { reason: Some(StaleReason::RetentionFloorBreach), at: 80, has_snapshot: false };
    assert_eq!(desk.told()[0], reset);
    desk.close().await;
}
