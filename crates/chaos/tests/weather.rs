//! What a proxy does to real sockets, in each weather. Nothing here asserts how fast something is; waits for what must not
//! happen are bounded by [`SILENCE`].

use muster_chaos::{Proxy, Weather};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

/// How long nothing must arrive for a connection to count as silent.
const SILENCE: Duration = Duration::from_millis(150);
/// What happens at all happens within this.
const SOON: Duration = Duration::from_secs(10);

/// An upstream that sends back what it receives, and ends when its client does.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reading, mut writing) = socket.split();
                let _ = tokio::io::copy(&mut reading, &mut writing).await;
                let _ = writing.shutdown().await;
            });
        }
    });
    address
}

async fn through(proxy: &Proxy) -> TcpStream {
    timeout(SOON, TcpStream::connect(proxy.address())).await.unwrap().unwrap()
}

async fn ping(socket: &mut TcpStream, word: &[u8]) {
    socket.write_all(word).await.unwrap();
    hear(socket, word).await;
}

async fn hear(socket: &mut TcpStream, word: &[u8]) {
    let mut heard = vec![0; word.len()];
    timeout(SOON, socket.read_exact(&mut heard)).await.expect("the echo answers").unwrap();
    assert_eq!(heard, word);
}

async fn is_silent(socket: &mut TcpStream) -> bool {
    let mut byte = [0];
    timeout(SILENCE, socket.peek(&mut byte)).await.is_err()
}

async fn is_reset(socket: &mut TcpStream) -> bool {
    let mut byte = [0];
    match timeout(SOON, socket.read(&mut byte)).await.expect("the connection ends") {
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        Ok(_) => false,
    }
}

#[tokio::test]
async fn in_clear_weather_everything_passes_in_order_and_an_end_is_an_end() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut socket = through(&proxy).await;
    let sent: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (mut reading, mut writing) = socket.split();
    let (written, heard) = tokio::join!(
        async {
            writing.write_all(&sent).await?;
            writing.shutdown().await
        },
        async {
            let mut heard = Vec::new();
            timeout(SOON, reading.read_to_end(&mut heard)).await.unwrap().unwrap();
            heard
        }
    );
    written.unwrap();
    assert!(heard == sent, "{} bytes came back of {}", heard.len(), sent.len());
    let traffic = proxy.traffic();
    assert_eq!((traffic.bytes_up, traffic.bytes_down), (sent.len() as u64, sent.len() as u64));
    assert_eq!(traffic.accepted, 1);
}

#[tokio::test]
async fn a_frozen_connection_is_silent_and_open_and_goes_on_where_it_was() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut socket = through(&proxy).await;
    ping(&mut socket, b"before").await;
    proxy.freeze();
    socket.write_all(b"during").await.unwrap();
    assert!(is_silent(&mut socket).await, "nothing passes and nothing is closed");
    let mut late = through(&proxy).await;
    late.write_all(b"late").await.unwrap();
    assert!(is_silent(&mut late).await, "a new connection is silent too");
    proxy.clear();
    hear(&mut socket, b"during").await;
    hear(&mut late, b"late").await;
}

#[tokio::test]
async fn an_end_does_not_pass_a_frozen_network() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let client = through(&proxy).await;
    let (mut server, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    proxy.freeze();
    drop(client);
    assert!(is_silent(&mut server).await, "half-open: the server does not know");
    proxy.clear();
    let mut rest = Vec::new();
    assert_eq!(timeout(SOON, server.read_to_end(&mut rest)).await.unwrap().unwrap(), 0);
}

#[tokio::test]
async fn a_cut_resets_both_ends_also_of_a_frozen_connection_and_the_next_connection_works() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    for freeze in [false, true] {
        let mut client = through(&proxy).await;
        let (mut server, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        client.write_all(b"x").await.unwrap();
        hear(&mut server, b"x").await;
        if freeze {
            proxy.freeze();
        }
        proxy.cut();
        assert!(is_reset(&mut client).await, "the client, frozen: {freeze}");
        assert!(is_reset(&mut server).await, "the server, frozen: {freeze}");
    }
    proxy.clear();
    proxy.set_upstream(echo().await);
    ping(&mut through(&proxy).await, b"again").await;
}

#[tokio::test]
async fn in_refusing_weather_new_connections_are_reset_and_old_ones_stay() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let mut old = through(&proxy).await;
    ping(&mut old, b"old").await;
    proxy.refuse();
    assert!(is_reset(&mut through(&proxy).await).await);
    ping(&mut old, b"still").await;
    proxy.clear();
    ping(&mut through(&proxy).await, b"new").await;
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_a_reset_and_a_reset_upstream_reaches_the_client() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    let mut client = through(&proxy).await;
    let (server, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
    socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
    drop(server);
    assert!(is_reset(&mut client).await);
    drop(listener);
    assert!(is_reset(&mut through(&proxy).await).await);
}

#[tokio::test]
async fn a_delay_takes_its_time_in_each_direction_and_does_not_lower_what_passes() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    let delay = Duration::from_millis(60);
    proxy.delay(delay);
    let mut socket = through(&proxy).await;
    let begun = Instant::now();
    // Sent one after the other; were they also delayed one after the other, all together would take longer than SOON.
    let all: Vec<u8> = (0..=255).collect();
    for word in &all {
        socket.write_all(&[*word]).await.unwrap();
        // Each a segment of its own, so that the proxy reads them one by one.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    hear(&mut socket, &all).await;
    assert!(begun.elapsed() >= 2 * delay, "there and back");
}

#[tokio::test]
async fn a_throttled_connection_passes_no_more_than_its_rate() {
    let proxy = Proxy::start(echo().await).await.unwrap();
    proxy.set_weather(Weather { bytes_per_second: Some(50_000), ..Weather::CLEAR });
    let mut socket = through(&proxy).await;
    let begun = Instant::now();
    let word = vec![7; 20_000];
    ping(&mut socket, &word).await;
    // 20,000 bytes in portions of 500, one each 10 ms at the earliest.
    assert!(begun.elapsed() >= Duration::from_millis(350), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_does_not_read_is_felt_by_who_writes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let proxy = Proxy::start(listener.local_addr().unwrap()).await.unwrap();
    proxy.freeze();
    let mut client = through(&proxy).await;
    let chunk = vec![0; 64 * 1024];
    let mut written = 0_usize;
    // What the proxy holds back and the kernel's buffers are bounded: writing stops, at the latest after 64 MiB.
    while let Ok(result) = timeout(SILENCE, client.write_all(&chunk)).await {
        result.unwrap();
        written += chunk.len();
        assert!(written < 64 * 1024 * 1024, "the proxy swallows everything");
    }
}
