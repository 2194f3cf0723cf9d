//! `muster control`: the token service, and those who manage it beside it.
//!
//! What always holds: a secret is printed once, or written to a file for its owner alone, and can be had no second time;
//! every change is in the service's audit log with who made it; nothing here needs the service to stop.

mod audit;
mod clients;
mod cohort;
mod config;
mod init;
mod keys;
mod serve;
mod sessions;
mod signing;
mod sink;
mod state;

use crate::commands::host::LogChoice;
use crate::outcome::Outcome;
use crate::settings::LOG_FILTER_KEY;
use crate::ui::Ui;

/// What there is to do with a token service.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ControlCommand {
    /// Run the token service
    Serve(Box<serve::ServeArgs>),
    /// Make the service's state: folder, database, signing keys; and show what hosts must be told
    Init(Box<init::InitArgs>),
    /// Clients: who may ask for tokens, and what they may get
    #[command(subcommand)]
    Clients(Box<clients::ClientsCommand>),
    /// Signing keys
    #[command(subcommand)]
    Keys(signing::KeysCommand),
    /// Sessions: what began with one proof of identity
    #[command(subcommand)]
    Sessions(sessions::SessionsCommand),
    /// Who changed what
    Audit(audit::AuditArgs),
    /// Send a share of the clients to a candidate database
    #[command(subcommand)]
    Cohort(cohort::CohortCommand),
}

impl ControlCommand {
    /// Whether it runs until told to stop, with its log on stderr.
    pub(crate) const fn is_server(&self) -> bool {
        matches!(self, ControlCommand::Serve(_))
    }

    /// What the log is to be. A configuration that is wrong has none; [`run`] says so.
    pub(crate) fn log_choice(&self) -> LogChoice {
        let ControlCommand::Serve(args) = self else { return LogChoice::default() };
        let flag = args.service.flags.of(LOG_FILTER_KEY).map(ToString::to_string);
        match args.service.settings() {
            Ok(settings) => LogChoice::of(&settings, flag),
            Err(_) => LogChoice { flag, ..LogChoice::default() },
        }
    }
}

/// Runs a command.
pub(crate) async fn run(ui: &Ui, command: ControlCommand) -> Outcome {
    match command {
        ControlCommand::Serve(args) => serve::run(ui, *args).await,
        ControlCommand::Init(args) => init::run(ui, &args),
        ControlCommand::Clients(command) => clients::run(ui, *command),
        ControlCommand::Keys(command) => signing::run(ui, command).await,
        ControlCommand::Sessions(command) => sessions::run(ui, &command),
        ControlCommand::Audit(args) => audit::run(ui, &args),
        ControlCommand::Cohort(command) => cohort::run(ui, &command),
    }
}
