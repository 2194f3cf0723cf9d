//! Every pane in every state, drawn from made-up facts: each badge and refusal is told where it must be, in both themes and
//! at both scales, and nothing panics for want of room.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Theme, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;
use muster_contract::Code;
use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;
use muster_desktop::theme;
use muster_desktop::view::{Overlay, View};
use muster_panel::model::observation::{PresenceWord, SyncWord};
use muster_panel::model::outbox::{OutboxLook, OutboxRow, ParkedFacts};
use muster_panel::model::streams::StreamWord;
use muster_panel::model::token::{TokenFacts, TokenKind};
use muster_panel::model::{EventRow, LaneFacts, Refusal, SessionRow};
use muster_panel::{At, Facts, Model, Observation, Pane};

const T0: At = At(1_700_000_000_000_000);

fn at(ms: i64) -> At {
    At(T0.0 + ms * 1_000)
}

fn facts(observations: Vec<Observation>) -> Facts {
    let mut model = Model::new();
    for observation in observations {
        model.on(T0, observation);
    }
    model.facts().clone()
}

fn lane() -> Observation {
    let (server, database) = ("http://127.0.0.1:1".into(), "streams".into());
    Observation::Lane(LaneFacts { server, database, is_wanted: true, ..LaneFacts::default() })
}

fn sync(state: ConnectionState, proof: Option<At>) -> Observation {
    let reason = (state != ConnectionState::Live).then_some(LeaveReason::Network);
    let is_stuck = state == ConnectionState::Blocked;
    let next_retry = (state == ConnectionState::Backoff).then(|| at(3_000));
    let last_error =
        (state != ConnectionState::Live).then(|| "upgrade_required: this client is too old; x".to_string());
    Observation::Sync(SyncWord { state, reason, attempts: 2, next_retry, last_error, lag: 7, is_stuck, proof })
}

fn stream(state: ConnectionState) -> Observation {
    Observation::Streams(vec![StreamWord {
        stream: StreamId::parse("runtime.run.1.events").expect("an id"),
        state,
        reason: None,
        epoch: Some(1),
        cursor: Some(3),
        head: 10,
        lag: if state == ConnectionState::Live { 0 } else { 7 },
        attempts: 0,
        next_retry: None,
        last_error: None,
    }])
}

fn presence() -> Vec<Observation> {
    let row = SessionRow {
        connection_id: "one".into(),
        identity: "c2001122334455".into(),
        client: Some("desk".into()),
        role: "operator".into(),
        build: Some("1.2.3".into()),
        since: T0,
    };
    vec![
        lane(),
        Observation::Presence(PresenceWord::Open { connection_id: "one".into(), module: None }),
        Observation::Presence(PresenceWord::Rows(vec![row])),
        Observation::Presence(PresenceWord::Proof(T0)),
    ]
}

fn live() -> Vec<Observation> {
    let event = EventRow {
        seq: 3,
        epoch: 1,
        kind: "step".into(),
        at: T0,
        payload: r#"{"deep":{"er":1}}"#.into(),
        payload_bytes: 17,
        hash: "sha256:00".into(),
    };
    let parked = OutboxRow {
        stream: "runtime.run.2.events".into(),
        pending: 4,
        confirmed: 9,
        parked: Some(ParkedFacts {
            code: "host_behind_outbox".into(),
            message: "events 5 to 9 are gone".into(),
            since: T0,
        }),
    };
    let look = OutboxLook { depth: 4, bytes: 2_048, oldest: Some(at(-60_000)), streams: vec![parked].into() };
    let token = TokenFacts {
        kind: TokenKind::Renewed,
        client: Some("desk".into()),
        scopes: vec!["sync.read".into()],
        streams: vec!["runtime.run.*".into()],
        expires: Some(at(600_000)),
        next_refresh: Some(at(480_000)),
        last_refusal: Some((at(-1_000), "rate_limited".into())),
        ..TokenFacts::default()
    };
    let mut all = presence();
    all.extend([
        Observation::Token(token),
        stream(ConnectionState::Live),
        sync(ConnectionState::Live, Some(T0)),
        Observation::Events {
            stream: "runtime.run.1.events".into(),
            search: String::new(),
            rows: vec![event],
            epoch: Some(1),
            through: 3,
        },
        Observation::Outbox(Some(look)),
    ]);
    all
}

fn drawn(facts: Facts, pane: Pane, now: At, theme_of: Theme, zoom: f32) -> Harness<'static, View> {
    let view = View { pane, ..View::default() };
    let mut harness = Harness::builder()
        // At twice the size a window of as many pixels has room for half as much.
        .with_size(vec2(1_180.0, 760.0) / zoom)
        .with_pixels_per_point(zoom)
        .with_theme(theme_of)
        .with_context_setup(theme::install)
        .build_ui_state(move |ui, view: &mut View| drop(view.ui(ui, &facts, now)), view);
    harness.run_steps(3);
    harness
}

fn has(harness: &Harness<'_, View>, text: &str) -> bool {
    let holds = |found: Option<String>| found.is_some_and(|found| found.contains(text));
    harness.query_all_by(|node| holds(node.label()) || holds(node.value())).next().is_some()
}

#[track_caller]
fn check(observations: Vec<Observation>, pane: Pane, now: At, badge: &str, texts: &[&str]) {
    let facts = facts(observations);
    for theme_of in [Theme::Dark, Theme::Light] {
        for zoom in [1.0, 2.0] {
            let harness = drawn(facts.clone(), pane, now, theme_of, zoom);
            let said = format!("{}: {badge}", pane.title());
            assert!(has(&harness, &said), "no `{said}` in {:?}", harness.root());
            for text in texts {
                assert!(has(&harness, text), "{pane:?}, {theme_of:?}, {zoom}: no `{text}` in {:?}", harness.root());
            }
        }
    }
}

#[test]
fn every_pane_is_live_with_what_it_knows() {
    check(live(), Pane::Sessions, T0, "live", &["connected session", "operator", "desk", "1.2.3", "this window"]);
    check(live(), Pane::Sync, T0, "live", &["runtime.run.1.events", "From append to apply"]);
    let token =
        ["With tokens that renew themselves", "desk", "sync.read", "runtime.run.*", "10 min", "8 min", "rate_limited"];
    check(live(), Pane::Token, T0, "live", &token);
    check(live(), Pane::Events, T0, "live", &["3 · step", "\"er\": 1", "Copy payload"]);
    let outbox =
        ["events wait", "parked stream", "runtime.run.2.events is parked", "events 5 to 9 are gone", "--retry"];
    check(live(), Pane::Outbox, T0, "live", &outbox);
}

#[test]
fn every_pane_is_cached_with_its_age_once_the_host_is_not_heard_any_more() {
    for pane in Pane::ALL {
        check(live(), pane, at(65_000), "cached 1 min", &[]);
    }
}

#[test]
fn every_pane_is_disconnected_where_nothing_is_known() {
    let empty = ["Nobody is known yet", "No streams", "Without a token", "No events", "Nothing is published from here"];
    for (pane, text) in Pane::ALL.into_iter().zip(empty) {
        check(vec![lane()], pane, T0, "disconnected", &[text]);
    }
    let empty =
        ["Nobody is known yet", "Nothing is followed", "No token", "No events", "Nothing is published from here"];
    for (pane, text) in Pane::ALL.into_iter().zip(empty) {
        check(Vec::new(), pane, T0, "disconnected", &[text, "no lane chosen"]);
    }
}

#[test]
fn a_replay_is_catching_up_with_its_progress() {
    let mut replaying = presence();
    replaying.extend([stream(ConnectionState::Replaying), sync(ConnectionState::Replaying, Some(T0))]);
    check(replaying.clone(), Pane::Sync, T0, "catching up", &["replaying", "7 events", "0 %"]);
    check(replaying, Pane::Events, T0, "catching up", &[]);
    let opening = vec![lane(), Observation::Presence(PresenceWord::Open { connection_id: "x".into(), module: None })];
    check(opening, Pane::Sessions, T0, "disconnected", &[]);
}

#[test]
fn every_state_of_the_sync_is_told_with_its_reason_and_the_next_attempt() {
    for state in ConnectionState::ALL {
        let mut observations = presence();
        observations.extend([stream(*state), sync(*state, None)]);
        let texts: &[&str] = match state {
            ConnectionState::Blocked => &["This build is too old", "What to do"],
            ConnectionState::Backoff => &["backoff", "network", "Next attempt", "in 3 s", "Attempts"],
            state => &[state.as_str()],
        };
        let badge = if *state == ConnectionState::Blocked { "disconnected" } else { "" };
        check(observations, Pane::Sync, T0, badge, texts);
    }
}

#[test]
fn refusals_take_panes_over_and_name_what_to_do() {
    for code in [
        Code::SchemaMismatch,
        Code::UpgradeRequired,
        Code::UnsupportedSchemaVersion,
        Code::UnsupportedProtocolVersion,
        Code::UnsupportedClientBuild,
        Code::Unauthorized,
        Code::ForbiddenStream,
    ] {
        let refusal = Refusal::of(code, "what the host said");
        let (title, remedy) = (refusal.title, refusal.remedy.clone());
        let mut observations = live();
        observations.push(Observation::Presence(PresenceWord::Refused { refusal, next_retry: at(60_000) }));
        check(observations, Pane::Sessions, T0, "cached", &[title, &remedy, "what the host said", code.as_str()]);
    }
    let mut observations = live();
    let refusal = Refusal::local("The outbox cannot be read", "it is damaged; restore it");
    observations.push(Observation::OutboxUnreadable(refusal));
    check(observations, Pane::Outbox, T0, "cached", &["The outbox cannot be read", "it is damaged", "Restore it."]);
}

#[test]
fn what_is_behind_and_how_fast_it_goes_is_said_only_while_the_host_is_heard() {
    let heard = drawn(facts(live()), Pane::Sync, T0, Theme::Dark, 1.0);
    assert!(has(&heard, "events/s") && !has(&heard, "when last heard"));
    let silent = drawn(facts(live()), Pane::Sync, at(5_000), Theme::Dark, 1.0);
    assert!(!has(&silent, "events/s") && has(&silent, "Behind when last heard"), "{:?}", silent.root());
}

/// A stream that is live at its third event.
fn live_word(stream: &str) -> StreamWord {
    StreamWord {
        stream: StreamId::parse(stream).expect("an id"),
        state: ConnectionState::Live,
        reason: None,
        epoch: Some(1),
        cursor: Some(3),
        head: 3,
        lag: 0,
        attempts: 0,
        next_retry: None,
        last_error: None,
    }
}

#[test]
fn why_one_stream_of_many_is_refused_stands_there_without_a_mouse() {
    let word = |stream: &str, state, reason, error: Option<&str>| StreamWord {
        state,
        reason,
        last_error: error.map(Into::into),
        ..live_word(stream)
    };
    let refused = word(
        "runtime.run.2.events",
        ConnectionState::Blocked,
        Some(LeaveReason::Forbidden),
        Some("the grant has ended; x"),
    );
    let words = vec![word("runtime.run.1.events", ConnectionState::Live, None, None), refused];
    let mut observations = live();
    observations.push(Observation::Streams(words));
    let window = drawn(facts(observations), Pane::Sync, T0, Theme::Dark, 1.0);
    for text in
        ["runtime.run.2.events: The token does not grant this", "the grant has ended", "Ask whoever runs the lane"]
    {
        assert!(has(&window, text), "no `{text}` in {:?}", window.root());
    }
}

#[test]
fn dialogues_fit_a_small_window_at_twice_the_size() {
    let size = vec2(1_180.0, 760.0) / 2.0;
    for (overlay, button) in [(Overlay::Help, "Close"), (Overlay::Connect, "Open"), (Overlay::Connect, "Cancel")] {
        let mut window = drawn(facts(live()), Pane::Sessions, T0, Theme::Dark, 2.0);
        window.state_mut().overlay = Some(overlay);
        window.run_steps(4);
        let rect = window.get_by_role_and_label(Role::Button, button).rect();
        assert!(rect.min.x >= 0.0 && rect.max.x <= size.x && rect.max.y <= size.y, "{button}: {rect:?} in {size:?}");
    }
}

#[test]
fn the_keyboard_goes_from_event_to_event() {
    let mut observations = live();
    let row = |seq: u64| EventRow {
        seq,
        epoch: 1,
        kind: "step".into(),
        at: T0,
        payload: format!(r#"{{"number":{seq}}}"#),
        payload_bytes: 12,
        hash: format!("sha256:{seq:02}"),
    };
    let (stream, search, epoch) = ("runtime.run.1.events".into(), String::new(), Some(1));
    let rows = (1..=3).rev().map(row).collect();
    observations.push(Observation::Events { stream, search, rows, epoch, through: 3 });
    let mut window = drawn(facts(observations), Pane::Events, T0, Theme::Dark, 1.0);
    assert!(has(&window, "3 · step") && has(&window, "\"number\": 3"));
    for (key, expected) in [(Key::ArrowDown, 2), (Key::ArrowDown, 1), (Key::ArrowDown, 1), (Key::ArrowUp, 2)] {
        window.key_press_modifiers(Modifiers::COMMAND, key);
        window.run_steps(2);
        let (head, payload) = (format!("{expected} · step"), format!("\"number\": {expected}"));
        assert!(has(&window, &head) && has(&window, &payload), "{expected}: {:?}", window.root());
    }
}

#[test]
fn the_end_of_a_table_is_reached_by_keys_in_a_small_window_at_twice_the_size() {
    let mut observations = live();
    let word = |number: u64| live_word(&format!("runtime.run.{number:03}.events"));
    let session = |number: u64| SessionRow {
        connection_id: format!("{number}"),
        identity: "c2001122334455".into(),
        client: Some(format!("client-{number:03}")),
        role: "operator".into(),
        build: None,
        since: at(-i64::try_from(number).expect("small")),
    };
    observations.push(Observation::Streams((0..60).map(word).collect()));
    observations.push(Observation::Presence(PresenceWord::Rows((0..60).map(session).collect())));
    let facts = facts(observations);
    for (pane, last) in [(Pane::Sync, "runtime.run.059.events"), (Pane::Sessions, "client-059")] {
        let mut window = drawn(facts.clone(), pane, T0, Theme::Dark, 2.0);
        assert!(!has(&window, last), "it is far below");
        window.key_press_modifiers(Modifiers::COMMAND, Key::End);
        window.run_steps(3);
        assert!(has(&window, last), "no `{last}` in {:?}", window.root());
        let is_last = |text: Option<String>| text.as_deref() == Some(last);
        let mut found = window.query_all_by(|node| is_last(node.label()) || is_last(node.value()));
        let rect = found.next().expect("it was just seen").rect();
        drop(found);
        assert!(rect.min.y >= 0.0 && rect.max.y <= 380.0, "{last}: {rect:?}");
        window.key_press(Key::PageUp);
        window.run_steps(3);
        window.key_press_modifiers(Modifiers::COMMAND, Key::Home);
        window.run_steps(3);
        assert!(!has(&window, last));
    }
}
