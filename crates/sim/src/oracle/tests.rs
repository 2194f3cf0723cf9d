//! What the oracle lets pass, and what it does not.
//!
//! What always holds: each exception that docs/simulation.md declares is tried with every one of its conditions missing.

use std::collections::BTreeSet;

use super::{Broken, Oracle, Tag};
use crate::host::state::{State, Write};
use crate::workload::hash;
use muster_contract::page::StoredEvent;
use spacetimedb_lib::Timestamp;

const STREAM: u64 = 1;
const FIRST_COUNTING: u64 = 10;
const NEXT_COUNTING: u64 = 11;

fn create(epoch: u64) -> Write {
    Write::Create { no: STREAM, id: "s.a".into(), epoch }
}

/// Events of publisher 1, stored under a producer's number.
fn append(producer: u64, numbers: &[u64]) -> Write {
    let event = |n: &u64| StoredEvent {
        kind: Tag { node: 1, n: *n }.to_kind(),
        payload: "{}".into(),
        hash: hash("{}"),
        at: Timestamp::UNIX_EPOCH,
        producer,
        number: *n,
    };
    Write::Append { no: STREAM, events: numbers.iter().map(event).collect(), producer, number: 1 }
}

/// Events 1 and 2 were published; 1 was stored under the first counting.
fn oracle() -> Oracle {
    let mut oracle = Oracle::default();
    for n in [1, 2] {
        oracle.on_publish(Tag { node: 1, n }, "s.a", "{}");
        oracle.on_acknowledged(Tag { node: 1, n });
    }
    assert_eq!(oracle.on_durable(1, &[create(7), append(FIRST_COUNTING, &[1])]), Ok(()));
    oracle
}

/// The host's copy is of before the stream was there; the publisher goes on in its new life with event 2.
fn host_restored(oracle: &mut Oracle) {
    oracle.on_restore(2, &State::default());
    assert_eq!(oracle.on_durable(3, &[create(8), append(NEXT_COUNTING, &[2])]), Ok(()));
}

fn outbox_restored(oracle: &mut Oracle) {
    oracle.on_outbox_restored(1, &BTreeSet::from([Tag { node: 1, n: 1 }]));
}

fn out_of_order() -> Result<(), Broken> {
    Err(Broken { promise: 2, what: "s.a: p1.1 is stored after p1.2, before which it was published".into() })
}

#[test]
fn a_restored_outbox_may_repeat_under_an_old_counting_what_a_stream_made_anew_does_not_show_it() {
    let mut oracle = oracle();
    host_restored(&mut oracle);
    outbox_restored(&mut oracle);
    assert_eq!(oracle.on_durable(4, &[append(FIRST_COUNTING, &[1, 2])]), Ok(()));
    assert_eq!(oracle.repeated_unasked, 2);
}

#[test]
fn the_same_is_a_broken_promise_of_an_outbox_that_was_not_restored() {
    let mut oracle = oracle();
    host_restored(&mut oracle);
    assert_eq!(oracle.on_durable(4, &[append(FIRST_COUNTING, &[1])]), out_of_order());
}

#[test]
fn the_same_is_a_broken_promise_under_the_counting_by_which_the_host_could_tell() {
    let mut oracle = oracle();
    host_restored(&mut oracle);
    outbox_restored(&mut oracle);
    assert_eq!(oracle.on_durable(4, &[append(NEXT_COUNTING, &[1])]), out_of_order());
}

#[test]
fn the_same_is_a_broken_promise_in_a_stream_that_was_never_made_anew() {
    let mut oracle = oracle();
    outbox_restored(&mut oracle);
    assert_eq!(oracle.on_durable(3, &[append(FIRST_COUNTING, &[2])]), Ok(()));
    assert_eq!(oracle.on_durable(4, &[append(NEXT_COUNTING, &[1])]).map_err(|broken| broken.promise), Err(2));
}

#[test]
fn a_copy_that_has_all_of_a_publishers_events_makes_nothing_anew() {
    let mut oracle = oracle();
    let mut copy = State::default();
    copy.apply(&create(7));
    copy.apply(&append(FIRST_COUNTING, &[1]));
    oracle.on_restore(2, &copy);
    outbox_restored(&mut oracle);
    assert_eq!(oracle.on_durable(3, &[append(FIRST_COUNTING, &[2])]), Ok(()));
    assert_eq!(oracle.on_durable(4, &[append(NEXT_COUNTING, &[1])]).map_err(|broken| broken.promise), Err(2));
}
