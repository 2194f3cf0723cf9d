//! May a reader go on from its cursor? A pure decision, the same in the module, the subscriber and the simulator.
//!
//! What always holds: a reader resumes only where everything behind its cursor is still held in the same life of the
//! stream: same epoch and `floor - 1 <= seq <= head`. Every other cursor is stale, with a reason; none is ever clamped.

use serde::{Deserialize, Serialize};

use crate::cursor::{Epoch, Position, Seq};
use crate::state::UnknownWord;

/// What a stream holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Claimed")]
pub struct StreamBounds {
    epoch: Epoch,
    floor: Seq,
    head: Seq,
    snapshot: Option<Seq>,
}

/// The same, not yet checked.
#[derive(Deserialize)]
struct Claimed {
    epoch: Epoch,
    floor: Seq,
    head: Seq,
    snapshot: Option<Seq>,
}

/// Bounds that no stream can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stream cannot hold {floor} to {head}: the floor is at least 1 and at most one above the head")]
pub struct UnsoundBounds {
    /// The claimed floor.
    pub floor: Seq,
    /// The claimed head.
    pub head: Seq,
}

impl StreamBounds {
    /// The bounds of a stream: `floor`, the lowest `seq` still held (`head + 1` where nothing is), `head`, the highest ever
    /// given, and the `seq` up to which its newest snapshot goes.
    ///
    /// # Errors
    /// [`UnsoundBounds`] unless `1 <= floor <= head + 1`.
    pub fn new(epoch: Epoch, floor: Seq, head: Seq, snapshot: Option<Seq>) -> Result<StreamBounds, UnsoundBounds> {
        if floor == Seq::NONE || floor.previous() > head {
            return Err(UnsoundBounds { floor, head });
        }
        Ok(StreamBounds { epoch, floor, head, snapshot })
    }

    /// Which life of the stream.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The lowest `seq` still held; one above the head where nothing is.
    pub fn floor(&self) -> Seq {
        self.floor
    }

    /// The highest `seq` ever given; [`Seq::NONE`] before the first event.
    pub fn head(&self) -> Seq {
        self.head
    }

    /// Where a reader that cannot go on starts again: at the newest snapshot, where every event behind it is still held,
    /// else at the floor.
    pub fn restart(&self) -> Restart {
        match self.usable_snapshot() {
            Some(seq) => Restart::Snapshot { seq },
            None => Restart::Floor { seq: self.floor },
        }
    }

    /// The newest snapshot, unless events between it and the floor are gone, or it summarizes what is not there.
    fn usable_snapshot(&self) -> Option<Seq> {
        self.snapshot.filter(|seq| (self.floor.previous()..=self.head).contains(seq))
    }
}

impl TryFrom<Claimed> for StreamBounds {
    type Error = UnsoundBounds;

    fn try_from(claimed: Claimed) -> Result<Self, Self::Error> {
        StreamBounds::new(claimed.epoch, claimed.floor, claimed.head, claimed.snapshot)
    }
}

/// Where to start without a usable cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// Load the snapshot that summarizes everything up to `seq`, then go on after it.
    Snapshot {
        /// The last event in the snapshot.
        seq: Seq,
    },
    /// Go on with event `seq`, the lowest held. What was before it is gone, unless `seq` is 1.
    Floor {
        /// The first event to read.
        seq: Seq,
    },
}

impl Restart {
    /// The event after which replay begins.
    pub fn after(self) -> Seq {
        match self {
            Restart::Snapshot { seq } => seq,
            Restart::Floor { seq } => seq.previous(),
        }
    }
}

/// Why a reader cannot go on from its cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleReason {
    /// Retention has deleted events that the reader has not applied.
    RetentionFloorBreach,
    /// There is more to replay than the reader wants, and a snapshot saves some of it.
    ReplayBudgetExceeded,
    /// The stream was re-created.
    EpochChanged,
    /// The stream ends before the cursor: the host was restored from an older copy.
    HeadBehindCursor,
    /// The event at the cursor is another than the one that was applied: the host was restored from an older copy and
    /// has gone on since. [`decide`] cannot see this; whoever compares the events' marks does.
    HistoryDiverged,
    /// The host has no such stream: it was restored from a copy older than the stream, or the stream was deleted.
    StreamMissing,
}

impl StaleReason {
    /// Every reason.
    pub const ALL: [StaleReason; 6] = [
        StaleReason::RetentionFloorBreach,
        StaleReason::ReplayBudgetExceeded,
        StaleReason::EpochChanged,
        StaleReason::HeadBehindCursor,
        StaleReason::HistoryDiverged,
        StaleReason::StreamMissing,
    ];

    /// The reason as it is written, in messages and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            StaleReason::RetentionFloorBreach => "retention_floor_breach",
            StaleReason::ReplayBudgetExceeded => "replay_budget_exceeded",
            StaleReason::EpochChanged => "epoch_changed",
            StaleReason::HeadBehindCursor => "head_behind_cursor",
            StaleReason::HistoryDiverged => "history_diverged",
            StaleReason::StreamMissing => "stream_missing",
        }
    }
}

impl std::str::FromStr for StaleReason {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known = StaleReason::ALL.into_iter().find(|reason| reason.as_str() == text);
        known.ok_or_else(|| UnknownWord { what: "reason for a stale cursor", text: text.into() })
    }
}

impl std::fmt::Display for StaleReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a reader does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resume {
    /// Nothing was there and nothing is: wait for the stream's first event.
    AwaitBirth,
    /// The reader has nothing yet: it starts here, with an empty projection.
    FromStart {
        /// Where.
        from: Restart,
    },
    /// The cursor holds: replay what comes after it.
    Resume {
        /// The cursor's `seq`.
        after: Seq,
    },
    /// The cursor does not hold: tell the application, clear its projection, and start again.
    Stale {
        /// Why.
        reason: StaleReason,
        /// Where to start again; the floor of a missing stream is its first event.
        restart_from: Restart,
    },
}

/// Decides what a reader does that `has` applied this much of a stream that `holds` that much (`None`: there is no such
/// stream).
///
/// `replay_budget` is the most events it wants to replay (`None`: all). It takes effect only where a snapshot makes the
/// replay shorter: without one, starting again would mean to read more, not less.
pub fn decide(has: Option<Position>, holds: Option<&StreamBounds>, replay_budget: Option<u64>) -> Resume {
    let (has, holds) = match (has, holds) {
        (None, None) => return Resume::AwaitBirth,
        (Some(_), None) => return stale(StaleReason::StreamMissing, Restart::Floor { seq: Seq::FIRST }),
        (None, Some(holds)) => return Resume::FromStart { from: first_start(holds, replay_budget) },
        (Some(has), Some(holds)) => (has, holds),
    };
    if has.epoch != holds.epoch {
        return stale(StaleReason::EpochChanged, holds.restart());
    }
    if has.seq > holds.head {
        return stale(StaleReason::HeadBehindCursor, holds.restart());
    }
    if has.seq < holds.floor.previous() {
        return stale(StaleReason::RetentionFloorBreach, holds.restart());
    }
    if let Some(seq) = shortcut(has.seq, holds, replay_budget) {
        return stale(StaleReason::ReplayBudgetExceeded, Restart::Snapshot { seq });
    }
    Resume::Resume { after: has.seq }
}

fn stale(reason: StaleReason, restart_from: Restart) -> Resume {
    Resume::Stale { reason, restart_from }
}

/// Where a reader with nothing starts: with the first event, as long as that is held and within its budget.
fn first_start(holds: &StreamBounds, replay_budget: Option<u64>) -> Restart {
    let complete = holds.floor == Seq::FIRST;
    if complete && shortcut(Seq::NONE, holds, replay_budget).is_none() {
        return Restart::Floor { seq: holds.floor };
    }
    holds.restart()
}

/// The snapshot that saves a reader at `seq` a replay beyond its budget, if there is one.
fn shortcut(seq: Seq, holds: &StreamBounds, replay_budget: Option<u64>) -> Option<Seq> {
    let over = replay_budget.is_some_and(|budget| holds.head.get() - seq.get() > budget);
    holds.usable_snapshot().filter(|snapshot| over && *snapshot > seq)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFE: u64 = 7;

    fn holds(floor: u64, head: u64, snapshot: Option<u64>) -> StreamBounds {
        let epoch = Epoch::new(LIFE).expect("not 0");
        StreamBounds::new(epoch, floor.into(), head.into(), snapshot.map(Seq::new)).expect("sound")
    }

    fn at(epoch: u64, seq: u64) -> Option<Position> {
        Some(Position { epoch: Epoch::new(epoch).expect("not 0"), seq: seq.into() })
    }

    fn reason(resume: Resume) -> Option<StaleReason> {
        match resume {
            Resume::Stale { reason, .. } => Some(reason),
            _ => None,
        }
    }

    #[test]
    fn a_cursor_resumes_from_one_below_the_floor_up_to_the_head() {
        let stream = holds(10, 20, None);
        for seq in 9..=20 {
            assert_eq!(decide(at(LIFE, seq), Some(&stream), None), Resume::Resume { after: seq.into() });
        }
        assert_eq!(reason(decide(at(LIFE, 8), Some(&stream), None)), Some(StaleReason::RetentionFloorBreach));
        assert_eq!(reason(decide(at(LIFE, 21), Some(&stream), None)), Some(StaleReason::HeadBehindCursor));
    }

    #[test]
    fn a_stream_whose_events_are_all_gone_still_knows_who_has_read_them() {
        let stream = holds(21, 20, None);
        assert_eq!(decide(at(LIFE, 20), Some(&stream), None), Resume::Resume { after: 20.into() });
        assert_eq!(
            decide(at(LIFE, 19), Some(&stream), None),
            stale(StaleReason::RetentionFloorBreach, Restart::Floor { seq: 21.into() })
        );
    }

    #[test]
    fn another_epoch_is_stale_even_where_the_numbers_fit() {
        let stream = holds(1, 20, Some(15));
        assert_eq!(
            decide(at(8, 10), Some(&stream), None),
            stale(StaleReason::EpochChanged, Restart::Snapshot { seq: 15.into() })
        );
    }

    #[test]
    fn a_stream_that_was_there_and_is_not_is_stale_and_one_that_never_was_is_awaited() {
        assert_eq!(reason(decide(at(LIFE, 3), None, None)), Some(StaleReason::StreamMissing));
        assert_eq!(decide(None, None, None), Resume::AwaitBirth);
    }

    #[test]
    fn a_snapshot_below_the_floor_or_above_the_head_is_no_place_to_start() {
        assert_eq!(holds(10, 20, Some(8)).restart(), Restart::Floor { seq: 10.into() });
        assert_eq!(holds(10, 20, Some(9)).restart(), Restart::Snapshot { seq: 9.into() });
        assert_eq!(holds(10, 20, Some(21)).restart(), Restart::Floor { seq: 10.into() });
    }

    #[test]
    fn a_replay_budget_counts_only_where_a_snapshot_makes_the_replay_shorter() {
        let with = holds(1, 100, Some(90));
        assert_eq!(decide(at(LIFE, 50), Some(&with), Some(50)), Resume::Resume { after: 50.into() });
        assert_eq!(
            decide(at(LIFE, 49), Some(&with), Some(50)),
            stale(StaleReason::ReplayBudgetExceeded, Restart::Snapshot { seq: 90.into() })
        );
        assert_eq!(decide(at(LIFE, 90), Some(&with), Some(5)), Resume::Resume { after: 90.into() });
        assert_eq!(decide(at(LIFE, 49), Some(&holds(1, 100, None)), Some(50)), Resume::Resume { after: 49.into() });
    }

    #[test]
    fn a_new_reader_reads_everything_where_everything_is_held() {
        let from = |stream: &StreamBounds, budget| decide(None, Some(stream), budget);
        let floor = |seq: u64| Resume::FromStart { from: Restart::Floor { seq: seq.into() } };
        let snapshot = |seq: u64| Resume::FromStart { from: Restart::Snapshot { seq: seq.into() } };
        assert_eq!(from(&holds(1, 100, Some(90)), None), floor(1));
        assert_eq!(from(&holds(1, 100, Some(90)), Some(99)), snapshot(90));
        assert_eq!(from(&holds(2, 100, Some(90)), None), snapshot(90));
        assert_eq!(from(&holds(2, 100, None), Some(5)), floor(2));
    }

    #[test]
    fn a_reason_is_read_as_it_is_written_and_is_the_same_in_json() {
        for reason in StaleReason::ALL {
            assert_eq!(reason.to_string().parse(), Ok(reason));
            assert_eq!(serde_json::to_value(reason).expect("json"), reason.as_str());
        }
        assert!("stale".parse::<StaleReason>().is_err());
    }

    #[test]
    fn bounds_that_no_stream_can_have_are_refused() {
        let epoch = Epoch::new(LIFE).expect("not 0");
        for (floor, head) in [(0, 0), (0, 5), (7, 5)] {
            assert!(StreamBounds::new(epoch, Seq::new(floor), Seq::new(head), None).is_err());
        }
        assert!(serde_json::from_str::<StreamBounds>(r#"{"epoch":7,"floor":7,"head":5,"snapshot":null}"#).is_err());
    }

    proptest! {
        #[test]
        fn whoever_resumes_or_restarts_can_read_every_event_up_to_the_head(
            (floor, head) in (1u64..30).prop_flat_map(|floor| (Just(floor), floor - 1..40)),
            snapshot in prop::option::of(0u64..45),
            cursor in prop::option::of((6u64..9, 0u64..45)),
            budget in prop::option::of(0u64..45),
        ) {
            let stream = holds(floor, head, snapshot);
            let cursor = cursor.and_then(|(epoch, seq)| at(epoch, seq));
            let after = match decide(cursor, Some(&stream), budget) {
                Resume::Resume { after } => {
                    let cursor = cursor.expect("only a cursor resumes");
                    prop_assert_eq!((cursor.epoch, cursor.seq), (stream.epoch(), after));
                    after
                }
                Resume::FromStart { from } => {
                    prop_assert_eq!(cursor, None);
                    from.after()
                }
                Resume::Stale { restart_from, .. } => {
                    prop_assert!(cursor.is_some());
                    restart_from.after()
                }
                Resume::AwaitBirth => unreachable!("the stream is there"),
            };
            prop_assert!(stream.floor().previous() <= after && after <= stream.head());
        }

        #[test]
        fn a_cursor_within_what_is_held_is_stale_only_for_its_budget(
            (floor, head, seq) in (1u64..30).prop_flat_map(|floor| (Just(floor), floor - 1..40))
                .prop_flat_map(|(floor, head)| (Just(floor), Just(head), floor - 1..=head)),
            snapshot in prop::option::of(0u64..45),
        ) {
            let stream = holds(floor, head, snapshot);
            prop_assert_eq!(decide(at(LIFE, seq), Some(&stream), None), Resume::Resume { after: seq.into() });
        }
    }
}
