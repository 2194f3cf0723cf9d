//! The log of this program and of the libraries below it, on stderr.
//!
//! What always holds: no token reaches it, whatever is asked for; what `MUSTER_LOG` does not ask for by name does not
//! fill a disk.

use std::fmt::{self, Write};
use std::io;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

use crate::cli::Cli;
use crate::outcome::one_line;
use crate::ui::Ui;

/// Sends the log to stderr: nothing, unless `-v`, or unless it is a server, whose log is what stderr is for.
/// `MUSTER_LOG` overrides, in the syntax of `tracing`'s `EnvFilter`, within [`caps`]; a server's own flag overrides it, and
/// the server's file what neither these nor `-v` or `-q` say.
pub(crate) fn start(ui: &Ui, cli: &Cli) {
    let default = match (cli.global.quiet, cli.global.verbose, cli.command.is_server()) {
        (true, _, true) => "error",
        (true, _, false) => "off",
        (false, 0, true) => "warn,muster_host=info,muster_control=info,muster=info",
        (false, 0, false) => "off",
        (false, 1, true) => "info,muster_host=debug,muster_control=debug",
        (false, 1, false) => "warn,muster_wire=info",
        (false, 2, _) => "info,muster=debug,muster_host=debug,muster_control=debug,muster_wire=debug",
        (false, _, _) => "debug,muster=trace,muster_host=trace,muster_control=trace,muster_wire=trace",
    };
    let choice = cli.command.log_choice();
    let by_file = choice.file.filter(|_| cli.global.verbose == 0 && !cli.global.quiet);
    let asked = choice.flag.and_then(valid).or_else(|| chosen_filter(ui)).or_else(|| by_file.and_then(valid));
    let without_noise = (asked.is_none() && cli.global.verbose == 0).then_some(WithoutNoise);
    let (filter, text) = asked.unwrap_or_else(|| (EnvFilter::new(default), String::new()));
    tracing_subscriber::registry()
        .with(filter)
        .with(caps(&text))
        .with(without_noise)
        .with((!choice.json).then(|| tracing_subscriber::fmt::layer().with_writer(stderr)))
        .with(choice.json.then(|| tracing_subscriber::fmt::layer().json().with_ansi(false).with_writer(stderr)))
        .init();
}

fn stderr() -> anstream::AutoStream<io::Stderr> {
    anstream::AutoStream::auto(io::stderr())
}

/// A filter and its text. That of a host's configuration was held to be one before it came here.
fn valid(text: String) -> Option<(EnvFilter, String)> {
    EnvFilter::try_new(&text).ok().map(|filter| (filter, text))
}

/// The filter of `MUSTER_LOG`, and its text.
fn chosen_filter(ui: &Ui) -> Option<(EnvFilter, String)> {
    let text = crate::target::variable_text("MUSTER_LOG")?;
    match EnvFilter::try_new(&text) {
        Ok(filter) => Some((filter, text)),
        Err(error) => {
            let (text, error) = (one_line(&text), one_line(&error.to_string()));
            ui.say(format!("warning: MUSTER_LOG=`{text}` is no filter ({error}) and is left out; write it as in `info,muster_wire=debug`"));
            None
        }
    }
}

/// What is never logged below `debug`, whatever is asked for: these write every frame, and with the greeting's the
/// client's token.
const SECRETIVE: [&str; 2] = ["tungstenite", "tokio_tungstenite"];

/// What is logged below `info` only where the filter names it: gigabytes while a module is compiled.
const TALKATIVE: [&str; 6] = ["wasmtime", "cranelift", "regalloc2", "hyper", "h2", "reqwest"];

/// The most that any filter can ask for.
fn caps(asked: &str) -> Targets {
    let capped = TALKATIVE.iter().filter(|target| !asked.contains(*target)).map(|target| (*target, LevelFilter::INFO));
    let secretive = SECRETIVE.map(|target| (target, LevelFilter::DEBUG));
    Targets::new().with_default(LevelFilter::TRACE).with_targets(capped.chain(secretive))
}

/// Leaves [`NOISE`] out, by its text: at the same place and level the engine reports snapshots that failed, and those
/// must be seen.
struct WithoutNoise;

/// The engine says this once of every new database, before there is anything to take a snapshot of.
const NOISE: &str = "database state not set";

impl<S: Subscriber> Layer<S> for WithoutNoise {
    fn event_enabled(&self, event: &Event<'_>, _context: Context<'_, S>) -> bool {
        let mut message = Message::default();
        event.record(&mut message);
        !message.0.contains(NOISE)
    }
}

/// What an event says, without its other fields.
#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string cannot fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}
