//! Schedules: a reducer once, a reducer at intervals, a procedure; and that clients may not pose as the scheduler.

use std::time::Duration;

use crate::support::{Published, Session, soon};

type Ringing = (u64, String, bool);

async fn listening(published: &Published) -> Session {
    let session = published.connect().await;
    session.subscribe::<Ringing>("SELECT * FROM ringing", "ringing").await;
    session
}

#[tokio::test]
async fn what_is_scheduled_once_runs_once_as_the_database_and_its_row_goes() {
    let published = Published::new("features").await;
    let mut session = listening(&published).await;
    session.call("ring_once", &("bell", 50i64)).await;
    let rung = session.next_rows::<Ringing>("ringing").await;
    assert_eq!(rung, [(1, "bell".into(), true)]);
    soon("the alarm's row goes", async {
        while !published.sql("SELECT name FROM alarm").await.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    session.hears_nothing().await;
}

#[tokio::test]
async fn what_is_scheduled_at_intervals_runs_until_its_row_goes() {
    let published = Published::new("features").await;
    let mut session = listening(&published).await;
    session.call("ring_every", &("clock", 20i64)).await;
    for nth in 1..=3u64 {
        let rung = session.next_rows::<Ringing>("ringing").await;
        assert_eq!(rung, [(nth, "clock".into(), true)]);
    }
    session.call("silence", &()).await;
    let after = published.sql("SELECT id FROM ringing").await.len();
    // The scheduler says itself when there was time for ten more.
    session.call("ring_once", &("bell", 200i64)).await;
    while session.next_rows::<Ringing>("ringing").await[0].1 != "bell" {}
    assert_eq!(published.sql("SELECT id FROM ringing").await.len(), after + 1, "it rings on");
}

#[tokio::test]
async fn a_scheduled_procedure_runs_too() {
    let published = Published::new("features").await;
    let mut session = listening(&published).await;
    session.call("send_on_errand", &("shopping",)).await;
    let ran = session.next_rows::<Ringing>("ringing").await;
    assert_eq!(ran, [(1, "shopping".into(), true)]);
}
