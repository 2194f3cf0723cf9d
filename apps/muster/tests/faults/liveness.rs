//! What is called live while nothing can be known: with the waits of production, and silences longer than them.
//!
//! What always holds: a process writes down itself when it said what, so a slow reader of its words changes nothing.

use std::time::Duration;

use muster_sync::limits::LIVENESS_MS_MAX;

use crate::actor::{Actor, now_ms};
use crate::plane::Plane;

/// How much later than it should a loaded machine may carry out a timer.
const SLACK_MS: u64 = 2_500;
/// How long the silences are.
const SILENCE_MS: u64 = LIVENESS_MS_MAX + SLACK_MS + 1_500;

/// One line of a subscriber: what it said, when, and how many events it had applied.
#[derive(Clone, Debug)]
struct Said {
    state: String,
    at_ms: u64,
    applied: u64,
}

fn said(lines: &[String]) -> Vec<Said> {
    let parse = |line: &String| {
        let mut words = line.split(' ');
        let state = words.next()?.to_owned();
        Some(Said { state, at_ms: words.next()?.parse().ok()?, applied: words.next()?.parse().ok()? })
    };
    lines.iter().filter_map(parse).collect()
}

/// Waits until the subscriber says that it is live, and returns what it said up to then.
#[track_caller]
fn until_live(subscriber: &Actor) -> Vec<String> {
    let mut lines = vec![subscriber.hear("live")];
    lines.extend(subscriber.heard());
    lines
}

/// Whether it was called live at any time from `from_ms` to `to_ms`.
fn live_within(said: &[Said], from_ms: u64, to_ms: u64) -> Option<&Said> {
    let in_effect = said.iter().rfind(|said| said.at_ms <= from_ms);
    let after = said.iter().filter(|said| said.at_ms > from_ms && said.at_ms < to_ms);
    in_effect.into_iter().chain(after).find(|said| said.state == "live")
}

async fn nothing_is_called_live_in(mut plane: Plane, begin: impl Fn(&Plane), end: impl Fn(&Plane)) {
    plane.settle().await;
    let subscriber = plane.subscriber.as_ref().expect("it runs");
    let mut lines = subscriber.heard();
    if said(&lines).last().is_none_or(|said| said.state != "live") {
        lines = until_live(subscriber);
    }
    begin(&plane);
    let began_ms = now_ms();
    tokio::time::sleep(Duration::from_millis(SILENCE_MS)).await;
    let ended_ms = now_ms();
    end(&plane);
    let subscriber = plane.subscriber.as_ref().expect("it runs");
    lines.extend(subscriber.heard());
    let said = said(&lines);
    let bound_ms = began_ms + LIVENESS_MS_MAX + SLACK_MS;
    assert!(bound_ms < ended_ms);
    let lie = live_within(&said, bound_ms, ended_ms);
    assert!(lie.is_none(), "silent since {began_ms}, and called live after {bound_ms}: {lie:?} of {said:?}");
    // And it comes back by itself.
    until_live(subscriber);
    plane.resume();
    plane.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn behind_a_frozen_network_nothing_is_called_live_for_longer_than_the_bound() {
    let plane = Plane::start(1, 2, true).await;
    nothing_is_called_live_in(plane, |plane| plane.proxy.freeze(), |plane| plane.proxy.clear()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn with_a_stopped_host_nothing_is_called_live_for_longer_than_the_bound() {
    let plane = Plane::start(2, 2, true).await;
    let signal = |plane: &Plane, name: &str| plane.host.as_ref().expect("it runs").process.signal(name);
    nothing_is_called_live_in(plane, |plane| signal(plane, "STOP"), |plane| signal(plane, "CONT")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_subscriber_that_was_stopped_is_not_live_before_it_has_what_was_stored_meanwhile() {
    let mut plane = Plane::start(3, 2, true).await;
    until_live(plane.subscriber.as_ref().expect("it runs"));
    plane.subscriber.as_ref().expect("it runs").signal("STOP");
    let applied_before = plane.applied_events();
    // Publishing goes on; what the host has now is older than the bound when the subscriber wakes.
    let load = async {
        loop {
            let stored = plane.stored_events().await;
            if stored > applied_before {
                return stored;
            }
        }
    };
    let stored = tokio::time::timeout(crate::support::PATIENCE, load).await.expect("there is load");
    tokio::time::sleep(Duration::from_millis(SILENCE_MS)).await;
    let woken_ms = now_ms();
    plane.subscriber.as_ref().expect("it runs").signal("CONT");
    plane.settle().await;
    let subscriber = plane.subscriber.as_ref().expect("it runs");
    let mut lines = subscriber.heard();
    while said(&lines).iter().all(|said| said.at_ms < woken_ms || said.state != "live") {
        lines.push(subscriber.next_within(crate::support::PATIENCE).expect("it gets live"));
    }
    // A moment after it woke: what it wrote down in the very first one, before any timer of its own had run, it had
    // read from the watch channel before it was stopped.
    let lie =
        said(&lines).into_iter().find(|said| said.at_ms >= woken_ms && said.state == "live" && said.applied < stored);
    assert!(lie.is_none(), "{stored} events were stored long before {woken_ms}: {lie:?}");
}
