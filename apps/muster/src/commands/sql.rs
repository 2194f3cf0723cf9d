//! `muster sql QUERY`: statements once, answered as tables or JSON.

use muster_wire::http::{Column, HttpError, StatementResult};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json, json};

use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::table;
use crate::target::{Target, TargetArgs};
use crate::ui::Ui;
use crate::value;

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.sql.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Shows only what is durable. While it runs, the asker is a connection too: a count of active_connection counts it.
With --json: {\"schema\":\"muster.sql.v1\",\"statements\":[{\"columns\":[…],\"rows\":[{…}],\"inserted\":0,…}]}

Examples:
  muster sql --lane dev 'SELECT * FROM active_connection'
  muster sql --lane dev --json 'SELECT COUNT(*) AS n FROM person' | jq '.statements[0].rows[0].n'")]
pub(crate) struct SqlArgs {
    /// One statement of SpacetimeDB's SQL, or several separated by `;`
    query: String,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Asks.
pub(crate) async fn run(ui: &Ui, args: SqlArgs) -> Outcome {
    let target = args.target.resolve(ui).await?;
    let answer = target.http()?.sql(&args.query, true).await.map_err(|error| explain(error, &target))?;
    if args.json {
        let statements = answer.statements.iter().map(document).collect::<Result<Vec<_>, _>>()?;
        ui.print_json(&json!({ "schema": DOCUMENT, "statements": statements }))?;
    } else {
        for statement in &answer.statements {
            show(ui, statement)?;
        }
    }
    Ok(Exit::Done)
}

fn explain(error: HttpError, target: &Target) -> Failure {
    match error.status() {
        Some(400) => Failure::could_not(
            format!("the host refuses this SQL: {}", one_line(error.said().unwrap_or_default())),
            "correct the query; `muster describe` shows the tables and columns",
        ),
        _ => target.explain(error),
    }
}

fn show(ui: &Ui, statement: &StatementResult) -> Result<(), Failure> {
    // A statement that changes rows returns none, not even columns.
    if !statement.columns.is_empty() {
        let head: Vec<_> = statement.columns.iter().map(|column| table::visible(&column.name)).collect();
        let cells = |row: Vec<Json>| row.iter().map(table::cell).collect();
        let rows = values(statement)?.into_iter().map(cells).collect::<Vec<_>>();
        ui.print(table::render(&head, &rows))?;
    }
    ui.say(told(statement));
    Ok(())
}

fn told(statement: &StatementResult) -> String {
    let counts = [
        (statement.rows_inserted, "inserted"),
        (statement.rows_updated, "updated"),
        (statement.rows_deleted, "deleted"),
    ];
    let changed: Vec<_> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, verb)| format!("{n} {verb}")).collect();
    let what = match (changed.is_empty(), statement.rows.len()) {
        (false, _) => changed.join(", "),
        (true, 1) => "1 row".into(),
        (true, n) => format!("{n} rows"),
    };
    format!("({what} in {:.1} ms)", statement.duration.as_secs_f64() * 1_000.0)
}

fn document(statement: &StatementResult) -> Result<Json, Failure> {
    let columns = statement.columns.iter().map(|column| json!({ "name": column.name, "type": column.type_name() }));
    let object = |row: Vec<Json>| {
        let names = statement.columns.iter().map(|column| column.name.clone());
        names.zip(row).collect::<Map<_, _>>()
    };
    Ok(json!({
        "columns": columns.collect::<Vec<_>>(),
        "rows": values(statement)?.into_iter().map(object).collect::<Vec<_>>(),
        "inserted": statement.rows_inserted,
        "updated": statement.rows_updated,
        "deleted": statement.rows_deleted,
        "elapsed_us": u64::try_from(statement.duration.as_micros()).unwrap_or(u64::MAX),
    }))
}

/// The rows in clear form, column by column.
fn values(statement: &StatementResult) -> Result<Vec<Vec<Json>>, Failure> {
    let row = |row: &Vec<Box<RawValue>>| {
        let field = |(column, field): (&Column, &Box<RawValue>)| value::from_sats_json(&column.ty, field.get());
        statement.columns.iter().zip(row).map(field).collect::<Result<Vec<_>, _>>()
    };
    Ok(statement.rows.iter().map(row).collect::<Result<Vec<_>, _>>()?)
}
