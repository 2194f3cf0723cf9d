//! Clients that only hold on.

use std::time::Duration;

use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::attack::open;
use crate::process::{HostProcess, Temper, raise_file_limit, soon, until};
use crate::witness::Witness;

/// As many as the host is to bear at the least, the issue says.
const SOCKETS: usize = 10_000;

/// What one connection that has sent nothing, or half a head, may cost the host, in bytes.
const BYTES_PER_SOCKET: u64 = 32 * 1024;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "must have accepted them all before the first header timeout, which a busy machine cannot promise; run by scripts/soak"]
async fn ten_thousand_half_open_sockets_cost_little_and_are_let_go() {
    let may_open = raise_file_limit();
    let sockets = SOCKETS.min(usize::try_from(may_open).unwrap_or(usize::MAX).saturating_sub(500));
    println!("{sockets} sockets; this system allows {may_open} files to a process");
    let host = HostProcess::with_module(Temper::Default).await;
    let (memory_before, files_before) = (host.resident_bytes(), host.open_files());
    let witness = Witness::of(&host).await;

    let begun = std::time::Instant::now();
    let held: Vec<TcpStream> = futures::stream::iter(0..sockets)
        .map(async |index| {
            let mut socket = open(host.address()).await;
            if index % 2 == 0 {
                socket.write_all(b"GET /v1/ping HTTP/1.1\r\nHost: loc").await.unwrap();
            }
            socket
        })
        .buffer_unordered(200)
        .collect()
        .await;
    println!("{} are accepted after {:?}", host.open_files().saturating_sub(files_before), begun.elapsed());
    until("all are accepted", || host.open_files() + 10 >= files_before + sockets).await;
    let cost = host.resident_bytes().saturating_sub(memory_before);
    println!("{} bytes a socket", cost / sockets as u64);
    assert!(cost < sockets as u64 * BYTES_PER_SOCKET, "{} KiB", cost >> 10);

    // Let go by the host (its header timeout is 15 s), not by the test: each socket hears its end.
    let let_go = async {
        for mut socket in held {
            let mut byte = [0];
            while !matches!(socket.read(&mut byte).await, Ok(0) | Err(_)) {}
        }
    };
    soon("every socket's end", let_go).await;
    until("its files back", || host.open_files() <= files_before + 10).await;
    let testimony = witness.testify().await;
    assert!(testimony.median < Duration::from_millis(500), "{testimony:?}");
}
