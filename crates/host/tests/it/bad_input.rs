//! Bad input: each answer has the right status and one line that says what is wrong.

use std::io::{Read, Write};
use std::net::TcpStream;

use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, answer, host, json};
use crate::module::{Variant, module};

#[tokio::test]
async fn only_webassembly_modules_are_taken() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("exists", module(Variant::Plain)).await;
    // A section of 128 bytes that means nothing.
    let without_exports = [b"\0asm\x01\0\0\0\0\x80\x01".as_slice(), &[0; 128]].concat();
    for (path, bytes, reason) in [
        ("/v1/database/new", b"export default {};".to_vec(), "not a WebAssembly module"),
        ("/v1/database/new", Vec::new(), "not a WebAssembly module"),
        ("/v1/database/new?host_type=Js", module(Variant::Plain), "JavaScript"),
        ("/v1/database/new?host_type=Lua", module(Variant::Plain), "unknown host_type `Lua`"),
        ("/v1/database/new", without_exports.clone(), "ABI"),
        ("/v1/database/new", b"\0asm\xff or so it says".to_vec(), "Failed to create"),
        ("/v1/database/new", b"\0asm, or so it says".to_vec(), "holds no module for SpacetimeDB"),
        ("/v1/database/exists", b"export default {};".to_vec(), "not a WebAssembly module"),
        ("/v1/database/exists", without_exports.clone(), "ABI"),
        ("/v1/database/exists?clear=true", without_exports, "ABI"),
    ] {
        let (status, body) = answer(owner.put(path).body(bytes)).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{path}: {body}");
        assert!(body.contains(reason), "{path}: `{body}` does not say `{reason}`");
    }
    assert_eq!(answer(owner.get("/v1/database/new")).await.0, StatusCode::NOT_FOUND);
    owner.call("exists", "add", json!(["still here"])).await;
    assert_eq!(owner.items("exists").await, ["still here"]);
    host.shutdown().await;
}

#[tokio::test]
async fn what_does_not_exist_is_not_found() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    client.publish("here", module(Variant::Plain)).await;
    let nowhere = "c2".repeat(32);
    for (request, body) in [
        (client.get("/v1/database/nowhere"), "`nowhere` not found"),
        (client.get("/v1/database/nowhere/schema?version=9"), "`nowhere` not found"),
        (client.post("/v1/database/nowhere/sql").body("SELECT 1"), "`nowhere` not found"),
        (client.get("/v1/database/nowhere/subscribe"), "`nowhere` not found"),
        (client.get(&format!("/v1/database/{nowhere}/logs")), "No such database."),
        (client.get("/v1/database/nowhere/identity"), "`nowhere` not found"),
        (client.post("/v1/database/here/call/absent").json(&json!([])), "No such procedure or reducer: `absent`"),
        (client.get("/v1/somewhere"), "no such route: /v1/somewhere"),
        (client.get("/"), "no such route: /"),
    ] {
        assert_eq!(answer(request).await, (StatusCode::NOT_FOUND, body.to_owned()));
    }
    host.shutdown().await;
}

#[tokio::test]
async fn names_follow_the_official_rules() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    for name in ["Upper", "under_score", "double--hyphen", "-edge", "edge-", "dot.ted"] {
        let (status, body) = answer(client.put(&format!("/v1/database/{name}")).body(module(Variant::Plain))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.contains(name), "{body}");
    }
    host.shutdown().await;
}

#[tokio::test]
async fn wrong_calls_are_told_apart() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    client.publish("calls", module(Variant::Plain)).await;
    let failed = StatusCode::from_u16(530).unwrap();

    let (status, body) = client.call("calls", "add", json!([1])).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("invalid arguments for reducer add"), "{body}");
    assert_eq!(client.call("calls", "add", json!([])).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(client.call("calls", "client_connected", json!([])).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(client.call("calls", "answer", json!(["too many"])).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(client.call("calls", "fail", json!([])).await, (failed, "refused on purpose".to_owned()));
    let (status, body) = client.call("calls", "crash", json!([])).await;
    assert_eq!(status, failed, "{body}");

    let path = "/v1/database/calls/call/add";
    assert_eq!(answer(client.post(path).body("[\"x\"]")).await.0, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    let json_type = ("content-type", "application/json");
    for malformed in ["[", "{}", "", "\"x\""] {
        let request = client.post(path).header(json_type.0, json_type.1).body(malformed);
        assert_eq!(answer(request).await.0, StatusCode::BAD_REQUEST, "{malformed}");
    }
    let not_text = client.post(path).header(json_type.0, json_type.1).body(vec![0xff]);
    assert_eq!(answer(not_text).await.0, StatusCode::BAD_REQUEST);

    // Nothing of this happened, nobody is still connected, and the module still works.
    assert_eq!(client.call("calls", "add", json!(["fine"])).await.0, StatusCode::OK);
    assert_eq!(client.items("calls").await, ["fine"]);
    assert_eq!(client.rows("calls", "SELECT * FROM session").await.len(), 1);
    host.shutdown().await;
}

#[tokio::test]
async fn bad_sql_is_refused_with_its_reason() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    client.publish("sql", module(Variant::Plain)).await;
    for statements in ["SELEKT * FROM item", "SELECT * FROM nothing", "SELECT * FROM item; nonsense", "SELECT 'open"] {
        let (status, body) = client.sql("sql", statements).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
        assert!(!body.is_empty());
    }
    let many = "SELECT * FROM item;".repeat(100);
    assert_eq!(client.sql("sql", &many).await.0, StatusCode::BAD_REQUEST);
    let huge = format!("SELECT * FROM item WHERE name = '{}'", "x".repeat(2 * 1024 * 1024));
    assert_eq!(client.sql("sql", &huge).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(json(client.post("/v1/database/sql/sql").body("")).await, json!([]));
    host.shutdown().await;
}

#[tokio::test]
async fn what_the_host_cannot_do_is_refused_and_not_ignored() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    for request in [
        client.put("/v1/database/x?parent=y"),
        client.put("/v1/database/x?num_replicas=300"),
        client.put("/v1/database/x?org=y"),
        client.put("/v1/database/x?clear=maybe"),
        client.put("/v1/database/x?policy=Whatever"),
        client.put("/v1/database/x").header("spacetime-environment", "KEY=value"),
        client.post("/v1/database?clear=true"),
    ] {
        let (status, body) = answer(request.body(module(Variant::Plain))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    host.shutdown().await;
}

#[tokio::test]
async fn whoever_is_refused_while_sending_a_module_hears_why() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("guarded", module(Variant::Plain)).await;
    let large = vec![0; 20 * 1024 * 1024];
    for (client, path, expected) in [
        (owner.with_token("nonsense"), "/v1/database/guarded", StatusCode::UNAUTHORIZED),
        (Client::new(host.url()).await, "/v1/database/guarded", StatusCode::FORBIDDEN),
        (owner.clone(), "/v1/database/BadName", StatusCode::BAD_REQUEST),
        (owner.clone(), "/v1/database/new?clear=maybe", StatusCode::BAD_REQUEST),
        (owner.clone(), "/v1/nowhere", StatusCode::NOT_FOUND),
    ] {
        assert_eq!(answer(client.put(path).body(large.clone())).await.0, expected, "{path}");
    }
    // A client that sends first and listens afterwards.
    let address = host.local_addr();
    let blocking = tokio::task::spawn_blocking(move || {
        let mut socket = TcpStream::connect(address).unwrap();
        let length = large.len();
        let head = format!("PUT /v1/database/BadName HTTP/1.1\r\nHost: host\r\nContent-Length: {length}\r\n\r\n");
        socket.write_all(head.as_bytes()).unwrap();
        socket.write_all(&large).unwrap();
        let mut status = [0; 12];
        socket.read_exact(&mut status).unwrap();
        String::from_utf8(status.to_vec()).unwrap()
    });
    assert_eq!(blocking.await.unwrap(), "HTTP/1.1 400");
    let too_large = vec![0; muster_host::HostLimits::DEFAULT.program_bytes + 1];
    let (status, body) = answer(owner.put("/v1/database/new").body(too_large)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE, "{body}");
    host.shutdown().await;
}
