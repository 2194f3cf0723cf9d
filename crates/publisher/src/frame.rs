//! Events as the outbox keeps them: the very bytes that `append_encoded` takes.
//!
//! What always holds: a chunk is the BSATN of consecutive [`NewEvent`]s, one behind the other, so that making a call of
//! it is copying. Its boundaries are found by its lengths alone; no payload is looked at. Only what
//! [`encode`] wrote is read, and what is damaged is refused rather than read past its end.

#[cfg(test)]
use muster_contract::page::NewEvent;
use muster_contract::page::{WireHash, wire_hash};
use spacetimedb_lib::Timestamp;
use spacetimedb_sats::bsatn;

use crate::limits::EVENT_OVERHEAD_BYTES;

/// What stands behind an event's texts: hash and time.
const STAMP_BYTES: usize = 32 + 8;

/// Bytes that are no chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DamagedChunk {
    /// From there on nobody knows where an event begins.
    #[error("the events stored from byte {at} of a chunk on are cut off or damaged")]
    Rest {
        /// Where the first of them begins.
        at: usize,
    },
    /// One event: a text of it is none any more, and no host could read the call.
    #[error("the event stored at byte {at} of a chunk is damaged: its text is not UTF-8")]
    Event {
        /// Where it begins.
        at: usize,
    },
}

/// Appends an event to a chunk. `payload` is canonical, and `digest` its SHA-256.
pub(crate) fn encode(chunk: &mut Vec<u8>, kind: &str, payload: &str, digest: &[u8; 32], at: Timestamp) {
    chunk.reserve(kind.len() + payload.len() + EVENT_OVERHEAD_BYTES);
    text(chunk, kind);
    text(chunk, payload);
    bsatn::to_writer(chunk, &wire_hash(digest)).expect("a number encodes");
    bsatn::to_writer(chunk, &at).expect("a time encodes");
}

fn text(chunk: &mut Vec<u8>, text: &str) {
    // Both are limited to far less than 4 GiB before they come here.
    let length = u32::try_from(text.len()).expect("kinds and payloads are checked for length first");
    chunk.extend_from_slice(&length.to_le_bytes());
    chunk.extend_from_slice(text.as_bytes());
}

/// The length of the first event of a chunk, in bytes.
fn length(chunk: &[u8]) -> Option<usize> {
    let kind = length_at(chunk, 0)?;
    let payload = length_at(chunk, 4 + kind)?;
    let all = EVENT_OVERHEAD_BYTES + kind + payload;
    (all <= chunk.len()).then_some(all)
}

/// Whether the texts of the first event of a chunk, which is this long, are texts.
fn has_texts(event: &[u8]) -> bool {
    let text = |at: usize| length_at(event, at).and_then(|length| event.get(at + 4..at + 4 + length));
    let is_text = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| std::str::from_utf8(bytes).is_ok());
    let kind = text(0);
    is_text(kind) && is_text(text(4 + kind.map_or(0, <[u8]>::len)))
}

fn length_at(chunk: &[u8], at: usize) -> Option<usize> {
    let bytes = chunk.get(at..at + 4)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}

/// How much more a batch takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    pub(crate) events: u32,
    /// Bytes of kinds and payloads.
    pub(crate) bytes: usize,
    /// Whether the batch has no event yet: its first one goes whatever its size.
    pub(crate) is_empty: bool,
}

/// A part of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part<'c> {
    pub(crate) events: u32,
    /// Bytes of kinds and payloads.
    pub(crate) bytes: usize,
    /// Where they begin in the chunk.
    pub(crate) at: usize,
    /// The events.
    pub(crate) data: &'c [u8],
}

/// As many events of a chunk, from its event `skip` on, counted from 0, as there is room for. What stands before damage is
/// taken without it, so that the damage is the first of the next part.
///
/// # Errors
/// [`DamagedChunk`] of the first event, also where the chunk has fewer events than `skip`.
pub(crate) fn part(chunk: &[u8], skip: u64, room: Room) -> Result<Part<'_>, DamagedChunk> {
    part_if(chunk, skip, room, has_texts)
}

/// The same of a chunk that has been in this process's memory since it was made here of texts.
///
/// # Errors
/// [`DamagedChunk`], where the chunk has fewer events than `skip`.
pub(crate) fn own_part(chunk: &[u8], skip: u64, room: Room) -> Result<Part<'_>, DamagedChunk> {
    part_if(chunk, skip, room, |_| true)
}

fn part_if(chunk: &[u8], skip: u64, room: Room, is_sound: impl Fn(&[u8]) -> bool) -> Result<Part<'_>, DamagedChunk> {
    let at = |rest: &[u8]| chunk.len() - rest.len();
    let damaged = |rest: &[u8]| DamagedChunk::Rest { at: at(rest) };
    let mut rest = chunk;
    for _ in 0..skip {
        rest = &rest[length(rest).ok_or_else(|| damaged(rest))?..];
    }
    let start = rest;
    let (mut events, mut bytes) = (0, 0);
    while events < room.events && !rest.is_empty() {
        let event = match length(rest) {
            Some(event) if is_sound(&rest[..event]) => event,
            _ if events > 0 => break,
            Some(_) => return Err(DamagedChunk::Event { at: at(rest) }),
            None => return Err(damaged(rest)),
        };
        let content = event - EVENT_OVERHEAD_BYTES;
        let is_first = room.is_empty && events == 0;
        if !is_first && bytes + content > room.bytes {
            break;
        }
        (events, bytes) = (events + 1, bytes + content);
        rest = &rest[event..];
    }
    Ok(Part { events, bytes, at: at(start), data: &start[..start.len() - rest.len()] })
}

/// Payload hash and time of a chunk's event `index`, counted from 0.
///
/// # Errors
/// [`DamagedChunk`], also where there is no such event.
pub(crate) fn stamp(chunk: &[u8], index: u64) -> Result<(WireHash, Timestamp), DamagedChunk> {
    let part = part(chunk, index, Room { events: 1, bytes: 0, is_empty: true })?;
    let damaged = DamagedChunk::Rest { at: chunk.len() };
    let mut stamp = part.data.get(part.data.len().wrapping_sub(STAMP_BYTES)..).ok_or(damaged)?;
    bsatn::from_reader(&mut stamp).map_err(|_| damaged)
}

/// The events of a chunk, decoded.
///
/// # Errors
/// [`DamagedChunk`].
#[cfg(test)]
fn decode(chunk: &[u8]) -> Result<Vec<NewEvent>, DamagedChunk> {
    let mut rest = chunk;
    let mut events = Vec::new();
    while !rest.is_empty() {
        let at = chunk.len() - rest.len();
        events.push(bsatn::from_reader(&mut rest).map_err(|_| DamagedChunk::Rest { at })?);
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event(kind: &str, payload: &str) -> NewEvent {
        NewEvent {
            kind: kind.into(),
            payload: payload.into(),
            hash: wire_hash(&[7; 32]),
            at: Timestamp::from_micros_since_unix_epoch(-5),
        }
    }

    fn chunk(events: &[NewEvent]) -> Vec<u8> {
        let mut chunk = Vec::new();
        for event in events {
            encode(&mut chunk, &event.kind, &event.payload, &[7; 32], event.at);
        }
        chunk
    }

    #[test]
    fn a_chunk_is_the_bsatn_of_its_events() {
        let events = [event("k", "{}"), event("größe", "[1]")];
        let expected = bsatn::to_vec(&events.to_vec()).expect("plain data");
        assert_eq!(chunk(&events), expected[4..], "a list is its length and then its elements");
    }

    #[test]
    fn a_part_ends_where_the_next_event_would_be_too_much() {
        let all = chunk(&[event("k", "12345"), event("k", "12345"), event("k", "12345")]);
        let of = |skip, events, bytes| part(&all, skip, Room { events, bytes, is_empty: true }).expect("sound").events;
        assert_eq!([of(0, 9, 99), of(0, 2, 99), of(0, 9, 12), of(0, 9, 11), of(2, 9, 99)], [3, 2, 2, 1, 1]);
        assert_eq!(of(0, 9, 1), 1, "one event goes whatever its size");
        assert_eq!(of(3, 9, 99), 0);
        let full = Room { events: 9, bytes: 5, is_empty: false };
        assert_eq!(part(&all, 0, full).expect("sound").events, 0, "unless there is one before it");
    }

    const ROOMY: Room = Room { events: 9, bytes: 99, is_empty: true };

    #[test]
    fn the_stamp_of_each_event_is_found() {
        let mut all = Vec::new();
        let at = Timestamp::from_micros_since_unix_epoch;
        encode(&mut all, "k", "1", &[1; 32], at(10));
        encode(&mut all, "kind", "[2,2]", &[2; 32], at(20));
        assert_eq!(stamp(&all, 0), Ok((wire_hash(&[1; 32]), at(10))));
        assert_eq!(stamp(&all, 1), Ok((wire_hash(&[2; 32]), at(20))));
        assert!(stamp(&all, 2).is_err());
        assert!(stamp(&all[..all.len() - 1], 1).is_err());
    }

    #[test]
    fn damage_is_found_by_the_lengths() {
        let all = chunk(&[event("k", "12345")]);
        assert!(part(&all[..all.len() - 1], 0, ROOMY).is_err());
        assert!(part(&[0xff; 16], 0, ROOMY).is_err());
        assert!(part(&all, 2, ROOMY).is_err());
        assert!(decode(&all[..all.len() - 1]).is_err());
    }

    #[test]
    fn what_stands_before_damage_is_taken_without_it() {
        let sound = chunk(&[event("k", "12345"), event("k", "abcde"), event("k", "67890")]);
        let mut rotten = sound.clone();
        let at = rotten.windows(5).position(|window| window == b"abcde").expect("it is in there");
        rotten[at + 2] = 0xff;
        let event_bytes = sound.len() / 3;
        assert_eq!(part(&rotten, 0, ROOMY).expect("the first").events, 1);
        assert_eq!(part(&rotten, 1, ROOMY), Err(DamagedChunk::Event { at: event_bytes }));
        assert_eq!(part(&rotten, 2, ROOMY).expect("the last").events, 1, "its lengths are still right");
        let cut = &sound[..sound.len() - 1];
        assert_eq!(part(cut, 0, ROOMY).expect("the first two").events, 2);
        assert_eq!(part(cut, 2, ROOMY), Err(DamagedChunk::Rest { at: 2 * event_bytes }));
    }

    proptest! {
        #[test]
        fn parts_one_after_the_other_are_the_whole(
            texts in prop::collection::vec(("[a-z]{1,4}", "\\PC{0,20}"), 0..20),
            events_max in 1u32..5,
            bytes_max in 1usize..40,
        ) {
            let events: Vec<NewEvent> = texts.iter().map(|(kind, payload)| event(kind, payload)).collect();
            let all = chunk(&events);
            let (mut done, mut bytes) = (0u64, Vec::new());
            while done < events.len() as u64 {
                let room = Room { events: events_max, bytes: bytes_max, is_empty: true };
                let part = part(&all, done, room).expect("sound");
                prop_assert!(part.events > 0);
                done += u64::from(part.events);
                bytes.extend_from_slice(part.data);
            }
            prop_assert_eq!(&bytes, &all);
            prop_assert_eq!(decode(&all), Ok(events));
        }

        #[test]
        fn no_bytes_make_it_read_past_their_end(bytes: Vec<u8>, skip in 0u64..4) {
            let _ = part(&bytes, skip, ROOMY);
            let _ = decode(&bytes);
        }
    }
}
