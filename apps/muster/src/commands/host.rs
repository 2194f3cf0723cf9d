//! `muster host`: SpacetimeDB on this machine, embedded.
//!
//! What always holds: once the ready line is out, the host answers; the first Ctrl-C or SIGTERM closes connections,
//! flushes and exits 0; the second exits at once.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::outcome::Outcome;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line on stdout once it is ready; its log goes to stderr. Ctrl-C or SIGTERM closes
connections, flushes and exits 0; a second one exits at once, with 2. Neither loses what was
acknowledged.
It links SpacetimeDB's engine, which is under the Business Source License 1.1; see NOTICE.

Examples:
  muster host --in-memory
  muster host --data-dir ~/.local/share/muster --listen 127.0.0.1:3000
  muster host --in-memory --listen 127.0.0.1:0 --json")]
pub(crate) struct HostArgs {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:3000", value_parser = address)]
    listen: SocketAddr,
    /// Keep the data in this folder, made if missing
    #[arg(long, value_name = "DIR", required_unless_present = "in_memory")]
    data_dir: Option<PathBuf>,
    /// Keep no data
    #[arg(long, conflicts_with = "data_dir")]
    in_memory: bool,
    /// Also take tokens of this issuer, whose keys are then fetched from it; may be repeated
    #[arg(long, value_name = "URL")]
    trust_issuer: Vec<String>,
    /// Print the ready line as JSON: {"url":…,"pid":…,"data_dir":…}
    #[arg(long)]
    json: bool,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "not an address; write IP:PORT, such as 127.0.0.1:3000 or [::1]:0".into())
}

/// This build has none.
#[cfg(not(feature = "host"))]
pub(crate) async fn run(_ui: &Ui, _args: HostArgs) -> Outcome {
    Err(crate::outcome::Failure::could_not(
        "this muster was built without the embedded host",
        "build it with its default features, or use another SpacetimeDB host",
    ))
}

/// Runs until told to stop.
#[cfg(feature = "host")]
pub(crate) async fn run(ui: &Ui, args: HostArgs) -> Outcome {
    embedded::run(ui, args).await
}

#[cfg(feature = "host")]
mod embedded {
    use muster_host::{Host, RunningHost};
    use serde_json::json;

    use super::HostArgs;
    use crate::outcome::{CODE_COULD_NOT, Exit, Failure, Outcome};
    use crate::signals::Stop;
    use crate::ui::Ui;

    pub(super) async fn run(ui: &Ui, args: HostArgs) -> Outcome {
        let mut stop = Stop::listen()?;
        let host = start(&args).await?;
        announce(ui, &host, args.json);
        stop.wait().await;
        ui.say("closing connections and flushing; stop me again to exit at once");
        tokio::select! {
            () = host.shutdown() => Ok(Exit::Done),
            // Nothing acknowledged is lost: it is what a crash would leave, and that is recovered from.
            () = stop.wait() => std::process::exit(CODE_COULD_NOT.into()),
        }
    }

    async fn start(args: &HostArgs) -> Result<RunningHost, Failure> {
        let mut builder = Host::builder().listen(args.listen);
        if let Some(folder) = &args.data_dir {
            builder = builder.data_dir(folder);
        }
        for issuer in &args.trust_issuer {
            builder = builder.trusted_issuer(issuer);
        }
        builder.start().await.map_err(|error| Failure::CouldNot(error.to_string()))
    }

    fn announce(ui: &Ui, host: &RunningHost, as_json: bool) {
        let (url, data_dir) = (host.url(), host.data_dir().display().to_string());
        let written = if as_json {
            ui.print_json(&json!({ "url": url, "pid": std::process::id(), "data_dir": data_dir }))
        } else {
            ui.print(format!("ready at {url}, data in {data_dir}"))
        };
        if let Err(failure) = written {
            // Clients may know the address all the same; a host does not end because nobody reads its stdout.
            tracing::warn!(%failure, "the ready line was not written");
        }
    }
}
