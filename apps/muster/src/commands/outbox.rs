//! `muster outbox`: what waits in an outbox, and what is to become of streams that wait for a person.
//!
//! What always holds: looking changes nothing and works while another process has the outbox; a decision concerns
//! parked streams only, and one that throws events away says which (`--through`) or that all are meant (`--yes`).

use std::path::{Path, PathBuf};

use jiff::{Timestamp, ToSpan};
use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;
use muster_publisher::{Decision, Inspection, StreamView, inspect};
use serde::Serialize;

use crate::limits::OUTBOX_STREAMS_MAX;
use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::table;
use crate::tail::what::{self, Word};
use crate::target::{TargetArgs, check_new_name, outbox_of};
use crate::ui::Ui;

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.outbox.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Shows the streams with events that the host has not confirmed. A stream is
parked when the host refuses its events for good: it waits for a person, and the
other streams go on. Then, with the outbox in use by nobody else:
  --retry STREAM         sends the events again as they are: the cause is mended
  --accept-loss STREAM   goes on with the next event whatever the host has: what
                         it lost, or others added, stays so
  --skip STREAM --through N
                         throws its events up to number N away, for good, and
                         goes on behind them: for one that the host refuses, or
                         that is damaged; --parked names them
  --drop STREAM --yes    throws the stream's waiting events away, for good
  --forget-token         the host was made anew and does not take the token that
                         the outbox keeps for it: begin there as somebody new

Examples:
  muster outbox --lane dev
  muster outbox --outbox here.outbox --parked --json
  muster outbox --lane dev --retry run:7:events
  muster emit --lane dev --flush < /dev/null")]
pub(crate) struct OutboxArgs {
    /// The outbox [default: the one that `muster emit` uses for the database]
    #[arg(long, value_name = "FILE")]
    outbox: Option<PathBuf>,
    /// Show parked streams only
    #[arg(long)]
    parked: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    decision: DecisionArgs,
    /// The last event that --skip throws away, by the outbox's number
    #[arg(long, value_name = "N", requires = "skip")]
    through: Option<u64>,
    /// Do not ask before events are thrown away
    #[arg(long, requires = "drop")]
    yes: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// At most one decision.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct DecisionArgs {
    /// Try a parked stream again as it is
    #[arg(long, value_name = "STREAM", value_parser = stream)]
    retry: Option<Word>,
    /// Go on with a parked stream, whatever the host has
    #[arg(long, value_name = "STREAM", value_parser = stream)]
    accept_loss: Option<Word>,
    /// Throw away the first events that wait in a parked stream, up to --through
    #[arg(long, value_name = "STREAM", value_parser = stream, requires = "through")]
    skip: Option<Word>,
    /// Throw away what waits in a parked stream
    #[arg(long, value_name = "STREAM", value_parser = stream)]
    drop: Option<Word>,
    /// Forget the token that the outbox keeps for this host and database
    #[arg(long)]
    forget_token: bool,
}

fn stream(text: &str) -> Result<Word, String> {
    let word = what::word(text)?;
    match word.pattern {
        StreamPattern::Exact(_) => Ok(word),
        StreamPattern::Under(_) | StreamPattern::All => Err("one stream, or its topic; no pattern".into()),
    }
}

/// Shows or decides.
pub(crate) async fn run(ui: &Ui, args: OutboxArgs) -> Outcome {
    let path = path_of(args.outbox.as_ref(), &args.target)?;
    if !path.exists() {
        // Opening it would make it.
        return Err(missing(&args, &path));
    }
    let decisions = [
        (&args.decision.retry, Decision::Retry),
        (&args.decision.accept_loss, Decision::AcceptLoss),
        (&args.decision.skip, Decision::Skip { through: args.through.unwrap_or(0) }),
        (&args.decision.drop, Decision::Drop),
    ];
    if let Some((Some(word), decision)) = decisions.into_iter().find(|(word, _)| word.is_some()) {
        let stream = named(ui, &path, word).await?;
        return decide(ui, &path, &stream, decision, args.yes).await;
    }
    if args.decision.forget_token {
        return forget_token(ui, &path, &args.target).await;
    }
    let inspection = look(&path, args.parked).await?;
    if args.json {
        ui.print_json(&Document::of(&path, &inspection))?;
    } else {
        show(ui, &path, &inspection)?;
    }
    Ok(Exit::Done)
}

/// Where the outbox is. A database that cannot be has none.
///
/// # Errors
/// As [`outbox_of`]; and for a name that no database can have, unless the outbox is named itself.
pub(super) fn path_of(given: Option<&PathBuf>, target: &TargetArgs) -> Result<PathBuf, Failure> {
    if given.is_none() {
        check_new_name(target.place()?.endpoint.database())?;
    }
    outbox_of(given, target)
}

fn missing(args: &OutboxArgs, path: &Path) -> Failure {
    match args.target.place() {
        Ok(place) if args.outbox.is_none() => Failure::could_not(
            format!(
                "nothing was ever emitted to {} on {} from here (there is no outbox {})",
                place.endpoint.database(),
                place.endpoint.base(),
                path.display()
            ),
            "check the database and the address, or name the --outbox",
        ),
        _ => Failure::could_not(format!("there is no outbox {}", path.display()), "check --outbox"),
    }
}

/// The stream that a word names: the one of that id if the outbox has it parked, else the topic's.
async fn named(ui: &Ui, path: &Path, word: &Word) -> Result<StreamId, Failure> {
    let StreamPattern::Exact(stream) = &word.pattern else {
        return Err(Failure::could_not(format!("`{}` is a pattern", word.text), "name one stream, or its topic"));
    };
    if let Some((stream, topic)) = word.either() {
        let parked = look(path, true).await?.streams;
        let is_parked = |id: &StreamId| parked.iter().any(|view| view.stream == *id);
        if !is_parked(stream) && is_parked(topic) {
            ui.say(word.is_the_topic());
            return Ok(topic.clone());
        }
    }
    Ok(stream.clone())
}

/// Looks into an outbox, on a thread that may wait for the disk.
///
/// # Errors
/// [`Failure::CouldNot`] with the outbox's own words.
pub(super) async fn look(path: &Path, parked_only: bool) -> Result<Inspection, Failure> {
    let path = path.to_owned();
    let looked = tokio::task::spawn_blocking(move || inspect(&path, parked_only, OUTBOX_STREAMS_MAX)).await;
    let looked =
        looked.map_err(|error| Failure::could_not(format!("looking into the outbox failed ({error})"), "try again"))?;
    looked.map_err(|error| Failure::CouldNot(error.to_string()))
}

async fn decide(ui: &Ui, path: &Path, stream: &StreamId, decision: Decision, yes: bool) -> Outcome {
    if decision == Decision::Drop && !yes {
        let parked = look(path, true).await?.streams;
        let Some(waiting) = parked.iter().find(|view| view.stream == *stream).map(|view| view.pending) else {
            return Err(Failure::could_not(
                format!("no stream `{stream}` is parked in the outbox {}", path.display()),
                "`muster outbox --parked` shows which are",
            ));
        };
        return Err(Failure::no(
            format!("will not throw away what waits in `{stream}` (events: {waiting}) without being told so"),
            "add --yes",
        ));
    }
    let publisher = super::emit::open(path.to_owned()).await?;
    let decided = publisher.decide(stream, decision).await;
    publisher.close().await;
    let events = decided.map_err(|error| Failure::CouldNot(error.to_string()))?;
    let what = match decision {
        Decision::Retry => "to be sent again as they are",
        Decision::AcceptLoss => "to be sent behind whatever the host has",
        Decision::Drop | Decision::Skip { .. } => "thrown away",
    };
    ui.say(format!("{stream}: events {what}: {events}"));
    Ok(Exit::Done)
}

/// For a host that was made anew: the next emit begins there as somebody new.
async fn forget_token(ui: &Ui, path: &Path, target: &TargetArgs) -> Outcome {
    let endpoint = target.place()?.endpoint;
    let publisher = super::emit::open(path.to_owned()).await?;
    let forgotten = publisher.forget_token(&endpoint).await;
    publisher.close().await;
    forgotten.map_err(|error| Failure::CouldNot(error.to_string()))?;
    ui.say(format!("no token is kept for {} on {}", endpoint.database(), endpoint.base()));
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    outbox: String,
    producer: String,
    events: u64,
    bytes: u64,
    oldest: Option<String>,
    streams: Vec<StreamDocument>,
}

#[derive(Serialize)]
struct StreamDocument {
    stream: String,
    pending: u64,
    confirmed: u64,
    epoch: u64,
    parked: Option<ParkedDocument>,
}

#[derive(Serialize)]
struct ParkedDocument {
    code: String,
    message: String,
    since: String,
}

impl Document {
    fn of(path: &Path, inspection: &Inspection) -> Document {
        let Inspection { producer, events, bytes, oldest_ms, streams } = inspection;
        Document {
            schema: DOCUMENT,
            outbox: path.display().to_string(),
            producer: producer.to_string(),
            events: *events,
            bytes: *bytes,
            oldest: oldest_ms.map(time),
            streams: streams.iter().map(StreamDocument::of).collect(),
        }
    }
}

impl StreamDocument {
    fn of(view: &StreamView) -> StreamDocument {
        let parked = view.parked.as_ref().map(|parked| ParkedDocument {
            code: parked.code.clone(),
            message: parked.message.clone(),
            since: time(parked.since_ms),
        });
        let StreamView { stream, pending, confirmed, epoch, .. } = view;
        StreamDocument { stream: stream.to_string(), pending: *pending, confirmed: *confirmed, epoch: *epoch, parked }
    }
}

fn show(ui: &Ui, path: &Path, inspection: &Inspection) -> Result<(), Failure> {
    let head = ["stream", "waiting", "confirmed", "state"].map(String::from);
    let row = |view: &StreamView| {
        let state = match &view.parked {
            Some(parked) => format!("parked since {}: {}", time(parked.since_ms), one_line(&parked.message)),
            None => "waiting".into(),
        };
        // A reason is what a person is here for: it is not cut.
        vec![view.stream.to_string(), view.pending.to_string(), view.confirmed.to_string(), state]
    };
    ui.print(table::render(&head, &inspection.streams.iter().map(row).collect::<Vec<_>>()))?;
    let age = inspection.oldest_ms.map_or(String::new(), |oldest| format!(", the oldest since {}", time(oldest)));
    let (events, bytes) = (inspection.events, inspection.bytes);
    let what = if events == 1 { "1 event" } else { &format!("{events} events") };
    ui.say(format!("({}: {what} waiting in {bytes} bytes{age})", path.display()));
    if inspection.streams.iter().any(|view| view.parked.is_some()) {
        ui.say("(parked: --retry STREAM once the cause is mended; --accept-loss STREAM goes on whatever the host has;");
        ui.say(
            " --skip STREAM --through N passes over its first events; --drop STREAM throws its waiting events away)",
        );
    }
    Ok(())
}

fn time(ms: i64) -> String {
    let at = Timestamp::UNIX_EPOCH.checked_add(ms.milliseconds());
    at.map_or_else(|_| format!("{ms}ms"), |at| at.to_string())
}
