//! What a connection tells its application: the results of requests, and the updates that come by themselves.
//!
//! What always holds: everything that the host says gets a number, [`Subscription::order`] and so on, that grows with
//! the order in which it was said. Results and updates reach the application by two ways; the numbers put them into
//! one order again where that matters.

use bytes::Bytes;
use spacetimedb_lib::{TimeDuration, Timestamp};
use spacetimedb_sats::{Deserialize, bsatn};

use crate::error::ClosedReason;
use crate::messages::{QuerySetId, ReducerOutcome, TableUpdateRows, TransactionUpdate};
use crate::rows::{RowError, Rows, checked_tables};

/// Where in the order of the host's messages something was said. Comparable within one connection only.
pub type Order = u64;

/// A live subscription and the rows it began with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The name of the set, by which updates refer to it.
    pub query_set: QuerySetId,
    /// When it was applied. No earlier update has this set in it.
    pub order: Order,
    /// The rows it began with. A table may come more than once, and a table without rows may be missing.
    pub tables: Vec<Rows>,
}

impl Subscription {
    /// Decodes every row of `table` that the subscription began with; none if the table is not in it.
    ///
    /// # Errors
    /// [`RowError::Undecodable`].
    pub fn rows<T: for<'de> Deserialize<'de>>(&self, table: &str) -> Result<Vec<T>, RowError> {
        rows_of(&self.tables, table)
    }
}

/// The answer to one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryAnswer {
    /// When the host said it.
    pub order: Order,
    /// The rows by table.
    pub tables: Vec<Rows>,
}

impl QueryAnswer {
    /// Decodes every row of `table`; none if the table is not in it.
    ///
    /// # Errors
    /// [`RowError::Undecodable`].
    pub fn rows<T: for<'de> Deserialize<'de>>(&self, table: &str) -> Result<Vec<T>, RowError> {
        rows_of(&self.tables, table)
    }
}

/// How a reducer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReducerReply {
    /// When the host said it. What the reducer changed in the caller's own subscriptions comes as an update of the
    /// same number, which is in the queue before this reply is given.
    pub order: Order,
    /// When the reducer began, by the host's clock.
    pub timestamp: Timestamp,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// How a reducer or procedure ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// It returned, and what it did is committed (and durable, on a connection with confirmed reads). The BSATN of its
    /// return value, empty for a reducer that returns none.
    Returned(Bytes),
    /// The reducer refused, and nothing is changed: the BSATN of its error, usually a string.
    Refused(Bytes),
    /// It panicked, does not exist, or was called with the wrong arguments, and nothing is changed. For a person.
    Failed(String),
}

impl CallOutcome {
    /// Whether it returned.
    pub const fn is_ok(&self) -> bool {
        matches!(self, CallOutcome::Returned(_))
    }

    /// What went wrong, for a person; `None` if it returned.
    pub fn message(&self) -> Option<String> {
        match self {
            CallOutcome::Returned(_) => None,
            CallOutcome::Refused(error) => Some(
                bsatn::from_slice::<String>(error)
                    .unwrap_or_else(|_| format!("the reducer refused with an error of {} bytes", error.len())),
            ),
            CallOutcome::Failed(message) => Some(message.clone()),
        }
    }
}

impl From<ReducerOutcome> for CallOutcome {
    fn from(outcome: ReducerOutcome) -> Self {
        match outcome {
            ReducerOutcome::Ok(ok) => CallOutcome::Returned(ok.ret_value),
            ReducerOutcome::OkEmpty => CallOutcome::Returned(Bytes::new()),
            ReducerOutcome::Err(error) => CallOutcome::Refused(error),
            ReducerOutcome::InternalError(message) => CallOutcome::Failed(message),
        }
    }
}

/// How a procedure ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcedureReply {
    /// When the host said it.
    pub order: Order,
    /// When the procedure began, by the host's clock.
    pub timestamp: Timestamp,
    /// How long it ran.
    pub duration: TimeDuration,
    /// How it ended. Never [`CallOutcome::Refused`]: a procedure's own errors are among its return values.
    pub outcome: CallOutcome,
}

/// What comes by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// A transaction changed rows of live subscriptions.
    Transaction(Transaction),
    /// A live subscription failed at the host and is gone. Its rows are not to be trusted any more.
    SubscriptionFailed {
        /// When the host said it.
        order: Order,
        /// The set.
        query_set: QuerySetId,
        /// For a person.
        message: String,
    },
    /// The connection ended. Always the last.
    Closed(ClosedReason),
}

/// What one committed transaction changed in this connection's live subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// When the host said it.
    pub order: Order,
    /// By set; never empty.
    pub query_sets: Vec<QuerySetChange>,
}

/// What one transaction changed in one subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuerySetChange {
    /// The set.
    pub query_set: QuerySetId,
    /// By table. A table may come more than once: what is deleted in one may be inserted by another.
    pub tables: Vec<TableChange>,
}

/// What one transaction changed in one table. A changed row is both deleted and inserted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableChange {
    /// The table's name.
    pub table: String,
    /// Rows that came, or the events of an event table.
    pub inserted: Rows,
    /// Rows that went. Always empty for an event table.
    pub deleted: Rows,
    /// Whether the rows are events, which are never stored.
    pub is_event: bool,
}

fn rows_of<T: for<'de> Deserialize<'de>>(tables: &[Rows], table: &str) -> Result<Vec<T>, RowError> {
    let mut all = Vec::new();
    for rows in tables.iter().filter(|rows| rows.table() == table) {
        all.append(&mut rows.decode()?);
    }
    Ok(all)
}

/// Takes a host's update apart and checks its row boundaries.
pub(crate) fn changes(update: TransactionUpdate) -> Result<Vec<QuerySetChange>, RowError> {
    update
        .query_sets
        .into_iter()
        .map(|set| {
            let mut tables = Vec::new();
            for table in set.tables {
                for rows in table.rows {
                    tables.push(change(&table.table_name, rows)?);
                }
            }
            Ok(QuerySetChange { query_set: set.query_set_id, tables })
        })
        .collect()
}

fn change(table: &str, rows: TableUpdateRows) -> Result<TableChange, RowError> {
    let (inserted, deleted, is_event) = match rows {
        TableUpdateRows::PersistentTable(rows) => {
            (Rows::new(table, rows.inserts)?, Rows::new(table, rows.deletes)?, false)
        }
        TableUpdateRows::EventTable(rows) => (Rows::new(table, rows.events)?, Rows::empty(table), true),
    };
    Ok(TableChange { table: table.into(), inserted, deleted, is_event })
}

/// An answer's tables, checked.
pub(crate) fn answer(order: Order, rows: crate::messages::QueryRows) -> Result<QueryAnswer, RowError> {
    Ok(QueryAnswer { order, tables: checked_tables(rows)? })
}
