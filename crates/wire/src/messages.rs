//! The messages of SpacetimeDB's WebSocket protocols `v2.bsatn` and `v3.bsatn`, as a client sends and receives them.
//!
//! What always holds: the order of fields and variants here is the wire format, because BSATN writes neither names nor
//! types. The host's tests hold every type to the official one byte for byte, and the bytes are frozen in
//! `messages/tests.rs`. New variants are only ever added at the end.
//!
//! Both protocols exchange the same messages. Under v2 a frame is one message; under v3 it is one or more, back to
//! back (see [`crate::frame`]).

use bytes::Bytes;
use spacetimedb_sats::SpacetimeType;

mod client;
mod server;
#[cfg(test)]
mod tests;

pub use client::*;
pub use server::*;

/// The WebSocket subprotocol of version 2.
pub const V2_PROTOCOL: &str = "v2.bsatn.spacetimedb";

/// The WebSocket subprotocol of version 3.
pub const V3_PROTOCOL: &str = "v3.bsatn.spacetimedb";

/// A client's name for a set of subscribed queries, unique among the live ones of its connection.
#[derive(SpacetimeType, Copy, Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[sats(crate = spacetimedb_lib)]
pub struct QuerySetId {
    /// Any number.
    pub id: u32,
}

/// Rows of one type, each in BSATN, packed without separators.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct RowList {
    /// Where each row begins.
    pub size_hint: RowSizeHint,
    /// The rows.
    pub rows_data: Bytes,
}

/// Where the rows of a [`RowList`] begin.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum RowSizeHint {
    /// Every row is of this many bytes.
    FixedSize(u16),
    /// The offset of each row's first byte.
    RowOffsets(Vec<u64>),
}
