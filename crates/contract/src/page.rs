//! What the module's stream functions take and answer, as bytes.
//!
//! What always holds: a procedure's value is the BSATN of an [`Answer`], carried as one byte string, because the engine
//! decodes and encodes structured values anew on their way and passes byte strings through. The order of fields and
//! variants is the wire format; frozen bytes in the tests hold it. [`Answer::from_bytes`] is the only way in: what it
//! returns is within the limits, so that nobody behind it counts again.
//!
//! Payloads are canonical JSON text (RFC 8785) that nobody on the path parses.

use spacetimedb_lib::Timestamp;
use spacetimedb_sats::de::{Deserialize, DeserializeOwned};
use spacetimedb_sats::ser::Serialize;
use spacetimedb_sats::{SpacetimeType, bsatn};

mod run;

use crate::limits::{KIND_BYTES_MAX, PAYLOAD_BYTES_MAX};
pub use run::{Page, PageRef, RunRef, StoredEvent};

pub use spacetimedb_sats::u256;

/// The longest answer that is read, in bytes: a full page or the largest snapshot, and what stands around them.
pub const ANSWER_BYTES_MAX: usize = 4 * 1_024 * 1_024;
/// The most events in a page.
pub const PAGE_EVENTS_MAX: usize = 4_000;
/// The most bytes of kinds and payloads in a page. A page has at least one event, however large that is.
pub const PAGE_BYTES_MAX: usize = 1_024 * 1_024;
/// The longest page that rides on a signal, in bytes as it travels: a few events of everyday size. Each session that follows
/// is sent one, whether it keeps up or not, so it is small beside what is asked for.
pub const RIDING_BYTES_MAX: usize = 4 * 1_024;
/// The most streams in one answer of `list_streams`.
pub const LIST_STREAMS_MAX: usize = 1_000;
/// The most streams asked for at once with `producer_state`.
pub const PRODUCER_STATES_MAX: usize = 1_000;
/// The largest snapshot, in bytes of its canonical JSON.
pub const SNAPSHOT_BYTES_MAX: usize = 1_024 * 1_024;
/// How many patterns one session follows at once: its slots are the numbers below this one.
pub const FOLLOW_SLOTS_MAX: u32 = 1_024;

// Each event has a head of 48 bytes and two line feeds, and at worst a run of its own with 28 bytes.
const _: () = assert!(PAGE_BYTES_MAX + PAGE_EVENTS_MAX * 128 <= ANSWER_BYTES_MAX);
// One event fits into a page, whatever its size.
const _: () = assert!(PAYLOAD_BYTES_MAX + KIND_BYTES_MAX <= PAGE_BYTES_MAX);
const _: () = assert!(2 * SNAPSHOT_BYTES_MAX <= ANSWER_BYTES_MAX);

/// A payload's SHA-256 as the tables and the wire hold it: the digest read as one big-endian number. A number has a
/// fixed place in a row, where 32 bytes would be an object of their own for each event.
pub type WireHash = u256;

/// The digest as a number. Written in hexadecimal with 64 digits, the number reads as the digest does.
#[must_use]
pub fn wire_hash(digest: &[u8; 32]) -> WireHash {
    u256::from_be_bytes(*digest)
}

/// The number as a digest.
#[must_use]
pub fn digest(hash: WireHash) -> [u8; 32] {
    hash.to_be_bytes()
}

/// The mark of an event: its whole history in one number. Readers compute it as they apply, the module as it appends, and
/// a page may be gone on from only where the two agree. So a host that was restored from an older copy and has grown past
/// a reader's cursor since is noticed even if the event at the cursor looks the same.
///
/// `previous` is the mark of the event before, 0 before the first. The result is never 0. FNV-1a (64 bits, after Fowler,
/// Noll and Vo) over `previous`, the microseconds of `at`, `producer` and `number` (8 bytes each, little-endian) and the
/// digest (32): it tells accidents apart and is no defence against somebody who looks for collisions, who would need to
/// own the host.
#[must_use]
pub fn mark(previous: u64, hash: WireHash, at: Timestamp, producer: u64, number: u64) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let words = [previous, at.to_micros_since_unix_epoch().cast_unsigned(), producer, number].map(u64::to_le_bytes);
    let state = words
        .iter()
        .flatten()
        .chain(&digest(hash))
        .fold(OFFSET, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(PRIME));
    state.max(1)
}

/// An event on its way into a stream: what `append_events` takes, and `append_encoded` as BSATN. The producer's numbers are not in it: the batch says
/// the first, and the others follow without a hole.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct NewEvent {
    /// What kind of event.
    pub kind: String,
    /// Canonical JSON.
    pub payload: String,
    /// SHA-256 of the payload's bytes.
    pub hash: WireHash,
    /// When it happened, by the producer's clock.
    pub at: Timestamp,
}

/// A stream, described.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct StreamInfo {
    /// The module's number of the stream, by which signals name it. A stream that is deleted and made again has another.
    pub no: u64,
    /// Its id.
    pub id: String,
    /// Its epoch.
    pub epoch: u64,
    /// The lowest `seq` that it holds; `head + 1` when it holds none.
    pub floor: u64,
    /// The highest `seq` that it ever had.
    pub head: u64,
    /// Up to which `seq` the newest snapshot reaches; 0 when there is none.
    pub snapshot_seq: u64,
}

/// Streams in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct StreamList {
    /// At most [`LIST_STREAMS_MAX`].
    pub streams: Vec<StreamInfo>,
    /// Whether there may be more behind the last: ask again with `after_no` set to [`StreamList::resume_after`].
    pub more: bool,
    /// The number of the last stream that was looked at, whether it matched or not.
    pub resume_after: u64,
}

/// The newest snapshot of a stream.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct Snapshot {
    /// The stream's epoch.
    pub epoch: u64,
    /// Up to which `seq` it reaches.
    pub seq: u64,
    /// Canonical JSON.
    pub payload: String,
    /// SHA-256 of the payload's bytes.
    pub hash: WireHash,
    /// The [`mark`] of the event `seq`.
    pub mark: u64,
    /// When the module took it.
    pub at: Timestamp,
}

/// How far the host has a producer's events of one stream.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct ProducerState {
    /// The stream's epoch; 0 if there is no such stream.
    pub epoch: u64,
    /// The producer's number of the last event accepted in this epoch; 0 if none.
    pub number: u64,
    /// The stream's head.
    pub head: u64,
    /// SHA-256 of that event's payload; 0 if there is none, or if retention has deleted it.
    pub hash: WireHash,
    /// When that event happened, by the producer's clock; the start of 1970 where `hash` is 0. With the hash it tells a
    /// producer that was restored from an older copy that this number is another event's.
    pub at: Timestamp,
}

impl ProducerState {
    /// What is said of a stream of which nothing of the producer is held.
    #[must_use]
    pub fn without_event(epoch: u64, number: u64, head: u64) -> ProducerState {
        ProducerState { epoch, number, head, hash: WireHash::ZERO, at: Timestamp::UNIX_EPOCH }
    }
}

/// A cursor from which the stream cannot be read on, and what it can be read from.
#[derive(Clone, Debug, PartialEq, Eq, SpacetimeType)]
#[sats(crate = spacetimedb_lib)]
pub struct Stale {
    /// The reason's stable code: `retention_floor_breach`, `epoch_changed`, `history_diverged`, …
    pub reason: String,
    /// The stream's epoch; 0 if there is no such stream any more.
    pub epoch: u64,
    /// The lowest `seq` that it holds.
    pub floor: u64,
    /// The highest `seq` that it ever had.
    pub head: u64,
    /// Up to which `seq` the newest snapshot reaches; 0 when there is none.
    pub snapshot_seq: u64,
}

/// What a procedure answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[sats(crate = spacetimedb_lib)]
pub enum Answer<T> {
    /// What was asked for.
    Ok(T),
    /// The cursor is stale. An answer and no failure: the client starts again from the snapshot or the floor.
    Stale(Stale),
    /// The module refused: the one-line form of a refusal, the same that a reducer's error has.
    Refused(String),
}

/// Bytes that are no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Longer than any answer.
    #[error("an answer of {bytes} bytes, where {ANSWER_BYTES_MAX} are the most")]
    TooLong {
        /// How long.
        bytes: usize,
    },
    /// Not the BSATN of the expected answer.
    #[error("not an answer of this protocol: {0}")]
    Malformed(String),
    /// Bytes that contradict themselves.
    #[error("an answer that contradicts itself: {0}")]
    Inconsistent(&'static str),
}

/// What can be an answer's value.
pub trait AnswerValue: Serialize + DeserializeOwned {
    /// Checks what the type alone does not say.
    ///
    /// # Errors
    /// The first thing found wrong, in words.
    fn check(&self) -> Result<(), &'static str> {
        Ok(())
    }
}

impl AnswerValue for Option<Snapshot> {}

impl AnswerValue for Vec<ProducerState> {
    fn check(&self) -> Result<(), &'static str> {
        demand(self.len() <= PRODUCER_STATES_MAX, "more producer states than can be asked for")
    }
}

impl AnswerValue for StreamList {
    fn check(&self) -> Result<(), &'static str> {
        demand(self.streams.len() <= LIST_STREAMS_MAX, "more streams than a list holds")?;
        demand(self.streams.is_sorted_by(|a, b| a.no < b.no), "streams out of order")?;
        let last = self.streams.last().map_or(0, |stream| stream.no);
        demand(last <= self.resume_after, "a list that is to be continued before its end")?;
        demand(
            self.streams.iter().all(|s| s.epoch != 0 && held(s.floor, s.head)),
            "a stream with a floor past its head",
        )
    }
}

impl AnswerValue for Page {
    fn check(&self) -> Result<(), &'static str> {
        demand(self.epoch != 0, "a page without an epoch")?;
        demand(held(self.floor, self.head), "a page with a floor past its head")?;
        let count = self.events.len() as u64;
        let end = self.first.checked_add(count).ok_or("a page past the last number")?;
        demand(end <= self.head.saturating_add(1), "a page past its own head")?;
        demand(count == 0 || self.first >= self.floor, "a page that begins below its own floor")
    }
}

/// Whether a stream may hold `floor..=head`.
fn held(floor: u64, head: u64) -> bool {
    floor >= 1 && floor - 1 <= head
}

fn demand(holds: bool, otherwise: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(otherwise) }
}

impl<T: Serialize> Answer<T> {
    /// The answer as a procedure returns it.
    ///
    /// # Panics
    /// Never for what fits into memory: BSATN fails only on collections longer than `u32::MAX`.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        bsatn::to_vec(self).expect("an answer is no longer than a page or a snapshot")
    }
}

impl<T: AnswerValue> Answer<T> {
    /// Reads a procedure's answer.
    ///
    /// # Errors
    /// [`AnswerError`] for bytes that no module of this contract sends.
    pub fn from_bytes(bytes: &[u8]) -> Result<Answer<T>, AnswerError> {
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(AnswerError::TooLong { bytes: bytes.len() });
        }
        let mut rest = bytes;
        let answer: Answer<T> =
            bsatn::from_reader(&mut rest).map_err(|error| AnswerError::Malformed(error.to_string()))?;
        if !rest.is_empty() {
            return Err(AnswerError::Malformed(format!("{} bytes behind its end", rest.len())));
        }
        if let Answer::Ok(value) = &answer {
            value.check().map_err(AnswerError::Inconsistent)?;
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests;
