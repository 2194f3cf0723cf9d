//! What the store says, and what follows.

use muster_contract::state::ConnectionState;

use super::world::*;
use crate::engine::*;

fn fail(world: &mut World, scope: Scope, is_retryable: bool) {
    let (batch, _) = world.to_apply.pop_front().expect("a batch");
    let failure = ApplyFailure { scope, is_retryable, message: "the disk of the store is full".into() };
    world.feed(Event::ApplyFailed { batch, failure });
}

fn six_and_one_page_with_the_store() -> World {
    let mut world = World::new();
    world.append("a", &many(6).iter().map(String::as_str).collect::<Vec<_>>());
    world.connect();
    while world.answer_next() {}
    world
}

#[test]
fn a_batch_that_failed_is_read_again_from_the_cursor_and_nothing_behind_it_is_applied_before() {
    let mut world = six_and_one_page_with_the_store();
    fail(&mut world, Scope::Stream, true);
    assert!(world.to_apply.is_empty(), "the page behind it must not overtake it");
    assert_eq!(world.state("a"), ConnectionState::Backoff);
    world.pass(limits::ms(250));
    world.settle();
    assert_eq!(world.kept("a").payloads, many(6));
}

#[test]
fn a_full_disk_holds_up_all_streams_says_so_and_goes_on() {
    let mut world = six_and_one_page_with_the_store();
    world.append("b", &["1"]);
    fail(&mut world, Scope::Store, true);
    while world.answer_next() {}
    assert!(world.to_apply.is_empty(), "the store is left alone");
    assert_eq!(world.overall().last_error.as_deref(), Some("the disk of the store is full"));
    for _ in 0..6 {
        world.pass(limits::ms(8_000));
        world.connect();
        while world.answer_next() {}
        while !world.to_apply.is_empty() {
            fail(&mut world, Scope::Store, true);
        }
    }
    assert_ne!(world.state("a"), ConnectionState::Live);
    for _ in 0..3 {
        world.pass(limits::ms(8_000));
        world.settle();
    }
    assert_eq!((world.kept("a").payloads.len(), world.kept("b").payloads.len()), (6, 1));
    assert_eq!(world.overall().last_error, None);
    assert_eq!(world.overall().state, ConnectionState::Live);
}

#[test]
fn a_broken_store_blocks() {
    let mut world = six_and_one_page_with_the_store();
    fail(&mut world, Scope::Store, false);
    world.pass(limits::ms(60_000));
    assert_eq!(world.state("a"), ConnectionState::Blocked);
}

#[test]
fn a_reset_that_failed_is_told_again() {
    let mut world = applied(3);
    world.log("a").epoch += 1;
    world.signal("a", Signal::Ahead);
    world.answer_next();
    fail(&mut world, Scope::Stream, true);
    assert!(world.kept("a").resets.is_empty());
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!(world.kept("a").resets, [Some("epoch_changed".to_owned())]);
    assert_eq!(world.kept("a").payloads.len(), 3);
}

#[test]
fn a_restarted_process_goes_on_from_the_cursor() {
    let mut world = six_and_one_page_with_the_store();
    world.commit_next();
    world.restart();
    assert_eq!(world.streams[&id("a")].cursor.map(|cursor| cursor.seq.get()), Some(4), "readable before any host");
    world.settle();
    assert_eq!(world.kept("a").payloads, many(6));
    assert_eq!(world.engine.counters().events, 2);
}

#[test]
fn what_was_fetched_before_a_cut_is_applied_and_not_fetched_again() {
    let mut world = six_and_one_page_with_the_store();
    world.disconnect();
    while world.commit_next() {}
    assert_eq!(world.kept("a").payloads, many(6));
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!(world.engine.counters().events, 6);
}

#[test]
fn a_store_that_stands_elsewhere_is_gone_on_from() {
    let mut world = six_and_one_page_with_the_store();
    // The application has committed it, and nobody could be told; then the batch comes again.
    let (_, batch) = world.to_apply.front().cloned().expect("a batch");
    world.keep(&batch);
    let (number, _) = world.to_apply.pop_front().expect("it");
    world.feed(Event::Moved { batch: number, place: world.kept("a").place });
    assert_eq!(world.state("a"), ConnectionState::Backoff);
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!(world.kept("a").payloads, many(6));
}
