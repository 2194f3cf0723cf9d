//! Patterns, refusals, connections.

use muster_contract::Code;
use muster_contract::refusal::Refusal;
use muster_contract::state::{ConnectionState, LeaveReason};

use super::world::*;
use crate::engine::*;

fn refuse_follow(world: &mut World, code: Code) {
    let at = world.asked.iter().position(|(_, _, what)| matches!(what, Request::Follow { .. })).expect("a follow");
    let (_, request, _) = world.asked.remove(at).expect("it is there");
    let reply = Reply::Refused(Refusal::new(code, "no").to_wire());
    world.feed(Event::Answered { request, reply });
}

#[test]
fn new_streams_come_by_their_signal() {
    let mut world = applied(1);
    world.append("b.c", &["1", "2"]);
    world.settle();
    assert_eq!(world.kept("b.c").payloads.len(), 2);
}

#[test]
fn a_pattern_is_followed_before_it_is_listed() {
    let mut world = World::new();
    world.connect();
    assert!(matches!(world.asked[0].2, Request::Follow { .. }));
    assert_eq!(world.asked.len(), 1, "listing waits for the acknowledgement");
}

#[test]
fn streams_beyond_one_answer_are_listed_to_the_end() {
    let mut world = World::new();
    world.list_max = 3;
    for stream in 0..10 {
        world.append_in_silence(&format!("s{stream}"), &["1"]);
    }
    world.settle();
    assert_eq!(world.overall().streams.of(ConnectionState::Live), 10);
}

#[test]
fn a_lost_signal_costs_a_poll() {
    let mut world = applied(1);
    world.append_in_silence("a", &["2"]);
    world.append_in_silence("b", &["1"]);
    world.pass(limits::ms(limits::POLL_MS));
    world.settle();
    assert_eq!((world.kept("a").payloads.len(), world.kept("b").payloads.len()), (2, 1));
}

#[test]
fn polls_of_many_streams_take_turns_and_notice_what_is_gone() {
    let mut world = World::new();
    world.list_max = 2;
    for stream in 0..5 {
        world.append_in_silence(&format!("s{stream}"), &["1"]);
    }
    world.settle();
    world.host.remove(&id("s3"));
    world.append_in_silence("s4", &["2"]);
    for _ in 0..3 {
        world.pass(limits::ms(limits::POLL_MS));
        world.settle();
    }
    assert_eq!(world.state("s3"), ConnectionState::Idle);
    assert_eq!(world.kept("s4").payloads.len(), 2);
    assert_eq!(world.overall().streams.of(ConnectionState::Live), 4);
}

#[test]
fn a_forbidden_pattern_is_blocked_without_hammering_and_the_others_go_on() {
    let mut world = World::with(options(&[("a.*", StartAt::Start), ("b.*", StartAt::Start)]));
    world.append_in_silence("a.x", &["1"]);
    world.append_in_silence("b.x", &["1"]);
    world.connect();
    refuse_follow(&mut world, Code::ForbiddenStream);
    world.settle();
    assert_eq!(world.kept("b.x").payloads.len(), 1);
    assert!(!world.store.contains_key(&id("a.x")));
    for _ in 0..20 {
        world.pass(limits::ms(5_000));
        assert_eq!(world.waiting(|what| matches!(what, Request::Follow { .. })), 0);
        world.settle();
    }
    world.feed(Event::Unblock);
    world.settle();
    assert_eq!(world.kept("a.x").payloads.len(), 1);
}

#[test]
fn what_is_refused_is_blocked_for_its_own_reason_however_long_nothing_is_asked() {
    let mut world = World::with(options(&[("a.*", StartAt::Start), ("b", StartAt::Start)]));
    world.connect();
    refuse_follow(&mut world, Code::ForbiddenStream);
    refuse_follow(&mut world, Code::ForbiddenStream);
    for _ in 0..10 {
        let status = world.overall();
        assert_eq!((status.state, status.reason), (ConnectionState::Blocked, Some(LeaveReason::Forbidden)));
        assert!(status.last_error.as_ref().is_some_and(|said| said.contains("forbidden_stream")), "{status:?}");
        assert!(status.is_stuck() && status.refused.len() == 2);
        assert!(world.asked.is_empty());
        world.pass(limits::ms(limits::LIVENESS_MS_MAX));
    }
    // Of one that waits for its stream, and one that is refused, the first may still come to something.
    let mut world = World::with(options(&[("a", StartAt::Start), ("b", StartAt::Start)]));
    world.connect();
    refuse_follow(&mut world, Code::ForbiddenStream);
    world.settle();
    let status = world.overall();
    assert_eq!((status.state, status.is_stuck(), status.refused.len()), (ConnectionState::Blocked, false, 1));
}

#[test]
fn a_host_that_ends_what_it_has_just_acknowledged_is_asked_more_and_more_slowly() {
    let mut world = applied(1);
    let mut ended = 0;
    let end = world.now + limits::ms(120_000);
    while world.now < end {
        let link = world.open.expect("open");
        if world.state("a") == ConnectionState::Live {
            ended += 1;
            world.feed(Event::Signal { link, slot: 0, stream: 0, what: Signal::FollowEnded, page: None });
        }
        world.pass(limits::ms(100));
        world.settle();
    }
    assert!((10..=60).contains(&ended), "{ended} times in two minutes");
}

#[test]
fn a_forbidden_page_blocks_its_stream_alone() {
    let mut world = applied(1);
    world.append("b", &["1"]);
    world.answer_next();
    let (request, _) = world.page_request();
    let reply = Reply::Refused(Refusal::new(Code::ForbiddenStream, "no").to_wire());
    world.feed(Event::Answered { request, reply });
    world.settle();
    assert_eq!(world.streams[&id("b")].state, ConnectionState::Blocked);
    assert_eq!(world.streams[&id("b")].reason, Some(LeaveReason::Forbidden));
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn a_rate_limited_page_is_asked_for_again_after_a_wait() {
    let mut world = applied(1);
    world.append("a", &["2"]);
    let (request, _) = world.page_request();
    let reply = Reply::Refused(Refusal::new(Code::RateLimited, "slowly").to_wire());
    world.feed(Event::Answered { request, reply });
    assert_eq!(world.state("a"), ConnectionState::Backoff);
    assert!(world.streams[&id("a")].next_retry.is_some());
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!(world.kept("a").payloads.len(), 2);
}

#[test]
fn an_ended_follow_is_asked_for_again() {
    let mut world = applied(1);
    let link = world.open.expect("open");
    world.feed(Event::Signal { link, slot: 0, stream: 0, what: Signal::FollowEnded, page: None });
    let status = &world.streams[&id("a")];
    assert_eq!((status.state, status.reason), (ConnectionState::Connecting, Some(LeaveReason::StreamClosed)));
    // Nothing has failed, and nobody says so before the host has said why.
    let status = world.overall();
    assert_eq!((status.state, status.reason), (ConnectionState::Connecting, Some(LeaveReason::StreamClosed)));
    assert!(status.next_retry.is_some());
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn a_handshake_error_blocks_and_nothing_is_tried_until_somebody_changed_something() {
    let mut world = World::new();
    let link = world.opening.take().expect("opening");
    let why = Trouble { is_retryable: false, code: Some(Code::SchemaMismatch), message: "other shape".into() };
    world.feed(Event::Disconnected { link, why });
    world.pass(limits::ms(600_000));
    assert_eq!(world.opening, None);
    assert_eq!(world.overall().state, ConnectionState::Blocked);
    world.feed(Event::Unblock);
    assert!(world.opening.is_some());
}

#[test]
fn attempts_back_off_until_the_host_answers_and_not_already_when_it_accepts() {
    let mut world = World::new();
    for attempt in 1..=10 {
        world.connect();
        world.disconnect();
        assert_eq!(world.overall().attempts, attempt);
        assert_eq!(world.overall().state, ConnectionState::Backoff);
        assert!(world.overall().next_retry.expect("a time") <= world.now + limits::ms(8_000));
        world.pass(limits::ms(8_000));
    }
    world.settle();
    assert_eq!(world.overall().attempts, 0);
}

#[test]
fn a_signal_for_another_connection_changes_nothing() {
    let mut world = applied(1);
    world.feed(Event::Signal { link: LinkNo(99), slot: 0, stream: 1, what: Signal::Gone, page: None });
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn cursors_are_acknowledged_once_a_second_at_most_and_also_when_nothing_follows() {
    let mut options = options(&[("*", StartAt::Start)]);
    options.client = Some("desk".into());
    let mut world = World::with(options);
    world.append_in_silence("a", &["1"]);
    world.settle();
    for _ in 0..8 {
        world.append("a", &["n"]);
        world.settle();
        world.pass(limits::ms(250));
        world.settle();
    }
    assert!((1..=3).contains(&world.checkpoints.len()), "{:?}", world.checkpoints);
    world.pass(limits::ms(2_000));
    world.settle();
    assert_eq!(world.checkpoints.last(), Some(&(id("a"), 9)));
    let count = world.checkpoints.len();
    world.pass(limits::ms(20_000));
    world.settle();
    assert_eq!(world.checkpoints.len(), count, "nothing new, nothing said");
}

#[test]
fn a_listing_of_a_follow_that_has_ended_says_nothing_of_the_next() {
    let mut world = World::new();
    world.list_max = 1;
    world.append_in_silence("a", &["1"]);
    world.append_in_silence("b", &["1"]);
    world.connect();
    world.answer_next();
    world.answer_next();
    // The second part of the first pass is under way when the follow ends and begins again.
    let at = world.asked.iter().position(|(_, _, what)| matches!(what, Request::List { .. })).expect("a listing");
    let (_, request, what) = world.asked.remove(at).expect("it is there");
    let late = world.answer(&what);
    let link = world.open.expect("open");
    world.feed(Event::Signal { link, slot: 0, stream: 0, what: Signal::FollowEnded, page: None });
    world.pass(limits::ms(250));
    while !matches!(world.asked.back(), Some((_, _, Request::List { after_no: 0, .. }))) {
        assert!(world.answer_next());
    }
    world.feed(Event::Answered { request, reply: late });
    assert!(world.established.is_empty(), "the new pass has not come to its end");
    world.settle();
    assert_eq!(world.overall().streams.of(ConnectionState::Live), 2);
}

#[test]
fn a_stream_that_is_gone_is_said_to_be_closed_and_then_let_go_of_but_for_its_place() {
    let mut world = applied(2);
    world.append("b", &["1"]);
    world.settle();
    let log = world.host.remove(&id("a")).expect("a stream");
    let pass = |world: &mut World| {
        world.pass(limits::ms(limits::POLL_MS));
        world.settle();
    };
    pass(&mut world);
    assert_eq!(world.streams[&id("a")].reason, Some(LeaveReason::StreamClosed));
    assert_eq!(world.overall().streams.total(), 2);
    pass(&mut world);
    assert_eq!((world.overall().streams.total(), world.streams.contains_key(&id("a"))), (1, false));
    assert_eq!(world.overall().state, ConnectionState::Live);
    assert_eq!(world.engine.counters().let_go, 1);
    // Others take its place in the engine's list, and not its cursor.
    world.append("c", &["1", "2"]);
    world.settle();
    assert_eq!(world.kept("c").payloads, ["1", "2"]);
    // Granted again, it goes on where the store has it.
    world.host.insert(id("a"), log);
    world.append("a", &["3"]);
    pass(&mut world);
    assert_eq!((world.kept("a").payloads.len(), world.kept("a").resets), (3, vec![]));
    assert_eq!(world.state("a"), ConnectionState::Live);
    // Made anew, the application is told before its first event, as if it had never been let go of.
    world.host.remove(&id("a"));
    (0..3).for_each(|_| pass(&mut world));
    assert!(!world.streams.contains_key(&id("a")));
    world.append("a", &["new"]);
    world.settle();
    assert_eq!((world.kept("a").payloads, world.kept("a").resets.len()), (vec!["new".to_owned()], 1));
}

#[test]
fn streams_that_come_and_go_leave_nothing_behind_but_their_places() {
    let mut world = World::new();
    for round in 0..40 {
        for stream in 0..5 {
            world.append(&format!("s{round}.{stream}"), &["1"]);
        }
        world.settle();
        world.host.clear();
        (0..3).for_each(|_| {
            world.pass(limits::ms(limits::POLL_MS));
            world.settle();
        });
    }
    assert_eq!((world.overall().streams.total(), world.streams.len()), (0, 0));
    assert_eq!(world.engine.counters().let_go, 200);
    assert_eq!(world.engine.places_of_streams(), 5, "each round takes the places of the one before");
}

#[test]
fn a_stream_of_the_store_that_the_host_never_shows_is_let_go_of_as_well() {
    let mut world = applied(1);
    world.restart();
    world.host.clear();
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Idle);
    assert_eq!(world.overall().streams.total(), 1);
    world.pass(limits::ms(limits::POLL_MS));
    world.settle();
    assert_eq!(world.overall().streams.total(), 0);
}

#[test]
fn ten_thousand_streams_over_all_slots_become_live_and_each_event_asks_once() {
    let follows: Vec<String> = (0..limits::FOLLOWS_MAX).map(|slot| format!("p{slot}.*")).collect();
    let follows: Vec<_> = follows.iter().map(|pattern| (pattern.as_str(), StartAt::Start)).collect();
    let mut world = World::with(options(&follows));
    for stream in 0..10_000 {
        world.append_in_silence(&format!("p{}.s{stream}", stream % limits::FOLLOWS_MAX), &["1"]);
    }
    world.settle();
    assert_eq!(world.overall().streams.of(ConnectionState::Live), 10_000);
    assert_eq!(world.overall().state, ConnectionState::Live);
    // What one event costs does not depend on how many others there are.
    world.append("p7.s7", &["2"]);
    assert_eq!(world.asked.len(), 1, "{:?}", world.asked);
    world.settle();
    assert_eq!(world.kept("p7.s7").payloads.len(), 2);
}
