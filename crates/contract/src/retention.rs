//! What retention deletes of a stream. A pure decision, the same in the module and in the simulator.
//!
//! What always holds: only the oldest events go, in order, so what is left is a run up to the head; nothing goes that is
//! newer than the newest snapshot, unless the policy says so; and nothing goes that some limit does not ask for.

/// How long a lane keeps events. 0 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// At most so long after an event was stored, in seconds.
    pub age_s: u64,
    /// At most so many events of a stream.
    pub events: u64,
    /// At most so many bytes of a stream's kinds and payloads.
    pub bytes: u64,
    /// Whether events that no snapshot covers are kept whatever the limits say: without a snapshot, all of them.
    pub keep_unsnapshotted: bool,
}

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The lowest `seq` held; `head + 1` when none is.
    pub floor: u64,
    /// The highest `seq` ever given.
    pub head: u64,
    /// Bytes of kinds and payloads held.
    pub bytes: u64,
    /// Up to which `seq` the newest snapshot reaches; 0 when there is none.
    pub snapshot_seq: u64,
}

/// One of the oldest events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Old {
    /// Its kind's and payload's bytes.
    pub bytes: u64,
    /// When the host stored it, by the host's clock, in microseconds since 1970.
    pub stored_at_us: i64,
}

/// What goes: everything below the new floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The floor afterwards.
    pub floor: u64,
    /// The bytes that go.
    pub bytes: u64,
}

impl Policy {
    /// Keeps everything.
    pub const KEEP_ALL: Policy = Policy { age_s: 0, events: 0, bytes: 0, keep_unsnapshotted: true };

    /// Whether there is any limit.
    pub const fn deletes(&self) -> bool {
        self.age_s > 0 || self.events > 0 || self.bytes > 0
    }

    /// The highest `seq` that may go, as far as can be told without looking at events; `None` if no event may.
    pub fn last_candidate(&self, held: &Held) -> Option<u64> {
        let last = if self.keep_unsnapshotted { held.snapshot_seq.min(held.head) } else { held.head };
        let wanted = self.age_s > 0 || self.too_many(held.floor, held) || self.too_large(held.bytes);
        (wanted && held.floor <= last).then_some(last)
    }

    fn too_many(&self, floor: u64, held: &Held) -> bool {
        self.events > 0 && held.head + 1 - floor > self.events
    }

    fn too_large(&self, bytes: u64) -> bool {
        self.bytes > 0 && bytes > self.bytes
    }

    /// An event of a clock that was put back later is not old.
    fn too_old(&self, stored_at_us: i64, now_us: i64) -> bool {
        let age_us = i128::from(now_us) - i128::from(stored_at_us);
        self.age_s > 0 && age_us >= i128::from(self.age_s) * 1_000_000
    }
}

/// Decides what goes of a stream whose `oldest` events, from its floor on and in order, are given: all of them, or as many
/// as the caller wants to look at.
pub fn cut(policy: &Policy, held: &Held, now_us: i64, oldest: impl IntoIterator<Item = Old>) -> Cut {
    let mut cut = Cut { floor: held.floor, bytes: 0 };
    let Some(last) = policy.last_candidate(held) else {
        return cut;
    };
    for event in oldest {
        let goes = policy.too_many(cut.floor, held)
            || policy.too_large(held.bytes.saturating_sub(cut.bytes))
            || policy.too_old(event.stored_at_us, now_us);
        if !goes || cut.floor > last {
            break;
        }
        cut = Cut { floor: cut.floor + 1, bytes: cut.bytes + event.bytes };
    }
    cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW_US: i64 = 1_000_000_000;

    /// A stream of events of 10 bytes, one stored each second, the newest now.
    fn stream(floor: u64, head: u64, snapshot_seq: u64) -> (Held, Vec<Old>) {
        let old = |seq: u64| Old { bytes: 10, stored_at_us: NOW_US - (head - seq) as i64 * 1_000_000 };
        let held = Held { floor, head, bytes: (head + 1 - floor) * 10, snapshot_seq };
        (held, (floor..=head).map(old).collect())
    }

    fn floor_after(policy: Policy, (held, oldest): (Held, Vec<Old>)) -> u64 {
        cut(&policy, &held, NOW_US, oldest).floor
    }

    #[test]
    fn without_a_limit_nothing_goes() {
        assert_eq!(floor_after(Policy::KEEP_ALL, stream(1, 100, 100)), 1);
        let policy = Policy { keep_unsnapshotted: false, ..Policy::KEEP_ALL };
        assert_eq!(floor_after(policy, stream(1, 100, 0)), 1);
    }

    #[test]
    fn each_limit_leaves_what_it_allows() {
        let policy = |age_s, events, bytes| Policy { age_s, events, bytes, ..Policy::KEEP_ALL };
        assert_eq!(floor_after(policy(0, 30, 0), stream(1, 100, 100)), 71);
        assert_eq!(floor_after(policy(0, 0, 305), stream(1, 100, 100)), 71);
        // Event 90 is ten seconds old, and goes.
        assert_eq!(floor_after(policy(10, 0, 0), stream(1, 100, 100)), 91);
        // The strictest one counts.
        assert_eq!(floor_after(policy(10, 50, 950), stream(1, 100, 100)), 91);
    }

    #[test]
    fn what_no_snapshot_covers_stays_unless_the_policy_says_otherwise() {
        let keep = Policy { events: 10, ..Policy::KEEP_ALL };
        assert_eq!(floor_after(keep, stream(1, 100, 0)), 1);
        assert_eq!(floor_after(keep, stream(1, 100, 40)), 41);
        let all = Policy { keep_unsnapshotted: false, ..keep };
        assert_eq!(floor_after(all, stream(1, 100, 0)), 91);
        assert_eq!(floor_after(all, stream(1, 100, 40)), 91);
    }

    #[test]
    fn an_empty_stream_has_nothing_to_delete() {
        let policy = Policy { age_s: 1, events: 1, bytes: 1, keep_unsnapshotted: false };
        assert_eq!(floor_after(policy, stream(101, 100, 100)), 101);
        assert_eq!(floor_after(policy, stream(1, 0, 0)), 1);
    }

    #[test]
    fn an_event_from_the_future_is_not_old() {
        let policy = Policy { age_s: 1, keep_unsnapshotted: false, ..Policy::KEEP_ALL };
        let held = Held { floor: 1, head: 1, bytes: 1, snapshot_seq: 0 };
        let of = |stored_at_us| cut(&policy, &held, NOW_US, [Old { bytes: 1, stored_at_us }]).floor;
        assert_eq!(of(i64::MAX), 1);
        assert_eq!(of(i64::MIN), 2);
    }

    fn policies() -> impl Strategy<Value = Policy> {
        (0u64..40, 0u64..40, 0u64..400, any::<bool>()).prop_map(|(age_s, events, bytes, keep_unsnapshotted)| Policy {
            age_s,
            events,
            bytes,
            keep_unsnapshotted,
        })
    }

    fn streams() -> impl Strategy<Value = (Held, Vec<Old>)> {
        (1u64..40, 0u64..60).prop_flat_map(|(floor, count)| {
            let head = floor - 1 + count;
            let events = prop::collection::vec((0u64..30, 0i64..60), count as usize);
            (events, 0..=head).prop_map(move |(events, snapshot_seq)| {
                let old = |(bytes, age_s): (u64, i64)| Old { bytes, stored_at_us: NOW_US - age_s * 1_000_000 };
                let events: Vec<_> = events.into_iter().map(old).collect();
                let bytes = events.iter().map(|event| event.bytes).sum();
                (Held { floor, head, bytes, snapshot_seq }, events)
            })
        })
    }

    proptest! {
        #[test]
        fn what_goes_is_old_enough_to_go_and_what_stays_does_not_have_to((held, events) in streams(), policy in policies()) {
            let Cut { floor, bytes } = cut(&policy, &held, NOW_US, events.iter().copied());
            prop_assert!(held.floor <= floor && floor <= held.head + 1);
            let gone = (floor - held.floor) as usize;
            prop_assert_eq!(bytes, events[..gone].iter().map(|event| event.bytes).sum::<u64>());
            if policy.keep_unsnapshotted && gone > 0 {
                prop_assert!(floor <= held.snapshot_seq + 1);
            }
            if !policy.deletes() {
                prop_assert_eq!(gone, 0);
            }
            // Doing it again finds nothing, and doing it in two steps comes to the same.
            let after = Held { floor, bytes: held.bytes - bytes, ..held };
            prop_assert_eq!(cut(&policy, &after, NOW_US, events[gone..].iter().copied()).floor, floor);
            let some = cut(&policy, &held, NOW_US, events.iter().take(gone / 2).copied());
            prop_assert_eq!(some.floor, held.floor + gone as u64 / 2);
        }

        #[test]
        fn limits_hold_where_no_snapshot_rule_stands_against_them((held, events) in streams(), policy in policies()) {
            let policy = Policy { keep_unsnapshotted: false, ..policy };
            let Cut { floor, bytes } = cut(&policy, &held, NOW_US, events.iter().copied());
            if policy.events > 0 {
                prop_assert!(held.head + 1 - floor <= policy.events);
            }
            if policy.bytes > 0 {
                prop_assert!(held.bytes - bytes <= policy.bytes);
            }
        }

        #[test]
        fn a_snapshot_that_reached_the_floor_still_does((held, events) in streams(), policy in policies()) {
            let policy = Policy { keep_unsnapshotted: true, ..policy };
            if held.snapshot_seq + 1 >= held.floor {
                let Cut { floor, .. } = cut(&policy, &held, NOW_US, events);
                prop_assert!(held.snapshot_seq + 1 >= floor);
            }
        }
    }
}
