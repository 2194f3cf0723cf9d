//! The engine in a process of its own (`muster bench engine`), without a server around it: the ceiling, and, beside both ends, a
//! bound.
//!
//! What always holds: its calls are hashed and encoded before any clock runs; the last of them was confirmed before it says
//! that it is done.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use super::words::Load;
use crate::child::data_folder;
use crate::error::BenchError;
use crate::streams::actors::Actor;
use crate::streams::words::{Append, Appended, Publish};

/// The process, and where it has its data: it may be killed, and could not clear up.
pub(crate) struct Engine {
    actor: Actor,
    data: TempDir,
}

impl Engine {
    /// An engine with nothing in it, and the module in its database.
    pub(crate) async fn start(muster: &Path, module: &Path) -> Result<Engine, BenchError> {
        let mut command = Command::new(muster);
        let data = data_folder()?;
        command.args(["--quiet", "bench", "engine", "--module"]).arg(module).env("TMPDIR", data.path());
        let actor = Actor::spawn(command, "muster bench engine".into()).await?;
        Ok(Engine { actor, data })
    }

    /// Has the calls of these events made, `batch` events in each, or as many as fit.
    pub(crate) async fn prepare(&mut self, load: &Load) -> Result<(), BenchError> {
        let order = Publish {
            prefix: load.prefix.clone(),
            streams: load.streams,
            first: load.first,
            each: load.each,
            batch: load.batch,
            payload_bytes: load.bytes,
            pause_us: 0,
        };
        self.actor.ask::<Option<Appended>>(&Append::Prepare(order)).await.map(drop)
    }

    /// Appends what was prepared.
    pub(crate) async fn go(&mut self) -> Result<Appended, BenchError> {
        let appended: Option<Appended> = self.actor.ask(&Append::Go).await?;
        appended.ok_or_else(|| BenchError::Wrong("the engine does not say how long it took".into()))
    }

    /// The processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Result<Duration, BenchError> {
        self.actor.cpu_time()
    }

    /// Ends it, and clears up behind it.
    pub(crate) async fn end(self) -> Result<(), BenchError> {
        self.actor.finish().await?;
        self.data.close().map_err(BenchError::io("a temporary folder"))
    }
}
