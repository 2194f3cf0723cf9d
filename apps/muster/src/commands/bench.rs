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
    /// Tokens a second, and what enforcing them costs on the stream path
    #[cfg(feature = "control")]
    Tokens(TokensArgs),
    /// What an event costs as streams get longer and more
    Growth(GrowthArgs),
    /// Beside Redis Streams, NATS JetStream and PostgreSQL: `muster bench peers --help`
    #[command(disable_help_flag = true)]
    Peers(PeersArgs),
    /// Echo WebSocket messages, as a yardstick: started by the others
    #[command(hide = true)]
    Echo,
    /// Append what stdin says, with the engine in this process: started by the others
    #[command(hide = true)]
    Engine(EngineArgs),
    /// Publish what stdin says: started by the others
    #[command(hide = true)]
    Publisher(RoleArgs),
    /// Apply until stdin ends: started by the others
    #[command(hide = true)]
    Subscriber(RoleArgs),
}

/// What is handed on to `muster-bench-peers`.
#[derive(Debug, clap::Args)]
pub(crate) struct PeersArgs {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<std::ffi::OsString>,
}

/// The engine's module.
#[derive(Debug, clap::Args)]
pub(crate) struct EngineArgs {
    #[arg(long)]
    module: Option<PathBuf>,
}

/// Where one of the measured processes works.
#[derive(Debug, clap::Args)]
pub(crate) struct RoleArgs {
    url: String,
    database: String,
    folder: PathBuf,
    pattern: Option<String>,
    latency_of: Option<String>,
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
Starts a publisher, a host and a subscriber, each a process of its own, and sends events of 256
bytes through them, in one stream and in eight: on disk in the outbox, confirmed by the host,
committed in the subscriber's database, and compared there byte for byte. Beside it, in the same
run, the rate at which the engine in this process appends the same events. `times muster` is a rate
as a multiple of the whole path's. Then single events, 200 a second, for their latency. Takes some
minutes; leave the machine alone meanwhile. Runs on Linux. What bounds it: docs/benchmarks.md.

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

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Sends events of 256 bytes the whole way, from an outbox through a host to a subscriber's database,
while one stream grows from ten thousand to a million events, and spread over one to ten thousand
streams; shows what an event costs at each point, in time and in processor time, and the memory of
each process. Then a new subscriber replays the million. Takes some minutes. Runs on Linux.

Examples:
  muster bench growth
  muster bench growth --reduced --json
  muster bench growth --quick")]
pub(crate) struct GrowthArgs {
    /// The module to publish; without it, the one of the checkout this is run in is built
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<PathBuf>,
    /// A tenth of it: up to 100,000 events and 1,000 streams
    #[arg(long, conflicts_with = "quick")]
    reduced: bool,
    /// See in some seconds that everything works; the figures are not worth quoting
    #[arg(long)]
    quick: bool,
    /// Print one JSON document (muster.bench.growth.v1)
    #[arg(long)]
    json: bool,
}

/// The arguments.
#[cfg(feature = "control")]
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Starts a token service and a host, each a process of its own. Mints tokens, over connections that
stay. Then 1, 100 and 1,000 sessions follow a stream and read every event of it, in turn on a database
that is open and on one that takes only what tokens grant: `times muster` of `muster, enforced` is
what enforcement costs. Takes some minutes; leave the machine alone meanwhile. Runs on Linux.

Examples:
  muster bench tokens
  muster bench tokens --repeats 3 --json
  muster bench tokens --quick")]
pub(crate) struct TokensArgs {
    /// The module to publish; without it, the one of the checkout this is run in is built
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<PathBuf>,
    /// How many times each figure is taken; the median is reported
    #[arg(long, value_name = "N")]
    repeats: Option<NonZeroU16>,
    /// Only these numbers of subscribers, with commas between them
    #[arg(long, value_name = "N,N", value_delimiter = ',')]
    subscribers: Vec<NonZeroU16>,
    /// See in some seconds that everything works; the figures are not worth quoting
    #[arg(long)]
    quick: bool,
    /// Print one JSON document (muster.bench.tokens.v1)
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
        BenchCommand::Growth(args) => embedded::growth(ui, args).await,
        #[cfg(feature = "control")]
        BenchCommand::Tokens(args) => embedded::tokens(ui, args).await,
        BenchCommand::Peers(args) => embedded::peers(ui, args).await,
        BenchCommand::Engine(args) => embedded::engine(ui, args).await,
        BenchCommand::Echo => embedded::echo(ui).await,
        BenchCommand::Publisher(args) => embedded::publisher(args).await,
        BenchCommand::Subscriber(args) => embedded::subscriber(args).await,
    }
}

#[cfg(feature = "host")]
mod embedded {
    use muster_bench::growth::{self, GrowthPlan, GrowthReport, GrowthSize};
    use muster_bench::report::{self, Report};
    use muster_bench::streams::{StreamsPlan, StreamsSize, roles};
    use muster_bench::{BenchError, Machine, Plan, Size, Step};
    use muster_contract::StreamId;
    use muster_wire::Endpoint;
    use serde_json::json;
    use tokio::net::TcpListener;

    use super::{ConnectArgs, EngineArgs, GrowthArgs, PeersArgs, RoleArgs, StreamsArgs};
    use crate::module_file::ModuleFile;
    use crate::outcome::{Exit, Failure, Outcome};
    use crate::signals::Stop;
    use crate::table;
    use crate::ui::Ui;

    /// The program of the peers, and what it is told through its environment.
    const PEERS: &str = "muster-bench-peers";
    const PEERS_MUSTER: &str = "MUSTER_BENCH_PROGRAM";
    const MODULE: &str = "MUSTER_MODULE_WASM";

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

    pub(super) async fn growth(ui: &Ui, args: GrowthArgs) -> Outcome {
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        let size = match (args.quick, args.reduced) {
            (true, _) => GrowthSize::quick(),
            (_, true) => GrowthSize::reduced(),
            _ => GrowthSize::full(),
        };
        let plan = GrowthPlan { program: this_program()?, module: module.bytes.into(), size };
        let progress = Progress::new(ui);
        let measured = growth::run(&plan, |step| progress.step(step)).await;
        progress.bar.finish_and_clear();
        let report = measured.map_err(could_not)?;
        if args.json {
            ui.print_json(&report)?;
        } else {
            for (what, costs) in [("length", &report.lengths), ("streams", &report.streams)] {
                let cells = growth::table(what, costs);
                ui.print(table::render(&cells[0], &cells[1..]))?;
            }
            ui.print(memory(&report))?;
            ui.print(machine(&report.machine))?;
        }
        not_to_quote(ui, args.quick);
        Ok(Exit::Done)
    }

    #[cfg(feature = "control")]
    pub(super) async fn tokens(ui: &Ui, args: super::TokensArgs) -> Outcome {
        use muster_bench::tokens::{self, TokensPlan, TokensSize};
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        let mut size = if args.quick { TokensSize::quick() } else { TokensSize::full() };
        if let Some(repeats) = args.repeats {
            size.repeats = usize::from(repeats.get());
        }
        if !args.subscribers.is_empty() {
            size.subscribers = args.subscribers.iter().map(|number| usize::from(number.get())).collect();
        }
        let plan = TokensPlan { program: this_program()?, module: module.bytes.into(), size };
        let progress = Progress::new(ui);
        let measured = tokens::run(&plan, |step| progress.step(step)).await;
        progress.report(measured, args.json, args.quick)
    }

    fn memory(report: &GrowthReport) -> String {
        let mib = |kib: f64| report::figure(kib / 1_024.0);
        let backlog = &report.backlog;
        format!(
            "a new subscriber replays {} events at {} a second, with {} MiB at most; the host takes {} MiB of memory for a \
             million events, and {} bytes of disk for each",
            backlog.events,
            report::figure(backlog.events_per_second),
            mib(backlog.peak_kib as f64),
            mib(report.host_kib_per_million),
            report::figure(report.host_disk_bytes_per_event),
        )
    }

    /// Hands on to the program of the peers, which lies beside this one.
    pub(super) async fn peers(ui: &Ui, args: PeersArgs) -> Outcome {
        let this = this_program()?;
        let program = this.with_file_name(PEERS);
        let missing = |error: std::io::Error| {
            Failure::could_not(
                format!("cannot start {} ({error})", program.display()),
                "build it: scripts/cargo build -p muster-bench --features peers --bin muster-bench-peers, and the same \
                 --profile as muster",
            )
        };
        if !program.is_file() {
            return Err(missing(std::io::ErrorKind::NotFound.into()));
        }
        let module = tempfile::NamedTempFile::new().map_err(missing)?;
        let mut command = tokio::process::Command::new(&program);
        command.env(PEERS_MUSTER, &this).args(&args.arguments);
        let shows = args.arguments.iter().any(|argument| ["show", "--help", "-h"].iter().any(|word| argument == word));
        let names_module = args.arguments.iter().any(|argument| argument == "--module");
        if !shows && !names_module && std::env::var_os(MODULE).is_none() {
            let found = ModuleFile::find(ui, None).await?;
            std::fs::write(module.path(), &found.bytes).map_err(missing)?;
            command.env(MODULE, module.path());
        }
        let status = command.status().await.map_err(missing)?;
        if status.success() {
            return Ok(Exit::Done);
        }
        Err(Failure::could_not("the measurement did not complete", "what it wrote above says why"))
    }

    pub(super) async fn engine(ui: &Ui, args: EngineArgs) -> Outcome {
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        done(roles::engine(module.bytes.into()).await)
    }

    pub(super) async fn publisher(args: RoleArgs) -> Outcome {
        done(roles::publisher(endpoint(&args)?, &args.folder).await)
    }

    pub(super) async fn subscriber(args: RoleArgs) -> Outcome {
        let pattern = args.pattern.clone().unwrap_or_default();
        let latency_of = args.latency_of.as_deref().map(StreamId::parse).transpose();
        let latency_of = latency_of.map_err(|error| Failure::could_not(error.to_string(), "name a stream"))?;
        done(roles::subscriber(endpoint(&args)?, &args.folder, &pattern, latency_of).await)
    }

    fn endpoint(args: &RoleArgs) -> Result<Endpoint, Failure> {
        Endpoint::new(&args.url, &args.database).map_err(|error| Failure::CouldNot(error.to_string()))
    }

    fn done(worked: Result<(), String>) -> Outcome {
        worked.map_err(|error| Failure::could_not(error, "the measurement is void: repeat it"))?;
        Ok(Exit::Done)
    }

    fn could_not(error: BenchError) -> Failure {
        Failure::CouldNot(error.to_string())
    }

    fn not_to_quote(ui: &Ui, quick: bool) {
        if quick {
            ui.say("a quick run shows that everything works; its figures are not worth quoting");
        }
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
            let report = measured.map_err(could_not)?;
            if json {
                ui.print_json(&report)?;
            } else {
                let cells = report::table(&report.rows);
                ui.print(table::render(&cells[0], &cells[1..]))?;
                let repeats = report.repeats;
                ui.print(format!("medians of {repeats} with half their range; {}", machine(&report.machine)))?;
            }
            not_to_quote(ui, quick);
            Ok(Exit::Done)
        }
    }

    /// Where the figures belong, in one line.
    fn machine(machine: &Machine) -> String {
        let Machine { processor, cores, memory_mib, kernel, file_system, build, load_average: [before, after] } =
            machine;
        format!(
            "{cores} cores ({processor}), {memory_mib} MiB, Linux {kernel}, {file_system}; built {build}; load average \
             {before} before, {after} after"
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
