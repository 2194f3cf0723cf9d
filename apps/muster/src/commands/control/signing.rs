//! `muster control keys`: the signing keys, and the walk from one to the next.

use std::time::Duration;

use muster_control::schedule::KeyState;
use muster_control::{Control, Rotation};
use serde_json::json;

use super::state::{ChangeArgs, StateArgs, head, time};
use crate::limits::KEY_POLL_MS;
use crate::outcome::{Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::table;
use crate::ui::Ui;

/// What there is to do with keys.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum KeysCommand {
    /// List the keys of the key set
    List(ListArgs),
    /// Let the announced key sign as soon as every host knows it
    Rotate(RotateArgs),
    /// Take a key whose private half got loose away at once, and end every token
    Compromised(CompromisedArgs),
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Also show keys that are gone
    #[arg(long)]
    all: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A key is announced, signs, retires and goes. Hosts keep the key set for minutes and refuse a key that
they do not know, so a key signs only after the running service has served it for 720 s in one go; a
restart begins that anew. This command asks for it and says when it will be; the service does it.
Asking twice is asking once.

Examples:
  muster control keys rotate --state-dir control
  muster control keys rotate --state-dir control --wait
  muster control keys list --state-dir control")]
pub(crate) struct RotateArgs {
    /// Wait until the announced key signs
    #[arg(long)]
    wait: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Its successor signs at once. For up to five minutes hosts may still take what a thief signs, and some
may refuse new tokens until they have fetched the key set again.")]
pub(crate) struct CompromisedArgs {
    /// The key's id
    kid: String,
    /// Yes, end every token of every client
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Runs a command.
pub(super) async fn run(ui: &Ui, command: KeysCommand) -> Outcome {
    match command {
        KeysCommand::List(args) => list(ui, &args),
        KeysCommand::Rotate(args) => rotate(ui, &args).await,
        KeysCommand::Compromised(args) => {
            if !args.yes {
                let cause = "this ends every token of every client";
                return Err(Failure::could_not(cause, "say --yes if the key's private half got loose"));
            }
            let (control, actor) = args.change.open()?;
            control.keys_compromised(&actor, &args.kid)?;
            ui.say("the key is gone, its successor signs, and every session has ended");
            Ok(Exit::Done)
        }
    }
}

fn list(ui: &Ui, args: &ListArgs) -> Outcome {
    let mut keys = args.state.open()?.keys_list()?;
    keys.retain(|key| args.all || key.facts.state != KeyState::Gone);
    if args.json {
        ui.print_json(&json!({ "schema": "muster.control_keys.v1", "keys": keys }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = keys
        .iter()
        .map(|key| {
            let wanted = if key.facts.wanted { "to sign next" } else { "" };
            vec![key.facts.kid.clone(), key.facts.state.as_str().into(), time(key.facts.since_s), wanted.into()]
        })
        .collect();
    ui.print(table::render(&head(["key", "state", "since", ""]), &rows))?;
    Ok(Exit::Done)
}

async fn rotate(ui: &Ui, args: &RotateArgs) -> Outcome {
    let (control, actor) = args.change.open()?;
    let rotation = control.keys_rotate(&actor)?;
    let Rotation { active, next, not_before_s } = &rotation;
    let when = match not_before_s {
        Some(at_s) => format!("at {} at the earliest, if the service goes on until then", time(*at_s)),
        None => "once the service has run for as long as a key is announced; none runs now".into(),
    };
    if args.wait && not_before_s.is_none() {
        let cause = "no service runs on this state, and only a running one lets a key sign";
        return Err(Failure::could_not(cause, "start `muster control serve`, or leave --wait out: the wish is kept"));
    }
    if !args.json || args.wait {
        ui.say(format!("{next} will sign in place of {active}, {when}"));
    }
    if args.wait {
        until_active(&control, next).await?;
        ui.say(format!("{next} signs"));
    }
    if args.json {
        ui.print_json(&json!({
            "schema": "muster.control_rotation.v1", "active": active, "next": next, "not_before_s": not_before_s,
            "done": args.wait,
        }))?;
    }
    Ok(Exit::Done)
}

/// Waits until a key signs, or somebody is tired of it: the wish is kept.
async fn until_active(control: &Control, kid: &str) -> Result<(), Failure> {
    let mut stop = Stop::listen()?;
    loop {
        let keys = control.keys_list()?;
        let state = keys.iter().find(|key| key.facts.kid == kid).map(|key| key.facts.state);
        match state {
            Some(KeyState::Announced) => {}
            Some(KeyState::Active) => return Ok(()),
            _ => return Err(Failure::no("the key is gone", "`muster control keys list` shows what happened")),
        }
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(KEY_POLL_MS)) => {}
            () = stop.wait() => {
                return Err(Failure::could_not("interrupted", "the wish is kept: the service lets the key sign in time"));
            }
        }
    }
}
