//! A host, from its configuration to its end.

use std::net::SocketAddr;

use muster_host::RunningHost;
use serde_json::json;

use super::config::Config;
use crate::outcome::{CODE_COULD_NOT, Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::ui::Ui;

/// Runs a host until told to stop.
pub(super) async fn run(ui: &Ui, config: &Config, new_keys: bool, ready_as_json: bool) -> Outcome {
    if !config.has_storage() {
        return Err(Failure::CouldNot("where is the data to be kept? --data-dir DIR, or --in-memory".into()));
    }
    let mut stop = Stop::listen()?;
    // A host serves more connections than a process may have open until it asks for what it is allowed.
    muster_host::raise_open_files();
    let address = address(config.listen()).await?;
    let host = config.builder(address).new_keys(new_keys).start().await;
    let host = host.map_err(|error| Failure::CouldNot(error.to_string()))?;
    announce(ui, &host, ready_as_json);
    stop.wait().await;
    ui.say("closing connections and flushing; stop me again to exit at once");
    tokio::select! {
        () = host.shutdown() => Ok(Exit::Done),
        // Nothing acknowledged is lost: it is what a crash would leave, and that is recovered from.
        () = stop.wait() => std::process::exit(CODE_COULD_NOT.into()),
    }
}

/// What `HOST:PORT` stands for. A name may stand for several addresses, as `localhost` does for `127.0.0.1` and `::1`; the
/// first IPv4 address is taken then, because most clients try that one.
async fn address(listen: &str) -> Result<SocketAddr, Failure> {
    let failed = |cause: String| {
        Failure::could_not(
            format!("no address is known for `{listen}` ({cause})"),
            "write an address of this machine, such as 127.0.0.1:3000",
        )
    };
    let found = tokio::net::lookup_host(listen).await.map_err(|error| failed(error.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| failed("the system knows none".into()))
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
