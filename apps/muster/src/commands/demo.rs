//! `muster demo`: a host, the module, and clients that meet, in one command.
//!
//! What always holds: nothing in it is pretended. The host is a process of its own on a temporary folder, the module is
//! published over HTTP, the clients connect over the network; the host is stopped and the folder removed at the end,
//! whatever happened in between.

use std::num::NonZeroU16;
use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts an embedded host on a temporary folder and a free port, publishes the module, runs the
handshake, says what it saw, and stops the host. The evidence file stays. Exit codes are those
of `muster handshake`.

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
    use std::process::Stdio;
    use std::time::Duration;

    use muster_wire::Endpoint;
    use muster_wire::http::{HttpClient, PublishOptions};
    use serde::Deserialize;
    use tokio::io::{AsyncBufReadExt, BufReader};
    use tokio::process::{Child, Command};
    use tokio::time::timeout;

    use super::DemoArgs;
    use crate::commands::handshake::{progress, summary};
    use crate::handshake::{self, Plan};
    use crate::limits::{DEMO_HOST_READY_MS_MAX, DEMO_HOST_STOP_MS_MAX, HANDSHAKE_PATIENCE_MS};
    use crate::module_file::ModuleFile;
    use crate::outcome::{Exit, Failure, Outcome};
    use crate::ui::Ui;

    const DATABASE: &str = "muster-demo";

    pub(super) async fn run(ui: &Ui, args: DemoArgs) -> Outcome {
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        let folder = tempfile::tempdir().map_err(|error| {
            Failure::could_not(
                format!("cannot make a temporary folder ({error})"),
                "free some space, or set TMPDIR to a folder that can be written",
            )
        })?;
        let mut host = HostProcess::start(folder.path()).await?;
        let outcome = meet(ui, &args, &host, module).await;
        let stopped = host.stop().await;
        let outcome = outcome?;
        stopped?;
        Ok(outcome)
    }

    async fn meet(ui: &Ui, args: &DemoArgs, host: &HostProcess, module: ModuleFile) -> Outcome {
        let endpoint = Endpoint::new(&host.ready.url, DATABASE)?;
        let owner = HttpClient::new(endpoint.clone(), None)?.create_identity().await?;
        let http = HttpClient::new(endpoint.clone(), Some(owner.token.clone()))?;
        let sha256 = module.sha256();
        http.publish(module.bytes, &PublishOptions::default()).await?;

        let plan = Plan {
            lane: None,
            endpoint,
            token: Some(owner.token),
            clients: args.clients.get().into(),
            patience: Duration::from_millis(HANDSHAKE_PATIENCE_MS),
        };
        let evidence =
            handshake::meet(&plan, progress(ui)).await.map_err(|error| Failure::CouldNot(error.to_string()))?;
        let path = handshake::write_to(&args.evidence_dir, &evidence)?;

        let host_name = evidence.host.as_deref().unwrap_or("a SpacetimeDB host that does not say its version");
        ui.print(format!("host       {host_name} at {}", host.ready.url))?;
        ui.print(format!("database   {}", evidence.report.database))?;
        ui.print(format!("module     sha256 {sha256}"))?;
        ui.print(format!("           module hash {}", evidence.report.module_hash))?;
        ui.print(summary(&evidence))?;
        ui.print(format!("evidence   {}", path.display()))?;
        Ok(if evidence.report.passed { Exit::Done } else { Exit::No })
    }

    /// What the host says once it answers.
    #[derive(Debug, Deserialize)]
    struct Ready {
        url: String,
    }

    /// A host in a process of its own, killed at the latest when this is dropped.
    struct HostProcess {
        child: Child,
        ready: Ready,
    }

    impl HostProcess {
        async fn start(folder: &Path) -> Result<HostProcess, Failure> {
            let program = std::env::current_exe().map_err(|error| cannot_start(&error))?;
            let mut child = Command::new(program)
                .args(["--quiet", "host", "--json", "--listen", "127.0.0.1:0", "--data-dir"])
                .arg(folder)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()
                .map_err(|error| cannot_start(&error))?;
            let stdout = child.stdout.take().expect("stdout was asked to be a pipe");
            let mut lines = BufReader::new(stdout).lines();
            let line = timeout(Duration::from_millis(DEMO_HOST_READY_MS_MAX), lines.next_line()).await;
            match line {
                Ok(Ok(Some(line))) => match serde_json::from_str(&line) {
                    Ok(ready) => Ok(HostProcess { child, ready }),
                    Err(error) => Err(cannot_start(&std::io::Error::other(error))),
                },
                // It said why on stderr, which is this program's own.
                Ok(Ok(None)) => Err(Failure::could_not("the host did not start", "see the line above")),
                Ok(Err(error)) => Err(cannot_start(&error)),
                Err(_) => Err(Failure::could_not(
                    format!("the host was not ready within {} s", DEMO_HOST_READY_MS_MAX / 1_000),
                    "try again on a machine with less to do",
                )),
            }
        }

        /// Asks the host to end, and waits until it has.
        async fn stop(&mut self) -> Result<(), Failure> {
            #[cfg(unix)]
            if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
                let pid = nix::unistd::Pid::from_raw(pid);
                // If it is gone already, the wait below says how.
                let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            }
            match timeout(Duration::from_millis(DEMO_HOST_STOP_MS_MAX), self.child.wait()).await {
                Ok(Ok(status)) if status.success() => Ok(()),
                Ok(Ok(status)) => {
                    Err(Failure::could_not(format!("the host ended with {status}"), "please report this"))
                }
                Ok(Err(error)) => Err(cannot_start(&error)),
                Err(_) => Err(Failure::could_not("the host did not stop in time and was killed", "please report this")),
            }
        }
    }

    fn cannot_start(error: &std::io::Error) -> Failure {
        Failure::could_not(
            format!("cannot run the host as a process of its own ({error})"),
            "try `muster host` by itself",
        )
    }
}
