//! A stream's lives: deleted, made anew, renewed.

use muster_contract::Code;
use muster_contract::page::ProducerState;
use muster_contract::rows::Signal;

use crate::lane::{ADA, Append, Lane, ok, stale};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_made_anew_has_another_epoch_and_its_followers_hear_of_it() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut follower = lane.join().await;
    follower.follow(3, "a.*").await;
    producer.emit("a.x", 1..=5).await;
    let before = follower.streams("a.x").await.streams[0].clone();
    producer.put_snapshot("a.x", before.epoch, 5, "{}").await.expect("put");
    producer.call("ack_checkpoint", &("a.x", before.epoch, 5u64, "c")).await.expect("noted");
    assert_eq!(follower.next_signal().await, (3, before.no, Signal::NewStream));

    lane.owner().await.call("delete_stream", &("a.x",)).await.expect("deleted");
    assert_eq!(follower.next_signal().await, (3, before.no, Signal::Gone));
    assert_eq!(stale(follower.page("a.x", before.epoch, 5).await).reason, "stream_missing");
    for table in ["sync_stream", "sync_snapshot", "sync_checkpoint", "producer_cursor", "sync_event", "sync_garbage"] {
        lane.place.until_count(table, 0).await;
    }
    // The old life's numbers are over, and the producer counts from 1.
    let old = producer.append(Append { epoch: before.epoch, ..Append::of("a.x", 6..=6) }).await;
    assert_eq!(old.expect_err("over").code, Code::EpochChanged);
    assert_eq!(ok(producer.states(ADA, &["a.x"]).await), [ProducerState::without_event(0, 0, 0)]);
    producer.emit("a.x", 1..=2).await;
    let after = follower.streams("a.x").await.streams[0].clone();
    assert_ne!((after.no, after.epoch), (before.no, before.epoch));
    assert!(after.no > before.no && after.epoch != before.epoch);
    assert_eq!(follower.next_signal().await, (3, after.no, Signal::NewStream));
    assert_eq!(stale(follower.page("a.x", before.epoch, 5).await).reason, "epoch_changed");
    assert_eq!(follower.snapshot("a.x").await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_stream_is_gone_at_once_and_its_events_bit_by_bit() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    for batch in 0..5u64 {
        session.emit("a", batch * 1_000 + 1..=batch * 1_000 + 1_000).await;
    }
    session.emit("b", 1..=7).await;
    lane.owner().await.call("delete_stream", &("a",)).await.expect("deleted");
    assert_eq!(stale(session.page("a", 0, 0).await).reason, "stream_missing");
    session.emit("a", 1..=1).await;
    assert_eq!(session.read("a", 0).await.events.len(), 1);
    lane.place.until_count("sync_event", 2).await;
    lane.place.until_count("sync_garbage", 0).await;
    assert_eq!(session.read("b", 0).await.events.len(), 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restore_every_stream_is_renewed() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let mut follower = lane.join().await;
    session.emit("a", 1..=5).await;
    session.emit("b", 1..=2).await;
    let before = session.streams("*").await.streams;
    session.put_snapshot("a", before[0].epoch, 4, "{}").await.expect("put");
    follower.follow(0, "a").await;
    lane.owner().await.call("renew_epochs", &()).await.expect("renewed");
    assert_eq!(follower.next_signal().await, (0, before[0].no, Signal::NewStream));
    let after = session.streams("*").await.streams;
    for (old, new) in before.iter().zip(&after) {
        assert_eq!((old.no, &old.id, old.head, old.floor), (new.no, &new.id, new.head, new.floor));
        assert_ne!(old.epoch, new.epoch);
    }
    assert_ne!(after[0].epoch, after[1].epoch);
    assert_eq!(stale(session.page("a", before[0].epoch, 5).await).reason, "epoch_changed");
    let snapshot = session.snapshot("a").await.expect("the snapshot is of the new life");
    assert_eq!((snapshot.epoch, snapshot.seq), (after[0].epoch, 4));
    // The producer's numbers go on with the events: a repeat is one, and the next is stored.
    session.append(Append { epoch: after[0].epoch, ..Append::of("a", 4..=5) }).await.expect("acknowledged");
    session.append(Append { epoch: after[0].epoch, expected: 6, ..Append::of("a", 6..=6) }).await.expect("appended");
    assert_eq!(session.read("a", 0).await.head, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_owner_ends_a_life() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a", 1..=5).await;
    assert_eq!(session.call("delete_stream", &("a",)).await.expect_err("not hers").code, Code::Unauthorized);
    assert_eq!(session.call("renew_epochs", &()).await.expect_err("not hers").code, Code::Unauthorized);
    assert_eq!(session.read("a", 0).await.head, 5);
    let owner = lane.owner().await;
    assert_eq!(owner.call("delete_stream", &("a b",)).await.expect_err("no id").code, Code::BadStreamId);
    owner.call("delete_stream", &("not.there",)).await.expect("no error");
}
