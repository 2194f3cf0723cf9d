//! The drills.

use std::time::Duration;

use muster_contract::state::{ConnectionState, LeaveReason};
use muster_control::Scope;
use muster_wire::Keeper;
use muster_wire::lease::{LeaseError, LeaseState};
use tokio::time::{Instant, sleep_until};

use crate::plane::{PATIENCE, Plane, key_of, seconds};
use crate::watcher::{Load, Watcher, until, until_complete};

const READ: &[Scope] = &[Scope::SyncRead];
const WRITE: &[Scope] = &[Scope::SyncWrite];

/// The longest time that a live subscriber may not be it.
const NOT_LIVE_MAX: Duration = Duration::from_secs(2);

fn is_live(status: &muster_sync::Status) -> bool {
    status.state == ConnectionState::Live
}

/// Waits until the keeper's token is signed with this key.
async fn until_key(keeper: &Keeper, kid: &str) {
    let mut changes = keeper.changes();
    let signed = changes.wait_for(|held| held.as_ref().is_some_and(|held| key_of(&held.token) == kid));
    tokio::time::timeout(PATIENCE, signed).await.expect("in time").expect("the keeper lives");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_come_and_go_under_load_with_a_rotation_and_a_restart_and_nobody_notices() {
    let (drill_s, token_s) = (seconds("MUSTER_LEASE_DRILL_S", 30), seconds("MUSTER_LEASE_TOKEN_S", 10));
    let announce_s = seconds("MUSTER_LEASE_ANNOUNCE_S", 5);
    let mut plane = Plane::start().await;
    let reader = plane.with_secret("reader", READ, token_s);
    let writer = plane.with_key("writer", WRITE, token_s);
    let subscriber = plane.subscriber(&reader).await;
    let load = Load::begin(plane.publisher(&writer));
    let watcher = Watcher::begin(&subscriber);
    until(&subscriber, PATIENCE, is_live).await;
    let began = Instant::now();
    let old_key = plane.issuer.active_key();
    // The successor is announced since the service began to serve, and hosts have fetched the key set since then: it may
    // sign once that is long enough ago.
    plane.issuer.control().keys_rotate("test").expect("asked for");
    // The restart comes after it has begun to sign, because it would begin the announcement anew.
    let rotated = async {
        while plane.issuer.active_key() == old_key {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let limit = PATIENCE + Duration::from_secs(announce_s);
    tokio::time::timeout(limit, rotated).await.expect("the next key signs");
    let new_key = plane.issuer.active_key();
    println!("the next key signs after {:?}", began.elapsed());
    until_key(&reader, &new_key).await;
    until_key(&writer, &new_key).await;
    plane.issuer.stop().await;
    // As long as a restart takes.
    tokio::time::sleep(Duration::from_secs(1)).await;
    plane.issuer.start_again().await;
    sleep_until(began + Duration::from_secs(drill_s)).await;
    let seen = watcher.end().await;
    let tokens = [&reader, &writer].map(|keeper| keeper.status().borrow().refreshes);
    let written = load.end(PATIENCE).await;
    let total: u64 = written.values().sum();
    println!(
        "{:?} with tokens of {token_s} s: {tokens:?} tokens (reader, writer), {total} events, live left {} times, at most \
         for {:?} {:?}",
        began.elapsed(),
        seen.left,
        seen.longest,
        seen.reasons
    );
    until_complete(&plane.path("store.sqlite"), &written, PATIENCE).await;
    assert_eq!(plane.stored().await, total, "the host has each once");
    // A token lasts its life at most, and its successor comes a third of it before.
    let least = drill_s / token_s;
    assert!(tokens.iter().all(|tokens| *tokens > least), "{tokens:?} tokens in {drill_s} s");
    assert!(seen.longest <= NOT_LIVE_MAX, "not live for {:?}: {:?}", seen.longest, seen.reasons);
    subscriber.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_service_is_away_sessions_go_on_until_their_grants_end_and_then_recover_by_themselves() {
    let (token_s, away_s) = (seconds("MUSTER_LEASE_TOKEN_S", 10), seconds("MUSTER_LEASE_AWAY_S", 10));
    let mut plane = Plane::start().await;
    let reader = plane.with_secret("reader", READ, token_s);
    let writer = plane.with_key("writer", WRITE, token_s);
    let subscriber = plane.subscriber(&reader).await;
    let load = Load::begin(plane.publisher(&writer));
    until(&subscriber, PATIENCE, is_live).await;
    let status = reader.status().borrow().clone();
    plane.issuer.stop().await;
    let stopped = Instant::now();
    // The token that is held may be a moment older.
    let ends_in = status.expires_at.expect("known").duration_since(std::time::SystemTime::now()).expect("ahead");
    let watcher = Watcher::begin(&subscriber);
    let half = stopped + ends_in / 2;
    sleep_until(half).await;
    assert!(is_live(&subscriber.status().borrow()), "the session goes on: {:?}", subscriber.status().borrow());
    // A stream that has just been made is replayed first.
    let seen = watcher.end().await;
    assert!(seen.longest <= NOT_LIVE_MAX, "{seen:?}");
    let ended = until(&subscriber, PATIENCE, |now| now.state == ConnectionState::Blocked).await;
    let went_on = stopped.elapsed();
    assert_eq!(ended.reason, Some(LeaveReason::Unauthorized), "{ended:?}");
    assert!(went_on + Duration::from_secs(2) >= ends_in, "it ended after {went_on:?} of {ends_in:?}");
    // The lane counts whole seconds, so it may be the first to know.
    let mut changes = reader.changes();
    let over = changes.wait_for(Option::is_none);
    tokio::time::timeout(PATIENCE, over).await.expect("the token ends").expect("the keeper lives");
    let lease = reader.status().borrow().clone();
    assert_eq!(lease.last_refusal.as_ref().map(|refusal| refusal.code.as_str()), Some("unreachable"), "{lease:?}");
    tokio::time::sleep(Duration::from_secs(away_s)).await;
    let asked = reader.status().borrow().attempts;
    plane.issuer.start_again().await;
    let back = Instant::now();
    until(&subscriber, PATIENCE, is_live).await;
    let recovered = back.elapsed();
    let written = load.end(PATIENCE).await;
    println!(
        "away: live for {went_on:?} with {ends_in:?} of the token left, asked {asked} times in {away_s} s more, live again \
         {recovered:?} after the service was back; {} events",
        written.values().sum::<u64>()
    );
    until_complete(&plane.path("store.sqlite"), &written, PATIENCE).await;
    assert_eq!(plane.stored().await, written.values().sum::<u64>(), "the host has each once");
    // 8 s is the longest wait between two questions, and another the longest of the publisher's.
    assert!(recovered < Duration::from_secs(15), "{recovered:?}");
    subscriber.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_nobody_is_told_so_is_blocked_and_does_not_hammer() {
    let plane = Plane::start().await;
    let nobody = plane.pretender("nobody");
    let error = nobody.token(PATIENCE).await.expect_err("no token");
    let LeaseError::Refused(refused) = &error else { panic!("{error}") };
    assert!(refused.is_final() && refused.message.contains("`nobody`"), "{refused:?}");
    assert!(!format!("{refused:?}").contains("guessed"), "{refused:?}");
    let subscriber = plane.subscriber(&nobody).await;
    let blocked = until(&subscriber, PATIENCE, |now| now.state == ConnectionState::Blocked).await;
    assert_eq!(blocked.reason, Some(LeaveReason::Unauthorized));
    assert!(blocked.last_error.expect("said").contains("`nobody`"));
    tokio::time::sleep(Duration::from_secs(3)).await;
    let lease = nobody.status().borrow().clone();
    assert_eq!((lease.state, lease.attempts), (LeaseState::Blocked, 1), "asked once");
    subscriber.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_disabled_goes_on_until_its_grant_ends_and_comes_back_when_it_is_enabled() {
    let plane = Plane::start().await;
    let reader = plane.with_secret("reader", READ, 10);
    let subscriber = plane.subscriber(&reader).await;
    until(&subscriber, PATIENCE, is_live).await;
    plane.issuer.control().client_set_disabled("test", "reader", true).expect("disabled");
    let blocked = until(&subscriber, PATIENCE, |now| now.state == ConnectionState::Blocked).await;
    assert_eq!(blocked.reason, Some(LeaveReason::Unauthorized));
    assert_eq!(reader.status().borrow().state, LeaseState::Blocked);
    plane.issuer.control().client_set_disabled("test", "reader", false).expect("enabled");
    reader.retry_now();
    until(&subscriber, PATIENCE, is_live).await;
    assert_eq!(reader.status().borrow().last_refusal, None);
    subscriber.shutdown().await;
}
