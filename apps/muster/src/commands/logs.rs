//! `muster logs`: what a database's module and the host wrote about it.

use anstyle::{AnsiColor, Style};
use muster_wire::http::{LogRecord, LogStream};

use crate::limits::LOG_LINES_BEFORE_FOLLOWING;
use crate::outcome::{Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::target::TargetArgs;
use crate::ui::Ui;
use crate::value::rfc3339;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Only the database's owner may read its log. With --json, each line is as the host wrote it. With -f,
Ctrl-C ends with exit code 0; an end of the stream that nobody asked for ends with 2.

Examples:
  muster logs --lane dev -n 50
  muster logs --lane dev -f --json | jq -r 'select(.level == \"Error\") | .message'")]
pub(crate) struct LogsArgs {
    /// Only the last N lines [default: all, with -f the last 10]
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<u32>,
    /// Go on with new lines as they come
    #[arg(short, long)]
    follow: bool,
    /// Print the host's JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Shows, and follows.
pub(crate) async fn run(ui: &Ui, args: LogsArgs) -> Outcome {
    let mut stop = Stop::listen()?;
    // All of it can be interrupted: a host may take its time before anything is shown.
    tokio::select! {
        () = stop.wait() => Ok(Exit::Done),
        outcome = follow(ui, &args) => outcome,
    }
}

async fn follow(ui: &Ui, args: &LogsArgs) -> Outcome {
    let target = args.target.resolve(ui).await?;
    let http = target.http()?;
    let ask = async |lines, follow| http.logs(lines, follow).await.map_err(|error| target.explain(error));
    // SpacetimeDB hosts give one line where none is asked for: it is left out here.
    let unwanted = match args.lines {
        Some(0) => ask(Some(0), false).await?.next().await.transpose()?,
        _ => None,
    };
    let lines = args.lines.or(args.follow.then_some(LOG_LINES_BEFORE_FOLLOWING));
    if args.follow {
        show(ui, ask(lines, true).await?, args.json, unwanted).await?;
        let cause = "the host ended the log";
        return Err(Failure::could_not(cause, "it may have stopped, or the database is gone; run this again"));
    }
    if lines != Some(0) {
        show(ui, ask(lines, false).await?, args.json, None).await?;
    }
    Ok(Exit::Done)
}

/// Prints what comes, but not `unwanted` where that comes first.
async fn show(ui: &Ui, mut stream: LogStream, as_json: bool, mut unwanted: Option<LogRecord>) -> Result<(), Failure> {
    while let Some(record) = stream.next().await {
        let record = record?;
        if unwanted.take().is_some_and(|unwanted| unwanted.raw == record.raw) {
            continue;
        }
        if as_json {
            ui.print(&record.raw)?;
        } else {
            ui.print(line(&record))?;
        }
    }
    Ok(())
}

fn line(record: &LogRecord) -> String {
    let when = record.timestamp.map(rfc3339).unwrap_or_default();
    let colour = colour(&record.level);
    let level = record.level.to_ascii_uppercase();
    let place = match (&record.target, &record.function) {
        (Some(target), Some(function)) => format!(" {target}/{function}"),
        (Some(one), None) | (None, Some(one)) => format!(" {one}"),
        (None, None) => String::new(),
    };
    // Messages may have several lines and mean them; control characters that move a terminal's cursor they may not.
    let message = record.message.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}");
    format!("{when} {colour}{level:<5}{colour:#}{place}: {message}").trim_start().into()
}

const fn colour(level: &str) -> Style {
    match level.as_bytes() {
        b"error" | b"panic" => AnsiColor::Red.on_default(),
        b"warn" => AnsiColor::Yellow.on_default(),
        b"info" => AnsiColor::Green.on_default(),
        _ => Style::new().dimmed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_time_level_place_and_message() {
        let record = LogRecord::parse(
            br#"{"level":"Warn","ts":1700000000000000,"target":"muster_module","function":"set_name","message":"a\u001b[2Jb"}"#,
        );
        let line = anstream::adapter::strip_str(&line(&record)).to_string();
        assert_eq!(line, "2023-11-14T22:13:20Z WARN  muster_module/set_name: a\u{fffd}[2Jb");
    }
}
