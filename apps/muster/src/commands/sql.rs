//! `muster sql`.

use crate::outcome::{Exit, Outcome};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs.
pub(crate) async fn run(ui: &Ui, args: SqlArgs) -> Outcome {
    args.target.resolve(ui).await?;
    Ok(Exit::Done)
}
