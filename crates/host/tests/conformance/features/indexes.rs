//! Indexes and constraints of every kind, and numbers that the host chooses.

use muster_wire::CallOutcome;
use spacetimedb_sats::Serialize;

use crate::support::{Published, Session};

#[derive(Serialize)]
#[sats(crate = spacetimedb_sats)]
enum Search {
    Email(&'static str),
    Seat(u32),
    Ages((u8, u8)),
    City(&'static str),
    Team(&'static str),
    TeamAndRank((&'static str, u32)),
}

type NewMember = (&'static str, u32, u8, &'static str, &'static str, u32);

const ADA: NewMember = ("ada@example.org", 1, 36, "London", "red", 1);
const BOB: NewMember = ("bob@example.org", 70_000, 20, "London", "red", 2);
const EVE: NewMember = ("eve@example.org", 3, 50, "Zürich", "blue", 1);

async fn with_three() -> (Published, Session) {
    let published = Published::new("features").await;
    let session = published.connect().await;
    for member in [ADA, BOB, EVE] {
        session.call("add_member", &member).await;
    }
    (published, session)
}

#[tokio::test]
async fn every_kind_of_index_finds_what_it_should_and_no_more() {
    let (_published, session) = with_three().await;
    for (search, found) in [
        (Search::Email("bob@example.org"), vec![2u64]),
        (Search::Email("nobody@example.org"), vec![]),
        (Search::Seat(70_000), vec![2]),
        (Search::Seat(2), vec![]),
        (Search::Ages((20, 36)), vec![1, 2]),
        (Search::Ages((51, 255)), vec![]),
        (Search::City("London"), vec![1, 2]),
        (Search::City("Zürich"), vec![3]),
        (Search::Team("red"), vec![1, 2]),
        (Search::TeamAndRank(("red", 2)), vec![2]),
        (Search::TeamAndRank(("blue", 2)), vec![]),
    ] {
        let answer: Vec<u64> = session.ask("find_members", &(search,)).await;
        assert_eq!(answer, found);
    }
}

#[tokio::test]
async fn a_unique_column_refuses_a_second_of_its_kind_and_nothing_of_the_row_stays() {
    let (published, session) = with_three().await;
    let same_email: NewMember = ("ada@example.org", 9, 1, "x", "x", 9);
    let same_seat: NewMember = ("new@example.org", 70_000, 1, "x", "x", 9);
    for twice in [same_email, same_seat] {
        let outcome = session.outcome("add_member", &twice).await;
        assert!(matches!(outcome, CallOutcome::Refused(_)), "{outcome:?}");
    }
    assert_eq!(published.sql("SELECT id FROM member").await.len(), 3);
}

#[tokio::test]
async fn numbers_that_the_host_chooses_are_never_given_twice() {
    let (_published, session) = with_three().await;
    session.outcome("add_member", &ADA).await;
    session.call("add_member", &("new@example.org", 4u32, 1u8, "x", "x", 9u32)).await;
    let new: Vec<u64> = session.ask("find_members", &(Search::Email("new@example.org"),)).await;
    assert!(new[0] > 3, "{new:?} came before");
}
