//! Who learns what: signals reach the sessions that follow, and nothing else of a stream reaches anybody but by the
//! doors that ask.

use muster_contract::rows::{Row, Signal, SyncSignal};
use muster_wire::CallError;

use crate::lane::{Lane, Session};

/// Every table of the streams that sessions must not read.
const PRIVATE: [&str; 11] = [
    "sync_stream",
    "sync_event",
    "sync_snapshot",
    "sync_checkpoint",
    "sync_producer",
    "producer_cursor",
    "sync_follow",
    "lane_config",
    "lane_owner",
    "retention_sweep",
    "sync_garbage",
];

#[tokio::test(flavor = "multi_thread")]
async fn signals_reach_the_session_that_follows_and_nobody_else() {
    let lane = Lane::start().await;
    let producer = lane.join().await;
    let mut ada = lane.join().await;
    let mut bob = lane.join().await;
    ada.follow(7, "a.*").await;
    bob.follow(0, "b.*").await;
    producer.emit("a.x", 1..=3).await;
    let no = ada.streams("a.x").await.streams[0].no;
    assert_eq!(ada.next_signal().await, (7, no, Signal::NewStream));
    producer.emit("a.x", 4..=4).await;
    assert_eq!(ada.next_signal().await, (7, no, Signal::Ahead));
    bob.hears_nothing().await;
    // Nor a third one who only subscribes, or asks for another's signals by name.
    let mut eve = lane.join().await;
    let to_ada = format!("SELECT * FROM sync_signal WHERE to = 0x{}", ada.connection.identity().to_hex());
    eve.connection.subscribe(&["SELECT * FROM sync_signal", to_ada.as_str()]).await.expect("subscribed");
    producer.emit("a.x", 5..=5).await;
    assert_eq!(ada.next_signal().await, (7, no, Signal::Ahead));
    eve.hears_nothing().await;
    let asked = eve.connection.one_off_query("SELECT * FROM sync_signal").await.expect("an answer");
    assert!(asked.rows::<SyncSignal>(SyncSignal::TABLE).expect("rows").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_sessions_of_one_identity_are_told_apart() {
    let lane = Lane::start().await;
    let first = lane.join().await;
    let mut second = lane.place.join(Some(first.connection.token().clone())).await;
    assert_eq!(first.connection.identity(), second.connection.identity());
    first.call("follow", &(1u32, "a")).await.expect("followed");
    second.follow(2, "a").await;
    first.emit("a", 1..=1).await;
    let signals = second.next_signals().await;
    let mut sessions: Vec<_> = signals.iter().map(|signal| (signal.connection_id, signal.slot)).collect();
    sessions.sort_by_key(|(_, slot)| *slot);
    assert_eq!(sessions, [(first.connection.connection_id(), 1), (second.connection.connection_id(), 2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_owner_reads_a_private_table_by_any_door() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a.x", 1..=2).await;
    session.put_snapshot("a.x", epoch_of(&session, "a.x").await, 2, "{}").await.expect("put");
    let http = lane.place.http(Some(session.connection.token().clone()));
    for table in PRIVATE {
        for sql in [format!("SELECT * FROM {table}"), format!("SELECT COUNT(*) AS n FROM {table}")] {
            assert!(http.sql(&sql, true).await.is_err(), "HTTP: {sql}");
            let asked = session.connection.one_off_query(&sql).await;
            assert!(matches!(asked, Err(CallError::Refused { .. })), "{sql}: {asked:?}");
        }
        let subscribed = session.connection.subscribe(&[format!("SELECT * FROM {table}")]).await;
        assert!(matches!(subscribed, Err(CallError::Refused { .. })), "{table}: {subscribed:?}");
        // A join with a table that may be read is no way in either.
        let join = format!("SELECT p.* FROM person p JOIN {table} t ON p.name = t.id");
        assert!(session.connection.subscribe(&[join]).await.is_err(), "{table}");
        assert!(http.sql(&format!("DELETE FROM {table}"), true).await.is_err(), "{table}");
        lane.place.sql(&format!("SELECT * FROM {table}")).await;
    }
    let held = lane.place.sql("SELECT seq, events, payloads FROM sync_event").await;
    assert_eq!(held, [["1".to_owned(), "2".into(), r#""{\"n\":1}\n{\"n\":2}\n""#.to_owned()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_reads_every_column_with_plain_sql_and_finds_the_row_of_an_event() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a.x", 1..=9).await;
    let owner = lane.place.http(Some(lane.place.owner.clone()));
    for table in PRIVATE {
        let answer = owner.sql(&format!("SELECT * FROM {table}"), true).await.expect("an answer");
        // What is a word of SQL would be refused here.
        for column in &answer.statements[0].columns {
            lane.place.sql(&format!("SELECT {} FROM {table}", column.name)).await;
            lane.place.sql(&format!("SELECT t.{} FROM {table} t", column.name)).await;
        }
    }
    session.emit("a.x", 10..=12).await;
    let found = lane.place.sql("SELECT seq, events FROM sync_event WHERE seq <= 11 AND seq > 1").await;
    assert_eq!(found, [["10", "3"]]);
}

async fn epoch_of(session: &Session, stream: &str) -> u64 {
    session.streams(stream).await.streams[0].epoch
}
