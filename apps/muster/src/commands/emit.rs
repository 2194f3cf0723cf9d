//! `muster emit [FILE]`: events out of newline-delimited JSON, through an outbox, to their streams.
//!
//! What always holds: an event counts as emitted once it is on the disk; a line that is no event costs no other; an
//! event that was stored is sent, by this run or a later one, and never twice; what a killed run has stored of a file
//! is left out when the file is emitted again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_contract::topic::Topic;
use muster_publisher::{ConnectConfig, OutboxConfig, Publisher, SenderState};
use serde::Serialize;

use crate::emit::input::Input;
use crate::emit::sending::Sending;
use crate::emit::taking::{Taken, take};
use crate::limits::EMIT_SEND_MS;
use crate::outcome::{Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::target::{TargetArgs, check_new_name};
use crate::ui::Ui;

/// [`crate::limits::STREAMS_PATIENCE_MS`], as it is typed.
pub(super) const PATIENCE_S: &str = "60";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line is
  {\"topic\"?: TEXT, \"kind\": TEXT, \"payload\": JSON, \"at\"?: RFC 3339}
A line that is not is reported with its number, the others go on, and the exit
code is 1. The topic run:7:events is the stream runtime.run.7.events; any topic
without a form of its own, such as notes, is runtime.topic.<topic>.

Events are kept on disk first, in <scheme>_<host>_<port>_<database>.outbox below
$XDG_STATE_HOME/muster/outboxes (~/.local/state/muster/outboxes). From there
they are sent until the host has confirmed them, by this run or the next one:
the host may be away, and a killed run loses nothing. A FILE whose emit was
killed or interrupted goes on where it was when it is emitted again; of stdin,
that cannot be known. Without --flush, a run goes on sending for at most 2 s when all is
stored.

To a host an outbox is always the same identity: that of --token-file or
MUSTER_TOKEN, or one that the outbox keeps for itself. Tokens that are merely
found on the machine are not used.

With --flush, all of this run:
  {\"emitted\":400,\"confirmed\":400,\"duplicates\":0,\"parked\":0}
confirmed may be more than emitted, if the outbox held others; duplicates are
those of them that the host had already when it was asked; parked ones are
refused for good and wait for `muster outbox`. Exit code 1 if a line was bad or
an event is parked, 2 if not all is confirmed within the patience.

Examples:
  muster emit --lane dev --flush events.ndjson
  jq -c '{kind: \"log\", payload: .}' log.json | muster emit --lane dev --topic logs
  muster emit --outbox here.outbox --store-only events.ndjson
  muster emit --lane dev --flush < /dev/null    # sends what earlier runs left")]
pub(crate) struct EmitArgs {
    /// Newline-delimited JSON; `-` or nothing is stdin
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The topic of lines that name none
    #[arg(long)]
    topic: Option<String>,
    /// Keep the events in this outbox, made if missing
    #[arg(long, value_name = "FILE")]
    outbox: Option<PathBuf>,
    /// Wait until the host has confirmed everything, and print one JSON object
    #[arg(long)]
    flush: bool,
    /// Only keep the events; a later run sends them
    #[arg(long, conflicts_with = "flush")]
    store_only: bool,
    /// How long to wait for the host
    #[arg(long, value_name = "SECONDS", value_parser = crate::commands::seconds, default_value = PATIENCE_S)]
    patience: Duration,
    #[command(flatten)]
    target: TargetArgs,
}

/// What `--flush` prints.
#[derive(Debug, Default, Serialize)]
struct Summary {
    emitted: u64,
    confirmed: u64,
    duplicates: u64,
    parked: u64,
}

/// Emits.
pub(crate) async fn run(ui: &Ui, args: EmitArgs) -> Outcome {
    let topic = args.topic.as_deref().map(Topic::parse).transpose();
    let topic = topic.map_err(|error| Failure::CouldNot(format!("--topic: {error}")))?;
    let input = Input::open(args.file.as_deref())?;
    let connect = if args.store_only { None } else { Some(connection(&args.target)?) };
    let path = super::outbox::path_of(args.outbox.as_ref(), &args.target)?;
    ui.detail(format!("the outbox is {}", path.display()));
    let publisher = open(path.clone()).await?;
    let full_for = if connect.is_some() { args.patience } else { Duration::ZERO };
    if let Some(config) = connect {
        publisher.connect(config);
    }
    let mut sending = Sending::of(ui, &publisher);
    let mut stop = Stop::listen()?;
    let work = async {
        let taken = take(&mut sending, &path, input, topic, full_for).await?;
        end(&mut sending, &args, &path, taken).await
    };
    let outcome = tokio::select! {
        outcome = work => outcome,
        code = stop.wait_for_code() => {
            let next = match args.file.as_deref().is_some_and(Path::is_file) {
                true => "the same command goes on where this one was",
                false => "the next run sends them",
            };
            ui.say(format!("interrupted; events in the outbox: {}; {next}", publisher.metrics().depth_events));
            Ok(Exit::Interrupted(code))
        }
    };
    publisher.close().await;
    outcome
}

fn connection(target: &TargetArgs) -> Result<ConnectConfig, Failure> {
    let endpoint = target.place()?.endpoint;
    check_new_name(endpoint.database())?;
    let config = ConnectConfig::new(endpoint);
    if let Some(keeper) = target.keeper()? {
        return Ok(config.tokens(keeper));
    }
    Ok(match target.token_said_outright()? {
        Some(token) => config.token(token),
        None => config,
    })
}

/// Opens an outbox on a thread that may wait for the disk.
///
/// # Errors
/// [`Failure::CouldNot`] with the outbox's own words.
pub(super) async fn open(path: PathBuf) -> Result<Publisher, Failure> {
    let opened = tokio::task::spawn_blocking(move || Publisher::open(OutboxConfig::new(path))).await;
    let opened =
        opened.map_err(|error| Failure::could_not(format!("opening the outbox failed ({error})"), "try again"))?;
    opened.map_err(|error| Failure::CouldNot(error.to_string()))
}

/// Sends what is to be sent, says what came of it, and decides the exit code.
async fn end(sending: &mut Sending<'_>, args: &EmitArgs, outbox: &Path, taken: Taken) -> Outcome {
    let waits = match (args.store_only, args.flush) {
        (true, _) => Duration::ZERO,
        (false, true) => args.patience,
        (false, false) => Duration::from_millis(EMIT_SEND_MS),
    };
    let flushed = sending.flush(waits).await;
    if let Some(bookmark) = taken.bookmark {
        bookmark.finish().map_err(|error| Failure::CouldNot(error.to_string()))?;
    }
    let parked = parked(outbox).await?;
    let (ui, metrics) = (sending.ui, sending.publisher.metrics());
    if args.flush {
        ui.print_json(&Summary {
            emitted: taken.emitted,
            confirmed: metrics.sender.confirmed,
            duplicates: metrics.sender.duplicates,
            parked,
        })?;
    } else {
        if let (Err(failure), SenderState::Blocked) = (&flushed, sending.state()) {
            ui.say(format!("cannot send: {failure}"));
        }
        let left = metrics.depth_events.saturating_sub(parked);
        let left = match left {
            0 => "the host has confirmed all that was in the outbox".into(),
            left => format!("in the outbox, not confirmed by the host yet: {left}"),
        };
        ui.say(format!("stored by this run: {}; {left}", taken.emitted));
    }
    if let Some(failure) = taken.failed {
        return Err(failure);
    }
    if args.flush {
        flushed?;
    }
    let remedy = format!("`muster outbox --outbox {} --parked` says why", outbox.display());
    match (taken.bad, parked) {
        (0, 0) => Ok(Exit::Done),
        (0, _) if !args.flush => Ok(Exit::Done),
        (0, parked) => {
            Err(Failure::no(format!("{} parked: the host refuses them for good", are(parked, "event")), remedy))
        }
        (bad, _) => Err(Failure::no(
            format!("{} no event and left out", are(bad, "line")),
            "mend what is named above, and emit that alone",
        )),
    }
}

/// `1 line is`, `2 lines are`.
fn are(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what} is") } else { format!("{count} {what}s are") }
}

/// How many events of the outbox are parked.
async fn parked(outbox: &Path) -> Result<u64, Failure> {
    let inspection = super::outbox::look(outbox, true).await?;
    Ok(inspection.streams.iter().map(|stream| stream.pending).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::STREAMS_PATIENCE_MS;

    #[test]
    fn the_patience_that_the_help_shows_is_the_limit() {
        assert_eq!(crate::commands::seconds(PATIENCE_S), Ok(Duration::from_millis(STREAMS_PATIENCE_MS)));
    }
}
