//! The window over the accessibility tree: what a person, or a screen reader, sees of scripted sessions against a real host.

mod candidate;
mod drawn;
mod plane;

use std::time::Duration;

use eframe::egui::{Key, Modifiers};
use egui_kittest::kittest::{NodeT, Queryable};
use muster_panel::{Pane, Target};
use plane::{Plane, forged};

pub(crate) const EVENTS: &str = "run:7:events";

pub(crate) fn payloads(count: usize) -> Vec<String> {
    (1..=count).map(|number| format!(r#"{{"number":{number},"text":"needle-{number}"}}"#)).collect()
}

#[test]
fn a_cut_is_seen_within_two_seconds_on_every_pane_and_all_are_live_again_after_it() {
    let mut plane = Plane::start();
    plane.publish(EVENTS, &payloads(3));
    let mut window = plane.window(plane.target());
    window.wait_until_all_are_live();
    plane.proxy.refuse();
    plane.proxy.cut();
    std::thread::sleep(Duration::from_secs(2));
    window.step();
    let said = window.said();
    assert!(said.iter().all(|said| said.starts_with("cached ")), "{said:?}");
    // The pane that is shown says the same as the list.
    assert!(window.shows("Sessions: cached") && !window.shows("Sessions: live"));
    window.show(Pane::Sync);
    window.wait("the next attempt counts down", |window| window.shows("Next attempt") || window.shows("connecting"));
    assert!(window.shows("network"), "the reason is told");
    plane.proxy.clear();
    window.wait_until_all_are_live();
    plane.close(window);
}

#[test]
fn a_silent_network_is_seen_within_two_seconds_too() {
    let mut plane = Plane::start();
    plane.publish(EVENTS, &payloads(3));
    let mut window = plane.window(plane.target());
    window.wait_until_all_are_live();
    // Nothing is closed: nobody is told anything.
    plane.proxy.freeze();
    std::thread::sleep(Duration::from_secs(2));
    window.step();
    let said = window.said();
    assert!(said.iter().all(|said| said.starts_with("cached ")), "{said:?}");
    plane.proxy.clear();
    window.wait_until_all_are_live();
    plane.close(window);
}

#[test]
fn sessions_come_and_go_and_streams_and_events_are_shown_as_they_are() {
    let mut plane = Plane::start();
    plane.publish(EVENTS, &payloads(3));
    plane.publish("notes", &payloads(1));
    let mut window = plane.window(plane.target());
    window.wait_until_all_are_live();
    // This window's two, and the publisher's.
    window.wait("three sessions", |window| window.shows("connected sessions") && window.shows("3"));
    assert!(window.shows("this window"));
    window.wait("all three are in", |window| window.harness.state().panel().facts().sessions.total == Some(3));
    let (joins, leaves) = window.harness.state().panel().facts().sessions.churn.totals();
    let options = muster_wire::ConnectOptions::new(plane.endpoint());
    let (guest, incoming) = plane.runtime.block_on(muster_wire::connect(options)).expect("a fourth");
    window.wait("it is counted", |window| window.shows(&format!("{} joined, {leaves} left", joins + 1)));
    drop(incoming);
    plane.runtime.block_on(guest.close());
    window.wait("it is gone", |window| window.shows(&format!("{} joined, {} left", joins + 1, leaves + 1)));

    window.show(Pane::Sync);
    window.wait("both streams", |window| window.shows("runtime.run.7.events") && window.shows("runtime.topic.notes"));
    window.press("runtime.run.7.events");
    window.wait("its events", |window| window.shows("needle-3") && window.shows("3 · step"));
    assert_eq!(window.harness.state().view.pane, Pane::Events);
    window.harness.get_by_label("Search").focus();
    window.step();
    window.harness.get_by_role(eframe::egui::accesskit::Role::TextInput).type_text("NEEDLE-2");
    window.wait("one is found", |window| window.shows("1 found in the newest 3") && window.shows("2 · step"));
    plane.publish(EVENTS, &payloads(40));
    window.harness.state_mut().view.events.search.clear();
    window.show(Pane::Sync);
    window.wait("the cursor follows", |window| window.shows("43"));
    plane.close(window);
}

#[test]
fn what_is_replayed_is_catching_up_until_all_of_it_is_applied() {
    let mut plane = Plane::start();
    plane.publish(EVENTS, &payloads(6_000));
    // A slow network, so that there is something to see.
    let weather = muster_chaos::Weather { bytes_per_second: Some(120_000), ..muster_chaos::Weather::CLEAR };
    plane.proxy.set_weather(weather);
    let mut window = plane.window(plane.target());
    window.show(Pane::Sync);
    window.wait("it catches up", |window| window.said_of(Pane::Sync) == "catching up" && window.shows(" %"));
    assert_ne!(window.said_of(Pane::Events), "live");
    plane.proxy.clear();
    window.wait_until_all_are_live();
    window.wait("every event", |window| window.shows("6\u{2009}000"));
    plane.close(window);
}

#[test]
fn offline_the_store_is_shown_with_its_age() {
    let mut plane = Plane::start();
    plane.publish(EVENTS, &payloads(5));
    let mut window = plane.window(plane.target());
    window.wait_until_all_are_live();
    window.press("Disconnect");
    window.wait("everything is cached", |window| window.said().iter().all(|said| said.starts_with("cached ")));
    plane.close(window);

    plane.proxy.refuse();
    let mut window = plane.window(plane.target());
    window.wait("what is kept is shown", |window| {
        let said = window.said();
        said[0].starts_with("cached ") && said[1].starts_with("cached ") && said[3].starts_with("cached ")
    });
    window.wait("the sessions of before", |window| window.shows("connected session"));
    window.show(Pane::Events);
    window.wait("the events", |window| window.shows("needle-5"));
    plane.proxy.clear();
    window.wait_until_all_are_live();
    plane.close(window);
}

#[test]
fn refusals_take_over_the_panes_with_what_to_do() {
    let plane = Plane::start();
    let mut target = plane.target();
    target.token = forged();
    let mut window = plane.window(target);
    window.wait("three panes are taken over", |window| {
        let said = window.said();
        [0, 1, 2].into_iter().all(|pane| said[pane] == "refused")
    });
    for pane in [Pane::Sessions, Pane::Sync, Pane::Token] {
        window.show(pane);
        assert!(window.shows("The host does not take this token") && window.shows("Get a fresh token"), "{pane:?}");
        assert!(!window.shows(&format!("{}: live", pane.title())));
    }
    plane.close(window);

    let elsewhere = muster_wire::Endpoint::new(&plane.url, "nothing-here").expect("an endpoint");
    let mut window = plane.window(Target::new(elsewhere, plane.folder.path().join("other.db")));
    window.wait("the database is missing", |window| {
        window.said_of(Pane::Sync) == "refused" && window.shows("has no database") && window.shows("What to do")
    });
    plane.close(window);
}

#[test]
fn a_bundle_has_what_was_shown_and_no_secret() {
    let mut plane = Plane::start();
    plane.publish(EVENTS, &payloads(2));
    let client = muster_wire::http::HttpClient::new(plane.endpoint(), None).expect("a client");
    let token = plane.runtime.block_on(client.create_identity()).expect("an identity").token;
    let mut target = plane.target();
    target.token = muster_panel::TokenChoice::Given(token.clone());
    let mut window = plane.window(target);
    window.wait_until_all_are_live();
    window.press("Export diagnostics");
    window.wait("it is written", |window| window.shows("Exported to "));
    let file = std::fs::read_dir(plane.folder.path().join("exports")).expect("the folder").next().expect("a file");
    let path = file.expect("readable").path();
    let mut tar = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(&path).expect("the bundle")));
    let mut whole = String::new();
    let mut names = Vec::new();
    for entry in tar.entries().expect("entries") {
        let mut entry = entry.expect("an entry");
        names.push(entry.path().expect("a path").file_name().expect("a name").to_string_lossy().into_owned());
        std::io::Read::read_to_string(&mut entry, &mut whole).expect("text");
    }
    assert_eq!(names, ["state.json", "log.txt", "versions.json", "README.txt"]);
    assert!(whole.contains("muster.panel.v1") && whole.contains("runtime.run.7.events"));
    let signature = token.expose().rsplit('.').next().expect("three parts");
    assert!(!whole.contains(signature), "no token");
    assert!(!whole.contains("needle"), "no payload");
    plane.close(window);
}

#[test]
fn the_handshake_of_two_clients_is_run_from_the_window() {
    let plane = Plane::start();
    let mut window = plane.window(plane.target());
    // A handshake wants a lane whose sessions do not change by themselves meanwhile.
    window.wait_until_all_are_live();
    window.wait("both are in", |window| window.harness.state().panel().facts().sessions.total == Some(2));
    window.press("Run the handshake");
    let busy =
        |window: &plane::Window<'_>| window.harness.state().view.notice.as_ref().is_none_or(|notice| notice.is_busy);
    window.wait("it ends", |window| !busy(window));
    let notice = window.harness.state().view.notice.clone().expect("it has ended");
    assert!(
        !notice.is_error && notice.text.starts_with("Handshake passed: 2 sessions before, 4 during, 2 after"),
        "{notice:?}"
    );
    assert!(window.shows("Handshake passed"));
    plane.close(window);
}

#[test]
fn the_keyboard_alone_reaches_every_pane_and_action() {
    let plane = Plane::start();
    let mut window = plane.window(plane.target());
    window.wait_until_all_are_live();
    for (key, pane) in [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5].into_iter().zip(Pane::ALL) {
        window.harness.key_press_modifiers(Modifiers::COMMAND, key);
        window.step();
        assert_eq!(window.harness.state().view.pane, pane);
    }
    window.harness.key_press(Key::F1);
    window.step();
    window.wait("help", |window| window.shows("go through everything that can be used"));
    window.harness.key_press(Key::Escape);
    window.wait("no help", |window| !window.shows("go through everything that can be used"));
    // Tab goes through panes and actions alike.
    let wanted = ["Sessions, live", "Outbox, live", "Open a lane…", "Disconnect", "Reconnect now", "Help"];
    let mut found: std::collections::BTreeSet<&str> = std::collections::BTreeSet::new();
    for _ in 0..40 {
        window.harness.key_press(Key::Tab);
        window.step();
        let focused = window.harness.query_by(|node| node.is_focused());
        let label = focused.and_then(|node| node.accesskit_node().label());
        found.extend(wanted.into_iter().filter(|wanted| label.as_deref().is_some_and(|label| label.contains(wanted))));
    }
    assert_eq!(found.len(), wanted.len(), "{found:?}");
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::D);
    window.wait("disconnected", |window| window.shows("Connect") && !window.shows("Disconnect"));
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::D);
    window.wait("live again", |window| window.said_of(Pane::Sync) == "live");
    window.harness.key_press_modifiers(Modifiers::COMMAND, Key::R);
    window.wait("live once more", |window| window.said_of(Pane::Sessions) == "live");
    plane.close(window);
}
