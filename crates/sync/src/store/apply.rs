//! One transaction: the application's effects and the cursors of as many batches as wait together.
//!
//! What always holds: of a batch that is reported as failed nothing is in the file, and one that is reported as applied
//! is there whole, with its cursor.

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::{StoreError, move_cursor};
use crate::batch::{Batch, Change};

/// Whatever an application fails with.
pub type ApplicationError = Box<dyn std::error::Error + Send + Sync>;

/// What an application makes of batches. A closure `FnMut(&Transaction, &Batch) -> Result<(), E>` is one.
pub trait Apply: Send + 'static {
    /// Makes the application's tables where they are missing. Runs once, when the store is opened.
    ///
    /// # Errors
    /// Whatever goes wrong; the store is then not opened.
    fn prepare(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        let _ = transaction;
        Ok(())
    }

    /// Applies a batch within the store's transaction, which the caller commits with the new cursor. Must not begin,
    /// commit or roll back; has no other effects than those of the transaction, because the batch comes again if that
    /// is not committed.
    ///
    /// # Errors
    /// Whatever goes wrong; nothing of the batch is then in the file, and it is offered again after a wait.
    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError>;
}

impl<F, E> Apply for F
where
    F: FnMut(&Transaction<'_>, &Batch) -> Result<(), E> + Send + 'static,
    E: Into<ApplicationError>,
{
    fn apply(&mut self, transaction: &Transaction<'_>, batch: &Batch) -> Result<(), ApplicationError> {
        self(transaction, batch).map_err(Into::into)
    }
}

type Outcome = Result<(), StoreError>;

pub(super) fn apply_all(connection: &mut Connection, batches: &[&Batch], application: &mut dyn Apply) -> Vec<Outcome> {
    match try_all(connection, batches, application) {
        Ok(outcomes) => outcomes,
        // Nothing is committed. The first hears the reason in its type; it is the same for all of them.
        Err(error) => {
            let again = |_: &&Batch| Err(again(&error));
            let mut outcomes: Vec<Outcome> = batches.iter().skip(1).map(again).collect();
            outcomes.insert(0, Err(error));
            outcomes.truncate(batches.len());
            outcomes
        }
    }
}

fn try_all(
    connection: &mut Connection,
    batches: &[&Batch],
    application: &mut dyn Apply,
) -> Result<Vec<Outcome>, StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    if let [batch] = batches {
        // Alone, it needs no savepoint: an error takes the transaction down, and nobody with it.
        apply_one(&transaction, batch, application)?;
        transaction.commit()?;
        return Ok(vec![Ok(())]);
    }
    let mut outcomes = Vec::with_capacity(batches.len());
    for batch in batches {
        outcomes.push(apply_among_others(&transaction, batch, application)?);
    }
    transaction.commit()?;
    Ok(outcomes)
}

fn apply_one(transaction: &Transaction<'_>, batch: &Batch, application: &mut dyn Apply) -> Outcome {
    move_cursor(transaction, batch)?;
    match batch.change {
        Change::Begin(_) => Ok(()),
        Change::Events(_) | Change::Reset(_) => {
            application.apply(transaction, batch).map_err(StoreError::of_application)
        }
    }
}

/// Applies one of several batches. The outer error is the store's, and ends the transaction; the inner one is this
/// batch's alone.
fn apply_among_others(
    transaction: &Transaction<'_>,
    batch: &Batch,
    application: &mut dyn Apply,
) -> Result<Outcome, StoreError> {
    transaction.prepare_cached("SAVEPOINT muster_batch")?.execute(())?;
    match apply_one(transaction, batch, application) {
        Ok(()) => {
            transaction.prepare_cached("RELEASE muster_batch")?.execute(())?;
            Ok(Ok(()))
        }
        Err(error) if error.scope() == crate::engine::Scope::Store || transaction.is_autocommit() => Err(error),
        Err(error) => {
            transaction.execute_batch("ROLLBACK TO muster_batch; RELEASE muster_batch")?;
            Ok(Err(error))
        }
    }
}

/// An error like this one, for the other batches of its transaction.
fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::DiskFull { reason } => StoreError::DiskFull { reason: reason.clone() },
        StoreError::Busy { reason } => StoreError::Busy { reason: reason.clone() },
        StoreError::Corrupt { reason } => StoreError::Corrupt { reason: reason.clone() },
        StoreError::CannotOpen { reason } => StoreError::CannotOpen { reason: reason.clone() },
        StoreError::ReadOnly { reason } => StoreError::ReadOnly { reason: reason.clone() },
        other => StoreError::Io { reason: other.to_string() },
    }
}
