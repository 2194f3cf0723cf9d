//! Frames: how messages lie in the payload of a WebSocket message.
//!
//! What always holds: a frame from a host begins with one byte that names its compression; a frame to a host does not.
//! Under v2 a frame holds one message, under v3 one or more, back to back. No frame is decompressed beyond the limit,
//! so a small frame cannot fill the memory.

use std::io::Read;

use bytes::Bytes;
use spacetimedb_sats::bsatn;

use crate::messages::{ClientMessage, ServerMessage};
use crate::options::Protocol;

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

/// The messages in a payload from a host, which may be at most `bytes_max` bytes, decompressed.
///
/// # Errors
/// [`FrameError`].
pub fn decode(protocol: Protocol, payload: &[u8], bytes_max: usize) -> Result<Vec<ServerMessage>, FrameError> {
    let plain = decompress(payload, bytes_max)?;
    let mut rest: &[u8] = &plain;
    let mut messages = Vec::new();
    loop {
        let message =
            bsatn::from_reader(&mut rest).map_err(|error| FrameError::Undecodable { reason: error.to_string() })?;
        messages.push(message);
        if rest.is_empty() {
            return Ok(messages);
        }
        if protocol == Protocol::V2 {
            return Err(FrameError::Trailing { bytes: rest.len() });
        }
    }
}

fn decompress(payload: &[u8], bytes_max: usize) -> Result<std::borrow::Cow<'_, [u8]>, FrameError> {
    let (tag, data) = payload.split_first().ok_or(FrameError::Empty)?;
    if data.len() > bytes_max {
        return Err(FrameError::TooLarge { bytes_max });
    }
    match tag {
        0 => Ok(data.into()),
        1 => bounded("brotli", brotli::Decompressor::new(data, 4_096), bytes_max).map(Into::into),
        2 => bounded("gzip", flate2::read::MultiGzDecoder::new(data), bytes_max).map(Into::into),
        &tag => Err(FrameError::UnknownCompression { tag }),
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
