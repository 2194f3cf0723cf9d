//! `muster-bench-peers`: what `muster bench peers` starts. See `muster_bench::peers`.
//!
//! What always holds: the document goes to stdout or into the file that is named, talk to stderr; how fast anything is never
//! decides the exit code.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use muster_bench::peers::results::Results;
use muster_bench::peers::run::{Plan, Size, Workload, run};
use muster_bench::peers::system::System;
use muster_bench::peers::{draw, role};

/// Measure Muster beside Redis Streams, NATS JetStream and PostgreSQL.
#[derive(Debug, Parser)]
#[command(name = "muster bench peers", bin_name = "muster bench peers", args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    measure: Measure,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Publish or apply: started by the others
    #[command(hide = true)]
    Role { role: String, place: String },
    /// Print the table of a document, or write it into a page and draw its plots beside the document
    Show {
        /// The document
        results: PathBuf,
        /// Write the table into this page, between its two `peers:table` lines, instead of printing it
        #[arg(long, value_name = "FILE.md")]
        page: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct Measure {
    /// What to measure; everything if nothing is named
    workloads: Vec<Workload>,
    /// The program muster
    #[arg(long, value_name = "FILE", env = "MUSTER_BENCH_PROGRAM", default_value = "muster")]
    muster: PathBuf,
    /// The module to publish
    #[arg(long, value_name = "FILE.wasm", env = "MUSTER_MODULE_WASM", default_value = "muster_module.wasm")]
    module: PathBuf,
    /// Only these systems; unless named: all but postgres-copy. `alone` and `alone-engine` are what bounds the others
    #[arg(long, value_name = "SYSTEM")]
    system: Vec<System>,
    /// Only events of this size
    #[arg(long, value_name = "BYTES", value_parser = at_least::<64>)]
    bytes: Option<usize>,
    /// Only so many streams
    #[arg(long, value_name = "N", value_parser = at_least::<1>)]
    streams: Option<usize>,
    /// Only this rate
    #[arg(long, value_name = "EVENTS/S", value_parser = clap::value_parser!(u64).range(1..))]
    rate: Option<u64>,
    /// Only so many subscribers
    #[arg(long, value_name = "N", value_parser = at_least::<1>)]
    readers: Option<usize>,
    /// How many times each figure is taken, 5 unless named, those of backlog at most 3; the median is reported
    #[arg(long, value_name = "N", value_parser = at_least::<1>)]
    repeats: Option<usize>,
    /// So many events in a throughput measurement, 200,000 unless named (of 4,096 bytes 40,000): one for each stream at least
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    events: Option<u64>,
    /// Leave out the peers without an outbox, which promise less
    #[arg(long)]
    outbox_only: bool,
    /// See in a minute that everything works; the figures are not worth quoting
    #[arg(long)]
    quick: bool,
    /// Merge the rows into this document instead of printing them
    #[arg(long, value_name = "FILE.json", conflicts_with = "json")]
    into: Option<PathBuf>,
    /// Print one JSON document (muster.bench.peers.v1)
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.to_string()),
    };
    let done = match arguments.command {
        Some(Command::Role { role: name, place }) => {
            let done = runtime.block_on(role(&name, &place));
            // Whatever is still under way is of no interest.
            runtime.shutdown_background();
            return done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS);
        }
        Some(Command::Show { results, page }) => show(&results, page.as_deref()),
        None => runtime.block_on(measure(arguments.measure)),
    };
    done.map_or_else(|error| failed(&error), |()| ExitCode::SUCCESS)
}

fn failed(error: &str) -> ExitCode {
    eprintln!("muster-bench-peers: {error}");
    ExitCode::from(2)
}

async fn measure(measure: Measure) -> Result<(), String> {
    let module = std::fs::read(&measure.module).map_err(|error| {
        format!(
            "cannot read {} ({error}); name a module: --module \"$(scripts/build-module)\"",
            measure.module.display()
        )
    })?;
    let plan = Plan {
        muster: measure.muster.clone(),
        module: module.into(),
        module_file: measure.module.clone(),
        options: options(&measure),
        workloads: match measure.workloads.is_empty() {
            true => vec![Workload::Floor, Workload::Throughput, Workload::Latency, Workload::Fanout, Workload::Backlog],
            false => measure.workloads.clone(),
        },
        systems: if measure.system.is_empty() { System::UNLESS_NAMED.to_vec() } else { measure.system.clone() },
        without_outbox: !measure.outbox_only,
        size: size(&measure),
    };
    let began = std::time::Instant::now();
    let tell = |step: &str| eprintln!("{:>5} s  {step}", began.elapsed().as_secs());
    // Before anything is measured for it.
    measure.into.as_deref().map(writable).transpose()?;
    let most = plan.size.streams.iter().max().copied().unwrap_or(1) as u64;
    if plan.size.events.iter().any(|(_, events)| *events < most) {
        return Err(format!("fewer events than streams: --events {most} at least, or fewer --streams"));
    }
    let results = run(&plan, tell).await.map_err(|error| error.to_string())?;
    match &measure.into {
        Some(file) => {
            let mut all = known(file)?;
            let rows = results.rows.len();
            all.merge(results);
            write(file, &all)?;
            eprintln!("{rows} rows into {}", file.display());
            Ok(())
        }
        None if measure.json => {
            println!("{}", serde_json::to_string_pretty(&results).map_err(|error| error.to_string())?);
            Ok(())
        }
        None => {
            print!("{}", results.markdown());
            Ok(())
        }
    }
}

fn size(measure: &Measure) -> Size {
    let mut size = if measure.quick { Size::quick() } else { Size::full() };
    size.repeats = measure.repeats.unwrap_or(size.repeats);
    if let Some(bytes) = measure.bytes {
        let events = size.events.iter().find(|(known, _)| *known == bytes).map_or(40_000, |(_, events)| *events);
        size.events = vec![(bytes, events)];
    }
    if let Some(events) = measure.events {
        size.events.iter_mut().for_each(|(_, known)| *known = events);
    }
    measure.streams.into_iter().for_each(|streams| size.streams = vec![streams]);
    measure.rate.into_iter().for_each(|rate| size.rates = vec![rate]);
    measure.readers.into_iter().for_each(|readers| size.readers = vec![readers]);
    size
}

fn read(file: &Path) -> Result<Results, String> {
    let failed = |error: String| format!("cannot read {} ({error})", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| failed(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| failed(error.to_string()))
}

/// What a document has that rows are to be merged into: nothing where there is none. One that cannot be read is never
/// written over.
fn known(file: &Path) -> Result<Results, String> {
    match file.try_exists() {
        Ok(false) => Ok(Results::default()),
        _ => read(file).map_err(|error| format!("{error}; name another file, or move this one away")),
    }
}

/// Whether rows can be merged into this document: it can be read if it is there, and written.
fn writable(file: &Path) -> Result<(), String> {
    known(file)?;
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let tried = tempfile::NamedTempFile::new_in(folder).map(drop);
    tried.map_err(|error| {
        format!("cannot write into {} ({error}); make the folder, or name another file", folder.display())
    })
}

/// A number that is no less than that.
fn at_least<const LEAST: usize>(text: &str) -> Result<usize, String> {
    let number: usize = text.parse().map_err(|_| "not a whole number".to_owned())?;
    if number < LEAST { Err(format!("{LEAST} is the least")) } else { Ok(number) }
}

/// The options that change how a row is measured and not which.
fn options(measure: &Measure) -> String {
    let quick = if measure.quick { " --quick" } else { "" };
    let events = measure.events.map(|events| format!(" --events {events}")).unwrap_or_default();
    let repeats = measure.repeats.map(|repeats| format!(" --repeats {repeats}")).unwrap_or_default();
    format!("{quick}{events}{repeats}")
}

fn write(file: &Path, results: &Results) -> Result<(), String> {
    let text = serde_json::to_string_pretty(results).map_err(|error| error.to_string())?;
    // What was measured for an hour is not lost for a full disk.
    std::fs::write(file, format!("{text}\n")).map_err(|error| {
        println!("{text}");
        format!("cannot write {} ({error}); the document stands on stdout instead", file.display())
    })
}

/// Where a page has the table: between two lines with this in them.
const MARK: &str = "peers:table";

fn show(file: &Path, page: Option<&Path>) -> Result<(), String> {
    let results = read(file)?;
    match page {
        None => print!("{}", results.markdown()),
        Some(page) => {
            let unreadable = |error| format!("cannot read {} ({error})", page.display());
            let text = std::fs::read_to_string(page).map_err(unreadable)?;
            let lines: Vec<&str> = text.lines().collect();
            let marks: Vec<usize> = (0..lines.len()).filter(|index| lines[*index].contains(MARK)).collect();
            let &[from, to] = &marks[..] else {
                return Err(format!(
                    "{} has no two lines `<!-- {MARK} -->` for the table to stand between",
                    page.display()
                ));
            };
            let before = lines[..=from].join("\n");
            let after = lines[to..].join("\n");
            let text = format!("{before}\n\n{}\n{after}\n", results.markdown());
            save(page, &text)?;
            for (name, svg) in draw(&results) {
                save(&file.with_file_name(name), &svg)?;
            }
        }
    }
    Ok(())
}

fn save(file: &Path, text: &str) -> Result<(), String> {
    std::fs::write(file, text).map_err(|error| format!("cannot write {} ({error})", file.display()))?;
    eprintln!("wrote {}", file.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_cannot_be_read_is_never_taken_for_an_empty_one() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("results.json");
        assert!(known(&file).expect("none is there").rows.is_empty());
        write(&file, &Results::default()).expect("written");
        assert!(known(&file).expect("one is there").rows.is_empty());
        std::fs::write(&file, "{").expect("written");
        assert!(known(&file).is_err_and(|error| error.contains("results.json")));
    }

    #[test]
    fn what_could_not_be_kept_is_not_measured() {
        let folder = tempfile::TempDir::new().expect("a folder");
        assert_eq!(writable(&folder.path().join("results.json")), Ok(()));
        let missing = folder.path().join("none/results.json");
        assert!(writable(&missing).is_err_and(|error| error.contains("none")));
        let parse = |arguments: &[&str]| Arguments::try_parse_from([&["muster-bench-peers"], arguments].concat());
        for nothing in [["--bytes", "0"], ["--streams", "0"], ["--rate", "0"], ["--repeats", "0"], ["--events", "0"]] {
            assert!(parse(&nothing).is_err(), "{nothing:?}");
        }
        assert!(parse(&["--bytes", "64", "--streams", "1", "--rate", "1", "--repeats", "1", "--events", "1"]).is_ok());
        assert!(parse(&["--json", "--into", "x"]).is_err(), "one or the other");
    }

    #[test]
    fn what_changes_a_measurement_stands_in_its_command() {
        let options =
            |arguments: &[&str]| options(&Arguments::parse_from([&["muster-bench-peers"], arguments].concat()).measure);
        assert_eq!(options(&["throughput", "--bytes", "256", "--system", "redis", "--module", "m"]), "");
        assert_eq!(options(&["--quick", "--repeats", "2", "--events", "500"]), " --quick --events 500 --repeats 2");
    }
}
