//! A bare WebSocket echo: the same runtime, library and buffer sizes as the host, and nothing behind them. What it can
//! do is the most that any WebSocket server built this way could.

use futures::{StreamExt, TryStreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_async_with_config;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::bare::socket_config;

/// Echoes binary messages to whoever connects to `listener`; a connection ends when its client closes. Never returns:
/// drop the future, or end the process.
pub async fn serve(listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(echo(stream, socket_config()));
            }
            // Too many open files: the client that is measured finds its connection failing and says so.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

async fn echo(stream: TcpStream, config: WebSocketConfig) {
    let _ = stream.set_nodelay(true);
    let Ok(socket) = accept_async_with_config(stream, Some(config)).await else { return };
    let (sink, stream) = socket.split();
    // `forward` flushes when nothing more is there to be read: answers to messages that came together leave together.
    let _ = stream.try_filter(|message| std::future::ready(message.is_binary())).forward(sink).await;
}

#[cfg(test)]
mod tests {
    use futures::{SinkExt, StreamExt};
    use tokio_tungstenite::tungstenite::Message;

    #[tokio::test]
    async fn what_is_sent_comes_back() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("ws://{}", listener.local_addr().expect("bound"));
        tokio::spawn(super::serve(listener));
        let stream = tokio::net::TcpStream::connect(url.strip_prefix("ws://").expect("so made")).await.expect("there");
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("a WebSocket");
        for payload in [&b"one"[..], b"two"] {
            socket.send(Message::binary(payload)).await.expect("sent");
        }
        let mut back = Vec::new();
        while back.len() < 2 {
            back.push(socket.next().await.expect("more").expect("whole").into_data());
        }
        assert_eq!(back, ["one", "two"]);
    }
}
