//! A host and an application that do anything the protocol allows, in any order.

use proptest::prelude::*;

use super::*;

/// One step of a host and an application that do anything the protocol allows.
#[derive(Clone, Debug)]
enum Step {
    Subscribe,
    Unsubscribe(usize),
    Call,
    Answer(usize, bool),
    Change,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        Just(Step::Subscribe),
        any::<usize>().prop_map(Step::Unsubscribe),
        Just(Step::Call),
        (any::<usize>(), any::<bool>()).prop_map(|(which, ok)| Step::Answer(which, ok)),
        Just(Step::Change),
        (0u64..20).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 1..80)
}

/// Plays the host: keeps what it was asked, and answers one of it.
#[derive(Default)]
struct Host {
    asked: Vec<ClientMessage>,
}

impl Host {
    fn take(&mut self, actions: &[Action]) {
        let sent = actions.iter().filter_map(|action| match action {
            Action::Send(message) => Some(message.clone()),
            _ => None,
        });
        self.asked.extend(sent);
    }

    fn answer(&mut self, which: usize, ok: bool) -> Option<Event> {
        if self.asked.is_empty() {
            return None;
        }
        Some(match self.asked.remove(which % self.asked.len()) {
            ClientMessage::Subscribe(it) if ok => applied(it.request_id, it.query_set_id.id),
            ClientMessage::Subscribe(it) => failed(Some(it.request_id), it.query_set_id.id),
            ClientMessage::Unsubscribe(it) if ok => unsubscribed(it.request_id, it.query_set_id.id),
            ClientMessage::Unsubscribe(it) => failed(Some(it.request_id), it.query_set_id.id),
            ClientMessage::CallReducer(it) if ok => reduced(it.request_id, ReducerOutcome::OkEmpty),
            ClientMessage::CallReducer(it) => reduced(it.request_id, ReducerOutcome::InternalError("no".into())),
            other => unreachable!("never sent: {other:?}"),
        })
    }
}

proptest! {
    #[test]
    fn every_caller_is_answered_exactly_once_and_no_honest_host_is_accused(steps in steps()) {
        let (mut session, mut host, mut now, mut calls) = (session(), Host::default(), Duration::ZERO, 0);
        let mut answered = std::collections::BTreeMap::<CallId, usize>::new();
        let mut live = Vec::new();
        let mut run = |session: &mut Session, host: &mut Host, live: &mut Vec<u32>, now, event| {
            let actions = session.on(now, event);
            host.take(&actions);
            for action in &actions {
                match action {
                    Action::Reply { call, result } => {
                        *answered.entry(*call).or_default() += 1;
                        if let Ok(Reply::Subscribed(it)) = result { live.push(it.query_set.id); }
                    }
                    Action::End(ClosedReason::Protocol { detail }) => panic!("accused: {detail}"),
                    _ => {}
                }
            }
        };
        for step in steps {
            let event = match step {
                Step::Subscribe | Step::Call | Step::Unsubscribe(_) => {
                    calls += 1;
                    let request = match step {
                        Step::Subscribe => subscribe(),
                        Step::Unsubscribe(which) if !live.is_empty() => {
                            Request::Unsubscribe { query_set: QuerySetId { id: live.remove(which % live.len()) } }
                        }
                        _ => reducer(),
                    };
                    Event::Ask { call: calls, request, timeout: at(30), deadline: now + at(30) }
                }
                Step::Answer(which, ok) => match host.answer(which, ok) { Some(event) => event, None => continue },
                Step::Change => changed(&[1, 2, 3]),
                Step::Wait(seconds) => {
                    now += at(seconds);
                    run(&mut session, &mut host, &mut live, now, Event::Heard);
                    Event::Tick
                }
            };
            run(&mut session, &mut host, &mut live, now, event);
            prop_assert!(session.room() <= Queues::default().in_flight);
        }
        let lost = Event::Failed(ClosedReason::Lost { reason: "cut".into() });
        run(&mut session, &mut host, &mut live, now, lost);
        let expected: std::collections::BTreeMap<CallId, usize> = (1..=calls).map(|call| (call, 1)).collect();
        prop_assert_eq!(answered, expected);
    }
}
