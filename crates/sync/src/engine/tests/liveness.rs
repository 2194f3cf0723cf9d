//! A label says `live` only when it is.

use muster_contract::state::{ConnectionState, LeaveReason};

use super::world::*;
use crate::engine::*;

#[test]
fn a_host_that_goes_silent_ends_live_within_the_bound() {
    let mut world = applied(2);
    // Polls go out and are never answered; the connection seems open.
    world.pass(limits::ms(limits::LIVENESS_MS_MAX));
    assert_eq!(world.state("a"), ConnectionState::Connecting);
    assert_eq!(world.streams[&id("a")].reason, Some(LeaveReason::Network));
    assert_ne!(world.overall().state, ConnectionState::Live);
    // The answer to what was asked long ago proves nothing of now.
    world.now += limits::ms(limits::LIVENESS_MS_MAX);
    assert!(world.answer_next());
    assert_eq!(world.state("a"), ConnectionState::Connecting);
}

#[test]
fn a_shorter_bound_is_kept_as_strictly() {
    let mut quick = options(&[("*", StartAt::Start)]);
    (quick.tuning.poll, quick.tuning.liveness) = (limits::ms(500), limits::ms(1_900));
    let mut world = World::with(quick);
    world.append("a", &["1"]);
    world.settle();
    for _ in 0..10 {
        world.pass(limits::ms(500));
        world.settle();
        assert_eq!(world.state("a"), ConnectionState::Live);
        assert!(world.engine.proof().is_some_and(|proof| world.now - proof <= limits::ms(500)));
    }
    world.pass(limits::ms(1_900));
    assert_eq!((world.state("a"), world.engine.proof()), (ConnectionState::Connecting, None));
}

#[test]
fn a_quiet_host_that_answers_polls_stays_live() {
    let mut world = applied(2);
    for _ in 0..100 {
        world.pass(limits::ms(1_000));
        world.settle();
        assert_eq!(world.state("a"), ConnectionState::Live);
    }
}

#[test]
fn a_cut_ends_live_at_once() {
    let mut world = applied(2);
    world.disconnect();
    let status = &world.streams[&id("a")];
    assert_eq!((status.state, status.reason), (ConnectionState::Backoff, Some(LeaveReason::Network)));
}

#[test]
fn nothing_is_live_before_its_first_page_on_this_connection() {
    let mut world = applied(2);
    world.disconnect();
    world.pass(limits::ms(8_000));
    world.connect();
    while !matches!(world.asked.front(), Some((_, _, Request::Page { .. }))) {
        assert_ne!(world.state("a"), ConnectionState::Live);
        assert!(world.answer_next());
    }
    assert_ne!(world.state("a"), ConnectionState::Live, "listed at its head, but not looked at");
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn nothing_is_live_before_it_is_committed() {
    let mut world = World::new();
    world.append("a", &["1"]);
    world.connect();
    while world.answer_next() {}
    assert_eq!(world.state("a"), ConnectionState::Replaying);
    world.commit_next();
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn nothing_is_live_while_its_last_page_waits_for_the_store() {
    let mut world = World::new();
    world.append("a", &["1", "2", "3", "4", "5", "6"]);
    world.connect();
    while world.answer_next() {}
    world.commit_next();
    assert_eq!(world.state("a"), ConnectionState::Replaying);
    world.commit_next();
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn a_tail_that_keeps_up_stays_live() {
    let mut world = applied(2);
    for _ in 0..50 {
        world.append("a", &["n"]);
        assert_eq!(world.state("a"), ConnectionState::Live);
        world.pass(limits::ms(100));
        world.settle();
        assert_eq!(world.state("a"), ConnectionState::Live);
    }
}

#[test]
fn a_tail_that_does_not_get_on_is_not_live() {
    let mut world = applied(2);
    world.append("a", &["n"]);
    world.answer_next();
    // The page is with the store, which does not come to an end.
    world.pass(limits::ms(limits::BEHIND_MS_MAX));
    assert_eq!(world.state("a"), ConnectionState::Replaying);
    assert_eq!(world.streams[&id("a")].lag, 1);
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn a_process_that_was_stopped_for_long_wakes_up_not_live() {
    let mut world = applied(2);
    world.now += limits::ms(60_000);
    world.feed(Event::Tick);
    assert_ne!(world.state("a"), ConnectionState::Live);
}

#[test]
fn after_a_pause_each_stream_is_asked_anew_before_it_is_live() {
    let mut world = applied(2);
    world.append_in_silence("a", &["n"]);
    world.pass(limits::ms(20_000));
    // The newest poll is answered, and a page that was asked for long ago.
    while world.waiting(|what| matches!(what, Request::List { .. })) > 0 {
        world.answer_next();
        assert_ne!(world.state("a"), ConnectionState::Live);
    }
    world.settle();
    assert_eq!((world.state("a"), world.kept("a").payloads.len()), (ConnectionState::Live, 3));
}

#[test]
fn a_page_that_was_long_under_way_says_nothing_of_now() {
    let mut world = applied(2);
    world.append("a", &["n"]);
    let (request, what) = world.page_request();
    let reply = world.answer(&what);
    world.append_in_silence("a", &["m"]);
    for _ in 0..3 {
        world.pass(limits::ms(limits::POLL_MS));
        world.answer_next();
    }
    world.feed(Event::Answered { request, reply });
    while world.commit_next() {}
    assert_ne!(world.state("a"), ConnectionState::Live);
    world.settle();
    assert_eq!((world.state("a"), world.kept("a").payloads.len()), (ConnectionState::Live, 4));
}

#[test]
fn an_unanswered_request_ends_the_connection() {
    let mut world = applied(2);
    world.append("a", &["n"]);
    world.pass(limits::ms(limits::REQUEST_MS_MAX));
    assert_eq!(world.open, None);
    world.asked.clear();
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!(world.kept("a").payloads.len(), 3);
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn a_stopped_engine_says_nothing_more() {
    let mut world = applied(2);
    world.feed(Event::Stop);
    assert_eq!(world.state("a"), ConnectionState::Idle);
    assert_eq!(world.open, None);
    assert!(world.engine.on(world.now, 1, Event::Tick).is_empty());
}
