//! `muster-wire` over WebSocket against a real host: connect, subscribe, call, ask, close, and what goes wrong on the way.

use std::time::Duration;

use muster_host::{Host, RunningHost};
use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{
    CallError, CallOutcome, ClosedReason, Compression, ConnectError, ConnectOptions, Connection, Endpoint, Incoming,
    Protocol, QuerySetId, Token, Update, args, connect,
};
use spacetimedb_lib::ConnectionId;
use tokio::time::timeout;

use crate::client::{PATIENCE, host};
use crate::module::{Variant, module};

pub(crate) const ITEMS: &[&str] = &["SELECT * FROM item"];

pub(crate) fn endpoint(url: &str) -> Endpoint {
    Endpoint::new(url, "wire").unwrap()
}

/// A host on which a module of this variant is published.
pub(crate) async fn published(variant: Variant) -> (RunningHost, ConnectOptions) {
    let host = host().await;
    let publisher = HttpClient::new(endpoint(&host.url()), None).unwrap();
    let owner = publisher.create_identity().await.unwrap();
    let publisher = HttpClient::new(endpoint(&host.url()), Some(owner.token)).unwrap();
    publisher.publish(module(variant), &PublishOptions::default()).await.unwrap();
    let options = ConnectOptions::new(endpoint(&host.url()));
    (host, options)
}

/// The items that came with the next transaction of this set.
async fn next_items(incoming: &mut Incoming, set: QuerySetId) -> Vec<String> {
    match timeout(PATIENCE, incoming.next()).await.expect("an update in time") {
        Some(Update::Transaction(transaction)) => transaction
            .query_sets
            .iter()
            .filter(|change| change.query_set == set)
            .flat_map(|change| &change.tables)
            .flat_map(|table| table.inserted.decode::<String>().unwrap())
            .collect(),
        other => panic!("{other:?}"),
    }
}

async fn sessions(connection: &Connection) -> Vec<ConnectionId> {
    let answer = connection.one_off_query("SELECT * FROM session").await.unwrap();
    answer.rows::<u128>("session").unwrap().into_iter().map(ConnectionId::from_u128).collect()
}

/// Why this connection is refused, in one line.
pub(crate) async fn refusal(options: ConnectOptions) -> ConnectError {
    let error = connect(options).await.map(|_| ()).expect_err("refused");
    assert_eq!(error.to_string().lines().count(), 1, "{error}");
    error
}

#[tokio::test]
async fn a_client_connects_over_either_protocol_and_is_who_the_module_says() {
    let (_host, options) = published(Variant::Plain).await;
    for protocol in [Protocol::V2, Protocol::V3] {
        let mut options = options.clone();
        options.protocols = vec![protocol];
        let (connection, _incoming) = connect(options).await.unwrap();
        assert_eq!(connection.protocol(), protocol);
        assert_eq!(sessions(&connection).await, [connection.connection_id()]);
        assert_eq!(connection.close().await, ClosedReason::ByClient);
    }
    let (connection, _incoming) = connect(options).await.unwrap();
    assert_eq!(connection.protocol(), Protocol::V3, "the preferred one of those offered");
    assert_eq!(sessions(&connection).await, [connection.connection_id()], "the others left no row behind");
}

#[tokio::test]
async fn a_client_comes_back_as_itself_with_the_token_it_was_given() {
    let (_host, options) = published(Variant::Plain).await;
    let (first, _incoming) = connect(options.clone()).await.unwrap();
    let (again, _incoming) = connect(options.token(Some(first.token().clone()))).await.unwrap();
    assert_eq!(again.identity(), first.identity());
    assert_ne!(again.connection_id(), first.connection_id());
}

#[tokio::test]
async fn a_subscriber_sees_what_was_there_and_then_every_change() {
    let (_host, options) = published(Variant::Plain).await;
    let (writer, _) = connect(options.clone()).await.unwrap();
    assert!(writer.call_reducer("add", args(&("first",))).await.unwrap().outcome.is_ok());
    let (reader, mut incoming) = connect(options).await.unwrap();
    let subscription = reader.subscribe(ITEMS).await.unwrap();
    assert_eq!(subscription.rows::<String>("item").unwrap(), ["first"]);
    for name in ["second", "third"] {
        writer.call_reducer("add", args(&(name,))).await.unwrap();
        assert_eq!(next_items(&mut incoming, subscription.query_set).await, [name]);
    }
}

#[tokio::test]
async fn a_callers_own_change_is_there_before_the_answer() {
    let (_host, options) = published(Variant::Plain).await;
    let (connection, mut incoming) = connect(options).await.unwrap();
    let subscription = connection.subscribe(ITEMS).await.unwrap();
    let reply = connection.call_reducer("add", args(&("mine",))).await.unwrap();
    let update = futures::FutureExt::now_or_never(incoming.next()).expect("already in the queue");
    let Some(Update::Transaction(transaction)) = update else { panic!("{update:?}") };
    assert_eq!(transaction.order, reply.order, "they are one message of the host");
    assert!(transaction.order > subscription.order);
}

#[tokio::test]
async fn an_answer_waits_for_the_changes_before_it() {
    let (_host, mut options) = published(Variant::Plain).await;
    options.queues.updates = 1;
    let (connection, mut incoming) = connect(options).await.unwrap();
    let subscription = connection.subscribe(ITEMS).await.unwrap();
    connection.call_reducer("add", args(&("fills the queue",))).await.unwrap();
    let mut call = Box::pin(connection.call_reducer("add", args(&("waits",))));
    let early = timeout(Duration::from_millis(300), &mut call).await;
    assert!(early.is_err(), "its change has no place in the queue yet: {early:?}");
    assert_eq!(next_items(&mut incoming, subscription.query_set).await, ["fills the queue"]);
    assert!(timeout(PATIENCE, call).await.expect("now there is room").unwrap().outcome.is_ok());
    assert_eq!(next_items(&mut incoming, subscription.query_set).await, ["waits"]);
}

#[tokio::test]
async fn an_ended_subscription_is_silent_and_the_others_go_on() {
    let (_host, options) = published(Variant::Plain).await;
    let (connection, mut incoming) = connect(options).await.unwrap();
    let ended = connection.subscribe(ITEMS).await.unwrap();
    let kept = connection.subscribe(ITEMS).await.unwrap();
    connection.unsubscribe(ended.query_set).await.unwrap();
    connection.call_reducer("add", args(&("later",))).await.unwrap();
    let Some(Update::Transaction(transaction)) = incoming.next().await else { panic!("an update") };
    let sets: Vec<_> = transaction.query_sets.iter().map(|change| change.query_set).collect();
    assert_eq!(sets, [kept.query_set]);
    let twice = connection.unsubscribe(ended.query_set).await.unwrap_err();
    assert_eq!(twice.to_string(), "the host refused: there is no live subscription 1");
}

#[tokio::test]
async fn every_way_a_function_can_end_is_told_apart() {
    let (_host, options) = published(Variant::Plain).await;
    let (connection, _incoming) = connect(options).await.unwrap();
    let answer = connection.call_procedure("answer", args(&())).await.unwrap();
    assert_eq!(answer.outcome, CallOutcome::Returned(args(&42u32)));
    let refused = connection.call_reducer("fail", args(&())).await.unwrap();
    assert!(refused.outcome.message().unwrap().contains("refused on purpose"), "{refused:?}");
    for (reducer, arguments) in [("crash", args(&())), ("absent", args(&())), ("add", args(&()))] {
        let reply = connection.call_reducer(reducer, arguments).await.unwrap();
        let CallOutcome::Failed(message) = &reply.outcome else { panic!("{reducer}: {reply:?}") };
        assert!(!message.is_empty());
    }
    let absent = connection.call_procedure("absent", args(&())).await.unwrap();
    assert!(matches!(absent.outcome, CallOutcome::Failed(_)), "{absent:?}");
    let well = connection.call_reducer("add", args(&("still here",))).await.unwrap();
    assert!(well.outcome.is_ok(), "the connection survived all of it");
}

#[tokio::test]
async fn a_query_that_cannot_run_is_refused_in_the_hosts_words() {
    let (_host, options) = published(Variant::Plain).await;
    let (connection, _incoming) = connect(options).await.unwrap();
    for query in ["SELEKT", "SELECT * FROM absent"] {
        for error in [
            connection.one_off_query(query).await.map(|_| ()).unwrap_err(),
            connection.subscribe(&[query]).await.map(|_| ()).unwrap_err(),
        ] {
            assert!(matches!(error, CallError::Refused(_)), "{error}");
            assert!(!error.is_retryable() && !error.may_have_happened());
        }
    }
    assert!(connection.subscribe(ITEMS).await.is_ok());
}

#[tokio::test]
async fn every_compression_and_either_kind_of_read_brings_the_same_rows() {
    let (_host, options) = published(Variant::Plain).await;
    let (writer, _) = connect(options.clone()).await.unwrap();
    let mut names: Vec<String> = (0..50).map(|number| format!("{number:02}").repeat(100)).collect();
    for name in &names {
        writer.call_reducer("add", args(&(name.as_str(),))).await.unwrap();
    }
    names.sort();
    for compression in [Compression::None, Compression::Gzip, Compression::Brotli] {
        for confirmed in [false, true] {
            let options = options.clone().compression(compression).confirmed(confirmed);
            let (reader, _) = connect(options).await.unwrap();
            let mut rows = reader.subscribe(ITEMS).await.unwrap().rows::<String>("item").unwrap();
            rows.sort();
            assert_eq!(rows, names, "{compression:?}, confirmed: {confirmed}");
        }
    }
}

#[tokio::test]
async fn more_callers_than_may_be_in_flight_are_all_answered() {
    let (_host, options) = published(Variant::Plain).await;
    let (connection, _incoming) = connect(options).await.unwrap();
    let calls = (0..5_000).map(|_| connection.call_procedure("answer", args(&())));
    let replies = futures::future::join_all(calls).await;
    assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|reply| reply.outcome.is_ok())));
}

#[tokio::test]
async fn closing_removes_the_row_and_answers_who_comes_late() {
    let (_host, options) = published(Variant::Plain).await;
    let (watcher, mut incoming) = connect(options.clone()).await.unwrap();
    watcher.subscribe(&["SELECT * FROM session"]).await.unwrap();
    let (connection, mut own) = connect(options).await.unwrap();
    assert!(matches!(incoming.next().await, Some(Update::Transaction(_))), "it came");
    assert_eq!(connection.close().await, ClosedReason::ByClient);
    assert_eq!(own.next().await, Some(Update::Closed(ClosedReason::ByClient)));
    assert_eq!(own.next().await, None);
    let late = connection.call_reducer("add", args(&("late",))).await.unwrap_err();
    assert_eq!(late, CallError::Closed { reason: ClosedReason::ByClient, sent: false });
    let gone = timeout(PATIENCE, incoming.next()).await.expect("its row goes in time");
    let Some(Update::Transaction(transaction)) = gone else { panic!("{gone:?}") };
    let deleted = transaction.query_sets[0].tables[0].deleted.decode::<u128>().unwrap();
    assert_eq!(deleted, [connection.connection_id().to_u128()]);
    assert_eq!(sessions(&watcher).await, [watcher.connection_id()]);
}

#[tokio::test]
async fn dropping_every_end_closes_the_connection_too() {
    let (_host, options) = published(Variant::Plain).await;
    let (watcher, mut incoming) = connect(options.clone()).await.unwrap();
    watcher.subscribe(&["SELECT * FROM session"]).await.unwrap();
    let (connection, own) = connect(options).await.unwrap();
    assert!(matches!(incoming.next().await, Some(Update::Transaction(_))), "it came");
    drop(connection);
    drop(own);
    let gone = timeout(PATIENCE, incoming.next()).await.expect("its row goes in time");
    assert!(matches!(gone, Some(Update::Transaction(_))), "{gone:?}");
    assert_eq!(sessions(&watcher).await, [watcher.connection_id()]);
}

#[tokio::test]
async fn a_host_that_stops_says_so() {
    let (host, options) = published(Variant::Plain).await;
    let (connection, mut incoming) = connect(options).await.unwrap();
    host.shutdown().await;
    let ended = timeout(PATIENCE, incoming.next()).await.expect("noticed in time");
    let Some(Update::Closed(reason @ ClosedReason::ByHost { .. })) = ended else { panic!("{ended:?}") };
    assert!(reason.is_retryable());
    assert_eq!(connection.wait_closed().await, reason);
}

#[tokio::test]
async fn an_application_that_does_not_listen_loses_the_connection_with_a_reason() {
    let (_host, options) = published(Variant::Plain).await;
    let (writer, _) = connect(options.clone()).await.unwrap();
    let mut slow = options;
    slow.queues.updates = 2;
    slow.timeouts.slow_consumer = Duration::from_millis(200);
    let (connection, mut incoming) = connect(slow).await.unwrap();
    connection.subscribe(ITEMS).await.unwrap();
    for number in 0..10 {
        writer.call_reducer("add", args(&(number.to_string(),))).await.unwrap();
    }
    let reason = timeout(PATIENCE, connection.wait_closed()).await.expect("given up in time");
    assert!(matches!(reason, ClosedReason::SlowConsumer { .. }), "{reason}");
    for _ in 0..2 {
        assert!(matches!(incoming.next().await, Some(Update::Transaction(_))), "what was queued is still there");
    }
    assert_eq!(incoming.next().await, Some(Update::Closed(reason)));
}

#[tokio::test]
async fn a_slow_application_gets_everything_as_long_as_it_moves() {
    let (_host, options) = published(Variant::Plain).await;
    let (writer, _) = connect(options.clone()).await.unwrap();
    let mut slow = options;
    slow.queues.updates = 1;
    slow.queues.update_bytes = 1_024;
    let (connection, mut incoming) = connect(slow).await.unwrap();
    let subscription = connection.subscribe(ITEMS).await.unwrap();
    let names: Vec<String> = (0..200).map(|number| format!("{number:03}").repeat(50)).collect();
    for name in &names {
        writer.call_reducer("add", args(&(name.as_str(),))).await.unwrap();
    }
    let mut heard = Vec::new();
    while heard.len() < names.len() {
        heard.append(&mut next_items(&mut incoming, subscription.query_set).await);
    }
    assert_eq!(heard, names);
}

#[tokio::test]
async fn a_subscription_whose_caller_went_away_is_undone() {
    let (_host, options) = published(Variant::Plain).await;
    let (connection, mut incoming) = connect(options).await.unwrap();
    // Polled once, it is on its way to the host; then nobody waits for it any more.
    let mut abandoned = Box::pin(connection.subscribe(ITEMS));
    assert!(futures::FutureExt::now_or_never(&mut abandoned).is_none());
    tokio::task::yield_now().await;
    drop(abandoned);
    let kept = connection.subscribe(ITEMS).await.unwrap();
    connection.one_off_query(ITEMS[0]).await.unwrap();
    connection.call_reducer("add", args(&("only once",))).await.unwrap();
    let Some(Update::Transaction(transaction)) = incoming.next().await else { panic!("an update") };
    let sets: Vec<_> = transaction.query_sets.iter().map(|change| change.query_set).collect();
    assert_eq!(sets, [kept.query_set]);
}

#[tokio::test]
async fn a_missing_database_a_bad_token_and_a_refusing_module_are_told_apart() {
    let (host, options) = published(Variant::RefusesClients).await;
    let error = refusal(options.clone()).await;
    assert!(matches!(&error, ConnectError::Rejected { said, .. } if said.contains("refused on purpose")), "{error}");

    let absent = ConnectOptions::new(Endpoint::new(&host.url(), "absent").unwrap());
    let error = refusal(absent).await;
    assert!(matches!(&error, ConnectError::NoSuchDatabase { database, .. } if database == "absent"), "{error}");

    let forged = Token::new("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4Iiwic3ViIjoieSJ9.c2lnbmF0dXJl").unwrap();
    for token in [forged, Token::new("nonsense").unwrap()] {
        let error = refusal(options.clone().token(Some(token.clone()))).await;
        assert!(matches!(&error, ConnectError::Unauthorized { said, .. } if !said.is_empty()), "{error}");
        assert!(!error.to_string().contains(token.expose()), "{error}");
        assert!(!error.is_retryable());
    }
}

#[tokio::test]
async fn a_module_that_does_not_fit_is_refused_with_table_and_code() {
    let (_host, options) = published(Variant::Plain).await;
    let error = refusal(options.expect(muster_contract::Client::of_this_build())).await;
    let ConnectError::Contract(contract) = &error else { panic!("{error}") };
    assert_eq!(contract.code, muster_contract::Code::SchemaMismatch);
    assert_eq!(contract.detail, "table `person` does not exist on the host");
    assert!(!error.is_retryable());
}

#[tokio::test]
async fn confirmed_reads_come_from_a_host_with_a_disk_too() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().data_dir(folder.path()).start().await.unwrap();
    let publisher = HttpClient::new(endpoint(&host.url()), None).unwrap();
    publisher.publish(module(Variant::Plain), &PublishOptions::default()).await.unwrap();
    let (connection, mut incoming) = connect(ConnectOptions::new(endpoint(&host.url()))).await.unwrap();
    let subscription = connection.subscribe(ITEMS).await.unwrap();
    connection.call_reducer("add", args(&("durable",))).await.unwrap();
    assert_eq!(next_items(&mut incoming, subscription.query_set).await, ["durable"]);
    connection.close().await;
    host.shutdown().await;
}
