//! `muster describe`: what a database offers.

use muster_wire::http::{Column, DatabaseInfo, FunctionSchema, HostType, Lifecycle, ModuleSchema, TableSchema};
use serde::Serialize;

use crate::outcome::{Exit, Failure, Outcome};
use crate::table;
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.describe.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  muster describe --server https://maincloud.spacetimedb.com --database my-presence")]
pub(crate) struct DescribeArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Describes.
pub(crate) async fn run(ui: &Ui, args: DescribeArgs) -> Outcome {
    let target = args.target.resolve(ui).await?;
    let http = target.http()?;
    let info = http.database_info().await.map_err(|error| target.explain(error))?;
    let schema = http.schema().await.map_err(|error| target.explain(error))?;
    let program = http.running_program().await.map_err(|error| target.explain(error))?;
    if args.json {
        ui.print_json(&Document::of(target.database(), &info, &schema, program))?;
    } else {
        show(ui, target.database(), &info, &schema, program.as_deref())?;
    }
    Ok(Exit::Done)
}

fn show(ui: &Ui, name: &str, info: &DatabaseInfo, schema: &ModuleSchema, program: Option<&str>) -> Result<(), Failure> {
    let bold = anstyle::Style::new().bold();
    ui.print(format!(
        "{bold}{}{bold:#}\n  identity {}\n  owner    {}\n  module   {}\n  program  {}",
        table::visible(name),
        info.database_identity,
        info.owner_identity,
        host_type(info),
        program.unwrap_or("(only its owner may ask)")
    ))?;
    for table in &schema.tables {
        let access = if table.is_public { "public" } else { "private" };
        ui.print(format!("\n{bold}table {}{bold:#} ({access})", table::visible(&table.name)))?;
        for column in &table.columns {
            let key = if table.primary_key.contains(&column.name) { "  primary key" } else { "" };
            ui.print(format!("  {}{key}", named(column)))?;
        }
    }
    for (kind, functions) in [("reducer", &schema.reducers), ("procedure", &schema.procedures)] {
        for function in functions {
            ui.print(format!("\n{bold}{kind} {}{bold:#}", signature(function)))?;
        }
    }
    for view in &schema.views {
        ui.print(format!("\n{bold}view {}{bold:#}", table::visible(view)))?;
    }
    Ok(())
}

fn named(column: &Column) -> String {
    format!("{}: {}", table::visible(&column.name), column.type_name())
}

fn signature(function: &FunctionSchema) -> String {
    let params: Vec<_> = function.params.iter().map(named).collect();
    let when = function.lifecycle.map(|when| format!("  (the host runs it {})", in_words(when))).unwrap_or_default();
    format!("{}({}){when}", table::visible(&function.name), params.join(", "))
}

const fn in_words(when: Lifecycle) -> &'static str {
    match when {
        Lifecycle::Init => "when the database is made",
        Lifecycle::OnConnect => "when a client connects",
        Lifecycle::OnDisconnect => "when a client is gone",
    }
}

const fn host_type(info: &DatabaseInfo) -> &'static str {
    match info.host_type {
        HostType::Wasm => "wasm",
        HostType::Js => "js",
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    database: &'a str,
    identity: String,
    owner: String,
    host_type: &'static str,
    initial_program: &'a str,
    /// The program that runs now; null where this identity may not ask.
    program_hash: Option<String>,
    tables: Vec<TableDocument<'a>>,
    reducers: Vec<FunctionDocument<'a>>,
    procedures: Vec<FunctionDocument<'a>>,
    views: &'a [String],
}

#[derive(Serialize)]
struct TableDocument<'a> {
    name: &'a str,
    public: bool,
    columns: Vec<ColumnDocument<'a>>,
    primary_key: &'a [String],
}

#[derive(Serialize)]
struct FunctionDocument<'a> {
    name: &'a str,
    params: Vec<ColumnDocument<'a>>,
    lifecycle: Option<&'static str>,
}

/// A column or parameter, as every document of this program has it.
#[derive(Serialize)]
pub(super) struct ColumnDocument<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    ty: String,
}

impl<'a> Document<'a> {
    fn of(
        name: &'a str,
        info: &'a DatabaseInfo,
        schema: &'a ModuleSchema,
        program_hash: Option<String>,
    ) -> Document<'a> {
        Document {
            schema: DOCUMENT,
            database: name,
            identity: info.database_identity.to_hex().to_string(),
            owner: info.owner_identity.to_hex().to_string(),
            host_type: host_type(info),
            initial_program: &info.initial_program,
            program_hash,
            tables: schema.tables.iter().map(TableDocument::of).collect(),
            reducers: schema.reducers.iter().map(FunctionDocument::of).collect(),
            procedures: schema.procedures.iter().map(FunctionDocument::of).collect(),
            views: &schema.views,
        }
    }
}

impl<'a> TableDocument<'a> {
    fn of(table: &'a TableSchema) -> TableDocument<'a> {
        TableDocument {
            name: &table.name,
            public: table.is_public,
            columns: table.columns.iter().map(ColumnDocument::of).collect(),
            primary_key: &table.primary_key,
        }
    }
}

impl<'a> FunctionDocument<'a> {
    fn of(function: &'a FunctionSchema) -> FunctionDocument<'a> {
        let lifecycle = function.lifecycle.map(|when| match when {
            Lifecycle::Init => "init",
            Lifecycle::OnConnect => "client_connected",
            Lifecycle::OnDisconnect => "client_disconnected",
        });
        FunctionDocument {
            name: &function.name,
            params: function.params.iter().map(ColumnDocument::of).collect(),
            lifecycle,
        }
    }
}

impl<'a> ColumnDocument<'a> {
    /// The column as a document has it.
    pub(super) fn of(column: &'a Column) -> ColumnDocument<'a> {
        ColumnDocument { name: &column.name, ty: column.type_name() }
    }
}
