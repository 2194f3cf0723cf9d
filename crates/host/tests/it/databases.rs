//! What can be done with a database: call, query, read its logs and schema.

use std::time::Duration;

use futures::StreamExt;
use muster_host::Host;
use reqwest::StatusCode;
use serde_json::json;
use spacetimedb_lib::hash_bytes;

use crate::client::{Client, PATIENCE, answer, host, json, text};
use crate::module::{Variant, module};

#[tokio::test]
async fn a_published_module_runs() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    client.publish("first", module(Variant::Plain)).await;

    assert_eq!(client.call("first", "add", json!(["apple"])).await, (StatusCode::OK, String::new()));
    assert_eq!(client.call("first", "add", json!(["pear"])).await.0, StatusCode::OK);
    assert_eq!(client.items("first").await, ["apple", "pear"]);
    assert_eq!(client.call("first", "answer", json!([])).await, (StatusCode::OK, "42".to_owned()));
    host.shutdown().await;
}

#[tokio::test]
async fn several_statements_give_several_results_in_order() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    client.publish("sql", module(Variant::Plain)).await;
    client.call("sql", "add", json!(["a;b"])).await;

    let results = json(
        client
            .post("/v1/database/sql/sql")
            .body("SELECT * FROM item WHERE name = 'a;b'; INSERT INTO item (name) VALUES ('c'); SELECT * FROM item;"),
    )
    .await;
    let results = results.as_array().unwrap();
    assert_eq!(results.len(), 3);
    assert_eq!(results[0]["rows"], json!([["a;b"]]));
    assert_eq!(results[0]["schema"]["elements"][0]["name"], json!({"some": "name"}));
    assert_eq!(results[1]["stats"]["rows_inserted"], json!(1));
    assert_eq!(results[2]["rows"].as_array().unwrap().len(), 2);
    host.shutdown().await;
}

/// What docs/host-robustness.md recommends against queries that are right and dear.
#[tokio::test]
async fn an_owner_can_have_queries_refused_that_scan_too_much() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    let stranger = Client::new(host.url()).await;
    owner.publish("limited", module(Variant::Plain)).await;
    for name in ["a", "b", "c"] {
        owner.call("limited", "add", json!([name])).await;
    }
    let dear = "SELECT a.* FROM item a JOIN item b JOIN item c";
    assert_eq!(stranger.sql("limited", dear).await.0, StatusCode::OK, "nothing bounds it by default");
    assert_eq!(stranger.sql("limited", "SET row_limit = 5").await.0, StatusCode::BAD_REQUEST);
    let (status, said) = owner.sql("limited", "SET row_limit = 5").await;
    assert_eq!(status, StatusCode::OK, "{said}");
    let (status, said) = stranger.sql("limited", dear).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
    assert!(said.contains("exceeds limit (5 rows)"), "{said}");
    assert_eq!(stranger.items("limited").await, ["a", "b", "c"]);
    host.shutdown().await;
}

#[tokio::test]
async fn an_http_caller_is_connected_for_as_long_as_its_request() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    client.publish("presence", module(Variant::Plain)).await;
    for _ in 0..3 {
        let seen = client.rows("presence", "SELECT * FROM session").await;
        assert_eq!(seen.len(), 1, "the asker sees itself and nobody who asked before");
    }
    host.shutdown().await;
}

#[tokio::test]
async fn a_module_may_refuse_a_client() {
    let host = host().await;
    let client = Client::new(host.url()).await;
    client.publish("closed", module(Variant::RefusesClients)).await;
    let (status, body) = client.call("closed", "add", json!(["x"])).await;
    assert_eq!((status, body.as_str()), (StatusCode::FORBIDDEN, "refused on purpose"));
    assert_eq!(client.sql("closed", "SELECT * FROM item").await.0, StatusCode::FORBIDDEN);
    host.shutdown().await;
}

#[tokio::test]
async fn anybody_reads_the_hash_of_the_running_module_from_st_module() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    let (old, new) = (module(Variant::Plain), module(Variant::WithNotes));
    // SATS-JSON writes a hash as a number, little-endian and without leading zeros.
    let (old_hash, new_hash) = (hash_bytes(&old).to_u256(), hash_bytes(&new).to_u256());
    owner.publish("hashes", old).await;
    owner.publish("hashes", new).await;
    // `GET /v1/database/{name}` goes on naming the first module, as on the official server.
    assert_eq!(json(owner.get("/v1/database/hashes")).await["initial_program"], json!(format!("{old_hash:#x}")));
    for asker in [Client::nobody(host.url()), owner] {
        let rows = asker.rows("hashes", "SELECT program_hash FROM st_module").await;
        assert_eq!(rows, [json!([format!("{new_hash:#x}")])]);
    }
    host.shutdown().await;
}

#[tokio::test]
async fn a_schema_is_readable_by_anybody_in_both_versions() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("described", module(Variant::Plain)).await;
    let anybody = Client::nobody(host.url());
    let v9 = json(anybody.get("/v1/database/described/schema?version=9")).await;
    let tables: Vec<String> = v9["tables"].as_array().unwrap().iter().map(|table| text(&table["name"])).collect();
    assert_eq!(tables, ["item", "session"]);
    let v10 = json(anybody.get("/v1/database/described/schema?version=10")).await;
    assert!(v10["sections"].is_array(), "{v10}");
    assert_eq!(answer(anybody.get("/v1/database/described/schema?version=8")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(answer(anybody.get("/v1/database/described/schema")).await.0, StatusCode::BAD_REQUEST);
    host.shutdown().await;
}

#[tokio::test]
async fn logs_are_the_owners_and_can_be_followed() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("talker", module(Variant::Plain)).await;
    for word in ["one", "two", "three"] {
        owner.call("talker", "say", json!([word])).await;
    }
    let (status, body) = answer(owner.get("/v1/database/talker/logs?num_lines=4")).await;
    assert_eq!(status, StatusCode::OK);
    let messages: Vec<String> =
        body.lines().map(|line| text(&serde_json::from_str::<serde_json::Value>(line).unwrap()["message"])).collect();
    assert_eq!(messages, ["two", "goodbye", "three", "goodbye"]);

    let stranger = Client::new(host.url()).await;
    assert_eq!(answer(stranger.get("/v1/database/talker/logs")).await.0, StatusCode::FORBIDDEN);

    let response = owner.get("/v1/database/talker/logs?num_lines=2&follow=true").send().await.unwrap();
    let mut lines = response.bytes_stream();
    owner.call("talker", "say", json!(["four"])).await;
    let mut heard = String::new();
    tokio::time::timeout(PATIENCE, async {
        while !heard.contains("four") {
            heard += std::str::from_utf8(&lines.next().await.unwrap().unwrap()).unwrap();
        }
    })
    .await
    .unwrap();
    assert!(heard.contains("three"));

    // A follower does not hold up the shutdown, and its stream ends.
    tokio::time::timeout(Duration::from_secs(8), host.shutdown()).await.unwrap();
    while let Ok(Some(Ok(_))) = tokio::time::timeout(PATIENCE, lines.next()).await {}
}

#[tokio::test]
async fn a_database_is_found_by_name_and_by_identity() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    let identity = owner.publish("named", module(Variant::Plain)).await;
    let info = json(owner.get("/v1/database/named")).await;
    assert_eq!(info["database_identity"]["__identity__"], json!(format!("0x{identity}")));
    assert_eq!(info["owner_identity"]["__identity__"], json!(format!("0x{}", owner.identity)));
    assert_eq!(info["host_type"], json!({"Wasm": []}));
    assert_eq!(info, json(owner.get(&format!("/v1/database/{identity}"))).await);

    assert_eq!(answer(owner.get("/v1/database/named/identity")).await, (StatusCode::OK, identity.clone()));
    let owned = json(owner.get(&format!("/v1/identity/{}/databases", owner.identity))).await;
    assert_eq!(owned, json!({"identities": [identity]}));

    let added = json(owner.post("/v1/database/named/names").body("also-named")).await;
    assert_eq!(added["Success"]["domain"], json!("also-named"));
    assert_eq!(json(owner.get("/v1/database/also-named/names")).await, json!({"names": ["named", "also-named"]}));
    json(owner.put("/v1/database/named/names").json(&["renamed"])).await;
    assert_eq!(answer(owner.get("/v1/database/named")).await, (StatusCode::NOT_FOUND, "`named` not found".into()));

    let stranger = Client::new(host.url()).await;
    assert_eq!(answer(stranger.post("/v1/database/renamed/names").body("mine")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(answer(stranger.put("/v1/database/renamed/names").json(&["mine"])).await.0, StatusCode::UNAUTHORIZED);
    host.shutdown().await;
}

#[tokio::test]
async fn no_lines_of_a_log_on_disk_are_no_lines() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    owner.publish("talker", module(Variant::Plain)).await;
    owner.call("talker", "say", json!(["something"])).await;
    // The log is written by a task of its own.
    tokio::time::timeout(PATIENCE, async {
        while !answer(owner.get("/v1/database/talker/logs?num_lines=1")).await.1.ends_with('\n') {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    let none = answer(owner.get("/v1/database/talker/logs?num_lines=0")).await;
    assert_eq!(none, (StatusCode::OK, String::new()));
    host.shutdown().await;
}
