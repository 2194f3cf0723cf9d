//! Creating, updating, resetting and deleting databases: where catalogue, module files and engine change together.
//!
//! Each operation holds its database's turn ([`crate::turns`]) and runs on a task of its own, so a client that hangs up
//! cannot stop it half way. A module runs before the turn is taken, in memory and within a limit of time, so that one that
//! loops holds up nobody. The order of steps is what a crash is measured against:
//!
//! * a module's file is durable before the catalogue lists it, and listed before the engine may store it;
//! * a database enters the catalogue only after its module ran once in memory, `init` included, and leaves it again
//!   if its first real launch fails;
//! * a database leaves the catalogue before its data is removed;
//! * a reset removes the old data only after the new module runs on the empty database;
//! * a replica's folder is made by whoever creates the replica, and only what was made so is removed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use spacetimedb::host::UpdateDatabaseResult;
use spacetimedb::messages::control_db::{Database, HostType};
use spacetimedb_lib::{Hash, Identity, hash_bytes};
use spacetimedb_schema::auto_migrate::MigrationPolicy;
use spacetimedb_schema::def::ModuleDef;

use crate::control::{ControlError, DatabaseRecord, ProgramRecord};
use crate::engine::ENGINE_VERSION;
use crate::http_error::{ApiError, causes};
use crate::limits::TRIAL_TIMEOUT;
use crate::metrics::Counted;
use crate::open_files::is_out_of_files;
use crate::sizeless::sizeless_list;
use crate::state::{AppState, HostState};

/// A new database to be.
pub(crate) struct NewDatabase {
    pub(crate) identity: Identity,
    pub(crate) owner: Identity,
    pub(crate) name: Option<String>,
    pub(crate) module: Arc<[u8]>,
}

/// Creates a database, launches it, and returns once its `init` is durable.
pub(crate) async fn create(state: &AppState, new: NewDatabase) -> Result<(), CreateError> {
    detached(state, |state| async move {
        try_out(&state, new.identity, new.owner, &new.module).await?;
        let _turn = state.publishing.of(new.identity).await?;
        let (identity, owner, name) = (new.identity, new.owner, new.name);
        let entered =
            listed(&state, new.module, |program| state.control.create(identity, owner, program, name)).await?;
        let (program, record) = entered?;
        if let Err(e) = claim(&state, &record).await {
            // The folder is not ours, and stays.
            if let Err(error) = state.control.undo_create(&record).await {
                tracing::error!(database = %record.identity, %error, "cannot undo a failed create");
            }
            forget_programs(&state, [program]).await;
            return Err(e.into());
        }
        if let Err(e) = first_launch(&state, &record, program).await {
            undo_create(&state, &record).await;
            return Err(e.into());
        }
        tracing::info!(database = %record.identity, module = %program, "created database");
        Ok(())
    })
    .await
}

/// Why a database was not created.
#[derive(Debug)]
pub(crate) enum CreateError {
    /// Somebody took the name first.
    NameTaken,
    /// Anything else.
    Api(ApiError),
}

impl From<ApiError> for CreateError {
    fn from(error: ApiError) -> Self {
        Self::Api(error)
    }
}

impl From<ControlError> for CreateError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NameTaken(_) => Self::NameTaken,
            other => Self::Api(other.into()),
        }
    }
}

/// Replaces the module of a database and returns once that is durable, or `confirmation_timeout` has passed.
pub(crate) async fn update(
    state: &AppState,
    record: DatabaseRecord,
    module: Arc<[u8]>,
    policy: MigrationPolicy,
    confirmation_timeout: Duration,
) -> Result<(), ApiError> {
    detached(state, |state| async move {
        let program = hash_bytes(&module);
        if !is_listed(&state, &record, program)? {
            describe(&state, &module).await?;
        }
        let _turn = state.publishing.of(record.identity).await?;
        // It may have been deleted or reset while this request waited for its turn.
        let record = state.find(record.identity)?;
        let was_listed = is_listed(&state, &record, program)?;
        listed(&state, module.clone(), |program| state.control.expect_program(record.id, program)).await??;

        // A database that does not run is no fault of the module.
        state.engine.module(&record).await?;
        let rejected = match state.engine.update(&record, &module, policy).await {
            Ok(UpdateDatabaseResult::NoUpdateNeeded) => return Ok(()),
            Ok(
                UpdateDatabaseResult::UpdatePerformed { tx_offset, durable_offset }
                | UpdateDatabaseResult::UpdatePerformedWithClientDisconnect { tx_offset, durable_offset },
            ) => {
                // It is listed, and so the next launch checks it if this is not noted.
                if let Err(error) = state.control.program_launched(record.id, program, ENGINE_VERSION).await {
                    tracing::warn!(database = %record.identity, %error, "cannot note that a module was launched");
                }
                let durable = async {
                    let offset = tx_offset.await.map_err(|_| not_confirmed("transaction was cancelled"))?;
                    if let Some(mut durable) = durable_offset {
                        let crashed = |_| not_confirmed("database crashed while waiting for confirmation");
                        durable.wait_for(offset).await.map_err(crashed)?;
                    }
                    Ok(())
                };
                let durable = tokio::time::timeout(confirmation_timeout, durable).await.unwrap_or_else(|_| {
                    Err(ApiError::new(
                        StatusCode::GATEWAY_TIMEOUT,
                        "Database update failed: timeout waiting for transaction confirmation",
                    ))
                });
                if let Err(e) = durable {
                    state.engine.check_durability(&record).await?;
                    return Err(e);
                }
                tracing::info!(database = %record.identity, module = %program, "updated database");
                // Only now can the commit log no longer hold the older module as its newest.
                strike_programs(&state, &record, move |hash| hash == program).await;
                return Ok(());
            }
            Ok(UpdateDatabaseResult::AutoMigrateError(errors)) => format!("Database update rejected: {errors}"),
            Ok(UpdateDatabaseResult::ErrorExecutingMigration(e)) => {
                format!("Failed to create or update the database: {}", causes(&e))
            }
            Err(e) => {
                // The engine may have failed after it stored the module: it stays listed, for the next launch to find.
                state.engine.check_durability(&record).await?;
                return Err(refused("Database update rejected", &e));
            }
        };
        if !was_listed {
            strike_programs(&state, &record, move |hash| hash != program).await;
        }
        Err(ApiError::bad_request(rejected))
    })
    .await
}

fn not_confirmed(cause: &str) -> ApiError {
    ApiError::unavailable(format!("Database update failed: {cause}"))
}

/// Empties a database and starts it again with `module`, or with the module it has if that is `None`. Its data goes only
/// once the module runs on the empty database; until then a failure takes everything back.
pub(crate) async fn reset(state: &AppState, record: DatabaseRecord, module: Option<Arc<[u8]>>) -> Result<(), ApiError> {
    detached(state, |state| async move {
        if let Some(module) = &module {
            try_out(&state, record.identity, record.owner, module).await?;
        }
        let _turn = state.publishing.of(record.identity).await?;
        let before = state.find(record.identity)?;
        let programs = state.control.programs_of(before.id)?;
        let module = match module {
            Some(module) => module,
            None => module_of(&state, &before).await?,
        };
        let (program, reset) =
            listed(&state, module, |program| state.control.reset(before.identity, program)).await??;
        let started = match claim(&state, &reset).await {
            Ok(()) => first_launch(&state, &reset, program).await,
            Err(e) => Err(e),
        };
        if let Err(e) = started {
            undo_reset(&state, &before, programs, &reset, program).await;
            return Err(e);
        }
        retire(&state, before.replica_id).await;
        let old = programs.into_iter().map(|p| p.hash).chain([before.initial_program]);
        forget_programs(&state, old).await;
        tracing::info!(database = %before.identity, module = %program, "reset database");
        Ok(())
    })
    .await
}

/// The module a database has: the one that runs or, where it does not launch, the only one that it can have.
async fn module_of(state: &HostState, record: &DatabaseRecord) -> Result<Arc<[u8]>, ApiError> {
    let hash = match state.engine.module(record).await {
        Ok(module) => module.info().module_hash,
        Err(e) => match state.control.programs_of(record.id)?.as_slice() {
            [only] => only.hash,
            _ => return Err(e.into()),
        },
    };
    let bytes = state.programs.get(hash).await.map_err(ApiError::file)?;
    bytes.map(Arc::from).ok_or_else(|| ApiError::internal(format!("the file of module {hash} is missing or damaged")))
}

/// Keeps `module` and has the catalogue list it; in between, nobody takes its file for one that is not needed.
async fn listed<T, F>(
    state: &HostState,
    module: Arc<[u8]>,
    list: impl FnOnce(Hash) -> F,
) -> Result<Result<(Hash, T), ControlError>, ApiError>
where
    F: Future<Output = Result<T, ControlError>>,
{
    let (program, listed) = {
        let _files = state.publishing.files().await?;
        let program = state.programs.put(module).await.map_err(ApiError::file)?;
        (program, list(program).await)
    };
    if listed.is_err() {
        forget_programs(state, [program]).await;
    }
    Ok(listed.map(|value| (program, value)))
}

/// Deletes a database, its names and its data.
pub(crate) async fn delete(state: &AppState, record: DatabaseRecord) -> Result<(), ApiError> {
    detached(state, |state| async move {
        let _turn = state.publishing.of(record.identity).await?;
        // It may have been reset while this request waited for its turn.
        let record = state.find(record.identity)?;
        let programs: Vec<Hash> = state.control.programs_of(record.id)?.into_iter().map(|p| p.hash).collect();
        let replica_id = state.control.delete(record.identity).await?;
        retire(&state, replica_id).await;
        forget_programs(&state, programs.into_iter().chain([record.initial_program])).await;
        tracing::info!(database = %record.identity, "deleted database");
        Ok(())
    })
    .await
}

/// Finishes what a crash interrupted: removes the data of databases that are gone.
pub(crate) async fn finish_interrupted(state: &HostState) {
    match state.control.dropped_replicas() {
        Ok(replicas) => {
            for replica_id in replicas {
                retire(state, replica_id).await;
            }
        }
        Err(error) => tracing::error!(%error, "cannot list dropped replicas; their data stays on disk"),
    }
}

/// Runs a module once in memory, `init` included, before anybody waits for it.
async fn try_out(state: &AppState, identity: Identity, owner: Identity, module: &Arc<[u8]>) -> Result<(), ApiError> {
    let database = Database {
        id: 0,
        database_identity: identity,
        owner_identity: owner,
        host_type: HostType::Wasm,
        initial_program: hash_bytes(module),
        bootstrap_generation: 0,
    };
    let (on, module) = (state.clone(), module.clone());
    let tried = trial(state, async move { on.engine.try_out(database, &module).await }).await?;
    // The official server says 500 here. It is the module that is wrong, so we say so.
    let module = tried.map_err(|e| refused("Failed to create or update the database", &e))?;
    check_parameters(&module)
}

/// What is answered where the engine did not take a module: the module's fault, but for what the machine lacks.
fn refused(what: &str, error: &anyhow::Error) -> ApiError {
    let message = format!("{what}: {}", causes(error));
    if is_out_of_files(error) {
        tracing::warn!("{message}");
        return ApiError::unavailable(format!("{message}; the host has too many files open, try again"));
    }
    ApiError::bad_request(message)
}

/// Has a module describe itself, before anybody waits for it. What it says is the engine's to judge.
pub(crate) async fn describe(state: &AppState, module: &Arc<[u8]>) -> Result<(), ApiError> {
    let (on, module) = (state.clone(), module.clone());
    let described = trial(state, async move { on.engine.describe(&module).await }).await?;
    match described {
        Ok(module) => check_parameters(&module),
        Err(e) => {
            tracing::debug!(error = causes(&e), "a module does not describe itself");
            Ok(())
        }
    }
}

/// Refuses what would let a caller fill the host's memory with a few bytes.
fn check_parameters(module: &ModuleDef) -> Result<(), ApiError> {
    match sizeless_list(module) {
        None => Ok(()),
        Some((function, parameter)) => Err(ApiError::bad_request(format!(
            "Failed to create or update the database: parameter `{parameter}` of `{function}` has a list of what takes no \
             bytes, so a call of a few bytes could fill this host's memory; give its elements a field"
        ))),
    }
}

/// Runs `work` of a module that nobody knows, within the limits of time and number. What takes longer keeps its place
/// until its budget ends it.
async fn trial<T: Send + 'static>(
    state: &AppState,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, ApiError> {
    let place = state.publishing.trial().await?;
    let counted = Counted::in_gauge(&state.metrics.trials);
    let work = tokio::spawn(async move {
        let _held_until_it_ends = (place, counted);
        work.await
    });
    match tokio::time::timeout(TRIAL_TIMEOUT, work).await {
        Ok(done) => done.map_err(ApiError::internal),
        Err(_) => Err(ApiError::bad_request(format!(
            "Failed to create or update the database: the module did not describe and initialise itself within {} s: \
             it never ends, or this machine is too busy, in which case try again",
            TRIAL_TIMEOUT.as_secs()
        ))),
    }
}

/// Makes the folder of a new database, or of one that is reset.
async fn claim(state: &HostState, record: &DatabaseRecord) -> Result<(), ApiError> {
    state.engine.claim(record.replica_id).await.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => ApiError::internal(format!(
            "the data folder has a folder `replicas/{}` already, which is left as it is; move it away",
            record.replica_id
        )),
        _ => ApiError::file(e),
    })
}

/// Launches a database for the first time, with a module that [`try_out`] found good on this engine.
async fn first_launch(state: &HostState, record: &DatabaseRecord, program: Hash) -> Result<(), ApiError> {
    state.control.program_launched(record.id, program, ENGINE_VERSION).await?;
    state.engine.module(record).await?;
    Ok(())
}

async fn undo_create(state: &HostState, record: &DatabaseRecord) {
    let mut deleted = state.control.delete(record.identity).await;
    if deleted.is_err() {
        // On a full disk the catalogue finds room only where the data was. A database without data begins anew.
        retire(state, record.replica_id).await;
        deleted = state.control.delete(record.identity).await;
    }
    match deleted {
        Ok(replica_id) => {
            retire(state, replica_id).await;
            forget_programs(state, [record.initial_program]).await;
        }
        Err(error) => tracing::error!(database = %record.identity, %error, "cannot undo a failed create"),
    }
}

/// Gives a database back what it had `before` it was `reset`.
async fn undo_reset(
    state: &HostState,
    before: &DatabaseRecord,
    programs: Vec<ProgramRecord>,
    reset: &DatabaseRecord,
    program: Hash,
) {
    match state.control.undo_reset(before, programs).await {
        Ok(()) => {
            retire(state, reset.replica_id).await;
            forget_programs(state, [program]).await;
        }
        Err(error) => tracing::error!(database = %before.identity, %error, "cannot undo a failed reset"),
    }
}

async fn retire(state: &HostState, replica_id: u64) {
    if let Err(e) = state.engine.retire(replica_id).await {
        let error = causes(&e);
        tracing::error!(replica_id, error, "cannot remove a dropped replica now; the next start tries again");
    }
}

fn is_listed(state: &HostState, record: &DatabaseRecord, program: Hash) -> Result<bool, ApiError> {
    let listed = state.control.programs_of(record.id)?;
    Ok(listed.iter().any(|p| p.hash == program))
}

/// Strikes the modules of a database that `keep` does not name, and removes their files where nobody needs them.
async fn strike_programs(state: &HostState, record: &DatabaseRecord, keep: impl Fn(Hash) -> bool + Send + 'static) {
    match state.control.retain_programs(record.id, keep).await {
        Ok(struck) => forget_programs(state, struck).await,
        Err(error) => {
            tracing::warn!(database = %record.identity, %error, "cannot strike old modules; they stay on disk")
        }
    }
}

/// Removes the files of those `programs` that no database needs. A file left behind only takes space.
async fn forget_programs(state: &HostState, programs: impl IntoIterator<Item = Hash>) {
    let Ok(_files) = state.publishing.files().await else {
        return tracing::warn!("cannot remove old modules now; they stay on disk");
    };
    for program in programs {
        let removed = match state.control.program_is_needed(program) {
            Ok(true) => continue,
            Ok(false) => state.programs.remove(program).await.map_err(|e| e.to_string()),
            Err(e) => Err(e.to_string()),
        };
        if let Err(error) = removed {
            tracing::warn!(module = %program, error, "cannot remove a module file nobody needs");
        }
    }
}

/// Runs `operation` to its end even if the request that asked for it is dropped; a shutdown waits for it.
async fn detached<T, E, F>(state: &AppState, operation: impl FnOnce(AppState) -> F) -> Result<T, E>
where
    F: Future<Output = Result<T, E>> + Send + 'static,
    T: Send + 'static,
    E: From<ApiError> + Send + 'static,
{
    let task = state.tracker.spawn(operation(state.clone()));
    task.await.unwrap_or_else(|e| Err(ApiError::internal(e).into()))
}
