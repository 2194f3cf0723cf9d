//! Limits of connections and requests: whoever goes beyond one is told so or cut off, and nobody else notices.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use muster_host::{Host, HostLimits, RunningHost, StartError};
use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, PATIENCE, answer, connect};
use crate::module::{Variant, module};

async fn host_with(limits: HostLimits) -> RunningHost {
    Host::builder().in_memory().limits(limits).start().await.unwrap()
}

/// Sends `request` on a connection of its own, and reads until the host closes it.
pub(crate) fn exchange(host: SocketAddr, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(host).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(request).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

const PING: &[u8] = b"GET /v1/ping HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_keeps_its_place_until_it_ends_and_who_finds_none_hears_so() {
    let host = host_with(HostLimits { connections: 3, ..HostLimits::DEFAULT }).await;
    let owner = Client::new(host.url()).await;
    owner.publish("full", module(Variant::Plain)).await;
    let first = connect(&host.url(), "full");
    let _second = connect(&host.url(), "full");
    let told = exchange(host.local_addr(), PING);
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 ") && head.contains("Retry-After"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{told}");
    // The third connection is the owner's, and goes on.
    assert_eq!(owner.rows("full", "SELECT * FROM session").await.len(), 3);

    drop(first);
    let patience = Instant::now() + PATIENCE;
    while !exchange(host.local_addr(), PING).starts_with("HTTP/1.1 200 ") {
        assert!(Instant::now() < patience, "the place was never given back");
    }
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_arrives_in_drops_is_cut_off() {
    let host = host_with(HostLimits { header_timeout: Duration::from_millis(300), ..HostLimits::DEFAULT }).await;
    let mut socket = TcpStream::connect(host.local_addr()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(b"GET /v1/ping HTTP/1.1\r\nX-Slow: ").unwrap();
    let started = Instant::now();
    // Never silent for long, and never done.
    while socket.write_all(b"z").is_ok() {
        assert!(started.elapsed() < PATIENCE, "still listened to");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert!(exchange(host.local_addr(), PING).starts_with("HTTP/1.1 200 "));
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_arrive_is_not_waited_for() {
    let host = host_with(HostLimits { body_timeout: Duration::from_millis(300), ..HostLimits::DEFAULT }).await;
    let owner = Client::new(host.url()).await;
    owner.publish("patient", module(Variant::Plain)).await;
    for request in ["PUT /v1/database/other", "POST /v1/database/patient/sql", "POST /v1/database/patient/call/add"] {
        let head = format!(
            "{request} HTTP/1.1\r\nHost: host\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: 1000\r\n\r\nnot all of it"
        );
        let told = exchange(host.local_addr(), head.as_bytes());
        assert!(told.starts_with("HTTP/1.1 408 ") && told.contains("did not arrive within 0.3 s"), "{told}");
    }
    assert_eq!(owner.rows("patient", "SELECT * FROM session").await.len(), 1, "none of them became a session");
    host.shutdown().await;
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_its_limit() {
    let limits = HostLimits {
        header_bytes: muster_host::limits::HEADER_BYTES_MIN,
        program_bytes: 30_000,
        call_bytes: 20_000,
        sql_bytes: 10_000,
        ..HostLimits::DEFAULT
    };
    let host = host_with(limits).await;
    let owner = Client::new(host.url()).await;
    owner.publish("narrow", module(Variant::Plain)).await;
    let long = |bytes: usize| "x".repeat(bytes);
    for (request, limit) in [
        (owner.put("/v1/database/narrow").body(long(30_001)), "30000"),
        (owner.put("/v1/database/narrow/reset").body(long(30_001)), "30000"),
        (owner.post("/v1/database/narrow/pre_publish").body(long(30_001)), "30000"),
        (owner.post("/v1/database/narrow/call/add").json(&json!([long(20_001)])), "20000"),
        (owner.post("/v1/database/narrow/sql").body(long(10_001)), "10000"),
    ] {
        let (status, body) = answer(request).await;
        assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
        assert!(body.contains(limit), "{body}");
    }
    assert_eq!(owner.call("narrow", "add", json!([long(19_000)])).await.0, StatusCode::OK);
    let head = owner.get("/v1/ping").header("x-long", long(9_000)).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    host.shutdown().await;
}

#[tokio::test]
async fn limits_without_room_are_refused_before_anything_starts() {
    let limits = HostLimits { connections: 0, ..HostLimits::DEFAULT };
    let error = Host::builder().in_memory().limits(limits).start().await.unwrap_err();
    assert!(matches!(error, StartError::HostLimits(_)) && error.to_string().contains("connections"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_waits_no_longer_than_its_deadline() {
    let limits = HostLimits { drain_deadline: Duration::from_millis(300), ..HostLimits::DEFAULT };
    let host = host_with(limits).await;
    let mut socket = TcpStream::connect(host.local_addr()).unwrap();
    // A request under way that never ends.
    socket.write_all(b"PUT /v1/database/never HTTP/1.1\r\nHost: host\r\nContent-Length: 9\r\n\r\n\0asm").unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("there", module(Variant::Plain)).await;
    let started = Instant::now();
    host.shutdown().await;
    let took = started.elapsed();
    assert!(took >= limits.drain_deadline && took < Duration::from_secs(8), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_before_sending_is_refused_at_once_and_not_told_to_go_on() {
    let host = host_with(HostLimits::DEFAULT).await;
    let owner = Client::new(host.url()).await;
    owner.publish("owned", module(Variant::Plain)).await;
    for (request, status) in [
        ("PUT /v1/database/owned HTTP/1.1\r\n", "403"),
        ("PUT /v1/database/owned HTTP/1.1\r\nAuthorization: Bearer none\r\n", "401"),
        ("POST /v1/database/absent/sql HTTP/1.1\r\n", "404"),
    ] {
        let head = format!("{request}Host: host\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n");
        let begun = Instant::now();
        let told = exchange(host.local_addr(), head.as_bytes());
        assert!(told.starts_with(&format!("HTTP/1.1 {status} ")), "{told}");
        assert!(begun.elapsed() < muster_host::limits::DRAIN_TIMEOUT, "{:?}", begun.elapsed());
    }
    host.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_of_http_1_1_names_its_host_once() {
    let host = host_with(HostLimits::DEFAULT).await;
    for (request, status) in [
        ("GET /v1/ping HTTP/1.1\r\n", "400"),
        ("GET /v1/ping HTTP/1.1\r\nHost: one\r\nHost: two\r\n", "400"),
        ("GET /v1/ping HTTP/1.1\r\nHost: one\r\n", "200"),
        ("GET /v1/ping HTTP/1.0\r\n", "200"),
    ] {
        let told = exchange(host.local_addr(), format!("{request}Connection: close\r\n\r\n").as_bytes());
        let (version, rest) = told.split_once(' ').unwrap();
        assert!(version.starts_with("HTTP/1.") && rest.starts_with(status), "{request}: {told}");
    }
    host.shutdown().await;
}
