//! Another token: the next session takes over from the one before, and nobody sees a gap.

use muster_contract::Code;
use muster_contract::refusal::Refusal;
use muster_contract::state::{ConnectionState, LeaveReason};

use super::world::*;
use crate::engine::*;

fn is_follow(what: &Request) -> bool {
    matches!(what, Request::Follow { .. })
}

/// A world with one event applied, whose successor is open and has asked to follow.
fn succeeding() -> World {
    let mut world = applied(1);
    world.feed(Event::TokenRefreshDue);
    world.connect();
    assert_eq!((world.waiting(is_follow), world.state("a")), (1, ConnectionState::Live));
    world
}

/// The answer to the successor's follow.
fn answer_follow(world: &mut World, reply: Reply) {
    let at = world.asked.iter().position(|(_, _, what)| is_follow(what)).expect("a follow");
    let (_, request, _) = world.asked.remove(at).expect("it is there");
    world.feed(Event::Answered { request, reply });
}

fn refused(code: Code) -> Reply {
    Reply::Refused(Refusal::new(code, "no").to_wire())
}

#[test]
fn the_next_session_follows_before_the_one_before_is_let_go_and_live_is_never_left() {
    let mut world = succeeding();
    let (old, new) = (world.older.expect("two"), world.open.expect("two"));
    answer_follow(&mut world, Reply::Done);
    assert_eq!((world.older, world.open), (None, Some(new)), "{old:?} is let go");
    assert_eq!((world.state("a"), world.overall().state), (ConnectionState::Live, ConnectionState::Live));
    assert_eq!(world.taken.last(), Some(&new));
    world.settle();
    world.append("a", &["2"]);
    world.settle();
    assert_eq!(world.kept("a").payloads.len(), 2);
    assert_eq!((world.engine.counters().hand_overs, world.engine.counters().duplicates), (1, 0));
}

#[test]
fn a_stream_that_the_new_connection_does_not_answer_for_is_not_live_for_long() {
    let mut world = succeeding();
    answer_follow(&mut world, Reply::Done);
    world.pass(limits::ms(limits::BEHIND_MS_MAX));
    assert_ne!(world.state("a"), ConnectionState::Live);
}

#[test]
fn what_comes_while_two_are_open_is_not_lost_whoever_heard_of_it() {
    let mut world = succeeding();
    // Neither hears of these.
    world.append_in_silence("a", &["2"]);
    world.append_in_silence("b", &["1"]);
    answer_follow(&mut world, Reply::Done);
    world.settle();
    assert_eq!((world.kept("a").payloads.len(), world.kept("b").payloads.len()), (2, 1));
}

#[test]
fn an_answer_to_the_connection_before_changes_nothing_after_it_was_let_go() {
    let mut world = applied(1);
    world.append("a", &["2"]);
    let (late, what) = world.page_request();
    world.feed(Event::TokenRefreshDue);
    world.connect();
    answer_follow(&mut world, Reply::Done);
    let reply = world.answer(&what);
    world.feed(Event::Answered { request: late, reply });
    assert_eq!(world.engine.counters().late_answers, 1);
    world.settle();
    assert_eq!(world.kept("a").payloads.len(), 2);
}

#[test]
fn a_successor_that_cannot_be_had_harms_nobody_and_is_tried_again() {
    let mut world = applied(1);
    world.feed(Event::TokenRefreshDue);
    let link = world.opening.take().expect("opening");
    let why = Trouble { is_retryable: true, code: None, message: "away".into() };
    world.feed(Event::Disconnected { link, why });
    assert_eq!((world.state("a"), world.opening, &world.renewals[..]), (ConnectionState::Live, None, &[][..]));
    for _ in 0..2 {
        world.pass(limits::ms(250));
        while world.answer_next() {}
    }
    assert!(world.opening.is_some(), "tried again");
    world.settle();
    assert_eq!((world.engine.counters().hand_overs, world.state("a")), (1, ConnectionState::Live));
}

#[test]
fn a_token_that_the_host_does_not_take_is_said_once_and_not_tried_again_soon() {
    let mut world = succeeding();
    let new = world.open.expect("two");
    answer_follow(&mut world, refused(Code::Unauthorized));
    assert_eq!((&world.renewals[..], world.state("a")), (&[new][..], ConnectionState::Live));
    for _ in 0..50 {
        world.pass(limits::ms(1_000));
        while world.answer_next() {}
    }
    assert_eq!((world.opening, world.renewals.len(), world.state("a")), (None, 1, ConnectionState::Live));
    // The next token is tried at once.
    world.feed(Event::TokenRefreshDue);
    assert!(world.opening.is_some());
}

#[test]
fn what_the_next_token_does_not_grant_is_blocked_and_the_rest_goes_on() {
    let mut world = World::with(options(&[("a", StartAt::Start), ("b", StartAt::Start)]));
    world.append("a", &["1"]);
    world.append("b", &["1"]);
    world.settle();
    world.feed(Event::TokenRefreshDue);
    world.connect();
    answer_follow(&mut world, Reply::Done);
    answer_follow(&mut world, refused(Code::ForbiddenStream));
    world.settle();
    assert_eq!((world.state("a"), world.state("b")), (ConnectionState::Live, ConnectionState::Blocked));
    assert_eq!(world.overall().reason, Some(LeaveReason::Forbidden));
    // And one that does mends it.
    world.feed(Event::TokenRefreshDue);
    world.settle();
    assert_eq!((world.state("a"), world.state("b")), (ConnectionState::Live, ConnectionState::Live));
}

#[test]
fn if_the_connection_before_breaks_first_the_next_is_the_connection() {
    let mut world = succeeding();
    let link = world.older.take().expect("two");
    let why = Trouble { is_retryable: true, code: None, message: "cut".into() };
    world.feed(Event::Disconnected { link, why });
    assert_eq!((world.overall().attempts, world.opening), (0, None), "nothing is tried a second time");
    world.settle();
    assert_eq!((world.state("a"), world.engine.counters().connections), (ConnectionState::Live, 2));
    // The same while it is still opening.
    world.feed(Event::TokenRefreshDue);
    world.disconnect();
    assert_eq!(world.overall().state, ConnectionState::Connecting);
    world.settle();
    assert_eq!((world.state("a"), world.engine.counters().connections), (ConnectionState::Live, 3));
}

#[test]
fn a_grant_that_ended_asks_for_a_token_once_and_the_token_brings_everything_back() {
    let mut world = applied(1);
    let link = world.open.expect("open");
    world.feed(Event::Signal { link, slot: 0, stream: 0, what: Signal::FollowEnded, page: None });
    assert_eq!(world.renewals, [link]);
    world.pass(limits::ms(250));
    answer_follow(&mut world, refused(Code::Unauthorized));
    assert_eq!((world.renewals.len(), world.overall().state), (1, ConnectionState::Blocked));
    assert_eq!(world.overall().reason, Some(LeaveReason::Unauthorized));
    world.append_in_silence("a", &["2"]);
    world.feed(Event::TokenRefreshDue);
    world.asked.clear();
    world.connect();
    answer_follow(&mut world, Reply::Done);
    world.settle();
    assert_eq!((world.state("a"), world.kept("a").payloads.len()), (ConnectionState::Live, 2));
}

#[test]
fn polls_do_not_multiply_with_connections() {
    let mut world = applied(1);
    for _ in 0..20 {
        world.feed(Event::TokenRefreshDue);
        world.settle();
        world.pass(limits::ms(100));
    }
    let mut lists = 0;
    for _ in 0..100 {
        world.pass(limits::ms(100));
        lists += world.waiting(|what| matches!(what, Request::List { .. }));
        world.settle();
    }
    assert!((1..=3).contains(&lists), "{lists} listings in 10 s");
}

/// A world whose grant has ended, and whose follow was refused since.
fn refused_world() -> World {
    let mut world = applied(1);
    let link = world.open.expect("open");
    world.feed(Event::Signal { link, slot: 0, stream: 0, what: Signal::FollowEnded, page: None });
    world.pass(limits::ms(250));
    answer_follow(&mut world, refused(Code::Unauthorized));
    assert_eq!(world.overall().state, ConnectionState::Blocked);
    world.asked.clear();
    world
}

#[test]
fn the_next_connection_follows_what_the_last_one_was_refused_though_nobody_told_of_its_token() {
    // While there was no token, the connection waited for one: nobody has to be told of that one.
    let mut world = refused_world();
    world.append_in_silence("a", &["2"]);
    world.disconnect();
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!((world.state("a"), world.kept("a").payloads.len()), (ConnectionState::Live, 2));
    assert_eq!(world.overall().refused, []);
}

#[test]
fn a_host_that_refuses_every_follow_and_drops_is_asked_more_and_more_slowly() {
    let mut world = World::new();
    let mut asked = 0;
    let end = limits::ms(120_000);
    while world.now < end {
        world.connect();
        if world.waiting(is_follow) > 0 {
            asked += 1;
            answer_follow(&mut world, refused(Code::Unauthorized));
            world.disconnect();
        }
        world.pass(limits::ms(100));
    }
    assert!((10..=60).contains(&asked), "{asked} times in two minutes");
}

#[test]
fn a_page_that_was_refused_is_asked_for_again_by_the_session_that_steps_in() {
    for is_open in [true, false] {
        let mut world = applied(1);
        world.append("a", &["2"]);
        let (request, _) = world.page_request();
        world.feed(Event::Answered { request, reply: refused(Code::Unauthorized) });
        assert_eq!(world.state("a"), ConnectionState::Blocked);
        world.feed(Event::TokenRefreshDue);
        if is_open {
            world.connect();
        }
        let link = world.older.take().or_else(|| world.open.take()).expect("the first one");
        world.asked.retain(|(over, ..)| *over != link);
        let why = Trouble { is_retryable: true, code: None, message: "cut".into() };
        world.feed(Event::Disconnected { link, why });
        world.settle();
        let kept = world.kept("a").payloads.len();
        assert_eq!((world.state("a"), kept, world.engine.counters().connections), (ConnectionState::Live, 2, 2));
    }
}
