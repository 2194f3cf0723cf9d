//! `muster control audit`: who changed what, and whether the log is whole.

use serde_json::json;

use super::state::{StateArgs, head, time};
use crate::outcome::{Exit, Outcome};
use crate::table;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each entry's hash covers the one before. --verify checks them all and prints the last: written down
elsewhere, it shows later whether the end was cut off. Exit code 1 says that the log was changed.

Examples:
  muster control audit --state-dir control
  muster control audit --state-dir control --after 120 --json
  muster control audit --state-dir control --verify")]
pub(crate) struct AuditArgs {
    /// Entries after this one, at most 1,000
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: i64,
    /// Check the whole log, and print its last entry's number and hash
    #[arg(long, conflicts_with = "after")]
    verify: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    state: StateArgs,
}

/// Shows or checks.
pub(super) fn run(ui: &Ui, args: &AuditArgs) -> Outcome {
    let control = args.state.open()?;
    if args.verify {
        let head = control.audit_verify()?;
        match args.json {
            true => {
                ui.print_json(&json!({ "schema": "muster.control_audit_head.v1", "seq": head.seq, "hash": head.hash }))?
            }
            false => ui.print(format!("{} {}", head.seq, head.hash))?,
        }
        return Ok(Exit::Done);
    }
    let entries = control.audit(args.after)?;
    if args.json {
        ui.print_json(&json!({ "schema": "muster.control_audit.v1", "entries": entries }))?;
        return Ok(Exit::Done);
    }
    let rows: Vec<_> = entries
        .into_iter()
        .map(|entry| {
            vec![entry.seq.to_string(), time(entry.at_s), entry.actor, entry.action, entry.subject, entry.detail]
        })
        .collect();
    ui.print(table::render(&head(["entry", "at", "who", "what", "of", "more"]), &rows))?;
    Ok(Exit::Done)
}
