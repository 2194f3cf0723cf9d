//! `muster demo`: a host, the module, clients that meet, and events that arrive whatever breaks, in one command.
//!
//! What always holds: nothing in it is pretended. The host is a process of its own on a temporary folder, the module is
//! published over HTTP, the clients connect over the network; the host is stopped and the folder removed at the end,
//! whatever happened in between. What breaks, and how it is judged, stands in [`crate::demo`].

use std::num::NonZeroU16;
use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts an embedded host on a temporary folder and a free port, publishes the module, runs the
handshake, and says what it saw. Then events go through an outbox to a subscriber's database, while
the host is killed and started again and the network is cut, made silent and slowed, each at a point
of the events' progress. The table at the end compares that database with what was emitted, byte for
byte. The evidence file stays. Exit code 1 if the handshake fails, or an event is lost, there twice,
out of order or altered; 130 or 143 if a signal ends it, host and folder gone.

The events are those of --events, newline-delimited JSON as `muster emit` reads it, also compressed
(gzip); else of ../shared/data/agent-events.ndjson.gz, if that is there; else 400 that are built in.

Example:
  muster demo --clients 50")]
pub(crate) struct DemoArgs {
    /// The module to publish; without it, the one of the checkout this is run in is built
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<PathBuf>,
    /// How many clients meet
    #[arg(long, value_name = "N", default_value = "2", value_parser = crate::commands::handshake::clients)]
    clients: NonZeroU16,
    /// Where to leave the evidence, made if missing
    #[arg(long, value_name = "DIR", default_value = "evidence")]
    evidence_dir: PathBuf,
    /// Which events to send
    #[arg(long, value_name = "FILE", env = "MUSTER_DEMO_EVENTS", hide_env_values = true)]
    events: Option<PathBuf>,
}

/// This build has no host.
#[cfg(not(feature = "host"))]
pub(crate) async fn run(_ui: &Ui, _args: DemoArgs) -> Outcome {
    Err(crate::outcome::Failure::could_not(
        "this muster was built without the embedded host, which the demonstration needs",
        "build it with its default features",
    ))
}

/// Runs.
#[cfg(feature = "host")]
pub(crate) async fn run(ui: &Ui, args: DemoArgs) -> Outcome {
    embedded::run(ui, args).await
}

#[cfg(feature = "host")]
mod embedded {
    use std::path::Path;
    use std::time::Duration;

    use muster_gates::gates::handshake::{self, Clients, Plan};
    use muster_wire::Endpoint;
    use muster_wire::http::{HttpClient, PublishOptions};
    use tempfile::TempDir;
    use tokio::time::sleep;

    use super::DemoArgs;
    use crate::commands::handshake::{progress, summary, write_to};
    use crate::demo::{Drill, Events, HostProcess};
    use crate::limits::{DEMO_REMOVAL_PAUSE_MS, DEMO_REMOVALS_MAX, HANDSHAKE_PATIENCE_MS};
    use crate::module_file::ModuleFile;
    use crate::outcome::{Exit, Failure, Outcome};
    use crate::signals::Stop;
    use crate::ui::{Ui, or_unread};

    const DATABASE: &str = "muster-demo";

    pub(super) async fn run(ui: &Ui, args: DemoArgs) -> Outcome {
        let events = Events::load(args.events.as_deref())?;
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::could_not(
                format!("cannot make a temporary folder ({error})"),
                "free some space, or set TMPDIR to a folder that can be written",
            )
        })?;
        let mut stop = Stop::listen()?;
        let data = folder.path().join("host");
        let started = tokio::select! {
            code = stop.wait_for_code() => Err(code),
            started = HostProcess::start(&data) => Ok(started),
        };
        let mut host = match started {
            Ok(started) => started?,
            Err(code) => return Ok(interrupted(folder, code).await),
        };
        let outcome = tokio::select! {
            code = stop.wait_for_code() => Err(code),
            outcome = both(ui, &args, &mut host, module, &events, folder.path()) => Ok(outcome),
        };
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(code) => {
                // It may have been killed by the demonstration, or by the same Ctrl-C, already.
                let _ = host.kill().await;
                return Ok(interrupted(folder, code).await);
            }
        };
        let stopped = host.stop().await;
        let outcome = outcome?;
        stopped?;
        Ok(outcome)
    }

    /// Removes the folder, in which what was under way may still write its last for a moment, and says how to end.
    async fn interrupted(folder: TempDir, code: u8) -> Exit {
        for _ in 0..DEMO_REMOVALS_MAX {
            // What was begun and is dropped ends by itself a little later, and a host that is killed also takes its time.
            sleep(Duration::from_millis(DEMO_REMOVAL_PAUSE_MS)).await;
            let is_gone = std::fs::remove_dir_all(folder.path()).is_ok();
            if is_gone && !folder.path().exists() {
                break;
            }
        }
        Exit::Interrupted(code)
    }

    async fn both(
        ui: &Ui,
        args: &DemoArgs,
        host: &mut HostProcess,
        module: ModuleFile,
        events: &Events,
        folder: &Path,
    ) -> Outcome {
        let met = meet(ui, args, host, module).await?;
        let streamed = stream(ui, host, events, folder).await?;
        Ok(if met && streamed { Exit::Done } else { Exit::No })
    }

    /// Clients meet. Whether all of them did.
    async fn meet(ui: &Ui, args: &DemoArgs, host: &HostProcess, module: ModuleFile) -> Result<bool, Failure> {
        let endpoint = Endpoint::new(host.url(), DATABASE)?;
        let owner = HttpClient::new(endpoint.clone(), None)?.create_identity().await?;
        let http = HttpClient::new(endpoint.clone(), Some(owner.token.clone()))?;
        let sha256 = module.sha256();
        http.publish(module.bytes, &PublishOptions::default()).await?;

        let plan = Plan {
            lane: None,
            endpoint,
            token: Some(owner.token),
            come_as: Clients::Anonymous,
            clients: args.clients.get().into(),
            patience: Duration::from_millis(HANDSHAKE_PATIENCE_MS),
        };
        let evidence =
            handshake::meet(&plan, progress(ui)).await.map_err(|error| Failure::CouldNot(error.to_string()))?;
        let path = write_to(&args.evidence_dir, &evidence)?;

        let host_name = evidence.host.as_deref().unwrap_or("a SpacetimeDB host that does not say its version");
        let lines = [
            format!("host       {host_name} at {}", host.url()),
            format!("database   {}", evidence.report.database),
            format!("module     sha256 {sha256}"),
            format!("           module hash {}", evidence.report.module_hash),
            summary(&evidence),
            format!("evidence   {}", path.display()),
        ];
        // Whether anybody reads it changes nothing about what was counted.
        or_unread(ui.print(lines.join("\n")))?;
        Ok(evidence.report.passed)
    }

    /// Events flow while things break. Whether each arrived once, unchanged and in order.
    async fn stream(ui: &Ui, host: &mut HostProcess, events: &Events, folder: &Path) -> Result<bool, Failure> {
        let count = events.events.len();
        let what = if count == 1 { "event" } else { "events" };
        ui.say(format!("streams    {count} {what} from {}", events.from));
        let report = Drill::prepare(ui, host, DATABASE, folder).await?.run(events).await?;
        or_unread(ui.print(report.table()))?;
        ui.say(report.remark());
        Ok(report.tally.is_clean())
    }
}
