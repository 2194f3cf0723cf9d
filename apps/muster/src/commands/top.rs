//! `muster top`: who is connected and how the sync is doing, in a terminal. The same facts as in the window.
//!
//! What always holds: what is said to be live is judged at the moment in which it is shown, by `muster-panel`; the terminal
//! is given back as it was, however this ends.

#[cfg(feature = "top")]
mod draw;
#[cfg(feature = "top")]
mod fit;
#[cfg(feature = "top")]
mod keys;
#[cfg(feature = "top")]
mod look;
#[cfg(feature = "top")]
mod screen;
#[cfg(all(test, feature = "top"))]
mod tests;
mod text;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use muster_panel::report::Report;
use muster_panel::{Badge, Command, Facts, Pane, Panel, StartAt, Target, TokenChoice};
use tokio::time::{Instant, sleep_until};

use crate::commands::outbox;
use crate::limits::{TOP_LOOK_MS, TOP_PATIENCE_MS};
use crate::outcome::{Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::tail::what::{self, Word};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// [`TOP_PATIENCE_MS`] in seconds.
const PATIENCE_S: &str = "15";
const _: () = assert!(TOP_PATIENCE_MS == 15_000);

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Keys: 1 to 5, Left and Right show a pane, Up and Down scroll, r reconnects now, d disconnects and
connects again, ? says what is what, q ends.

Each pane says where it is from: `live` (the host has confirmed it within two seconds), `catching
up`, `cached` with its age, or `disconnected`. With --once the exit code is 0 if everything is live
and 1 if not; it waits for that as long as --patience says. --json prints an object (muster.panel.v1)
a second, or one with --once. No event's payload and no token is in it.

Without --store, what streams hold is fetched anew and forgotten at the end; with it, the next run
shows at once what this one knew. A store belongs to one database, and one process has it at a time.

Examples:
  muster top --lane dev
  muster top --lane dev --once --json")]
pub(crate) struct TopArgs {
    /// Show it once, as text, and end
    #[arg(long)]
    once: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// With --once: how long to wait until everything is live
    #[arg(long, value_name = "SECONDS", value_parser = crate::commands::seconds, requires = "once",
          default_value = PATIENCE_S)]
    patience: Duration,
    /// Follow only these: a stream, a prefix ending in `.*`, or a topic [default: every stream]
    #[arg(value_name = "STREAM", value_parser = what::word)]
    streams: Vec<Word>,
    /// Keep cursors and events in this SQLite file, made if missing
    #[arg(long, value_name = "FILE")]
    store: Option<PathBuf>,
    /// Look into this outbox [default: the one that `emit` keeps for the database]
    #[arg(long, value_name = "FILE")]
    outbox: Option<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Shows.
pub(crate) async fn run(ui: &Ui, args: TopArgs) -> Outcome {
    let is_screen = !args.once && !args.json;
    if is_screen && !cfg!(feature = "top") {
        return Err(Failure::could_not(
            "this muster was built without the screen of `top`",
            "use --once for a text, or --json for a script; or build it with --features top",
        ));
    }
    if is_screen && !std::io::stdout().is_terminal() {
        return Err(Failure::could_not("stdout is no terminal", "use --once for a text, or --json for a script"));
    }
    let mut stop = Stop::listen()?;
    let (target, _folder) = target_of(ui, &args).await?;
    let panel = Panel::start(|| {});
    panel.ask(Command::Open(Box::new(target)));
    let outcome = tokio::select! {
        () = stop.wait() => Ok(Exit::Done),
        outcome = show(ui, &args, &panel) => outcome,
    };
    tokio::select! {
        () = panel.shutdown() => outcome,
        () = stop.wait() => outcome,
    }
}

async fn show(ui: &Ui, args: &TopArgs, panel: &Panel) -> Outcome {
    match (args.once, args.json) {
        (true, is_json) => once(ui, panel, args.patience, is_json).await,
        (false, true) => follow(ui, panel).await,
        #[cfg(feature = "top")]
        (false, false) => screen::run(panel).await,
        // It has been refused before.
        #[cfg(not(feature = "top"))]
        (false, false) => Ok(Exit::Done),
    }
}

/// The lane, and the folder that holds a store that is not to be kept.
async fn target_of(ui: &Ui, args: &TopArgs) -> Result<(Target, Option<tempfile::TempDir>), Failure> {
    let found = args.target.resolve_lasting(ui).await?;
    let (store, folder) = match &args.store {
        Some(path) => (path.clone(), None),
        None => {
            let folder = tempfile::tempdir().map_err(|error| {
                Failure::could_not(
                    format!("cannot make a temporary folder ({error})"),
                    "free some space, or give --store",
                )
            })?;
            (folder.path().join("top.db"), Some(folder))
        }
    };
    let mut target = Target::new(found.place.endpoint.clone(), store);
    target.lane = found.place.lane.as_ref().map(|lane| lane.name.to_string());
    target.token = match (found.keeper, found.token) {
        (Some(keeper), _) => TokenChoice::Kept(keeper),
        (None, Some(token)) => TokenChoice::Given(token),
        (None, None) => TokenChoice::Anonymous,
    };
    target.follows = args.streams.iter().flat_map(Word::patterns).collect();
    target.start = StartAt::Start;
    // A database that has no place for an outbox has none to show.
    target.outbox = outbox::path_of(args.outbox.as_ref(), &args.target).ok();
    Ok((target, folder))
}

/// Whether there is nothing to wait for any more.
fn is_settled(facts: &Facts, panel: &Panel) -> bool {
    let now = panel.now();
    let is_refused = |pane: &Pane| facts.refusal(*pane).is_some();
    Pane::ALL.iter().all(|pane| facts.badge(*pane, now) == Badge::Live || is_refused(pane))
}

async fn once(ui: &Ui, panel: &Panel, patience: Duration, is_json: bool) -> Outcome {
    let deadline = Instant::now().checked_add(patience);
    let mut facts = panel.watch();
    loop {
        let shown = facts.borrow_and_update().clone();
        if is_settled(&shown, panel) || deadline.is_none_or(|deadline| Instant::now() >= deadline) {
            break;
        }
        tokio::select! {
            changed = facts.changed() => if changed.is_err() { break },
            () = async { match deadline { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {}
        }
    }
    let (facts, now) = (panel.facts(), panel.now());
    if is_json {
        ui.print_json(&Report::of(&facts, now))?;
    } else {
        ui.print(text::whole(&facts, now))?;
    }
    let is_live = Pane::ALL.iter().all(|pane| facts.badge(*pane, now) == Badge::Live);
    Ok(if is_live { Exit::Done } else { Exit::No })
}

/// An object a second.
async fn follow(ui: &Ui, panel: &Panel) -> Outcome {
    let mut look = tokio::time::interval(Duration::from_millis(TOP_LOOK_MS));
    loop {
        look.tick().await;
        ui.print_json(&Report::of(&panel.facts(), panel.now()))?;
    }
}
