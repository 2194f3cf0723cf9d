//! `muster host backup`: a copy of a data folder that a host can start from.

use std::path::PathBuf;

use serde_json::json;

use crate::outcome::{Exit, Failure, Outcome};
use crate::settings::Value;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A host may run on the folder; it is neither asked nor held up. The copy holds every transaction that
was confirmed before, and the signing key if that lies in the folder: keep it as you keep that.
docs/sync/HOST_BACKUP.md has the rest: when, how to start from it, what it does not hold.

Examples:
  muster host backup --data-dir ~/.local/share/muster --to /backups/monday
  muster host --data-dir /backups/monday --listen 127.0.0.1:0")]
pub(super) struct BackupArgs {
    /// The data folder of the host
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// Where the copy is to be: a folder that is not there yet, or empty
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Print what was copied as JSON
    #[arg(long)]
    json: bool,
}

/// Copies.
pub(super) async fn run(ui: &Ui, args: BackupArgs) -> Outcome {
    let to = args.to.display().to_string();
    let copying = tokio::task::spawn_blocking(move || muster_host::backup(&args.data_dir, &args.to));
    let made = copying.await.map_err(|error| Failure::could_not(error.to_string(), "please report this"))?;
    let made = made.map_err(|error| Failure::CouldNot(error.to_string()))?;
    if args.json {
        let document = json!({
            "schema": "muster.host_backup.v1", "to": to, "databases": made.databases, "bytes": made.bytes,
        });
        ui.print_json(&document)?;
    } else {
        let databases = if made.databases == 1 { "1 database".into() } else { format!("{} databases", made.databases) };
        ui.print(format!("copied {databases}, {}, to {to}", Value::Bytes(made.bytes)))?;
    }
    Ok(Exit::Done)
}
