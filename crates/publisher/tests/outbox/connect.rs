//! What a publisher says at a host's door.

use muster_publisher::ConnectConfig;
use muster_wire::Endpoint;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::support::{PATIENCE, folder, open};

#[tokio::test]
async fn reads_are_confirmed_whatever_the_options_say() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    let mut config = ConnectConfig::new(Endpoint::new(&url, "lane").unwrap());
    config.options.confirmed = false;
    publisher.connect(config);
    let (mut socket, _) = tokio::time::timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut head = vec![0; 512];
    let count = socket.read(&mut head).await.unwrap();
    let head = String::from_utf8_lossy(&head[..count]).into_owned();
    assert!(head.starts_with("GET /v1/database/lane/subscribe?") && head.contains("confirmed=true"), "{head}");
    publisher.close().await;
}
