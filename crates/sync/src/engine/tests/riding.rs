//! Pages that come with signals.

use muster_contract::page::Page;
use muster_contract::state::ConnectionState::Blocked;

use super::world::*;
use crate::engine::*;

/// Appends the next ones of [`many`], of which nobody hears; returns the page of them.
fn append_unheard(world: &mut World, count: usize) -> Page {
    let before = world.log("a").events.len();
    let payloads = many(before + count).split_off(before);
    world.append_in_silence("a", &payloads.iter().map(String::as_str).collect::<Vec<_>>());
    world.page_behind("a", before as u64)
}

/// The same, and the page rides.
fn append_riding(world: &mut World, count: usize) {
    let page = append_unheard(world, count);
    world.signal_with("a", Signal::Ahead, Some(page));
}

fn pages_asked(world: &World) -> usize {
    world.waiting(|what| matches!(what, Request::Page { .. }))
}

#[test]
fn what_rides_is_applied_and_nothing_is_asked() {
    let mut world = applied(3);
    for _ in 0..4 {
        append_riding(&mut world, 1);
        assert_eq!((world.to_apply.len(), pages_asked(&world)), (1, 0));
        world.settle();
    }
    assert_eq!(world.kept("a").payloads, many(7));
    assert_eq!(world.engine.counters().ridden, 4);
    assert_eq!(world.streams[&id("a")].lag, 0);
}

#[test]
fn what_rides_while_the_store_is_busy_waits_in_one_batch_no_larger_than_a_page() {
    let mut world = applied(3);
    for _ in 4..=8 {
        append_riding(&mut world, 1);
        assert_eq!((world.to_apply.len(), pages_asked(&world)), (1, 0), "event 4 is with the store");
    }
    append_riding(&mut world, 1);
    assert_eq!(world.engine.counters().ridden, 5, "four events are a page");
    world.settle();
    assert_eq!(world.kept("a").payloads, many(9));
}

#[test]
fn what_is_not_next_or_of_another_history_is_a_wake() {
    type Change = fn(&mut Page);
    let cases: [(&str, Change); 7] = [
        ("a hole", |page| page.first += 1),
        ("a repeat", |page| page.first -= 1),
        ("another life", |page| page.epoch += 1),
        ("another history", |page| page.mark ^= 1),
        ("not up to the head", |page| page.head += 1),
        ("nothing", |page| page.events.clear()),
        ("a wrong payload", |page| page.events[0].payload.push(' ')),
    ];
    for (what, change) in cases {
        let mut world = applied(3);
        let mut page = append_unheard(&mut world, 1);
        change(&mut page);
        world.signal_with("a", Signal::Ahead, Some(page));
        assert_eq!((world.to_apply.len(), pages_asked(&world)), (0, 1), "{what}");
        assert_eq!(world.engine.counters().ridden, 0, "{what}");
        world.settle();
        assert_eq!(world.kept("a").payloads, many(4), "{what}");
    }
}

#[test]
fn what_comes_twice_is_taken_once() {
    let mut world = applied(3);
    let page = append_unheard(&mut world, 1);
    world.signal_with("a", Signal::Ahead, Some(page.clone()));
    world.signal_with("a", Signal::Ahead, Some(page));
    assert_eq!(pages_asked(&world), 0, "nothing new was told of");
    world.settle();
    assert_eq!(world.kept("a").payloads, many(4));
}

#[test]
fn after_a_wake_what_rides_is_left_until_the_page_has_come_and_not_asked_for_again() {
    let mut world = applied(3);
    append_unheard(&mut world, 1);
    world.signal("a", Signal::Ahead);
    assert_eq!(pages_asked(&world), 1);
    append_riding(&mut world, 1);
    append_riding(&mut world, 1);
    assert!(world.to_apply.is_empty(), "a page is under way, and these come behind it");
    // The answer is as of now: it has all three.
    world.answer_next();
    assert_eq!((world.to_apply.len(), pages_asked(&world)), (1, 0), "nobody told of anything else");
    append_riding(&mut world, 1);
    world.settle();
    assert_eq!(world.kept("a").payloads, many(7));
    assert_eq!(world.engine.counters().ridden, 1);
}

#[test]
fn what_is_asked_for_already_is_left_to_its_answer() {
    let mut world = applied(3);
    let page = append_unheard(&mut world, 1);
    world.signal("a", Signal::Ahead);
    world.signal_with("a", Signal::Ahead, Some(page));
    assert!(world.to_apply.is_empty());
    world.settle();
    assert_eq!(world.kept("a").payloads, many(4));
}

#[test]
fn a_signal_of_another_life_among_them_is_asked_after() {
    let mut world = applied(3);
    let mut page = append_unheard(&mut world, 1);
    world.signal("a", Signal::Ahead);
    page.epoch += 1;
    world.signal_with("a", Signal::Ahead, Some(page));
    world.answer_next();
    world.commit_next();
    assert_eq!(pages_asked(&world), 1, "that its numbers are known says nothing");
}

#[test]
fn a_signal_that_says_nothing_among_them_is_asked_after() {
    let mut world = applied(3);
    append_unheard(&mut world, 1);
    world.signal("a", Signal::Ahead);
    append_riding(&mut world, 1);
    world.signal("a", Signal::Ahead);
    world.answer_next();
    world.settle();
    assert_eq!(world.kept("a").payloads, many(5));
    assert_eq!(world.engine.counters().ridden, 0);
}

#[test]
fn what_rides_leaves_room_for_a_page_that_is_asked_for() {
    let mut world = applied(3);
    // A payload of more than three of the four pages that may be under way.
    let large = format!("\"{}\"", "x".repeat(3_000));
    world.append_in_silence("a", &[&large]);
    let page = world.page_behind("a", 3);
    world.signal_with("a", Signal::Ahead, Some(page));
    assert_eq!((world.engine.counters().ridden, pages_asked(&world)), (0, 1));
}

#[test]
fn a_payload_that_is_not_what_its_hash_says_is_asked_for_and_blocks_when_it_comes_again() {
    let mut world = applied(3);
    append_unheard(&mut world, 1);
    world.log("a").events[3].payload = "wrong".into();
    let page = world.page_behind("a", 3);
    world.signal_with("a", Signal::Ahead, Some(page));
    world.settle();
    assert_eq!(world.streams[&id("a")].state, Blocked);
    assert_eq!(world.kept("a").payloads, many(3));
}
