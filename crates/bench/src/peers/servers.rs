//! Every server, started on the loopback address with a folder of its own and a configuration that is written down here.
//!
//! What always holds: a server is killed at the latest when its handle is dropped; it answers before anybody gets the
//! handle; what a default would be is said too where it matters for the comparison.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::system::System;
use super::{Outcome, postgres, redis, text};
use crate::child::{Program, data_folder};
use crate::error::BenchError;
use crate::limits::{PATIENCE, PEERS_LOOK};
use crate::proc;

/// The settings of Redis. Rewriting the file is off: it would only cost it time here.
pub(super) const REDIS: &[&str] = &[
    "--appendonly",
    "yes",
    "--appendfsync",
    "always",
    "--save",
    "",
    "--auto-aof-rewrite-percentage",
    "0",
    "--bind",
    "127.0.0.1",
    "--daemonize",
    "no",
    "--loglevel",
    "warning",
];

/// The settings of PostgreSQL, beside its defaults (`fsync=on`, `full_page_writes=on`, `wal_sync_method=fdatasync`).
pub(super) const POSTGRES: &[&str] = &[
    "synchronous_commit=on",
    "fsync=on",
    "shared_buffers=1GB",
    "max_wal_size=8GB",
    "checkpoint_timeout=30min",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_connections=400",
    "listen_addresses=127.0.0.1",
];

/// A server that answers.
pub(crate) struct Server {
    /// What clients are told.
    pub(crate) address: String,
    pid: u32,
    running: Running,
    /// Removed after the server is gone.
    data: Option<TempDir>,
}

enum Running {
    Child(Child),
    Muster(crate::child::Server),
    /// No server: the ends are alone, or beside an engine that serves nobody.
    Nothing,
}

/// How servers are started.
#[derive(Clone, Debug)]
pub(crate) struct Servers {
    /// The program `muster`.
    pub(crate) muster: PathBuf,
    /// Muster's module.
    pub(crate) module: bytes::Bytes,
}

fn failed(what: &'static str) -> impl Fn(String) -> BenchError {
    move |reason| BenchError::Child { command: what.into(), reason }
}

impl Servers {
    /// A new server without anything in it, ready for its first event.
    pub(crate) async fn start(&self, system: System) -> Result<Server, BenchError> {
        let data = data_folder()?;
        self.on(system, data, true).await
    }

    /// The same server again, on what it had. Muster's host keeps its folder by itself.
    pub(crate) async fn restart(&self, system: System, server: Server) -> Result<(Server, Instant), BenchError> {
        let data = server.stop().await?;
        let began = Instant::now();
        Ok((self.on(system, data, false).await?, began))
    }

    async fn on(&self, system: System, data: TempDir, new: bool) -> Result<Server, BenchError> {
        match system {
            System::Muster => {
                let host = Program(self.muster.clone()).host_on(data).await?;
                if new {
                    crate::systems::publish(&host.url, &self.module).await?;
                }
                Ok(Server { address: host.url.clone(), pid: host.pid()?, running: Running::Muster(host), data: None })
            }
            System::Alone | System::AloneEngine => {
                Ok(Server { address: String::new(), pid: 0, running: Running::Nothing, data: Some(data) })
            }
            System::Redis | System::RedisRead => {
                let port = free_port()?;
                let mut command = Command::new("redis-server");
                command.args(REDIS).args(["--port", &port.to_string(), "--dir"]).arg(data.path());
                let server = child("redis-server", command, port, data).await?;
                ready("redis-server", || redis::ready(&server.address)).await?;
                Ok(server)
            }
            System::Nats => {
                let port = free_port()?;
                let file = data.path().join("nats.conf");
                let store = data.path().display();
                let configuration = format!(
                    "listen: 127.0.0.1:{port}\njetstream {{\n  store_dir: \"{store}\"\n  max_file_store: 32GB\n}}\n"
                );
                std::fs::write(&file, configuration).map_err(BenchError::io("a configuration"))?;
                let mut command = Command::new("nats-server");
                command.arg("-c").arg(&file);
                child("nats-server", command, port, data).await
            }
            System::Postgres | System::PostgresCopy => postgresql(data, new).await,
        }
    }
}

/// `initdb` once, then the server, as the user `postgres` where this is root, which PostgreSQL refuses to be.
async fn postgresql(data: TempDir, new: bool) -> Result<Server, BenchError> {
    let port = free_port()?;
    let folder = data.path().join("data");
    if new {
        if is_root() {
            run(Command::new("chown").arg("postgres").arg(data.path())).await?;
        }
        let mut initdb = as_postgres("initdb");
        initdb.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"]);
        run(initdb.arg(&folder)).await?;
    }
    let mut command = as_postgres("postgres");
    command.arg("-D").arg(&folder).args(["-p", &port.to_string(), "-k"]).arg(data.path());
    for setting in POSTGRES {
        command.args(["-c", setting]);
    }
    let server = child("postgres", command, port, data).await?;
    ready("postgres", || postgres::prepare(&server.address)).await?;
    Ok(server)
}

/// Waits until a server that listens also takes somebody in.
async fn ready<F: Future<Output = Outcome>>(what: &'static str, ask: impl Fn() -> F) -> Result<(), BenchError> {
    let deadline = Instant::now() + PATIENCE;
    while let Err(reason) = ask().await {
        if Instant::now() >= deadline {
            return Err(failed(what)(reason));
        }
        sleep(PEERS_LOOK).await;
    }
    Ok(())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|meta| meta.uid() == 0)
}

/// Debian keeps PostgreSQL's own programs beside the path, one folder for each version.
fn as_postgres(program: &str) -> Command {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|version| version.path().join("bin")).filter(|bin| bin.join(program).is_file()).max();
    let program = newest.unwrap_or_default().join(program);
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

async fn run(command: &mut Command) -> Result<(), BenchError> {
    let what = format!("{:?}", command.as_std());
    let failed = |reason: String| BenchError::Child { command: what.clone(), reason };
    let output = command.stdin(Stdio::null()).output().await.map_err(|error| failed(text(error)))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(failed(String::from_utf8_lossy(&output.stderr).into_owned())),
    }
}

async fn child(what: &'static str, mut command: Command, port: u16, data: TempDir) -> Result<Server, BenchError> {
    let log = data.path().join("log");
    let out = std::fs::File::create(&log).map_err(BenchError::io("a server's log"))?;
    let err = out.try_clone().map_err(BenchError::io("a server's log"))?;
    command.stdin(Stdio::null()).stdout(out).stderr(err).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| failed(what)(format!("{error}; `make bench` installs it")))?;
    let deadline = Instant::now() + PATIENCE;
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        let ended = child.try_wait().ok().flatten();
        if ended.is_some() || Instant::now() >= deadline {
            return Err(failed(what)(std::fs::read_to_string(&log).unwrap_or_default()));
        }
        sleep(PEERS_LOOK).await;
    }
    let pid = child.id().ok_or_else(|| failed(what)("it has ended".into()))?;
    Ok(Server { address: format!("127.0.0.1:{port}"), pid, running: Running::Child(child), data: Some(data) })
}

/// A port that is free now.
fn free_port() -> Result<u16, BenchError> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(BenchError::io("a port of the loopback address"))
}

impl Server {
    /// The processor time that it and its children have used.
    pub(crate) fn cpu_time(&self) -> Result<Duration, BenchError> {
        match self.running {
            Running::Nothing => Ok(Duration::ZERO),
            _ => proc::tree_cpu_time(self.pid),
        }
    }

    /// The memory of it and its children, in KiB: what is shared counts once.
    pub(crate) fn memory_kib(&self) -> Result<u64, BenchError> {
        proc::tree_memory_kib(self.pid)
    }

    /// Bytes of the files in its folder.
    pub(crate) fn disk_bytes(&self) -> Result<u64, BenchError> {
        match (&self.running, &self.data) {
            (Running::Muster(host), _) => host.disk_bytes(),
            (_, Some(data)) => crate::child::bytes_below(data.path()).map_err(BenchError::io("a server's folder")),
            _ => Ok(0),
        }
    }

    /// Kills it; what it had goes.
    pub(crate) async fn end(self) -> Result<(), BenchError> {
        self.stop().await.map(drop)
    }

    /// Kills it and gives back what it had. PostgreSQL's children end by themselves when their parent has.
    async fn stop(self) -> Result<TempDir, BenchError> {
        let gone = || failed("a server")("it has no folder".into());
        match self.running {
            Running::Nothing => self.data.ok_or_else(gone),
            Running::Muster(host) => host.end_keeping().await.ok_or_else(gone),
            Running::Child(mut child) => {
                let below = proc::tree(self.pid);
                // It may have ended by itself; then there is nothing to kill.
                let _ = child.kill().await;
                let deadline = Instant::now() + PATIENCE;
                while below.iter().any(|pid| Path::new(&format!("/proc/{pid}/stat")).exists())
                    && Instant::now() < deadline
                {
                    sleep(PEERS_LOOK).await;
                }
                self.data.ok_or_else(gone)
            }
        }
    }
}

/// What each server says of itself, for the record.
pub(crate) async fn versions(muster: &Path) -> Vec<String> {
    let mut versions = Vec::new();
    let asked: [(Command, &str); 4] = [
        (Command::new(muster), "--version"),
        (Command::new("redis-server"), "--version"),
        (Command::new("nats-server"), "--version"),
        (as_postgres("postgres"), "--version"),
    ];
    for (mut command, argument) in asked {
        if let Ok(output) = command.arg(argument).output().await {
            versions.push(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
    }
    versions
}
