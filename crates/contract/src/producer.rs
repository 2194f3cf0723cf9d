//! How a producer's events are counted, so that a repeat is stored once and a loss is noticed.
//!
//! What always holds: a producer numbers its events of each stream 1, 2, 3, …, and the host accepts them in that order
//! and no other. A number is accepted once; what was accepted is acknowledged however often it is repeated.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::cursor::Seq;

/// Who numbers events: 128 random bits that live in an outbox, and die with it. Written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProducerId(u128);

/// A text that is not 32 lower-case hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a producer id is 32 lower-case hex digits; take it from the outbox that made it")]
pub struct ProducerIdError;

impl ProducerId {
    /// A new outbox's id, from 128 random bits.
    pub const fn from_random(random: u128) -> ProducerId {
        ProducerId(random)
    }

    /// The 128 bits.
    pub const fn to_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProducerId({self})")
    }
}

impl FromStr for ProducerId {
    type Err = ProducerIdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // `from_str_radix` alone would also take `+…` and upper-case digits: second spellings.
        let lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if text.len() != 32 || !text.bytes().all(lower_hex) {
            return Err(ProducerIdError);
        }
        u128::from_str_radix(text, 16).map(ProducerId).map_err(|_| ProducerIdError)
    }
}

impl TryFrom<String> for ProducerId {
    type Error = ProducerIdError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ProducerId> for String {
    fn from(id: ProducerId) -> String {
        id.to_string()
    }
}

/// Consecutive numbers of one producer in one stream: `first`, `first + 1`, … At least one, none of them 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    first: NonZeroU64,
    count: NonZeroU32,
}

impl Run {
    /// The `count` numbers from `first` on; `None` where there is none, where `first` is 0 (numbers start at 1), and
    /// beyond 2⁶⁴ − 1.
    pub fn new(first: u64, count: u32) -> Option<Run> {
        let run = Run { first: NonZeroU64::new(first)?, count: NonZeroU32::new(count)? };
        first.checked_add(u64::from(count) - 1).map(|_| run)
    }

    /// The first number.
    pub fn first(self) -> u64 {
        self.first.get()
    }

    /// The last number.
    pub fn last(self) -> u64 {
        self.first.get() + (u64::from(self.count.get()) - 1)
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.count.get()
    }
}

/// What the host does with a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Admit {
    /// Store all but the first `skip` events, which are stored already, and acknowledge all.
    Append {
        /// How many to leave out, fewer than the run has.
        skip: u32,
    },
    /// All of it is stored already: store nothing, acknowledge all.
    Duplicate,
    /// Refuse all of it, with [`crate::Code::ProducerHole`]: a number before it was never accepted. Either the producer
    /// sends out of order, or the host was restored from a copy older than what it acknowledged, and the producer has
    /// forgotten the events in between; nobody but a person can say what to do about those.
    Hole {
        /// The number that the host would accept.
        expected: u64,
    },
}

/// Decides about a run of a producer whose highest accepted number in the stream is `last_accepted` (0: none yet).
///
/// Events are told apart by number alone: a producer that gives a number to two different events has the second one
/// acknowledged and dropped.
pub fn admit(last_accepted: u64, run: Run) -> Admit {
    // The number before the run; that the run starts at 1 or higher makes it a number.
    let before = run.first() - 1;
    if before > last_accepted {
        return Admit::Hole { expected: last_accepted + 1 };
    }
    if run.last() <= last_accepted {
        return Admit::Duplicate;
    }
    let skip = u32::try_from(last_accepted - before).expect("less than the run's count, which is a u32");
    Admit::Append { skip }
}

/// A writer that expects to write at one place, and a stream that goes on at another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stream goes on with seq {next}, not {expected}")]
pub struct SequenceConflict {
    /// Where the writer expected to write its first new event.
    pub expected: Seq,
    /// Where the stream goes on.
    pub next: Seq,
}

/// Whether a run lands where its producer expects it, for runs that [`admit`] has admitted with this `skip`; a
/// duplicate is acknowledged without asking. `expected_next` is the `seq` that the producer expects for the first event
/// of the whole run, so that a repeat of a half-stored run does not conflict with its own first half.
///
/// # Errors
/// [`SequenceConflict`]: somebody else has written to the stream.
pub fn check_expected(expected_next: Option<Seq>, head: Seq, skip: u32) -> Result<(), SequenceConflict> {
    let next = head.next();
    match expected_next {
        None => Ok(()),
        Some(first) => {
            let expected = Seq::new(first.get().saturating_add(u64::from(skip)));
            if expected == next { Ok(()) } else { Err(SequenceConflict { expected, next }) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(first: u64, count: u32) -> Run {
        Run::new(first, count).expect("a run")
    }

    #[test]
    fn a_producer_begins_with_one() {
        assert_eq!(admit(0, run(1, 3)), Admit::Append { skip: 0 });
        assert_eq!(admit(0, run(2, 3)), Admit::Hole { expected: 1 });
        assert_eq!(Run::new(0, 1), None);
        assert_eq!(Run::new(1, 0), None);
        assert_eq!(Run::new(u64::MAX, 2), None);
    }

    #[test]
    fn a_repeat_is_a_duplicate_and_an_overlap_stores_its_new_tail() {
        assert_eq!(admit(5, run(1, 5)), Admit::Duplicate);
        assert_eq!(admit(5, run(4, 2)), Admit::Duplicate);
        assert_eq!(admit(5, run(4, 3)), Admit::Append { skip: 2 });
        assert_eq!(admit(5, run(6, 1)), Admit::Append { skip: 0 });
    }

    #[test]
    fn a_host_restored_from_an_older_copy_meets_a_producer_that_went_on_with_a_hole() {
        // Accepted up to 100, restored to 60; the producer has forgotten 1 to 100.
        assert_eq!(admit(60, run(101, 10)), Admit::Hole { expected: 61 });
    }

    #[test]
    fn a_run_must_land_where_its_producer_expects_it() {
        assert_eq!(check_expected(None, Seq::new(9), 0), Ok(()));
        assert_eq!(check_expected(Some(Seq::new(10)), Seq::new(9), 0), Ok(()));
        assert_eq!(
            check_expected(Some(Seq::new(10)), Seq::new(10), 0),
            Err(SequenceConflict { expected: Seq::new(10), next: Seq::new(11) })
        );
    }

    #[test]
    fn a_repeat_does_not_conflict_with_its_own_first_half() {
        // Events 1 to 4 were to become seq 10 to 13; the first two did.
        assert_eq!(admit(2, run(1, 4)), Admit::Append { skip: 2 });
        assert_eq!(check_expected(Some(Seq::new(10)), Seq::new(11), 2), Ok(()));
    }

    #[test]
    fn a_producer_id_has_one_spelling() {
        let id = ProducerId::from_random(0xab);
        assert_eq!(id.to_string(), "000000000000000000000000000000ab");
        for wrong in [
            "",
            "ab",
            "000000000000000000000000000000AB",
            "+00000000000000000000000000000ab",
            "000000000000000000000000000000abc",
        ] {
            assert_eq!(wrong.parse::<ProducerId>(), Err(ProducerIdError));
        }
    }

    proptest! {
        #[test]
        fn a_producer_id_survives_being_written_and_read(bits: u128) {
            let id = ProducerId::from_random(bits);
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        /// The host that counts, against one that remembers every number.
        #[test]
        fn whatever_is_sent_each_number_is_stored_once_in_order_and_without_holes(
            runs in prop::collection::vec((1u64..30, 1u32..8), 0..40)
        ) {
            let mut stored: Vec<u64> = Vec::new();
            for (first, count) in runs {
                let run = run(first, count);
                let last = stored.last().copied().unwrap_or(0);
                match admit(last, run) {
                    Admit::Append { skip } => {
                        prop_assert!(skip < count);
                        stored.extend(first + u64::from(skip)..=run.last());
                    }
                    Admit::Duplicate => prop_assert!((first..=run.last()).all(|number| stored.contains(&number))),
                    Admit::Hole { expected } => {
                        prop_assert!(!stored.contains(&expected) && expected < first);
                    }
                }
            }
            prop_assert!(stored.iter().copied().eq(1..=stored.len() as u64));
        }

        #[test]
        fn the_largest_numbers_do_not_overflow(last: u64, first in 1u64.., count in 1u32..) {
            if let Some(run) = Run::new(first, count) {
                admit(last, run);
            }
        }
    }
}
