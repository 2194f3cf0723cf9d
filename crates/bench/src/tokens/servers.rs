//! The token service, and a host with an open database and one that takes only its tokens.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{Endpoint, Token};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::child::data_folder;
use crate::error::BenchError;
use crate::limits::{PATIENCE, READY_LINE_BYTES_MAX};
use crate::proc;

/// The client that asks for every token, for many subjects.
pub(super) const CLIENT: &str = "bench";
const AUDIENCE: &str = "muster-bench";
const OPEN: &str = "open";
const CLOSED: &str = "closed";

/// What is measured, each a process of its own.
pub(super) struct Servers {
    control: Running,
    host: Running,
    secret: String,
    open: Endpoint,
    closed: Endpoint,
}

struct Running {
    url: String,
    child: Child,
    _stdout: BufReader<ChildStdout>,
    folder: TempDir,
}

#[derive(Deserialize)]
struct Ready {
    url: String,
}

impl Servers {
    pub(super) async fn start(program: &Path, module: &Bytes) -> Result<Servers, BenchError> {
        let control = Running::start(program, |folder, command| {
            command.args(["control", "serve", "--json", "--listen", "127.0.0.1:0", "--audience", AUDIENCE]);
            // Its limits are not what is measured.
            for limit in [
                "--address-burst",
                "--address-per-second",
                "--address-connections",
                "--client-burst",
                "--client-per-second",
                "--failure-burst",
                "--failures-per-minute",
            ] {
                command.args([limit, "1000000"]);
            }
            command.arg("--state-dir").arg(folder.join("state"));
        });
        let control = control.await?;
        let host = Running::start(program, |folder, command| {
            command.args(["host", "--json", "--listen", "127.0.0.1:0", "--trust-issuer", &control.url]);
            command.arg("--data-dir").arg(folder.join("data"));
        });
        let host = host.await?;
        let secret = register(program, &control).await?;
        let failed = |error: &dyn std::fmt::Display| BenchError::Publish(error.to_string());
        let endpoint = |name| Endpoint::new(&host.url, name).map_err(|error| failed(&error));
        let (open, closed) = (endpoint(OPEN)?, endpoint(CLOSED)?);
        let stranger = HttpClient::new(open.clone(), None).map_err(|error| failed(&error))?;
        let owner = stranger.create_identity().await.map_err(|error| failed(&error))?;
        for endpoint in [&open, &closed] {
            let http = HttpClient::new(endpoint.clone(), Some(owner.token.clone())).map_err(|error| failed(&error))?;
            http.publish(module.clone(), &PublishOptions::default()).await.map_err(|error| failed(&error))?;
        }
        let servers = Servers { control, host, secret, open, closed };
        servers.close(owner.token).await?;
        Ok(servers)
    }

    /// Lets the closed database take only the service's tokens.
    async fn close(&self, owner: Token) -> Result<(), BenchError> {
        let (connection, _incoming) = super::load::join(&self.closed, owner).await?;
        let no_revoker: Option<muster_wire::Identity> = None;
        let arguments = (self.control.url.as_str(), AUDIENCE, false, false, no_revoker);
        super::load::call(&connection, "configure_auth", &arguments).await?;
        connection.close().await;
        Ok(())
    }

    pub(super) fn endpoint(&self, enforced: bool) -> &Endpoint {
        if enforced { &self.closed } else { &self.open }
    }

    /// Host and port of the token service.
    pub(super) fn mint_address(&self) -> &str {
        self.control.url.trim_start_matches("http://")
    }

    pub(super) fn secret(&self) -> &str {
        &self.secret
    }

    /// The processor time that the host has used.
    pub(super) fn host_time(&self) -> Result<Duration, BenchError> {
        let gone = || BenchError::Child { command: self.host.url.clone(), reason: "it has ended".into() };
        proc::cpu_time(self.host.child.id().ok_or_else(gone)?)
    }

    pub(super) async fn end(mut self) {
        // One that has ended by itself need not be killed.
        let _ = self.host.child.kill().await;
        let _ = self.control.child.kill().await;
    }
}

impl Running {
    async fn start(program: &Path, arguments: impl FnOnce(&Path, &mut Command)) -> Result<Running, BenchError> {
        let failed = |reason: String| BenchError::Child { command: program.display().to_string(), reason };
        let folder = data_folder()?;
        let mut command = Command::new(program);
        command.arg("--quiet");
        arguments(folder.path(), &mut command);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let mut stdout = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe"));
        let mut line = String::new();
        let reading = async { (&mut stdout).take(READY_LINE_BYTES_MAX).read_line(&mut line).await };
        let read = timeout(PATIENCE, reading).await;
        read.map_err(|_| failed("it was not ready in time".into()))?.map_err(|error| failed(error.to_string()))?;
        let ready: Ready = serde_json::from_str(&line).map_err(|_| failed("it ended, or is no such server".into()))?;
        Ok(Running { url: ready.url, child, _stdout: stdout, folder })
    }
}

/// Registers the client, and gives its secret.
async fn register(program: &Path, control: &Running) -> Result<String, BenchError> {
    let failed = |reason: String| BenchError::Child { command: program.display().to_string(), reason };
    let mut command = Command::new(program);
    command.args(["control", "clients", "add", CLIENT, "--stream", "*", "--subject-prefix", "user:"]);
    command.args(["--scope", "sync.read", "--scope", "sync.write", "--access-lifetime", "3600s", "--state-dir"]);
    command.arg(control.folder.path().join("state")).stdin(Stdio::null());
    let output = timeout(PATIENCE, command.output()).await.map_err(|_| failed("no answer in time".into()))?;
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
