//! Where a reader is in a stream.
//!
//! What always holds: an epoch is never 0; a cursor says that everything up to its `seq`, and nothing beyond, has been
//! applied.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stream::StreamId;

/// A random number that a stream gets at birth. A stream that was re-created has another, so that a cursor of the old
/// one is never taken for a cursor of the new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Epoch(u64);

/// Zero is no epoch: it is what a field that nobody filled would hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an epoch is never 0; a stream gets a random one at birth")]
pub struct ZeroEpoch;

impl Epoch {
    /// The epoch that a row or a store holds.
    ///
    /// # Errors
    /// [`ZeroEpoch`].
    pub fn new(number: u64) -> Result<Epoch, ZeroEpoch> {
        if number == 0 { Err(ZeroEpoch) } else { Ok(Epoch(number)) }
    }

    /// A new stream's epoch from 64 random bits, of which 53 are kept: enough never to meet twice, and a number that
    /// SQLite (63 bits) and JSON readers with doubles (RFC 8259 section 6) hold exactly.
    pub fn from_random(random: u64) -> Epoch {
        Epoch((random >> 11).max(1))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for Epoch {
    type Error = ZeroEpoch;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        Epoch::new(number)
    }
}

impl From<Epoch> for u64 {
    fn from(epoch: Epoch) -> u64 {
        epoch.0
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The number of an event in its stream. The first event has [`Seq::FIRST`], and there are no holes; [`Seq::NONE`] is the
/// place before the first event: the head of an empty stream, the cursor of a reader that has applied nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(u64);

impl Seq {
    /// Before the first event.
    pub const NONE: Seq = Seq(0);
    /// The first event.
    pub const FIRST: Seq = Seq(1);

    /// The place with this number.
    pub const fn new(number: u64) -> Seq {
        Seq(number)
    }

    /// The number.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The place after this one.
    ///
    /// # Panics
    /// After 2⁶⁴ − 1 events, which no stream reaches.
    pub fn next(self) -> Seq {
        Seq(self.0.checked_add(1).expect("no stream has 2^64 events"))
    }

    /// The place before this one; before [`Seq::NONE`] there is nothing, and it stays.
    pub const fn previous(self) -> Seq {
        Seq(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<u64> for Seq {
    fn from(number: u64) -> Seq {
        Seq(number)
    }
}

impl From<Seq> for u64 {
    fn from(seq: Seq) -> u64 {
        seq.0
    }
}

/// A place in one life of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Position {
    /// Which life of the stream.
    pub epoch: Epoch,
    /// The last event that counts; [`Seq::NONE`] for none.
    pub seq: Seq,
}

/// Everything of `stream`, in the life `epoch`, up to `seq` has been applied.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    /// The stream.
    pub stream: StreamId,
    /// Which life of it.
    pub epoch: Epoch,
    /// The last applied event; [`Seq::NONE`] for none.
    pub seq: Seq,
}

impl Cursor {
    /// The cursor without its stream's name, as [`crate::resume::decide`] takes it.
    pub fn position(&self) -> Position {
        Position { epoch: self.epoch, seq: self.seq }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}:{}", self.stream, self.epoch, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn zero_is_no_epoch_however_it_comes() {
        assert_eq!(Epoch::new(0), Err(ZeroEpoch));
        assert!(serde_json::from_str::<Epoch>("0").is_err());
        assert_eq!(serde_json::from_str::<Epoch>("7").expect("an epoch").get(), 7);
        assert_eq!(Epoch::from_random(0).get(), 1);
    }

    #[test]
    fn the_first_event_comes_after_none() {
        assert_eq!(Seq::NONE.next(), Seq::FIRST);
        assert_eq!(Seq::FIRST.previous(), Seq::NONE);
        assert_eq!(Seq::NONE.previous(), Seq::NONE);
    }

    proptest! {
        #[test]
        fn a_random_epoch_is_a_number_that_every_reader_holds_exactly(random: u64) {
            let epoch = Epoch::from_random(random).get();
            prop_assert!((1..1 << 53).contains(&epoch));
        }
    }
}
