//! Views: the caller's own, everybody's, and a query's; kept up to date, and closed where their tables are.

use muster_wire::Identity;

use crate::support::Published;

type Task = (u64, Identity, bool, String);

#[tokio::test]
async fn a_callers_view_has_the_callers_rows_and_follows_them() {
    let published = Published::new("features").await;
    let mut ada = published.connect().await;
    let bob = published.connect().await;
    bob.call("add_task", &("Bob's",)).await;
    assert!(ada.subscribe::<Task>("SELECT * FROM my_tasks", "my_tasks").await.is_empty());
    ada.call("add_task", &("Ada's",)).await;
    let mine = ada.next_rows::<Task>("my_tasks").await;
    assert_eq!(mine, [(2, ada.connection.identity(), false, "Ada's".into())]);
    bob.call("add_task", &("Bob's second",)).await;
    ada.hears_nothing().await;
    let bobs: Vec<Task> = bob.subscribe("SELECT * FROM my_tasks", "my_tasks").await;
    assert_eq!(bobs.len(), 2);
}

#[tokio::test]
async fn a_view_for_everybody_changes_when_its_rows_do() {
    let published = Published::new("features").await;
    let mut session = published.connect().await;
    let query = "SELECT * FROM open_task_count";
    assert_eq!(session.subscribe::<u64>(query, "open_task_count").await, [0]);
    session.call("add_task", &("one",)).await;
    let change = session.next_change("open_task_count").await;
    assert_eq!(change.deleted.decode::<u64>().unwrap(), [0]);
    assert_eq!(change.inserted.decode::<u64>().unwrap(), [1]);
    assert_eq!(published.sql(query).await, [serde_json::json!([1])]);
}

#[tokio::test]
async fn a_view_made_of_a_query_follows_row_by_row() {
    let published = Published::new("features").await;
    let mut session = published.connect().await;
    session.call("add_task", &("one",)).await;
    assert!(session.subscribe::<Task>("SELECT * FROM done_tasks", "done_tasks").await.is_empty());
    session.call("finish_task", &("one",)).await;
    let done = session.next_rows::<Task>("done_tasks").await;
    assert_eq!(done, [(1, session.connection.identity(), true, "one".into())]);
}

#[tokio::test]
async fn the_table_behind_a_view_stays_closed() {
    let published = Published::new("features").await;
    let session = published.connect().await;
    session.call("add_task", &("secret",)).await;
    assert!(session.connection.subscribe(&["SELECT * FROM task"]).await.is_err());
    assert!(session.connection.one_off_query("SELECT * FROM task").await.is_err());
}
