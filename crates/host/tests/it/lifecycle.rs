//! Ending and starting again.

use std::time::{Duration, Instant};

use muster_host::{Host, HostLimits};
use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{CLOSE, Client, PATIENCE, answer, connect, goodbyes, host, read_frame};
use crate::module::{Variant, module};

#[tokio::test]
async fn a_restart_keeps_databases_names_owners_and_updates() {
    let folder = tempfile::tempdir().unwrap();
    let start = async || Host::builder().data_dir(folder.path()).start().await.unwrap();
    let host = start().await;
    let owner = Client::new(host.url()).await;
    let identity = owner.publish("kept", module(Variant::Plain)).await;
    owner.call("kept", "add", json!(["before"])).await;
    owner.publish("kept", module(Variant::WithNotes)).await;
    owner.publish("deleted", module(Variant::Plain)).await;
    answer(owner.delete("/v1/database/deleted")).await;
    host.shutdown().await;

    for _ in 0..2 {
        let host = start().await;
        let owner = Client::nobody(host.url()).with_token(owner.token.clone().unwrap());
        assert_eq!(answer(owner.get("/v1/database/kept/identity")).await.1, identity);
        assert_eq!(owner.items("kept").await, ["before"]);
        assert!(owner.rows("kept", "SELECT * FROM note").await.is_empty(), "the update is still there");
        assert_eq!(owner.rows("kept", "SELECT * FROM session").await.len(), 1);
        assert_eq!(answer(owner.get("/v1/database/deleted")).await.0, StatusCode::NOT_FOUND);
        owner.publish("kept", module(Variant::WithNotes)).await;
        host.shutdown().await;
    }
}

#[tokio::test]
async fn a_database_that_cannot_launch_stops_nobody_and_keeps_its_data() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("well", module(Variant::Plain)).await;
    owner.publish("broken", module(Variant::WithNotes)).await;
    owner.call("well", "add", json!(["fine"])).await;
    host.shutdown().await;

    // As if the host had been built on another engine since, on which the module no longer runs: it must be refused
    // before the engine tries it as JavaScript, which would end the process.
    let control = rusqlite::Connection::open(folder.path().join("control.sqlite")).unwrap();
    control.execute("UPDATE program SET launched_by = '0.0.0'", []).unwrap();
    drop(control);
    let broken = spacetimedb_lib::hash_bytes(module(Variant::WithNotes)).to_hex().to_string();
    std::fs::write(folder.path().join("programs").join(&broken), b"\0asm no longer").unwrap();

    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::nobody(host.url()).with_token(owner.token.unwrap());
    assert_eq!(owner.items("well").await, ["fine"]);
    for (status, body) in [
        owner.sql("broken", "SELECT * FROM item").await,
        owner.call("broken", "add", json!(["x"])).await,
        answer(owner.get("/v1/database/broken/subscribe").header("upgrade", "websocket")).await,
    ] {
        assert!(status == StatusCode::INTERNAL_SERVER_ERROR || status == StatusCode::BAD_REQUEST, "{status} {body}");
    }
    let (_, body) = owner.sql("broken", "SELECT * FROM item").await;
    assert!(body.contains(&broken) && body.contains("its data is kept"), "{body}");
    assert_eq!(answer(owner.get("/v1/database/broken")).await.0, StatusCode::OK, "it is still there to be deleted");
    assert_eq!(answer(owner.get("/v1/database/broken/logs")).await.0, StatusCode::OK, "and its log to be read");
    assert_eq!(
        answer(owner.put("/v1/database/broken?clear=true").body(module(Variant::Plain))).await.0,
        StatusCode::OK
    );
    assert!(owner.items("broken").await.is_empty());
    host.shutdown().await;
}

#[tokio::test]
async fn dropping_a_host_hangs_nobody_and_frees_its_folder_soon() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("dropped", module(Variant::Plain)).await;
    owner.call("dropped", "add", json!(["acknowledged"])).await;
    drop(host);
    let host = tokio::time::timeout(PATIENCE, async {
        loop {
            match Host::builder().data_dir(folder.path()).start().await {
                Ok(host) => return host,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await
    .unwrap();
    let owner = Client::nobody(host.url()).with_token(owner.token.unwrap());
    assert_eq!(owner.items("dropped").await, ["acknowledged"]);
    host.shutdown().await;
}

#[test]
fn dropping_a_host_without_a_runtime_hangs_nobody() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let host = runtime.block_on(async {
        let host = host().await;
        Client::new(host.url()).await.publish("orphan", module(Variant::Plain)).await;
        host
    });
    let folder = host.data_dir().to_owned();
    drop(runtime);
    drop(host);
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_host_ends() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("busy", module(Variant::Plain)).await;
    // The head and half of the body have arrived when the shutdown begins.
    let (sender, body) = tokio::sync::mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    let stream = futures::stream::unfold(body, async |mut body| body.recv().await.map(|part| (part, body)));
    sender.send(Ok("[\"half")).await.unwrap();
    let request = owner
        .post("/v1/database/busy/call/add")
        .header("content-type", "application/json")
        .body(reqwest::Body::wrap_stream(stream));
    let answered = tokio::spawn(answer(request));
    // The host has taken the first part once a second fits into the channel of one.
    sender.send(Ok(" and")).await.unwrap();
    let ended = tokio::spawn(host.shutdown());
    sender.send(Ok(" half\"]")).await.unwrap();
    drop(sender);
    assert_eq!(answered.await.unwrap(), (StatusCode::OK, String::new()));
    ended.await.unwrap();
}

/// Also one that arrives more slowly than anything else on this connection may: the client takes some of it all the time.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_read_slowly_arrives_whole_although_the_host_ends() {
    const STATEMENTS: usize = 64;
    const MIB: usize = 1 << 20;
    let limits = HostLimits {
        write_timeout: Duration::from_secs(3),
        drain_deadline: Duration::from_secs(60),
        ..HostLimits::DEFAULT
    };
    let host = Host::builder().in_memory().limits(limits).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("slow", module(Variant::Plain)).await;
    for row in 0..4 {
        owner.call("slow", "add", json!([format!("{row}{}", "x".repeat(120_000))])).await;
    }
    let address = host.local_addr();
    let mut socket = tokio::net::TcpStream::connect(address).await.unwrap();
    let statements = "SELECT * FROM item;".repeat(STATEMENTS);
    let request = format!(
        "POST /v1/database/slow/sql HTTP/1.1\r\nHost: host\r\nContent-Length: {}\r\n\r\n{statements}",
        statements.len()
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tokio::time::timeout(PATIENCE, socket.read_u8()).await.unwrap().unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_lowercase();
    let length: usize = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
    assert!(length > 28 * MIB, "{head}");
    let begun = Instant::now();
    let ended = tokio::spawn(host.shutdown());
    let (mut received, mut piece) = (0, vec![0; MIB]);
    loop {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let read = tokio::time::timeout(PATIENCE, socket.read(&mut piece)).await.unwrap();
        match read.unwrap_or_else(|error| panic!("{error} after {received} of {length} bytes")) {
            0 => break,
            bytes => received += bytes,
        }
    }
    assert_eq!(received, length);
    assert!(begun.elapsed() > limits.write_timeout, "slowly");
    ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_says_goodbye_to_every_session_before_it_flushes() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("crowd", module(Variant::Plain)).await;
    let mut sockets: Vec<_> = (0..8).map(|_| connect(&host.url(), "crowd")).collect();
    let goodbyes_before = goodbyes(folder.path());
    // Sockets that never say a word, and one that is half way through a request's head.
    let address = host.local_addr();
    let silent = std::net::TcpStream::connect(address).unwrap();
    let mut slow = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut slow, b"GET /v1/ping HTTP/1.1\r\nHost").unwrap();

    tokio::time::timeout(Duration::from_secs(5), host.shutdown()).await.expect("nobody holds up the end");
    for socket in &mut sockets {
        assert_eq!(read_frame(socket), Some(CLOSE));
        assert_eq!(read_frame(socket), None);
    }
    // What the module logged is read from the disk: a restart would disconnect ghosts by itself.
    assert_eq!(goodbyes(folder.path()) - goodbyes_before, 8);
    drop((silent, slow));
}
