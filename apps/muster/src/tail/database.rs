//! Which database a store belongs to: numbers of streams mean nothing in another one.
//!
//! What always holds: the first database that is applied to a store is its own, written down in the same transaction;
//! of another database nothing is applied, not even where the host was away when the tail began.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_sync::ApplicationError;
use muster_wire::Endpoint;
use muster_wire::http::HttpClient;
use rusqlite::{OptionalExtension, Transaction};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::limits::{CHECK_MS_MAX, STREAMS_LOOK_MS};
use crate::outcome::Failure;

/// The identity of the database that a host has, once it has said it.
pub(crate) type Database = watch::Receiver<Option<String>>;

/// Asks the host which database this is, until it answers or nobody wants to know any more. Anonymously: no token is
/// needed for that.
///
/// # Errors
/// [`Failure::CouldNot`] if the HTTP library cannot start.
pub(crate) fn ask(endpoint: Endpoint) -> Result<Database, Failure> {
    let limit = Duration::from_millis(CHECK_MS_MAX);
    let http = HttpClient::new(endpoint, None)?.with_timeout(limit);
    let (tell, database) = watch::channel(None);
    tokio::spawn(async move {
        let mut pause = Duration::from_millis(STREAMS_LOOK_MS);
        loop {
            // What else may be wrong with the host is for the subscriber to meet and to tell.
            let asked = tokio::select! {
                () = tell.closed() => return,
                asked = http.database_identity() => asked,
            };
            if let Ok(identity) = asked {
                tell.send_replace(Some(identity.to_string()));
                return;
            }
            tokio::select! {
                () = tell.closed() => return,
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(limit);
        }
    });
    Ok(database)
}

/// That a store is another database's.
pub(crate) fn refused(store: &Path, own: &str, found: &str) -> Failure {
    Failure::could_not(
        format!("the store {} belongs to database {own}, and this is database {found}", store.display()),
        "name another --store",
    )
}

/// Holds a store to its database.
pub(crate) struct Binding {
    store: PathBuf,
    database: Database,
    runtime: Handle,
    is_bound: bool,
}

impl Binding {
    /// Of the store in this file, to the database that `database` will name.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub(crate) fn new(store: PathBuf, database: Database) -> Binding {
        Binding { store, database, runtime: Handle::current(), is_bound: false }
    }

    /// Makes the table, and says which database the store belongs to already.
    pub(crate) fn prepare(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
        transaction.execute_batch("CREATE TABLE IF NOT EXISTS muster_tail (database TEXT NOT NULL)")?;
        bound(transaction)
    }

    /// Lets a transaction go on that is about this store's database, which it becomes by that if it has none. Waits for
    /// the host to say which database it is.
    ///
    /// # Errors
    /// A [`Failure`] if the store is another database's; something else, if the host has not said it for too long.
    pub(crate) fn check(&mut self, transaction: &Transaction<'_>) -> Result<(), ApplicationError> {
        if self.is_bound {
            return Ok(());
        }
        let known = self.database.wait_for(Option::is_some);
        let known = self.runtime.block_on(async { timeout(Duration::from_millis(CHECK_MS_MAX), known).await });
        let Some(found) = known.ok().and_then(Result::ok).and_then(|known| known.clone()) else {
            return Err("the host has not said yet which database this is".into());
        };
        match bound(transaction)? {
            Some(own) if own != found => return Err(refused(&self.store, &own, &found).into()),
            Some(_) => self.is_bound = true,
            // This transaction may still fail, so the next one looks again.
            None => drop(transaction.execute("INSERT INTO muster_tail (database) VALUES (?1)", (found,))?),
        }
        Ok(())
    }
}

fn bound(transaction: &Transaction<'_>) -> rusqlite::Result<Option<String>> {
    transaction.query_row("SELECT database FROM muster_tail", (), |row| row.get(0)).optional()
}
