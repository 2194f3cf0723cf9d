//! The screen in each of its states, drawn from scripted observations, at two sizes.
//!
//! What always holds: times are those of the script; where this machine's time zone would show, it is taken out.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::time::Duration;

use muster_contract::Code;
use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;
use muster_panel::model::observation::{PresenceWord, SyncWord};
use muster_panel::model::outbox::{OutboxLook, OutboxRow, ParkedFacts};
use muster_panel::model::streams::{LastEvent, StreamWord};
use muster_panel::model::token::TokenKind;
use muster_panel::model::{EventRow, LaneFacts, Refusal, SessionRow, TokenFacts};
use muster_panel::{At, Command, Model, Observation, Pane};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::draw::{self, State};
use super::keys::Asked;
use super::screen::{Next, carry_out, has_color};

const T0: At = At(1_700_000_000_000_000);
const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

fn at(seconds: u64) -> At {
    T0.after(Duration::from_secs(seconds))
}

fn terminal(model: &mut Model, now: At, state: &State, (width, height): (u16, u16)) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a terminal");
    terminal
        .draw(|frame| {
            draw::draw(frame, model.facts(), now, state);
        })
        .expect("drawn");
    terminal
}

/// What is seen, without this machine's time zone.
fn seen(model: &mut Model, now: At, state: &State, size: (u16, u16)) -> String {
    let mut text = terminal(model, now, state, size).backend().to_string();
    for moment in [T0, at(240)] {
        text = text.replace(&moment.date_and_time(), "YYYY-MM-DD hh:mm:ss").replace(&moment.time_of_day(), "hh:mm:ss");
    }
    text
}

fn on(pane: Pane) -> State {
    State { pane, ..State::new(true) }
}

fn session(id: &str, client: Option<&str>, role: &str) -> SessionRow {
    SessionRow {
        connection_id: id.into(),
        identity: format!("c200aabbccddeeff{id}"),
        client: client.map(Into::into),
        role: role.into(),
        build: client.map(|_| "0.1.0".into()),
        since: T0,
    }
}

fn word(stream: &str, state: ConnectionState, cursor: u64, head: u64) -> StreamWord {
    let (reason, next_retry, last_error) = (None, None, None);
    let (stream, epoch, cursor) = (StreamId::parse(stream).expect("an id"), Some(1), Some(cursor));
    StreamWord {
        stream,
        state,
        reason,
        epoch,
        cursor,
        head,
        lag: head - cursor.unwrap_or(0),
        attempts: 0,
        next_retry,
        last_error,
    }
}

fn sync(state: ConnectionState, lag: u64, proof: Option<At>) -> SyncWord {
    let (reason, next_retry, last_error) = (None, None, None);
    SyncWord { state, reason, attempts: 0, next_retry, last_error, lag, is_stuck: false, proof }
}

const AGENT: &str = "runtime.run.agent-7.events";
const BUILD: &str = "runtime.run.a-build-with-a-rather-long-name.events";

fn lane() -> Model {
    let mut model = Model::new();
    let (server, database) = ("http://127.0.0.1:3000".into(), "streams".into());
    let lane = Some("dev".into());
    model.on(T0, Observation::Lane(LaneFacts { lane, server, database, is_wanted: true, ..LaneFacts::default() }));
    model
}

fn presence(model: &mut Model) {
    let (connection_id, module) = ("01".into(), None);
    model.on(T0, Observation::Presence(PresenceWord::Open { connection_id, module }));
    let hostile = session("03", Some("desk\u{1b}[31m\r\ntop"), "operator");
    let rows = vec![session("01", Some("desktop"), "desktop"), session("02", None, "anonymous"), hostile];
    model.on(T0, Observation::Presence(PresenceWord::Rows(rows)));
    model.on(T0, Observation::Presence(PresenceWord::Proof(T0)));
}

fn live() -> Model {
    let mut model = lane();
    model.on(
        T0,
        Observation::Token(TokenFacts {
            kind: TokenKind::Renewed,
            client: Some("desktop".into()),
            scopes: vec!["sync.read".into(), "presence.read".into()],
            streams: vec!["runtime.*".into()],
            expires: Some(at(240)),
            next_refresh: Some(at(150)),
            ..TokenFacts::default()
        }),
    );
    presence(&mut model);
    let last = LastEvent { seq: 1_204, kind: "tool.started".into(), at: T0 };
    model.on(T0, Observation::LastEvents(BTreeMap::from([(StreamId::parse(AGENT).expect("an id"), last)])));
    let streams = vec![word(AGENT, ConnectionState::Live, 1_204, 1_204), word(BUILD, ConnectionState::Live, 7, 7)];
    model.on(T0, Observation::Streams(streams));
    model.on(T0, Observation::Sync(sync(ConnectionState::Live, 0, Some(T0))));
    let rows = (1_175..=1_204).rev().map(event).collect();
    let (stream, search, epoch) = (AGENT.into(), String::new(), Some(1));
    model.on(T0, Observation::Events { stream, search, rows, epoch, through: 1_204 });
    let parked = ParkedFacts { code: "payload_too_large".into(), message: "300000 bytes".into(), since: T0 };
    let row = |stream: &str, pending, parked| OutboxRow { stream: stream.into(), pending, confirmed: 90, parked };
    let streams = vec![row(AGENT, 3, None), row(BUILD, 1, Some(parked))].into();
    model.on(T0, Observation::Outbox(Some(OutboxLook { depth: 4, bytes: 2_048, oldest: Some(T0), streams })));
    model
}

fn event(seq: u64) -> EventRow {
    let payload = format!(r#"{{"tool":"search","input":{{"query":"what a terminal shows"}},"attempt":{seq}}}"#);
    let (payload_bytes, hash) = (payload.len(), "sha256:00".into());
    EventRow { seq, epoch: 1, kind: "tool.started".into(), at: T0, payload, payload_bytes, hash }
}

fn catching_up() -> Model {
    let mut model = live();
    let streams = vec![word(AGENT, ConnectionState::Replaying, 1_204, 1_804), word(BUILD, ConnectionState::Live, 7, 7)];
    model.on(T0, Observation::Streams(streams));
    model.on(T0, Observation::Sync(sync(ConnectionState::Replaying, 600, Some(T0))));
    model
}

fn lost(model: &mut Model, next_retry: At) {
    let (reason, message) = (LeaveReason::Network, "cannot connect: connection refused".to_string());
    model.on(T0, Observation::Presence(PresenceWord::Lost { reason, message: message.clone(), next_retry }));
    let away = sync(ConnectionState::Backoff, 0, None);
    let (reason, next_retry, last_error) = (Some(reason), Some(next_retry), Some(message));
    model.on(T0, Observation::Sync(SyncWord { reason, attempts: 9, next_retry, last_error, ..away }));
}

fn cached() -> Model {
    let mut model = live();
    lost(&mut model, at(130));
    let streams =
        vec![word(AGENT, ConnectionState::Backoff, 1_204, 1_204), word(BUILD, ConnectionState::Backoff, 7, 7)];
    model.on(T0, Observation::Streams(streams));
    model
}

fn disconnected() -> Model {
    let mut model = lane();
    lost(&mut model, at(8));
    model
}

fn refused() -> Model {
    let mut model = live();
    let detail = "table `active_connection`: column 5 is `role: String` here and `role: U8` on the host, which this build cannot read";
    let (refusal, next_retry) = (Refusal::of(Code::SchemaMismatch, detail), at(60));
    model.on(T0, Observation::Presence(PresenceWord::Refused { refusal, next_retry }));
    let last_error = Some(format!("schema_mismatch: {detail}; {}", Code::SchemaMismatch.remedy()));
    let stuck = SyncWord { last_error, is_stuck: true, ..sync(ConnectionState::Blocked, 0, None) };
    model.on(T0, Observation::Sync(stuck));
    model
}

#[test]
fn each_state_is_shown_at_both_sizes() {
    for size in SIZES {
        for (name, mut model, now) in [
            ("live", live(), T0),
            ("catching_up", catching_up(), T0),
            ("cached", cached(), at(125)),
            ("disconnected", disconnected(), at(2)),
            ("refused", refused(), T0),
        ] {
            insta::assert_snapshot!(format!("{name}_{}", size.0), seen(&mut model, now, &on(Pane::Sync), size));
        }
    }
}

#[test]
fn each_pane_fits_a_small_terminal() {
    for (pane, name) in
        [(Pane::Sessions, "sessions"), (Pane::Token, "token"), (Pane::Events, "events"), (Pane::Outbox, "outbox")]
    {
        insta::assert_snapshot!(format!("pane_{name}"), seen(&mut live(), T0, &on(pane), SIZES[0]));
    }
    let state = State { is_help: true, ..State::new(true) };
    insta::assert_snapshot!("help", seen(&mut live(), T0, &state, SIZES[0]));
}

#[test]
fn no_pane_says_live_once_the_proof_is_older_than_the_bound() {
    let mut model = live();
    assert_eq!(seen(&mut model, T0, &on(Pane::Sync), SIZES[0]).matches("● live").count(), 5);
    let later = seen(&mut model, at(2), &on(Pane::Sync), SIZES[0]);
    assert!(!later.contains("● live") && later.contains("○ cached 2 s"), "{later}");
    assert!(later.contains("0 events behind when last heard"), "{later}");
}

#[test]
fn what_a_token_claims_cannot_speak_to_the_terminal() {
    let screen = seen(&mut live(), T0, &on(Pane::Sessions), SIZES[1]);
    assert!(screen.contains("desk [31m top") && !screen.contains('\u{1b}'), "{screen}");
}

#[test]
fn colours_are_left_out_where_no_color_says_so() {
    let colours = |model: &mut Model, has_color| {
        let state = State { has_color, ..on(Pane::Sync) };
        let terminal = terminal(model, T0, &state, SIZES[0]);
        terminal
            .backend()
            .buffer()
            .content()
            .iter()
            .filter(|cell| cell.fg != Color::Reset || cell.bg != Color::Reset)
            .count()
    };
    for mut model in [live(), catching_up(), cached(), refused()] {
        assert!(colours(&mut model, true) > 0);
        assert_eq!(colours(&mut model, false), 0);
    }
    let asked = |value: Option<&str>| has_color(value.map(OsStr::new));
    assert_eq!((asked(None), asked(Some("")), asked(Some("1"))), (true, true, false));
}

#[test]
fn a_terminal_of_any_size_is_drawn() {
    for (width, height) in [(1, 1), (3, 2), (20, 5), (40, 8), (300, 100)] {
        for pane in Pane::ALL {
            terminal(&mut live(), T0, &on(pane), (width, height));
            terminal(&mut refused(), T0, &on(pane), (width, height));
        }
        terminal(&mut live(), T0, &State { is_help: true, ..State::new(true) }, (width, height));
    }
}

#[test]
fn keys_move_between_panes_and_round() {
    let (mut model, mut state) = (live(), State::new(true));
    for (key, expected) in [
        (Asked::Next, Pane::Token),
        (Asked::Before, Pane::Sync),
        (Asked::Before, Pane::Sessions),
        (Asked::Before, Pane::Outbox),
        (Asked::Next, Pane::Sessions),
        (Asked::Show(Pane::Events), Pane::Events),
    ] {
        assert!(matches!(carry_out(model.facts(), T0, &mut state, key, 0), Next::Look));
        assert_eq!(state.pane, expected, "{key:?}");
    }
}

#[test]
fn scrolling_ends_at_either_end_and_comes_back_at_once() {
    let (mut model, mut state) = (live(), on(Pane::Events));
    let mut deepest = 0;
    let mut terminal = Terminal::new(TestBackend::new(80, 24)).expect("a terminal");
    terminal.draw(|frame| deepest = draw::draw(frame, model.facts(), T0, &state)).expect("drawn");
    assert_eq!(deepest, 14, "30 events, of which 16 have room");
    for _ in 0..9 {
        carry_out(model.facts(), T0, &mut state, Asked::Down(10), deepest);
    }
    let end = seen(&mut model, T0, &state, SIZES[0]);
    assert!(end.contains("15 to 30 of 30") && end.contains("1175 ") && end.contains("seq"), "{end}");
    carry_out(model.facts(), T0, &mut state, Asked::Up(1), deepest);
    assert_eq!(state.scrolled, 13);
    // A larger terminal shows more: what was scrolled beyond that does not have to be scrolled back.
    carry_out(model.facts(), T0, &mut state, Asked::Up(1), 3);
    assert_eq!(state.scrolled, 2);
}

#[test]
fn r_reconnects_now_and_d_disconnects_and_connects_again() {
    let (mut model, mut state) = (live(), State::new(true));
    let next = carry_out(model.facts(), T0, &mut state, Asked::Reconnect, 0);
    assert!(matches!(next, Next::Ask(Command::ReconnectNow)), "{next:?}");
    assert!(seen(&mut model, T0, &state, SIZES[0]).contains("connecting anew"));
    assert!(!seen(&mut model, at(3), &state, SIZES[0]).contains("connecting anew"), "it is said for a moment");
    let next = carry_out(model.facts(), T0, &mut state, Asked::Toggle, 0);
    assert!(matches!(next, Next::Ask(Command::Disconnect)), "{next:?}");
    model.on(T0, Observation::Wanted(false));
    assert!(seen(&mut model, T0, &state, SIZES[0]).contains("disconnected by you"));
    let next = carry_out(model.facts(), T0, &mut state, Asked::Toggle, 0);
    assert!(matches!(next, Next::Ask(Command::Connect)), "{next:?}");
}

#[test]
fn escape_leaves_the_help_first_and_q_ends_from_everywhere() {
    let (mut model, mut state) = (live(), State::new(true));
    let mut press = |state: &mut State, key| carry_out(model.facts(), T0, state, key, 0);
    press(&mut state, Asked::Help);
    assert!(state.is_help && matches!(press(&mut state, Asked::Back), Next::Look) && !state.is_help);
    assert!(matches!(press(&mut state, Asked::Back), Next::End));
    press(&mut state, Asked::Help);
    assert!(matches!(press(&mut state, Asked::End), Next::End));
}
