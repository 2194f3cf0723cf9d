//! Follows: who has them, for how long, and what wakes them.

use muster_contract::Code;
use muster_contract::page::Page;
use muster_contract::rows::Signal;

use crate::lane::{Lane, Session};

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_wakes_for_its_streams_and_each_slot_for_itself() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut session = lane.join().await;
    session.follow(0, "a.*").await;
    for (slot, pattern) in [(1u32, "a.b.c"), (2, "*"), (3, "a.b"), (4, "a.b.c.*")] {
        session.call("follow", &(slot, pattern)).await.expect("followed");
    }
    producer.emit("a.b.c", 1..=1).await;
    let mut slots: Vec<_> = session.next_signals().await.iter().map(|signal| signal.slot).collect();
    slots.sort_unstable();
    assert_eq!(slots, [0, 1, 2]);
    producer.emit("z", 1..=1).await;
    assert_eq!(session.next_signal().await.0, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_changes_its_pattern_and_ends() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut session = lane.join().await;
    session.follow(5, "a").await;
    session.call("follow", &(5u32, "b")).await.expect("followed");
    assert_eq!(lane.place.count("sync_follow").await, 1);
    producer.emit("a", 1..=1).await;
    producer.emit("b", 1..=1).await;
    let no = session.streams("b").await.streams[0].no;
    assert_eq!(session.next_signal().await, (5, no, Signal::NewStream));
    session.call("unfollow", &(5u32,)).await.expect("ended");
    session.call("unfollow", &(5u32,)).await.expect("ending twice is no error");
    producer.emit("b", 2..=2).await;
    session.hears_nothing().await;
    assert_eq!(lane.place.count("sync_follow").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_follows_at_most_1024_patterns() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let follows = (0..1_024u32).map(async |slot| session.call("follow", &(slot, format!("s.{slot}"))).await);
    for followed in futures::future::join_all(follows).await {
        followed.expect("followed");
    }
    let refusal = session.call("follow", &(1_024u32, "one.more")).await.expect_err("too many");
    assert_eq!(refusal.code, Code::BadSubscription);
    assert_eq!(lane.place.count("sync_follow").await, 1_024);
    for wrong in ["", "a..b", "a*", "a.*.b"] {
        let refusal = session.call("follow", &(0u32, wrong)).await.expect_err("no pattern");
        assert_eq!(refusal.code, Code::BadSubscription, "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_end_with_their_session_and_no_other() {
    let lane = Lane::start().await;
    let stays = lane.join().await;
    let leaves = lane.join().await;
    let vanishes = lane.join().await;
    for session in [&stays, &leaves, &vanishes] {
        session.call("follow", &(0u32, "a.*")).await.expect("followed");
        session.call("follow", &(1u32, "b.*")).await.expect("followed");
    }
    assert_eq!(lane.place.count("sync_follow").await, 6);
    leaves.connection.close().await;
    lane.place.until_count("sync_follow", 4).await;
    // Both ends dropped: the socket closes without a closing handshake.
    drop(vanishes);
    lane.place.until_count("sync_follow", 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_refused_or_repeated_wakes_nobody() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut session = lane.join().await;
    session.follow(0, "a").await;
    producer.emit("a", 1..=1).await;
    session.next_signal().await;
    producer.emit("a", 1..=1).await;
    producer.append(crate::lane::Append::of("a", 9..=9)).await.expect_err("a hole");
    session.hears_nothing().await;
}

/// What rides on the one signal that comes next.
async fn ridden(session: &mut Session) -> Option<Page> {
    let signals = session.next_signals().await;
    let [signal] = signals.as_slice() else { panic!("one signal, not {signals:?}") };
    signal.riding()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_append_rides_on_its_signal_as_the_page_that_would_have_been_asked_for() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut ada = lane.join().await;
    ada.follow(0, "a.*").await;
    producer.emit("a.x", 1..=2).await;
    assert_eq!(ridden(&mut ada).await, None, "of a stream that nobody has, everything is asked for");
    producer.emit("a.x", 3..=4).await;
    assert_eq!(ridden(&mut ada).await, Some(ada.read("a.x", 2).await));
    // Of a batch that was there in part, what was not.
    producer.emit("a.x", 3..=6).await;
    assert_eq!(ridden(&mut ada).await, Some(ada.read("a.x", 4).await));
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_much_nor_to_many_rides() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut ada = lane.join().await;
    ada.follow(0, "a.*").await;
    producer.emit("a.x", 1..=1).await;
    ridden(&mut ada).await;
    producer.emit("a.x", 2..=200).await;
    assert_eq!(ridden(&mut ada).await, None, "a page of its own");
    // On one signal of each identity, for all of its sessions and slots.
    for slot in 1..4u32 {
        ada.call("follow", &(slot, "*")).await.expect("followed");
    }
    producer.emit("a.x", 201..=201).await;
    let signals = ada.next_signals().await;
    assert_eq!((signals.len(), signals.iter().filter(|signal| signal.riding().is_some()).count()), (4, 1));
    for slot in 1..4u32 {
        ada.call("unfollow", &(slot,)).await.expect("unfollowed");
    }
    // Sixteen identities may have one.
    let mut others = Vec::new();
    for _ in 1..16 {
        others.push(lane.join().await);
        others.last().expect("one").follow(0, "a.*").await;
    }
    producer.emit("a.x", 202..=202).await;
    assert!(ridden(&mut ada).await.is_some());
    for other in &mut others {
        assert!(ridden(other).await.is_some());
    }
    let mut one_more = lane.join().await;
    one_more.follow(0, "a.x").await;
    producer.emit("a.x", 203..=203).await;
    assert!(ridden(&mut ada).await.is_none() && ridden(&mut one_more).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rides_to_all_together_is_little() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut sessions = Vec::new();
    for _ in 0..3 {
        sessions.push(lane.join().await);
        sessions.last().expect("one").follow(0, "a.*").await;
    }
    producer.emit("a.x", 1..=1).await;
    // Some 3 KiB: twice that is little enough, three times not.
    producer.emit("a.x", 2..=56).await;
    for session in &mut sessions {
        assert_eq!(ridden(session).await, None, "a new stream");
        assert_eq!(ridden(session).await, None, "three of them");
    }
    sessions.pop().expect("one").connection.close().await;
    lane.place.until_count("sync_follow", 2).await;
    producer.emit("a.x", 57..=111).await;
    for session in &mut sessions {
        let page = ridden(session).await.expect("two of them");
        assert_eq!(page.events.len(), 55);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_rides_to_an_identity_with_very_many_sessions() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut ada = lane.join().await;
    ada.follow(0, "a.*").await;
    producer.emit("a.x", 1..=1).await;
    ridden(&mut ada).await;
    let mut others = Vec::new();
    for _ in 1..8 {
        others.push(lane.place.join(Some(ada.connection.token().clone())).await);
    }
    producer.emit("a.x", 2..=2).await;
    assert!(ridden(&mut ada).await.is_some(), "eight sessions");
    others.push(lane.place.join(Some(ada.connection.token().clone())).await);
    producer.emit("a.x", 3..=3).await;
    assert!(ridden(&mut ada).await.is_none(), "nine");
}
