//! `muster streams [PATTERN]`: which streams there are, and what each holds.

use muster_contract::Client;
use muster_contract::page::{Answer, Stale, StreamInfo, StreamList};
use muster_contract::pattern::StreamPattern;
use muster_contract::refusal::Refusal;
use muster_wire::sats::bsatn;
use muster_wire::{CallOutcome, Connection, args as arguments, connect};
use serde::Serialize;

use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::table;
use crate::tail::what::{self, Word};
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.streams.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
head is the number of the newest event, floor that of the oldest that is held
(head + 1 if none is), snapshot the event up to which the newest snapshot
reaches. A stream that is deleted and made again has another epoch.
A restored backup keeps its epochs until the database's owner calls
renew_epochs.

A word that no stream is called is taken as a topic (notes is
runtime.topic.notes then), and stderr says so. If there is no stream of that
name either, the exit code is 1.
With --json:
  {\"schema\":\"muster.streams.v1\",\"streams\":[
   {\"id\":…,\"epoch\":…,\"floor\":1,\"head\":9,\"snapshot\":null}]}

Examples:
  muster streams --lane dev
  muster streams --lane dev --json 'runtime.run.*' | jq -r '.streams[].id'")]
pub(crate) struct StreamsArgs {
    /// A stream id, a pattern or a topic
    #[arg(value_name = "PATTERN", default_value = "*", value_parser = what::word)]
    pattern: Word,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Serialize)]
struct Document {
    schema: &'static str,
    streams: Vec<Stream>,
}

#[derive(Serialize)]
struct Stream {
    id: String,
    epoch: u64,
    floor: u64,
    head: u64,
    snapshot: Option<u64>,
}

impl From<StreamInfo> for Stream {
    fn from(info: StreamInfo) -> Stream {
        let snapshot = (info.snapshot_seq > 0).then_some(info.snapshot_seq);
        Stream { id: info.id, epoch: info.epoch, floor: info.floor, head: info.head, snapshot }
    }
}

/// Lists.
pub(crate) async fn run(ui: &Ui, args: StreamsArgs) -> Outcome {
    let target = args.target.resolve(ui).await?;
    let (connection, _) = connect(target.connect_options().expect(Client::of_this_build())).await?;
    let streams = named(ui, &connection, &args.pattern).await;
    connection.close().await;
    let mut streams: Vec<Stream> = streams?.into_iter().map(Stream::from).collect();
    streams.sort_by(|a, b| a.id.cmp(&b.id));
    if args.json {
        ui.print_json(&Document { schema: DOCUMENT, streams })?;
        return Ok(Exit::Done);
    }
    let head = ["stream", "head", "floor", "snapshot", "epoch"].map(String::from);
    let row = |stream: &Stream| {
        let snapshot = stream.snapshot.map_or("-".into(), |seq| seq.to_string());
        vec![stream.id.clone(), stream.head.to_string(), stream.floor.to_string(), snapshot, stream.epoch.to_string()]
    };
    ui.print(table::render(&head, &streams.iter().map(row).collect::<Vec<_>>()))?;
    ui.say(match streams.len() {
        1 => "(1 stream)".into(),
        count => format!("({count} streams)"),
    });
    Ok(Exit::Done)
}

/// The streams that a word names: as a stream id or a pattern, else as a topic.
async fn named(ui: &Ui, connection: &Connection, word: &Word) -> Result<Vec<StreamInfo>, Failure> {
    let mut streams = all(connection, &word.pattern).await?;
    if let (true, Some(topic)) = (streams.is_empty(), &word.topic) {
        streams = all(connection, &StreamPattern::Exact(topic.clone())).await?;
        if !streams.is_empty() {
            ui.say(word.is_the_topic());
        }
    }
    if streams.is_empty() && matches!(word.pattern, StreamPattern::Exact(_)) {
        return Err(Failure::no(word.missing(), "`muster streams` shows which there are"));
    }
    Ok(streams)
}

/// Every stream of the pattern, list by list.
async fn all(connection: &Connection, pattern: &StreamPattern) -> Result<Vec<StreamInfo>, Failure> {
    let (mut streams, mut after_no) = (Vec::new(), 0u64);
    loop {
        let list = list(connection, pattern, after_no).await?;
        streams.extend(list.streams);
        // A host that gets no further would be asked for ever.
        if !list.more || list.resume_after <= after_no {
            return Ok(streams);
        }
        after_no = list.resume_after;
    }
}

async fn list(connection: &Connection, pattern: &StreamPattern, after_no: u64) -> Result<StreamList, Failure> {
    let unreadable = |why: String| {
        Failure::could_not(format!("the host's list of streams cannot be read ({why})"), "is its module Muster's?")
    };
    let reply = connection.call_procedure("list_streams", arguments(&(pattern.to_string(), after_no))).await?;
    let bytes = match reply.outcome {
        CallOutcome::Returned(bytes) => bytes,
        CallOutcome::Refused(_) | CallOutcome::Failed(_) => {
            let why = one_line(&reply.outcome.message().unwrap_or_default());
            return Err(Failure::could_not(
                format!("the host cannot list streams: {why}"),
                "`muster logs` may say more",
            ));
        }
    };
    // A procedure returns the answer's bytes as one byte string.
    let answer = bsatn::from_slice::<Vec<u8>>(&bytes).map_err(|error| unreadable(error.to_string()))?;
    match Answer::<StreamList>::from_bytes(&answer).map_err(|error| unreadable(error.to_string()))? {
        Answer::Ok(list) => Ok(list),
        Answer::Refused(text) => match Refusal::from_wire(&text) {
            Some(refusal) => Err(Failure::no(one_line(&refusal.message), refusal.code.remedy())),
            None => Err(unreadable(one_line(&text))),
        },
        Answer::Stale(Stale { reason, .. }) => Err(unreadable(format!("it is `{reason}`"))),
    }
}
