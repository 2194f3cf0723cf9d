//! Commits are shared, and chunks are batches.

use std::sync::Arc;

use muster_contract::stream::StreamId;
use muster_publisher::{Decision, Draft, OperateError, inspect};

use crate::support::{PATIENCE, events, folder, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_publishers_share_commits() {
    let (_folder, outbox) = folder();
    let publisher = Arc::new(open(&outbox));
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for event in 0..20 {
                    let topic = format!("run:{}:events", task % 4);
                    publisher.publish(&topic, "k", &format!("[{task},{event}]")).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let metrics = publisher.metrics();
    assert_eq!(metrics.published, 64 * 20);
    assert!(metrics.commits * 4 < metrics.published, "{} commits", metrics.commits);
    let events = events(&outbox);
    // Each publisher's events are in the order in which it published them.
    for task in 0..64 {
        let prefix = format!("[{task},");
        let own: Vec<String> = events
            .values()
            .filter_map(|event| event.payload.strip_prefix(&prefix)?.strip_suffix(']').map(str::to_string))
            .collect();
        assert_eq!(own, (0..20).map(|event| event.to_string()).collect::<Vec<_>>());
    }
    for stream in 0..4 {
        let id = format!("runtime.run.{stream}.events");
        let numbers: Vec<i64> = events.keys().filter(|(stream, _)| *stream == id).map(|(_, number)| *number).collect();
        assert!(numbers.into_iter().eq(1..=320));
    }
}

#[tokio::test]
async fn a_large_publish_is_kept_in_chunks_no_larger_than_a_batch() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    let stream = StreamId::parse("muster.test.a").unwrap();
    let payload = format!("\"{}\"", "x".repeat(2_000));
    let receipt = publisher.publish_many(&stream, vec![Draft::new("k", &payload); 2_500]).await.unwrap();
    assert_eq!((receipt.first, receipt.last), (1, 2_500));
    let connection = rusqlite::Connection::open(&outbox).unwrap();
    let (chunks, most, largest): (i64, i64, i64) = connection
        .query_row("SELECT count(*), max(last - first + 1), max(bytes) FROM chunk", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .unwrap();
    assert!(chunks <= 6 && most <= 1_000 && largest <= 1_048_576 + 1_000 * 48, "{chunks} {most} {largest}");
    let inspection = inspect(&outbox, false, 10).unwrap();
    assert_eq!((inspection.events, inspection.streams.len()), (2_500, 1));
    assert!(inspection.oldest_ms.is_some());
    assert_eq!(inspect(&outbox, true, 10).unwrap().streams, []);
}

#[tokio::test]
async fn a_file_that_was_emptied_gives_its_room_back() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    let stream = StreamId::parse("muster.test.a").unwrap();
    let payload = format!("\"{}\"", "x".repeat(20_000));
    for _ in 0..4 {
        publisher.publish_many(&stream, vec![Draft::new("k", &payload); 500]).await.unwrap();
    }
    let not_parked = publisher.decide(&stream, Decision::Drop).await;
    assert_eq!(not_parked, Err(OperateError::NotParked { stream: stream.clone() }));
    let unknown = StreamId::parse("muster.test.b").unwrap();
    let no_such = publisher.decide(&unknown, Decision::Drop).await;
    assert_eq!(no_such, Err(OperateError::NoSuchStream { stream: unknown }));
    publisher.close().await;
    assert!(std::fs::metadata(&outbox).unwrap().len() > 40_000_000);
    rusqlite::Connection::open(&outbox).unwrap().execute("UPDATE stream SET parked_code = 'x'", []).unwrap();

    let publisher = open(&outbox);
    assert_eq!(publisher.decide(&stream, Decision::Drop).await, Ok(2_000));
    let metrics = publisher.metrics();
    assert_eq!((metrics.depth_events, metrics.depth_bytes), (0, 0));
    let deadline = std::time::Instant::now() + PATIENCE;
    while std::fs::metadata(&outbox).unwrap().len() > 20_000_000 {
        assert!(std::time::Instant::now() < deadline, "the file never becomes smaller");
        // Between two looks of a deadline-bound wait; nothing depends on its length.
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // Numbers go on.
    assert_eq!(publisher.publish_many(&stream, [Draft::new("k", "1")]).await.unwrap().first, 2_001);
    assert_eq!(publisher.numbers().unwrap()[&stream], 2_001);
}
