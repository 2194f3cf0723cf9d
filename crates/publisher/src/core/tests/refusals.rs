//! What a refusal does to its stream, and to no other.

use super::*;

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
        ["rate_limited", "forbidden_stream", "internal", "code_of_tomorrow", "unauthorized", "internal", "unauthorized"]
    {
        let (call, _) = appends(&actions)[0];
        talk.taken(call, 10);
        let actions_now = talk.refused(call, code);
        assert!(actions_now.iter().all(|action| matches!(action, Action::RenewToken { .. })), "{actions_now:?}");
        let due = talk.core.next_deadline().expect("a wait");
        waits.push((due - talk.now).as_millis());
        talk.now = due;
        let call = asked(&talk.on(Event::Tick));
        actions = talk.on(Event::States { call, states: vec![host(5, 0)] });
    }
    assert_eq!(waits, [250, 500, 1_000, 2_000, 4_000, 8_000, 8_000]);
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
fn a_question_that_is_refused_for_a_stream_with_its_place_is_asked_again_without_it() {
    let mut talk = Talk::new();
    for no in 1..=4 {
        talk.on(Event::Stored(StreamRecord { no, ..record(0, 5) }));
    }
    talk.on(Event::Start);
    let call = asked(&talk.on(Event::Connected { connection: 1 }));
    let refusal = Refusal { at: Some(2), ..refusal("forbidden_stream") };
    let actions = talk.on(Event::Refused { call, refusal: refusal.clone() });
    assert_eq!(
        actions,
        [Action::Ask { call: 2, generation: 0, streams: vec![1, 2, 4] }],
        "the others wait for nothing"
    );
    assert_eq!(talk.core.status().refused, [(3, refusal.clone())]);
    talk.on(Event::States { call: 2, states: vec![host(5, 5); 3] });
    let due = talk.core.next_deadline().expect("the third is tried again");
    talk.now = due;
    let call = asked(&talk.on(Event::Tick));
    assert_eq!(talk.on(Event::Refused { call, refusal: Refusal { at: Some(0), ..refusal } }), [], "and alone");
}

#[test]
fn a_host_that_says_how_long_it_wants_to_be_left_alone_is_left_alone_for_so_long_within_reason() {
    for (wanted_ms, waited_ms) in [(5_000, 5_000), (10, 250), (600_000, 60_000)] {
        let (mut talk, _) = Talk::with(record(0, 10), host(5, 0));
        talk.taken(2, 10);
        let retry_after = Some(Duration::from_millis(wanted_ms));
        let refusal = Refusal { retry_after, ..refusal("rate_limited") };
        assert_eq!(talk.on(Event::Refused { call: 2, refusal }), []);
        assert_eq!(talk.core.next_deadline(), Some(NOW + Duration::from_millis(waited_ms)));
    }
}

#[test]
fn a_damaged_outbox_parks_the_stream_only_once_nothing_is_under_way() {
    let (mut talk, _) = Talk::with(record(0, 30), host(5, 0));
    talk.taken(2, 10);
    assert_eq!(talk.on(Event::NotTaken { call: 3, damaged: true, message: "cut off".into() }), [], "2 is under way");
    let actions = talk.on(Event::Accepted { call: 2 });
    assert_eq!((parks(&actions), forgets(&actions)), (vec!["outbox_damaged".into()], vec![(7, 10)]));
    // Whoever decides now decides about what the host does not have.
    let call = asked(&talk.on(Event::Reset(StreamRecord { renumber: true, ..record(10, 30) })));
    let actions = talk.on(Event::States { call, states: vec![host(5, 10)] });
    assert_eq!(saves(&actions), [StreamRecord { generation: FRESH, base: 10, ..record(10, 30) }]);
    assert_eq!(talk.core.status().calls, 0);
}

#[test]
fn answers_from_before_a_persons_word_touch_nothing_behind_it() {
    let (mut talk, _) = Talk::with(record(0, 30), host(5, 0));
    talk.taken(2, 10);
    talk.taken(3, 10);
    let call = asked(&talk.on(Event::Reset(StreamRecord { renumber: true, ..record(0, 30) })));
    assert_eq!(talk.core.status().calls, 1, "the question");
    assert_eq!(talk.on(Event::Accepted { call: 2 }), []);
    assert_eq!(talk.refused(3, "sequence_conflict"), []);
    talk.on(Event::States { call, states: vec![host(5, 20)] });
    talk.on(Event::Saved { stream: 7, ok: true });
    assert_eq!((talk.core.confirmed(7), talk.core.status().calls), (Some(0), 1));
}

#[test]
fn a_refusal_before_the_first_success_is_over_with_it() {
    let (mut talk, _) = Talk::with(StreamRecord { epoch: 0, ..record(0, 1) }, host(0, 0));
    talk.taken(2, 1);
    talk.refused(2, "internal");
    let call = asked(&talk.after(Duration::from_secs(1)));
    let (call, _) = appends(&talk.on(Event::States { call, states: vec![host(0, 0)] }))[0];
    talk.taken(call, 1);
    assert_eq!(forgets(&talk.on(Event::Accepted { call })), [(7, 1)]);
    assert_eq!(talk.core.status().refused, []);
}

#[test]
fn a_damaged_row_is_not_taken_for_a_backlog_without_end() {
    assert_eq!(record(10, 4).pending(), 0);
    let mut talk = Talk::connected();
    assert_eq!(talk.on(Event::Stored(record(10, 4))), []);
}

#[test]
fn what_was_confirmed_before_a_persons_word_is_not_sent_again_though_the_disk_heard_of_it_later() {
    let (mut talk, _) = Talk::with(record(0, 30), host(5, 0));
    talk.taken(2, 10);
    talk.on(Event::NotTaken { call: 3, damaged: true, message: "cut off".into() });
    talk.on(Event::Accepted { call: 2 });
    let call = asked(&talk.on(Event::Reset(record(0, 30))));
    let actions = talk.on(Event::States { call, states: vec![host(5, 10)] });
    assert_eq!(appends(&actions), [(5, 11)]);
}

#[test]
fn of_a_batch_the_event_at_fault_alone_is_left_and_named() {
    let at = |at, code| Refusal { at: Some(at), ..refusal(code) };
    let sent = |actions: &[Action]| match actions {
        [Action::Append { call, first, events_max, .. }] => (*call, *first, *events_max),
        other => panic!("not one batch: {other:?}"),
    };
    let (mut talk, _) = Talk::with(record(0, 20), host(5, 0));
    talk.taken(2, 10);
    talk.taken(3, 10);
    // The seventh of the first ten; what stands behind follows from it.
    talk.on(Event::Refused { call: 2, refusal: at(6, "payload_hash_mismatch") });
    let call = asked(&talk.refused(3, "producer_hole"));
    let (call, first, events) = sent(&talk.on(Event::States { call, states: vec![host(5, 0)] }));
    assert_eq!((first, events), (1, 6), "what stands before it");
    talk.taken(call, 6);
    let actions = talk.on(Event::Accepted { call });
    assert_eq!(forgets(&actions), [(7, 6)]);
    let (call, first) = appends(&actions)[0];
    assert_eq!(first, 7);
    talk.on(Event::Forgotten { ok: true });
    talk.taken(call, 10);
    let call = asked(&talk.on(Event::Refused { call, refusal: at(0, "payload_hash_mismatch") }));
    let (call, _, events) = sent(&talk.on(Event::States { call, states: vec![host(5, 6)] }));
    talk.taken(call, events);
    let actions = talk.on(Event::Refused { call, refusal: at(0, "payload_hash_mismatch") });
    let [Action::Park { stream: 7, refusal }] = &actions[..] else { panic!("not parked: {actions:?}") };
    assert_eq!(refusal.message, "because (the outbox's event 7 of this stream)");
    // Once a person has passed over it, the rest goes out as before.
    let call = asked(&talk.on(Event::Reset(StreamRecord { renumber: true, ..record(7, 20) })));
    talk.on(Event::States { call, states: vec![host(5, 6)] });
    let call = asked(&talk.on(Event::Saved { stream: 7, ok: true }));
    assert_eq!(sent(&talk.on(Event::States { call, states: vec![host(5, 0)] })).1, 8);
}

#[test]
fn an_event_at_fault_that_moves_forward_is_looked_for_until_it_is_the_first() {
    let (mut talk, mut actions) = Talk::with(record(0, 10), host(5, 0));
    for (place, count) in [(8, 10), (4, 8), (0, 4)] {
        let (call, _) = appends(&actions)[0];
        talk.taken(call, count);
        let refusal = Refusal { at: Some(place), ..refusal("payload_hash_mismatch") };
        let mut answer = talk.on(Event::Refused { call, refusal });
        if place == 0 {
            assert_eq!(parks(&answer), ["payload_hash_mismatch"]);
            return;
        }
        assert_eq!(parks(&answer), [""; 0], "{place}");
        if answer.is_empty() {
            answer = talk.after(Duration::from_secs(8));
        }
        actions = talk.on(Event::States { call: asked(&answer), states: vec![host(5, 0)] });
        assert!(matches!(actions[..], [Action::Append { events_max, .. }] if events_max == place), "{actions:?}");
    }
}
