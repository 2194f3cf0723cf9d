//! Procedures: values, transactions of their own, and failure half way.

use muster_wire::CallOutcome;
use muster_wire::http::CallReply;
use serde_json::json;
use spacetimedb_lib::{Identity, Timestamp};

use crate::support::Published;

#[tokio::test]
async fn a_procedure_returns_its_value_over_both_ways() {
    let published = Published::new("features").await;
    let session = published.connect().await;
    assert_eq!(session.ask::<_, u64>("add_up", &(40u64, 2u64)).await, 42);
    let over_http = published.owner.call("add_up", &json!([40, 2])).await;
    assert_eq!(over_http, Ok(CallReply::Returned(Some("42".into()))));
}

#[tokio::test]
async fn a_procedure_commits_in_its_own_transaction_for_its_caller() {
    let published = Published::new("features").await;
    let mut session = published.connect().await;
    session.subscribe::<(u64, i64)>("SELECT * FROM ledger", "ledger").await;
    let (id, booked_for, at): (u64, Identity, Timestamp) = session.ask("book", &(5i64,)).await;
    assert_eq!((id, booked_for), (1, session.connection.identity()));
    assert!(at > Timestamp::UNIX_EPOCH);
    assert_eq!(session.next_rows::<(u64, i64)>("ledger").await, [(1, 5)]);
}

#[tokio::test]
async fn what_a_procedure_takes_back_is_gone_and_what_it_kept_stays() {
    let published = Published::new("features").await;
    let session = published.connect().await;
    let answer: Result<u64, String> = session.ask("book_and_regret", &(7i64,)).await;
    assert_eq!(answer, Err("kept 1, took the other back".into()));
    assert_eq!(published.sql("SELECT amount FROM ledger").await, [json!([7])]);
}

#[tokio::test]
async fn a_procedure_that_panics_is_an_error_and_the_module_lives() {
    let published = Published::new("features").await;
    let session = published.connect().await;
    let reply = session.connection.call_procedure("panic_on_purpose", muster_wire::args(&())).await.unwrap();
    assert!(matches!(reply.outcome, CallOutcome::Failed(_)), "{reply:?}");
    let over_http = published.owner.call("panic_on_purpose", &json!([])).await;
    let error = over_http.unwrap_err();
    assert_eq!((error.status(), error.said()), (Some(500), Some("The module instance encountered a fatal error")));
    assert_eq!(session.ask::<_, u64>("add_up", &(1u64, 1u64)).await, 2);
}
