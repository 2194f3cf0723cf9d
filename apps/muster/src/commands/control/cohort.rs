//! `muster control cohort`: which share of a database's clients the mint sends to a candidate.

use muster_control::{Cohort, Control, Share};
use serde_json::json;

use super::state::{ChangeArgs, StateArgs, head, time};
use crate::outcome::{Exit, Failure, Outcome};
use crate::table;
use crate::ui::Ui;

/// What there is to do with cohorts.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum CohortCommand {
    /// Send a share of the clients to a candidate database, from their next token on
    Set(SetArgs),
    /// Show the cohorts
    Show(ShowArgs),
    /// Send everybody to the database itself again, from their next token on
    Clear(ClearArgs),
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Who belongs to the share is decided by a hash of the candidate's name and the token's subject (a
client's id, where it asks for itself), so it stays the same, and a larger share keeps everybody whom
a smaller one had. The mint (`POST /api/sync/token`) says `database`.

Examples:
  muster control cohort set --state-dir control --database presence --candidate presence-next --percent 5
  muster control cohort clear --state-dir control --database presence")]
pub(crate) struct SetArgs {
    /// The lane's database [default: the one that the service serves]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// The database that the share is sent to
    #[arg(long, value_name = "NAME")]
    candidate: String,
    /// The share, in percent, such as 5 or 0.25
    #[arg(long, value_name = "N")]
    percent: Share,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// The cohort of this database [default: all]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateArgs,
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct ClearArgs {
    /// The lane's database [default: the one that the service serves]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    change: ChangeArgs,
}

/// Runs a command.
pub(super) fn run(ui: &Ui, command: &CohortCommand) -> Outcome {
    match command {
        CohortCommand::Set(args) => {
            let (control, actor) = args.change.open()?;
            let database = database(&control, args.database.as_deref())?;
            let before = control.cohort_set(&actor, &database, &args.candidate, args.percent)?;
            ui.say(format!("{} % of the clients of `{database}` go to `{}`", args.percent, args.candidate));
            let served = control.config().database.as_deref();
            if served != Some(database.as_str()) {
                let served = served.map_or_else(|| "none".into(), |name| format!("`{name}`"));
                ui.say(format!(
                    "warning: the service names {served} as the lane's database; no client is sent anywhere"
                ));
            }
            answer(ui, args.json, &control, &database, before)
        }
        CohortCommand::Show(args) => show(ui, args),
        CohortCommand::Clear(args) => {
            let (control, actor) = args.change.open()?;
            let database = database(&control, args.database.as_deref())?;
            let before = control.cohort_clear(&actor, &database)?;
            ui.say(format!("all clients of `{database}` go there again"));
            answer(ui, args.json, &control, &database, Some(before))
        }
    }
}

fn database(control: &Control, given: Option<&str>) -> Result<String, Failure> {
    let found = given.or(control.config().database.as_deref());
    found
        .map(str::to_owned)
        .ok_or_else(|| Failure::could_not("the service was not told its lane's database", "give --database NAME"))
}

fn answer(ui: &Ui, json: bool, control: &Control, database: &str, before: Option<Cohort>) -> Outcome {
    if json {
        let now = control.cohort_list()?.into_iter().find(|cohort| cohort.database == database);
        ui.print_json(&json!({ "schema": "muster.control_cohort.v1", "cohort": now, "before": before }))?;
    }
    Ok(Exit::Done)
}

fn show(ui: &Ui, args: &ShowArgs) -> Outcome {
    let mut cohorts = args.state.open()?.cohort_list()?;
    cohorts.retain(|cohort| args.database.as_ref().is_none_or(|database| *database == cohort.database));
    if args.json {
        ui.print_json(&json!({ "schema": "muster.control_cohorts.v1", "cohorts": cohorts }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = cohorts
        .into_iter()
        .map(|cohort| vec![cohort.database, cohort.candidate, format!("{} %", cohort.share), time(cohort.since_s)])
        .collect();
    ui.print(table::render(&head(["database", "candidate", "share", "since"]), &rows))?;
    Ok(Exit::Done)
}
