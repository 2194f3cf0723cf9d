//! Clients that take their time.

use futures::future::join_all;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

use crate::attack::{BINARY, CONTINUE, FIN, PONG, PROTOCOLS, drip, frame, frame_head, open, rest, websocket};
use crate::process::{HostProcess, IMPATIENCE, Temper, until};
use crate::witness::Witness;

/// How many of each kind at once.
const CROWD: usize = 100;

/// Between two bytes of a client that takes its time: never silent for as long as a timeout.
const BYTE_PAUSE: Duration = Duration::from_millis(100);

/// How late a timeout may be noticed on a machine that is busy.
const SLACK: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_a_request_byte_by_byte_is_cut_off_and_the_others_do_not_notice() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let witness = Witness::of(&host).await;
    let head =
        b"GET /v1/ping HTTP/1.1\r\nX-Padding: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let crowd = (0..CROWD).map(async |_| drip(open(host.address()).await, head, BYTE_PAUSE).await);
    for lasted in join_all(crowd).await {
        assert!(lasted >= IMPATIENCE / 2 && lasted < IMPATIENCE + SLACK, "{lasted:?}");
    }
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_sends_a_body_byte_by_byte_is_cut_off_and_told_so() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let witness = Witness::of(&host).await;
    let request = b"POST /v1/database/test/call/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 1000000\r\nConnection: close\r\n\r\n[";
    let crowd = (0..CROWD).map(async |index| {
        let mut socket = open(host.address()).await;
        socket.write_all(request).await.unwrap();
        if index == 0 {
            let said = rest(&mut socket).await;
            assert!(said.starts_with("HTTP/1.1 408 ") && said.contains("did not arrive"), "{said}");
            return Duration::ZERO;
        }
        drip(socket, b" ", BYTE_PAUSE).await
    });
    for lasted in join_all(crowd).await {
        // Refused after one timeout; what it goes on sending is thrown away for a while, and then it is cut off.
        assert!(lasted < IMPATIENCE + Duration::from_secs(5) + SLACK, "{lasted:?}");
    }
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_frame_that_never_ends_ends_the_session() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let witness = Witness::of(&host).await;
    let crowd = (0..CROWD).map(async |index| {
        let mut socket = websocket(host.address(), PROTOCOLS[index % PROTOCOLS.len()]).await;
        socket.write_all(&frame_head(FIN | BINARY, 1_000_000)).await.unwrap();
        drip(socket, b"x", BYTE_PAUSE).await
    });
    for lasted in join_all(crowd).await {
        assert!(lasted < IMPATIENCE + SLACK, "{lasted:?}");
    }
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_endless_fragments_ends_at_the_size_limit_however_lively_its_sender() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let before = host.resident_bytes();
    let witness = Witness::of(&host).await;
    let mut socket = websocket(host.address(), PROTOCOLS[0]).await;
    socket.write_all(&frame(BINARY, b"x")).await.unwrap();
    let mut sent = 1;
    let more = [frame(CONTINUE, &vec![b'x'; 1 << 20]), frame(FIN | PONG, b"")].concat();
    while sent < 64 << 20 && socket.write_all(&more).await.is_ok() {
        sent += 1 << 20;
    }
    // The kernel takes some megabytes that the host never reads.
    assert!(sent < 48 << 20, "{sent} bytes of one message were taken");
    witness.testify().await;
    until("its memory back", || host.resident_bytes() < before + (100 << 20)).await;
    assert!(host.resident_bytes_peak() < before + (160 << 20), "{} MiB", host.resident_bytes_peak() >> 20);
}
