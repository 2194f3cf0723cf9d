//! `muster lane check`: can this lane be used, and if not, where does it end?
//!
//! What always holds: the steps come in the order in which a client takes them; after the first that fails the others
//! are skipped, because their answers would only repeat it; every wait is limited; a reader that goes away changes
//! neither the steps nor the verdict.

use std::fmt::Display;
use std::time::Duration;

use muster_contract::Client;
use muster_wire::connect;
use muster_wire::http::HttpClient;
use serde::Serialize;

use crate::limits::CHECK_MS_MAX;
use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::target::{Target, TargetArgs};
use crate::ui::{Ui, or_unread};

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.lane_check.v1";

/// What to do with a lane.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum LaneCommand {
    /// Check, step by step, that a lane can be used by this build
    Check(CheckArgs),
}

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Steps: lane (its variables), host (its health path), token (does the host take it), database (does
it exist), tables (are they what this build decodes), connection (WebSocket, and the module's
contract row). After one that fails, the others are skipped.
Exit code 0 if all pass, 1 if one fails.

Examples:
  muster lane check --lane dev
  muster lane check --lane dev --env-file dev.envvars --json")]
pub(crate) struct CheckArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// The steps, in order.
const STEPS: [&str; 6] = ["lane", "host", "token", "database", "tables", "connection"];

/// Checks.
pub(crate) async fn run(ui: &Ui, LaneCommand::Check(args): LaneCommand) -> Outcome {
    // Without any lane or server named there is nothing to check: that is wrong usage, not a failed check.
    if !args.target.names_a_lane() {
        args.target.place()?;
    }
    let mut report = Report { ui, json: args.json, results: Vec::new() };
    let target = check(&args.target, ui, &mut report).await?;
    report.finish(target.as_ref())
}

/// Takes the steps until one fails. Returns the target once it is known.
async fn check(args: &TargetArgs, ui: &Ui, report: &mut Report<'_>) -> Result<Option<Target>, Failure> {
    let target = match args.resolve(ui).await {
        Ok(target) => target,
        Err(failure) => return report.failed(failure).map(|()| None),
    };
    let place = format!("{} on {}", target.database(), target.place.endpoint.base());
    report.passed(match &target.place.lane {
        Some(lane) => format!("{}: {place}", lane.name),
        None => place,
    })?;
    let http = target.http_within(Duration::from_millis(CHECK_MS_MAX))?;
    match talk(&target, &http, report).await {
        Ok(()) => Ok(Some(target)),
        Err(Stopped::Check(failure)) => report.failed(failure).map(|()| Some(target)),
        Err(Stopped::Output(failure)) => Err(failure),
    }
}

/// Why the steps ended early: a check failed, or nobody can be told.
enum Stopped {
    Check(Failure),
    Output(Failure),
}

async fn talk(target: &Target, http: &HttpClient, report: &mut Report<'_>) -> Result<(), Stopped> {
    let check = |failure: Failure| Stopped::Check(failure);
    let took = target.place.ping().await.map_err(check)?;
    report.pass(format!("answered in {:.1} ms", took.as_secs_f64() * 1_000.0))?;
    if target.token.is_some() {
        http.websocket_token().await.map_err(|error| check(target.explain(error)))?;
        report.pass(format!("taken by the host, {}", target.origin))?;
    } else {
        report.pass("none: anonymous")?;
    }
    let info = http.database_info().await.map_err(|error| check(target.explain(error)))?;
    report.pass(info.database_identity)?;
    let schema = http.schema().await.map_err(|error| check(target.explain(error)))?;
    let client = Client::of_this_build();
    client.check_tables(&schema.observed_tables()).map_err(|error| check(Failure::No(error.to_string())))?;
    report.pass(as_expected(client.tables.len()))?;
    let mut options = target.connect_options().expect(client);
    options.timeouts.connect = Duration::from_millis(CHECK_MS_MAX);
    let (connection, _incoming) = connect(options).await.map_err(|error| check(error.into()))?;
    let contract = connection.contract().map(|it| format!("{}, module {}", it.protocol_id, it.module_version));
    let told = format!("{} as {}", connection.protocol(), connection.identity());
    connection.close().await;
    report.pass(format!("{told}; {}", contract.unwrap_or_default()))
}

fn as_expected(tables: usize) -> String {
    match tables {
        1 => "1 public table is as this build expects".into(),
        many => format!("{many} public tables are as this build expects"),
    }
}

/// What each step found.
struct Report<'a> {
    ui: &'a Ui,
    json: bool,
    results: Vec<(bool, String)>,
}

impl Report<'_> {
    fn pass(&mut self, detail: impl Display) -> Result<(), Stopped> {
        self.passed(detail).map_err(Stopped::Output)
    }

    fn passed(&mut self, detail: impl Display) -> Result<(), Failure> {
        self.add(true, detail)
    }

    /// The step at hand failed. Not being able to write is the only error.
    fn failed(&mut self, failure: Failure) -> Result<(), Failure> {
        self.add(false, failure)
    }

    fn add(&mut self, passed: bool, detail: impl Display) -> Result<(), Failure> {
        let (step, detail) = (STEPS[self.results.len()], one_line(&detail.to_string()));
        if !self.json {
            let colour = if passed { anstyle::AnsiColor::Green } else { anstyle::AnsiColor::Red };
            let (colour, word) = (colour.on_default(), if passed { "ok    " } else { "failed" });
            or_unread(self.ui.print(format!("{colour}{word}{colour:#} {step:<10}  {detail}")))?;
        }
        self.results.push((passed, detail));
        Ok(())
    }

    fn finish(self, target: Option<&Target>) -> Outcome {
        let passed = self.results.len() == STEPS.len() && self.results.iter().all(|(passed, _)| *passed);
        if self.json {
            or_unread(self.ui.print_json(&self.document(target, passed)))?;
        } else {
            for step in &STEPS[self.results.len()..] {
                or_unread(self.ui.print(format!("skipped {step}")))?;
            }
        }
        Ok(if passed { Exit::Done } else { Exit::No })
    }

    fn document<'a>(&'a self, target: Option<&'a Target>, passed: bool) -> Document<'a> {
        let step = |(position, name): (usize, &&'static str)| match self.results.get(position) {
            Some((true, detail)) => StepDocument { step: name, result: "ok", detail: Some(detail) },
            Some((false, detail)) => StepDocument { step: name, result: "failed", detail: Some(detail) },
            None => StepDocument { step: name, result: "skipped", detail: None },
        };
        let lane = target.and_then(|target| target.place.lane.as_ref());
        Document {
            schema: DOCUMENT,
            lane: lane.map(|lane| lane.name.to_string()),
            server: target.map(|target| target.place.endpoint.base()),
            database: target.map(Target::database),
            passed,
            steps: STEPS.iter().enumerate().map(step).collect(),
        }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    lane: Option<String>,
    server: Option<&'a str>,
    database: Option<&'a str>,
    passed: bool,
    steps: Vec<StepDocument<'a>>,
}

#[derive(Serialize)]
struct StepDocument<'a> {
    step: &'static str,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::as_expected;

    #[test]
    fn one_table_is_and_several_are() {
        assert_eq!(as_expected(1), "1 public table is as this build expects");
        assert_eq!(as_expected(4), "4 public tables are as this build expects");
    }
}
