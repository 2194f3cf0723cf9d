//! `muster-wire` where there is no host, another server, or a network that fails on the way.

use std::time::Duration;

use muster_wire::{CallError, ClosedReason, ConnectError, ConnectOptions, NetworkError, args, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::client::PATIENCE;
use crate::module::Variant;
use crate::wire::{ITEMS, endpoint, published, refusal};

#[tokio::test]
async fn an_address_that_is_wrong_is_told_apart_from_a_host_that_is_down() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let down = refusal(ConnectOptions::new(endpoint(&format!("http://{free}")))).await;
    let authority = free.to_string();
    assert_eq!(down, ConnectError::Network(NetworkError::Refused { authority }));
    assert!(down.is_retryable());

    let unknown = refusal(ConnectOptions::new(endpoint("http://no-such-host.invalid"))).await;
    assert!(matches!(unknown, ConnectError::Network(NetworkError::Dns { .. })), "{unknown}");

    let (_host, options) = published(Variant::Plain).await;
    let encrypted = options.endpoint.base().replace("http://", "https://");
    let plain = refusal(ConnectOptions::new(endpoint(&encrypted))).await;
    assert!(matches!(plain, ConnectError::Network(NetworkError::Tls { .. })), "{plain}");
    assert!(!plain.is_retryable());
}

/// Something that listens and answers every connection with these bytes.
async fn impostor(answer: &'static str) -> ConnectOptions {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ConnectOptions::new(endpoint(&format!("http://{}", listener.local_addr().unwrap())));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4_096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            // Held open: silence is also an answer.
            tokio::spawn(async move { while stream.read(&mut request).await.is_ok_and(|bytes| bytes > 0) {} });
        }
    });
    options
}

#[tokio::test]
async fn what_is_no_spacetimedb_host_is_found_out() {
    let page = impostor("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello").await;
    let error = refusal(page).await;
    assert!(matches!(&error, ConnectError::UnexpectedStatus { status: 200, said, .. } if said == "hello"), "{error}");

    let busy = impostor("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n").await;
    assert!(refusal(busy).await.is_retryable());

    let other = impostor(
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n",
    )
    .await;
    assert!(matches!(refusal(other).await, ConnectError::Protocol { .. }));

    let old = impostor("HTTP/1.1 400 Bad Request\r\ncontent-length: 26\r\n\r\nno valid protocol selected").await;
    assert!(matches!(refusal(old).await, ConnectError::NoCommonProtocol { .. }));
}

#[tokio::test]
async fn a_host_that_never_answers_is_given_up() {
    let mut silent = impostor("").await;
    silent.timeouts.connect = Duration::from_millis(200);
    let error = timeout(PATIENCE, refusal(silent)).await.expect("the timeout holds");
    assert!(matches!(error, ConnectError::Network(NetworkError::Timeout { .. })), "{error}");
}

/// A wire between client and host that can be cut, or go dead while it stays connected.
async fn dead_wire(to: String) -> (String, tokio::sync::watch::Sender<bool>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (dead, is_dead) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let (to, mut is_dead) = (to.clone(), is_dead.clone());
            tokio::spawn(async move {
                let mut host = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = tokio::io::copy_bidirectional(&mut client, &mut host) => return,
                    _ = is_dead.wait_for(|dead| *dead) => {}
                }
                // Both sockets stay open, and nothing passes any more.
                std::future::pending::<()>().await;
            });
        }
    });
    (url, dead)
}

#[tokio::test]
async fn a_connection_that_goes_dead_is_noticed_and_callers_learn_that_it_may_have_happened() {
    let (host, _) = published(Variant::Plain).await;
    let (url, dead) = dead_wire(host.local_addr().to_string()).await;
    let mut options = ConnectOptions::new(endpoint(&url));
    options.timeouts.ping_interval = Duration::from_millis(50);
    options.timeouts.idle = Duration::from_millis(400);
    let (connection, _incoming) = connect(options).await.unwrap();
    // Longer than the idle timeout: the pings and their answers keep it alive.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(connection.closed_reason(), None);
    dead.send_replace(true);
    let error =
        timeout(PATIENCE, connection.call_reducer("add", args(&("lost",)))).await.expect("noticed").unwrap_err();
    assert!(matches!(&error, CallError::Closed { reason: ClosedReason::Idle { .. }, sent: true }), "{error}");
    assert!(error.is_retryable() && error.may_have_happened());
}

#[tokio::test]
async fn a_call_without_an_answer_ends_at_its_deadline_and_the_connection_lives() {
    let (host, _) = published(Variant::Plain).await;
    let (url, dead) = dead_wire(host.local_addr().to_string()).await;
    let mut options = ConnectOptions::new(endpoint(&url));
    options.timeouts.call = Duration::from_millis(200);
    let (connection, _incoming) = connect(options).await.unwrap();
    dead.send_replace(true);
    let error = timeout(PATIENCE, connection.one_off_query(ITEMS[0])).await.expect("in time").unwrap_err();
    assert_eq!(error, CallError::Timeout { limit: Duration::from_millis(200), sent: true });
    assert_eq!(connection.closed_reason(), None);
}
