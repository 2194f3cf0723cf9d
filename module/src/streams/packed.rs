//! Events as a row of `sync_event` holds them: kinds and payloads as lines of text, and a head of fixed size for each.
//!
//! What always holds: lengths decide where an event begins and ends. The line feeds are for people who read with SQL: a
//! canonical payload has none inside and a kind has no control characters, but nothing here relies on it. What was packed
//! comes out byte for byte. Packing copies each text once and allocates nothing for an event: a batch is decoded from the
//! call straight into its row, and a page is encoded straight from it.

use std::ops::Range;

use muster_contract::hash::PayloadHash;
use muster_contract::limits::BATCH_EVENTS_MAX;
use muster_contract::page::{NewEvent, WireHash, mark, wire_hash};
use muster_contract::{Code, Refusal};
use spacetimedb::sats::de::{ArrayAccess, ArrayVisitor, Deserialize, Deserializer};
use spacetimedb::sats::ser::{Serialize, SerializeArray as _, Serializer};
use spacetimedb::sats::{AlgebraicType, typespace::TypespaceBuilder};
use spacetimedb::{SpacetimeType, Timestamp};

/// Hash, time, and the lengths of payload and kind.
const HEAD_BYTES: usize = 32 + 8 + 4 + 4;
const HASH: Range<usize> = 0..32;
const AT: Range<usize> = 32..40;
const PAYLOAD_BYTES: Range<usize> = 40..44;
const KIND_BYTES: Range<usize> = 44..48;

/// Events, packed. As an argument it has the type and the bytes of a `Vec<NewEvent>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// [`HEAD_BYTES`] for each event, numbers little-endian.
    pub heads: Vec<u8>,
    /// A line for each event.
    pub kinds: String,
    /// A line for each event.
    pub payloads: String,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// What kind of event.
    pub kind: &'a str,
    /// Canonical JSON.
    pub payload: &'a str,
    /// SHA-256 of the payload, as it was claimed.
    pub hash: WireHash,
    /// When it happened, by the producer's clock.
    pub at: Timestamp,
}

impl Event<'_> {
    /// Kind and payload, in bytes.
    pub fn bytes(&self) -> usize {
        self.kind.len() + self.payload.len()
    }

    /// Whether the payload has the hash that came with it.
    pub fn check_hash(&self) -> Result<(), Refusal> {
        check_hash(self.payload, self.hash)
    }

    /// See [`mark`].
    pub fn mark(&self, previous: u64, producer: u64, number: u64) -> u64 {
        mark(previous, self.hash, self.at, producer, number)
    }
}

/// Whether a payload has the hash that came with it.
pub fn check_hash(payload: &str, claimed: WireHash) -> Result<(), Refusal> {
    let hash = PayloadHash::of(payload.as_bytes());
    if wire_hash(hash.as_bytes()) == claimed {
        return Ok(());
    }
    Err(Refusal::new(Code::PayloadHashMismatch, format!("the payload that arrived has the hash {hash}")))
}

impl Packed {
    /// How many.
    pub fn count(&self) -> usize {
        self.heads.len() / HEAD_BYTES
    }

    /// In order.
    pub fn events(&self) -> Events<'_> {
        Events::of(&self.heads, &self.kinds, &self.payloads)
    }

    /// One more, at the end.
    pub fn push(&mut self, event: Event<'_>) {
        self.heads.extend_from_slice(&event.hash.to_le_bytes());
        self.heads.extend_from_slice(&event.at.to_micros_since_unix_epoch().to_le_bytes());
        for text in [event.payload, event.kind] {
            let bytes = u32::try_from(text.len()).expect("a call is far below four gibibytes");
            self.heads.extend_from_slice(&bytes.to_le_bytes());
        }
        for (lines, text) in [(&mut self.kinds, event.kind), (&mut self.payloads, event.payload)] {
            lines.push_str(text);
            lines.push('\n');
        }
    }

    /// All but the first so many.
    pub fn without_first(self, count: usize) -> Packed {
        if count == 0 {
            return self;
        }
        let mut rest = self.events();
        rest.by_ref().take(count).for_each(drop);
        Packed { heads: rest.heads.into(), kinds: rest.kinds.into(), payloads: rest.payloads.into() }
    }
}

/// Packed events, one after the other.
pub struct Events<'a> {
    heads: &'a [u8],
    kinds: &'a str,
    payloads: &'a str,
}

impl<'a> Events<'a> {
    /// Those that a row or a call holds.
    pub fn of(heads: &'a [u8], kinds: &'a str, payloads: &'a str) -> Events<'a> {
        Events { heads, kinds, payloads }
    }
}

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let (head, rest) = self.heads.split_at_checked(HEAD_BYTES)?;
        self.heads = rest;
        let kind = line(&mut self.kinds, number(head, KIND_BYTES));
        let payload = line(&mut self.payloads, number(head, PAYLOAD_BYTES));
        let hash = WireHash::from_le_bytes(fixed(&head[HASH]));
        let at = Timestamp::from_micros_since_unix_epoch(i64::from_le_bytes(fixed(&head[AT])));
        Some(Event { kind, payload, hash, at })
    }
}

/// Takes the text of so many bytes, and its line feed.
fn line<'a>(lines: &mut &'a str, bytes: usize) -> &'a str {
    let (text, rest) = lines.split_at(bytes);
    *lines = &rest[1..];
    text
}

fn number(head: &[u8], place: Range<usize>) -> usize {
    u32::from_le_bytes(fixed(&head[place])) as usize
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("each place has its number's length")
}

/// A [`NewEvent`], as it stands in a call.
#[derive(Serialize, Deserialize)]
#[sats(crate = spacetimedb::sats)]
struct Called<'a> {
    kind: &'a str,
    payload: &'a str,
    hash: WireHash,
    at: Timestamp,
}

impl SpacetimeType for Packed {
    fn make_type<S: TypespaceBuilder>(typespace: &mut S) -> AlgebraicType {
        Vec::<NewEvent>::make_type(typespace)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Packed, D::Error> {
        struct Packing;
        impl<'de> ArrayVisitor<'de, Called<'de>> for Packing {
            type Output = Packed;

            fn visit<A: ArrayAccess<'de, Element = Called<'de>>>(self, mut array: A) -> Result<Packed, A::Error> {
                let mut packed = Packed::default();
                // What a call says of its length is believed no further than a batch may go.
                packed.heads.reserve(array.size_hint().unwrap_or(0).min(BATCH_EVENTS_MAX) * HEAD_BYTES);
                while let Some(Called { kind, payload, hash, at }) = array.next_element()? {
                    packed.push(Event { kind, payload, hash, at });
                }
                Ok(packed)
            }
        }
        deserializer.deserialize_array(Packing)
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_array(self.count())?;
        for Event { kind, payload, hash, at } in self.events() {
            array.serialize_element(&Called { kind, payload, hash, at })?;
        }
        array.end()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use spacetimedb::sats::bsatn;

    use super::*;

    fn event(kind: &str, payload: &str, at: i64) -> NewEvent {
        let hash = wire_hash(PayloadHash::of(payload.as_bytes()).as_bytes());
        let at = Timestamp::from_micros_since_unix_epoch(at);
        NewEvent { kind: kind.into(), payload: payload.into(), hash, at }
    }

    fn packed(events: &[NewEvent]) -> Packed {
        bsatn::from_slice(&bsatn::to_vec(events).expect("bytes")).expect("the bytes of a call")
    }

    fn unpacked(packed: &Packed) -> Vec<NewEvent> {
        let owned =
            |Event { kind, payload, hash, at }| NewEvent { kind: kind.into(), payload: payload.into(), hash, at };
        packed.events().map(owned).collect()
    }

    #[test]
    fn a_row_reads_as_lines() {
        let packed = packed(&[event("a", r#"{"n":1}"#, 1), event("b c", "2", 2)]);
        assert_eq!(packed.kinds, "a\nb c\n");
        assert_eq!(packed.payloads, "{\"n\":1}\n2\n");
        assert_eq!(packed.heads.len(), 96);
    }

    #[test]
    fn a_call_cut_short_is_no_batch() {
        let bytes = bsatn::to_vec(&[event("k", "1", 1), event("k", "2", 2)][..]).expect("bytes");
        for end in 0..bytes.len() {
            assert!(bsatn::from_slice::<Packed>(&bytes[..end]).is_err(), "{end}");
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_whatever_is_in_it(
            texts in prop::collection::vec((".*|\n*", ".*|\n*|[^a]*", any::<i64>()), 0..20), skip in 0usize..20
        ) {
            let events: Vec<_> = texts.iter().map(|(kind, payload, at)| event(kind, payload, *at)).collect();
            let whole = packed(&events);
            prop_assert_eq!(whole.count(), events.len());
            prop_assert_eq!(&unpacked(&whole), &events);
            prop_assert_eq!(bsatn::to_vec(&whole).expect("bytes"), bsatn::to_vec(&events).expect("bytes"));
            let skip = skip.min(events.len());
            let rest = whole.without_first(skip);
            prop_assert_eq!(&rest, &packed(&events[skip..]));
        }
    }
}
