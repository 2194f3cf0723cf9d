//! `muster bench`: how fast this machine is with Muster, beside yardsticks taken in the same run. What is measured, and
//! how, stands in `crates/bench`.
//!
//! What always holds: everything runs on this machine and on temporary folders; the servers that are started end with
//! this command; how fast anything is never decides the exit code.

use std::num::NonZeroU16;
use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::ui::Ui;

/// What to measure.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BenchCommand {
    /// Connections a second, time to the first row, memory of idle sessions, calls a second
    Connect(ConnectArgs),
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
        BenchCommand::Echo => embedded::echo(ui).await,
    }
}

#[cfg(feature = "host")]
mod embedded {
    use muster_bench::{BenchError, Machine, Plan, Size, report};
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::ConnectArgs;
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
        let program = std::env::current_exe().map_err(|error| {
            Failure::could_not(format!("cannot find this program's own file ({error})"), "start it by its path")
        })?;
        let bar = ui.progress_bar();
        let plan = Plan { program, module: module.bytes.into(), size };
        let measured = muster_bench::run(&plan, |step| {
            bar.set_length(step.of as u64);
            bar.set_position(step.done as u64);
            bar.set_message(step.what.clone());
            ui.detail(format!("{}/{} {}", step.done + 1, step.of, step.what));
        })
        .await;
        bar.finish_and_clear();
        let report = measured.map_err(|error: BenchError| Failure::CouldNot(error.to_string()))?;
        if args.json {
            ui.print_json(&report)?;
        } else {
            let cells = report::table(&report.rows);
            ui.print(table::render(&cells[0], &cells[1..]))?;
            ui.print(machine(&report.machine, report.repeats))?;
        }
        if args.quick {
            ui.say("a quick run shows that everything works; its figures are not worth quoting");
        }
        Ok(Exit::Done)
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
