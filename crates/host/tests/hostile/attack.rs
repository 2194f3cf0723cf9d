//! What a hostile client needs: plain sockets, and WebSocket frames made by hand (RFC 6455), right or wrong.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process::soon;

/// The subprotocols a host speaks.
pub(crate) const PROTOCOLS: [&str; 4] =
    ["v3.bsatn.spacetimedb", "v2.bsatn.spacetimedb", "v1.bsatn.spacetimedb", "v1.json.spacetimedb"];

/// Opcodes (RFC 6455 section 5.2).
pub(crate) const CONTINUE: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The bits of a frame's first byte.
pub(crate) const FIN: u8 = 0x80;
pub(crate) const RSV1: u8 = 0x40;

/// A connection on which nothing has been sent.
pub(crate) async fn open(host: SocketAddr) -> TcpStream {
    soon("a connection", TcpStream::connect(host)).await.unwrap()
}

/// The request that becomes a WebSocket to the database `test`.
pub(crate) fn upgrade_request(protocol: &str, more_headers: &str) -> String {
    format!(
        "GET /v1/database/test/subscribe?compression=None&confirmed=false HTTP/1.1\r\nHost: localhost\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: {protocol}\r\n{more_headers}\r\n"
    )
}

/// An open WebSocket: the answer's head is read, the host's first message is not.
pub(crate) async fn websocket(host: SocketAddr, protocol: &str) -> TcpStream {
    let (socket, head) = websocket_with(host, protocol, "").await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    socket
}

/// The same with further headers, and with the head of the answer.
pub(crate) async fn websocket_with(host: SocketAddr, protocol: &str, more_headers: &str) -> (TcpStream, String) {
    let mut socket = open(host).await;
    socket.write_all(upgrade_request(protocol, more_headers).as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("the answer's head", socket.read_u8()).await.unwrap());
    }
    (socket, String::from_utf8(head).unwrap())
}

/// A frame as a client sends it: masked, with a mask of zeros. `first` is the opcode and the bits before it.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(first, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// The head of such a frame, whose payload may never come.
pub(crate) fn frame_head(first: u8, len: u64) -> Vec<u8> {
    let mut head = vec![first];
    match len {
        0..126 => head.push(0x80 | len as u8),
        126..0x1_0000 => {
            head.push(0x80 | 126);
            head.extend_from_slice(&(len as u16).to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend_from_slice(&len.to_be_bytes());
        }
    }
    head.extend_from_slice(&[0; 4]);
    head
}

/// How a connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With a Close frame of this code.
    Close(u16),
    /// Without one.
    Cut,
}

/// Reads frames until the host ends the connection, throwing away what it says before.
pub(crate) async fn ending(socket: &mut TcpStream) -> Ending {
    soon("the connection's end", async {
        loop {
            match read_frame(socket).await {
                Some((CLOSE, payload)) if payload.len() >= 2 => {
                    return Ending::Close(u16::from_be_bytes([payload[0], payload[1]]));
                }
                Some(_) => {}
                None => return Ending::Cut,
            }
        }
    })
    .await
}

/// The next frame's opcode and payload, or nothing at the end of the connection.
pub(crate) async fn read_frame(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let opcode = socket.read_u8().await.ok()? & 0x0f;
    let len = match socket.read_u8().await.ok()? {
        126 => socket.read_u16().await.ok()?.into(),
        127 => socket.read_u64().await.ok()?,
        short => short.into(),
    };
    let mut payload = vec![0; usize::try_from(len).unwrap()];
    socket.read_exact(&mut payload).await.ok()?;
    Some((opcode, payload))
}

/// All that comes until the host ends the connection, at most a mebibyte of it.
pub(crate) async fn rest(socket: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = async {
        while said.len() < 1 << 20 {
            match socket.read_buf(&mut said).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    };
    soon("the connection's end", read).await;
    String::from_utf8_lossy(&said).into_owned()
}

/// Sends `bytes` one at a time, with `pause` between them, until the host ends the connection; says after how long.
pub(crate) async fn drip(mut socket: TcpStream, bytes: &[u8], pause: Duration) -> Duration {
    let begun = tokio::time::Instant::now();
    let mut answer = [0; 256];
    for byte in bytes.iter().cycle() {
        tokio::select! {
            () = tokio::time::sleep(pause) => {
                if socket.write_all(&[*byte]).await.is_err() {
                    break;
                }
            }
            read = socket.read(&mut answer) => match read {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            },
        }
        assert!(begun.elapsed() < crate::process::PATIENCE, "the host never ended it");
    }
    begun.elapsed()
}
