//! Publisher and subscriber as processes of their own, seen from the one that measures.
//!
//! What always holds: each is killed at the latest when its handle is dropped; it is ready before anybody gets the handle;
//! every answer is waited for with a limit.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use muster_wire::Endpoint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::words::{Applied, Publish, Published, Wait};
use crate::child::{self, Program, Server};
use crate::error::BenchError;
use crate::limits::{PATIENCE, STREAMS_PATIENCE};
use crate::proc;

/// A process that answers.
pub(crate) struct Actor {
    what: String,
    child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
}

impl Actor {
    async fn start(program: &Program, what: &'static str, args: &[&str]) -> Result<Actor, BenchError> {
        let mut command = Command::new(&program.0);
        command.args(["--quiet", "bench", what]).args(args);
        Actor::spawn(command, format!("muster bench {what}")).await
    }

    /// Starts any program that answers so, and waits until it is ready.
    pub(crate) async fn spawn(mut command: Command, what: String) -> Result<Actor, BenchError> {
        let failed = |reason: String| BenchError::Child { command: what.clone(), reason };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(error.to_string()))?;
        let stdin = child.stdin.take().expect("stdin was asked to be a pipe");
        let stdout = BufReader::new(child.stdout.take().expect("stdout was asked to be a pipe")).lines();
        let mut actor = Actor { what, child, stdin, stdout };
        actor.line(PATIENCE + STREAMS_PATIENCE).await?;
        Ok(actor)
    }

    pub(crate) async fn publisher(program: &Program, at: &Endpoint, folder: &Path) -> Result<Actor, BenchError> {
        Actor::start(program, "publisher", &[at.base(), at.database(), &folder.to_string_lossy()]).await
    }

    pub(crate) async fn subscriber(
        program: &Program,
        at: &Endpoint,
        folder: &Path,
        pattern: &str,
        latency_of: Option<&str>,
    ) -> Result<Actor, BenchError> {
        let folder = folder.to_string_lossy();
        let args = [at.base(), at.database(), &folder, pattern];
        Actor::start(program, "subscriber", &args.into_iter().chain(latency_of).collect::<Vec<_>>()).await
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&mut self, order: &impl Serialize) -> Result<T, BenchError> {
        let mut line = serde_json::to_string(order).map_err(|error| self.failed(error.to_string()))?;
        line.push('\n');
        self.stdin.write_all(line.as_bytes()).await.map_err(|error| self.failed(error.to_string()))?;
        let answer = self.line(2 * STREAMS_PATIENCE).await?;
        serde_json::from_str(&answer).map_err(|error| self.failed(error.to_string()))
    }

    async fn line(&mut self, limit: Duration) -> Result<String, BenchError> {
        match timeout(limit, self.stdout.next_line()).await {
            Ok(Ok(Some(line))) => Ok(line),
            Ok(Ok(None)) => Err(self.failed("it ended before it answered; its stderr says why".into())),
            Ok(Err(error)) => Err(self.failed(error.to_string())),
            Err(_) => Err(self.failed(format!("no answer within {} s", limit.as_secs()))),
        }
    }

    pub(crate) async fn publish(&mut self, order: &Publish) -> Result<Published, BenchError> {
        self.ask(order).await
    }

    pub(crate) async fn applied(&mut self, events: u64) -> Result<Applied, BenchError> {
        self.ask(&Wait::Applied(events)).await
    }

    /// Its resident memory, in KiB.
    pub(crate) fn resident_kib(&self) -> Result<u64, BenchError> {
        proc::resident_kib(self.pid()?)
    }

    /// The most that it ever had, in KiB.
    pub(crate) fn peak_kib(&self) -> Result<u64, BenchError> {
        proc::peak_kib(self.pid()?)
    }

    /// The processor time that it has used.
    pub(crate) fn cpu_time(&self) -> Result<Duration, BenchError> {
        proc::cpu_time(self.pid()?)
    }

    /// Lets it end by itself, and waits until it has.
    #[cfg_attr(not(feature = "peers"), allow(dead_code, reason = "only peers' subscribers come back"))]
    pub(crate) async fn finish(mut self) -> Result<(), BenchError> {
        drop(self.stdin);
        match timeout(PATIENCE, self.child.wait()).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(BenchError::Child { command: self.what, reason: error.to_string() }),
            Err(_) => Err(BenchError::Child { command: self.what, reason: "it does not end".into() }),
        }
    }

    fn pid(&self) -> Result<u32, BenchError> {
        self.child.id().ok_or_else(|| self.failed("it has ended".into()))
    }

    fn failed(&self, reason: String) -> BenchError {
        BenchError::Child { command: self.what.clone(), reason }
    }
}

/// Processor time that each process used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cpu {
    pub(crate) host: Duration,
    pub(crate) publisher: Duration,
    pub(crate) subscriber: Duration,
}

/// What sending some events through everything took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Took {
    /// Until the last event was on disk in the outbox.
    pub(crate) kept: Duration,
    /// Until the host had confirmed the last.
    pub(crate) confirmed: Duration,
    /// Until the last was committed in the subscriber's database.
    pub(crate) applied: Duration,
    pub(crate) cpu: Cpu,
    /// From an event's publishing to its commit, where that is measured.
    pub(crate) p50_ms: Option<f64>,
    pub(crate) p99_ms: Option<f64>,
}

/// A publisher and a subscriber at one host, with new, empty files.
pub(crate) struct Pair {
    pub(crate) publisher: Actor,
    pub(crate) subscriber: Actor,
    pub(crate) folder: TempDir,
    /// Events that the subscriber is to have by now.
    pub(crate) events: u64,
}

impl Pair {
    /// The subscriber follows every stream whose name begins with `prefix`.
    pub(crate) async fn start(
        program: &Program,
        at: &Endpoint,
        prefix: &str,
        latency_of: Option<&str>,
    ) -> Result<Pair, BenchError> {
        let folder = child::data_folder()?;
        let pattern = format!("{prefix}.*");
        let subscriber = Actor::subscriber(program, at, folder.path(), &pattern, latency_of).await?;
        let publisher = Actor::publisher(program, at, folder.path()).await?;
        Ok(Pair { publisher, subscriber, folder, events: 0 })
    }

    /// Sends events all the way.
    pub(crate) async fn send(&mut self, host: &Server, order: &Publish) -> Result<Took, BenchError> {
        self.events += order.events();
        let before = self.cpu(host)?;
        let publishing = self.publisher.publish(order);
        let (published, applied) = tokio::try_join!(publishing, self.subscriber.applied(self.events))?;
        let after = self.cpu(host)?;
        let since = |us: u64| Duration::from_micros(us.saturating_sub(published.began_us));
        let cpu = Cpu {
            host: after.host.saturating_sub(before.host),
            publisher: after.publisher.saturating_sub(before.publisher),
            subscriber: after.subscriber.saturating_sub(before.subscriber),
        };
        Ok(Took {
            kept: since(published.kept_us),
            confirmed: since(published.confirmed_us),
            applied: since(applied.at_us),
            cpu,
            p50_ms: applied.p50_ms,
            p99_ms: applied.p99_ms,
        })
    }

    fn cpu(&self, host: &Server) -> Result<Cpu, BenchError> {
        let (publisher, subscriber) = (self.publisher.cpu_time()?, self.subscriber.cpu_time()?);
        Ok(Cpu { host: host.cpu_time()?, publisher, subscriber })
    }
}
