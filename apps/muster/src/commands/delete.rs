//! `muster delete`: a database and all its data.

use crate::confirm::confirm;
use crate::outcome::{Exit, Outcome};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Asks for the database's name first, and refuses (exit code 1) where nobody can answer and --yes is
not given.

Example:
  muster delete --lane dev --yes")]
pub(crate) struct DeleteArgs {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Deletes.
pub(crate) async fn run(ui: &Ui, args: DeleteArgs) -> Outcome {
    let target = args.target.resolve(ui).await?;
    let http = target.http()?;
    // Before asking: a question about a database that does not exist would be a trap.
    let info = http.database_info().await.map_err(|error| target.explain(error))?;
    let what = format!("`{}` ({}) on {}", target.database(), info.database_identity, target.place.endpoint.base());
    confirm(ui, args.yes, &format!("delete {what} with all its data"), target.database()).await?;
    http.delete_database().await.map_err(|error| target.explain(error))?;
    ui.say(format!("deleted {what}"));
    Ok(Exit::Done)
}
