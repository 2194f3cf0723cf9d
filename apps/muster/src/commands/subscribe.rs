//! `muster subscribe QUERY…`: rows as they are, and as they change.
//!
//! What always holds: the rows of one transaction are printed together, deletions first; an end that nobody asked for is
//! an error, never a silent end of data.

mod shapes;

use std::time::Duration;

use anstyle::AnsiColor;
use muster_wire::{CallError, ClosedReason, Connection, Incoming, Order, Rows, TableChange, Update, connect};
use serde::Serialize;

use super::sql::hint::remedy;
use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::signals::Stop;
use crate::target::TargetArgs;
use crate::ui::Ui;
use crate::value::{Clear, row_from_bsatn};
use shapes::Shapes;

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A row that changes goes (-) and comes (+) in the same transaction. With --json, a line is
  {\"op\":\"insert\",\"table\":\"person\",\"row\":{…},\"initial\":true,\"order\":1}
with op insert, delete or event; lines of one transaction have the same order.
Ctrl-C ends with exit code 0; an end of the connection that nobody asked for ends with 2.

Examples:
  muster subscribe --lane dev 'SELECT * FROM active_connection'
  muster subscribe --lane dev --json -n 0 'SELECT * FROM contract_info'
  muster subscribe --lane dev --until-idle 5 'SELECT * FROM person' 'SELECT * FROM presence_summary'")]
pub(crate) struct SubscribeArgs {
    /// SELECTs of SpacetimeDB's subscription SQL: all of them or none
    #[arg(required = true, value_name = "QUERY")]
    queries: Vec<String>,
    /// Print an object a line
    #[arg(long)]
    json: bool,
    /// End after COUNT transactions that change the rows; 0 shows the first rows only
    #[arg(short = 'n', long, value_name = "COUNT")]
    count: Option<u64>,
    /// End once nothing has changed for so long
    #[arg(long, value_name = "SECONDS", value_parser = crate::commands::seconds)]
    until_idle: Option<Duration>,
    #[command(flatten)]
    target: TargetArgs,
}

/// Follows.
pub(crate) async fn run(ui: &Ui, args: SubscribeArgs) -> Outcome {
    let mut stop = Stop::listen()?;
    // All of it can be interrupted: a host may take its time before anything is shown.
    let (shapes, connection, incoming) = tokio::select! {
        () = stop.wait() => return Ok(Exit::Done),
        begun = begin(ui, &args) => begun?,
    };
    ui.detail(format!("connected as {}, connection {}", connection.identity(), connection.connection_id()));
    let mut printer = Printer { ui, shapes, json: args.json };
    let outcome = tokio::select! {
        () = stop.wait() => Ok(Exit::Done),
        outcome = follow(&mut printer, &connection, incoming, &args) => outcome,
    };
    connection.close().await;
    outcome
}

async fn begin(ui: &Ui, args: &SubscribeArgs) -> Result<(Shapes, Connection, Incoming), Failure> {
    let target = args.target.resolve(ui).await?;
    let shapes = Shapes::of(target.http()?).await.map_err(|error| target.explain(error))?;
    let (connection, incoming) = connect(target.connect_options()).await?;
    Ok((shapes, connection, incoming))
}

async fn follow(
    printer: &mut Printer<'_>,
    connection: &Connection,
    incoming: Incoming,
    args: &SubscribeArgs,
) -> Outcome {
    let subscription = connection.subscribe(&args.queries).await.map_err(|error| explain(error, &args.queries))?;
    let rows: usize = subscription.tables.iter().map(Rows::len).sum();
    for table in &subscription.tables {
        printer.print("insert", table, subscription.order, true).await?;
    }
    printer.ui.detail(format!("{rows} rows to begin with; following"));
    match args.until_idle {
        Some(idle) => changes(printer, incoming, args.count, idle).await,
        None => changes(printer, incoming, args.count, Duration::MAX).await,
    }
}

fn explain(error: CallError, queries: &[String]) -> Failure {
    match error {
        CallError::Refused(said) => {
            // The host ends with the query that it means.
            let refused = queries.iter().find(|query| said.contains(query.as_str())).unwrap_or(&queries[0]);
            let said = one_line(&said);
            Failure::could_not(format!("the host refuses the subscription: {said}"), remedy(refused, &said))
        }
        other => other.into(),
    }
}

async fn changes(printer: &mut Printer<'_>, mut incoming: Incoming, count: Option<u64>, idle: Duration) -> Outcome {
    let mut seen = 0;
    while count.is_none_or(|count| seen < count) {
        let Ok(update) = tokio::time::timeout(idle, incoming.next()).await else {
            return Ok(Exit::Done);
        };
        match update {
            Some(Update::Transaction(transaction)) => {
                let tables = transaction.query_sets.iter().flat_map(|set| &set.tables);
                for change in tables {
                    printer.print_change(change, transaction.order).await?;
                }
                seen += 1;
            }
            Some(Update::SubscriptionFailed { message, .. }) => {
                return Err(Failure::could_not(
                    format!("the host ended the subscription ({message})"),
                    "run this again",
                ));
            }
            Some(Update::Closed(reason)) => return Err(ended(&reason)),
            None => return Err(ended(&ClosedReason::ByClient)),
        }
    }
    Ok(Exit::Done)
}

fn ended(reason: &ClosedReason) -> Failure {
    Failure::could_not(format!("the connection ended: {reason}"), "what was shown is no longer current; run this again")
}

/// What `--json` prints for a row.
#[derive(Serialize)]
struct Line<'a> {
    op: &'a str,
    table: &'a str,
    row: &'a Clear,
    initial: bool,
    order: Order,
}

/// Prints rows.
struct Printer<'a> {
    ui: &'a Ui,
    shapes: Shapes,
    json: bool,
}

impl Printer<'_> {
    async fn print_change(&mut self, change: &TableChange, order: Order) -> Result<(), Failure> {
        self.print("delete", &change.deleted, order, false).await?;
        self.print(if change.is_event { "event" } else { "insert" }, &change.inserted, order, false).await
    }

    async fn print(&mut self, op: &str, rows: &Rows, order: Order, initial: bool) -> Result<(), Failure> {
        if rows.is_empty() {
            return Ok(());
        }
        let ty = self.shapes.row_type(rows.table()).await?;
        for bytes in rows.iter() {
            let row = row_from_bsatn(&ty, bytes)?;
            if self.json {
                self.ui.print_json(&Line { op, table: rows.table(), row: &row, initial, order })?;
            } else {
                self.ui.print(line(op, rows.table(), &row))?;
            }
        }
        Ok(())
    }
}

fn line(op: &str, table: &str, row: &Clear) -> String {
    let (sign, colour) = match op {
        "delete" => ('-', AnsiColor::Red),
        "event" => ('!', AnsiColor::Cyan),
        _ => ('+', AnsiColor::Green),
    };
    let colour = colour.on_default();
    format!("{colour}{sign}{colour:#} {table} {row}")
}
