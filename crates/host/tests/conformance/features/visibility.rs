//! Row-level security: everybody sees their own rows, by every door.

use muster_wire::Identity;
use muster_wire::http::HttpClient;
use serde_json::json;

use crate::support::{Published, sql};

type Letter = (u64, Identity, String);
type Whisper = (Identity, String);

#[tokio::test]
async fn rows_reach_only_whom_the_filter_names() {
    let published = Published::new("features").await;
    let mut ada = published.connect().await;
    let mut bob = published.connect().await;
    for session in [&ada, &bob] {
        session.subscribe::<Letter>("SELECT * FROM letter", "letter").await;
    }
    let for_ada = (ada.connection.identity(), "for Ada");
    bob.call("send", &for_ada).await;
    let received = ada.next_rows::<Letter>("letter").await;
    assert_eq!(received, [(1, for_ada.0, "for Ada".into())]);
    bob.hears_nothing().await;

    // A new subscription, a query over the socket, and SQL are held to it as well.
    assert!(bob.subscribe::<Letter>("SELECT * FROM letter WHERE id = 1", "letter").await.is_empty());
    let asked = bob.connection.one_off_query("SELECT * FROM letter").await.unwrap();
    assert!(asked.rows::<Letter>("letter").unwrap().is_empty());
    let over_http = |token| HttpClient::new(published.owner.endpoint().clone(), token).unwrap();
    let as_bob = over_http(Some(bob.connection.token().clone()));
    assert!(sql(&as_bob, "SELECT * FROM letter").await.is_empty());
    assert!(sql(&over_http(None), "SELECT * FROM letter").await.is_empty());
    let as_ada = over_http(Some(ada.connection.token().clone()));
    assert_eq!(sql(&as_ada, "SELECT text FROM letter").await, [json!(["for Ada"])]);
}

#[tokio::test]
async fn a_databases_owner_sees_everything() {
    let published = Published::new("features").await;
    let session = published.connect().await;
    session.call("send", &(session.connection.identity(), "private")).await;
    assert_eq!(published.sql("SELECT text FROM letter").await, [json!(["private"])]);
}

#[tokio::test]
async fn events_reach_only_whom_the_filter_names() {
    let published = Published::new("features").await;
    let mut ada = published.connect().await;
    let mut bob = published.connect().await;
    for session in [&ada, &bob] {
        session.subscribe::<Whisper>("SELECT * FROM whisper", "whisper").await;
    }
    bob.call("send", &(ada.connection.identity(), "psst")).await;
    assert_eq!(ada.next_rows::<Whisper>("whisper").await, [(ada.connection.identity(), "psst".into())]);
    bob.hears_nothing().await;
}
