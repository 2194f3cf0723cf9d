//! What looks like the truth and is none: rows that were taken back, another life of a stream, what is gone.

use super::*;

#[test]
fn a_session_that_does_not_see_itself_any_more_sees_nobody_and_that_is_no_empty_lane() {
    let mut model = live();
    let went = vec!["mine".to_string(), "b".to_string()];
    model.on(at(100), Observation::Presence(PresenceWord::Changed { came: Vec::new(), went }));
    model.on(at(100), Observation::Presence(PresenceWord::Proof(at(100))));
    let facts = model.facts();
    assert_eq!((facts.sessions.total, facts.sessions.rows.len()), (Some(2), 0), "what was known stays");
    assert_ne!(facts.badge(Pane::Sessions, at(101)), Badge::Live);
    assert!(facts.sessions.rows_refused.as_deref().is_some_and(|why| why.contains("presence.read")));
    assert_eq!(facts.sessions.churn.totals(), (0, 0), "nobody has left");
    // The host's own counts are complete.
    let summary = |total, role: &str| PresenceWord::Summary { total, by_role: vec![(role.into(), total)] };
    model.on(at(500), Observation::Presence(summary(5, "desktop")));
    model.on(at(500), Observation::Presence(PresenceWord::Proof(at(500))));
    assert_eq!((model.facts().badge(Pane::Sessions, at(501)), model.facts().sessions.total), (Badge::Live, Some(5)));
    model.on(at(600), Observation::Presence(summary(5, "operator")));
    assert_eq!(model.facts().sessions.by_role[0].0, "operator", "as many, and others");
    // It may read them again.
    let came = vec![session("mine"), session("c"), session("d")];
    model.on(at(700), Observation::Presence(PresenceWord::Changed { came, went: Vec::new() }));
    let sessions = &model.facts().sessions;
    assert_eq!((sessions.total, sessions.rows.len(), sessions.rows_refused.as_deref()), (Some(3), 3, None));
}

#[test]
fn counts_of_an_earlier_run_do_not_become_live_where_the_host_gives_none() {
    let mut model = Model::new();
    model.on(T0, Observation::Lane(lane()));
    let remembered = Remembered { sessions_seen: Some(at(-3_600_000)), total: Some(9), ..Remembered::default() };
    model.on(T0, Observation::Remembered(remembered));
    model.on(T0, Observation::Presence(PresenceWord::Open { connection_id: "mine".into(), module: None }));
    model.on(T0, Observation::Presence(PresenceWord::RowsRefused("not for you".into())));
    model.on(at(1), Observation::Presence(PresenceWord::Proof(at(1))));
    assert_eq!(model.facts().badge(Pane::Sessions, at(2)).to_string(), "cached 1 h");
}

#[test]
fn a_pane_that_is_taken_over_is_never_live() {
    let mut model = live();
    let refusal = Refusal::local("The outbox cannot be read", "it is damaged; restore it");
    model.on(at(1), Observation::OutboxUnreadable(refusal));
    assert_eq!(model.facts().badge(Pane::Outbox, at(1)).word(), "cached");
    model.on(at(2), Observation::Outbox(None));
    assert_eq!(model.facts().badge(Pane::Outbox, at(2)), Badge::Live);
    // What the token service says is nothing about the outbox.
    let refusal = Some(Refusal::of_token_service("the secret is wrong; give another"));
    model.on(at(2), Observation::Token(TokenFacts { refusal, ..TokenFacts::default() }));
    let facts = model.facts();
    let of = |pane| facts.badge(pane, at(2)).word();
    assert_eq!((of(Pane::Token), of(Pane::Outbox)), ("cached", "live"));
}

#[test]
fn another_life_of_a_stream_is_not_shown_by_the_events_of_the_one_before() {
    let mut model = live();
    let again = StreamWord { epoch: Some(2), ..word("runtime.run.1.events", ConnectionState::Live, 5, 5) };
    model.on(at(1), Observation::Streams(vec![again]));
    assert_eq!(model.facts().badge(Pane::Events, at(2)).word(), "catching up", "as many events, and others");
    let stream = "runtime.run.1.events".to_string();
    let (search, rows, epoch) = (String::new(), Vec::new(), Some(2));
    model.on(at(3), Observation::Events { stream, search, rows, epoch, through: 5 });
    assert_eq!(model.facts().badge(Pane::Events, at(3)), Badge::Live);
}

#[test]
fn events_that_were_let_go_of_are_not_the_same_as_before() {
    let mut model = live();
    let stream = "runtime.run.1.events".to_string();
    let there = || Observation::Streams(vec![word("runtime.run.1.events", ConnectionState::Live, 5, 5)]);
    model.on(at(1), Observation::Streams(Vec::new()));
    model.on(at(2), there());
    model.on(at(3), Observation::EventsSame { stream, search: String::new() });
    assert_eq!(model.facts().events.read_at, None, "nothing is there that could be the same");
    assert_eq!(model.facts().badge(Pane::Events, at(4)).word(), "catching up");
}

#[test]
fn the_events_of_a_stream_that_is_gone_grow_old_while_the_rest_is_live() {
    let (one, two) = ("runtime.run.1.events", "runtime.run.2.events");
    let mut model = live();
    model.on(T0, Observation::Choose(Some(one.into())));
    let proof = at(1_000);
    model.on(proof, Observation::Sync(sync(ConnectionState::Live, Some(proof))));
    let closed = StreamWord { reason: Some(LeaveReason::StreamClosed), ..word(one, ConnectionState::Idle, 5, 5) };
    model.on(proof, Observation::Streams(vec![closed, word(two, ConnectionState::Live, 7, 7)]));
    model.on(at(60_000), Observation::Sync(sync(ConnectionState::Live, Some(at(60_000)))));
    assert_eq!(model.facts().badge(Pane::Events, at(60_000)).to_string(), "cached 55 s");
    // A pass later nothing is said of it any more.
    model.on(at(60_000), Observation::Streams(vec![word(two, ConnectionState::Live, 7, 7)]));
    model.on(at(121_000), Observation::Sync(sync(ConnectionState::Live, Some(at(121_000)))));
    let facts = model.facts();
    assert_eq!(facts.badge(Pane::Events, at(121_000)).to_string(), "cached 2 min");
    assert_eq!(facts.badge(Pane::Sync, at(121_000)), Badge::Live);
}

#[test]
fn nothing_is_applied_at_any_rate_while_the_host_is_not_heard() {
    let mut model = live();
    for (ms, cursor) in [(500, 1_000), (1_000, 2_000)] {
        model
            .on(at(ms), Observation::Streams(vec![word("runtime.run.1.events", ConnectionState::Live, cursor, 2_000)]));
    }
    assert!(model.facts().sync.rate > 1_000.0);
    let away = word("runtime.run.1.events", ConnectionState::Backoff, 2_000, 2_000);
    model.on(at(1_100), Observation::Streams(vec![away]));
    assert_eq!((model.facts().sync.rate, model.facts().sync.streams[0].rate), (0.0, 0.0));
}

#[test]
fn whoever_is_connected_to_another_database_is_somebody_else() {
    let mut model = live();
    model.on(at(1), Observation::Database("candidate".into()));
    let facts = model.facts();
    assert_eq!(facts.lane.as_ref().map(|lane| lane.database.as_str()), Some("candidate"));
    assert_eq!((facts.sessions.total, facts.badge(Pane::Sessions, at(1))), (None, Badge::Disconnected));
    model.on(at(2), Observation::Presence(PresenceWord::Open { connection_id: "mine".into(), module: None }));
    model.on(at(2), Observation::Database("candidate".into()));
    model.on(at(2), Observation::Presence(PresenceWord::Rows(vec![session("mine")])));
    model.on(at(2), Observation::Presence(PresenceWord::Proof(at(2))));
    assert_eq!((model.facts().sessions.total, model.facts().sessions.churn.totals()), (Some(1), (0, 0)));
}

#[test]
fn a_token_service_that_refuses_is_named_and_not_the_host() {
    let mut model = Model::new();
    model.on(T0, Observation::Lane(lane()));
    let refusal = Some(Refusal::of_token_service("the secret of `desk` is wrong; give another"));
    model.on(T0, Observation::Token(TokenFacts { refusal, ..TokenFacts::default() }));
    let last_error = Some("the secret of `desk` is wrong; give another".into());
    let stuck =
        SyncWord { reason: Some(LeaveReason::Unauthorized), last_error, ..sync(ConnectionState::Blocked, None) };
    model.on(T0, Observation::Sync(stuck));
    assert_eq!(model.facts().refusal(Pane::Sync).map(|refusal| refusal.title), Some("The token service refuses"));
}
