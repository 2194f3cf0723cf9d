//! Clients that send what is none of HTTP, of WebSocket, or of SpacetimeDB's messages; too much of it, or packed.

use std::io::Write;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use spacetimedb_client_api_messages::websocket::common::QuerySetId;
use spacetimedb_client_api_messages::websocket::v2::{CallReducer, ClientMessage, OneOffQuery, Subscribe};
use spacetimedb_sats::bsatn;
use tokio::io::AsyncWriteExt;

use crate::attack::{
    BINARY, CLOSE, CONTINUE, Ending, FIN, PING, PROTOCOLS, RSV1, TEXT, ending, frame, frame_head, open, rest,
    websocket, websocket_with,
};
use crate::process::{HostProcess, Temper, until};
use crate::witness::Witness;

const MIB: u64 = 1 << 20;

/// Changes what is sent; printed, so that a failure can be had again with `MUSTER_SEED`.
fn seeded() -> StdRng {
    let seed = std::env::var("MUSTER_SEED").ok().map_or_else(rand::random, |seed| seed.parse().expect("a number"));
    println!("MUSTER_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_instead_of_a_request_is_refused_and_the_connection_closed() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let witness = Witness::of(&host).await;
    let mut random = seeded();
    let long_line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)).into_bytes();
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "X: y\r\n".repeat(50_000)).into_bytes();
    let noise: Vec<u8> = (0..4096).map(|_| random.random()).collect();
    for garbage in [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        b"POST /v1/database/test/sql HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n".to_vec(),
        b"POST /v1/database/test/call/add HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\
            Content-Length: 6\r\n\r\n[1,2]"
            .to_vec(),
        b"\0".repeat(100),
        long_line,
        many_headers,
        noise,
    ] {
        let mut socket = open(host.address()).await;
        // Refused before all of it is taken, it may find the connection closed.
        let _ = socket.write_all(&garbage).await;
        let said = rest(&mut socket).await;
        assert!(!said.contains("HTTP/1.1 2") && !said.contains("HTTP/1.1 5"), "{said}");
    }
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_that_break_the_websocket_rules_end_the_session() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let witness = Witness::of(&host).await;
    let unmasked = vec![FIN | BINARY, 3, 1, 2, 3];
    let mut long_ping = frame_head(FIN | PING, 126);
    long_ping.extend([0; 126]);
    for (broken, what) in [
        (frame(FIN | RSV1 | BINARY, b"compressed"), "a frame said to be compressed, which nobody agreed on"),
        (frame(FIN | 3, b"x"), "a reserved opcode"),
        (frame(FIN | 11, b"x"), "a reserved control opcode"),
        (unmasked, "a frame without a mask"),
        (long_ping, "a long control frame"),
        (frame(PING, b"x"), "a control frame in fragments"),
        (frame(FIN | CONTINUE, b"x"), "the end of a message that never began"),
        ([frame(BINARY, b"x"), frame(FIN | BINARY, b"y")].concat(), "a message inside a message"),
        (frame(FIN | TEXT, &[0xff, 0xfe]), "text that is no UTF-8"),
        (frame(FIN | CLOSE, &[3]), "half a close code"),
        (frame_head(FIN | BINARY, 1 << 40), "a frame of a tebibyte"),
        (frame_head(FIN | BINARY, u64::MAX), "a frame of all there is"),
    ] {
        for protocol in PROTOCOLS {
            let mut socket = websocket(host.address(), protocol).await;
            socket.write_all(&broken).await.unwrap();
            let ending = ending(&mut socket).await;
            let expected = [Ending::Close(1002), Ending::Close(1007), Ending::Close(1009)];
            assert!(expected.contains(&ending), "{protocol}, {what}: {ending:?}");
        }
    }
    witness.testify().await;
}

/// Real requests, as they go over the wire under `v2`.
fn requests() -> Vec<Vec<u8>> {
    let (request_id, query_set_id) = (1, QuerySetId::new(1));
    let add = bsatn::to_vec(&("text",)).unwrap();
    [
        ClientMessage::Subscribe(Subscribe {
            request_id,
            query_set_id,
            query_strings: ["SELECT * FROM item".into()].into(),
        }),
        ClientMessage::OneOffQuery(OneOffQuery { request_id, query_string: "SELECT * FROM beat".into() }),
        ClientMessage::CallReducer(CallReducer {
            request_id,
            flags: Default::default(),
            reducer: "add".into(),
            args: add.into(),
        }),
    ]
    .iter()
    .map(|message| bsatn::to_vec(message).unwrap())
    .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_truncated_messages_harm_nobody_on_any_protocol() {
    let mut host = HostProcess::with_module(Temper::Impatient).await;
    let (memory, files) = (host.resident_bytes(), host.open_files());
    let witness = Witness::of(&host).await;
    let mut random = seeded();
    let json = br#"{"CallReducer":{"reducer":"add","args":"[\"text\"]","request_id":1,"flags":0}}"#.to_vec();
    for round in 0..400 {
        let protocol = PROTOCOLS[round % 4];
        let is_text = protocol.contains("json");
        let mut request = if is_text { json.clone() } else { requests()[random.random_range(0..3)].clone() };
        match random.random_range(0..4) {
            0 => request.truncate(random.random_range(0..request.len())),
            1 => request = (0..random.random_range(0..200)).map(|_| random.random()).collect(),
            2 => request.extend((0..random.random_range(1..50)).map(|_| random.random::<u8>())),
            _ => {
                let at = random.random_range(0..request.len());
                request[at] ^= 1 << random.random_range(0..8);
            }
        }
        let mut socket = websocket(host.address(), protocol).await;
        let opcode = if is_text && std::str::from_utf8(&request).is_ok() { TEXT } else { BINARY };
        let mut bytes = frame(FIN | opcode, &request);
        if random.random_bool(0.2) {
            bytes.truncate(random.random_range(1..bytes.len()));
            socket.write_all(&bytes).await.unwrap();
            continue;
        }
        // Whether it was understood or not, the session ends here and now, or at the goodbye.
        bytes.extend(frame(FIN | CLOSE, &1000u16.to_be_bytes()));
        socket.write_all(&bytes).await.unwrap();
        ending(&mut socket).await;
    }
    until("its sockets back", || host.open_files() <= files + 10).await;
    assert!(host.is_alive());
    assert!(host.resident_bytes() < memory + 100 * MIB, "{} MiB", host.resident_bytes() / MIB);
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_claim_to_be_enormous_cost_nothing() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    // A subscription (tag 0) of 2^32 - 1 queries; a query (tag 2) of 2^32 - 1 bytes; a call (tag 3) of as long a name.
    let subscribe = [&[0][..], &[0; 8], &[0xff; 4]].concat();
    let query = [&[2][..], &[0; 4], &[0xff; 4]].concat();
    let call = [&[3][..], &[0; 5], &[0xff; 4]].concat();
    for payload in [subscribe, query, call] {
        for protocol in &PROTOCOLS[..3] {
            let mut socket = websocket(host.address(), protocol).await;
            socket.write_all(&frame(FIN | BINARY, &payload)).await.unwrap();
            assert_eq!(ending(&mut socket).await, Ending::Close(1011), "{protocol}");
        }
    }
    assert!(host.resident_bytes_peak() < memory + 50 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compression_is_not_agreed_on_and_packed_bodies_stay_packed() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    let offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-webkit-deflate-frame\r\n";
    for protocol in PROTOCOLS {
        let (mut socket, head) = websocket_with(host.address(), protocol, offer).await;
        assert!(head.starts_with("HTTP/1.1 101 ") && !head.to_lowercase().contains("extensions"), "{head}");
        socket.write_all(&frame(FIN | RSV1 | BINARY, &[0x4b, 0x4c, 0x04, 0x00])).await.unwrap();
        assert_eq!(ending(&mut socket).await, Ending::Close(1002));
    }
    // A gibibyte, packed into a mebibyte: taken for what it is, a mebibyte that is no JSON and no SQL.
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..64 {
        packer.write_all(&vec![b' '; 16 << 20]).unwrap();
    }
    let bomb = packer.finish().unwrap();
    println!("the bomb is of {} KiB", bomb.len() >> 10);
    for path in ["/v1/database/test/call/add", "/v1/database/test/sql", "/v1/database/other"] {
        let method = if path.ends_with("other") { "PUT" } else { "POST" };
        let mut socket = open(host.address()).await;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n\
             Content-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        );
        let _ = socket.write_all(&[head.as_bytes(), &bomb].concat()).await;
        let said = rest(&mut socket).await;
        assert!(said.starts_with("HTTP/1.1 4"), "{path}: {said}");
    }
    assert!(host.resident_bytes_peak() < memory + 100 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_longer_than_its_route_takes_is_refused_before_it_is_kept() {
    let host = HostProcess::with_module(Temper::Impatient).await;
    let memory = host.resident_bytes();
    let witness = Witness::of(&host).await;
    for (head, limit) in [
        ("POST /v1/database/test/sql", 1u64 << 20),
        ("POST /v1/database/test/call/add", 16 << 20),
        ("PUT /v1/database/other", 64 << 20),
    ] {
        for framing in [format!("Content-Length: {}", 1u64 << 40), "Transfer-Encoding: chunked".to_owned()] {
            let mut socket = open(host.address()).await;
            let head = format!(
                "{head} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n{framing}\r\n\r\n"
            );
            socket.write_all(head.as_bytes()).await.unwrap();
            let chunk = [b"100000\r\n", &*vec![b'x'; 1 << 20], b"\r\n"].concat();
            let mut sent = 0;
            while sent < 4 * limit + 256 * MIB && socket.write_all(&chunk).await.is_ok() {
                sent += 1 << 20;
            }
            assert!(sent < 2 * 64 * MIB + limit + 64 * MIB, "{head}: {sent} bytes were taken");
        }
    }
    assert!(host.resident_bytes_peak() < memory + 200 * MIB, "{} MiB", host.resident_bytes_peak() / MIB);
    witness.testify().await;
}
