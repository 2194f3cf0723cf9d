//! The way of an event from an outbox into a stream.

use std::time::Duration;

use muster_publisher::{FlushError, SenderState, inspect};
use muster_wire::Endpoint;

use crate::lane::Lane;
use crate::plane::{FLUSH, config, folder, free_port, open, payloads, publish, stored, until};

#[tokio::test(flavor = "multi_thread")]
async fn events_published_before_and_after_connecting_are_all_stored_once_and_in_order() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    for id in ["a.x", "a.y", "a.z"] {
        publish(&publisher, id, "p", 1..=1_200).await;
    }
    publisher.connect(config(lane.place.endpoint()));
    for n in 1_201..=1_250 {
        for id in ["a.x", "a.y", "a.z"] {
            publish(&publisher, id, "p", n..=n).await;
        }
    }
    publisher.flush(FLUSH).await.expect("all confirmed");
    let session = lane.join().await;
    for id in ["a.x", "a.y", "a.z"] {
        assert_eq!(stored(&session, id).await, payloads("p", 1..=1_250), "{id}");
    }
    let metrics = publisher.metrics();
    assert_eq!((metrics.published, metrics.sender.confirmed, metrics.sender.duplicates), (3_750, 3_750, 0));
    assert_eq!((metrics.depth_events, metrics.depth_bytes, metrics.oldest_age), (0, 0, Duration::ZERO));
    assert!(metrics.failures.is_empty(), "{:?}", metrics.failures);
    // Batches stay batches.
    assert!(metrics.sender.accepted_calls < 500, "{} calls", metrics.sender.accepted_calls);
    until(&publisher, |status| status.state == SenderState::Idle).await;
    publisher.close().await;
    assert_eq!(inspect(&outbox, false, 10).expect("an outbox").events, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_was_just_committed_is_not_read_back_to_be_sent() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 1..=3).await;
    publisher.connect(config(lane.place.endpoint()));
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(publisher.metrics().from_memory, 0, "nobody sent when they were committed");
    // With the next one the epoch of the new stream is learned and written down, after which it is read like any other.
    publish(&publisher, "a.x", "p", 4..=4).await;
    publisher.flush(FLUSH).await.expect("confirmed");
    let before = publisher.metrics();
    for n in 5..=14 {
        publish(&publisher, "a.x", "p", n..=n).await;
        publisher.flush(FLUSH).await.expect("confirmed");
    }
    let after = publisher.metrics();
    let calls = after.sender.accepted_calls - before.sender.accepted_calls;
    assert_eq!((after.from_memory - before.from_memory, calls), (10, 10));
    assert_eq!(stored(&lane.join().await, "a.x").await, payloads("p", 1..=14));
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_host_events_wait_and_flushing_says_why() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 1..=3).await;
    assert_eq!(publisher.flush(FLUSH).await, Err(FlushError::NotConnected { pending: 3 }));
    let nobody = format!("http://127.0.0.1:{}", free_port());
    publisher.connect(config(Endpoint::new(&nobody, "lane").expect("an endpoint")));
    let status = until(&publisher, |status| status.state == SenderState::Backoff && status.attempts > 1).await;
    assert!(status.last_error.expect("a reason").contains("nothing listens"));
    let error = publisher.flush(Duration::from_millis(100)).await.expect_err("nobody confirms");
    assert!(matches!(error, FlushError::Deadline { pending: 3, .. }), "{error}");
    assert!(publisher.metrics().failures["network"] > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_does_not_exist_blocks_until_somebody_says_that_it_does() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 1..=3).await;
    let elsewhere = lane.place.endpoint();
    let wrong = Endpoint::new(&format!("http://{}", elsewhere.authority()), "no-such-lane").expect("an endpoint");
    publisher.connect(config(wrong));
    let status = until(&publisher, |status| status.state == SenderState::Blocked).await;
    assert!(status.last_error.expect("a reason").contains("has no database `no-such-lane`"));
    // Connecting elsewhere ends the first sender.
    publisher.connect(config(elsewhere));
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&lane.join().await, "a.x").await, payloads("p", 1..=3));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_producers_of_one_stream_do_not_disturb_each_other() {
    let lane = Lane::start().await;
    let (_folder, one) = folder();
    let (_other_folder, other) = folder();
    let (one, other) = (open(&one), open(&other));
    one.connect(config(lane.place.endpoint()));
    other.connect(config(lane.place.endpoint()));
    for first in (1..=600).step_by(20) {
        tokio::join!(
            publish(&one, "a.x", "one", first..=first + 19),
            publish(&other, "a.x", "other", first..=first + 19)
        );
    }
    one.flush(FLUSH).await.expect("all confirmed");
    other.flush(FLUSH).await.expect("all confirmed");
    let stored = stored(&lane.join().await, "a.x").await;
    assert_eq!(stored.len(), 1_200);
    for by in ["one", "other"] {
        let own: Vec<String> =
            stored.iter().filter(|payload| payload.contains(&format!("\"{by}\""))).cloned().collect();
        assert_eq!(own, payloads(by, 1..=600));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_streams_of_a_few_events_each_are_all_sent() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    for n in 1..=3 {
        for stream in 0..1_100 {
            if n == 1 || stream % 10 == 0 {
                publish(&publisher, &format!("a.s{stream}"), "p", n..=n).await;
            }
        }
    }
    publisher.connect(config(lane.place.endpoint()));
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(lane.place.count("sync_stream").await, 1_100);
    assert_eq!(lane.place.events().await, 1_100 + 2 * 110);
    assert_eq!(stored(&lane.join().await, "a.s10").await, payloads("p", 1..=3));
}
