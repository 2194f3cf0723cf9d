//! Frames: how messages lie in the payload of a WebSocket message.
//!
//! What always holds: a frame from a host begins with one byte that names its compression; a frame to a host does not.
//! Under v2 a frame holds one message, under v3 one or more, back to back. No frame is decompressed that was not asked to
//! be, nor beyond the limit, and its messages are decoded one at a time as they are taken ([`Messages`]), so that a small
//! frame can neither fill the memory nor keep a thread busy.

use std::io::Read;

use bytes::Bytes;
use spacetimedb_sats::bsatn;

use crate::limits::FRAME_MESSAGES_MAX;
use crate::messages::{ClientMessage, ServerMessage};
use crate::options::{Compression, Protocol};

/// A frame from a host that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not even the compression byte.
    #[error("it sent an empty frame")]
    Empty,
    /// A compression that this client did not ask for and does not know.
    #[error("it sent a frame with the unknown compression {tag}")]
    UnknownCompression {
        /// The byte.
        tag: u8,
    },
    /// A compression that this client knows and did not ask for.
    #[error("it sent a {compression} frame, which this client did not ask for")]
    UnaskedCompression {
        /// Its name.
        compression: &'static str,
    },
    /// More messages than any host puts into one frame.
    #[error("it sent more than {messages_max} messages in one frame")]
    TooMany {
        /// The limit.
        messages_max: usize,
    },
    /// More than the limit, before or after decompression.
    #[error("it sent a message of more than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
    /// The compressed data is damaged.
    #[error("it sent a damaged {compression} frame ({reason})")]
    Damaged {
        /// Its name.
        compression: &'static str,
        /// What the decoder says.
        reason: String,
    },
    /// The message is none of the protocol's.
    #[error("it sent a message that is not of the protocol ({reason})")]
    Undecodable {
        /// What the decoder says.
        reason: String,
    },
    /// Bytes behind a v2 message.
    #[error("it sent {bytes} bytes behind a message")]
    Trailing {
        /// How many.
        bytes: usize,
    },
}

/// How many bytes of messages are put together into one v3 frame.
const COALESCED_BYTES: usize = 64 * 1_024;

/// The payloads that carry `messages`, in order.
pub fn encode(protocol: Protocol, messages: &[ClientMessage]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    let mut frame = Vec::new();
    for message in messages {
        bsatn::to_writer(&mut frame, message).expect("a request within its size limit encodes");
        if protocol == Protocol::V2 || frame.len() >= COALESCED_BYTES {
            frames.push(std::mem::take(&mut frame).into());
        }
    }
    if !frame.is_empty() {
        frames.push(frame.into());
    }
    frames
}

/// The messages of one frame, decoded as they are taken. Ends after the first error.
#[derive(Debug)]
pub struct Messages {
    protocol: Protocol,
    plain: Bytes,
    position: usize,
    taken: usize,
}

impl Messages {
    /// What is in a payload from a host that may be at most `bytes_max` bytes, also decompressed. A host may leave
    /// uncompressed what it was asked to compress; compress in another way than it was asked to it may not.
    ///
    /// # Errors
    /// [`FrameError`], about the frame as a whole.
    pub fn of(
        protocol: Protocol,
        asked: Compression,
        payload: &Bytes,
        bytes_max: usize,
    ) -> Result<Messages, FrameError> {
        Ok(Messages { protocol, plain: decompress(asked, payload, bytes_max)?, position: 0, taken: 0 })
    }

    /// Whether all of them are taken.
    pub fn is_done(&self) -> bool {
        // A frame without any message is an error, and the first to be taken.
        self.taken > 0 && self.position >= self.plain.len()
    }

    fn take(&mut self) -> Result<ServerMessage, FrameError> {
        if self.taken >= FRAME_MESSAGES_MAX {
            return Err(FrameError::TooMany { messages_max: FRAME_MESSAGES_MAX });
        }
        let mut rest = &self.plain[self.position..];
        let message =
            bsatn::from_reader(&mut rest).map_err(|error| FrameError::Undecodable { reason: error.to_string() })?;
        if self.protocol == Protocol::V2 && !rest.is_empty() {
            return Err(FrameError::Trailing { bytes: rest.len() });
        }
        self.position = self.plain.len() - rest.len();
        self.taken += 1;
        Ok(message)
    }
}

impl Iterator for Messages {
    type Item = Result<ServerMessage, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done() {
            return None;
        }
        let taken = self.take();
        if taken.is_err() {
            // Nothing behind an error means anything.
            (self.position, self.taken) = (self.plain.len(), self.taken.max(1));
        }
        Some(taken)
    }
}

/// All messages in a payload from a host that was asked not to compress, at once: for one who trusts it.
///
/// # Errors
/// [`FrameError`].
pub fn decode(protocol: Protocol, payload: &[u8], bytes_max: usize) -> Result<Vec<ServerMessage>, FrameError> {
    Messages::of(protocol, Compression::None, &Bytes::copy_from_slice(payload), bytes_max)?.collect()
}

fn decompress(asked: Compression, payload: &Bytes, bytes_max: usize) -> Result<Bytes, FrameError> {
    let tag = *payload.first().ok_or(FrameError::Empty)?;
    let data = payload.slice(1..);
    if data.len() > bytes_max {
        return Err(FrameError::TooLarge { bytes_max });
    }
    let unasked = |compression| Err(FrameError::UnaskedCompression { compression });
    match tag {
        0 => Ok(data),
        1 if asked != Compression::Brotli => unasked("brotli"),
        2 if asked != Compression::Gzip => unasked("gzip"),
        1 => bounded("brotli", brotli::Decompressor::new(&*data, 4_096), bytes_max).map(Into::into),
        2 => bounded("gzip", flate2::read::MultiGzDecoder::new(&*data), bytes_max).map(Into::into),
        tag => Err(FrameError::UnknownCompression { tag }),
    }
}

fn bounded(compression: &'static str, reader: impl Read, bytes_max: usize) -> Result<Vec<u8>, FrameError> {
    let mut plain = Vec::new();
    // One byte more than allowed tells "too large" from "exactly as large as allowed".
    reader
        .take(bytes_max as u64 + 1)
        .read_to_end(&mut plain)
        .map_err(|error| FrameError::Damaged { compression, reason: error.to_string() })?;
    if plain.len() > bytes_max {
        return Err(FrameError::TooLarge { bytes_max });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests;
