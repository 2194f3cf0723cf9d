//! What retention deletes, and what it leaves.

use std::time::Duration;

use muster_contract::Code;

use crate::lane::{Lane, Session, ok, payloads, stale};

/// The owner's wishes: age in seconds, events, bytes, whether what no snapshot covers is kept. Sweeps every second.
async fn configure(lane: &Lane, age_s: u64, events: u64, bytes: u64, keep: bool) {
    lane.owner().await.call("configure_lane", &(age_s, events, bytes, keep, 1u64)).await.expect("configured");
}

async fn until_floor(lane: &Lane, stream: &str, floor: u64) {
    lane.place.until_count(&format!("sync_stream WHERE id = '{stream}' AND floor_seq = {floor}"), 1).await;
}

async fn snapshot_at(session: &Session, stream: &str, seq: u64) {
    let epoch = session.streams(stream).await.streams[0].epoch;
    session.put_snapshot(stream, epoch, seq, "{}").await.expect("put");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_newest_events_are_kept_and_the_floor_moves_with_the_deletion() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a", 1..=50).await;
    snapshot_at(&session, "a", 50).await;
    configure(&lane, 0, 10, 0, true).await;
    until_floor(&lane, "a", 41).await;
    let page = ok(session.page("a", 0, 40).await);
    assert_eq!((page.first, page.floor, page.head, page.events.len()), (41, 41, 50, 10));
    let row = lane.place.sql("SELECT bytes FROM sync_stream").await;
    let held: usize = page.events.iter().map(|event| event.kind.len() + event.payload.len()).sum();
    assert_eq!(row, [[held.to_string()]]);
    // A cursor below the floor is stale, also that of a reader with nothing.
    for after in [0, 39] {
        let breach = stale(session.page("a", page.epoch, after).await);
        assert_eq!(breach.reason, "retention_floor_breach");
        assert_eq!((breach.epoch, breach.floor, breach.head, breach.snapshot_seq), (page.epoch, 41, 50, 50));
    }
    assert_eq!(stale(session.page("a", 0, 0).await).reason, "retention_floor_breach");
    // It goes on, by its own schedule.
    session.emit("a", 51..=55).await;
    snapshot_at(&session, "a", 55).await;
    until_floor(&lane, "a", 46).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_snapshot_covers_is_kept_unless_the_lane_says_otherwise() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("covered", 1..=30).await;
    session.emit("bare", 1..=30).await;
    snapshot_at(&session, "covered", 12).await;
    configure(&lane, 0, 5, 0, true).await;
    until_floor(&lane, "covered", 13).await;
    assert_eq!(session.read("bare", 0).await.events.len(), 30);
    assert_eq!(ok(session.page("covered", 0, 12).await).events.len(), 18);
    configure(&lane, 0, 5, 0, false).await;
    until_floor(&lane, "covered", 26).await;
    until_floor(&lane, "bare", 26).await;
    assert_eq!(payloads(&ok(session.page("bare", 0, 25).await))[0], r#"{"n":26}"#);
    // The snapshot is too old to go on from, and is gone.
    assert_eq!(session.snapshot("covered").await, None);
    assert_eq!(session.streams("covered").await.streams[0].snapshot_seq, 0);
    let epoch = session.streams("covered").await.streams[0].epoch;
    let refusal = session.put_snapshot("covered", epoch, 20, "{}").await.expect_err("below the floor");
    assert_eq!((refusal.code, refusal.details.expected), (Code::SequenceConflict, Some(25)));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_and_age_are_limits_as_well() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    // 4 bytes of kind and 7 of payload each.
    session.emit("a", 1..=9).await;
    configure(&lane, 0, 0, 35, false).await;
    until_floor(&lane, "a", 7).await;
    configure(&lane, 1, 0, 0, false).await;
    until_floor(&lane, "a", 10).await;
    assert_eq!(lane.place.count("sync_event").await, 0);
    let page = ok(session.page("a", 0, 9).await);
    assert_eq!((page.floor, page.head, page.events.len()), (10, 9, 0));
    // An emptied stream goes on where it was.
    session.emit("a", 10..=11).await;
    assert_eq!(ok(session.page("a", 0, 9).await).first, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_one_sweep_takes_is_swept_bit_by_bit_over_many_streams() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    for batch in 0..5u64 {
        session.emit("long", batch * 1_000 + 1..=batch * 1_000 + 1_000).await;
    }
    let streams = (0..600).map(async |n| session.emit(&format!("s.{n}"), 1..=3).await);
    futures::future::join_all(streams).await;
    configure(&lane, 0, 1, 0, false).await;
    until_floor(&lane, "long", 5_000).await;
    // A row goes with its last event.
    lane.place.until_count("sync_event", 601).await;
    lane.place.until_count("sync_stream WHERE floor_seq = 3", 600).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_was_lost_begins_again_with_the_next_connection() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a", 1..=9).await;
    // Written past the module, the wishes are there and no sweep is.
    lane.place
        .sql("INSERT INTO lane_config (id, retention_age_s, retention_events, retention_bytes, keep_unsnapshotted, sweep_every_s) VALUES (0, 0, 2, 0, false, 1)")
        .await;
    lane.join().await;
    until_floor(&lane, "a", 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_owner_configures_and_without_limits_nothing_is_scheduled() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let refusal = session.call("configure_lane", &(0u64, 1u64, 0u64, false, 1u64)).await.expect_err("not hers");
    assert_eq!(refusal.code, Code::Unauthorized);
    for every_s in [0u64, 86_401] {
        let wrong = lane.owner().await.call("configure_lane", &(0u64, 1u64, 0u64, false, every_s)).await;
        assert_eq!(wrong.expect_err("out of bounds").code, Code::InvalidRequest);
    }
    assert_eq!(lane.place.count("lane_config").await, 0);
    configure(&lane, 0, 1, 0, false).await;
    configure(&lane, 0, 0, 0, true).await;
    lane.place.until_count("retention_sweep", 0).await;
    session.emit("a", 1..=9).await;
    assert_eq!(lane.place.events().await, 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_suddenly_far_ahead_deletes_nothing_until_the_owner_or_an_hour_says_that_it_is_right() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    configure(&lane, 3_600, 0, 0, false).await;
    lane.place.until_count("retention_clock", 1).await;
    session.emit("a", 1..=30).await;
    // To retention it is the same whether the clock goes ahead or the last look at it was long ago.
    lane.place.sql("UPDATE retention_clock SET seen_us = 0").await;
    lane.place.until_count("retention_clock WHERE held_until_us > 0", 1).await;
    lane.place.sql("UPDATE lane_config SET retention_age_s = 1").await;
    session.emit("b", 1..=1).await;
    // Three sweeps at least, after every event is too old.
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(lane.place.events().await, 31);
    // Limits of events know no time.
    lane.place.sql("UPDATE lane_config SET retention_events = 10").await;
    until_floor(&lane, "a", 21).await;
    configure(&lane, 1, 0, 0, false).await;
    until_floor(&lane, "a", 31).await;
}
