//! Subscriptions by the protocol of SpacetimeDB 1.x, `v1.json.spacetimedb`, which our own client does not speak.

use futures::{SinkExt as _, StreamExt as _};
use muster_wire::Token;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::knock::Found;
use crate::lane::{DATABASE, PATIENCE};
use crate::plane::Plane;

/// Connects, subscribes, and tells what came.
pub(super) async fn subscribe(plane: &Plane, token: Option<&Token>, sql: &str) -> Found {
    let base = plane.lane.place.endpoint().base().replacen("http", "ws", 1);
    let url = format!("{}/v1/database/{DATABASE}/subscribe?compression=None", base.trim_end_matches('/'));
    let mut request = url.into_client_request().expect("an address");
    let headers = request.headers_mut();
    headers.insert("sec-websocket-protocol", "v1.json.spacetimedb".parse().expect("a header"));
    if let Some(token) = token {
        headers.insert("authorization", format!("Bearer {}", token.expose()).parse().expect("a header"));
    }
    let mut socket = match tokio_tungstenite::connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(error) => return Found::Closed(error.to_string()),
    };
    let ask = json!({"Subscribe": {"query_strings": [sql], "request_id": 1}}).to_string();
    let answer = async {
        if socket.send(Message::text(ask)).await.is_err() {
            return Found::Closed("not let in".into());
        }
        while let Some(Ok(message)) = socket.next().await {
            let Message::Text(text) = message else { continue };
            let said: Value = serde_json::from_str(&text).expect("JSON");
            if let Some(first) = said.get("InitialSubscription") {
                return rows_of(first);
            }
            if let Some(error) = said.get("SubscriptionError") {
                return Found::Closed(error.to_string());
            }
        }
        Found::Closed("not let in".into())
    };
    tokio::time::timeout(PATIENCE, answer).await.expect("an answer in time")
}

fn rows_of(first: &Value) -> Found {
    let tables = first["database_update"]["tables"].as_array().expect("tables");
    let count: u64 = tables.iter().map(|table| table["num_rows"].as_u64().expect("a number")).sum();
    if count == 0 { Found::Closed("no rows".into()) } else { Found::Open(format!("{count} rows")) }
}
