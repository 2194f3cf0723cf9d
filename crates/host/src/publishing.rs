//! Creating, updating, resetting and deleting databases: where catalogue, module files and engine change together.
//!
//! Each operation holds `HostState::publishing` and runs on a task of its own, so a client that hangs up cannot stop
//! it half way. The order of steps is what a crash is measured against:
//!
//! * a module's file is durable before the catalogue lists it, and listed before the engine may store it;
//! * a database enters the catalogue only after its module ran once in memory, `init` included, and leaves it again
//!   if its first real launch fails;
//! * a database leaves the catalogue before its data is removed.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use spacetimedb::host::UpdateDatabaseResult;
use spacetimedb::messages::control_db::{Database, HostType};
use spacetimedb_lib::{Hash, Identity, hash_bytes};
use spacetimedb_schema::auto_migrate::MigrationPolicy;

use crate::control::{ControlError, DatabaseRecord};
use crate::engine::ENGINE_VERSION;
use crate::http_error::{ApiError, causes};
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
        let _publishing = state.publishing.lock().await;
        try_out(&state, new.identity, new.owner, &new.module).await?;
        let program = state.programs.put(new.module).await.map_err(ApiError::internal)?;
        let record = match state.control.create(new.identity, new.owner, program, new.name).await {
            Ok(record) => record,
            Err(e) => {
                forget_programs(&state, [program]).await;
                return Err(e.into());
            }
        };
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
        let _publishing = state.publishing.lock().await;
        // It may have been deleted or reset while this request waited for its turn.
        let record = state.find(record.identity)?;
        let program = hash_bytes(&module);
        let was_listed = is_listed(&state, &record, program)?;
        state.programs.put(module.clone()).await.map_err(ApiError::internal)?;
        state.control.expect_program(record.id, program).await?;

        let rejected = match state.engine.update(&record, &module, policy).await {
            Ok(UpdateDatabaseResult::NoUpdateNeeded) => return Ok(()),
            Ok(
                UpdateDatabaseResult::UpdatePerformed { tx_offset, durable_offset }
                | UpdateDatabaseResult::UpdatePerformedWithClientDisconnect { tx_offset, durable_offset },
            ) => {
                state.control.program_launched(record.id, program, ENGINE_VERSION).await?;
                let durable = async {
                    let offset = tx_offset.await.map_err(|_| not_confirmed("transaction was cancelled"))?;
                    if let Some(mut durable) = durable_offset {
                        let crashed = |_| not_confirmed("database crashed while waiting for confirmation");
                        durable.wait_for(offset).await.map_err(crashed)?;
                    }
                    Ok(())
                };
                tokio::time::timeout(confirmation_timeout, durable).await.unwrap_or_else(|_| {
                    Err(ApiError::new(
                        StatusCode::GATEWAY_TIMEOUT,
                        "Database update failed: timeout waiting for transaction confirmation",
                    ))
                })?;
                tracing::info!(database = %record.identity, module = %program, "updated database");
                // Only now can the commit log no longer hold the older module as its newest.
                strike_programs(&state, &record, move |hash| hash == program).await;
                return Ok(());
            }
            Ok(UpdateDatabaseResult::AutoMigrateError(errors)) => format!("Database update rejected: {errors}"),
            Ok(UpdateDatabaseResult::ErrorExecutingMigration(e)) => {
                format!("Failed to create or update the database: {}", causes(&e))
            }
            Err(e) => format!("Database update rejected: {}", causes(&e)),
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

/// Empties a database and starts it again with `module`, or with the module it has if that is `None`.
pub(crate) async fn reset(state: &AppState, record: DatabaseRecord, module: Option<Arc<[u8]>>) -> Result<(), ApiError> {
    detached(state, |state| async move {
        let _publishing = state.publishing.lock().await;
        let record = state.find(record.identity)?;
        let program = match module {
            Some(module) => {
                try_out(&state, record.identity, record.owner, &module).await?;
                state.programs.put(module).await.map_err(ApiError::internal)?
            }
            None => state.engine.module(&record).await?.info().module_hash,
        };
        let before: Vec<Hash> = state.control.programs_of(record.id)?.into_iter().map(|p| p.hash).collect();
        let reset = state.control.reset(record.identity, program).await?;
        retire(&state, record.replica_id).await;
        first_launch(&state, &reset, program).await?;
        forget_programs(&state, before.into_iter().chain([record.initial_program])).await;
        tracing::info!(database = %record.identity, module = %program, "reset database");
        Ok(())
    })
    .await
}

/// Deletes a database, its names and its data.
pub(crate) async fn delete(state: &AppState, record: DatabaseRecord) -> Result<(), ApiError> {
    detached(state, |state| async move {
        let _publishing = state.publishing.lock().await;
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

async fn try_out(state: &HostState, identity: Identity, owner: Identity, module: &[u8]) -> Result<(), ApiError> {
    let database = Database {
        id: 0,
        database_identity: identity,
        owner_identity: owner,
        host_type: HostType::Wasm,
        initial_program: hash_bytes(module),
        bootstrap_generation: 0,
    };
    let tried = state.engine.try_out(database, module).await;
    // The official server says 500 here. It is the module that is wrong, so we say so.
    tried.map_err(|e| ApiError::bad_request(format!("Failed to create or update the database: {}", causes(&e))))
}

/// Launches a database for the first time, with a module that [`try_out`] found good on this engine.
async fn first_launch(state: &HostState, record: &DatabaseRecord, program: Hash) -> Result<(), ApiError> {
    state.control.program_launched(record.id, program, ENGINE_VERSION).await?;
    state.engine.module(record).await?;
    Ok(())
}

async fn undo_create(state: &HostState, record: &DatabaseRecord) {
    match state.control.delete(record.identity).await {
        Ok(replica_id) => {
            retire(state, replica_id).await;
            forget_programs(state, [record.initial_program]).await;
        }
        Err(error) => tracing::error!(database = %record.identity, %error, "cannot undo a failed create"),
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
