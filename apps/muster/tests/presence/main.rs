//! What the module does, on the real engine: Muster's module, published to an embedded host in this process, and clients
//! of `muster-wire` over real sockets.
#![cfg(feature = "host")]

mod plane;
#[path = "../support/mod.rs"]
mod support;

use std::time::Duration;

use muster_contract::rows::{ActiveConnection, ContractInfo, Person, PresenceSummary};
use muster_contract::{Client, Code};
use muster_wire::sats::AlgebraicType;
use muster_wire::{ConnectError, ConnectOptions, ConnectionId, Update, args, connect};

use plane::Plane;

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_a_row_for_exactly_as_long_as_it_lives() {
    let plane = Plane::start().await;
    let watcher = plane.join().await;
    let visitor = plane.join().await;
    let (who, which) = (visitor.connection.identity(), visitor.connection.connection_id());

    let rows: Vec<ActiveConnection> = watcher.until("SELECT * FROM active_connection", |rows| rows.len() == 2).await;
    let row = rows.iter().find(|row| row.connection_id == which).expect("the visitor's row");
    assert_eq!((row.identity, row.role.as_str()), (who, "anonymous"));
    assert_eq!((&row.client_id, &row.client_build), (&None, &None));

    visitor.connection.close().await;
    let rows: Vec<ActiveConnection> = watcher.until("SELECT * FROM active_connection", |rows| rows.len() == 1).await;
    assert_eq!(rows[0].connection_id, watcher.connection.connection_id());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_vanishes_without_a_word_loses_its_row() {
    let plane = Plane::start().await;
    let watcher = plane.join().await;
    let visitor = plane.join().await;
    watcher.until::<ActiveConnection>("SELECT * FROM active_connection", |rows| rows.len() == 2).await;
    // Both ends dropped: the socket closes without a closing handshake.
    drop(visitor);
    watcher.until::<ActiveConnection>("SELECT * FROM active_connection", |rows| rows.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_count_over_http_counts_the_asker_and_leaves_no_row_behind() {
    let plane = Plane::start().await;
    let watcher = plane.join().await;
    let answer = plane.http().sql("SELECT COUNT(*) AS n FROM active_connection", true).await.expect("an answer");
    assert_eq!(answer.statements[0].rows[0][0].get(), "2", "the watcher, and the request itself");
    watcher.until::<ActiveConnection>("SELECT * FROM active_connection", |rows| rows.len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_id_that_is_in_use_is_refused_and_its_holder_keeps_its_row() {
    let plane = Plane::start().await;
    let holder = plane.join().await;
    let held = holder.connection.connection_id();
    let free = ConnectionId::from_u128(!held.to_u128());
    let socket = plane.raw_websocket(&format!("connection_id={free}")).await.expect("a socket");
    assert!(!plane::ends(socket).await, "an id that is free is the client's to choose");
    let refused = plane.raw_websocket(&format!("connection_id={held}")).await;
    assert!(refused.is_err() || plane::ends(refused.expect("a socket")).await, "a second one must not get in");
    let rows = holder.until::<ActiveConnection>("SELECT * FROM active_connection", |rows| !rows.is_empty()).await;
    assert_eq!(rows.iter().filter(|row| row.connection_id == held).count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_set_replaced_and_kept_and_a_bad_one_is_refused_with_the_reason() {
    let plane = Plane::start().await;
    let session = plane.join().await;
    let name = |text: &'static str| session.connection.call_reducer("set_name", args(&(text,)));
    assert!(name(" Ada ").await.expect("an answer").outcome.is_ok());
    assert_eq!(session.ask::<Person>("SELECT * FROM person").await[0].name, "Ada");
    assert!(name("Ada Lovelace").await.expect("an answer").outcome.is_ok());
    let refused = name("two\nlines").await.expect("an answer").outcome.message().expect("a refusal");
    assert!(refused.contains("control characters"), "{refused}");

    let who = session.connection.identity();
    session.connection.close().await;
    let later = plane.join().await;
    let people: Vec<Person> = later.ask("SELECT * FROM person").await;
    assert_eq!(people, [Person { identity: who, name: "Ada Lovelace".into() }]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_follows_the_table_and_changes_at_most_twice_a_second() {
    let plane = Plane::start().await;
    let mut watcher = plane.join().await;
    let subscription = watcher.connection.subscribe(&["SELECT * FROM presence_summary"]).await.expect("subscribed");
    let mut summaries: Vec<PresenceSummary> = subscription.rows("presence_summary").expect("rows");

    for _ in 0..20 {
        plane.join().await.connection.close().await;
    }
    let mut guests = Vec::new();
    for _ in 0..3 {
        guests.push(plane.join().await);
    }
    let deadline = tokio::time::Instant::now() + plane::PATIENCE;
    while summaries.last().expect("a summary").total != 4 {
        let update = tokio::time::timeout_at(deadline, watcher.incoming.next()).await.expect("in time");
        let Some(Update::Transaction(transaction)) = update else { panic!("the session ended: {update:?}") };
        for table in transaction.query_sets.iter().flat_map(|set| &set.tables) {
            summaries.extend(table.inserted.decode::<PresenceSummary>().expect("rows"));
        }
    }
    let last = summaries.last().expect("a summary");
    assert_eq!(
        last.by_role.iter().map(|role| (role.role.as_str(), role.count)).collect::<Vec<_>>(),
        [("anonymous", 4)]
    );
    // The first row is the one that `init` wrote; between the others lies at least the interval.
    for pair in summaries[1..].windows(2) {
        let apart = pair[1].counted_at.duration_since(pair[0].counted_at).expect("in order");
        assert!(apart >= Duration::from_millis(muster_contract::limits::PRESENCE_REFRESH_MS), "{apart:?} apart");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_the_schedule_runs_the_recount() {
    let plane = Plane::start().await;
    let session = plane.join().await;
    let reply = session.connection.call_reducer("refresh_presence_summary", args(&((1u64, 1u8),))).await;
    assert!(!reply.is_ok_and(|reply| reply.outcome.is_ok()), "a client called a scheduled reducer");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_contract_row_is_put_right_before_a_client_can_read_it() {
    let plane = Plane::start().await;
    let old = "UPDATE contract_info SET module_version = '0.0.1-stale'";
    plane.owner().sql(old, true).await.expect("the owner may change rows");
    // As after an update in place: the stored row is of another build than the module that runs.
    let session = plane.join().await;
    let rows: Vec<ContractInfo> = session.ask("SELECT * FROM contract_info").await;
    assert_eq!(rows, [ContractInfo::of_this_build()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_column_of_another_type_is_a_typed_error_and_never_an_empty_world() {
    let plane = Plane::start().await;
    let mut client = Client::of_this_build();
    let table = client.tables.iter_mut().find(|table| table.table == "active_connection").expect("the table");
    let column = table.columns.iter_mut().find(|column| column.name == "client_id").expect("the column");
    column.ty = AlgebraicType::U64;

    let refused = connect(ConnectOptions::new(plane.endpoint()).expect(client)).await.expect_err("the shapes differ");
    let ConnectError::Contract(error) = &refused else { panic!("{refused}") };
    assert_eq!(error.code, Code::SchemaMismatch);
    assert_eq!(
        error.detail,
        "table `active_connection`, column `client_id`: expected type U64, the host has Option<String>"
    );
    assert!(!refused.is_retryable(), "it must not be tried again and again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_another_schema_version_is_told_so() {
    let plane = Plane::start().await;
    let newer = Client { schema_version: 2, ..Client::of_this_build() };
    let refused = connect(ConnectOptions::new(plane.endpoint()).expect(newer)).await.expect_err("too new");
    assert!(
        matches!(&refused, ConnectError::Contract(error) if error.code == Code::UnsupportedSchemaVersion),
        "{refused}"
    );
}
