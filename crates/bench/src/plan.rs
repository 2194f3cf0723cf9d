//! What is measured, in which order and how often.
//!
//! What always holds: systems take turns within each repeat; one host and one echo serve all that is about speed, and a
//! new one each time all that is about memory.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::child::{self, Program, Server};
use crate::error::BenchError;
use crate::limits::{CONNECTING_AT_ONCE, SOCKETS_MANY};
use crate::machine::Machine;
use crate::report::{Report, SCHEMA, Samples};
use crate::stats::percentile;
use crate::systems::{Places, System, bare_address, echo_address, publish};
use crate::{calling, connecting, idle, proc, syncing};

/// Open files that a process needs beside one for each session: its own, and a data folder's.
const FILES_BESIDE_SESSIONS: u64 = 256;

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Size {
    /// How many times each figure is taken.
    pub repeats: usize,
    /// Sessions opened one after the other.
    pub one_by_one: usize,
    /// Sessions opened many at a time.
    pub crowd: usize,
    /// How long calls are counted.
    pub window: Duration,
    /// Numbers of idle sessions.
    pub idle: Vec<usize>,
}

impl Size {
    /// What `docs/benchmarks.md` reports: some ten minutes.
    #[must_use]
    pub fn full() -> Size {
        Size { repeats: 5, one_by_one: 300, crowd: 1_000, window: Duration::from_secs(4), idle: vec![1_000, 10_000] }
    }

    /// Enough to see that everything works, and nothing to be quoted: some seconds.
    #[must_use]
    pub fn quick() -> Size {
        Size { repeats: 1, one_by_one: 10, crowd: 32, window: Duration::from_millis(200), idle: vec![32] }
    }
}

/// A measurement to be made.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The program `muster`, whose `host` and `bench echo` are started.
    pub program: PathBuf,
    /// Muster's module.
    pub module: Bytes,
    /// How much.
    pub size: Size,
}

/// Where a run is.
#[derive(Clone, Debug)]
pub struct Step {
    /// Steps done.
    pub done: usize,
    /// Steps in all.
    pub of: usize,
    /// What is measured now.
    pub what: String,
}

/// Measures everything. `on_step` hears of each step before it begins.
///
/// # Errors
/// [`BenchError`]: nothing is reported of a run that did not complete.
pub async fn run(plan: &Plan, on_step: impl Fn(Step)) -> Result<Report, BenchError> {
    let size = &plan.size;
    let sessions = size.idle.iter().copied().chain([size.crowd]).max().unwrap_or(0);
    child::allow_open_files(sessions as u64 + FILES_BESIDE_SESSIONS)?;
    let machine = Machine::here(&child::data_parent())?;
    let of = size.repeats * (System::ALL.len() * 4 + size.idle.len() * 2);
    let mut run = Run { plan, samples: Samples::default(), on_step, done: 0, of };
    run.speed().await?;
    run.memory().await?;
    Ok(Report { schema: SCHEMA, machine: machine.after()?, repeats: size.repeats, rows: run.samples.rows() })
}

struct Run<'a, F> {
    plan: &'a Plan,
    samples: Samples,
    on_step: F,
    done: usize,
    of: usize,
}

/// The servers whose speed is measured.
struct Servers {
    host: Server,
    echo: Server,
}

impl Servers {
    /// The one that a system talks to; `None` for the engine in this process.
    fn of(&self, system: System) -> Option<&Server> {
        match system {
            System::Muster | System::Unconfirmed | System::Bare => Some(&self.host),
            System::Echo => Some(&self.echo),
            System::Engine => None,
        }
    }
}

impl<F: Fn(Step)> Run<'_, F> {
    fn step(&mut self, what: impl Into<String>) {
        (self.on_step)(Step { done: self.done, of: self.of, what: what.into() });
        self.done += 1;
    }

    async fn speed(&mut self) -> Result<(), BenchError> {
        let program = Program(self.plan.program.clone());
        let servers = Servers { host: program.host().await?, echo: program.echo().await? };
        let (endpoint, _) = publish(&servers.host.url, &self.plan.module).await?;
        #[cfg(feature = "host")]
        let (engine_host, engine, _data) = engine(&self.plan.module).await?;
        let places = Places::new(
            endpoint,
            &servers.echo.url,
            #[cfg(feature = "host")]
            engine,
        )?;
        let places = Arc::new(places);
        for _ in 0..self.plan.size.repeats {
            let syncs = syncing::sync_ms()?;
            self.samples.add("one fdatasync, p50", "this file system", "ms", percentile(&syncs, 50.0));
            self.samples.add("one fdatasync, p99", "this file system", "ms", percentile(&syncs, 99.0));
            for &system in System::ALL {
                self.first_rows(&places, system).await?;
            }
            for &system in System::ALL {
                self.crowd(&places, &servers, system).await?;
            }
            for sockets in [1, SOCKETS_MANY] {
                for &system in System::ALL {
                    self.calls(&places, &servers, system, sockets).await?;
                }
            }
        }
        #[cfg(feature = "host")]
        engine_host.shutdown().await;
        servers.host.end().await;
        servers.echo.end().await;
        Ok(())
    }

    /// Sessions one after the other: how long until the first row, undisturbed.
    async fn first_rows(&mut self, places: &Arc<Places>, system: System) -> Result<(), BenchError> {
        self.step(format!("first row, {}", system.name()));
        let opened = connecting::open(places, system, self.plan.size.one_by_one, 1).await?;
        let times = &opened.first_row_ms;
        self.samples.add("TCP connect to first row, p50", system.name(), "ms", percentile(times, 50.0));
        self.samples.add("TCP connect to first row, p99", system.name(), "ms", percentile(times, 99.0));
        opened.close().await;
        Ok(())
    }

    /// Sessions many at a time: how many a second.
    async fn crowd(&mut self, places: &Arc<Places>, servers: &Servers, system: System) -> Result<(), BenchError> {
        self.step(format!("connections a second, {}", system.name()));
        let before = Cpu::now(servers, system)?;
        let opened = connecting::open(places, system, self.plan.size.crowd, CONNECTING_AT_ONCE).await?;
        let used = Cpu::now(servers, system)?.since(before);
        let times = &opened.first_row_ms;
        self.samples.add("connections a second, 64 at a time", system.name(), "sessions/s", opened.per_second());
        self.samples.add("first row while 64 connect, p50", system.name(), "ms", percentile(times, 50.0));
        self.samples.add("first row while 64 connect, p99", system.name(), "ms", percentile(times, 99.0));
        self.cpu("processor time of a connection", system, used, times.len() as u64);
        opened.close().await;
        Ok(())
    }

    async fn calls(
        &mut self,
        places: &Arc<Places>,
        servers: &Servers,
        system: System,
        sockets: usize,
    ) -> Result<(), BenchError> {
        self.step(format!("calls over {sockets} sockets, {}", system.name()));
        let mut looks = Vec::new();
        let at_window = || {
            looks.push(Cpu::now(servers, system)?);
            Ok(())
        };
        let window = calling::call(places, system, sockets, self.plan.size.window, at_window).await?;
        let per_second = window.calls as f64 / window.took.as_secs_f64();
        let workload = match sockets {
            1 => "calls a second, 1 socket",
            _ => "calls a second, 64 sockets",
        };
        self.samples.add(workload, system.name(), "calls/s", per_second);
        if let [before, after] = looks[..] {
            let workload = workload.replace("calls a second", "processor time of a call");
            self.cpu(&workload, system, after.since(before), window.calls);
        }
        Ok(())
    }

    fn cpu(&mut self, workload: &str, system: System, used: Cpu, operations: u64) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / operations.max(1) as f64;
        if let Some(server) = used.server {
            self.samples.add(format!("{workload}, server"), system.name(), "us", each(server));
            self.samples.add(format!("{workload}, client"), system.name(), "us", each(used.this));
        } else {
            self.samples.add(format!("{workload}, server"), system.name(), "us", each(used.this));
        }
    }

    async fn memory(&mut self) -> Result<(), BenchError> {
        let program = Program(self.plan.program.clone());
        for _ in 0..self.plan.size.repeats {
            for &count in &self.plan.size.idle {
                let workload = format!("memory of an idle session, {count} sessions");
                self.step(format!("{workload}, {}", System::Muster.name()));
                let host = program.host().await?;
                let (endpoint, _) = publish(&host.url, &self.plan.module).await?;
                let address = bare_address(&endpoint)?;
                let kib = idle::kib_per_session(&host, System::Muster.name(), &address, count, true).await?;
                self.samples.add(&workload, System::Muster.name(), "KiB", kib);
                host.end().await;

                self.step(format!("{workload}, {}", System::Echo.name()));
                let echo = program.echo().await?;
                let address = echo_address(&echo.url)?;
                let kib = idle::kib_per_session(&echo, System::Echo.name(), &address, count, false).await?;
                self.samples.add(&workload, System::Echo.name(), "KiB", kib);
                echo.end().await;
            }
        }
        Ok(())
    }
}

/// Processor time used so far.
#[derive(Clone, Copy, Debug)]
struct Cpu {
    server: Option<Duration>,
    this: Duration,
}

impl Cpu {
    fn now(servers: &Servers, system: System) -> Result<Cpu, BenchError> {
        let server = servers.of(system).map(Server::cpu_time).transpose()?;
        Ok(Cpu { server, this: proc::cpu_time(std::process::id())? })
    }

    fn since(self, before: Cpu) -> Cpu {
        let less = |after: Duration, before: Duration| after.saturating_sub(before);
        Cpu {
            server: self.server.zip(before.server).map(|(after, before)| less(after, before)),
            this: less(self.this, before.this),
        }
    }
}

/// A host in this process, with its data on disk as the other's, and its database to be called directly.
#[cfg(feature = "host")]
async fn engine(
    module: &Bytes,
) -> Result<(muster_host::RunningHost, muster_host::InProcess, tempfile::TempDir), BenchError> {
    let failed = |error: &dyn std::fmt::Display| BenchError::Engine(error.to_string());
    let data = child::data_folder()?;
    let host = muster_host::Host::builder().data_dir(data.path()).start().await.map_err(|error| failed(&error))?;
    let (_, database) = publish(&host.url(), module).await?;
    let engine = host.in_process(database).await.map_err(|error| failed(&error))?;
    Ok((host, engine, data))
}
