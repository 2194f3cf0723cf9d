//! `muster lane check`.

use crate::outcome::{Exit, Outcome};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// What to do with a lane.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum LaneCommand {
    /// Check, step by step, that a lane can be used
    Check(CheckArgs),
}

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs.
pub(crate) async fn run(ui: &Ui, LaneCommand::Check(args): LaneCommand) -> Outcome {
    args.target.resolve(ui).await?;
    Ok(Exit::Done)
}
