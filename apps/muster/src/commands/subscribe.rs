//! `muster subscribe`.

use crate::outcome::{Exit, Outcome};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct SubscribeArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs.
pub(crate) async fn run(ui: &Ui, args: SubscribeArgs) -> Outcome {
    args.target.resolve(ui).await?;
    Ok(Exit::Done)
}
