//! The catalogue: which databases exist, who owns them, what they are called, where their data lies.
//!
//! It is one SQLite file in the data folder (or in memory), and the only authority on these questions; what is *in* a
//! database, its current module included, is the engine's commit log. Always true here:
//!
//! * a name belongs to one database, and goes with it;
//! * a replica number is never used twice, so a folder `replicas/<id>` never changes its meaning;
//! * a replica that lost its database stays listed as dropped until its folder is gone, so a crash in between leaves
//!   no orphan;
//! * a module's hash is listed before the engine may store that module, so after a crash every module that a commit
//!   log can hold is known.

mod changes;
pub(crate) mod copy;
mod schema;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior};
use spacetimedb::messages::control_db::{Database, HostType};
use spacetimedb_lib::{Hash, Identity};

use crate::error::StartError;

/// What the catalogue knows of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseRecord {
    /// Its row; the engine's `Database::id`.
    pub(crate) id: u64,
    /// Its public identity.
    pub(crate) identity: Identity,
    /// Whose it is.
    pub(crate) owner: Identity,
    /// The module it was created, or last reset, with. Updates do not change it.
    pub(crate) initial_program: Hash,
    /// The number of the folder with its data.
    pub(crate) replica_id: u64,
}

impl DatabaseRecord {
    /// The record in the engine's words.
    pub(crate) fn to_engine(&self) -> Database {
        Database {
            id: self.id,
            database_identity: self.identity,
            owner_identity: self.owner,
            host_type: HostType::Wasm,
            initial_program: self.initial_program,
            bootstrap_generation: 0,
        }
    }
}

/// A module that a database's commit log may hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProgramRecord {
    /// Its hash.
    pub(crate) hash: Hash,
    /// The engine version that last launched it, or `None` while that is still to happen.
    pub(crate) launched_by: Option<String>,
}

/// Why the catalogue could not be changed as asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    /// A name belongs to another database.
    #[error("database name `{0}` is already in use")]
    NameTaken(String),
    /// The database went away meanwhile.
    #[error("no such database")]
    NoSuchDatabase,
    /// No space is left for the change; nothing was changed.
    #[error("catalogue of databases: {0}")]
    DiskFull(std::io::Error),
    /// SQLite failed; nothing was changed.
    #[error("catalogue of databases: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The thread that made the change did not finish.
    #[error("catalogue of databases: the writing thread failed")]
    Interrupted,
}

type Result<T> = std::result::Result<T, ControlError>;

/// The catalogue. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Control {
    connection: Arc<Mutex<Connection>>,
    /// Where the file lies, if it is one.
    folder: Option<Arc<Path>>,
}

impl Control {
    /// Opens the catalogue at `path`, making or upgrading it as needed.
    pub(crate) fn open(path: &Path) -> std::result::Result<Self, StartError> {
        let connection = schema::open(path)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), folder: path.parent().map(Arc::from) })
    }

    /// An empty catalogue that lives as long as the value.
    pub(crate) fn in_memory() -> std::result::Result<Self, StartError> {
        let connection = schema::open_in_memory()?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)), folder: None })
    }

    /// The database called `name`.
    pub(crate) fn identity_of(&self, name: &str) -> Result<Option<Identity>> {
        let connection = self.lock();
        let mut query = connection.prepare_cached(
            "SELECT d.identity FROM database_name n JOIN database d ON d.id = n.database_id WHERE n.name = ?1",
        )?;
        Ok(query.query_row([name], |row| identity(row, 0)).optional()?)
    }

    /// The database with this identity.
    pub(crate) fn database(&self, identity: Identity) -> Result<Option<DatabaseRecord>> {
        let connection = self.lock();
        let mut query = connection.prepare_cached(&format!("{SELECT_DATABASE} WHERE d.identity = ?1"))?;
        Ok(query.query_row([identity.to_be_byte_array()], record).optional()?)
    }

    /// Every database, oldest first.
    pub(crate) fn databases(&self) -> Result<Vec<DatabaseRecord>> {
        let connection = self.lock();
        let mut query = connection.prepare_cached(&format!("{SELECT_DATABASE} ORDER BY d.id"))?;
        let rows = query.query_map([], record)?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The databases of `owner`, oldest first.
    pub(crate) fn owned_by(&self, owner: Identity) -> Result<Vec<Identity>> {
        let connection = self.lock();
        let mut query = connection.prepare_cached("SELECT identity FROM database WHERE owner = ?1 ORDER BY id")?;
        let rows = query.query_map([owner.to_be_byte_array()], |row| identity(row, 0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The names of a database, in order of their making.
    pub(crate) fn names_of(&self, identity: Identity) -> Result<Vec<String>> {
        let connection = self.lock();
        let mut query = connection.prepare_cached(
            "SELECT n.name FROM database_name n JOIN database d ON d.id = n.database_id
             WHERE d.identity = ?1 ORDER BY n.rowid",
        )?;
        let rows = query.query_map([identity.to_be_byte_array()], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// The modules that the commit log of a database may hold.
    pub(crate) fn programs_of(&self, database_id: u64) -> Result<Vec<ProgramRecord>> {
        let connection = self.lock();
        let mut query =
            connection.prepare_cached("SELECT hash, launched_by FROM program WHERE database_id = ?1 ORDER BY rowid")?;
        let rows = query
            .query_map([database_id], |row| Ok(ProgramRecord { hash: hash(row, 0)?, launched_by: row.get(1)? }))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Replicas whose database is gone and whose folder may still be there.
    pub(crate) fn dropped_replicas(&self) -> Result<Vec<u64>> {
        let connection = self.lock();
        let mut query = connection.prepare_cached("SELECT id FROM replica WHERE database_id IS NULL ORDER BY id")?;
        let rows = query.query_map([], |row| row.get(0))?;
        Ok(rows.collect::<rusqlite::Result<_>>()?)
    }

    /// Whether any database still needs the module `hash`.
    pub(crate) fn program_is_needed(&self, hash: Hash) -> Result<bool> {
        let connection = self.lock();
        let mut query = connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM program WHERE hash = ?1)
                 OR EXISTS (SELECT 1 FROM database WHERE initial_program = ?1)",
        )?;
        Ok(query.query_row([hash.data], |row| row.get(0))?)
    }

    /// Runs `f` in one durable transaction, on a thread that may wait for the disk.
    async fn change<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        let change = move || {
            let mut connection = this.lock();
            let changed = connection
                .transaction_with_behavior(TransactionBehavior::Immediate)
                .map_err(ControlError::from)
                .and_then(|tx| {
                    let value = f(&tx)?;
                    tx.commit()?;
                    Ok(value)
                });
            changed.map_err(|error| this.told_apart(error))
        };
        tokio::task::spawn_blocking(change).await.map_err(|_| ControlError::Interrupted)?
    }

    /// SQLite says that the disk is full, or only that the system failed; then the disk is asked.
    fn told_apart(&self, error: ControlError) -> ControlError {
        match error {
            ControlError::Sqlite(e) if e.sqlite_error_code() == Some(ErrorCode::DiskFull) => {
                ControlError::DiskFull(std::io::Error::new(std::io::ErrorKind::StorageFull, e))
            }
            ControlError::Sqlite(e) if e.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                match self.folder.as_deref().map(crate::durability::probe_now) {
                    Some(Err(full)) if crate::durability::is_full(&full) => ControlError::DiskFull(full),
                    _ => ControlError::Sqlite(e),
                }
            }
            other => other,
        }
    }

    /// A panic while the lock was held rolled its transaction back: the connection stays usable.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SELECT_DATABASE: &str = "SELECT d.id, d.identity, d.owner, d.initial_program, r.id
     FROM database d JOIN replica r ON r.database_id = d.id";

fn record(row: &Row<'_>) -> rusqlite::Result<DatabaseRecord> {
    Ok(DatabaseRecord {
        id: row.get(0)?,
        identity: identity(row, 1)?,
        owner: identity(row, 2)?,
        initial_program: hash(row, 3)?,
        replica_id: row.get(4)?,
    })
}

fn identity(row: &Row<'_>, column: usize) -> rusqlite::Result<Identity> {
    row.get(column).map(Identity::from_be_byte_array)
}

fn hash(row: &Row<'_>, column: usize) -> rusqlite::Result<Hash> {
    row.get(column).map(Hash::from_byte_array)
}

#[cfg(test)]
mod tests;
