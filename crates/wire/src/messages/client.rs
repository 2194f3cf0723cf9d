//! What a client says. The order of fields and variants is the wire format: see [`super`].

use bytes::Bytes;
use spacetimedb_sats::SpacetimeType;

use super::QuerySetId;

/// What a client says.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum ClientMessage {
    /// Follow the rows of some queries.
    Subscribe(Subscribe),
    /// Stop following them.
    Unsubscribe(Unsubscribe),
    /// Ask once.
    OneOffQuery(OneOffQuery),
    /// Run a reducer.
    CallReducer(CallReducer),
    /// Run a procedure.
    CallProcedure(CallProcedure),
    /// Follow several sets from one moment on. Hosts before 2.14 do not know it.
    SubscribeBatch(SubscribeBatch),
}

/// Follow the rows of some queries, all of them or none.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct Subscribe {
    /// Comes back in the answer.
    pub request_id: u32,
    /// The set's name from now on.
    pub query_set_id: QuerySetId,
    /// One `SELECT` each.
    pub query_strings: Vec<String>,
}

/// Stop following a set.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct Unsubscribe {
    /// Comes back in the answer.
    pub request_id: u32,
    /// The set.
    pub query_set_id: QuerySetId,
    /// Whether the answer carries the rows that the client should drop.
    pub flags: UnsubscribeFlags,
}

/// What the answer to an [`Unsubscribe`] carries.
#[derive(SpacetimeType, Clone, Copy, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum UnsubscribeFlags {
    /// Nothing.
    Default,
    /// The rows that leave the client's view.
    SendDroppedRows,
}

/// Follow several sets from one moment on.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct SubscribeBatch {
    /// Comes back in the answer.
    pub request_id: u32,
    /// The sets. One that fails does not keep the others from succeeding.
    pub sets: Vec<SubscribeSet>,
}

/// One set of a [`SubscribeBatch`].
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct SubscribeSet {
    /// The set's name from now on.
    pub query_set_id: QuerySetId,
    /// One `SELECT` each.
    pub query_strings: Vec<String>,
}

/// Ask once.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct OneOffQuery {
    /// Comes back in the answer.
    pub request_id: u32,
    /// One `SELECT`.
    pub query_string: String,
}

/// Run a reducer.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct CallReducer {
    /// Comes back in the answer.
    pub request_id: u32,
    /// 0; other values are reserved.
    pub flags: u8,
    /// The reducer's name.
    pub reducer: String,
    /// Its arguments: the BSATN of a product of them.
    pub args: Bytes,
}

/// Run a procedure.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct CallProcedure {
    /// Comes back in the answer.
    pub request_id: u32,
    /// 0; other values are reserved.
    pub flags: u8,
    /// The procedure's name.
    pub procedure: String,
    /// Its arguments: the BSATN of a product of them.
    pub args: Bytes,
}
