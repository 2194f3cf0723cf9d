//! Hosts that are killed, acknowledgements that are lost, outboxes that are damaged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use muster_publisher::{Decision, OperateError, SenderState, inspect};
use muster_wire::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::lane::{DATABASE, Lane, Place};
use crate::plane::{FLUSH, config, folder, free_port, host_at, open, payloads, publish, stored, stream, until};
use crate::support::{Sandbox, muster_module};

fn module() -> Vec<u8> {
    std::fs::read(muster_module()).expect("the module's file")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let sandbox = Sandbox::new();
    let port = free_port();
    let mut host = host_at(&sandbox, port);
    let place = Place::publish(host.url.clone(), module()).await;
    let (_folder, outbox) = folder();
    let publisher = Arc::new(open(&outbox));
    publisher.connect(config(place.endpoint()));
    for round in 0..3u64 {
        let publishing = {
            let publisher = publisher.clone();
            tokio::spawn(async move {
                for first in (round * 2_000 + 1..=(round + 1) * 2_000 - 50).step_by(50) {
                    for id in ["a.x", "a.y"] {
                        publish(&publisher, id, "p", first..=first + 49).await;
                    }
                }
            })
        };
        // Somewhere in the middle: once the host has confirmed something of this round.
        let goal = round * 4_000 + 500;
        let mut status = publisher.status();
        while publisher.metrics().sender.confirmed < goal {
            tokio::time::timeout(FLUSH, status.changed()).await.expect("news in time").expect("it lives");
        }
        host.kill();
        publishing.await.expect("publishing needs no host");
        // A quick host may have confirmed all of that: these need the next one in any case.
        let last = (round + 1) * 2_000;
        for id in ["a.x", "a.y"] {
            publish(&publisher, id, "p", last - 49..=last).await;
        }
        until(&publisher, |status| status.state == SenderState::Backoff).await;
        host = host_at(&sandbox, port);
    }
    publisher.flush(FLUSH).await.expect("all confirmed");
    let session = place.join(None).await;
    for id in ["a.x", "a.y"] {
        assert_eq!(stored(&session, id).await, payloads("p", 1..=6_000), "{id}");
    }
    let metrics = publisher.metrics();
    assert_eq!((metrics.sender.confirmed, metrics.depth_events), (12_000, 0));
    assert!(metrics.sender.connections >= 4);
}

/// Passes everything on, and nothing of what a host says while `deaf` is set.
async fn deaf_proxy(to: String, deaf: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(host) = TcpStream::connect(&to).await else { continue };
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_host, mut to_host) = host.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_host).await });
            let deaf = deaf.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 65_536];
                let mut has_swallowed = false;
                while let Ok(count @ 1..) = from_host.read(&mut buffer).await {
                    if deaf.load(Ordering::SeqCst) {
                        has_swallowed = true;
                    } else if has_swallowed || to_client.write_all(&buffer[..count]).await.is_err() {
                        // What is left of a connection with a hole in it is its end.
                        return;
                    }
                }
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn events_whose_acknowledgement_was_lost_are_duplicates_and_not_stored_twice() {
    let lane = Lane::start().await;
    let deaf = Arc::new(AtomicBool::new(false));
    let url = deaf_proxy(lane.place.endpoint().authority(), deaf.clone()).await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 1..=10).await;
    publisher.connect(config(Endpoint::new(&url, DATABASE).expect("an endpoint")));
    publisher.flush(FLUSH).await.expect("all confirmed");
    // An epoch that is known: the next events go out in one call.
    publish(&publisher, "a.x", "p", 11..=11).await;
    publisher.flush(FLUSH).await.expect("all confirmed");

    deaf.store(true, Ordering::SeqCst);
    publish(&publisher, "a.x", "p", 12..=111).await;
    lane.place.until_count("sync_stream WHERE head = 111", 1).await;
    assert_eq!(publisher.metrics().depth_events, 100, "nobody has confirmed them");
    deaf.store(false, Ordering::SeqCst);
    // The host's next word ends the connection with the hole.
    publish(&publisher, "a.x", "p", 112..=112).await;
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&lane.join().await, "a.x").await, payloads("p", 1..=112));
    let counters = publisher.metrics().sender;
    assert!((100..=101).contains(&counters.duplicates), "{counters:?}");
    assert_eq!(counters.confirmed, 112);
}

/// Changes one letter of an event that waits in an outbox that nobody has open.
fn damage(outbox: &std::path::Path, id: &str, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let connection = rusqlite::Connection::open(outbox).expect("the outbox");
    let sql = "SELECT c.id, c.events FROM chunk c JOIN stream s ON s.no = c.stream WHERE s.id = ?1";
    let (row, mut events): (i64, Vec<u8>) =
        connection.query_row(sql, [id], |row| Ok((row.get(0)?, row.get(1)?))).expect("one chunk");
    let at = events.windows(from.len()).position(|window| window == from).expect("it is in there");
    events[at..at + to.len()].copy_from_slice(to);
    connection.execute("UPDATE chunk SET events = ?2 WHERE id = ?1", (row, events)).expect("written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_events_are_refused_for_good_is_parked_and_the_others_go_on() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 1..=20).await;
    publish(&publisher, "a.y", "p", 1..=20).await;
    publisher.close().await;
    damage(&outbox, "a.x", br#""n":13"#, br#""n":31"#);

    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    publisher.flush(FLUSH).await.expect("parked events are not waited for");
    until(&publisher, |status| status.parked_streams == 1).await;
    let session = lane.join().await;
    assert_eq!(stored(&session, "a.y").await, payloads("p", 1..=20));
    let parked = inspect(&outbox, true, 10).expect("an outbox").streams;
    // What stands before the one that is refused has gone out, and that one is named.
    assert_eq!((parked.len(), parked[0].stream.as_str(), parked[0].pending), (1, "a.x", 8));
    assert_eq!(stored(&session, "a.x").await, payloads("p", 1..=12));
    let reason = parked[0].parked.as_ref().expect("a reason");
    assert_eq!(reason.code, "payload_hash_mismatch");
    assert!(reason.message.contains("(the outbox's event 13 of this stream)"), "{}", reason.message);
    assert!(publisher.metrics().failures["payload_hash_mismatch"] >= 2, "asked again before it was parked");

    // It stays parked over a restart, and takes events.
    publisher.close().await;
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 21..=22).await;
    publisher.connect(config(lane.place.endpoint()));
    until(&publisher, |status| status.state == SenderState::Idle).await;
    assert_eq!(inspect(&outbox, true, 10).expect("an outbox").streams[0].pending, 10);

    let not_parked = publisher.decide(&stream("a.y"), Decision::Drop).await;
    assert_eq!(not_parked, Err(OperateError::NotParked { stream: stream("a.y") }));
    assert_eq!(publisher.decide(&stream("a.x"), Decision::Drop).await, Ok(10));
    publish(&publisher, "a.x", "p", 23..=25).await;
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&session, "a.x").await, [payloads("p", 1..=12), payloads("p", 23..=25)].concat());
}

/// Parks `a.x`, of whose 20 events the 13th was damaged so, and passes over what the reason names.
async fn passed_over(damage: impl FnOnce(&std::path::Path), code: &str) {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 1..=20).await;
    publisher.close().await;
    damage(&outbox);

    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    until(&publisher, |status| status.parked_streams == 1).await;
    publisher.flush(FLUSH).await.expect("parked events are not waited for");
    let parked = inspect(&outbox, true, 10).expect("an outbox").streams.remove(0);
    let reason = parked.parked.expect("a reason");
    assert_eq!(reason.code, code);
    assert!(reason.message.contains("(the outbox's event 13 of this stream)"), "{}", reason.message);
    assert_eq!(publisher.decide(&stream("a.x"), Decision::Skip { through: 13 }).await, Ok(1));
    publisher.flush(FLUSH).await.expect("all confirmed");
    let others = [payloads("p", 1..=12), payloads("p", 14..=20)].concat();
    assert_eq!(stored(&lane.join().await, "a.x").await, others);
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_over_an_event_that_is_refused_costs_that_event_and_no_other() {
    passed_over(|outbox| damage(outbox, "a.x", br#""n":13"#, br#""n":31"#), "payload_hash_mismatch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_rotted_is_found_here_and_not_sent_for_ever() {
    // The host could not even read the call.
    passed_over(|outbox| damage(outbox, "a.x", br#""n":13"#, b"\xffn\":13"), "outbox_damaged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_parked_stream_whose_cause_is_mended_goes_on_where_it_was() {
    let lane = Lane::start().await;
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    publish(&publisher, "a.x", "p", 1..=20).await;
    publisher.close().await;
    damage(&outbox, "a.x", br#""n":13"#, br#""n":31"#);
    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    until(&publisher, |status| status.parked_streams == 1).await;
    publisher.close().await;
    damage(&outbox, "a.x", br#""n":31"#, br#""n":13"#);

    let publisher = open(&outbox);
    publisher.connect(config(lane.place.endpoint()));
    assert_eq!(publisher.decide(&stream("a.x"), Decision::Retry).await, Ok(8));
    publisher.flush(FLUSH).await.expect("all confirmed");
    assert_eq!(stored(&lane.join().await, "a.x").await, payloads("p", 1..=20));
}
