//! `muster host`: SpacetimeDB on this machine, embedded.
//!
//! What always holds: once the ready line is out, the host answers; the first Ctrl-C or SIGTERM closes connections,
//! flushes and exits 0; the second exits at once. What a host is to be is decided in `host/config.rs`.

#[cfg(feature = "host")]
mod backup;
#[cfg(feature = "host")]
mod config;
#[cfg(feature = "host")]
mod keys;
#[cfg(feature = "host")]
mod running;

use crate::outcome::Outcome;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line on stdout once it is ready; its log goes to stderr. Ctrl-C or SIGTERM closes
connections, flushes and exits 0; a second one exits at once, with 2. Neither loses what was
acknowledged.
Each flag can also be a key of the configuration file (docs/host.toml has them all) or a variable
(--header-bytes is MUSTER_HOST_HEADER_BYTES): flags come before variables, those before the file.
It links SpacetimeDB's engine, which is under the Business Source License 1.1; see NOTICE.

Examples:
  muster host --in-memory
  muster host --data-dir ~/.local/share/muster --listen localhost:3000
  muster host --in-memory --listen 127.0.0.1:0 --json
  muster host --config host.toml --connections 100 --print-config")]
#[cfg_attr(feature = "host", command(args_conflicts_with_subcommands = true))]
pub(crate) struct HostArgs {
    #[cfg(feature = "host")]
    #[command(subcommand)]
    command: Option<HostCommand>,
    #[cfg(feature = "host")]
    #[command(flatten)]
    flags: crate::settings::Flags<keys::OfHost>,
    /// Read the configuration from this file (TOML)
    #[cfg(feature = "host")]
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    /// Print the configuration that results and where each value is from, as TOML, and start nothing
    #[cfg(feature = "host")]
    #[arg(long)]
    print_config: bool,
    /// Make a new signing key where the data folder has databases and no key: all tokens issued before are refused then
    #[cfg(feature = "host")]
    #[arg(long)]
    new_keys: bool,
    /// Print the ready line as JSON: {"url":…,"pid":…,"data_dir":…}
    #[cfg(feature = "host")]
    #[arg(long)]
    json: bool,
    /// What a host would take
    #[cfg(not(feature = "host"))]
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _unused: Vec<std::ffi::OsString>,
}

/// What else there is to do with a host.
#[cfg(feature = "host")]
#[derive(Debug, clap::Subcommand)]
enum HostCommand {
    /// Copy a host's data folder, also while the host runs
    Backup(backup::BackupArgs),
}

/// What the log of a host is to be, as far as its configuration says so.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogChoice {
    /// One JSON object a line.
    pub(crate) json: bool,
    /// The filter of the flag, which comes before everything.
    pub(crate) flag: Option<String>,
    /// The filter of the file, which comes before the default alone.
    pub(crate) file: Option<String>,
}

#[cfg(any(feature = "host", feature = "control"))]
impl LogChoice {
    /// What a server's settings say, under the filter of the flag.
    pub(crate) fn of(settings: &crate::settings::Settings, flag: Option<String>) -> LogChoice {
        LogChoice { json: settings.log_is_json(), flag, file: settings.log_filter_of_file().map(str::to_owned) }
    }
}

impl HostArgs {
    /// What the log is to be. A configuration that is wrong has none; [`run`] says so.
    #[cfg(feature = "host")]
    pub(crate) fn log_choice(&self) -> LogChoice {
        let flag = self.flags.of(crate::settings::LOG_FILTER_KEY).map(ToString::to_string);
        match config::Config::resolve(self.config.as_deref(), &self.flags) {
            Ok(config) => LogChoice::of(config.settings(), flag),
            Err(_) => LogChoice { flag, ..LogChoice::default() },
        }
    }

    /// There is no log.
    #[cfg(not(feature = "host"))]
    pub(crate) fn log_choice(&self) -> LogChoice {
        LogChoice::default()
    }
}

/// This build has none.
#[cfg(not(feature = "host"))]
pub(crate) async fn run(_ui: &Ui, _args: HostArgs) -> Outcome {
    Err(crate::outcome::Failure::could_not(
        "this muster was built without the embedded host",
        "build it with its default features, or use another SpacetimeDB host",
    ))
}

/// Runs until told to stop.
#[cfg(feature = "host")]
pub(crate) async fn run(ui: &Ui, args: HostArgs) -> Outcome {
    if let Some(HostCommand::Backup(args)) = args.command {
        return backup::run(ui, args).await;
    }
    let config = config::Config::resolve(args.config.as_deref(), &args.flags)?;
    if args.print_config {
        ui.print(config.toml(true).trim_end())?;
        return Ok(crate::outcome::Exit::Done);
    }
    running::run(ui, &config, args.new_keys, args.json).await
}
