//! What an event and a batch must be before they are kept or sent: the same rules in the publisher, which refuses to its
//! caller, and in the module, which refuses to the publisher.
//!
//! What always holds: an event that the publisher takes is one that the module takes, and any one event fits into a
//! batch. A batch is measured by its payloads and kinds alone, in bytes.

use crate::code::Code;
use crate::limits::{BATCH_BYTES_MAX, BATCH_EVENTS_MAX, KIND_BYTES_MAX, PAYLOAD_BYTES_MAX};
use crate::refusal::{Details, Refusal};

/// What is wrong with an event or a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// An event without a kind.
    #[error("the event has no kind")]
    KindEmpty,
    /// A kind longer than [`KIND_BYTES_MAX`].
    #[error("the event's kind has {bytes} bytes, and at most {KIND_BYTES_MAX} are allowed")]
    KindTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// A control character (Unicode category Cc) in a kind.
    #[error("the event's kind has the control character U+{:04X} in it", *found as u32)]
    KindNotPrintable {
        /// The first one.
        found: char,
    },
    /// A payload larger than [`PAYLOAD_BYTES_MAX`].
    #[error("the payload has {bytes} bytes, and at most {PAYLOAD_BYTES_MAX} are allowed")]
    PayloadTooLarge {
        /// How large it is, in canonical bytes.
        bytes: usize,
    },
    /// A batch with nothing in it.
    #[error("the batch has no events")]
    BatchEmpty,
    /// More events than [`BATCH_EVENTS_MAX`].
    #[error("the batch has {events} events, and at most {BATCH_EVENTS_MAX} are allowed")]
    TooManyEvents {
        /// How many there are.
        events: usize,
    },
    /// More bytes of payloads and kinds than [`BATCH_BYTES_MAX`].
    #[error("the batch has {bytes} bytes, and at most {BATCH_BYTES_MAX} are allowed")]
    TooManyBytes {
        /// How many there are.
        bytes: usize,
    },
}

impl AppendError {
    /// The stable code.
    pub const fn code(&self) -> Code {
        match self {
            AppendError::KindEmpty | AppendError::KindTooLong { .. } | AppendError::KindNotPrintable { .. } => {
                Code::InvalidKind
            }
            AppendError::PayloadTooLarge { .. } => Code::PayloadTooLarge,
            AppendError::BatchEmpty => Code::InvalidBatch,
            AppendError::TooManyEvents { .. } | AppendError::TooManyBytes { .. } => Code::BatchTooLarge,
        }
    }

    const fn max(&self) -> Option<usize> {
        match self {
            AppendError::KindEmpty | AppendError::KindNotPrintable { .. } | AppendError::BatchEmpty => None,
            AppendError::KindTooLong { .. } => Some(KIND_BYTES_MAX),
            AppendError::PayloadTooLarge { .. } => Some(PAYLOAD_BYTES_MAX),
            AppendError::TooManyEvents { .. } => Some(BATCH_EVENTS_MAX),
            AppendError::TooManyBytes { .. } => Some(BATCH_BYTES_MAX),
        }
    }
}

impl From<AppendError> for Refusal {
    fn from(error: AppendError) -> Refusal {
        let details = Details { max: error.max().map(|max| max as u64), ..Details::default() };
        Refusal { code: error.code(), message: error.to_string(), details }
    }
}

/// A kind: 1 to [`KIND_BYTES_MAX`] bytes without control characters.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_kind(kind: &str) -> Result<(), AppendError> {
    if kind.is_empty() {
        return Err(AppendError::KindEmpty);
    }
    if kind.len() > KIND_BYTES_MAX {
        return Err(AppendError::KindTooLong { bytes: kind.len() });
    }
    match kind.chars().find(|char| char.is_control()) {
        Some(found) => Err(AppendError::KindNotPrintable { found }),
        None => Ok(()),
    }
}

/// The size of a payload, in bytes of its canonical JSON.
///
/// # Errors
/// [`AppendError::PayloadTooLarge`].
pub fn check_payload_bytes(bytes: usize) -> Result<(), AppendError> {
    if bytes > PAYLOAD_BYTES_MAX { Err(AppendError::PayloadTooLarge { bytes }) } else { Ok(()) }
}

/// One event: its kind, and the size of its payload in canonical bytes.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_event(kind: &str, payload_bytes: usize) -> Result<(), AppendError> {
    check_kind(kind)?;
    check_payload_bytes(payload_bytes)
}

/// How much is in a batch, while it is filled or measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BatchSize {
    /// How many events.
    pub events: usize,
    /// How many bytes of payloads and kinds.
    pub bytes: usize,
}

impl BatchSize {
    /// The size with one more event.
    #[must_use]
    pub fn with(self, kind_bytes: usize, payload_bytes: usize) -> BatchSize {
        let event = kind_bytes.saturating_add(payload_bytes);
        BatchSize { events: self.events.saturating_add(1), bytes: self.bytes.saturating_add(event) }
    }

    /// Whether one more event still fits. An event that passes [`check_event`] always fits into an empty batch.
    pub fn has_room_for(self, kind_bytes: usize, payload_bytes: usize) -> bool {
        self.with(kind_bytes, payload_bytes).check().is_ok()
    }

    /// Whether a batch of this size may be sent.
    ///
    /// # Errors
    /// [`AppendError::BatchEmpty`], [`AppendError::TooManyEvents`], [`AppendError::TooManyBytes`].
    pub fn check(self) -> Result<(), AppendError> {
        match self {
            BatchSize { events: 0, .. } => Err(AppendError::BatchEmpty),
            BatchSize { events, .. } if events > BATCH_EVENTS_MAX => Err(AppendError::TooManyEvents { events }),
            BatchSize { bytes, .. } if bytes > BATCH_BYTES_MAX => Err(AppendError::TooManyBytes { bytes }),
            _ => Ok(()),
        }
    }
}

/// A whole batch: each event's kind and the size of its payload, in order.
///
/// # Errors
/// What is wrong with the first event that is wrong, with its place in the batch; else what is wrong with the batch.
pub fn check_batch<'a>(events: impl IntoIterator<Item = (&'a str, usize)>) -> Result<BatchSize, Refusal> {
    let mut size = BatchSize::default();
    for (kind, payload_bytes) in events {
        if let Err(error) = check_event(kind, payload_bytes) {
            let refusal = Refusal::from(error);
            return Err(match u32::try_from(size.events) {
                Ok(event) => refusal.at_event(event),
                Err(_) => refusal,
            });
        }
        size = size.with(kind.len(), payload_bytes);
    }
    size.check()?;
    Ok(size)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_kind_has_1_to_128_bytes_and_no_control_characters() {
        for kind in ["commit", "tool call", "größe", &"k".repeat(128)] {
            assert_eq!(check_kind(kind), Ok(()));
        }
        assert_eq!(check_kind(""), Err(AppendError::KindEmpty));
        assert_eq!(check_kind(&"k".repeat(129)), Err(AppendError::KindTooLong { bytes: 129 }));
        assert_eq!(check_kind("ö".repeat(65).as_str()), Err(AppendError::KindTooLong { bytes: 130 }));
        for found in ['\0', '\n', '\u{7f}', '\u{85}'] {
            assert_eq!(check_kind(&format!("a{found}b")), Err(AppendError::KindNotPrintable { found }));
        }
    }

    #[test]
    fn a_payload_has_at_most_256_kibibytes() {
        assert_eq!(check_payload_bytes(262_144), Ok(()));
        assert_eq!(check_payload_bytes(262_145), Err(AppendError::PayloadTooLarge { bytes: 262_145 }));
    }

    #[test]
    fn a_batch_has_at_most_1000_events_and_one_mebibyte() {
        let events = |count: usize, bytes: usize| vec![("k", bytes - 1); count];
        assert_eq!(check_batch(events(1_000, 10)), Ok(BatchSize { events: 1_000, bytes: 10_000 }));
        assert_eq!(check_batch(events(8, 131_072)), Ok(BatchSize { events: 8, bytes: 1_048_576 }));
        let refused = |events| check_batch(events).expect_err("too large");
        assert_eq!(refused(events(1_001, 10)).code, Code::BatchTooLarge);
        assert_eq!(refused(events(1_001, 10)).details.max, Some(1_000));
        assert_eq!(refused([events(8, 131_072), vec![("k", 0)]].concat()).details.max, Some(1_048_576));
        assert_eq!(refused(vec![]).code, Code::InvalidBatch);
    }

    #[test]
    fn a_refused_batch_names_the_event_at_fault() {
        let refusal = check_batch([("k", 1), ("", 1), ("k", 999_999)]).expect_err("an event without a kind");
        assert_eq!((refusal.code, refusal.details.event), (Code::InvalidKind, Some(1)));
    }

    #[test]
    fn any_event_that_is_taken_fits_into_an_empty_batch() {
        assert!(BatchSize::default().has_room_for(KIND_BYTES_MAX, PAYLOAD_BYTES_MAX));
    }

    proptest! {
        #[test]
        fn batches_filled_while_there_is_room_are_taken(
            events in prop::collection::vec((1usize..=KIND_BYTES_MAX, 0usize..=PAYLOAD_BYTES_MAX), 1..60)
        ) {
            let kind = "k".repeat(KIND_BYTES_MAX);
            let mut batch: Vec<(&str, usize)> = Vec::new();
            let mut size = BatchSize::default();
            for (kind_bytes, payload_bytes) in events {
                if !size.has_room_for(kind_bytes, payload_bytes) {
                    prop_assert_eq!(check_batch(batch.drain(..)), Ok(size));
                    size = BatchSize::default();
                }
                batch.push((&kind[..kind_bytes], payload_bytes));
                size = size.with(kind_bytes, payload_bytes);
            }
            prop_assert_eq!(check_batch(batch), Ok(size));
        }
    }
}
