//! `muster`, the command line: reads what is asked, does it, and answers with text, an exit code, or one error line.
//!
//! What always holds: stdout is data and stderr is talk; an error is exactly one line on stderr that names cause and
//! remedy (a missing command, to which the whole help is the answer, is the exception); the exit code is one of
//! [`outcome::Exit`]'s and [`outcome::Failure`]'s; a panic is such a line too, and never a backtrace.

mod cli;
mod commands;
mod confirm;
#[cfg(feature = "host")]
mod demo;
mod emit;
mod limits;
mod logging;
mod module_file;
mod outcome;
mod schema;
#[cfg(any(feature = "host", feature = "control"))]
#[cfg_attr(
    not(all(feature = "host", feature = "control")),
    allow(dead_code, reason = "each of the two servers uses a part")
)]
mod settings;
mod signals;
mod table;
mod tail;
mod target;
mod ui;
#[cfg(all(unix, feature = "host", feature = "control"))]
mod up;
mod value;

use std::process::ExitCode;

use cli::{Cli, Usage};
use outcome::{Failure, Outcome};
use ui::Ui;

/// A host makes and frees millions of small rows and keys; with this allocator it appends a tenth more of them a second
/// (docs/performance.md).
#[cfg(feature = "host")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    ui::panics_are_one_line();
    let code = std::panic::catch_unwind(|| match cli::parse() {
        Ok(cli) => start(cli),
        Err(Usage::Asked(text)) => outcome::finish(ui::write_stdout(&text).map(|()| outcome::Exit::Done)),
        Err(Usage::Nothing(help)) => outcome::unasked_help(&help),
        Err(Usage::Wrong(failure)) => outcome::finish(Err(failure)),
    });
    code.unwrap_or(ExitCode::from(outcome::CODE_COULD_NOT))
}

fn start(cli: Cli) -> ExitCode {
    let ui = Ui::new(&cli.global);
    logging::start(&ui, &cli);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return outcome::finish(Err(Failure::runtime(&error))),
    };
    let outcome: Outcome = runtime.block_on(commands::run(&ui, cli.command));
    // A blocking read of a terminal may still wait for a line that nobody types; it must not hold the exit.
    runtime.shutdown_background();
    outcome::finish(outcome)
}
