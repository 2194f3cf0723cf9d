//! Creating, updating, resetting and deleting databases.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;

use crate::client::{Client, PATIENCE, answer, host, json, text};
use crate::module::{Variant, module};

#[tokio::test]
async fn publishing_says_whether_it_created_or_updated() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    let created = json(owner.put("/v1/database/op").body(module(Variant::Plain))).await;
    assert_eq!(created["Success"]["op"], json!("created"));
    assert_eq!(created["Success"]["domain"], json!("op"));
    let again = json(owner.put("/v1/database/op").body(module(Variant::Plain))).await;
    assert_eq!(again["Success"]["op"], json!("updated"));
    assert_eq!(again["Success"]["database_identity"], created["Success"]["database_identity"]);

    let nameless = json(owner.post("/v1/database").body(module(Variant::Plain))).await;
    assert_eq!(nameless["Success"]["domain"], json!(null));
    let identity = text(&nameless["Success"]["database_identity"]);
    assert_eq!(json(owner.get(&format!("/v1/database/{identity}/names"))).await, json!({"names": []}));
    host.shutdown().await;
}

#[tokio::test]
async fn a_compatible_update_keeps_the_data() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("grows", module(Variant::Plain)).await;
    owner.call("grows", "add", json!(["kept"])).await;

    let plan = json(owner.post("/v1/database/grows/pre_publish?style=NoColor").body(module(Variant::WithNotes))).await;
    assert_eq!(plan["AutoMigrate"]["break_clients"], json!(false));
    assert_eq!(plan["AutoMigrate"]["major_version_upgrade"], json!(false));
    assert!(text(&plan["AutoMigrate"]["migrate_plan"]).contains("note"), "{plan}");

    owner.publish("grows", module(Variant::WithNotes)).await;
    assert_eq!(owner.items("grows").await, ["kept"]);
    assert!(owner.rows("grows", "SELECT * FROM note").await.is_empty());
    host.shutdown().await;
}

#[tokio::test]
async fn an_update_that_breaks_clients_needs_the_token_of_its_plan() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("breaks", module(Variant::WithNotes)).await;
    owner.call("breaks", "add", json!(["kept"])).await;
    let breaking = module(Variant::Plain);

    let plan = json(owner.post("/v1/database/breaks/pre_publish").body(breaking.clone())).await;
    assert_eq!(plan["AutoMigrate"]["break_clients"], json!(true), "{plan}");
    let token = text(&plan["AutoMigrate"]["token"]);

    let url = "/v1/database/breaks";
    let wrong = "0".repeat(64);
    for refused in
        [url.to_owned(), format!("{url}?policy=BreakClients"), format!("{url}?policy=BreakClients&token={wrong}")]
    {
        let (status, body) = answer(owner.put(&refused).body(breaking.clone())).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{refused}: {body}");
    }
    json(owner.put(&format!("{url}?policy=BreakClients&token={token}")).body(breaking)).await;
    assert_eq!(owner.items("breaks").await, ["kept"]);
    host.shutdown().await;
}

#[tokio::test]
async fn a_caller_whose_call_outlives_the_module_is_gone_when_it_ends() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("swapped", module(Variant::Plain)).await;
    let plan = async |wasm| json(owner.post("/v1/database/swapped/pre_publish").body(wasm)).await;
    for (update, breaks_clients) in [(Variant::WithNotes, false), (Variant::Plain, true)] {
        let caller = Client::new(host.url()).await;
        let calling = tokio::spawn(async move { caller.call("swapped", "muse", json!([])).await });
        let connected = async {
            while owner.rows("swapped", "SELECT * FROM session").await.len() < 2 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, connected).await.expect("the caller is connected");
        let plan = plan(module(update)).await;
        assert_eq!(plan["AutoMigrate"]["break_clients"], json!(breaks_clients));
        let token = text(&plan["AutoMigrate"]["token"]);
        let path = format!("/v1/database/swapped?policy=BreakClients&token={token}");
        json(owner.put(&path).body(module(update))).await;
        assert!(!calling.is_finished(), "the update came too late to tell");

        assert_eq!(calling.await.unwrap(), (StatusCode::OK, "42".to_owned()));
        assert_eq!(owner.rows("swapped", "SELECT * FROM session").await.len(), 1, "only the asker is connected");
    }
    host.shutdown().await;
}

#[tokio::test]
async fn an_update_that_cannot_be_migrated_changes_nothing() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("stuck", module(Variant::Plain)).await;
    owner.call("stuck", "add", json!(["kept"])).await;

    let plan = json(owner.post("/v1/database/stuck/pre_publish").body(module(Variant::NumberedItems))).await;
    assert!(plan["ManualMigrate"]["reason"].is_string(), "{plan}");
    let (status, body) = answer(owner.put("/v1/database/stuck").body(module(Variant::NumberedItems))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.starts_with("Database update rejected: "), "{body}");
    assert_eq!(owner.items("stuck").await, ["kept"]);
    // The module that was refused leaves no file behind, the one that runs keeps its own.
    assert_eq!(std::fs::read_dir(host.data_dir().join("programs")).unwrap().count(), 1);
    host.shutdown().await;
}

#[tokio::test]
async fn clearing_empties_the_database_and_keeps_its_identity() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    let identity = owner.publish("cleared", module(Variant::Plain)).await;
    for path in ["/v1/database/cleared?clear=true", "/v1/database/cleared/reset"] {
        owner.call("cleared", "add", json!(["gone"])).await;
        let reset = json(owner.put(path).body(module(Variant::NumberedItems))).await;
        assert_eq!(reset["Success"]["database_identity"], json!(identity));
        assert!(owner.rows("cleared", "SELECT * FROM item").await.is_empty());
        json(owner.put("/v1/database/cleared?clear=true").body(module(Variant::Plain))).await;
    }
    // Without a body, the module stays.
    owner.call("cleared", "add", json!(["gone"])).await;
    json(owner.put("/v1/database/cleared/reset")).await;
    assert!(owner.items("cleared").await.is_empty());
    assert_eq!(owner.call("cleared", "add", json!(["new"])).await.0, StatusCode::OK);
    host.shutdown().await;
}

#[tokio::test]
async fn deleting_frees_the_name_and_leaves_no_data() {
    let folder = tempfile::tempdir().unwrap();
    let host = muster_host::Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    let identity = owner.publish("brief", module(Variant::Plain)).await;
    assert_eq!(std::fs::read_dir(folder.path().join("replicas")).unwrap().count(), 1);

    assert_eq!(answer(owner.delete("/v1/database/brief")).await.0, StatusCode::OK);
    assert_eq!(answer(owner.get("/v1/database/brief")).await.0, StatusCode::NOT_FOUND);
    let gone = answer(owner.get(&format!("/v1/database/{identity}"))).await;
    assert_eq!(gone, (StatusCode::NOT_FOUND, "No such database.".to_owned()));
    assert_eq!(std::fs::read_dir(folder.path().join("replicas")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(folder.path().join("programs")).unwrap().count(), 0);
    // Deleting what is gone is fine, by identity; a name that nobody has is not.
    assert_eq!(answer(owner.delete(&format!("/v1/database/{identity}"))).await.0, StatusCode::OK);
    assert_eq!(answer(owner.delete("/v1/database/brief")).await.0, StatusCode::NOT_FOUND);

    let somebody = Client::new(host.url()).await;
    assert_ne!(somebody.publish("brief", module(Variant::Plain)).await, identity);
    host.shutdown().await;
}

#[tokio::test]
async fn only_the_owner_changes_a_database() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    owner.publish("owned", module(Variant::Plain)).await;
    owner.call("owned", "add", json!(["kept"])).await;
    let stranger = Client::new(host.url()).await;
    let wasm = || module(Variant::WithNotes);
    for forbidden in [
        stranger.put("/v1/database/owned").body(wasm()),
        stranger.put("/v1/database/owned?clear=true").body(wasm()),
        stranger.put("/v1/database/owned/reset").body(wasm()),
        stranger.post("/v1/database/owned/pre_publish").body(wasm()),
        stranger.delete("/v1/database/owned"),
        Client::nobody(host.url()).delete("/v1/database/owned"),
    ] {
        let (status, body) = answer(forbidden).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{body}");
        assert!(body.contains("is not authorized to perform action"), "{body}");
    }
    let (status, _) = stranger.sql("owned", "DELETE FROM item").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(owner.items("owned").await, ["kept"]);
    host.shutdown().await;
}

#[tokio::test]
async fn a_module_whose_init_fails_becomes_no_database() {
    let host = host().await;
    let owner = Client::new(host.url()).await;
    let (status, body) = answer(owner.put("/v1/database/stillborn").body(module(Variant::FailingInit))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("refused on purpose"), "{body}");
    assert_eq!(answer(owner.get("/v1/database/stillborn")).await.0, StatusCode::NOT_FOUND);
    owner.publish("stillborn", module(Variant::Plain)).await;
    host.shutdown().await;
}

#[tokio::test]
async fn of_many_who_publish_one_name_one_creates_it() {
    let host = host().await;
    let mut attempts = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let client = Client::new(host.url()).await;
        attempts
            .spawn(async move { answer(client.put("/v1/database/contested").body(module(Variant::Plain))).await.0 });
    }
    let mut statuses = attempts.join_all().await;
    statuses.sort();
    assert_eq!(statuses[0], StatusCode::OK);
    for loser in &statuses[1..] {
        assert!([StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN].contains(loser), "{statuses:?}");
    }
    host.shutdown().await;
}

#[tokio::test]
async fn a_database_that_cannot_be_stored_leaves_no_trace_of_itself() {
    let folder = tempfile::tempdir().unwrap();
    let host = muster_host::Host::builder().data_dir(folder.path()).start().await.unwrap();
    let owner = Client::new(host.url()).await;
    // The engine finds a file where it wants a folder.
    std::fs::write(folder.path().join("replicas"), "in the way").unwrap();
    let (status, body) = answer(owner.put("/v1/database/unlucky").body(module(Variant::Plain))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR, "{body}");
    assert_eq!(answer(owner.get("/v1/database/unlucky")).await.0, StatusCode::NOT_FOUND);
    assert_eq!(std::fs::read_dir(folder.path().join("programs")).unwrap().count(), 0);

    std::fs::remove_file(folder.path().join("replicas")).unwrap();
    owner.publish("unlucky", module(Variant::Plain)).await;
    host.shutdown().await;
}
