//! Everything at once: whatever is delayed, lost, repeated, cut, killed, refused by the disk or pruned, each stream is
//! applied from its beginning to its end, in order, each event once, and what cannot be is told first.

use proptest::prelude::*;

use super::world::*;
use crate::engine::*;

#[derive(Clone, Debug)]
enum Step {
    Append { stream: u8, count: u8, is_signalled: bool, rides: bool },
    Answer { index: usize },
    Repeat { index: usize },
    Lose { index: usize },
    Commit,
    FailToCommit { is_store: bool },
    Connect,
    Cut,
    Kill,
    Pass { ms: u64 },
    AnotherToken,
    Renew { stream: u8 },
    Prune { stream: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 1..9u8, any::<bool>(), any::<bool>())
            .prop_map(|(stream, count, is_signalled, rides)| Step::Append { stream, count, is_signalled, rides }),
        12 => (0..8usize).prop_map(|index| Step::Answer { index }),
        1 => (0..8usize).prop_map(|index| Step::Repeat { index }),
        1 => (0..8usize).prop_map(|index| Step::Lose { index }),
        8 => Just(Step::Commit),
        1 => any::<bool>().prop_map(|is_store| Step::FailToCommit { is_store }),
        4 => Just(Step::Connect),
        1 => Just(Step::Cut),
        1 => Just(Step::Kill),
        3 => (1..9_000u64).prop_map(|ms| Step::Pass { ms }),
        2 => Just(Step::AnotherToken),
        1 => (0..3u8).prop_map(|stream| Step::Renew { stream }),
        1 => (0..3u8).prop_map(|stream| Step::Prune { stream }),
    ]
}

fn name(stream: u8) -> String {
    format!("s{stream}")
}

fn take(world: &mut World, step: &Step, made: &mut u64) {
    match step {
        Step::Append { stream, count, is_signalled, rides } => {
            let payloads: Vec<String> = (0..*count)
                .map(|_| {
                    *made += 1;
                    made.to_string()
                })
                .collect();
            let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
            let what = world.append_in_silence(&name(*stream), &payloads);
            if *is_signalled {
                let head = world.log(&name(*stream)).events.len() as u64;
                let rides = *rides && what == Signal::Ahead;
                let page = rides.then(|| world.page_behind(&name(*stream), head - u64::from(*count)));
                world.signal_with(&name(*stream), what, page);
            }
        }
        Step::Answer { index } | Step::Repeat { index } if !world.asked.is_empty() => {
            let index = index % world.asked.len();
            let (_, request, what) = world.asked.remove(index).expect("it is there");
            let reply = world.answer(&what);
            world.feed(Event::Answered { request, reply: reply.clone() });
            if matches!(step, Step::Repeat { .. }) {
                world.feed(Event::Answered { request, reply });
            }
        }
        Step::Lose { index } if !world.asked.is_empty() => {
            world.asked.remove(index % world.asked.len());
        }
        Step::Commit => {
            world.commit_next();
        }
        Step::FailToCommit { is_store } => {
            if let Some((batch, _)) = world.to_apply.pop_front() {
                let scope = if *is_store { Scope::Store } else { Scope::Stream };
                let failure = ApplyFailure { scope, is_retryable: true, message: "no".into() };
                world.feed(Event::ApplyFailed { batch, failure });
            }
        }
        Step::Connect => world.connect(),
        Step::Cut => world.disconnect(),
        Step::Kill => world.restart(),
        Step::AnotherToken => world.feed(Event::TokenRefreshDue),
        Step::Pass { ms } => world.pass(limits::ms(*ms)),
        Step::Renew { stream } => {
            if let Some(log) = world.host.get_mut(&id(&name(*stream))) {
                log.epoch += 1_000;
                log.snapshot = None;
            }
        }
        Step::Prune { stream } => {
            let head = world.host.get(&id(&name(*stream))).map_or(0, |log| log.events.len() as u64);
            if head > 2 {
                world.prune(&name(*stream), head - 1, head);
            }
        }
        Step::Answer { .. } | Step::Repeat { .. } | Step::Lose { .. } => {}
    }
}

fn check_live(world: &World) -> Result<(), TestCaseError> {
    use muster_contract::state::ConnectionState::Live;
    for (id, status) in world.streams.iter().filter(|(_, status)| status.state == Live) {
        prop_assert!(world.open.is_some(), "{id} is live without a connection");
        prop_assert_eq!(status.cursor, world.store.get(id).and_then(|kept| kept.place).map(|place| place.position));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_iters: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn each_stream_is_applied_to_its_end_in_order_and_once(steps in prop::collection::vec(step(), 1..120)) {
        let mut world = World::new();
        let mut made = 0;
        for step in &steps {
            take(&mut world, step, &mut made);
            check_live(&world)?;
        }
        for _ in 0..12 {
            world.settle();
            // Requests whose answers were lost are given up, and waits come to their end.
            world.pass(limits::ms(8_000));
        }
        world.settle();
        for (id, log) in &world.host {
            let kept = world.store.get(id).cloned().unwrap_or_default();
            let place = kept.place.expect("a cursor");
            prop_assert_eq!((place.position.epoch.get(), place.position.seq.get()), (log.epoch, log.events.len() as u64));
            let expected: Vec<_> = log.events[kept.base as usize..].iter().map(|event| event.payload.clone()).collect();
            prop_assert_eq!(&kept.payloads, &expected);
            prop_assert!(kept.base == 0 || !kept.resets.is_empty(), "it begins at {} and nobody was told", kept.base);
            prop_assert_eq!(world.streams[id].state, muster_contract::state::ConnectionState::Live);
        }
        prop_assert_eq!(world.engine.in_flight_bytes(), 0);
    }

    #[test]
    fn the_same_events_give_the_same_actions(steps in prop::collection::vec(step(), 1..60)) {
        let trace = || {
            let mut world = World::new();
            let mut made = 0;
            let mut trace = String::new();
            for step in &steps {
                take(&mut world, step, &mut made);
                trace.push_str(&format!("{:?}{:?}{:?}\n", world.asked, world.to_apply, world.status));
            }
            trace
        };
        prop_assert_eq!(trace(), trace());
    }
}
