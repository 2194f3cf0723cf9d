//! Events side by side: kinds and payloads as lines of text, and a head of fixed size for each. So the module stores them,
//! and so a page carries them; whole runs are copied and no event is touched.
//!
//! What always holds: lengths decide where an event begins and ends, and the lengths in the heads are those of the texts. The
//! line feeds are for people who read with SQL: a canonical payload has none inside and a kind has no control characters,
//! but nothing here relies on it.
//!
//! A head is the hash (32 bytes, as a [`WireHash`] stands in a row: little-endian), the time by the producer's clock
//! (microseconds since 1970, 8 bytes), and the lengths of payload and kind in bytes (4 each), numbers little-endian.

use std::ops::Range;

use spacetimedb_lib::Timestamp;

use crate::page::{WireHash, mark};

/// Bytes of an event's head.
pub const HEAD_BYTES: usize = 32 + 8 + 4 + 4;

const HASH: Range<usize> = 0..32;
const AT: Range<usize> = 32..40;
const PAYLOAD_BYTES: Range<usize> = 40..44;
const KIND_BYTES: Range<usize> = 44..48;

/// An event, without who made it.
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
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.kind.len() + self.payload.len()
    }

    /// See [`mark`].
    #[must_use]
    pub fn mark(&self, previous: u64, producer: u64, number: u64) -> u64 {
        mark(previous, self.hash, self.at, producer, number)
    }

    /// Its head.
    ///
    /// # Panics
    /// For texts of four gibibytes, which no call and no page has room for.
    #[must_use]
    pub fn head(&self) -> [u8; HEAD_BYTES] {
        let length = |text: &str| u32::try_from(text.len()).expect("a call is far below four gibibytes").to_le_bytes();
        let mut head = [0; HEAD_BYTES];
        head[HASH].copy_from_slice(&self.hash.to_le_bytes());
        head[AT].copy_from_slice(&self.at.to_micros_since_unix_epoch().to_le_bytes());
        head[PAYLOAD_BYTES].copy_from_slice(&length(self.payload));
        head[KIND_BYTES].copy_from_slice(&length(self.kind));
        head
    }
}

/// Packed events, borrowed. As an iterator it gives them one after the other, and ends early where the lengths do not
/// hold; [`Packed::is_whole`] says whether they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed<'a> {
    /// [`HEAD_BYTES`] for each.
    pub heads: &'a [u8],
    /// A line for each.
    pub kinds: &'a str,
    /// A line for each.
    pub payloads: &'a str,
}

impl<'a> Packed<'a> {
    /// How many.
    #[must_use]
    pub fn count(&self) -> usize {
        self.heads.len() / HEAD_BYTES
    }

    /// Kinds and payloads in bytes, without their line feeds.
    #[must_use]
    pub fn bytes(&self) -> usize {
        (self.kinds.len() + self.payloads.len()).saturating_sub(2 * self.count())
    }

    /// Whether the texts are exactly those that the heads tell of.
    #[must_use]
    pub fn is_whole(mut self) -> bool {
        while !self.heads.is_empty() {
            if self.next().is_none() {
                return false;
            }
        }
        self.kinds.is_empty() && self.payloads.is_empty()
    }

    /// The first so many, and the others. Only heads are read. Fewer, if there are fewer.
    #[must_use]
    pub fn split_at(self, count: usize) -> (Packed<'a>, Packed<'a>) {
        let mut rest = self;
        rest.by_ref().take(count).for_each(drop);
        let first = Packed {
            heads: &self.heads[..self.heads.len() - rest.heads.len()],
            kinds: &self.kinds[..self.kinds.len() - rest.kinds.len()],
            payloads: &self.payloads[..self.payloads.len() - rest.payloads.len()],
        };
        (first, rest)
    }
}

impl<'a> Iterator for Packed<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        let (head, heads) = self.heads.split_at_checked(HEAD_BYTES)?;
        let (kind, kinds) = line(self.kinds, number(head, KIND_BYTES))?;
        let (payload, payloads) = line(self.payloads, number(head, PAYLOAD_BYTES))?;
        *self = Packed { heads, kinds, payloads };
        let hash = WireHash::from_le_bytes(fixed(&head[HASH]));
        let at = Timestamp::from_micros_since_unix_epoch(i64::from_le_bytes(fixed(&head[AT])));
        Some(Event { kind, payload, hash, at })
    }
}

/// The text of so many bytes before a line feed, and what is behind that.
fn line(lines: &str, bytes: usize) -> Option<(&str, &str)> {
    let (text, rest) = lines.split_at_checked(bytes)?;
    Some((text, rest.strip_prefix('\n')?))
}

fn number(head: &[u8], place: Range<usize>) -> usize {
    u32::from_le_bytes(fixed(&head[place])) as usize
}

fn fixed<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("each place has its number's length")
}

/// Packed events that grow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedBuf {
    /// See [`Packed::heads`].
    pub heads: Vec<u8>,
    /// See [`Packed::kinds`].
    pub kinds: String,
    /// See [`Packed::payloads`].
    pub payloads: String,
}

impl PackedBuf {
    /// Borrowed.
    #[must_use]
    pub fn packed(&self) -> Packed<'_> {
        Packed { heads: &self.heads, kinds: &self.kinds, payloads: &self.payloads }
    }

    /// One more, at the end.
    ///
    /// # Panics
    /// As [`Event::head`].
    pub fn push(&mut self, event: Event<'_>) {
        self.heads.extend_from_slice(&event.head());
        for (lines, text) in [(&mut self.kinds, event.kind), (&mut self.payloads, event.payload)] {
            lines.push_str(text);
            lines.push('\n');
        }
    }
}

impl From<Packed<'_>> for PackedBuf {
    fn from(Packed { heads, kinds, payloads }: Packed<'_>) -> PackedBuf {
        PackedBuf { heads: heads.into(), kinds: kinds.into(), payloads: payloads.into() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn packed(events: &[(String, String, i64)]) -> PackedBuf {
        let mut packed = PackedBuf::default();
        for (kind, payload, at) in events {
            let hash = WireHash::from(payload.len() as u64);
            packed.push(Event { kind, payload, hash, at: Timestamp::from_micros_since_unix_epoch(*at) });
        }
        packed
    }

    #[test]
    fn texts_that_are_not_those_of_their_heads_are_not_whole() {
        let good = packed(&[("a".into(), "12".into(), 1), ("bc".into(), "ä".into(), 2)]);
        assert!(good.packed().is_whole() && Packed::default().is_whole());
        let Packed { heads, kinds, payloads } = good.packed();
        for wrong in [
            Packed { heads: &heads[..HEAD_BYTES], kinds, payloads },
            Packed { heads: &heads[..HEAD_BYTES + 1], kinds, payloads },
            Packed { heads, kinds: &kinds[1..], payloads },
            Packed { heads, kinds, payloads: &payloads[..payloads.len() - 1] },
            Packed { heads, kinds: "a\nbcd", payloads },
            Packed { heads, kinds, payloads: "1\u{e4}\n\n\n\n" },
            Packed { heads: &[], kinds, payloads: "" },
            Packed { heads: &[255; HEAD_BYTES], kinds, payloads },
        ] {
            assert!(!wrong.is_whole(), "{wrong:?}");
            // It ends, and does not panic.
            assert!(Iterator::count(wrong) <= wrong.count());
        }
    }

    proptest! {
        #[test]
        fn what_was_packed_comes_out_and_can_be_cut_anywhere(
            texts in prop::collection::vec((".*|\n*", ".*|\n*|[^a]*", any::<i64>()), 0..20), cut in 0usize..22
        ) {
            let whole = packed(&texts);
            prop_assert!(whole.packed().is_whole());
            prop_assert_eq!(whole.packed().count(), texts.len());
            let bytes: usize = texts.iter().map(|(kind, payload, _)| kind.len() + payload.len()).sum();
            prop_assert_eq!(whole.packed().bytes(), bytes);
            let out: Vec<_> = whole.packed()
                .map(|event| (event.kind.to_owned(), event.payload.to_owned(), event.at.to_micros_since_unix_epoch()))
                .collect();
            prop_assert_eq!(&out, &texts);
            let (first, rest) = whole.packed().split_at(cut);
            let cut = cut.min(texts.len());
            prop_assert_eq!(PackedBuf::from(first), packed(&texts[..cut]));
            prop_assert_eq!(PackedBuf::from(rest), packed(&texts[cut..]));
        }
    }
}
