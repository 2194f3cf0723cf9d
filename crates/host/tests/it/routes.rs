//! What the host says of itself to Prometheus, and which requests reach a module's own routes. What a handler then gets
//! and answers is in the conformance table, on a module that has some.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::client::{Client, answer, connect, host};
use crate::limits::exchange;
use crate::module::{Variant, module};

/// The value of a metric without labels.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_counts_its_connections_and_databases_and_the_engine_its_work() {
    let (host, other) = (host().await, host().await);
    let owner = Client::new(host.url()).await;
    owner.publish("counted", module(Variant::Plain)).await;
    owner.call("counted", "add", json!(["x"])).await;
    let scrape = || exchange(host.local_addr(), b"GET /v1/metrics HTTP/1.1\r\nHost: host\r\nConnection: close\r\n\r\n");
    let before = value(&scrape(), "muster_host_connections ").unwrap();
    let sockets = [connect(&host.url(), "counted"), connect(&host.url(), "counted")];
    let text = scrape();
    assert!(text.contains("content-type: text/plain; version=0.0.4\r\n"), "{text}");
    assert_eq!(value(&text, "muster_host_connections "), Some(before + 2));
    assert_eq!(value(&text, "muster_host_connections_refused_total "), Some(0));
    assert_eq!(value(&text, "muster_host_databases "), Some(1));
    // The engine's: of all hosts in this process, told apart by the database.
    let identity = answer(owner.get("/v1/database/counted/identity")).await.1;
    let connected = format!("spacetime_worker_connected_clients{{database_identity=\"{identity}\"}} 2");
    assert!(text.contains(&connected), "no `{connected}` in:\n{text}");
    assert!(text.contains("# TYPE spacetime_"), "{text}");
    drop(sockets);

    let (_, text) = answer(Client::nobody(other.url()).get("/v1/metrics")).await;
    assert_eq!(value(&text, "muster_host_databases "), Some(0), "one host's counters are not another's");
    other.shutdown().await;
    host.shutdown().await;
}

#[tokio::test]
async fn a_database_that_is_gone_has_no_counters() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    let stays = client.publish("stays", module(Variant::Plain)).await;
    let goes = client.publish("goes", module(Variant::Plain)).await;
    for name in ["stays", "goes"] {
        client.call(name, "add", json!(["apple"])).await;
    }
    let counters = async || answer(client.get("/v1/metrics")).await.1;
    assert!(counters().await.contains(&goes), "it has counters for as long as it is there");
    assert_eq!(answer(client.delete("/v1/database/goes")).await.0, StatusCode::OK);
    let left = counters().await;
    assert!(!left.contains(&goes), "{:?}", left.lines().find(|line| line.contains(&goes)));
    assert!(left.contains(&stays));
    host.shutdown().await;
}

#[tokio::test]
async fn a_modules_routes_are_its_own_and_ask_for_no_token() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("routed", module(Variant::Plain)).await;
    let stranger = owner.with_token("no token that this host could read");
    for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
        for path in ["route", "route/", "route/hook", "route/hook/", "route/a/b%2Fc"] {
            let request = stranger.request(method.clone(), &format!("/v1/database/routed/{path}"));
            let (status, body) = answer(request).await;
            let expected = "Database has not registered a handler for this route";
            assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, expected), "{method} {path}");
        }
    }
    let (status, body) = answer(stranger.post("/v1/database/absent/route/hook")).await;
    assert_eq!((status, body.as_str()), (StatusCode::NOT_FOUND, "`absent` not found"));
    host.shutdown().await;
}
