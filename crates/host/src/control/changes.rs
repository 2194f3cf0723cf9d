//! What changes the catalogue: each method is one durable transaction, done whole or not at all.

use rusqlite::{ErrorCode, OptionalExtension, Transaction, TransactionBehavior, params};
use spacetimedb_lib::{Hash, Identity};

use super::{Control, ControlError, DatabaseRecord, ProgramRecord, Result, SELECT_DATABASE, record};

impl Control {
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
}

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
