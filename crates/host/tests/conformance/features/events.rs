//! Event tables: heard by who listens, at most once, and stored nowhere.

use muster_wire::CallOutcome;

use crate::support::Published;

type Announcement = (u32, String);

const ROOM_1: &str = "SELECT * FROM announcement WHERE room = 1";

#[tokio::test]
async fn an_event_is_heard_by_those_who_asked_for_it_and_stored_nowhere() {
    let published = Published::new("features").await;
    let mut room_1 = published.connect().await;
    let mut everywhere = published.connect().await;
    assert!(room_1.subscribe::<Announcement>(ROOM_1, "announcement").await.is_empty());
    everywhere.subscribe::<Announcement>("SELECT * FROM announcement", "announcement").await;

    let speaker = published.connect().await;
    speaker.call("announce", &(2u32, "elsewhere")).await;
    speaker.call("announce", &(1u32, "here")).await;
    let change = room_1.next_change("announcement").await;
    assert!(change.is_event && change.deleted.is_empty());
    assert_eq!(change.inserted.decode::<Announcement>().unwrap(), [(1, "here".into())]);
    assert_eq!(everywhere.next_rows::<Announcement>("announcement").await, [(2, "elsewhere".into())]);
    assert_eq!(everywhere.next_rows::<Announcement>("announcement").await, [(1, "here".into())]);

    let late = published.connect().await;
    assert!(late.subscribe::<Announcement>("SELECT * FROM announcement", "announcement").await.is_empty());
    assert!(published.sql("SELECT * FROM announcement").await.is_empty());
}

#[tokio::test]
async fn an_event_of_a_transaction_that_fails_is_heard_by_nobody() {
    let published = Published::new("features").await;
    let mut listener = published.connect().await;
    listener.subscribe::<Announcement>(ROOM_1, "announcement").await;
    let outcome = listener.outcome("announce_and_fail", &(1u32, "taken back")).await;
    assert!(matches!(outcome, CallOutcome::Refused(_)), "{outcome:?}");
    listener.call("announce", &(1u32, "kept")).await;
    assert_eq!(listener.next_rows::<Announcement>("announcement").await, [(1, "kept".into())]);
}
