//! The messages of SpacetimeDB's WebSocket protocols `v2.bsatn` and `v3.bsatn`, as a client sends and receives them.
//!
//! What always holds: the order of fields and variants here is the wire format, because BSATN writes neither names nor
//! types. The host's tests hold every type to the official one byte for byte, and the bytes are frozen in
//! `messages/tests.rs`. New variants are only ever added at the end.
//!
//! Both protocols exchange the same messages. Under v2 a frame is one message; under v3 it is one or more, back to
//! back (see [`crate::frame`]).

use bytes::Bytes;
use spacetimedb_lib::{ConnectionId, Identity, TimeDuration, Timestamp};
use spacetimedb_sats::SpacetimeType;

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

/// What a host says.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum ServerMessage {
    /// The first message of a connection.
    InitialConnection(InitialConnection),
    /// Answers [`Subscribe`].
    SubscribeApplied(SubscribeApplied),
    /// Answers [`Unsubscribe`].
    UnsubscribeApplied(UnsubscribeApplied),
    /// A set failed: at once, or later.
    SubscriptionError(SubscriptionError),
    /// Rows of followed sets changed.
    TransactionUpdate(TransactionUpdate),
    /// Answers [`OneOffQuery`].
    OneOffQueryResult(OneOffQueryResult),
    /// Answers [`CallReducer`].
    ReducerResult(ReducerResult),
    /// Answers [`CallProcedure`].
    ProcedureResult(ProcedureResult),
    /// Answers [`SubscribeBatch`].
    SubscribeBatchApplied(SubscribeBatchApplied),
}

/// Who the host takes the client for.
#[derive(SpacetimeType, Clone, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct InitialConnection {
    /// The client's identity.
    pub identity: Identity,
    /// This connection's id.
    pub connection_id: ConnectionId,
    /// A token by which the client can come back as the same identity: a secret.
    pub token: String,
}

impl std::fmt::Debug for InitialConnection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InitialConnection")
            .field("identity", &self.identity)
            .field("connection_id", &self.connection_id)
            .finish_non_exhaustive()
    }
}

/// The set is live; these are its rows.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct SubscribeApplied {
    /// Of the request.
    pub request_id: u32,
    /// Of the request.
    pub query_set_id: QuerySetId,
    /// All rows that match at this moment.
    pub rows: QueryRows,
}

/// Rows by table.
#[derive(SpacetimeType, Clone, Debug, Default, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct QueryRows {
    /// A table may come more than once.
    pub tables: Vec<SingleTableRows>,
}

/// Rows of one table.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct SingleTableRows {
    /// The table's name.
    pub table: String,
    /// Its rows.
    pub rows: RowList,
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

/// The set is gone; its name is free.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct UnsubscribeApplied {
    /// Of the request.
    pub request_id: u32,
    /// Of the request.
    pub query_set_id: QuerySetId,
    /// The dropped rows, where asked for.
    pub rows: Option<QueryRows>,
}

/// The set is gone, because of an error.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct SubscriptionError {
    /// Of the request; `None` when a live set failed later.
    pub request_id: Option<u32>,
    /// The set.
    pub query_set_id: QuerySetId,
    /// For a person.
    pub error: String,
}

/// What became of each set of a [`SubscribeBatch`].
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct SubscribeBatchApplied {
    /// Of the request.
    pub request_id: u32,
    /// In the order of the request.
    pub results: Vec<SubscribeSetResult>,
}

/// What became of one set.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct SubscribeSetResult {
    /// The set.
    pub query_set_id: QuerySetId,
    /// Its outcome.
    pub outcome: SubscribeSetOutcome,
}

/// Rows, or why there are none.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum SubscribeSetOutcome {
    /// The set is live; these are its rows.
    Applied(QueryRows),
    /// The set failed.
    Error(String),
}

/// What one committed transaction changed for this client. Never empty, except inside [`ReducerOk`].
#[derive(SpacetimeType, Clone, Debug, Default, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct TransactionUpdate {
    /// By set.
    pub query_sets: Vec<QuerySetUpdate>,
}

/// What one transaction changed in one set.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct QuerySetUpdate {
    /// The set.
    pub query_set_id: QuerySetId,
    /// By table; a table may come more than once.
    pub tables: Vec<TableUpdate>,
}

/// What one transaction changed in one table.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct TableUpdate {
    /// The table's name.
    pub table_name: String,
    /// The changes.
    pub rows: Vec<TableUpdateRows>,
}

/// Changed rows, by the kind of table.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum TableUpdateRows {
    /// A table that keeps its rows.
    PersistentTable(PersistentTableRows),
    /// A table whose rows exist only as this message.
    EventTable(EventTableRows),
}

/// Changed rows of a table that keeps them. A changed row is a delete and an insert.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct PersistentTableRows {
    /// Rows that came.
    pub inserts: RowList,
    /// Rows that went.
    pub deletes: RowList,
}

/// Rows of an event table.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct EventTableRows {
    /// The events.
    pub events: RowList,
}

/// The answer to a single question.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct OneOffQueryResult {
    /// Of the request.
    pub request_id: u32,
    /// Rows, or why there are none.
    pub result: Result<QueryRows, String>,
}

/// How a reducer ended.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct ReducerResult {
    /// Of the request.
    pub request_id: u32,
    /// When it began, by the host's clock.
    pub timestamp: Timestamp,
    /// How it ended.
    pub result: ReducerOutcome,
}

/// How a reducer ended.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum ReducerOutcome {
    /// Committed, with a value or changes.
    Ok(ReducerOk),
    /// Committed, without either.
    OkEmpty,
    /// Refused by the reducer and rolled back: the BSATN of its error type.
    Err(Bytes),
    /// Panicked, unknown, or called with the wrong arguments; rolled back.
    InternalError(String),
}

/// What a committed reducer returned and changed.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct ReducerOk {
    /// The BSATN of its return type.
    pub ret_value: Bytes,
    /// The changes in the caller's own sets: they come here and nowhere else.
    pub transaction_update: TransactionUpdate,
}

/// How a procedure ended.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub struct ProcedureResult {
    /// How it ended.
    pub status: ProcedureStatus,
    /// When it began, by the host's clock.
    pub timestamp: Timestamp,
    /// How long it ran.
    pub total_host_execution_duration: TimeDuration,
    /// Of the request.
    pub request_id: u32,
}

/// How a procedure ended.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum ProcedureStatus {
    /// It returned: the BSATN of its return type.
    Returned(Bytes),
    /// It panicked, is unknown, or was called with the wrong arguments.
    InternalError(String),
}
