//! SpacetimeDB's engine, assembled: launching, updating and stopping databases.
//!
//! Always true here:
//!
//! * A database is launched only if its catalogue entry still stands at that moment, so that a request that raced a
//!   delete cannot bring the database back.
//! * The engine never gets far enough to need V8. When a stored WebAssembly module fails to launch, the engine tries it
//!   again as JavaScript (`HostController`, "trying js"), and V8 is not in this program: that would abort it. So before a
//!   launch, every module that the commit log can hold is checked once per engine version, in memory and without that
//!   second try; see [`Engine::check_modules`]. One that was good then may still fail, for want of memory, say. The
//!   engine then refuses it as JavaScript because it is no UTF-8: V8's initialisation, which comes before, does nothing
//!   here (`scripts/v8-absent`), and a module that is valid UTF-8 is never stored ([`programs::is_wasm`](is_wasm)).
//! * A launch that fails is remembered for a moment and answered with, instead of being repeated by every request.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime};

use spacetimedb::auth::JwtKeys;
use spacetimedb::config::{ModuleHttpConfig, V8Config, WasmConfig};
use spacetimedb::database_logger::{DatabaseLogger, LogStream};
use spacetimedb::db::{Config, Storage};
use spacetimedb::host::{
    HostController, HostRuntimeConfig, IdcConfig, MigratePlanResult, ModuleHost, UpdateDatabaseResult, extract_schema,
};
use spacetimedb::messages::control_db::{Database, HostType};
use spacetimedb::util::jobs::JobCores;
use spacetimedb_datastore::system_tables::ModuleKind;
use spacetimedb_datastore::traits::Program;
use spacetimedb_lib::environment::EnvironmentUpdate;
use spacetimedb_paths::server::ServerDataDir;
use spacetimedb_schema::auto_migrate::{MigrationPolicy, PrettyPrintStyle};
use spacetimedb_schema::def::ModuleDef;
use tokio::sync::{RwLock, watch};

use crate::call_budget::CallBudget;
use crate::control::{Control, DatabaseRecord};
use crate::data_dir::create_new_private_dir;
use crate::durability::{Durability, Stopped};
use crate::limits::{DATABASE_EXIT_DEADLINE, DURABILITY_TIMEOUT, LAUNCH_RETRY_PAUSE};
use crate::persistence::FolderPersistence;
use crate::programs::{Programs, is_wasm};
use crate::snapshots;

/// The version of the engine crates this host is built on; pinned in the workspace's `Cargo.toml`.
pub const ENGINE_VERSION: &str = "2.14.0";

/// Why a database cannot be used now.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum LaunchError {
    /// Its catalogue entry went while the request was under way.
    #[error("No such database.")]
    Gone,
    /// It did not launch. Its data stays where it is.
    #[error("database {database} cannot be launched: {cause}; its data is kept, see the host's log")]
    Failed {
        /// Whose launch failed.
        database: String,
        /// Why, in one line.
        cause: String,
    },
    /// Its commit log could not be written. It is not launched again by this process.
    #[error("database {database} has stopped: {stopped}")]
    Stopped {
        /// Which.
        database: String,
        /// Why, and what to do.
        stopped: Stopped,
    },
}

/// The engine and what is needed to feed it.
pub(crate) struct Engine {
    controller: HostController,
    data_dir: ServerDataDir,
    control: Control,
    programs: Programs,
    /// Read to launch, write to retire a replica.
    launching: RwLock<()>,
    failures: Mutex<HashMap<u64, (Instant, LaunchError)>>,
    durability: Durability,
    started: SystemTime,
}

impl Engine {
    /// Assembles an engine. Nothing is launched yet.
    ///
    /// Threads are not pinned to cores: several hosts may share this process, and this process its machine.
    pub(crate) fn new(
        data_dir: ServerDataDir,
        storage: Storage,
        control: Control,
        programs: Programs,
        budget: CallBudget,
    ) -> Self {
        let config = Config { storage, page_pool_max_size: None };
        let runtimes = HostRuntimeConfig::new(WasmConfig::default(), V8Config::default(), ModuleHttpConfig::default());
        let shared_dir = Arc::new(data_dir.clone());
        let controller = HostController::new(
            shared_dir.clone(),
            config,
            runtimes,
            Arc::new(programs.clone()),
            Arc::new(budget),
            Arc::new(()),
            Arc::new(FolderPersistence::new(shared_dir)),
            JobCores::without_pinned_cores(),
        );
        Self {
            controller,
            data_dir,
            control,
            programs,
            launching: RwLock::new(()),
            failures: Mutex::default(),
            durability: Durability::default(),
            started: SystemTime::now(),
        }
    }

    /// The engine's own handle, for sessions that outlive a request.
    pub(crate) fn controller(&self) -> &HostController {
        &self.controller
    }

    /// Tells the engine where this host listens, which it wants to know before the first launch.
    pub(crate) fn set_port(&self, http_port: u16, keys: &JwtKeys) -> anyhow::Result<()> {
        self.controller.set_idc_config(IdcConfig { http_port, token_signer: Arc::new(keys.clone()) })
    }

    /// The running module of a database, launched if it was not running.
    pub(crate) async fn module(&self, record: &DatabaseRecord) -> Result<ModuleHost, LaunchError> {
        self.check_durability(record).await?;
        match self.controller.get_module_host(record.replica_id).await {
            Ok(module) => Ok(module),
            Err(_) => self.launch(record).await,
        }
    }

    /// Whether the commit log of a database that was launched can still be written.
    pub(crate) async fn check_durability(&self, record: &DatabaseRecord) -> Result<(), LaunchError> {
        let folder = self.data_dir.replica(record.replica_id);
        self.durability.check(record.replica_id, &folder.0).await.map_err(|e| stopped(record, e))
    }

    /// Like [`Self::module`], for those who must notice when an update replaces the module.
    pub(crate) async fn watch_module(
        &self,
        record: &DatabaseRecord,
    ) -> Result<watch::Receiver<ModuleHost>, LaunchError> {
        self.module(record).await?;
        self.controller.watch_module_host(record.replica_id).await.map_err(|e| failed(record, &e.into()))
    }

    /// Runs `program` once in memory, its `init` reducer included, and forgets all but what it says of itself: can it
    /// become a database?
    pub(crate) async fn try_out(&self, database: Database, bytes: &[u8]) -> anyhow::Result<Arc<ModuleDef>> {
        let program = Program::from_bytes(ModuleKind::WASM, bytes);
        Ok(self.controller.check_module_validity(database, program).await?.module_def.clone())
    }

    /// Has a module describe itself, in memory, and forgets it.
    pub(crate) async fn describe(&self, bytes: &[u8]) -> anyhow::Result<ModuleDef> {
        extract_schema(bytes.into(), HostType::Wasm).await
    }

    /// Makes the folder of a new replica, which must not be there yet: what lies in it would become the database's.
    pub(crate) async fn claim(&self, replica_id: u64) -> io::Result<()> {
        let folder = self.data_dir.replica(replica_id);
        tokio::task::spawn_blocking(move || create_new_private_dir(&folder.0)).await.map_err(io::Error::other)?
    }

    /// Replaces the module of a database; on any failure the old one keeps running.
    pub(crate) async fn update(
        &self,
        record: &DatabaseRecord,
        bytes: &[u8],
        policy: MigrationPolicy,
    ) -> anyhow::Result<UpdateDatabaseResult> {
        // Launched through the check above all, never by the engine on its own.
        self.module(record).await?;
        self.controller
            .update_module_host(
                record.to_engine(),
                HostType::Wasm,
                record.replica_id,
                bytes.into(),
                policy,
                EnvironmentUpdate::default(),
            )
            .await
    }

    /// What replacing the module of a database would change.
    pub(crate) async fn plan_update(
        &self,
        record: &DatabaseRecord,
        bytes: &[u8],
        style: PrettyPrintStyle,
    ) -> anyhow::Result<MigratePlanResult> {
        self.module(record).await?;
        self.controller.migrate_plan(record.to_engine(), HostType::Wasm, record.replica_id, bytes.into(), style).await
    }

    /// The newest module log of a database that does not run, if it has one on disk.
    pub(crate) fn logs_on_disk(&self, record: &DatabaseRecord, num_lines: Option<u32>) -> Option<LogStream> {
        let folder = self.data_dir.replica(record.replica_id).module_logs();
        folder.is_dir().then(|| DatabaseLogger::read_latest_on_disk(folder, num_lines))
    }

    /// Stops a replica whose catalogue entry is gone already, and removes its data.
    pub(crate) async fn retire(&self, replica_id: u64) -> anyhow::Result<()> {
        let _no_launches = self.launching.write().await;
        self.exit(replica_id).await?;
        self.lock_failures().remove(&replica_id);
        let folder = self.data_dir.replica(replica_id);
        tokio::task::spawn_blocking(move || match std::fs::remove_dir_all(&folder.0) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other,
        })
        .await??;
        Ok(self.control.forget_replica(replica_id).await?)
    }

    /// Stops every database and waits until what they committed is on disk, each within a deadline.
    pub(crate) async fn stop(&self) {
        let _no_launches = self.launching.write().await;
        let replicas = self.controller.managed_replicas();
        let exits = replicas.into_iter().map(async |replica_id| {
            if let Err(e) = self.exit(replica_id).await {
                tracing::error!(replica_id, error = crate::http_error::causes(&e), "database did not stop cleanly");
            }
        });
        futures::future::join_all(exits).await;
    }

    async fn exit(&self, replica_id: u64) -> anyhow::Result<()> {
        let database = self.durability.take(replica_id);
        self.controller.exit_module_host(replica_id, DATABASE_EXIT_DEADLINE).await?;
        if let Some(database) = database {
            self.durability.ended(replica_id, database).await;
        }
        let snapshots = self.data_dir.replica(replica_id).snapshots();
        snapshots::settled(&snapshots.0, self.started).await;
        Ok(())
    }

    async fn launch(&self, record: &DatabaseRecord) -> Result<ModuleHost, LaunchError> {
        if let Some((at, error)) = self.lock_failures().get(&record.replica_id)
            && at.elapsed() < LAUNCH_RETRY_PAUSE
        {
            return Err(error.clone());
        }
        let _launching = self.launching.read().await;
        let current = self.control.database(record.identity).map_err(|e| failed(record, &e.into()))?;
        if current.map(|current| current.replica_id) != Some(record.replica_id) {
            return Err(LaunchError::Gone);
        }
        let folder = self.data_dir.replica(record.replica_id);
        let is_running = async || self.controller.has_module_host(record.replica_id).await;
        let settled = self.durability.settle(record.replica_id, &folder.0, is_running).await;
        settled.map_err(|e| stopped(record, e))?;
        match self.launch_checked(record).await {
            Ok(module) => {
                self.lock_failures().remove(&record.replica_id);
                Ok(module)
            }
            Err(e) => {
                if let Some(full) = self.durability.stop_if_full(record.replica_id, &folder.0).await {
                    return Err(stopped(record, full));
                }
                let error = failed(record, &e);
                tracing::error!(database = %record.identity, replica_id = record.replica_id, %error, "launch failed");
                self.lock_failures().insert(record.replica_id, (Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn launch_checked(&self, record: &DatabaseRecord) -> anyhow::Result<ModuleHost> {
        self.check_modules(record).await?;
        let launched =
            self.controller.get_or_launch_module_host_with_bootstrap(record.to_engine(), record.replica_id).await?;
        self.durability.hold(record.replica_id, launched.module.relational_db());
        if let Some(bootstrap) = launched.bootstrap_completion {
            tokio::time::timeout(DURABILITY_TIMEOUT, bootstrap.wait()).await??;
        }
        Ok(launched.module)
    }

    /// Makes sure that whichever listed module the commit log holds will launch as WebAssembly on this engine.
    ///
    /// A module that this engine version launched before is taken at that. One that never launched can only matter if
    /// it is the initial module, since an update stores a module after launching it.
    async fn check_modules(&self, record: &DatabaseRecord) -> anyhow::Result<()> {
        for program in self.control.programs_of(record.id)? {
            if program.launched_by.as_deref() == Some(ENGINE_VERSION) {
                continue;
            }
            let matters = program.launched_by.is_some() || program.hash == record.initial_program;
            match self.check_module(&program.hash).await {
                Ok(()) => {
                    self.control.program_launched(record.id, program.hash, ENGINE_VERSION).await?;
                }
                Err(e) if matters => {
                    return Err(e.context(format!("module {} does not run on engine {ENGINE_VERSION}", program.hash)));
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    async fn check_module(&self, hash: &spacetimedb_lib::Hash) -> anyhow::Result<()> {
        let bytes = self.programs.get(*hash).await?.ok_or_else(|| anyhow::anyhow!("its file is missing or damaged"))?;
        anyhow::ensure!(is_wasm(&bytes), "its file is no WebAssembly module");
        extract_schema(bytes, HostType::Wasm).await?;
        Ok(())
    }

    fn lock_failures(&self) -> std::sync::MutexGuard<'_, HashMap<u64, (Instant, LaunchError)>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn failed(record: &DatabaseRecord, cause: &anyhow::Error) -> LaunchError {
    LaunchError::Failed { database: record.identity.to_hex().to_string(), cause: crate::http_error::causes(cause) }
}

fn stopped(record: &DatabaseRecord, stopped: Stopped) -> LaunchError {
    LaunchError::Stopped { database: record.identity.to_hex().to_string(), stopped }
}

/// Waits for `durable`, but no longer than a request may.
pub(crate) async fn within_durability_timeout<T>(
    durable: impl Future<Output = T>,
) -> Result<T, tokio::time::error::Elapsed> {
    tokio::time::timeout(DURABILITY_TIMEOUT, durable).await
}

#[cfg(test)]
mod tests {
    use spacetimedb_lib::Identity;
    use spacetimedb_paths::FromPathUnchecked;

    use super::*;

    /// Such a module was good when it was checked; now it does not launch.
    #[tokio::test]
    async fn a_module_that_fails_at_launch_is_an_error_and_not_the_end_of_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let keys = crate::keys::load_or_create(&folder.path().join("key")).unwrap();
        let control = Control::in_memory().unwrap();
        let programs = Programs::new(folder.path().join("programs"));
        let data_dir = ServerDataDir::from_path_unchecked(folder.path());
        let engine = Engine::new(data_dir, Storage::Memory, control.clone(), programs.clone(), CallBudget::default());
        engine.set_port(1, &keys).unwrap();
        let program = programs.put(Arc::from(*b"\0asm\x01\0\0\0\xffno module")).await.unwrap();
        // V8 is initialised once in a process: the second time there is nothing left to initialise.
        for n in 1..=2 {
            let identity = Identity::from_claims("test", &n.to_string());
            let record = control.create(identity, identity, program, None).await.unwrap();
            control.program_launched(record.id, program, ENGINE_VERSION).await.unwrap();
            let refused = engine.module(&record).await.map(|_| ()).unwrap_err();
            assert!(matches!(&refused, LaunchError::Failed { cause, .. } if cause.contains("utf-8")), "{refused}");
        }
    }

    #[test]
    fn the_engine_is_the_version_we_say() {
        assert_eq!(spacetimedb::config::MetadataFile::new("test").version.to_string(), ENGINE_VERSION);
    }
}
