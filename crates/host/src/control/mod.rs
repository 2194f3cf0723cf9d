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

pub(crate) mod copy;
mod schema;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, Transaction, TransactionBehavior, params};
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
}

impl Control {
    /// Opens the catalogue at `path`, making or upgrading it as needed.
    pub(crate) fn open(path: &Path) -> std::result::Result<Self, StartError> {
        schema::open(path).map(Self::from_connection)
    }

    /// An empty catalogue that lives as long as the value.
    pub(crate) fn in_memory() -> std::result::Result<Self, StartError> {
        schema::open_in_memory().map(Self::from_connection)
    }

    fn from_connection(connection: Connection) -> Self {
        Self { connection: Arc::new(Mutex::new(connection)) }
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

    /// Enters a new database, with its first replica, module and, if given, name.
    pub(crate) async fn create(
        &self,
        identity: Identity,
        owner: Identity,
        program: Hash,
        name: Option<String>,
    ) -> Result<DatabaseRecord> {
        self.change(move |tx| {
            tx.execute(
                "INSERT INTO database (identity, owner, initial_program) VALUES (?1, ?2, ?3)",
                params![identity.to_be_byte_array(), owner.to_be_byte_array(), program.data],
            )?;
            let id = tx.last_insert_rowid();
            tx.execute("INSERT INTO replica (database_id) VALUES (?1)", [id])?;
            insert_program(tx, id as u64, program)?;
            if let Some(name) = name {
                insert_name(tx, id, &name)?;
            }
            find(tx, identity)
        })
        .await
    }

    /// Removes a database and its names; its replica becomes a dropped one, whose number is returned.
    pub(crate) async fn delete(&self, identity: Identity) -> Result<u64> {
        self.change(move |tx| {
            let found = find(tx, identity)?;
            tx.execute("UPDATE replica SET database_id = NULL WHERE database_id = ?1", [found.id])?;
            tx.execute("DELETE FROM database WHERE id = ?1", [found.id])?;
            Ok(found.replica_id)
        })
        .await
    }

    /// Gives a database an empty replica and, from now on, `program` as its initial module. The old replica becomes a
    /// dropped one.
    pub(crate) async fn reset(&self, identity: Identity, program: Hash) -> Result<DatabaseRecord> {
        self.change(move |tx| {
            let found = find(tx, identity)?;
            tx.execute("UPDATE replica SET database_id = NULL WHERE database_id = ?1", [found.id])?;
            tx.execute("INSERT INTO replica (database_id) VALUES (?1)", [found.id])?;
            tx.execute("DELETE FROM program WHERE database_id = ?1", [found.id])?;
            insert_program(tx, found.id, program)?;
            tx.execute("UPDATE database SET initial_program = ?2 WHERE id = ?1", params![found.id, program.data])?;
            find(tx, identity)
        })
        .await
    }

    /// Takes back [`Self::create`] of a database whose folder was never made.
    pub(crate) async fn undo_create(&self, created: &DatabaseRecord) -> Result<()> {
        let (id, replica_id) = (created.id, created.replica_id);
        self.change(move |tx| {
            tx.execute("DELETE FROM replica WHERE id = ?1", [replica_id])?;
            tx.execute("DELETE FROM database WHERE id = ?1", [id])?;
            Ok(())
        })
        .await
    }

    /// Takes back [`Self::reset`]: the database has again what it had `before`, with these `programs`. The replica that
    /// it was given becomes a dropped one.
    pub(crate) async fn undo_reset(&self, before: &DatabaseRecord, programs: Vec<ProgramRecord>) -> Result<()> {
        let before = before.clone();
        self.change(move |tx| {
            tx.execute("UPDATE replica SET database_id = NULL WHERE database_id = ?1", [before.id])?;
            tx.execute("UPDATE replica SET database_id = ?1 WHERE id = ?2", [before.id, before.replica_id])?;
            tx.execute("DELETE FROM program WHERE database_id = ?1", [before.id])?;
            for program in programs {
                tx.execute(
                    "INSERT INTO program (database_id, hash, launched_by) VALUES (?1, ?2, ?3)",
                    params![before.id, program.hash.data, program.launched_by],
                )?;
            }
            let initial = before.initial_program.data;
            tx.execute("UPDATE database SET initial_program = ?2 WHERE id = ?1", params![before.id, initial])?;
            Ok(())
        })
        .await
    }

    /// Never gives out the numbers up to `replica_id`, because a folder of that name is there already. Returns whether any
    /// had to be skipped.
    pub(crate) fn skip_replicas(&self, replica_id: u64) -> Result<bool> {
        let mut connection = self.lock();
        let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let newest: u64 =
            tx.query_row("SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'replica'", [], |row| {
                row.get(0)
            })?;
        if replica_id <= newest {
            return Ok(false);
        }
        // AUTOINCREMENT remembers a number also after its row has gone.
        tx.execute("INSERT INTO replica (id) VALUES (?1)", [replica_id])?;
        tx.execute("DELETE FROM replica WHERE id = ?1", [replica_id])?;
        tx.commit()?;
        Ok(true)
    }

    /// Forgets a dropped replica, once its folder is gone.
    pub(crate) async fn forget_replica(&self, replica_id: u64) -> Result<()> {
        self.change(move |tx| {
            tx.execute("DELETE FROM replica WHERE id = ?1 AND database_id IS NULL", [replica_id])?;
            Ok(())
        })
        .await
    }

    /// Lists `hash` as a module that the commit log of a database may come to hold.
    pub(crate) async fn expect_program(&self, database_id: u64, hash: Hash) -> Result<()> {
        self.change(move |tx| insert_program(tx, database_id, hash)).await
    }

    /// Notes that `engine` launched the module `hash` of a database.
    pub(crate) async fn program_launched(&self, database_id: u64, hash: Hash, engine: &'static str) -> Result<()> {
        self.change(move |tx| {
            tx.execute(
                "UPDATE program SET launched_by = ?3 WHERE database_id = ?1 AND hash = ?2",
                params![database_id, hash.data, engine],
            )?;
            Ok(())
        })
        .await
    }

    /// Strikes the modules of a database for which `keep` is false, and returns them.
    pub(crate) async fn retain_programs(
        &self,
        database_id: u64,
        keep: impl Fn(Hash) -> bool + Send + 'static,
    ) -> Result<Vec<Hash>> {
        let listed = self.programs_of(database_id)?;
        let struck: Vec<Hash> = listed.into_iter().map(|p| p.hash).filter(|hash| !keep(*hash)).collect();
        let gone = struck.clone();
        self.change(move |tx| {
            for hash in &struck {
                tx.execute(
                    "DELETE FROM program WHERE database_id = ?1 AND hash = ?2",
                    params![database_id, hash.data],
                )?;
            }
            Ok(())
        })
        .await?;
        Ok(gone)
    }

    /// Gives a database a further name.
    pub(crate) async fn add_name(&self, identity: Identity, name: String) -> Result<()> {
        self.change(move |tx| {
            let found = find(tx, identity)?;
            insert_name(tx, found.id as i64, &name)
        })
        .await
    }

    /// Replaces all names of a database.
    pub(crate) async fn set_names(&self, identity: Identity, names: Vec<String>) -> Result<()> {
        self.change(move |tx| {
            let found = find(tx, identity)?;
            tx.execute("DELETE FROM database_name WHERE database_id = ?1", [found.id])?;
            for name in &names {
                insert_name(tx, found.id as i64, name)?;
            }
            Ok(())
        })
        .await
    }

    /// Runs `f` in one durable transaction, on a thread that may wait for the disk.
    async fn change<T: Send + 'static>(
        &self,
        f: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || {
            let mut connection = this.lock();
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = f(&tx)?;
            tx.commit()?;
            Ok(value)
        })
        .await
        .map_err(|_| ControlError::Interrupted)?
    }

    /// A panic while the lock was held rolled its transaction back: the connection stays usable.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const SELECT_DATABASE: &str = "SELECT d.id, d.identity, d.owner, d.initial_program, r.id
     FROM database d JOIN replica r ON r.database_id = d.id";

fn find(tx: &Transaction<'_>, identity: Identity) -> Result<DatabaseRecord> {
    tx.query_row(&format!("{SELECT_DATABASE} WHERE d.identity = ?1"), [identity.to_be_byte_array()], record)
        .optional()?
        .ok_or(ControlError::NoSuchDatabase)
}

fn insert_name(tx: &Transaction<'_>, database_id: i64, name: &str) -> Result<()> {
    match tx.execute("INSERT INTO database_name (name, database_id) VALUES (?1, ?2)", params![name, database_id]) {
        Ok(_) => Ok(()),
        Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(ControlError::NameTaken(name.to_owned()))
        }
        Err(e) => Err(e.into()),
    }
}

fn insert_program(tx: &Transaction<'_>, database_id: u64, hash: Hash) -> Result<()> {
    tx.execute(
        "INSERT INTO program (database_id, hash) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        params![database_id, hash.data],
    )?;
    Ok(())
}

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
