//! `muster describe`.

use crate::outcome::{Exit, Outcome};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct DescribeArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs.
pub(crate) async fn run(ui: &Ui, args: DescribeArgs) -> Outcome {
    args.target.resolve(ui).await?;
    Ok(Exit::Done)
}
