//! What went wrong once: labels that said too much, numbers that overflowed, things that were forgotten.

use muster_contract::Code;
use muster_contract::page::{Answer, StreamInfo, StreamList};
use muster_contract::state::ConnectionState;

use super::world::*;
use crate::engine::*;
use crate::limits::ms;

#[test]
fn a_beginning_counts_for_the_follow_that_made_it_although_another_has_the_stream_now() {
    let mut world = World::with(options(&[("a", StartAt::Now), ("*", StartAt::Now)]));
    world.append_in_silence("a", &["1"]);
    world.connect();
    while world.answer_next() {}
    assert_eq!(world.to_apply.len(), 1, "the beginning of `a` is with the store");
    let link = world.open.expect("open");
    world.feed(Event::Signal { link, slot: 0, stream: 0, what: Signal::FollowEnded, page: None });
    for _ in 0..3 {
        world.pass(ms(5_000));
        let is_second = |what: &Request| matches!(what, Request::List { pattern, .. } if pattern.to_string() == "*");
        if let Some(at) = world.asked.iter().position(|(_, _, what)| is_second(what)) {
            let (_, request, what) = world.asked.remove(at).expect("it is there");
            let reply = world.answer(&what);
            world.feed(Event::Answered { request, reply });
        }
    }
    world.commit_next();
    world.pass(ms(8_000));
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn numbers_that_no_store_can_hold_are_refused() {
    let mut world = World::new();
    world.connect();
    world.answer_next();
    let (_, request, _) = world.asked.pop_front().expect("a listing");
    let info = |no, id: &str| StreamInfo { no, id: id.into(), epoch: 7, floor: 1, head: u64::MAX, snapshot_seq: 0 };
    let streams = vec![info(1, "a"), info(2, "b")];
    let list = StreamList { streams, more: false, resume_after: 2 };
    world.feed(Event::Answered { request, reply: Reply::Listed(Answer::Ok(list)) });
    assert_eq!(world.state("a"), ConnectionState::Backoff);
    assert_eq!(world.overall().lag, 0);
}

#[test]
fn the_whole_is_not_live_while_a_stream_fails() {
    let mut world = World::new();
    world.append("a", &["1"]);
    world.append("b", &["1"]);
    world.settle();
    world.append("b", &["2"]);
    while world.answer_next() {}
    let (batch, _) = world.to_apply.pop_front().expect("a batch");
    let failure = ApplyFailure { scope: Scope::Stream, is_retryable: true, message: "no".into() };
    world.feed(Event::ApplyFailed { batch, failure });
    assert_eq!(world.overall().state, ConnectionState::Backoff);
    world.pass(ms(8_000));
    world.settle();
    assert_eq!(world.overall().state, ConnectionState::Live);
}

#[test]
fn the_whole_is_blocked_while_a_stream_is() {
    let mut world = applied(1);
    world.append("b", &["1"]);
    world.answer_next();
    let (request, _) = world.page_request();
    let refusal = muster_contract::refusal::Refusal::new(Code::ForbiddenStream, "no");
    world.feed(Event::Answered { request, reply: Reply::Refused(refusal.to_wire()) });
    world.settle();
    assert_eq!((world.state("a"), world.overall().state), (ConnectionState::Live, ConnectionState::Blocked));
    assert!(!world.overall().is_stuck(), "the other goes on");
}

#[test]
fn a_new_token_mends_a_blocked_connection_at_once() {
    let mut world = applied(1);
    let link = world.open.take().expect("open");
    let why = Trouble { is_retryable: false, code: Some(Code::Unauthorized), message: "expired".into() };
    world.feed(Event::Disconnected { link, why });
    assert_eq!(world.overall().state, ConnectionState::Blocked);
    assert!(world.overall().is_stuck());
    world.feed(Event::TokenRefreshDue);
    assert!(world.opening.is_some());
    world.asked.clear();
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Live);
}

fn with_a_client() -> World {
    let mut options = options(&[("*", StartAt::Start)]);
    options.client = Some("desk".into());
    let mut world = World::with(options);
    world.append("a", &["1"]);
    world.settle();
    world
}

#[test]
fn an_acknowledgement_that_was_lost_with_its_connection_is_sent_again() {
    let mut world = with_a_client();
    world.pass(ms(1_000));
    assert_eq!(world.waiting(|what| matches!(what, Request::Checkpoint { .. })), 1);
    world.disconnect();
    world.asked.clear();
    for _ in 0..20 {
        world.pass(ms(1_000));
        world.settle();
    }
    assert_eq!(world.checkpoints.len(), 1);
}

#[test]
fn a_cursor_is_acknowledged_after_a_restart() {
    let mut world = with_a_client();
    world.restart();
    for _ in 0..20 {
        world.pass(ms(1_000));
        world.settle();
    }
    assert_eq!(world.checkpoints.len(), 1);
}

#[test]
fn a_tail_that_is_always_one_page_behind_is_live() {
    let mut world = applied(2);
    // Fetching is a little faster than the store: a page always waits behind the one being applied.
    world.append("a", &["n"]);
    world.answer_next();
    for round in 0..100 {
        world.append("a", &["n"]);
        while world.answer_next() {}
        world.pass(ms(50));
        world.commit_next();
        assert!(world.streams[&id("a")].lag <= 3);
        assert_eq!(world.state("a"), ConnectionState::Live, "round {round}");
    }
    // And one that falls behind further than that is not.
    world.append("a", &["n"]);
    while world.answer_next() {}
    world.pass(ms(limits::BEHIND_MS_MAX));
    assert_eq!(world.state("a"), ConnectionState::Replaying);
    // Until it is one page behind again.
    for _ in 0..5 {
        world.append("a", &["n"]);
        while world.answer_next() {}
        world.pass(ms(50));
        world.commit_next();
        assert!(!world.to_apply.is_empty(), "one page behind");
    }
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn what_the_host_may_mend_is_tried_again_slowly_and_stays_blocked_until_it_is() {
    let mut world = applied(1);
    let refuse = |code| Trouble { is_retryable: false, code, message: "not you".into() };
    let link = world.open.take().expect("open");
    world.feed(Event::Disconnected { link, why: refuse(Some(Code::Unauthorized)) });
    for code in [None, Some(Code::ForbiddenStream)] {
        let next = world.overall().next_retry.expect("a time");
        assert!(next >= world.now + ms(limits::BLOCKED_RETRY_MS));
        world.pass(ms(limits::BLOCKED_RETRY_MS - 1));
        assert_eq!(world.opening, None);
        world.pass(ms(limits::BLOCKED_SPREAD_MS + 1));
        let link = world.opening.take().expect("tried again");
        assert_eq!(world.overall().state, ConnectionState::Blocked);
        world.feed(Event::Disconnected { link, why: refuse(code) });
    }
    world.asked.clear();
    world.pass(ms(limits::BLOCKED_RETRY_MS + limits::BLOCKED_SPREAD_MS));
    world.settle();
    assert_eq!((world.state("a"), world.overall().state), (ConnectionState::Live, ConnectionState::Live));
}
