//! Every attempt at every door.
//!
//! What always holds: attempts and doors are tables (`attempts.rs`, `doors.rs`; the token service's own in `endpoints.rs`);
//! a door counts as closed only where it said so: a refusal for another reason, as of a wrong argument, counts as open. Each
//! door is opened in the end by a token that grants it, with the very arguments that were refused before. What came of it is
//! a page, `docs/sync/SECURITY_MATRIX.md`, and the test fails where the committed one differs.

mod attempts;
mod doors;
mod endpoints;
mod functions;
mod knock;
mod old_protocol;
mod page;

use std::collections::BTreeSet;

use muster_wire::Protocol;

use crate::plane::Plane;
use attempts::Attempt;
use doors::{Door, Kind, Needs, doors};
use knock::{Ask, Found};
use page::Row;

/// Where the page is.
fn committed() -> std::path::PathBuf {
    crate::support::checkout().join("docs/sync/SECURITY_MATRIX.md")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_comes_through_any_door_and_the_page_says_so() {
    let plane = Plane::open().await;
    plane.filled().await;
    plane.configure(false, true, None).await;
    plane.lane.owner().await.call("set_name", &(muster_contract::BUILD,)).await.expect("named");
    let doors = doors();
    every_door_is_in_the_table(&plane, &doors).await;

    let mut open = Vec::new();
    let mut rows = Vec::new();
    for attempt in attempts::all(&plane).await {
        rows.push(try_all(&plane, &attempt, &doors, &mut open).await);
    }
    plane.configure(true, true, None).await;
    rows.push(try_all(&plane, &attempts::stranger(&plane).await, &doors, &mut open).await);
    plane.configure(false, true, None).await;
    assert!(open.is_empty(), "{} came through:\n{}", open.len(), open.join("\n"));

    let good = attempts::good(&plane).await;
    let mut closed = Vec::new();
    for door in &doors {
        let visitor = if door.needs == Needs::Owner { &good.owner } else { &good.session };
        if let Found::Closed(why) = visitor.knock(&plane, door, &Ask::of(&plane, "a.x").await).await {
            closed.push(format!("{door}: {why}"));
        }
    }
    assert!(closed.is_empty(), "closed for a token that grants them:\n{}", closed.join("\n"));

    let endpoints = endpoints::try_all().await;
    let order: Vec<_> = rows.iter().map(|row| row.group).collect();
    rows.sort_by_key(|row| order.iter().position(|group| *group == row.group));
    let page = page::write(&rows, &doors, &endpoints);
    page::compare(&committed(), &page);
}

async fn try_all(plane: &Plane, attempt: &Attempt, doors: &[Door], open: &mut Vec<String>) -> Row {
    let mut row = Row::new(attempt.group, &attempt.name);
    for door in doors.iter().filter(|door| (attempt.concerns)(door)) {
        let ask = match &attempt.stream {
            Some(stream) => Ask::of(plane, stream).await,
            None => Ask::of(plane, "a.x").await,
        };
        let found = match &attempt.statement {
            Some(statement) if door.kind == Kind::Query => attempt.visitor.query(door.way, statement).await,
            Some(statement) => attempt.visitor.state(plane, door.way, statement).await,
            None => attempt.visitor.knock(plane, door, &ask).await,
        };
        match found {
            Found::Closed(_) => row.closed(door.kind),
            Found::Open(what) => open.push(format!("{}: {door}: {what}", attempt.name)),
        }
    }
    assert!(row.tried() > 0, "{} was tried nowhere", attempt.name);
    row
}

/// What the module offers, so that a door that is added to it must be added here.
async fn every_door_is_in_the_table(plane: &Plane, doors: &[Door]) {
    let owner = plane.lane.place.owner.clone();
    let schema = plane.lane.place.http(Some(owner)).schema().await.expect("a schema");
    let functions = schema.reducers.iter().chain(&schema.procedures);
    let callable: BTreeSet<_> = functions.filter(|it| it.lifecycle.is_none()).map(|it| it.name.as_str()).collect();
    assert_eq!(callable, functions::FUNCTIONS.iter().map(|it| it.name).collect());
    let public: BTreeSet<_> = schema.tables.iter().filter(|it| it.is_public).map(|it| it.name.as_str()).collect();
    // Wakes are rows of `sync_signal`.
    assert_eq!(public, doors::TABLES.iter().map(|(name, _)| *name).chain(["sync_signal"]).collect());
    assert!(schema.views.is_empty(), "a view is a door");
    assert!(doors.iter().any(|door| door.kind == Kind::Wake));
}

/// The ways in by WebSocket that our own client speaks.
const PROTOCOLS: [Protocol; 2] = [Protocol::V2, Protocol::V3];
