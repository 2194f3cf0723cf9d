//! `muster completions SHELL`: a script that completes this command line.

use clap_complete::Shell;

use crate::outcome::{Exit, Outcome};
use crate::ui::{self, Ui};

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  muster completions bash > ~/.local/share/bash-completion/completions/muster")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(_ui: &Ui, args: &CompletionsArgs) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::cli::command(), "muster", &mut script);
    ui::write_stdout(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
