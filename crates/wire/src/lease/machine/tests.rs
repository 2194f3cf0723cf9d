//! The lease's decisions, one by one and against random histories.

use proptest::prelude::*;

use super::*;

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const TERMS: Terms =
    Terms { expires_in: Some(Duration::from_secs(30)), refresh_after_in: Some(Duration::from_secs(20)) };
const SOON: Retry = Retry::Soon { not_before: None };

/// A lease with a token that was asked for at 0.
fn held() -> Lease {
    let mut lease = Lease::new();
    assert_eq!(lease.on(s(0), 0, Event::AskNow), [Action::Ask { question: 1 }]);
    let granted = Event::Granted { question: 1, terms: TERMS };
    assert_eq!(lease.on(s(1), 0, granted), [Action::Offer { serial: 1 }]);
    lease
}

#[test]
fn a_successor_is_asked_for_before_its_time_and_the_token_ends_by_when_it_was_asked_for() {
    let mut lease = held();
    assert_eq!((lease.state(), lease.ends(), lease.next_deadline()), (LeaseState::Held, Some(s(30)), Some(s(20))));
    assert_eq!(lease.on(s(20), 0, Event::Tick), [Action::Ask { question: 2 }]);
    assert_eq!(lease.state(), LeaseState::Refreshing);
    assert_eq!(lease.on(s(30), 0, Event::Tick), [Action::Withdraw]);
    assert_eq!(lease.state(), LeaseState::Ended);
    let granted = Event::Granted { question: 2, terms: TERMS };
    assert_eq!(lease.on(s(31), u64::MAX, granted), [Action::Offer { serial: 2 }]);
    assert_eq!(lease.next_deadline(), Some(s(20) + s(20).mul_f64(0.8)));
}

#[test]
fn a_service_that_is_away_is_asked_ever_more_slowly_and_the_token_stays_good() {
    let mut lease = held();
    lease.on(s(20), 0, Event::Tick);
    let mut now = s(20);
    for (question, bound) in [(2, 250), (3, 500), (4, 1_000), (5, 2_000), (6, 4_000)] {
        assert_eq!(lease.on(now, u64::MAX, Event::Refused { question, retry: SOON }), []);
        assert_eq!(lease.next_ask(), Some(now + ms(bound)));
        assert_eq!(lease.state(), LeaseState::Refreshing);
        now += ms(bound);
        assert_eq!(lease.on(now, 0, Event::Tick), [Action::Ask { question: question + 1 }]);
    }
}

#[test]
fn what_a_person_has_to_mend_is_looked_at_slowly_and_what_a_build_cannot_do_not_at_all() {
    let mut lease = held();
    lease.on(s(20), 0, Event::Tick);
    lease.on(s(20), 0, Event::Refused { question: 2, retry: Retry::Slowly });
    assert_eq!((lease.state(), lease.next_ask()), (LeaseState::Blocked, Some(s(80))));
    assert_eq!(lease.on(s(21), 0, Event::AskNow), [Action::Ask { question: 3 }]);
    lease.on(s(21), 0, Event::Refused { question: 3, retry: Retry::Never });
    assert_eq!((lease.state(), lease.next_ask()), (LeaseState::Blocked, None));
    assert_eq!(lease.on(s(30), 0, Event::Tick), [Action::Withdraw], "good until its end");
    assert_eq!(lease.next_deadline(), None);
}

#[test]
fn a_named_wait_is_kept_and_bounded() {
    let mut lease = Lease::new();
    lease.on(s(0), 0, Event::AskNow);
    let retry = Retry::Soon { not_before: Some(s(7)) };
    lease.on(s(1), 0, Event::Refused { question: 1, retry });
    assert_eq!(lease.next_ask(), Some(s(8)));
    lease.on(s(8), 0, Event::Tick);
    let retry = Retry::Soon { not_before: Some(s(1_000_000)) };
    lease.on(s(8), 0, Event::Refused { question: 2, retry });
    assert_eq!(lease.next_ask(), Some(s(8) + ms(LEASE_RETRY_AFTER_MS_MAX)));
}

#[test]
fn a_token_that_is_not_taken_is_replaced_at_once_and_the_next_such_slowly() {
    let mut lease = held();
    assert_eq!(lease.on(s(2), 0, Event::Denied { serial: 1 }), [Action::Ask { question: 2 }]);
    assert_eq!(lease.on(s(2), 0, Event::Denied { serial: 1 }), [], "said once");
    lease.on(s(2), 0, Event::Granted { question: 2, terms: TERMS });
    assert_eq!(lease.on(s(3), 0, Event::Denied { serial: 2 }), []);
    // Its own successor is due before that.
    assert_eq!((lease.state(), lease.next_ask()), (LeaseState::Blocked, Some(s(22))));
    lease.on(s(22), 0, Event::Tick);
    lease.on(s(22), 0, Event::Granted { question: 3, terms: TERMS });
    lease.on(s(23), 0, Event::Accepted { serial: 3 });
    assert_eq!(lease.state(), LeaseState::Held);
    assert_eq!(lease.on(s(24), 0, Event::Denied { serial: 3 }), [Action::Ask { question: 4 }]);
}

fn events() -> impl Strategy<Value = Event> {
    let terms = (proptest::option::of(10u64..60), proptest::option::of(1u64..60)).prop_map(|(ends, due)| Terms {
        expires_in: ends.map(Duration::from_secs),
        refresh_after_in: due.map(Duration::from_secs),
    });
    let retry = prop_oneof![
        (0u64..10).prop_map(|after| Retry::Soon { not_before: Some(Duration::from_secs(after)) }),
        Just(Retry::Slowly),
        Just(Retry::Never),
    ];
    prop_oneof![
        1 => Just(Event::AskNow),
        4 => (1u64..40, terms).prop_map(|(question, terms)| Event::Granted { question, terms }),
        1 => (1u64..40).prop_map(|question| Event::Unchanged { question }),
        3 => (1u64..40, retry).prop_map(|(question, retry)| Event::Refused { question, retry }),
        2 => (1u64..20).prop_map(|serial| Event::Denied { serial }),
        1 => (1u64..20).prop_map(|serial| Event::Accepted { serial }),
        4 => Just(Event::Tick),
    ]
}

proptest! {
    #[test]
    fn one_question_at_a_time_and_no_token_beyond_its_end(
        steps in proptest::collection::vec((0u64..5_000, any::<u64>(), events()), 1..120)
    ) {
        let mut lease = Lease::new();
        let (mut now, mut asked, mut answered, mut offered) = (Duration::ZERO, 0, 0, None::<Option<Duration>>);
        for (wait, random, event) in steps {
            now += Duration::from_millis(wait);
            // Answers mostly fit the question under way.
            let event = match event {
                Event::Granted { terms, .. } => Event::Granted { question: asked, terms },
                Event::Refused { retry, .. } => Event::Refused { question: asked, retry },
                other => other,
            };
            let answers = matches!(event, Event::Granted { .. } | Event::Refused { .. } | Event::Unchanged { .. });
            if answers && asked > answered {
                answered = match event { Event::Unchanged { question } if question != asked => answered, _ => asked };
            }
            for action in lease.on(now, random, event) {
                match action {
                    Action::Ask { question } => {
                        prop_assert_eq!(question, asked + 1);
                        prop_assert_eq!(asked, answered, "one at a time");
                        asked = question;
                    }
                    Action::Offer { .. } => offered = Some(lease.ends()),
                    Action::Withdraw => {
                        prop_assert!(offered.take().flatten().is_some_and(|ends| ends <= now));
                    }
                }
            }
            if let Some(Some(ends)) = offered {
                prop_assert!(ends > now, "a token that has ended is withdrawn");
            }
            prop_assert!(lease.next_deadline().is_none_or(|at| at > now), "what is due is done");
        }
    }
}
