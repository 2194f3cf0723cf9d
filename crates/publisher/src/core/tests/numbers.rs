//! How numbers are counted where a stream is made anew, renewed, restored or given up.

use super::*;

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
    let [Action::Ask { call, generation: 1, .. }] = actions[..] else { panic!("not asked first: {actions:?}") };
    let actions = talk.on(Event::States { call, states: vec![host(9, 0)] });
    assert!(
        matches!(actions[..], [Action::Append { epoch: 9, generation: 1, first: 41, number: 1, .. }]),
        "{actions:?}"
    );
    assert_eq!(talk.core.counters().rebased, 1);
}

#[test]
fn a_counting_that_an_outbox_of_before_the_copy_has_begun_already_is_not_begun_again() {
    // The lost outbox had met the stream made anew, and had sent 7 events under the next counting. The copy knows nothing
    // of that: without a question, its next 7 events would be taken for those and forgotten.
    let (mut talk, actions) = Talk::with(record(40, 60), host(9, 0));
    assert_eq!(saves(&actions).len(), 1);
    let call = asked(&talk.on(Event::Saved { stream: 7, ok: true }));
    let actions = talk.on(Event::States { call, states: vec![with_event(HostEvent::Other, 9, 7)] });
    assert_eq!(
        (parks(&actions), forgets(&actions), appends(&actions)),
        (vec!["outbox_behind_host".into()], vec![], vec![])
    );
    // Accepting the loss leads to a counting that nobody ever began, and not to the one after.
    let renumber = StreamRecord { epoch: 9, generation: 1, base: 40, renumber: true, ..record(40, 60) };
    let call = asked(&talk.on(Event::Reset(renumber)));
    let actions = talk.on(Event::States { call, states: vec![with_event(HostEvent::Other, 9, 7)] });
    assert_eq!(saves(&actions), [StreamRecord { generation: FRESH, renumber: false, ..renumber }]);
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
    assert_eq!(saves(&actions), [StreamRecord { generation: FRESH, base: 40, ..record(40, 60) }]);
    let call = asked(&talk.on(Event::Saved { stream: 7, ok: true }));
    let actions = talk.on(Event::States { call, states: vec![host(5, 0)] });
    assert!(matches!(actions[..], [Action::Append { generation: FRESH, first: 41, number: 1, .. }]), "{actions:?}");
}

#[test]
fn an_outbox_older_than_what_the_host_has_parks_the_stream() {
    let (_, actions) = Talk::with(record(40, 60), host(5, 61));
    assert_eq!(parks(&actions), ["outbox_behind_host"]);
}

/// The host's word, where it holds the event under the number.
fn with_event(event: HostEvent, epoch: u64, number: u64) -> HostState {
    HostState { event, ..host(epoch, number) }
}

#[test]
fn an_older_outbox_that_has_given_numbers_again_parks_the_stream_instead_of_forgetting_new_events() {
    // The copy ended with 100; the lost outbox had sent 101 to 150; 60 new events were published before it connected.
    let (mut talk, actions) = Talk::with(record(100, 160), with_event(HostEvent::Other, 5, 150));
    assert_eq!(parks(&actions), ["outbox_behind_host"]);
    assert_eq!(forgets(&actions), []);
    let call = asked(&talk.on(Event::Reset(StreamRecord { renumber: true, ..record(100, 160) })));
    let actions = talk.on(Event::States { call, states: vec![with_event(HostEvent::Other, 5, 150)] });
    assert_eq!(
        saves(&actions),
        [StreamRecord { generation: FRESH, base: 100, ..record(100, 160) }],
        "all of them go out"
    );
}

#[test]
fn a_number_whose_event_is_the_outboxes_own_or_is_not_held_any_more_is_believed() {
    for event in [HostEvent::Own, HostEvent::Unknown] {
        let (_, actions) = Talk::with(record(100, 160), with_event(event, 5, 150));
        assert_eq!((parks(&actions), forgets(&actions)), (vec![], vec![(7, 150)]));
    }
}

#[test]
fn a_loss_that_is_accepted_doubles_nothing_that_the_host_has_under_its_number() {
    let anew = StreamRecord { renumber: true, ..record(40, 60) };
    let (_, actions) = Talk::with(anew, with_event(HostEvent::Own, 5, 45));
    assert_eq!(saves(&actions), [StreamRecord { generation: FRESH, base: 45, ..record(45, 60) }]);
    let (_, actions) = Talk::with(anew, with_event(HostEvent::Unknown, 5, 45));
    assert_eq!(
        saves(&actions),
        [StreamRecord { generation: FRESH, base: 40, ..record(40, 60) }],
        "only if that is sure"
    );
}

#[test]
fn a_stream_of_another_epoch_that_knows_this_counting_and_lost_events_of_it_parks() {
    let lost = |actions: &[Action]| match actions {
        [Action::Park { refusal, .. }] => refusal.clone(),
        other => panic!("not parked: {other:?}"),
    };
    let (_, actions) = Talk::with(record(100, 101), host(10, 90));
    let refusal = lost(&actions);
    assert_eq!(refusal.code, "host_behind_outbox");
    assert!(refusal.message.contains("events 91 to 100"), "{}", refusal.message);
    // Its epoch may not have been learnt yet.
    let (_, actions) = Talk::with(StreamRecord { epoch: 0, ..record(100, 101) }, host(10, 90));
    assert_eq!(lost(&actions).code, "host_behind_outbox");
}
