//! Events on their way from a call into a row of `sync_event`.
//!
//! What always holds: what was packed comes out byte for byte ([`muster_contract::packed`] says how it lies). Packing copies
//! each text once and allocates nothing for an event: a batch is decoded from the call straight into its row, and a page is
//! copied straight from it.

use muster_contract::hash::PayloadHash;
use muster_contract::limits::BATCH_EVENTS_MAX;
use muster_contract::packed::{Event, HEAD_BYTES, Packed, PackedBuf};
use muster_contract::page::{NewEvent, WireHash, wire_hash};
use muster_contract::{Code, Refusal};
use spacetimedb::sats::de::{ArrayAccess, ArrayVisitor, Deserialize, Deserializer};
use spacetimedb::sats::ser::{Serialize, SerializeArray as _, Serializer};
use spacetimedb::sats::{AlgebraicType, bsatn, typespace::TypespaceBuilder};
use spacetimedb::{SpacetimeType, Timestamp};

use super::limits::ENCODED_BYTES_MAX;

/// The events of a call, packed. As an argument it has the type and the bytes of a `Vec<NewEvent>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Called(pub PackedBuf);

/// Whether a payload has the hash that came with it.
pub fn check_hash(payload: &str, claimed: WireHash) -> Result<(), Refusal> {
    let hash = PayloadHash::of(payload.as_bytes());
    if wire_hash(hash.as_bytes()) == claimed {
        return Ok(());
    }
    Err(Refusal::new(Code::PayloadHashMismatch, format!("the payload that arrived has the hash {hash}")))
}

impl Called {
    /// Reads the bytes of a list of events, and nothing behind them. What is longer than any batch is not looked at: nobody
    /// has asked yet who sends it.
    pub fn read(mut bytes: &[u8]) -> Result<Called, Refusal> {
        if bytes.len() > ENCODED_BYTES_MAX {
            let message = format!("{} bytes of events, and no batch has more than {ENCODED_BYTES_MAX}", bytes.len());
            return Err(Refusal::new(Code::BatchTooLarge, message));
        }
        let wrong = |what: String| Refusal::new(Code::InvalidBatch, format!("the bytes are no list of events: {what}"));
        let events = bsatn::from_reader(&mut bytes).map_err(|error| wrong(error.to_string()))?;
        if bytes.is_empty() { Ok(events) } else { Err(wrong(format!("{} bytes behind its end", bytes.len()))) }
    }

    /// In order.
    pub fn events(&self) -> Packed<'_> {
        self.0.packed()
    }

    /// All but the first so many.
    pub fn without_first(self, count: usize) -> Called {
        if count == 0 {
            return self;
        }
        Called(self.events().split_at(count).1.into())
    }
}

/// A [`NewEvent`], as it stands in a call.
#[derive(Serialize, Deserialize)]
#[sats(crate = spacetimedb::sats)]
struct CalledEvent<'a> {
    kind: &'a str,
    payload: &'a str,
    hash: WireHash,
    at: Timestamp,
}

impl SpacetimeType for Called {
    fn make_type<S: TypespaceBuilder>(typespace: &mut S) -> AlgebraicType {
        Vec::<NewEvent>::make_type(typespace)
    }
}

impl<'de> Deserialize<'de> for Called {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Called, D::Error> {
        struct Packing;
        impl<'de> ArrayVisitor<'de, CalledEvent<'de>> for Packing {
            type Output = Called;

            fn visit<A: ArrayAccess<'de, Element = CalledEvent<'de>>>(self, mut array: A) -> Result<Called, A::Error> {
                let mut packed = PackedBuf::default();
                // What a call says of its length is believed no further than a batch may go.
                packed.heads.reserve(array.size_hint().unwrap_or(0).min(BATCH_EVENTS_MAX) * HEAD_BYTES);
                while let Some(CalledEvent { kind, payload, hash, at }) = array.next_element()? {
                    packed.push(Event { kind, payload, hash, at });
                }
                Ok(Called(packed))
            }
        }
        deserializer.deserialize_array(Packing)
    }
}

impl Serialize for Called {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut array = serializer.serialize_array(self.events().count())?;
        for Event { kind, payload, hash, at } in self.events() {
            array.serialize_element(&CalledEvent { kind, payload, hash, at })?;
        }
        array.end()
    }
}

#[cfg(test)]
mod tests {
    use muster_contract::limits::BATCH_BYTES_MAX;
    use proptest::prelude::*;

    use super::*;

    fn event(kind: &str, payload: &str, at: i64) -> NewEvent {
        let hash = wire_hash(PayloadHash::of(payload.as_bytes()).as_bytes());
        let at = Timestamp::from_micros_since_unix_epoch(at);
        NewEvent { kind: kind.into(), payload: payload.into(), hash, at }
    }

    fn packed(events: &[NewEvent]) -> Called {
        bsatn::from_slice(&bsatn::to_vec(events).expect("bytes")).expect("the bytes of a call")
    }

    fn unpacked(packed: &Called) -> Vec<NewEvent> {
        let owned =
            |Event { kind, payload, hash, at }| NewEvent { kind: kind.into(), payload: payload.into(), hash, at };
        packed.events().map(owned).collect()
    }

    #[test]
    fn a_row_reads_as_lines() {
        let packed = packed(&[event("a", r#"{"n":1}"#, 1), event("b c", "2", 2)]);
        assert_eq!(packed.0.kinds, "a\nb c\n");
        assert_eq!(packed.0.payloads, "{\"n\":1}\n2\n");
        assert_eq!(packed.0.heads.len(), 96);
    }

    #[test]
    fn a_call_cut_short_is_no_batch() {
        let bytes = bsatn::to_vec(&[event("k", "1", 1), event("k", "2", 2)][..]).expect("bytes");
        for end in 0..bytes.len() {
            assert!(bsatn::from_slice::<Called>(&bytes[..end]).is_err(), "{end}");
            assert_eq!(Called::read(&bytes[..end]).expect_err("refused").code, Code::InvalidBatch, "{end}");
        }
        assert_eq!(Called::read(&bytes).expect("a list").events().count(), 2);
        let longer = [&bytes[..], &[0]].concat();
        assert!(Called::read(&longer).expect_err("refused").message.contains("1 bytes behind its end"));
    }

    #[test]
    fn the_largest_batch_is_read_and_a_byte_more_is_not_looked_at() {
        let payload = "x".repeat(BATCH_BYTES_MAX / BATCH_EVENTS_MAX - 1);
        let mut events: Vec<NewEvent> = (0..BATCH_EVENTS_MAX).map(|_| event("k", &payload, 1)).collect();
        let left = BATCH_BYTES_MAX - BATCH_EVENTS_MAX * (payload.len() + 1);
        events[0].payload.push_str(&"x".repeat(left));
        let bytes = bsatn::to_vec(&events).expect("bytes");
        assert_eq!(bytes.len(), ENCODED_BYTES_MAX);
        assert_eq!(Called::read(&bytes).expect("a batch").events().count(), BATCH_EVENTS_MAX);
        let longer = vec![0; ENCODED_BYTES_MAX + 1];
        assert_eq!(Called::read(&longer).expect_err("refused").code, Code::BatchTooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, texts in prop::collection::vec((".*", ".*"), 0..5), at: usize, byte: u8) {
            let _ = Called::read(&bytes);
            let events: Vec<_> = texts.iter().map(|(kind, payload)| event(kind, payload, 1)).collect();
            let mut bytes = bsatn::to_vec(&events).expect("bytes");
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(called) = Called::read(&bytes) {
                prop_assert!(called.events().is_whole());
            }
        }

        #[test]
        fn what_was_packed_comes_out_whatever_is_in_it(
            texts in prop::collection::vec((".*|\n*", ".*|\n*|[^a]*", any::<i64>()), 0..20), skip in 0usize..20
        ) {
            let events: Vec<_> = texts.iter().map(|(kind, payload, at)| event(kind, payload, *at)).collect();
            let whole = packed(&events);
            prop_assert_eq!(whole.events().count(), events.len());
            prop_assert_eq!(&unpacked(&whole), &events);
            prop_assert_eq!(bsatn::to_vec(&whole).expect("bytes"), bsatn::to_vec(&events).expect("bytes"));
            let skip = skip.min(events.len());
            let rest = whole.without_first(skip);
            prop_assert_eq!(&rest, &packed(&events[skip..]));
        }
    }
}
