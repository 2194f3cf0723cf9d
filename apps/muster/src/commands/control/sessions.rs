//! `muster control sessions`: what began with one proof of identity, and how it is ended.

use muster_control::Session;
use serde_json::json;

use super::state::{ChangeArgs, StateArgs, head, time, words};
use crate::outcome::{Exit, Outcome};
use crate::table;
use crate::ui::Ui;

/// What there is to do with sessions.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum SessionsCommand {
    /// List the sessions that may have a live token, the newest first
    List(ListArgs),
    /// End a session, and all that were exchanged from it
    Revoke(RevokeArgs),
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Those of one client
    #[arg(long, value_name = "ID")]
    client: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The running service tells the lane's module, and the session's grants end within five seconds. All
sessions of a client: `muster control clients revoke`.")]
pub(crate) struct RevokeArgs {
    /// The session's id: the `sid` of its tokens
    id: String,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Runs a command.
pub(super) fn run(ui: &Ui, command: &SessionsCommand) -> Outcome {
    match command {
        SessionsCommand::List(args) => list(ui, args),
        SessionsCommand::Revoke(args) => {
            let (control, actor) = args.change.open()?;
            let ended = control.session_revoke(&actor, &args.id)?;
            ui.say(format!("{ended} {} ended", if ended == 1 { "session has" } else { "sessions have" }));
            Ok(Exit::Done)
        }
    }
}

fn list(ui: &Ui, args: &ListArgs) -> Outcome {
    let sessions = args.state.open()?.sessions_list(args.client.as_deref())?;
    if args.json {
        ui.print_json(&json!({ "schema": "muster.control_sessions.v1", "sessions": sessions }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = sessions.iter().map(row).collect();
    ui.print(table::render(
        &head(["session", "client", "subject", "acts", "scopes", "streams", "since", "until"]),
        &rows,
    ))?;
    Ok(Exit::Done)
}

fn row(session: &Session) -> Vec<String> {
    vec![
        session.id.clone(),
        session.client_id.clone(),
        session.subject.clone(),
        words(&session.actors),
        words(&session.grant.scopes),
        words(&session.grant.streams),
        time(session.created_s),
        time(session.ends_s),
    ]
}
