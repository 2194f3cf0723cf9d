//! A host in a process of its own, which can be killed and started again.
//!
//! What always holds: the process ends at the latest when this is dropped; started again, it has the same address and
//! the same data.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::limits::{DEMO_HOST_READY_MS_MAX, DEMO_HOST_STOP_MS_MAX};
use crate::outcome::Failure;

/// What the host says once it answers.
#[derive(Debug, Deserialize)]
struct Ready {
    url: String,
}

/// A running host.
#[derive(Debug)]
pub(crate) struct HostProcess {
    child: Child,
    ready: Ready,
    folder: PathBuf,
}

impl HostProcess {
    /// Starts a host on a free port, with its data in `folder`, and waits until it answers.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it does not start in time.
    pub(crate) async fn start(folder: &Path) -> Result<HostProcess, Failure> {
        let (child, ready) = spawn(folder, "127.0.0.1:0").await?;
        Ok(HostProcess { child, ready, folder: folder.into() })
    }

    /// Where it answers.
    pub(crate) fn url(&self) -> &str {
        &self.ready.url
    }

    /// The same as an address of sockets.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if its URL has none, which would be a bug of the host's.
    pub(crate) fn address(&self) -> Result<SocketAddr, Failure> {
        let authority = self.ready.url.trim_start_matches("http://").trim_end_matches('/');
        authority.parse().map_err(|_| {
            Failure::could_not(format!("the host says that it answers at {}", self.ready.url), "please report this")
        })
    }

    /// SIGKILL, and waits until the process is gone.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the system does not let it.
    pub(crate) async fn kill(&mut self) -> Result<(), Failure> {
        self.child.kill().await.map_err(|error| cannot_start(&error))
    }

    /// Starts it again after it was killed: same address, same data.
    ///
    /// # Errors
    /// As [`HostProcess::start`].
    pub(crate) async fn restart(&mut self) -> Result<(), Failure> {
        let address = self.address()?.to_string();
        (self.child, self.ready) = spawn(&self.folder, &address).await?;
        Ok(())
    }

    /// Asks the host to end, and waits until it has.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it does not end well or in time.
    pub(crate) async fn stop(&mut self) -> Result<(), Failure> {
        #[cfg(unix)]
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let pid = nix::unistd::Pid::from_raw(pid);
            // If it is gone already, the wait below says how.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
        match timeout(Duration::from_millis(DEMO_HOST_STOP_MS_MAX), self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(status)) => Err(Failure::could_not(format!("the host ended with {status}"), "please report this")),
            Ok(Err(error)) => Err(cannot_start(&error)),
            Err(_) => Err(Failure::could_not("the host did not stop in time and was killed", "please report this")),
        }
    }
}

async fn spawn(folder: &Path, listen: &str) -> Result<(Child, Ready), Failure> {
    let program = std::env::current_exe().map_err(|error| cannot_start(&error))?;
    let mut child = Command::new(program)
        .args(["--quiet", "host", "--json", "--listen", listen, "--data-dir"])
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
            Ok(ready) => Ok((child, ready)),
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

fn cannot_start(error: &std::io::Error) -> Failure {
    Failure::could_not(format!("cannot run the host as a process of its own ({error})"), "try `muster host` by itself")
}
