//! Each rule of the core, one at a time; all of them together against a model of a host in [`model`].

use std::time::Duration;

use super::*;

mod model;

const NOW: Duration = Duration::from_secs(1);

/// A core of small batches, to be spoken to in short words.
struct Talk {
    core: Core,
    now: Duration,
}

impl Talk {
    /// Connected, and asked about nothing yet.
    fn new() -> Talk {
        let config = CoreConfig {
            batch_events_max: 10,
            stream_calls_max: 3,
            calls_max: 6,
            in_flight_events_max: 1_000,
            linger: Duration::from_millis(5),
            ..CoreConfig::default()
        };
        Talk { core: Core::new(config), now: NOW }
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
        self.core.on(self.now, u64::MAX, event)
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
    Refusal { code: code.into(), message: "because".into() }
}

fn record(confirmed: u64, last: u64) -> StreamRecord {
    StreamRecord { no: 7, epoch: 5, base: 0, confirmed, last, ..StreamRecord::default() }
}

const fn host(epoch: u64, number: u64) -> HostState {
    HostState { epoch, number }
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
    let mut talk = Talk { core: Core::new(config), now: NOW };
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
    let mut talk = Talk { core: Core::new(config), now: NOW };
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
    assert_eq!(talk.core.status().state, State::Blocked);
    assert_eq!(talk.core.status().last_error.as_deref(), Some("no such database"));
    assert_eq!((talk.core.next_deadline(), talk.after(Duration::from_secs(99_999))), (None, vec![]));
    assert_eq!(talk.on(Event::RetryNow), [Action::Connect { connection: 2 }]);
}

#[test]
fn a_refused_stream_stops_waits_for_what_is_under_way_and_asks() {
    let (mut talk, _) = Talk::with(record(0, 100), host(5, 0));
    talk.taken(2, 10);
    talk.taken(3, 10);
    talk.taken(4, 10);
    assert_eq!(talk.refused(2, "sequence_conflict"), []);
    assert_eq!(talk.refused(3, "producer_hole"), []);
    let actions = talk.refused(4, "producer_hole");
    assert_eq!(actions, [Action::Ask { call: 5, generation: 0, streams: vec![7] }], "nothing else before the answer");
    assert_eq!(talk.core.status().refused, [(7, refusal("sequence_conflict"))], "the others follow from the first");
}

#[test]
fn a_stream_is_parked_when_a_final_refusal_comes_again_for_the_only_call() {
    let (mut talk, _) = Talk::with(record(0, 20), host(5, 0));
    talk.taken(2, 10);
    talk.taken(3, 10);
    talk.refused(2, "sequence_conflict");
    let call = asked(&talk.refused(3, "producer_hole"));
    let actions = talk.on(Event::States { call, states: vec![host(5, 0)] });
    let [(call, 1)] = appends(&actions)[..] else { panic!("not one batch from 1 on: {actions:?}") };
    assert_eq!(appends(&talk.taken(call, 10)), [], "one call at a time now");
    assert_eq!(parks(&talk.refused(call, "sequence_conflict")), ["sequence_conflict"]);
    assert_eq!(talk.core.status().parked_streams, 1);
    assert_eq!(talk.on(Event::Stored(record(0, 101))), [], "it waits for a person");
    let actions = talk.on(Event::Reset(record(0, 101)));
    assert!(matches!(actions[..], [Action::Ask { .. }]));
}

#[test]
fn a_refusal_that_a_crash_took_back_parks_nothing() {
    let (mut talk, _) = Talk::with(record(0, 10), host(5, 0));
    talk.taken(2, 10);
    let call = asked(&talk.refused(2, "sequence_conflict"));
    let (probe, _) = appends(&talk.on(Event::States { call, states: vec![host(5, 0)] }))[0];
    talk.taken(probe, 10);
    assert_eq!(forgets(&talk.on(Event::Accepted { call: probe })), [(7, 10)]);
    // Another one, much later, is the first again.
    let mut later = record(10, 20);
    later.epoch = 5;
    let (call, _) = appends(&talk.on(Event::Stored(later)))[0];
    talk.taken(call, 10);
    assert_eq!(parks(&talk.refused(call, "sequence_conflict")), [""; 0]);
}

#[test]
fn final_refusals_of_changing_codes_park_in_the_end() {
    let (mut talk, mut actions) = Talk::with(record(0, 10), host(5, 0));
    for code in ["producer_hole", "sequence_conflict", "payload_hash_mismatch"] {
        let (call, _) = appends(&actions)[0];
        talk.taken(call, 10);
        let mut answer = talk.refused(call, code);
        assert_eq!(parks(&answer), [""; 0], "{code}");
        if answer.is_empty() {
            answer = talk.after(Duration::from_secs(8));
        }
        actions = talk.on(Event::States { call: asked(&answer), states: vec![host(5, 0)] });
    }
    let (call, _) = appends(&actions)[0];
    talk.taken(call, 10);
    assert_eq!(parks(&talk.refused(call, "producer_hole")), ["producer_hole"]);
}

#[test]
fn a_parked_stream_holds_up_no_other() {
    let (mut talk, _) = Talk::with(record(0, 10), host(5, 0));
    talk.taken(2, 10);
    let call = asked(&talk.refused(2, "payload_hash_mismatch"));
    let (call, _) = appends(&talk.on(Event::States { call, states: vec![host(5, 0)] }))[0];
    talk.taken(call, 10);
    talk.refused(call, "payload_hash_mismatch");
    let call = asked(&talk.on(Event::Stored(StreamRecord { no: 8, ..record(0, 5) })));
    assert_eq!(appends(&talk.on(Event::States { call, states: vec![host(5, 0)] })).len(), 1);
}

#[test]
fn passing_refusals_are_tried_again_ever_more_slowly_and_never_park() {
    let (mut talk, mut actions) = Talk::with(record(0, 10), host(5, 0));
    let mut waits = Vec::new();
    for code in
        ["rate_limited", "forbidden_stream", "internal", "code_of_tomorrow", "unauthorized", "internal", "internal"]
    {
        let (call, _) = appends(&actions)[0];
        talk.taken(call, 10);
        assert_eq!(talk.refused(call, code), []);
        let due = talk.core.next_deadline().expect("a wait");
        waits.push((due - talk.now).as_millis());
        talk.now = due;
        let call = asked(&talk.on(Event::Tick));
        actions = talk.on(Event::States { call, states: vec![host(5, 0)] });
    }
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
}

#[test]
fn a_stream_made_anew_is_counted_from_one_and_nothing_goes_out_before_that_is_on_disk() {
    let (mut talk, _) = Talk::with(record(40, 60), host(5, 40));
    talk.taken(2, 10);
    talk.taken(3, 10);
    talk.refused(2, "epoch_changed");
    let call = asked(&talk.refused(3, "epoch_changed"));
    let actions = talk.on(Event::States { call, states: vec![host(9, 0)] });
    assert_eq!(saves(&actions), [StreamRecord { epoch: 9, generation: 1, base: 40, ..record(40, 60) }]);
    assert_eq!(appends(&actions), []);
    let actions = talk.on(Event::Saved { stream: 7, ok: true });
    assert!(
        matches!(actions[..], [Action::Append { epoch: 9, generation: 1, first: 41, number: 1, .. }]),
        "{actions:?}"
    );
    assert_eq!(talk.core.counters().rebased, 1);
}

#[test]
fn a_stream_with_a_new_epoch_that_kept_its_producers_keeps_its_count() {
    // Event 41 was stored, its acknowledgement lost, and then every epoch renewed.
    let (_, actions) = Talk::with(record(40, 60), host(9, 41));
    assert_eq!(saves(&actions), [StreamRecord { epoch: 9, confirmed: 41, ..record(40, 60) }]);
}

#[test]
fn a_number_of_an_earlier_counting_is_never_taken_for_one_of_this() {
    use muster_contract::producer::ProducerId;
    let outbox = ProducerId::from_random(0xabc0);
    assert_eq!(producer_of(outbox, 0), outbox);
    assert_ne!(producer_of(outbox, 1), producer_of(outbox, 2));
    // Streams of two countings are not asked about in one question.
    let mut talk = Talk::new();
    for (no, generation) in [(1, 0), (2, 3), (3, 0)] {
        talk.on(Event::Stored(StreamRecord { no, generation, ..record(0, 5) }));
    }
    talk.on(Event::Start);
    let actions = talk.on(Event::Connected { connection: 1 });
    assert_eq!(actions, [Action::Ask { call: 1, generation: 0, streams: vec![1, 3] }]);
    let actions = talk.on(Event::States { call: 1, states: vec![host(5, 5), host(5, 5)] });
    assert!(actions.contains(&Action::Ask { call: 2, generation: 3, streams: vec![2] }), "{actions:?}");
}

#[test]
fn new_numbers_that_cannot_be_written_are_not_used() {
    let (mut talk, actions) = Talk::with(record(40, 60), host(9, 0));
    assert_eq!(saves(&actions).len(), 1);
    assert_eq!(talk.on(Event::Saved { stream: 7, ok: false }), []);
    let call = asked(&talk.after(Duration::from_millis(250)));
    assert_eq!(
        saves(&talk.on(Event::States { call, states: vec![host(9, 0)] })).len(),
        1,
        "it begins with the question"
    );
}

#[test]
fn new_numbers_written_after_their_connection_ended_are_asked_about_again() {
    let (mut talk, _) = Talk::with(record(40, 60), host(9, 0));
    talk.on(Event::Disconnected { connection: 1, retryable: true, message: "cut".into() });
    talk.after(Duration::from_millis(250));
    assert_eq!(talk.on(Event::Connected { connection: 2 }), []);
    assert!(matches!(talk.on(Event::Saved { stream: 7, ok: true })[..], [Action::Ask { .. }]));
}

#[test]
fn the_epoch_of_a_stream_that_the_publisher_made_is_learnt_after_the_first_success() {
    let (mut talk, actions) = Talk::with(StreamRecord { epoch: 0, ..record(0, 15) }, host(0, 0));
    assert!(matches!(actions[..], [Action::Append { epoch: 0, number: 1, .. }]));
    assert_eq!(appends(&talk.taken(2, 10)), [], "a rest waits for company");
    let more = appends(&talk.after(Duration::from_millis(5)));
    talk.taken(more[0].0, 5);
    assert_eq!(forgets(&talk.on(Event::Accepted { call: 2 })), [(7, 10)]);
    assert_eq!(talk.on(Event::Accepted { call: more[0].0 }), [], "with nothing to send there is nothing to ask");
    let call = asked(&talk.on(Event::Stored(record(15, 16))));
    let actions = talk.on(Event::States { call, states: vec![host(3, 15)] });
    assert_eq!(saves(&actions), [StreamRecord { epoch: 3, ..record(15, 16) }]);
}

#[test]
fn a_host_that_lost_what_it_confirmed_parks_the_stream_until_the_loss_is_accepted() {
    let (mut talk, actions) = Talk::with(record(40, 60), host(5, 30));
    assert_eq!(parks(&actions), ["host_behind_outbox"]);
    let call = asked(&talk.on(Event::Reset(StreamRecord { renumber: true, ..record(40, 60) })));
    let actions = talk.on(Event::States { call, states: vec![host(5, 30)] });
    assert_eq!(saves(&actions), [StreamRecord { generation: 1, base: 40, ..record(40, 60) }]);
    let actions = talk.on(Event::Saved { stream: 7, ok: true });
    assert!(matches!(actions[..], [Action::Append { generation: 1, first: 41, number: 1, .. }]), "{actions:?}");
}

#[test]
fn an_outbox_older_than_what_the_host_has_parks_the_stream() {
    let (_, actions) = Talk::with(record(40, 60), host(5, 61));
    assert_eq!(parks(&actions), ["outbox_behind_host"]);
}

#[test]
fn a_damaged_outbox_parks_the_stream_and_an_unreadable_one_is_tried_again() {
    let (mut talk, _) = Talk::with(record(0, 10), host(5, 0));
    let actions = talk.on(Event::NotTaken { call: 2, damaged: true, message: "cut off".into() });
    assert_eq!(parks(&actions), ["outbox_damaged"]);
    let (mut talk, _) = Talk::with(record(0, 10), host(5, 0));
    assert_eq!(talk.on(Event::NotTaken { call: 2, damaged: false, message: "busy".into() }), []);
    assert!(talk.core.next_deadline().is_some());
}

#[test]
fn a_question_that_is_refused_for_one_stream_is_asked_for_each_alone() {
    let mut talk = Talk::new();
    for no in 1..=3 {
        talk.on(Event::Stored(StreamRecord { no, ..record(0, 5) }));
    }
    talk.on(Event::Start);
    let mut actions = talk.on(Event::Connected { connection: 1 });
    assert_eq!(actions, [Action::Ask { call: 1, generation: 0, streams: vec![1, 2, 3] }]);
    actions = talk.refused(1, "bad_stream_id");
    assert_eq!(actions, [Action::Ask { call: 2, generation: 0, streams: vec![1] }]);
    let actions = talk.on(Event::States { call: 2, states: vec![host(5, 0)] });
    assert!(actions.contains(&Action::Ask { call: 3, generation: 0, streams: vec![2] }), "{actions:?}");
}

#[test]
fn streams_with_nothing_to_do_are_let_go_of() {
    let config = CoreConfig { drained_streams_max: 2, ..CoreConfig::default() };
    let mut talk = Talk { core: Core::new(config), now: NOW };
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
