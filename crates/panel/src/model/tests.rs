//! Which badge follows from which observations.

use std::time::Duration;

use muster_contract::Code;
use muster_contract::state::{ConnectionState, LeaveReason};
use muster_contract::stream::StreamId;
use proptest::prelude::*;

use super::observation::{PresenceWord, Remembered, SyncWord};
use super::refusal::{Kind, Refusal};
use super::streams::StreamWord;
use super::token::{TokenFacts, TokenKind};
use super::*;
use crate::limits::PROOF_MS_MAX;

mod truth;

const T0: At = At(1_000_000_000_000);

fn at(ms: i64) -> At {
    At(T0.0 + ms * 1_000)
}

fn session(id: &str) -> SessionRow {
    SessionRow {
        connection_id: id.into(),
        identity: "who".into(),
        client: None,
        role: "anonymous".into(),
        build: None,
        since: T0,
    }
}

fn word(stream: &str, state: ConnectionState, cursor: u64, head: u64) -> StreamWord {
    StreamWord {
        stream: StreamId::parse(stream).expect("an id"),
        state,
        reason: None,
        epoch: Some(1),
        cursor: Some(cursor),
        head,
        lag: head - cursor,
        attempts: 0,
        next_retry: None,
        last_error: None,
    }
}

fn sync(state: ConnectionState, proof: Option<At>) -> SyncWord {
    let is_stuck = state == ConnectionState::Blocked;
    SyncWord { state, reason: None, attempts: 0, next_retry: None, last_error: None, lag: 0, is_stuck, proof }
}

fn lane() -> LaneFacts {
    LaneFacts { server: "http://h:1".into(), database: "d".into(), is_wanted: true, ..LaneFacts::default() }
}

/// A screen on which everything is live at `T0`.
fn live() -> Model {
    let mut model = Model::new();
    model.on(T0, Observation::Lane(lane()));
    model.on(T0, Observation::Presence(PresenceWord::Connecting));
    let connection_id = "mine".to_string();
    model.on(T0, Observation::Presence(PresenceWord::Open { connection_id, module: None }));
    model.on(T0, Observation::Presence(PresenceWord::Rows(vec![session("mine"), session("b")])));
    model.on(T0, Observation::Presence(PresenceWord::Proof(T0)));
    model.on(T0, Observation::Streams(vec![word("runtime.run.1.events", ConnectionState::Live, 5, 5)]));
    model.on(T0, Observation::Sync(sync(ConnectionState::Live, Some(T0))));
    model.on(
        T0,
        Observation::Events {
            stream: "runtime.run.1.events".into(),
            search: String::new(),
            rows: Vec::new(),
            epoch: Some(1),
            through: 5,
        },
    );
    model.on(T0, Observation::Outbox(None));
    model
}

fn badges(model: &mut Model, now: At) -> Vec<String> {
    let facts = model.facts().clone();
    Pane::ALL.iter().map(|pane| facts.badge(*pane, now).word().to_string()).collect()
}

#[test]
fn a_screen_that_knows_nothing_is_disconnected_everywhere() {
    assert_eq!(badges(&mut Model::new(), T0), ["disconnected"; 5]);
}

#[test]
fn everything_is_live_with_a_proof_and_nothing_is_once_it_is_too_old() {
    let mut model = live();
    let bound = i64::try_from(PROOF_MS_MAX).expect("small");
    assert_eq!(badges(&mut model, at(bound)), ["live"; 5]);
    assert_eq!(badges(&mut model, at(bound + 1)), ["cached"; 5]);
    let held = model.facts().badges_hold_for(at(100)).expect("a proof ends");
    assert_eq!(held, Duration::from_millis(PROOF_MS_MAX - 100 + 1));
}

#[test]
fn a_cut_ends_live_at_once_and_what_was_known_keeps_its_age() {
    let mut model = live();
    let (reason, message) = (LeaveReason::Network, "reset".to_string());
    model.on(at(500), Observation::Presence(PresenceWord::Lost { reason, message, next_retry: at(900) }));
    model.on(at(500), Observation::Sync(sync(ConnectionState::Backoff, None)));
    model.on(at(500), Observation::Streams(vec![word("runtime.run.1.events", ConnectionState::Backoff, 5, 5)]));
    assert_eq!(badges(&mut model, at(500)), ["cached"; 5]);
    let facts = model.facts();
    assert_eq!(facts.badge(Pane::Sessions, at(60_000)), Badge::Cached { age_ms: 60_000 });
    assert_eq!((facts.sessions.total, facts.sessions.link.attempts), (Some(2), 1));
    assert!(facts.counts_down());
}

#[test]
fn a_pane_follows_the_source_of_what_it_shows() {
    // The subscriber replays while sessions are complete.
    let mut model = live();
    model.on(T0, Observation::Streams(vec![word("runtime.run.1.events", ConnectionState::Replaying, 5, 9)]));
    model.on(T0, Observation::Sync(sync(ConnectionState::Replaying, Some(T0))));
    assert_eq!(badges(&mut model, at(1)), ["live", "catching up", "live", "catching up", "live"]);
    // The subscriber is away while sessions are there.
    model.on(T0, Observation::Sync(sync(ConnectionState::Backoff, None)));
    assert_eq!(badges(&mut model, at(1)), ["live", "cached", "live", "cached", "live"]);
    // And the other way round.
    let mut model = live();
    model.on(T0, Observation::Presence(PresenceWord::Closed));
    assert_eq!(badges(&mut model, at(1)), ["cached", "live", "live", "live", "live"]);
    // One stream among several cannot be followed: the whole is not live, the other stream is.
    let mut model = live();
    let other = word("runtime.run.2.events", ConnectionState::Blocked, 0, 0);
    model.on(T0, Observation::Streams(vec![word("runtime.run.1.events", ConnectionState::Live, 5, 5), other]));
    model.on(T0, Observation::Sync(SyncWord { is_stuck: false, ..sync(ConnectionState::Blocked, Some(T0)) }));
    assert_eq!(badges(&mut model, at(1)), ["live", "cached", "live", "live", "live"]);
    assert!(model.facts().sync.streams[1].refusal.is_some() && model.facts().refusal(Pane::Sync).is_none());
}

#[test]
fn events_that_lag_behind_the_cursor_are_not_live_for_long() {
    let mut model = live();
    let proof = at(1_500);
    model.on(proof, Observation::Streams(vec![word("runtime.run.1.events", ConnectionState::Live, 9, 9)]));
    model.on(proof, Observation::Sync(sync(ConnectionState::Live, Some(proof))));
    assert_eq!(model.facts().badge(Pane::Events, at(900)).word(), "cached", "a proof of the future is none");
    assert_eq!(model.facts().badge(Pane::Events, at(1_500)).word(), "catching up", "the rows are 1.5 s old");
    let stream = "runtime.run.1.events".to_string();
    model
        .on(proof, Observation::Events { stream, search: String::new(), rows: Vec::new(), epoch: Some(1), through: 9 });
    assert_eq!(model.facts().badge(Pane::Events, at(1_500)).word(), "live");
}

#[test]
fn what_an_earlier_run_knew_is_shown_with_its_age_until_the_host_is_heard() {
    let mut model = Model::new();
    model.on(T0, Observation::Lane(lane()));
    let remembered = Remembered {
        sync_seen: Some(at(-7_200_000)),
        sessions_seen: Some(at(-3_600_000)),
        total: Some(3),
        by_role: vec![("desktop".into(), 3)],
        rows: vec![session("old")],
    };
    model.on(T0, Observation::Remembered(remembered));
    let facts = model.facts();
    assert_eq!(facts.badge(Pane::Sessions, T0).to_string(), "cached 1 h");
    assert_eq!(facts.badge(Pane::Sync, T0).to_string(), "cached 2 h");
    let open = PresenceWord::Open { connection_id: "mine".into(), module: None };
    model.on(at(1), Observation::Presence(open));
    model.on(at(1), Observation::Presence(PresenceWord::Rows(vec![session("mine")])));
    assert_eq!(model.facts().badge(Pane::Sessions, at(2)).word(), "cached", "no answer yet that proves it");
    model.on(at(1), Observation::Presence(PresenceWord::Proof(at(1))));
    let facts = model.facts();
    assert_eq!((facts.badge(Pane::Sessions, at(2)), facts.sessions.total), (Badge::Live, Some(1)));
    assert_eq!(facts.sessions.churn.totals(), (0, 0), "what came and went before was not seen");
}

#[test]
fn refusals_take_over_the_panes_that_they_concern() {
    let mut model = live();
    let refusal = Refusal::of(Code::SchemaMismatch, "table `person`");
    let refused = PresenceWord::Refused { refusal: refusal.clone(), next_retry: at(60_000) };
    model.on(at(1), Observation::Presence(refused));
    let line = format!("schema_mismatch: table `person`; {}", Code::SchemaMismatch.remedy());
    let stuck = SyncWord { last_error: Some(line), ..sync(ConnectionState::Blocked, None) };
    model.on(at(1), Observation::Sync(stuck));
    let facts = model.facts();
    assert_eq!(facts.refusal(Pane::Sessions), Some(&refusal));
    assert_eq!(facts.refusal(Pane::Sync), Some(&refusal));
    assert_eq!(facts.refusal(Pane::Token), None, "it is not the token's fault");
    assert!(Pane::ALL.iter().all(|pane| facts.badge(*pane, at(1)) != Badge::Live));

    let mut model = live();
    let refusal = Refusal::of(Code::Unauthorized, "expired");
    model.on(at(1), Observation::Presence(PresenceWord::Refused { refusal, next_retry: at(60_000) }));
    let facts = model.facts();
    assert_eq!(facts.refusal(Pane::Token).map(|refusal| refusal.kind), Some(Kind::Permission));
    assert_eq!(facts.token.last_refusal, Some((at(1), "expired".into())));
    // It is let in again.
    let open = PresenceWord::Open { connection_id: "mine".into(), module: None };
    model.on(at(2), Observation::Presence(open));
    assert!(Pane::ALL.iter().all(|pane| model.facts().refusal(*pane).is_none()));
}

#[test]
fn a_token_that_nothing_renews_takes_its_pane_over_when_it_expires() {
    let mut model = live();
    let token = TokenFacts { kind: TokenKind::Given, expires: Some(at(1_000)), ..TokenFacts::default() };
    model.on(T0, Observation::Token(token));
    model.on(at(999), Observation::Tick);
    assert!(model.facts().refusal(Pane::Token).is_none());
    // The clock of this machine may be ahead: as long as the host serves, it is the host that is right.
    model.on(at(1_000), Observation::Tick);
    assert!(model.facts().refusal(Pane::Token).is_none() && model.facts().badge(Pane::Token, at(1_000)) == Badge::Live);
    model.on(at(2_000), Observation::Tick);
    let refusal = model.facts().refusal(Pane::Token).expect("nobody takes it any more");
    assert_eq!((refusal.code, refusal.title), (Some("unauthorized"), "The token has expired"));
    assert_ne!(model.facts().badge(Pane::Token, at(2_000)), Badge::Live);
}

#[test]
fn joins_and_leaves_are_counted_also_over_a_gap() {
    let mut model = live();
    let change = PresenceWord::Changed { came: vec![session("c"), session("b")], went: vec!["b".into()] };
    model.on(at(1), Observation::Presence(change));
    assert_eq!(model.facts().sessions.churn.totals(), (1, 0), "a changed row neither came nor went");
    model.on(at(2), Observation::Presence(PresenceWord::Closed));
    model.on(at(3), Observation::Presence(PresenceWord::Open { connection_id: "new".into(), module: None }));
    model.on(at(3), Observation::Presence(PresenceWord::Rows(vec![session("new"), session("b")])));
    let sessions = &model.facts().sessions;
    assert_eq!((sessions.churn.totals(), sessions.total), ((2, 2), Some(2)), "`mine` and `c` went, `new` came");
}

#[test]
fn rates_and_progress_follow_the_cursor() {
    let mut model = live();
    let mut cursor = 0;
    for step in 0..20 {
        cursor = step * 500;
        let states = [word("runtime.run.1.events", ConnectionState::Replaying, cursor, 10_000)];
        model.on(at(i64::try_from(step).expect("small") * 500), Observation::Streams(states.into()));
    }
    let row = &model.facts().sync.streams[0];
    assert!((row.rate - 1_000.0).abs() < 50.0, "{}", row.rate);
    assert!((row.progress.expect("a replay") - cursor as f64 / 10_000.0).abs() < 0.01, "{row:?}");
    // Another epoch begins anew.
    let other = StreamWord { epoch: Some(2), ..word("runtime.run.1.events", ConnectionState::Live, 1, 1) };
    model.on(at(10_000), Observation::Streams(vec![other]));
    let row = &model.facts().sync.streams[0];
    assert_eq!((row.rate, row.progress), (0.0, None));
}

#[test]
fn events_that_were_asked_for_before_another_choice_are_not_shown_under_its_name() {
    let mut model = live();
    model.on(at(1), Observation::Choose(Some("runtime.run.2.events".into())));
    let stream = "runtime.run.1.events".to_string();
    let late = EventRow {
        seq: 1,
        epoch: 1,
        kind: "k".into(),
        at: T0,
        payload: "{}".into(),
        payload_bytes: 2,
        hash: String::new(),
    };
    model
        .on(at(2), Observation::Events { stream, search: String::new(), rows: vec![late], epoch: Some(1), through: 5 });
    assert!(model.facts().events.rows.is_empty());
}

#[derive(Clone, Debug)]
enum Step {
    Pass(i64),
    Open,
    Rows,
    Probe { asked_ago: i64 },
    Lost,
    Refused,
    Closed,
    Sync { state: usize, proof_ago: Option<i64> },
    Streams { state: usize },
    Events,
    Outbox,
    Lane,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1i64..4_000).prop_map(Step::Pass),
        Just(Step::Open),
        Just(Step::Rows),
        (0i64..4_000).prop_map(|asked_ago| Step::Probe { asked_ago }),
        Just(Step::Lost),
        Just(Step::Refused),
        Just(Step::Closed),
        (0usize..6, proptest::option::of(0i64..4_000)).prop_map(|(state, proof_ago)| Step::Sync { state, proof_ago }),
        (0usize..6).prop_map(|state| Step::Streams { state }),
        Just(Step::Events),
        Just(Step::Outbox),
        Just(Step::Lane),
    ];
    proptest::collection::vec(step, 1..60)
}

proptest! {
    #[test]
    fn no_sequence_shows_live_without_a_proof_within_the_bound(steps in steps()) {
        let mut model = live();
        let mut now = T0;
        // What an observer knows: the newest proof of each connection, gone with it.
        let (mut presence, mut subscriber) = (Some(T0), Some(T0));
        for step in steps {
            match step {
                Step::Pass(ms) => now = now.after(Duration::from_millis(ms.unsigned_abs())),
                Step::Open => {
                    presence = None;
                    let open = PresenceWord::Open { connection_id: "x".into(), module: None };
                    model.on(now, Observation::Presence(open));
                }
                Step::Rows => model.on(now, Observation::Presence(PresenceWord::Rows(vec![session("a")]))),
                Step::Probe { asked_ago } => {
                    let asked = At(now.0 - asked_ago * 1_000);
                    presence = presence.max(Some(asked));
                    model.on(now, Observation::Presence(PresenceWord::Proof(asked)));
                }
                Step::Lost => {
                    presence = None;
                    let (reason, message) = (LeaveReason::Network, String::new());
                    model.on(now, Observation::Presence(PresenceWord::Lost { reason, message, next_retry: now }));
                }
                Step::Refused => {
                    presence = None;
                    let refusal = Refusal::of(Code::Unauthorized, "");
                    model.on(now, Observation::Presence(PresenceWord::Refused { refusal, next_retry: now }));
                }
                Step::Closed => {
                    presence = None;
                    model.on(now, Observation::Presence(PresenceWord::Closed));
                }
                Step::Sync { state, proof_ago } => {
                    let proof = proof_ago.map(|ago| At(now.0 - ago * 1_000));
                    subscriber = if proof.is_some() { subscriber.max(proof) } else { None };
                    model.on(now, Observation::Sync(sync(ConnectionState::ALL[state], proof)));
                }
                Step::Streams { state } => {
                    let words = vec![word("runtime.run.1.events", ConnectionState::ALL[state], 5, 5)];
                    model.on(now, Observation::Streams(words));
                }
                Step::Events => {
                    let stream = "runtime.run.1.events".to_string();
                                        let (search, rows, epoch) = (String::new(), Vec::new(), Some(1));
                    model.on(now, Observation::Events { stream, search, rows, epoch, through: 5 });
                }
                Step::Outbox => model.on(now, Observation::Outbox(None)),
                Step::Lane => {
                    (presence, subscriber) = (None, None);
                    model.on(now, Observation::Lane(lane()));
                }
            }
            let is_proven = |proof: Option<At>| {
                proof.is_some_and(|proof| now.since(proof) <= Duration::from_millis(PROOF_MS_MAX))
            };
            let facts = model.facts();
            for pane in Pane::ALL {
                let may = match pane {
                    Pane::Sessions => is_proven(presence),
                    Pane::Sync | Pane::Events => is_proven(subscriber),
                    Pane::Token | Pane::Outbox => is_proven(presence) || is_proven(subscriber),
                };
                prop_assert!(may || facts.badge(pane, now) != Badge::Live, "{pane:?}");
                prop_assert!(may || facts.badge(pane, now) != Badge::CatchingUp, "{pane:?}");
            }
        }
    }
}
