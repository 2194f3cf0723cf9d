//! Cursors that do not hold, snapshots, and where a new reader begins.

use muster_contract::state::{ConnectionState, LeaveReason};

use super::world::*;
use crate::engine::*;

fn again(world: &mut World) {
    world.disconnect();
    world.pass(limits::ms(8_000));
    world.settle();
}

#[test]
fn a_reader_that_retention_has_passed_by_is_told_and_starts_from_the_snapshot() {
    let mut world = applied(3);
    world.disconnect();
    world.append_in_silence("a", &["4", "5", "6", "7"]);
    world.prune("a", 6, 6);
    world.pass(limits::ms(8_000));
    world.settle();
    let kept = world.kept("a");
    assert_eq!(kept.resets, [Some("retention_floor_breach".to_owned())]);
    assert_eq!(kept.snapshot.as_deref(), Some("{\"upto\":6}"));
    assert_eq!((kept.base, kept.payloads), (6, vec!["7".to_owned()]));
    assert_eq!(world.state("a"), ConnectionState::Live);
}

#[test]
fn retention_that_passes_by_a_connected_reader_is_noticed_at_its_next_page() {
    let mut world = applied(3);
    world.append_in_silence("a", &["4", "5", "6"]);
    world.prune("a", 5, 6);
    world.signal("a", Signal::Ahead);
    world.settle();
    assert_eq!(world.kept("a").resets, [Some("retention_floor_breach".to_owned())]);
    assert_eq!((world.kept("a").base, world.kept("a").payloads), (5, vec!["6".to_owned()]));
}

#[test]
fn without_a_snapshot_it_starts_at_the_floor() {
    let mut world = applied(3);
    world.disconnect();
    world.append_in_silence("a", &["4", "5", "6", "7"]);
    world.log("a").floor = 6;
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!((world.kept("a").base, world.kept("a").payloads), (5, vec!["6".to_owned(), "7".to_owned()]));
    assert_eq!(world.kept("a").snapshot, None);
}

#[test]
fn another_epoch_starts_again_even_where_the_numbers_fit() {
    let mut world = applied(3);
    world.log("a").epoch += 1;
    again(&mut world);
    assert_eq!(world.kept("a").resets, [Some("epoch_changed".to_owned())]);
    assert_eq!(world.kept("a").payloads.len(), 3);
}

#[test]
fn a_head_below_the_cursor_is_never_clamped() {
    let mut world = applied(5);
    world.log("a").events.truncate(3);
    again(&mut world);
    assert_eq!(world.kept("a").resets, [Some("head_behind_cursor".to_owned())]);
    assert_eq!(world.kept("a").payloads.len(), 3);
}

#[test]
fn a_restored_host_with_another_history_of_the_same_length_is_noticed() {
    let mut world = applied(5);
    let log = world.log("a");
    log.events.truncate(3);
    log.events.extend([event("other"), event("another")]);
    again(&mut world);
    assert_eq!(world.kept("a").resets, [Some("history_diverged".to_owned())]);
    assert_eq!(world.kept("a").payloads[3], "other");
}

#[test]
fn a_new_beginning_goes_before_the_first_event_and_with_it_whatever_was_fetched_before() {
    let mut world = World::new();
    world.append("a", &many(12).iter().map(String::as_str).collect::<Vec<_>>());
    world.connect();
    while world.answer_next() {}
    // One page is with the store, one is ready behind it.
    world.log("a").epoch += 1;
    again(&mut world);
    assert_eq!(world.kept("a").resets, [Some("epoch_changed".to_owned())]);
    assert_eq!(world.kept("a").payloads, many(12));
}

#[test]
fn a_new_reader_of_a_stream_whose_beginning_is_gone_starts_from_the_snapshot_without_a_reason() {
    let mut world = World::new();
    world.append_in_silence("a", &["1", "2", "3"]);
    world.prune("a", 2, 3);
    world.settle();
    assert_eq!(world.kept("a").resets, [None]);
    assert_eq!((world.kept("a").base, world.kept("a").payloads), (2, vec!["3".to_owned()]));
}

#[test]
fn a_snapshot_that_is_not_what_its_hash_says_blocks_the_stream() {
    let mut world = World::new();
    world.append_in_silence("a", &["1", "2", "3"]);
    world.prune("a", 2, 3);
    world.log("a").snapshot.as_mut().expect("a snapshot").payload.push(' ');
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Blocked);
    assert_eq!(world.kept("a"), Kept::default());
}

#[test]
fn a_replay_beyond_the_budget_starts_from_the_snapshot() {
    let mut options = options(&[("*", StartAt::Start)]);
    options.replay_budget = Some(3);
    let mut world = World::with(options);
    world.append_in_silence("a", &["1", "2", "3", "4", "5", "6"]);
    world.prune("a", 5, 1);
    world.settle();
    assert_eq!((world.kept("a").base, world.kept("a").payloads), (5, vec!["6".to_owned()]));
}

#[test]
fn now_begins_at_the_head_and_streams_that_come_later_at_their_first_event() {
    let mut world = World::with(options(&[("*", StartAt::Now)]));
    world.append_in_silence("a", &["1", "2"]);
    world.settle();
    assert_eq!(world.established.len(), 1);
    world.append("a", &["3"]);
    world.append("b", &["1"]);
    world.settle();
    assert_eq!((world.kept("a").base, world.kept("a").payloads), (2, vec!["3".to_owned()]));
    assert_eq!((world.kept("b").base, world.kept("b").payloads), (0, vec!["1".to_owned()]));
    assert!(world.kept("a").resets.is_empty(), "nothing was lost");
    // What came while nobody was there comes too.
    world.append_in_silence("c", &["1"]);
    world.restart();
    world.settle();
    assert_eq!(world.kept("c").payloads.len(), 1);
}

#[test]
fn a_start_in_the_middle_begins_there_and_one_beyond_the_head_is_told() {
    let mut world = World::with(options(&[("*", StartAt::Seq(3))]));
    world.append_in_silence("a", &["1", "2", "3", "4"]);
    world.append_in_silence("b", &["1"]);
    world.settle();
    assert_eq!((world.kept("a").base, world.kept("a").payloads), (2, vec!["3".to_owned(), "4".to_owned()]));
    assert_eq!(world.kept("b").resets, [Some("head_behind_cursor".to_owned())]);
    assert_eq!(world.kept("b").payloads.len(), 1);
}

#[test]
fn a_deleted_stream_is_closed_keeps_its_rows_and_starts_again_when_it_is_made_anew() {
    let mut world = applied(3);
    world.signal("a", Signal::Gone);
    world.host.clear();
    world.settle();
    let status = &world.streams[&id("a")];
    assert_eq!((status.state, status.reason), (ConnectionState::Idle, Some(LeaveReason::StreamClosed)));
    assert_eq!(world.kept("a").payloads.len(), 3);
    world.append("a", &["new"]);
    world.settle();
    assert_eq!(world.kept("a").resets, [Some("epoch_changed".to_owned())]);
    assert_eq!(world.kept("a").payloads, ["new"]);
}

#[test]
fn a_host_that_calls_every_place_stale_is_not_asked_in_a_circle() {
    let mut world = applied(3);
    let mut resets = 0;
    for round in 0..50 {
        world.log("a").epoch += 1;
        world.signal("a", Signal::Ahead);
        while world.answer_next() {
            world.log("a").epoch += 1;
        }
        while world.commit_next() {}
        resets = world.kept("a").resets.len();
        if world.state("a") == ConnectionState::Backoff {
            assert!(round < 5);
            return;
        }
    }
    panic!("{resets} new beginnings and no wait");
}

#[test]
fn a_snapshot_of_another_life_is_never_applied() {
    let mut world = World::new();
    world.append_in_silence("a", &["1", "2", "3"]);
    world.prune("a", 2, 3);
    world.log("a").snapshot.as_mut().expect("a snapshot").epoch += 1;
    world.settle();
    assert_eq!(world.kept("a"), Kept::default());
    assert_eq!(world.state("a"), ConnectionState::Backoff);
}

#[test]
fn a_beginning_that_is_not_committed_is_made_again_and_later_streams_keep_their_first_event() {
    let mut world = World::with(options(&[("*", StartAt::Now)]));
    world.append_in_silence("a", &["1", "2"]);
    world.connect();
    while world.answer_next() {}
    assert_eq!(world.established.len(), 1);
    world.append_in_silence("b", &["1"]);
    world.restart();
    world.settle();
    assert_eq!((world.kept("a").base, world.kept("b").payloads.len()), (2, 1));
}

#[test]
fn a_beginning_that_the_store_did_not_take_stays_where_it_was() {
    let mut world = World::with(options(&[("*", StartAt::Now)]));
    world.append_in_silence("a", &["1"]);
    world.connect();
    while world.answer_next() {}
    let (batch, _) = world.to_apply.pop_front().expect("a beginning");
    let failure = ApplyFailure { scope: Scope::Store, is_retryable: true, message: "full".into() };
    world.feed(Event::ApplyFailed { batch, failure });
    world.append("a", &["2"]);
    world.pass(limits::ms(8_000));
    world.settle();
    assert_eq!((world.kept("a").base, world.kept("a").payloads), (1, vec!["2".to_owned()]));
}

#[test]
fn now_is_the_first_listing_also_while_beginnings_wait_for_the_store() {
    let mut world = World::with(options(&[("*", StartAt::Now)]));
    world.append_in_silence("old", &["1"]);
    world.connect();
    while world.answer_next() {}
    world.append("born", &["1", "2"]);
    world.settle();
    assert_eq!(world.kept("born").payloads, ["1", "2"]);
}

#[test]
fn a_stream_that_is_born_during_a_long_first_listing_is_read_from_its_first_event() {
    let mut world = World::with(options(&[("*", StartAt::Now)]));
    world.list_max = 1;
    for stream in ["x", "y", "z"] {
        world.append_in_silence(stream, &["1"]);
    }
    world.connect();
    world.answer_next();
    world.answer_next();
    world.append("born", &["1", "2"]);
    world.settle();
    assert_eq!((world.kept("born").payloads.len(), world.kept("z").base), (2, 1));
    assert_eq!(world.established[0].1, 3);
}

#[test]
fn a_reader_that_began_now_notices_a_restored_host() {
    let mut world = World::with(options(&[("*", StartAt::Now)]));
    world.append("a", &["1", "2", "3"]);
    world.settle();
    assert_eq!(world.state("a"), ConnectionState::Live);
    world.disconnect();
    // Restored with one event, and others have come since; and the process starts anew.
    world.log("a").events.truncate(1);
    world.append_in_silence("a", &["x", "y", "z"]);
    world.restart();
    world.settle();
    assert_eq!(world.kept("a").resets, [Some("history_diverged".to_owned())]);
}
