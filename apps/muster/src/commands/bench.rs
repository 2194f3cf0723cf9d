//! `muster bench`: how fast this machine is with Muster, beside yardsticks taken in the same run. What is measured, and
//! how, stands in `crates/bench`.
//!
//! What always holds: everything runs on this machine and on temporary folders; the servers that are started end with
//! this command; how fast anything is never decides the exit code.

use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::ui::Ui;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BenchCommand {
    /// Connections a second, time to the first row, memory of idle sessions, calls a second
    Connect(ConnectArgs),
    /// Events a second, from a publisher's outbox to a subscriber's database
    Streams(StreamsArgs),
    /// Echo WebSocket messages, as a yardstick: started by the others
    #[command(hide = true)]
    Echo,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts a host and a bare WebSocket echo, each a process of its own on a free port of the loopback
address, and measures both in turn, and the engine in this process. `times muster` is a system's
median as a multiple of Muster's own client on Muster's host. Takes some ten minutes; leave the
machine alone meanwhile. Runs on Linux. What bounds each figure: docs/benchmarks.md.

Examples:
  muster bench connect
  muster bench connect --json > connect.json
  muster bench connect --quick")]
pub(crate) struct ConnectArgs {
    /// The module to publish; without it, the one of the checkout this is run in is built
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<PathBuf>,
    /// How many times each figure is taken; the median is reported
    #[arg(long, value_name = "N")]
    repeats: Option<NonZeroU16>,
    /// See in some seconds that everything works; the figures are not worth quoting
    #[arg(long)]
    quick: bool,
    /// Print one JSON document (muster.bench.connect.v1)
    #[arg(long)]
    json: bool,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts a host, a process of its own, and sends events of 256 bytes from an outbox through it to a
subscriber, in one stream and in eight: on disk in the outbox, confirmed by the host, committed in
the subscriber's database. Beside it, in the same run, the rate at which the engine in this process
appends the same events. `times muster` is a rate as a multiple of the whole path's. Takes some
minutes; leave the machine alone meanwhile. Runs on Linux.

Examples:
  muster bench streams
  muster bench streams --events 1000000 --repeats 1
  muster bench streams --quick")]
pub(crate) struct StreamsArgs {
    /// The module to publish; without it, the one of the checkout this is run in is built
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<PathBuf>,
    /// How many times each figure is taken; the median is reported
    #[arg(long, value_name = "N")]
    repeats: Option<NonZeroU16>,
    /// How many events each measurement has, a multiple of 4,000
    #[arg(long, value_name = "N")]
    events: Option<NonZeroU32>,
    /// See in some seconds that everything works; the figures are not worth quoting
    #[arg(long)]
    quick: bool,
    /// Print one JSON document (muster.bench.streams.v1)
    #[arg(long)]
    json: bool,
}

/// This build has no host.
#[cfg(not(feature = "host"))]
pub(crate) async fn run(_ui: &Ui, _command: BenchCommand) -> Outcome {
    Err(crate::outcome::Failure::could_not(
        "this muster was built without the embedded host, which is what is measured",
        "build it with its default features",
    ))
}

/// Runs.
#[cfg(feature = "host")]
pub(crate) async fn run(ui: &Ui, command: BenchCommand) -> Outcome {
    match command {
        BenchCommand::Connect(args) => embedded::connect(ui, args).await,
        BenchCommand::Streams(args) => embedded::streams(ui, args).await,
        BenchCommand::Echo => embedded::echo(ui).await,
    }
}

#[cfg(feature = "host")]
mod embedded {
    use muster_bench::report::{self, Report};
    use muster_bench::streams::{StreamsPlan, StreamsSize};
    use muster_bench::{BenchError, Machine, Plan, Size, Step};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::{ConnectArgs, StreamsArgs};
    use crate::module_file::ModuleFile;
    use crate::outcome::{Exit, Failure, Outcome};
    use crate::signals::Stop;
    use crate::table;
    use crate::ui::Ui;

    pub(super) async fn connect(ui: &Ui, args: ConnectArgs) -> Outcome {
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        let mut size = if args.quick { Size::quick() } else { Size::full() };
        if let Some(repeats) = args.repeats {
            size.repeats = usize::from(repeats.get());
        }
        let plan = Plan { program: this_program()?, module: module.bytes.into(), size };
        let progress = Progress::new(ui);
        let measured = muster_bench::run(&plan, |step| progress.step(step)).await;
        progress.report(measured, args.json, args.quick)
    }

    pub(super) async fn streams(ui: &Ui, args: StreamsArgs) -> Outcome {
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        let mut size = if args.quick { StreamsSize::quick() } else { StreamsSize::full() };
        if let Some(repeats) = args.repeats {
            size.repeats = usize::from(repeats.get());
        }
        if let Some(events) = args.events {
            size.events = events.get() as usize;
        }
        let plan = StreamsPlan { program: this_program()?, module: module.bytes.into(), size };
        let progress = Progress::new(ui);
        let measured = muster_bench::streams::run(&plan, |step| progress.step(step)).await;
        progress.report(measured, args.json, args.quick)
    }

    fn this_program() -> Result<std::path::PathBuf, Failure> {
        std::env::current_exe().map_err(|error| {
            Failure::could_not(format!("cannot find this program's own file ({error})"), "start it by its path")
        })
    }

    /// What is seen while it goes on, and what is printed at the end.
    struct Progress<'a> {
        ui: &'a Ui,
        bar: indicatif::ProgressBar,
    }

    impl Progress<'_> {
        fn new(ui: &Ui) -> Progress<'_> {
            Progress { ui, bar: ui.progress_bar() }
        }

        fn step(&self, step: Step) {
            self.bar.set_length(step.of as u64);
            self.bar.set_position(step.done as u64);
            self.bar.set_message(step.what.clone());
            self.ui.detail(format!("{}/{} {}", step.done + 1, step.of, step.what));
        }

        fn report(self, measured: Result<Report, BenchError>, json: bool, quick: bool) -> Outcome {
            self.bar.finish_and_clear();
            let ui = self.ui;
            let report = measured.map_err(|error: BenchError| Failure::CouldNot(error.to_string()))?;
            if json {
                ui.print_json(&report)?;
            } else {
                let cells = report::table(&report.rows);
                ui.print(table::render(&cells[0], &cells[1..]))?;
                ui.print(machine(&report.machine, report.repeats))?;
            }
            if quick {
                ui.say("a quick run shows that everything works; its figures are not worth quoting");
            }
            Ok(Exit::Done)
        }
    }

    /// Where the figures belong, in one line.
    fn machine(machine: &Machine, repeats: usize) -> String {
        let Machine { processor, cores, memory_mib, kernel, file_system, build, load_average: [before, after] } =
            machine;
        format!(
            "medians of {repeats} with half their range; {cores} cores ({processor}), {memory_mib} MiB, Linux {kernel}, \
             {file_system}; built {build}; load average {before} before, {after} after"
        )
    }

    /// Echoes until told to stop.
    pub(super) async fn echo(ui: &Ui) -> Outcome {
        let mut stop = Stop::listen()?;
        let cannot_listen = |error: std::io::Error| {
            Failure::could_not(format!("cannot listen on the loopback address ({error})"), "free a port")
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(cannot_listen)?;
        let address = listener.local_addr().map_err(cannot_listen)?;
        ui.print_json(&json!({ "url": format!("http://{address}"), "pid": std::process::id() }))?;
        tokio::select! {
            () = muster_bench::echo::serve(listener) => Ok(Exit::Done),
            () = stop.wait() => Ok(Exit::Done),
        }
    }
}
