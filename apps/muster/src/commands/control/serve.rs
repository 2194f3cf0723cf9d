//! `muster control serve`: the token service, from its configuration to its end.
//!
//! What always holds: once the ready line is out, the service answers; the first Ctrl-C or SIGTERM lets open requests end
//! and exits 0; the second exits at once.

use std::net::SocketAddr;

use muster_control::Control;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::config::{self, Told};
use super::sink;
use super::state::ServiceArgs;
use crate::outcome::{CODE_COULD_NOT, Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::ui::Ui;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints one line on stdout once it is ready; its log goes to stderr. Ctrl-C or SIGTERM lets open
requests end and exits 0; a second one exits at once, with 2. Clients and keys may be changed
meanwhile: `muster control clients …` works on the same folder.
Each flag can also be a key of the configuration file (docs/control.toml has them all) or a variable
(--state-dir is MUSTER_CONTROL_STATE_DIR): flags come before variables, those before the file.

Examples:
  muster control serve --state-dir control --audience muster-local
  muster control serve --config control.toml --json
  muster control serve --state-dir control --audience muster-dev --issuer https://control.example.com \\
      --database presence --revocations-server https://host.example.com
  muster control serve --config control.toml --print-config")]
pub(crate) struct ServeArgs {
    #[command(flatten)]
    pub(super) service: ServiceArgs,
    /// Print the configuration that results and where each value is from, as TOML, and start nothing
    #[arg(long)]
    print_config: bool,
    /// Print the ready line as JSON (muster.control.v1)
    #[arg(long)]
    json: bool,
}

/// Runs until told to stop.
pub(super) async fn run(ui: &Ui, args: ServeArgs) -> Outcome {
    let settings = args.service.settings()?;
    if args.print_config {
        ui.print(settings.toml(true).trim_end())?;
        return Ok(Exit::Done);
    }
    config::state_dir(&settings)?;
    let told = Told::of(&settings)?;
    let mut stop = Stop::listen()?;
    let listen = settings.text("listen").expect("it has a default");
    let listener = bind(listen).await?;
    let bound = listener.local_addr().map_err(|error| cannot_listen(listen, &error))?;
    let control = Control::open(config::service(&settings, Some(bound))?)?;
    let (ended, until) = oneshot::channel::<()>();
    let (begun, mut began) = oneshot::channel::<()>();
    let mut serving = {
        let control = control.clone();
        let say = move || {
            // Nobody waits for it any more when it was stopped first.
            let _ = begun.send(());
        };
        tokio::spawn(async move { control.serve_and_say(listener, say, async { drop(until.await) }).await })
    };
    let mut telling = None;
    loop {
        tokio::select! {
            // It ends by itself only when it cannot serve.
            served = &mut serving => {
                served.map_err(|error| Failure::could_not(error.to_string(), "please report this"))??;
                return Ok(Exit::Done);
            }
            Ok(()) = &mut began, if !began.is_terminated() => {
                announce(ui, &control, bound, args.json);
                telling = told.clone().map(|told| tokio::spawn(sink::tell(control.clone(), told)));
            }
            () = stop.wait() => break,
        }
    }
    ui.say("waiting for open requests; stop me again to exit at once");
    drop(ended);
    let served = tokio::select! {
        served = serving => served,
        // Whatever was answered is on disk.
        () = stop.wait() => std::process::exit(CODE_COULD_NOT.into()),
    };
    if let Some(telling) = telling {
        telling.abort();
    }
    served.map_err(|error| Failure::could_not(error.to_string(), "please report this"))??;
    Ok(Exit::Done)
}

fn cannot_listen(listen: &str, error: &std::io::Error) -> Failure {
    Failure::could_not(format!("cannot listen on `{listen}` ({error})"), "choose another address with --listen")
}

/// Listens. Of a name with several addresses the first IPv4 one is taken, because most clients try that one.
async fn bind(listen: &str) -> Result<TcpListener, Failure> {
    let found = tokio::net::lookup_host(listen).await.map_err(|error| cannot_listen(listen, &error))?;
    let found: Vec<SocketAddr> = found.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first()).copied();
    let none = || std::io::Error::other("no address is known for it");
    let first = first.ok_or_else(none).map_err(|error| cannot_listen(listen, &error))?;
    TcpListener::bind(first).await.map_err(|error| cannot_listen(listen, &error))
}

fn announce(ui: &Ui, control: &Control, bound: SocketAddr, as_json: bool) {
    let config = control.config();
    let (url, state_dir) = (format!("http://{bound}"), config.state_dir.display().to_string());
    let written = if as_json {
        ui.print_json(&json!({
            "schema": "muster.control.v1", "url": url, "issuer": config.issuer, "audience": config.audience,
            "database": config.database, "pid": std::process::id(), "state_dir": state_dir,
        }))
    } else {
        ui.print(format!("ready at {url}, issuer {}, state in {state_dir}", config.issuer))
    };
    if let Err(failure) = written {
        // Clients may know the address all the same; a service does not end because nobody reads its stdout.
        tracing::warn!(%failure, "the ready line was not written");
    }
}
