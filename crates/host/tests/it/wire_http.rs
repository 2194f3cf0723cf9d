//! `muster-wire` over HTTP against a real host: every route it knows, and the errors a person meets.

use muster_host::RunningHost;
use muster_wire::Endpoint;
use muster_wire::http::{
    CallReply, HostType, HttpClient, HttpError, Lifecycle, LogRecord, LogStream, Migration, Policy, PublishOperation,
    PublishOptions,
};
use serde_json::json;
use tokio::time::timeout;

use crate::client::{PATIENCE, host};
use crate::module::{Variant, module};

fn compatible() -> PublishOptions {
    PublishOptions::default()
}

/// A host, and the client of one who may publish there.
async fn owner() -> (RunningHost, HttpClient) {
    let host = host().await;
    let endpoint = Endpoint::new(&host.url(), "wire-http").unwrap();
    let anyone = HttpClient::new(endpoint.clone(), None).unwrap();
    let token = anyone.create_identity().await.unwrap().token;
    (host, HttpClient::new(endpoint, Some(token)).unwrap())
}

/// The same database through the eyes of another.
async fn another(client: &HttpClient) -> HttpClient {
    let token = client.create_identity().await.unwrap().token;
    HttpClient::new(client.endpoint().clone(), Some(token)).unwrap()
}

fn one_line(error: &HttpError) {
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
}

#[tokio::test]
async fn a_host_is_asked_whether_it_is_up_and_who_one_is() {
    let (_host, client) = owner().await;
    assert!(client.ping().await.unwrap() < PATIENCE);
    let short_lived = client.websocket_token().await.unwrap();
    assert!(!short_lived.expose().is_empty());
    let nobody = HttpClient::new(client.endpoint().clone(), None).unwrap();
    let error = nobody.websocket_token().await.unwrap_err();
    assert_eq!(error.status(), Some(401), "{error}");
    one_line(&error);
}

#[tokio::test]
async fn a_database_is_made_described_and_deleted() {
    let (_host, client) = owner().await;
    let absent = client.database_info().await.unwrap_err();
    assert_eq!(absent.status(), Some(404), "{absent}");
    one_line(&absent);
    let published = client.publish(module(Variant::Plain), &compatible()).await.unwrap();
    assert_eq!(published.operation, PublishOperation::Created);
    assert_eq!(published.domain.as_deref(), Some("wire-http"));
    let info = client.database_info().await.unwrap();
    assert_eq!((info.database_identity, info.host_type), (published.database_identity, HostType::Wasm));
    let hash = spacetimedb_lib::hash_bytes(module(Variant::Plain)).to_hex().to_string();
    assert_eq!(info.initial_program, hash);
    assert_eq!(client.running_program().await, Ok(Some(hash)));
    assert_eq!(client.database_identity().await.unwrap(), published.database_identity);
    assert_eq!(client.database_names().await.unwrap(), ["wire-http"]);
    let thief = another(&client).await;
    assert!(matches!(thief.delete_database().await, Err(HttpError::Status { status: 401 | 403, .. })));
    client.delete_database().await.unwrap();
    assert_eq!(client.database_identity().await.unwrap_err().status(), Some(404));
}

#[tokio::test]
async fn an_update_is_planned_before_it_is_made() {
    let (_host, client) = owner().await;
    client.publish(module(Variant::WithNotes), &compatible()).await.unwrap();
    let plan = client.pre_publish(module(Variant::Plain)).await.unwrap();
    let Migration::Automatic { steps, breaks_clients: true, token } = plan.migration else { panic!("{plan:?}") };
    assert!(steps.contains("note") && !steps.contains('\u{1b}'), "{steps}");
    let refused = client.publish(module(Variant::Plain), &compatible()).await.unwrap_err();
    one_line(&refused);
    let options = PublishOptions { policy: Policy::BreakClients(token), clear: false };
    let updated = client.publish(module(Variant::Plain), &options).await.unwrap();
    assert_eq!(updated.operation, PublishOperation::Updated);

    let plan = client.pre_publish(module(Variant::NumberedItems)).await.unwrap();
    assert!(matches!(plan.migration, Migration::Refused { reason } if !reason.is_empty()));
    client.call("add", &json!(["lost"])).await.unwrap();
    let clear = PublishOptions { clear: true, ..compatible() };
    client.publish(module(Variant::NumberedItems), &clear).await.unwrap();
    let answer = client.sql("SELECT * FROM item", true).await.unwrap();
    assert!(answer.statements[0].rows.is_empty());

    let not_wasm = client.publish(&b"MZ not wasm"[..], &compatible()).await.unwrap_err();
    one_line(&not_wasm);
}

#[tokio::test]
async fn a_schema_is_read_with_tables_and_functions() {
    let (_host, client) = owner().await;
    client.publish(module(Variant::Plain), &compatible()).await.unwrap();
    let schema = client.schema().await.unwrap();
    let item = schema.table("item").unwrap();
    assert!(item.is_public);
    assert_eq!((item.columns[0].name.as_str(), item.columns[0].type_name().as_str()), ("name", "String"));
    let add = schema.reducer("add").unwrap();
    assert_eq!((add.lifecycle, add.params[0].type_name().as_str()), (None, "String"));
    assert_eq!(schema.reducer("client_connected").unwrap().lifecycle, Some(Lifecycle::OnConnect));
    assert_eq!(schema.procedures.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["answer", "muse"]);
}

#[tokio::test]
async fn sql_answers_with_columns_rows_and_who_asked() {
    let (_host, client) = owner().await;
    client.publish(module(Variant::Plain), &compatible()).await.unwrap();
    client.call("add", &json!(["one"])).await.unwrap();
    let nobody = HttpClient::new(client.endpoint().clone(), None).unwrap();
    let answer = nobody.sql("SELECT * FROM item; SELECT * FROM session", true).await.unwrap();
    assert_eq!(answer.statements.len(), 2);
    assert_eq!(answer.statements[0].columns[0].name, "name");
    let cells: Vec<_> = answer.statements[0].rows.iter().flatten().map(|cell| cell.get()).collect();
    assert_eq!(cells, [r#""one""#]);
    assert_eq!(answer.statements[1].rows.len(), 1, "the asker's own session");
    let token = answer.issued_token.expect("an anonymous asker gets a token");
    let somebody = HttpClient::new(client.endpoint().clone(), Some(token)).unwrap();
    assert_eq!(somebody.sql("SELECT * FROM item", true).await.unwrap().asker, answer.asker);
    for wrong in ["SELEKT", "SELECT * FROM absent"] {
        let error = nobody.sql(wrong, true).await.unwrap_err();
        assert_eq!(error.status(), Some(400), "{error}");
        assert!(!error.said().unwrap().is_empty());
        one_line(&error);
    }
}

#[tokio::test]
async fn every_way_a_call_can_end_is_told_apart() {
    let (_host, client) = owner().await;
    client.publish(module(Variant::Plain), &compatible()).await.unwrap();
    assert_eq!(client.call("add", &json!(["x"])).await, Ok(CallReply::Returned(None)));
    assert_eq!(client.call("answer", &json!([])).await, Ok(CallReply::Returned(Some("42".into()))));
    let refused = client.call("fail", &json!([])).await.unwrap();
    assert!(matches!(&refused, CallReply::Refused(said) if said.contains("refused on purpose")), "{refused:?}");
    for (name, args, status) in [("absent", json!([]), 404), ("add", json!([7]), 400), ("add", json!([]), 400)] {
        let error = client.call(name, &args).await.unwrap_err();
        assert_eq!(error.status(), Some(status), "{error}");
        one_line(&error);
    }
}

/// Reads on to the line with this message.
async fn find(log: &mut LogStream, message: &str) -> LogRecord {
    loop {
        let record = timeout(PATIENCE, log.next()).await.expect("in time").expect("not at the end").unwrap();
        if record.message == message {
            return record;
        }
    }
}

#[tokio::test]
async fn logs_are_read_from_the_end_and_followed() {
    let (_host, client) = owner().await;
    client.publish(module(Variant::Plain), &compatible()).await.unwrap();
    client.call("say", &json!(["before"])).await.unwrap();
    // The module logs again when the caller's session ends, so what was said is not always the very last line.
    let mut log = client.logs(Some(5), false).await.unwrap();
    let said = find(&mut log, "before").await;
    assert_eq!(said.level, "info");
    assert!(said.timestamp.is_some());
    while log.next().await.transpose().unwrap().is_some() {}

    let mut followed = client.logs(Some(5), true).await.unwrap();
    find(&mut followed, "before").await;
    client.call("say", &json!(["after"])).await.unwrap();
    find(&mut followed, "after").await;

    let error = another(&client).await.logs(None, false).await.unwrap_err();
    assert!(matches!(error.status(), Some(400 | 401 | 403)), "{error}");
    one_line(&error);
}
