//! `muster up`: host, module, token service, a runtime that emits, and a screen, on one Ctrl-C.
//!
//! What always holds: nothing in it is pretended: the parts are those that a lane has, and talk to each other over the
//! network with tokens; a second start goes on with what the first one left. How it is done stands in [`crate::up`].

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::ui::Ui;

#[cfg(not(all(unix, feature = "host", feature = "control")))]
use std::ffi::OsString;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    disable_help_subcommand = true,
    after_help = "\
Starts an embedded host with Muster's module, a token service, and a runtime that emits sample
events at the pace of somebody who works; then shows it all: in the window (muster-desktop) where
there is a display, else in this terminal (muster-top). Prints what runs where. Ctrl-C ends
everything in order; a second one leaves the parts to end by themselves.
Started again, it goes on with the same data, on the same addresses. Logs are in the folder, in
logs/. Exit code 2 if a part ends by itself: it is said which, and why.

Examples:
  muster up
  muster up --no-ui --rate 20 --data-dir ./muster-data"
)]
pub(crate) struct UpArgs {
    /// Keep all data in this folder, made if missing [default: muster/up, below the folder of state]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where the host listens [default: where it did the last time, else a free port of this machine]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Where the token service listens; it stays there [default: a free port of this machine]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) control_listen: Option<SocketAddr>,
    /// The module to publish; without it, the one of the checkout this is run in is built
    #[arg(long, value_name = "FILE.wasm")]
    pub(crate) module: Option<PathBuf>,
    /// Which events to emit, newline-delimited JSON as `muster emit` reads it [default: as `muster demo`]
    #[arg(long, value_name = "FILE", env = "MUSTER_DEMO_EVENTS", hide_env_values = true)]
    pub(crate) events: Option<PathBuf>,
    /// How many events a second, on average
    #[arg(long, value_name = "N", default_value = "2", value_parser = rate)]
    pub(crate) rate: f64,
    /// What to look at it on
    #[arg(long, value_name = "WHERE", value_enum, default_value = "auto", conflicts_with = "no_ui")]
    #[cfg(all(unix, feature = "host", feature = "control"))]
    pub(crate) ui: crate::up::Choice,
    /// Show nothing
    #[arg(long)]
    pub(crate) no_ui: bool,
    /// Print what runs where as JSON (muster.up.v1)
    #[arg(long)]
    pub(crate) json: bool,
    #[cfg(all(unix, feature = "host", feature = "control"))]
    #[command(subcommand)]
    role: Option<Role>,
    /// What a plane would take
    #[cfg(not(all(unix, feature = "host", feature = "control")))]
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _unused: Vec<OsString>,
}

/// What the program also is, for itself.
#[cfg(all(unix, feature = "host", feature = "control"))]
#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Between `up` and a part
    #[command(hide = true)]
    Guard(crate::up::GuardArgs),
}

fn rate(text: &str) -> Result<f64, String> {
    let rate: f64 = text.parse().map_err(|_| "not a number")?;
    if (0.01..=1_000.0).contains(&rate) { Ok(rate) } else { Err("take 0.01 to 1000 events a second".into()) }
}

/// This build lacks a part.
#[cfg(not(all(unix, feature = "host", feature = "control")))]
pub(crate) async fn run(_ui: &Ui, _args: UpArgs) -> Outcome {
    Err(crate::outcome::Failure::could_not(
        "this muster was built without the embedded host or the token service, which the plane needs",
        "build it with its default features",
    ))
}

/// Runs.
#[cfg(all(unix, feature = "host", feature = "control"))]
pub(crate) async fn run(ui: &Ui, mut args: UpArgs) -> Outcome {
    match args.role.take() {
        Some(Role::Guard(guard)) => crate::up::guard(guard).await,
        None => whole::run(ui, args).await,
    }
}

#[cfg(all(unix, feature = "host", feature = "control"))]
mod whole {
    use super::UpArgs;
    use crate::demo::Events;
    use crate::module_file::ModuleFile;
    use crate::outcome::{CODE_COULD_NOT, Exit, Failure, Outcome};
    use crate::signals::Stop;
    use crate::ui::{Ui, or_unread};
    use crate::up::{Choice, Ending, Folder, Plane, Screen, Wanted, default_folder};

    pub(super) async fn run(ui: &Ui, args: UpArgs) -> Outcome {
        let screen = Screen::find(ui, if args.no_ui { Choice::None } else { args.ui })?;
        let events = Events::load(args.events.as_deref())?;
        let folder = match &args.data_dir {
            Some(folder) => folder.clone(),
            None => default_folder()?,
        };
        let folder = Folder::take(&folder)?;
        let mut stop = Stop::listen()?;
        let mut plane = Plane::default();
        let outcome = tokio::select! {
            outcome = go(ui, &args, &folder, &mut plane, &screen, events) => outcome,
            code = stop.wait_for_code() => Ok(Some(code)),
        };
        let stopping = async {
            match &outcome {
                Err(_) => {
                    plane.stop_after_death(ui).await;
                    true
                }
                Ok(_) => plane.stop(ui).await,
            }
        };
        let is_well = tokio::select! {
            is_well = stopping => is_well,
            // The guards end what is left.
            code = stop.wait_for_code() => return Ok(Exit::Interrupted(code)),
        };
        outcome?;
        Ok(if is_well { Exit::Done } else { Exit::Interrupted(CODE_COULD_NOT) })
    }

    /// Starts everything and waits until something ends by itself. `None`: a person has closed it.
    async fn go(
        ui: &Ui,
        args: &UpArgs,
        folder: &Folder,
        plane: &mut Plane,
        screen: &Screen,
        events: Events,
    ) -> Result<Option<u8>, Failure> {
        let module = ModuleFile::find(ui, args.module.as_deref()).await?;
        let (listen, control_listen, rate) = (args.listen, args.control_listen, args.rate);
        let wanted = Wanted { listen, control_listen, module, events, rate };
        let running = plane.start(ui, folder, wanted, screen).await?;
        // Whether anybody reads it changes nothing about what runs.
        or_unread(if args.json { ui.print_json(&running) } else { ui.print(running.text()) })?;
        ui.say("Ctrl-C ends everything");
        plane.show(folder, &running, screen)?;
        match plane.ended(ui).await {
            Ending::Closed => Ok(None),
            Ending::Died(failure) => Err(failure),
        }
    }
}
