//! Replay, tail, many streams, several subscribers, batches by hand.

use muster_contract::pattern::StreamPattern;
use muster_contract::state::ConnectionState;
use muster_sync::{StartAt, Subscriber};

use crate::lane::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_is_replayed_and_the_tail_follows_byte_for_byte() {
    let lane = Lane::start().await;
    let producer = lane.owner().await;
    append(&producer, "runtime.run.1.events", 1, 1_700).await;
    let follower = lane.follow("a.db").await;
    follower.until_at("runtime.run.1.events", 1_700).await;
    for number in 1_701..=1_720 {
        append(&producer, "runtime.run.1.events", number, number).await;
    }
    append(&producer, "runtime.run.2.events", 1, 3).await;
    follower.until_at("runtime.run.1.events", 1_720).await;
    follower.until_at("runtime.run.2.events", 3).await;
    assert_eq!(follower.resets(), Vec::<String>::new());
    let store = follower.stop().await;
    holds(&store, "runtime.run.1.events", 1, 1_720);
    holds(&store, "runtime.run.2.events", 1, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_comes_back_goes_on_from_its_cursor_and_one_from_now_sees_what_follows() {
    let lane = Lane::start().await;
    let producer = lane.owner().await;
    append(&producer, "a.b", 1, 40).await;
    let follower = lane.follow("a.db").await;
    let late = lane.follow_from("now.db", "a.*", StartAt::Now).await;
    follower.until_at("a.b", 40).await;
    late.until_at("a.b", 40).await;
    follower.stop().await;
    append(&producer, "a.b", 41, 60).await;
    let follower = lane.follow("a.db").await;
    follower.until_at("a.b", 60).await;
    late.until_at("a.b", 60).await;
    holds(&follower.stop().await, "a.b", 1, 60);
    holds(&late.stop().await, "a.b", 41, 60);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_subscribers_of_many_streams_agree() {
    let lane = Lane::start().await;
    let producer = lane.owner().await;
    let (one, two) = (lane.follow("one.db").await, lane.follow("two.db").await);
    for round in 0..3 {
        for stream in 0..40 {
            append(&producer, &format!("many.s{stream}"), round * 5 + 1, round * 5 + 5).await;
        }
    }
    for follower in [&one, &two] {
        follower.until(|status| status.streams.of(ConnectionState::Live) == 40 && status.lag == 0).await;
        for stream in 0..40 {
            follower.until_at(&format!("many.s{stream}"), 15).await;
        }
    }
    let (one, two) = (one.stop().await, two.stop().await);
    for stream in 0..40 {
        let stream = format!("many.s{stream}");
        holds(&one, &stream, 1, 15);
        holds(&two, &stream, 1, 15);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_takes_batches_and_commits_each_itself() {
    let lane = Lane::start().await;
    append(&lane.owner().await, "a.b", 1, 1_200).await;
    let path = lane.store("own.db");
    let (subscriber, mut batches) = Subscriber::builder(lane.endpoint(), &path)
        .follow(StreamPattern::All, StartAt::Start)
        .take()
        .await
        .expect("started");
    let mut own = rusqlite::Connection::open(&path).expect("the same file");
    own.execute("CREATE TABLE seen (n INTEGER)", ()).expect("made");
    let (mut sum, mut is_first) = (0, true);
    while sum < 1_200 {
        let batch = tokio::time::timeout(PATIENCE, batches.next()).await.expect("in time").expect("it runs");
        if std::mem::take(&mut is_first) {
            // Given back without a commit, it comes again.
            continue;
        }
        let muster_sync::Change::Events(run) = &batch.change else { panic!("{:?}", batch.change) };
        let transaction = own.transaction().expect("a transaction");
        transaction.execute("INSERT INTO seen VALUES (?1)", (run.events.len() as i64,)).expect("written");
        batch.commit(&transaction).expect("the cursor is where it should be");
        transaction.commit().expect("committed");
        sum += run.events.len();
    }
    assert_eq!(sum, 1_200);
    subscriber.shutdown().await;
    let total: i64 = own.query_row("SELECT sum(n) FROM seen", (), |row| row.get(0)).expect("a row");
    assert_eq!(total, 1_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_the_application_refuses_is_said_and_offered_again() {
    let lane = Lane::start().await;
    append(&lane.owner().await, "a.b", 1, 10).await;
    let mut refusals = 2;
    let mut seen = 0;
    let subscriber = Subscriber::builder(lane.endpoint(), lane.store("own.db"))
        .follow(StreamPattern::All, StartAt::Start)
        .apply(move |_: &rusqlite::Transaction<'_>, batch: &muster_sync::Batch| {
            if refusals > 0 {
                refusals -= 1;
                return Err("not now");
            }
            let muster_sync::Change::Events(run) = &batch.change else { return Err("a reset") };
            seen += run.events.len();
            if seen == 10 { Ok(()) } else { Err("not the same batch") }
        })
        .await
        .expect("started");
    let mut status = subscriber.status();
    let refused = status.wait_for(|status| status.streams.of(ConnectionState::Backoff) == 1);
    tokio::time::timeout(PATIENCE, refused).await.expect("in time").expect("it runs");
    let error = subscriber.streams()[0].last_error.clone().unwrap_or_default();
    assert!(error.is_empty() || error == "the application did not apply the batch (not now)", "{error}");
    let live = status.wait_for(|status| status.streams.of(ConnectionState::Live) == 1);
    tokio::time::timeout(PATIENCE, live).await.expect("in time").expect("it runs");
    subscriber.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_panics_is_said_to_have_and_the_cursor_has_not_moved() {
    let lane = Lane::start().await;
    append(&lane.owner().await, "a.b", 1, 10).await;
    let subscriber = Subscriber::builder(lane.endpoint(), lane.store("own.db"))
        .follow(StreamPattern::All, StartAt::Start)
        .apply(|_: &rusqlite::Transaction<'_>, _: &muster_sync::Batch| -> Result<(), String> { panic!("on purpose") })
        .await
        .expect("started");
    let mut status = subscriber.status();
    let blocked = status.wait_for(|status| status.state == ConnectionState::Blocked);
    let blocked = tokio::time::timeout(PATIENCE, blocked).await.expect("in time").expect("it runs").clone();
    assert!(blocked.last_error.expect("a word").contains("panicked"));
    subscriber.shutdown().await;
    let reader = muster_sync::Reader::open(&lane.store("own.db")).expect("readable");
    assert_eq!(reader.place(&id("a.b")).expect("a look"), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_two_hundred_thousand_events_takes_bounded_memory() {
    let lane = Lane::start().await;
    let producer = lane.owner().await;
    append(&producer, "long.stream", 1, 200_000).await;
    let before = resident_kib();
    let follower = lane.follow("a.db").await;
    let mut most = 0;
    let mut status = follower.subscriber.status();
    let began = std::time::Instant::now();
    loop {
        most = most.max(resident_kib());
        let is_done = {
            let status = status.borrow_and_update();
            status.state == ConnectionState::Live && status.streams.total() == 1 && status.lag == 0
        };
        if is_done {
            break;
        }
        tokio::time::timeout(PATIENCE * 2, status.changed()).await.expect("in time").expect("it runs");
    }
    eprintln!("200,000 events in {:?}; resident {before} KiB before, {most} KiB at most", began.elapsed());
    follower.until_at("long.stream", 200_000).await;
    assert!(most - before < 150 * 1_024, "{before} KiB before, {most} KiB at most");
    let store = follower.stop().await;
    assert_eq!(rows(&store, "long.stream").1.len(), 200_000);
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a line");
    line.split_whitespace().nth(1).expect("a number").parse().expect("KiB")
}
