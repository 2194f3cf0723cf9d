//! Pages: order, holes, repeats, hashes, turns and bounds.

use muster_contract::page::Answer;
use muster_contract::state::ConnectionState::{Backoff, Blocked, Live, Replaying};

use super::world::*;
use crate::engine::*;

fn strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

/// A world that has asked for the first page of `a`, which holds six events.
fn asked_for_six() -> World {
    let mut world = World::new();
    world.append("a", &strs(&many(6)));
    world.connect();
    world.answer_next();
    world.answer_next();
    assert_eq!(world.waiting(|what| matches!(what, Request::Page { .. })), 1);
    world
}

/// Answers the page request that waits with a page that `change` has been at.
fn answer_with(world: &mut World, change: impl FnOnce(&mut muster_contract::page::Page)) {
    let (request, what) = world.page_request();
    let Reply::Page(Answer::Ok(mut page)) = world.answer(&what) else { panic!("no page") };
    change(&mut page);
    world.feed(Event::Answered { request, reply: Reply::Page(Answer::Ok(page)) });
}

#[test]
fn everything_is_applied_in_order_page_by_page() {
    let world = applied(11);
    assert_eq!(world.engine.counters().events, 11);
    assert_eq!(world.streams[&id("a")].lag, 0);
}

#[test]
fn what_a_page_repeats_is_dropped() {
    let mut world = applied(6);
    world.append("a", &["7"]);
    let log = world.log("a").clone();
    answer_with(&mut world, |page| {
        page.first = 4;
        page.events = log.events[3..].to_vec();
    });
    world.settle();
    assert_eq!(world.kept("a").payloads.len(), 7);
    assert_eq!(world.engine.counters().duplicates, 3);
}

#[test]
fn a_page_that_is_all_repeats_moves_nothing() {
    let mut world = applied(6);
    world.append("a", &["7"]);
    let log = world.log("a").clone();
    answer_with(&mut world, |page| {
        page.first = 2;
        page.events = log.events[1..4].to_vec();
    });
    assert!(world.to_apply.is_empty());
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!(world.kept("a").payloads.len(), 7);
}

#[test]
fn what_a_page_leaves_out_is_fetched_and_nothing_is_applied_out_of_order() {
    let mut world = asked_for_six();
    answer_with(&mut world, |page| {
        page.first = 3;
        page.events.drain(..2);
    });
    assert!(world.to_apply.is_empty());
    assert_eq!(world.state("a"), Backoff);
    world.pass(limits::ms(250));
    world.settle();
    assert_eq!(world.kept("a").payloads, many(6));
    assert_eq!(world.engine.counters().gaps, 1);
}

#[test]
fn a_payload_that_is_not_what_its_hash_says_blocks_its_stream_alone_and_nothing_of_its_page_is_applied() {
    let mut world = asked_for_six();
    world.append("b", &["1"]);
    answer_with(&mut world, |page| page.events[2].payload = "forged".into());
    world.settle();
    assert_eq!(world.state("a"), Blocked);
    assert!(world.kept("a").payloads.is_empty());
    let error = world.streams[&id("a")].last_error.clone().expect("an error");
    assert!(error.starts_with("payload_hash_mismatch: the payload of event 3"), "{error}");
    assert_eq!((world.state("b"), world.kept("b").payloads.len()), (Live, 1));
    world.pass(limits::ms(60_000));
    assert_eq!(world.state("a"), Blocked, "it is not tried again by itself");
    world.feed(Event::Unblock);
    world.settle();
    assert_eq!(world.kept("a").payloads.len(), 6);
}

#[test]
fn a_page_of_another_epoch_is_never_applied() {
    let mut world = asked_for_six();
    answer_with(&mut world, |page| page.epoch += 1);
    assert!(world.to_apply.is_empty());
    assert_eq!(world.engine.counters().foreign_pages, 1);
}

#[test]
fn an_answer_that_comes_twice_counts_once() {
    let mut world = asked_for_six();
    let (request, what) = world.page_request();
    let reply = world.answer(&what);
    world.feed(Event::Answered { request, reply: reply.clone() });
    world.feed(Event::Answered { request, reply });
    assert_eq!(world.to_apply.len(), 1);
    assert_eq!(world.engine.counters().late_answers, 1);
}

#[test]
fn an_answer_of_a_connection_that_is_gone_counts_no_more() {
    let mut world = asked_for_six();
    let (request, what) = world.page_request();
    let reply = world.answer(&what);
    world.disconnect();
    world.feed(Event::Answered { request, reply });
    assert!(world.to_apply.is_empty());
}

#[test]
fn one_page_is_fetched_ahead_while_another_is_applied_and_no_more() {
    let mut world = World::new();
    world.append("a", &strs(&many(40)));
    world.connect();
    while world.answer_next() {}
    // The store has one, one waits behind it, and nothing more is asked for.
    assert_eq!(world.to_apply.len(), 1);
    assert_eq!(world.engine.counters().events, 8);
    world.commit_next();
    assert_eq!(world.waiting(|what| matches!(what, Request::Page { .. })), 1);
}

#[test]
fn many_streams_share_the_bound_and_take_turns() {
    let mut world = World::new();
    for stream in 0..10 {
        world.append(&format!("s{stream}"), &strs(&many(12)));
    }
    world.connect();
    world.answer_next();
    world.answer_next();
    // Four pages of a thousand bytes fit.
    assert_eq!(world.waiting(|what| matches!(what, Request::Page { .. })), 4);
    let mut firsts = std::collections::BTreeSet::new();
    let mut seen = 0;
    while firsts.len() < 10 {
        if let Some((_, batch)) = world.to_apply.front() {
            seen += 1;
            firsts.insert(batch.stream.clone());
        }
        if !world.commit_next() {
            assert!(world.answer_next(), "it stands still");
        }
        assert!(seen <= 20, "one stream was served again and again");
    }
    world.settle();
    assert!((0..10).all(|stream| world.kept(&format!("s{stream}")).payloads.len() == 12));
    assert_eq!(world.engine.in_flight_bytes(), 0);
}

#[test]
fn a_stream_that_is_pages_behind_is_replaying() {
    let mut world = asked_for_six();
    world.answer_next();
    world.commit_next();
    assert_eq!(world.state("a"), Replaying);
    assert_eq!(world.streams[&id("a")].lag, 2);
}

#[test]
fn a_host_that_gives_nothing_of_what_it_says_it_has_is_not_hammered() {
    let mut world = asked_for_six();
    answer_with(&mut world, |page| page.events.clear());
    assert_eq!(world.state("a"), Backoff);
    assert!(world.asked.is_empty());
}

#[test]
fn a_page_from_behind_the_cursor_is_never_taken_for_the_end() {
    let mut world = applied(6);
    world.append("a", &["7"]);
    answer_with(&mut world, |page| {
        page.head = 3;
        page.first = 4;
        page.events.clear();
    });
    assert_eq!(world.engine.counters().foreign_pages, 1);
    assert_ne!(world.state("a"), Live);
}

/// What one event costs the engine, with few streams and with many. Prints; the curve is for a person.
#[test]
#[ignore = "a measurement: cargo test -p muster-sync -- --ignored --nocapture growth"]
fn growth_with_the_number_of_streams() {
    for streams in [10, 100, 1_000, 10_000] {
        let mut world = World::new();
        world.options.tuning = Tuning::default();
        for stream in 0..streams {
            world.append_in_silence(&format!("s{stream}"), &["1"]);
        }
        let began = std::time::Instant::now();
        world.settle();
        let first = began.elapsed();
        let rounds = 20_000 / streams;
        let began = std::time::Instant::now();
        let mut feeds = 0;
        for _ in 0..rounds {
            for stream in 0..streams {
                world.append(&format!("s{stream}"), &["n"]);
                while world.answer_next() || world.commit_next() {
                    feeds += 1;
                }
            }
        }
        let each = began.elapsed() / (rounds * streams) as u32;
        eprintln!(
            "{streams} streams: settled in {first:?}; {each:?} for an event's signal, page and commit ({feeds} answers)"
        );
    }
}
