//! What can be typed: the commands, their arguments and their help texts.
//!
//! What always holds: this file only describes and parses; each command's own arguments stand beside its code in
//! `commands/`. To add a command: a variant in [`Command`], an arm in `commands::run`.

use clap::error::ErrorKind;
use clap::{ArgAction, CommandFactory, Parser, Subcommand};

#[cfg(feature = "control")]
use crate::commands::control;
use crate::commands::{
    bench, call, completions, delete, demo, describe, emit, evidence, gate, handshake, host, lane, logs, outbox,
    promote, publish, sql, streams, subscribe, tail, top, up,
};
use crate::outcome::{Failure, one_line};

const AFTER_HELP: &str = "\
Where to: --lane NAME, or --server URL with --database NAME.
Exit codes: 0 done; 1 the answer is no (a check failed, a change or a reducer refused);
            2 could not run (wrong usage, bad input, unreachable, not allowed).
An error is one line on stderr: cause, then remedy. stdout holds data only.

Examples:
  muster host --in-memory
  muster publish --server http://127.0.0.1:3000 --database presence
  muster sql --lane dev 'SELECT * FROM active_connection'
  muster subscribe --lane dev --json 'SELECT * FROM presence_summary'
  muster emit --lane dev --flush events.ndjson
  muster tail --lane dev --store copy.db 'runtime.run.*'";

/// Muster's command line.
#[derive(Debug, Parser)]
#[command(
    name = "muster",
    version,
    about = "Presence and event streams on SpacetimeDB: run a host, publish the module, look inside",
    after_help = AFTER_HELP,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct GlobalArgs {
    /// Say more on stderr: where things come from; -vv and -vvv also the log
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// When to use colours; NO_COLOR is respected
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: clap::ColorChoice,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run SpacetimeDB on this machine, embedded
    Host(host::HostArgs),
    /// Publish a module: say what will change, then change it
    Publish(publish::PublishArgs),
    /// Show a database's tables, reducers, procedures and views
    Describe(describe::DescribeArgs),
    /// Show a database's log
    Logs(logs::LogsArgs),
    /// Run SQL
    Sql(sql::SqlArgs),
    /// Call a reducer or procedure
    Call(call::CallArgs),
    /// Follow the rows of queries
    Subscribe(subscribe::SubscribeArgs),
    /// Send events to their streams, through an outbox that loses none
    Emit(emit::EmitArgs),
    /// Follow streams, from any event on
    Tail(tail::TailArgs),
    /// Show who is connected and how the sync is doing, in the terminal
    Top(Box<top::TopArgs>),
    /// List streams
    Streams(streams::StreamsArgs),
    /// Show what waits in an outbox, and decide about parked streams
    Outbox(Box<outbox::OutboxArgs>),
    /// Delete a database and all its data
    Delete(delete::DeleteArgs),
    /// Let N clients meet, and count them: does this database work?
    Handshake(handshake::HandshakeArgs),
    /// Ask a lane whether it holds: gates and drills, with evidence
    Gate(Box<gate::GateArgs>),
    /// Keys for evidence, and what signed evidence says and whether it holds
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Promote a module from lane to lane on evidence, share by share, and back by itself
    Promote(Box<promote::PromoteArgs>),
    /// Start everything on this machine: host, module, token service, a runtime that emits, and a screen
    Up(Box<up::UpArgs>),
    /// Start a host, let clients meet, then break things while events flow, all in one
    Demo(demo::DemoArgs),
    /// Run the token service of a lane, and manage it
    #[cfg(feature = "control")]
    #[command(subcommand)]
    Control(control::ControlCommand),
    /// Measure this machine with Muster, beside yardsticks
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Work with lanes
    #[command(subcommand)]
    Lane(lane::LaneCommand),
    /// Print a completion script for a shell
    Completions(completions::CompletionsArgs),
}

impl Command {
    /// Whether it runs until told to stop, with its log on stderr.
    pub(crate) const fn is_server(&self) -> bool {
        match self {
            Command::Host(_) => true,
            #[cfg(feature = "control")]
            Command::Control(command) => command.is_server(),
            _ => false,
        }
    }

    /// What the log is to be, where the command has a say in it.
    pub(crate) fn log_choice(&self) -> host::LogChoice {
        match self {
            Command::Host(args) => args.log_choice(),
            #[cfg(feature = "control")]
            Command::Control(command) => command.log_choice(),
            _ => host::LogChoice::default(),
        }
    }
}

/// Why there is nothing to run.
pub(crate) enum Usage {
    /// Help or the version was asked for: this is it, for stdout.
    Asked(String),
    /// No command is given, or one that needs another: the help that lists them, for stderr.
    Nothing(String),
    /// The command line is wrong.
    Wrong(Failure),
}

/// Reads the command line.
pub(crate) fn parse() -> Result<Cli, Usage> {
    Cli::try_parse().map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Usage::Asked(error.render().ansi().to_string()),
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => Usage::Nothing(error.render().ansi().to_string()),
        _ => Usage::Wrong(Failure::CouldNot(in_one_line(&error.render().to_string()))),
    })
}

/// Clap's errors are several paragraphs: the cause, tips, the usage. The first ones become the line.
fn in_one_line(rendered: &str) -> String {
    let paragraphs = rendered.split("\n\n").map(one_line);
    let told: Vec<_> =
        paragraphs.take_while(|text| !text.starts_with("Usage:") && !text.starts_with("For more")).collect();
    let told = told.join("; ");
    format!("{}; see --help", told.strip_prefix("error: ").unwrap_or(&told))
}

/// The whole command line as clap knows it, for completions.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn wrong_usage_is_one_line_with_a_tip() {
        let error = Cli::try_parse_from(["muster", "completions", "--jsn"]).expect_err("no such flag");
        let line = in_one_line(&error.render().to_string());
        assert!(!line.contains('\n') && line.starts_with("unexpected argument '--jsn' found"), "{line}");
    }
}
