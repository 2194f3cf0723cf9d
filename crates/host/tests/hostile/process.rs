//! A host in a process of its own: this test binary again, told by its environment what to be.
//!
//! Always true: the process is killed, at the latest, when its [`HostProcess`] is dropped.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use muster_host::{Host, HostBuilder, HostLimits, WebSocketLimits};
use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{ConnectOptions, Connection, Endpoint, Incoming, connect};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// How long a test waits for a state that must come.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

const FOLDER: &str = "MUSTER_HOSTILE_FOLDER";
const TEMPER: &str = "MUSTER_HOSTILE_TEMPER";

/// How long the host is to bear with its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Temper {
    /// The defaults.
    Default,
    /// Everything that takes seconds by default takes [`IMPATIENCE`], so that a test need not wait for it.
    Impatient,
    /// A call may use little of the processor.
    Frugal,
    /// A call may use next to nothing of it.
    Stingy,
}

/// Each of an impatient host's timeouts.
pub(crate) const IMPATIENCE: Duration = Duration::from_secs(2);

/// What one call may use of the processor on a frugal host.
pub(crate) const FRUGAL_CALL_TIME: Duration = Duration::from_millis(500);

/// Not a test: the host that the others start. Does nothing unless one of them did.
#[test]
fn a_host_in_a_process_of_its_own() {
    let Ok(temper) = std::env::var(TEMPER) else {
        return;
    };
    raise_file_limit();
    let builder = builder(&temper);
    let builder = match std::env::var(FOLDER) {
        Ok(folder) => builder.data_dir(folder),
        Err(_) => builder.in_memory(),
    };
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        match builder.start().await {
            Ok(host) => {
                println!("\nlistening {}", host.url());
                std::future::pending::<()>().await;
            }
            Err(error) => {
                println!("\nrefused {error}");
                std::process::exit(2);
            }
        }
    });
}

fn builder(temper: &str) -> HostBuilder {
    match temper {
        "Default" => Host::builder(),
        "Impatient" => Host::builder()
            .limits(HostLimits {
                header_timeout: IMPATIENCE,
                body_timeout: IMPATIENCE,
                write_timeout: IMPATIENCE,
                ..HostLimits::DEFAULT
            })
            .websocket_limits(WebSocketLimits {
                ping_interval: IMPATIENCE / 2,
                idle_timeout: IMPATIENCE,
                write_stall_timeout: IMPATIENCE,
                ..WebSocketLimits::DEFAULT
            }),
        "Frugal" => Host::builder().limits(HostLimits { call_time: FRUGAL_CALL_TIME, ..HostLimits::DEFAULT }),
        "Stingy" => Host::builder().limits(HostLimits { call_time: FRUGAL_CALL_TIME / 100, ..HostLimits::DEFAULT }),
        other => panic!("no such temper: {other}"),
    }
}

/// Lets this process open as many files and sockets as the system allows it.
pub(crate) fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).unwrap();
    limit.maximum.unwrap_or(u64::MAX)
}

/// A running host.
pub(crate) struct HostProcess {
    process: Child,
    pub(crate) url: String,
}

impl HostProcess {
    /// A host in memory with the database `test`, which has the module of `module.rs`.
    pub(crate) async fn with_module(temper: Temper) -> Self {
        let host = Self::start(temper, None).expect("a host in memory starts");
        host.publish(crate::module::module()).await;
        host
    }

    /// A host in memory, or on `folder`; or the line in which it refuses to start.
    pub(crate) fn start(temper: Temper, folder: Option<&Path>) -> Result<Self, String> {
        let mut process = Self::command(temper, folder).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        for line in lines {
            if let Some(url) = line.strip_prefix("listening ") {
                return Ok(Self { process, url: url.to_owned() });
            }
            if let Some(reason) = line.strip_prefix("refused ") {
                process.wait().unwrap();
                return Err(reason.to_owned());
            }
        }
        panic!("the host's process ended without a word: {:?}", process.wait());
    }

    fn command(temper: Temper, folder: Option<&Path>) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command
            .args(["--exact", "process::a_host_in_a_process_of_its_own", "--nocapture"])
            .env(TEMPER, format!("{temper:?}"))
            .stdin(Stdio::null());
        if let Some(folder) = folder {
            command.env(FOLDER, folder);
        }
        command
    }

    /// Publishes to `test` as somebody new, and returns who.
    pub(crate) async fn publish(&self, wasm: Vec<u8>) -> HttpClient {
        let nobody = HttpClient::new(self.endpoint(), None).unwrap();
        let token = nobody.create_identity().await.unwrap().token;
        let owner = HttpClient::new(self.endpoint(), Some(token)).unwrap();
        owner.publish(wasm, &PublishOptions::default()).await.unwrap();
        owner
    }

    /// Where `test` is.
    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::new(&self.url, "test").unwrap()
    }

    /// A session of somebody new.
    pub(crate) async fn connect(&self) -> (Connection, Incoming) {
        connect(ConnectOptions::new(self.endpoint())).await.unwrap()
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.url.strip_prefix("http://").unwrap().parse().unwrap()
    }

    /// The memory it has in use, in bytes: `VmRSS` of `/proc/<pid>/status`.
    pub(crate) fn resident_bytes(&self) -> u64 {
        self.status_kib("VmRSS:") * 1024
    }

    /// The most it ever had in use, in bytes: `VmHWM`.
    pub(crate) fn resident_bytes_peak(&self) -> u64 {
        self.status_kib("VmHWM:") * 1024
    }

    fn status_kib(&self, field: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("it is running");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// How many files and sockets it has open.
    pub(crate) fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("it is running").count()
    }

    /// Starts a host on `folder` and kills it after a while, whatever it is doing then.
    pub(crate) async fn kill_while_starting(folder: &Path, after: Duration) {
        let mut process = Self::command(Temper::Default, Some(folder)).stdout(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(after).await;
        process.kill().unwrap();
        process.wait().unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.process.try_wait().unwrap().is_none()
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits for what must come.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not in time: {what}"))
}

/// Waits until `state` holds.
pub(crate) async fn until(what: &str, mut state: impl FnMut() -> bool) {
    soon(what, async {
        while !state() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}
