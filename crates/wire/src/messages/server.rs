//! What a host says. The order of fields and variants is the wire format: see [`super`].

use bytes::Bytes;
use spacetimedb_lib::{ConnectionId, Identity, TimeDuration, Timestamp};
use spacetimedb_sats::SpacetimeType;

use super::{QuerySetId, RowList};

/// What a host says.
#[derive(SpacetimeType, Clone, Debug, PartialEq, Eq)]
#[sats(crate = spacetimedb_lib)]
pub enum ServerMessage {
    /// The first message of a connection.
    InitialConnection(InitialConnection),
    /// Answers [`super::Subscribe`].
    SubscribeApplied(SubscribeApplied),
    /// Answers [`super::Unsubscribe`].
    UnsubscribeApplied(UnsubscribeApplied),
    /// A set failed: at once, or later.
    SubscriptionError(SubscriptionError),
    /// Rows of followed sets changed.
    TransactionUpdate(TransactionUpdate),
    /// Answers [`super::OneOffQuery`].
    OneOffQueryResult(OneOffQueryResult),
    /// Answers [`super::CallReducer`].
    ReducerResult(ReducerResult),
    /// Answers [`super::CallProcedure`].
    ProcedureResult(ProcedureResult),
    /// Answers [`super::SubscribeBatch`].
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

/// What became of each set of a [`super::SubscribeBatch`].
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
