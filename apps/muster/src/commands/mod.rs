//! The commands: one file each, arguments and deed together.
//!
//! What always holds: a command gets a [`Ui`] and its arguments, and returns how it ends; it neither exits nor prints
//! errors by itself.

pub(crate) mod bench;
pub(crate) mod call;
pub(crate) mod completions;
#[cfg(feature = "control")]
pub(crate) mod control;
pub(crate) mod delete;
pub(crate) mod demo;
pub(crate) mod describe;
pub(crate) mod emit;
pub(crate) mod evidence;
pub(crate) mod gate;
pub(crate) mod handshake;
pub(crate) mod host;
pub(crate) mod lane;
pub(crate) mod logs;
pub(crate) mod outbox;
pub(crate) mod promote;
pub(crate) mod publish;
pub(crate) mod sql;
pub(crate) mod streams;
pub(crate) mod subscribe;
pub(crate) mod tail;
pub(crate) mod top;
pub(crate) mod up;

use std::time::Duration;

use crate::cli::Command;
use crate::outcome::Outcome;
use crate::ui::Ui;

/// Runs a command.
pub(crate) async fn run(ui: &Ui, command: Command) -> Outcome {
    match command {
        Command::Host(args) => host::run(ui, args).await,
        Command::Publish(args) => publish::run(ui, args).await,
        Command::Describe(args) => describe::run(ui, args).await,
        Command::Logs(args) => logs::run(ui, args).await,
        Command::Sql(args) => sql::run(ui, args).await,
        Command::Call(args) => call::run(ui, args).await,
        Command::Subscribe(args) => subscribe::run(ui, args).await,
        Command::Emit(args) => emit::run(ui, args).await,
        Command::Tail(args) => tail::run(ui, args).await,
        Command::Top(args) => top::run(ui, *args).await,
        Command::Streams(args) => streams::run(ui, args).await,
        Command::Outbox(args) => outbox::run(ui, *args).await,
        Command::Delete(args) => delete::run(ui, args).await,
        Command::Handshake(args) => handshake::run(ui, args).await,
        Command::Gate(args) => gate::run(ui, *args).await,
        Command::Evidence(command) => evidence::run(ui, command),
        Command::Promote(args) => promote::run(ui, *args).await,
        Command::Up(args) => up::run(ui, *args).await,
        Command::Demo(args) => demo::run(ui, args).await,
        #[cfg(feature = "control")]
        Command::Control(command) => control::run(ui, command).await,
        Command::Bench(command) => bench::run(ui, command).await,
        Command::Lane(command) => lane::run(ui, command).await,
        Command::Completions(args) => completions::run(ui, &args),
    }
}

/// A number of seconds, as it is typed: `5`, `0.5`.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "not a number of seconds".to_string())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}
