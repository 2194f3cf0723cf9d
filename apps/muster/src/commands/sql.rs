//! `muster sql QUERY`: statements once, answered as tables or JSON.

pub(super) mod hint;

use muster_wire::http::{Column, HttpError, StatementResult};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::commands::describe::ColumnDocument;
use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::table;
use crate::target::{Target, TargetArgs, check_new_name};
use crate::ui::Ui;
use crate::value::{Clear, from_sats_json};

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.sql.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Shows only what is durable. While it runs, the asker is a connection too: a count of
active_connection counts it.
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
    if args.query.trim().is_empty() {
        // A host would answer it with nothing, which looks like an empty table.
        return Err(Failure::could_not("the query is empty", "write a statement, such as 'SELECT * FROM person'"));
    }
    let target = args.target.resolve(ui).await?;
    let answer = target.http()?.sql(&args.query, true).await.map_err(|error| explain(error, &args.query, &target))?;
    if args.json {
        let statements = answer.statements.iter().map(StatementDocument::of).collect::<Result<Vec<_>, _>>()?;
        ui.print_json(&Document { schema: DOCUMENT, statements })?;
    } else {
        for statement in &answer.statements {
            show(ui, statement)?;
        }
    }
    Ok(Exit::Done)
}

fn explain(error: HttpError, query: &str, target: &Target) -> Failure {
    match error.status() {
        Some(400) if check_new_name(target.database()).is_err() => target.explain(error),
        Some(400) => {
            let said = one_line(error.said().unwrap_or_default());
            Failure::could_not(format!("the host refuses this SQL: {said}"), hint::remedy(query, &said))
        }
        _ => target.explain(error),
    }
}

fn show(ui: &Ui, statement: &StatementResult) -> Result<(), Failure> {
    // A statement that changes rows returns none, not even columns.
    if !statement.columns.is_empty() {
        let head: Vec<_> = statement.columns.iter().map(|column| table::visible(&column.name)).collect();
        let cells = |row: Vec<Clear>| row.iter().map(table::cell).collect();
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

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    statements: Vec<StatementDocument<'a>>,
}

#[derive(Serialize)]
struct StatementDocument<'a> {
    columns: Vec<ColumnDocument<'a>>,
    rows: Vec<Clear>,
    inserted: u64,
    updated: u64,
    deleted: u64,
    elapsed_us: u128,
}

impl<'a> StatementDocument<'a> {
    fn of(statement: &'a StatementResult) -> Result<StatementDocument<'a>, Failure> {
        let object = |row: Vec<Clear>| {
            let names = statement.columns.iter().map(|column| column.name.clone());
            Clear::Fields(names.zip(row).collect())
        };
        Ok(StatementDocument {
            columns: statement.columns.iter().map(ColumnDocument::of).collect(),
            rows: values(statement)?.into_iter().map(object).collect(),
            inserted: statement.rows_inserted,
            updated: statement.rows_updated,
            deleted: statement.rows_deleted,
            elapsed_us: statement.duration.as_micros(),
        })
    }
}

/// The rows in clear form, column by column.
fn values(statement: &StatementResult) -> Result<Vec<Vec<Clear>>, Failure> {
    let cell = |(column, cell): (&Column, &RawValue)| from_sats_json(&column.ty, cell.get());
    let row = |row: &Vec<Box<RawValue>>| {
        let cells = row.iter().map(Box::as_ref);
        statement.columns.iter().zip(cells).map(cell).collect::<Result<Vec<_>, _>>()
    };
    Ok(statement.rows.iter().map(row).collect::<Result<Vec<_>, _>>()?)
}
