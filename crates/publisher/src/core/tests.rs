//! Each rule of the core, one at a time; all of them together against a model of a host in [`model`].

use std::time::Duration;

use super::*;

mod model;
mod numbers;
mod refusals;
mod tokens;

const NOW: Duration = Duration::from_secs(1);

/// The counting that the random bits of these tests lead to.
const FRESH: u32 = u32::MAX;

/// A core of small batches, to be spoken to in short words.
struct Talk {
    core: Core,
    now: Duration,
    taken: Vec<Action>,
}

impl Talk {
    /// Connected, and asked about nothing yet.
    fn new() -> Talk {
        let config = CoreConfig {
            batch_events_max: 10,
            stream_calls_max: 3,
            calls_max: 6,
            in_flight_events_max: 1_000,
            eager_calls: 1,
            linger: Duration::from_millis(5),
            forget_pause: Duration::ZERO,
            ..CoreConfig::default()
        };
        Talk { core: Core::new(config), now: NOW, taken: Vec::new() }
    }

    fn connected() -> Talk {
        let mut talk = Talk::new();
        assert_eq!(talk.on(Event::Start), [Action::Connect { connection: 1 }]);
        assert_eq!(talk.on(Event::Connected { connection: 1 }), []);
        talk
    }

    /// Connected, with a stream of this record about which the host has answered.
    fn with(record: StreamRecord, host: HostState) -> (Talk, Vec<Action>) {
        let mut talk = Talk::connected();
        let call = asked(&talk.on(Event::Stored(record)));
        let actions = talk.on(Event::States { call, states: vec![host] });
        (talk, actions)
    }

    fn on(&mut self, event: Event) -> Vec<Action> {
        let mut actions = self.core.on(self.now, u64::MAX, event);
        // Said once for each connection; `tokens.rs` is about it.
        self.taken.extend(actions.extract_if(.., |action| matches!(action, Action::TokenTaken { .. })));
        actions
    }

    fn after(&mut self, wait: Duration) -> Vec<Action> {
        self.now += wait;
        self.on(Event::Tick)
    }

    fn taken(&mut self, call: CallId, count: u32) -> Vec<Action> {
        self.on(Event::Taken { call, count, bytes: 100 })
    }

    fn refused(&mut self, call: CallId, code: &str) -> Vec<Action> {
        self.on(Event::Refused { call, refusal: refusal(code) })
    }
}

fn refusal(code: &str) -> Refusal {
    Refusal::new(code, "because")
}

fn record(confirmed: u64, last: u64) -> StreamRecord {
    StreamRecord { no: 7, epoch: 5, base: 0, confirmed, last, ..StreamRecord::default() }
}

const fn host(epoch: u64, number: u64) -> HostState {
    HostState { epoch, number, event: HostEvent::Unknown }
}

/// The call of the one question among these actions.
fn asked(actions: &[Action]) -> CallId {
    match actions {
        [.., Action::Ask { call, .. }] | [Action::Ask { call, .. }, ..] => *call,
        other => panic!("no question: {other:?}"),
    }
}

/// Calls and first local numbers of the batches among these actions.
fn appends(actions: &[Action]) -> Vec<(CallId, u64)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Append { call, first, .. } => Some((*call, *first)),
            _ => None,
        })
        .collect()
}

fn forgets(actions: &[Action]) -> Vec<(StreamNo, u64)> {
    actions
        .iter()
        .filter_map(|action| if let Action::Forget(list) = action { Some(list.clone()) } else { None })
        .flatten()
        .collect()
}

fn saves(actions: &[Action]) -> Vec<StreamRecord> {
    actions.iter().filter_map(|action| if let Action::Save(record) = action { Some(*record) } else { None }).collect()
}

fn parks(actions: &[Action]) -> Vec<String> {
    let code = |action: &Action| match action {
        Action::Park { refusal, .. } => Some(refusal.code.clone()),
        _ => None,
    };
    actions.iter().filter_map(code).collect()
}

#[test]
fn nothing_is_sent_before_the_host_was_asked() {
    let mut talk = Talk::connected();
    let actions = talk.on(Event::Stored(record(0, 5)));
    assert_eq!(actions, [Action::Ask { call: 1, generation: 0, streams: vec![7] }]);
    let actions = talk.on(Event::States { call: 1, states: vec![host(5, 2)] });
    assert_eq!(appends(&actions), [(2, 3)]);
    assert_eq!(forgets(&actions), [(7, 2)], "what the host has is confirmed");
    assert_eq!(talk.core.counters().duplicates, 2);
}

#[test]
fn batches_of_a_stream_go_out_in_order_and_several_at_a_time() {
    let (mut talk, actions) = Talk::with(record(0, 100), host(5, 0));
    assert_eq!(appends(&actions), [(2, 1)]);
    assert_eq!(appends(&talk.taken(2, 10)), [(3, 11)], "where the next begins is known once this one is read");
    assert_eq!(appends(&talk.taken(3, 8)), [(4, 19)]);
    assert_eq!(appends(&talk.taken(4, 10)), [], "three calls are under way");
    let actions = talk.on(Event::Accepted { call: 2 });
    assert_eq!((appends(&actions), forgets(&actions)), (vec![(5, 29)], vec![(7, 10)]));
}

#[test]
fn few_events_wait_for_company_only_while_others_are_under_way() {
    let (mut talk, actions) = Talk::with(record(0, 1), host(5, 0));
    assert_eq!(appends(&actions), [(2, 1)], "nothing is under way: at once");
    talk.taken(2, 1);
    assert_eq!(appends(&talk.on(Event::Stored(record(0, 2)))), []);
    assert_eq!(talk.core.next_deadline(), Some(NOW + Duration::from_millis(5)));
    assert_eq!(appends(&talk.after(Duration::from_millis(5))), [(3, 2)]);
    talk.taken(3, 1);
    assert_eq!(appends(&talk.on(Event::Stored(record(0, 12)))), [(4, 3)], "a full batch waits for nothing");
}

#[test]
fn an_event_goes_out_at_once_beside_few_calls_and_waits_beside_more() {
    let (mut talk, actions) = Talk::with(record(0, 1), host(5, 0));
    talk.core.config.eager_calls = 2;
    assert_eq!(appends(&actions), [(2, 1)]);
    talk.taken(2, 1);
    assert_eq!(appends(&talk.on(Event::Stored(record(0, 2)))), [(3, 2)], "beside one");
    talk.taken(3, 1);
    assert_eq!(appends(&talk.on(Event::Stored(record(0, 3)))), [], "two are enough");
    assert_eq!(appends(&talk.after(Duration::from_millis(5))), [(4, 3)], "and nothing waits longer than that");
}

#[test]
fn confirmed_events_are_forgotten_together_after_a_pause() {
    let (mut talk, _) = Talk::with(record(0, 1), host(5, 0));
    talk.core.config.forget_pause = Duration::from_millis(50);
    talk.taken(2, 1);
    assert_eq!(forgets(&talk.on(Event::Accepted { call: 2 })), [(7, 1)], "the first at once");
    talk.on(Event::Forgotten { ok: true });
    for number in 2..4 {
        let call = appends(&talk.on(Event::Stored(record(0, number))))[0].0;
        talk.taken(call, 1);
        assert_eq!(forgets(&talk.on(Event::Accepted { call })), []);
    }
    assert_eq!(talk.core.next_deadline(), Some(talk.now + Duration::from_millis(50)));
    assert_eq!(forgets(&talk.after(Duration::from_millis(50))), [(7, 3)], "the next two together");
}

#[test]
fn what_is_under_way_is_bounded_and_streams_take_turns() {
    let mut talk = Talk::connected();
    talk.on(Event::Stop);
    for no in 1..=4 {
        talk.on(Event::Stored(StreamRecord { no, ..record(0, 1_000) }));
    }
    talk.on(Event::Start);
    let call = asked(&talk.on(Event::Connected { connection: 2 }));
    let mut actions = talk.on(Event::States { call, states: vec![host(5, 0); 4] });
    let mut sent = Vec::new();
    let mut bounded = 0;
    while let Some(Action::Append { call, stream, .. }) = actions.first().cloned() {
        actions.remove(0);
        sent.push(stream);
        actions.extend(talk.on(Event::Taken { call, count: 10, bytes: 1 }));
        bounded = bounded.max(talk.core.status().calls);
    }
    assert_eq!((sent, bounded), (vec![1, 2, 3, 4, 1, 2], 6));
    let streams = |actions: Vec<Action>| -> Vec<StreamNo> {
        let of = |action: &Action| if let Action::Append { stream, .. } = action { Some(*stream) } else { None };
        actions.iter().filter_map(of).collect()
    };
    // Whoever is answered, the place goes to the stream whose turn it is.
    let first = talk.core.calls.keys().copied().next().expect("calls are under way");
    assert_eq!(streams(talk.on(Event::Accepted { call: first })), [3]);
    assert_eq!(streams(talk.on(Event::Accepted { call: first + 1 })), [4]);
}

#[test]
fn events_under_way_are_bounded() {
    let config = CoreConfig { batch_events_max: 10, in_flight_events_max: 25, ..CoreConfig::default() };
    let mut talk = Talk { core: Core::new(config), now: NOW, taken: Vec::new() };
    talk.on(Event::Start);
    talk.on(Event::Connected { connection: 1 });
    let call = asked(&talk.on(Event::Stored(record(0, 100))));
    let first = appends(&talk.on(Event::States { call, states: vec![host(5, 0)] }));
    let second = appends(&talk.on(Event::Taken { call: first[0].0, count: 10, bytes: 1 }));
    assert_eq!(appends(&talk.on(Event::Taken { call: second[0].0, count: 10, bytes: 1 })), []);
    assert_eq!(appends(&talk.on(Event::Accepted { call: first[0].0 })).len(), 1);
}

#[test]
fn bytes_under_way_are_bounded() {
    let config = CoreConfig { in_flight_bytes_max: 3 * 1_024 * 1_024, ..CoreConfig::default() };
    let mut talk = Talk { core: Core::new(config), now: NOW, taken: Vec::new() };
    talk.on(Event::Start);
    talk.on(Event::Connected { connection: 1 });
    let call = asked(&talk.on(Event::Stored(record(0, 100_000))));
    let mut next = appends(&talk.on(Event::States { call, states: vec![host(5, 0)] }));
    let mut calls = 0;
    while let Some((call, _)) = next.pop() {
        calls += 1;
        next = appends(&talk.on(Event::Taken { call, count: 4, bytes: 1_024 * 1_024 }));
    }
    assert_eq!(calls, 3);
}

#[test]
fn an_event_is_forgotten_only_after_it_was_confirmed() {
    let (mut talk, actions) = Talk::with(record(0, 10), host(5, 0));
    assert_eq!(forgets(&actions), []);
    assert_eq!(forgets(&talk.taken(2, 10)), []);
    assert_eq!(forgets(&talk.refused(2, "internal")), []);
    assert_eq!(forgets(&talk.on(Event::Accepted { call: 2 })), [], "a call is answered once");
    let call = asked(&talk.after(Duration::from_secs(1)));
    assert_eq!(forgets(&talk.on(Event::States { call, states: vec![host(5, 4)] })), [(7, 4)]);
}

#[test]
fn what_could_not_be_forgotten_is_tried_again_later() {
    let (mut talk, _) = Talk::with(record(0, 10), host(5, 10));
    assert_eq!(talk.on(Event::Forgotten { ok: false }), []);
    assert_eq!(talk.core.next_deadline(), Some(NOW + Duration::from_secs(1)));
    assert_eq!(forgets(&talk.after(Duration::from_secs(1))), [(7, 10)]);
    talk.on(Event::Forgotten { ok: true });
    assert_eq!(talk.core.next_deadline(), None);
}

#[test]
fn after_a_cut_the_host_is_asked_again_and_sending_goes_on_from_its_answer() {
    let (mut talk, _) = Talk::with(record(0, 30), host(5, 0));
    talk.taken(2, 10);
    talk.taken(3, 10);
    talk.on(Event::Disconnected { connection: 1, retryable: true, message: "cut".into() });
    assert_eq!(talk.core.status().state, State::Backoff { until: NOW + Duration::from_millis(250) });
    assert_eq!(talk.on(Event::Accepted { call: 2 }), [], "an answer of another connection");
    assert_eq!(talk.after(Duration::from_millis(250)), [Action::Connect { connection: 2 }]);
    let call = asked(&talk.on(Event::Connected { connection: 2 }));
    let actions = talk.on(Event::States { call, states: vec![host(5, 20)] });
    assert_eq!((appends(&actions)[0].1, forgets(&actions)), (21, vec![(7, 20)]));
}

#[test]
fn news_of_an_older_connection_is_ignored() {
    let mut talk = Talk::new();
    talk.on(Event::Start);
    talk.on(Event::Stop);
    assert_eq!(talk.on(Event::Start), [Action::Connect { connection: 2 }]);
    talk.on(Event::Connected { connection: 1 });
    assert_eq!(talk.core.status().state, State::Connecting);
    talk.on(Event::Connected { connection: 2 });
    talk.on(Event::Disconnected { connection: 1, retryable: false, message: "late".into() });
    assert_eq!(talk.core.status().state, State::Idle);
}

#[test]
fn waits_between_attempts_grow_until_a_host_answers_a_call() {
    let mut talk = Talk::connected();
    let mut waits = Vec::new();
    for connection in 1..4 {
        talk.on(Event::Disconnected { connection, retryable: true, message: "down".into() });
        let State::Backoff { until } = talk.core.status().state else { panic!("no backoff") };
        waits.push((until - talk.now).as_millis());
        talk.now = until;
        talk.on(Event::Tick);
        // That it greets is no proof.
        talk.on(Event::Connected { connection: connection + 1 });
    }
    assert_eq!(waits, [250, 500, 1_000]);
    let call = asked(&talk.on(Event::Stored(record(0, 1))));
    talk.on(Event::States { call, states: vec![host(5, 0)] });
    assert_eq!(talk.core.status().attempts, 0);
}

#[test]
fn what_only_a_person_can_mend_blocks_until_somebody_says_so() {
    let mut talk = Talk::new();
    talk.on(Event::Start);
    talk.on(Event::Disconnected { connection: 1, retryable: false, message: "no such database".into() });
    assert!(matches!(talk.core.status().state, State::Blocked { .. }));
    assert_eq!(talk.core.status().last_error.as_deref(), Some("no such database"));
    assert_eq!(talk.after(Duration::from_secs(44)), []);
    assert_eq!(talk.on(Event::RetryNow), [Action::Connect { connection: 2 }]);
    assert_eq!(talk.core.status().state, State::Connecting);
}

#[test]
fn what_only_a_person_can_mend_is_looked_at_again_slowly_and_says_blocked_until_it_is_mended() {
    let mut talk = Talk::new();
    talk.on(Event::Start);
    talk.on(Event::Disconnected { connection: 1, retryable: false, message: "401".into() });
    assert_eq!(talk.after(Duration::from_secs(75)), [Action::Connect { connection: 2 }]);
    assert!(matches!(talk.core.status().state, State::Blocked { .. }));
    talk.on(Event::Disconnected { connection: 2, retryable: false, message: "401".into() });
    let State::Blocked { until } = talk.core.status().state else { panic!("not blocked") };
    assert!(until >= talk.now + Duration::from_secs(45), "{until:?}");
    assert_eq!(talk.core.next_deadline(), Some(until));
    assert_eq!(talk.after(Duration::from_secs(75)), [Action::Connect { connection: 3 }]);
    talk.on(Event::Connected { connection: 3 });
    assert_eq!(talk.core.status().state, State::Idle);
}

#[test]
fn streams_with_nothing_to_do_are_let_go_of() {
    let config = CoreConfig { drained_streams_max: 2, forget_pause: Duration::ZERO, ..CoreConfig::default() };
    let mut talk = Talk { core: Core::new(config), now: NOW, taken: Vec::new() };
    talk.on(Event::Start);
    talk.on(Event::Connected { connection: 1 });
    for no in 1..=5 {
        let call = asked(&talk.on(Event::Stored(StreamRecord { no, ..record(0, 1) })));
        talk.on(Event::States { call, states: vec![host(5, 1)] });
        talk.on(Event::Forgotten { ok: true });
    }
    assert_eq!(talk.core.streams.len(), 2);
    assert_eq!((talk.core.confirmed(5), talk.core.confirmed(1)), (Some(1), None));
    assert_eq!(talk.core.status().state, State::Idle);
}

#[test]
fn stopping_drops_the_connection_and_everything_under_way() {
    let (mut talk, _) = Talk::with(record(0, 30), host(5, 0));
    assert_eq!(talk.on(Event::Stop), [Action::Disconnect { connection: 1 }]);
    assert_eq!((talk.core.status().state, talk.core.status().calls), (State::Off, 0));
    assert_eq!(talk.on(Event::Disconnected { connection: 1, retryable: true, message: "late".into() }), []);
    assert_eq!(talk.core.status().state, State::Off);
}
