//! Another token: the next connection takes over from the one before, and no event is lost or sent over both.

use super::*;
use crate::limits::HAND_OVER_MS_MAX;

/// A core with one batch of ten under way, whose successor is connected.
fn draining() -> (Talk, CallId) {
    let (mut talk, actions) = Talk::with(record(0, 10), host(5, 0));
    let [(call, 1)] = appends(&actions)[..] else { panic!("no batch: {actions:?}") };
    talk.taken(call, 10);
    assert_eq!(talk.on(Event::TokenRefreshDue), [Action::Connect { connection: 2 }]);
    assert_eq!(talk.on(Event::Connected { connection: 2 }), []);
    (talk, call)
}

#[test]
fn what_is_under_way_is_awaited_and_then_the_next_connection_asks_and_goes_on() {
    let (mut talk, call) = draining();
    assert_eq!(talk.on(Event::Stored(record(0, 30))), [], "nothing new goes out");
    let actions = talk.on(Event::Accepted { call });
    assert_eq!(actions[0], Action::Disconnect { connection: 1 });
    let call = asked(&actions[1..actions.len() - usize::from(!forgets(&actions).is_empty())]);
    let actions = talk.on(Event::States { call, states: vec![host(5, 10)] });
    assert_eq!(appends(&actions)[0].1, 11, "{actions:?}");
    assert_eq!((talk.core.counters().hand_overs, talk.core.counters().duplicates), (1, 0));
}

#[test]
fn a_call_that_is_not_answered_in_time_is_asked_about_on_the_next_connection() {
    let (mut talk, call) = draining();
    assert_eq!(talk.core.next_deadline(), Some(NOW + Duration::from_millis(HAND_OVER_MS_MAX)));
    let actions = talk.after(Duration::from_millis(HAND_OVER_MS_MAX));
    assert_eq!(actions[0], Action::Disconnect { connection: 1 });
    let question = asked(&actions);
    assert_eq!(talk.on(Event::Accepted { call }), [], "an answer of the one before is nobody's");
    // It was done after all.
    let actions = talk.on(Event::States { call: question, states: vec![host(5, 10)] });
    assert_eq!((appends(&actions), forgets(&actions)), (vec![], vec![(7, 10)]));
}

#[test]
fn if_the_connection_before_breaks_first_the_next_is_the_connection() {
    let (mut talk, _) = draining();
    let lost = Event::Disconnected { connection: 1, retryable: true, message: "cut".into() };
    let actions = talk.on(lost);
    assert!(matches!(actions[..], [Action::Ask { .. }]), "{actions:?}");
    // The same while it is still opening.
    assert_eq!(talk.on(Event::TokenRefreshDue), [Action::Connect { connection: 3 }]);
    let lost = Event::Disconnected { connection: 2, retryable: true, message: "cut".into() };
    assert_eq!((talk.on(lost), talk.core.status().state), (vec![], State::Connecting));
    assert!(matches!(talk.on(Event::Connected { connection: 3 })[..], [Action::Ask { .. }]));
}

#[test]
fn a_next_connection_that_cannot_be_had_harms_nobody_and_is_tried_again() {
    let (mut talk, actions) = Talk::with(record(0, 10), host(5, 0));
    let [(call, _)] = appends(&actions)[..] else { panic!("no batch") };
    talk.taken(call, 10);
    talk.on(Event::TokenRefreshDue);
    let failed = Event::Disconnected { connection: 2, retryable: true, message: "away".into() };
    assert_eq!((talk.on(failed), talk.core.status().state), (vec![], State::Sending));
    assert_eq!(talk.after(Duration::from_millis(250)), [Action::Connect { connection: 3 }]);
}

#[test]
fn a_grant_that_ended_asks_for_a_token_once_parks_nothing_and_the_token_brings_it_back() {
    let (mut talk, actions) = Talk::with(record(0, 10), host(5, 0));
    let [(call, _)] = appends(&actions)[..] else { panic!("no batch") };
    talk.taken(call, 10);
    assert_eq!(talk.taken, [Action::TokenTaken { connection: 1 }]);
    assert_eq!(talk.refused(call, "unauthorized"), [Action::RenewToken { connection: 1 }]);
    let call = asked(&talk.after(Duration::from_secs(1)));
    assert_eq!(talk.refused(call, "unauthorized"), []);
    assert_eq!(talk.on(Event::TokenRefreshDue), [Action::Connect { connection: 2 }]);
    let actions = talk.on(Event::Connected { connection: 2 });
    assert_eq!(actions[0], Action::Disconnect { connection: 1 });
    assert!(matches!(actions[1], Action::Ask { .. }), "at once: {actions:?}");
    assert_eq!(parks(&actions), Vec::<String>::new());
}
