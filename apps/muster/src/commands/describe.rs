//! `muster describe`: what a database offers.

use muster_wire::http::{Column, DatabaseInfo, FunctionSchema, HostType, Lifecycle, ModuleSchema, TableSchema};
use serde::Serialize;

use crate::outcome::{Exit, Failure, Outcome};
use crate::schema::{self, RunBy, named};
use crate::table;
use crate::target::TargetArgs;
use crate::ui::Ui;

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.describe.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The module hash is that of the module that runs now, as a handshake reports it. Reducers that the
host runs by itself (at a moment of its own, or on a schedule) are marked: clients do not call them.

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
    let module = http.running_program().await.map_err(|error| target.explain(error))?;
    if args.json {
        ui.print_json(&Document::of(target.database(), &info, &schema, module))?;
    } else {
        show(ui, target.database(), &info, &schema, module.as_deref())?;
    }
    Ok(Exit::Done)
}

fn show(ui: &Ui, name: &str, info: &DatabaseInfo, schema: &ModuleSchema, module: Option<&str>) -> Result<(), Failure> {
    let bold = anstyle::Style::new().bold();
    ui.print(format!(
        "{bold}{}{bold:#}\n  identity     {}\n  owner        {}\n  module hash  {} ({})",
        table::visible(name),
        info.database_identity,
        info.owner_identity,
        module.unwrap_or("unknown: this identity may not ask"),
        host_type(info),
    ))?;
    for table in &schema.tables {
        let access = if table.is_public { "public" } else { "private" };
        let scheduled = schema::scheduled_of(schema, table);
        let schedule = scheduled.map(|it| format!(", schedules {}", table::visible(&it.name))).unwrap_or_default();
        ui.print(format!("\n{bold}table {}{bold:#} ({access}{schedule})", table::visible(&table.name)))?;
        for column in &table.columns {
            let key = if table.primary_key.contains(&column.name) { "  primary key" } else { "" };
            ui.print(format!("  {}{key}", named(column)))?;
        }
    }
    for (kind, functions) in [("reducer", &schema.reducers), ("procedure", &schema.procedures)] {
        let lines = functions.iter().map(|it| format!("{bold}{kind} {}{bold:#}", signature(schema, it)));
        group(ui, lines)?;
    }
    group(ui, schema.views.iter().map(|view| format!("{bold}view {}{bold:#}", table::visible(view))))
}

/// One line each, with a blank one before the first.
fn group(ui: &Ui, lines: impl Iterator<Item = String>) -> Result<(), Failure> {
    for (position, line) in lines.enumerate() {
        let gap = if position == 0 { "\n" } else { "" };
        ui.print(format!("{gap}{line}"))?;
    }
    Ok(())
}

fn signature(module: &ModuleSchema, function: &FunctionSchema) -> String {
    let params: Vec<_> = function.params.iter().map(named).collect();
    let who = match schema::run_by(module, function) {
        RunBy::Callers => String::new(),
        RunBy::Lifecycle(when) => format!("  (the host runs it {})", schema::in_words(when)),
        RunBy::Schedule(table) => {
            format!("  (scheduled: the host runs it when a row of `{}` is due)", table::visible(table))
        }
    };
    format!("{}({}){who}", table::visible(&function.name), params.join(", "))
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
    /// The hash of the module that the database was made with.
    initial_module_hash: &'a str,
    /// The hash of the module that runs now, as in a handshake; null where this identity may not ask.
    module_hash: Option<String>,
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
    /// The function that runs when a row is due.
    schedules: Option<&'a str>,
}

#[derive(Serialize)]
struct FunctionDocument<'a> {
    name: &'a str,
    params: Vec<ColumnDocument<'a>>,
    lifecycle: Option<&'static str>,
    /// The table whose rows say when it runs.
    scheduled_by: Option<&'a str>,
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
        module_hash: Option<String>,
    ) -> Document<'a> {
        Document {
            schema: DOCUMENT,
            database: name,
            identity: info.database_identity.to_hex().to_string(),
            owner: info.owner_identity.to_hex().to_string(),
            host_type: host_type(info),
            initial_module_hash: &info.initial_program,
            module_hash,
            tables: schema.tables.iter().map(|it| TableDocument::of(schema, it)).collect(),
            reducers: schema.reducers.iter().map(|it| FunctionDocument::of(schema, it)).collect(),
            procedures: schema.procedures.iter().map(|it| FunctionDocument::of(schema, it)).collect(),
            views: &schema.views,
        }
    }
}

impl<'a> TableDocument<'a> {
    fn of(module: &'a ModuleSchema, table: &'a TableSchema) -> TableDocument<'a> {
        TableDocument {
            name: &table.name,
            public: table.is_public,
            columns: table.columns.iter().map(ColumnDocument::of).collect(),
            primary_key: &table.primary_key,
            schedules: schema::scheduled_of(module, table).map(|it| it.name.as_str()),
        }
    }
}

impl<'a> FunctionDocument<'a> {
    fn of(module: &'a ModuleSchema, function: &'a FunctionSchema) -> FunctionDocument<'a> {
        let lifecycle = function.lifecycle.map(|when| match when {
            Lifecycle::Init => "init",
            Lifecycle::OnConnect => "client_connected",
            Lifecycle::OnDisconnect => "client_disconnected",
        });
        FunctionDocument {
            name: &function.name,
            params: function.params.iter().map(ColumnDocument::of).collect(),
            lifecycle,
            scheduled_by: match schema::run_by(module, function) {
                RunBy::Schedule(table) => Some(table),
                RunBy::Callers | RunBy::Lifecycle(_) => None,
            },
        }
    }
}

impl<'a> ColumnDocument<'a> {
    /// The column as a document has it.
    pub(super) fn of(column: &'a Column) -> ColumnDocument<'a> {
        ColumnDocument { name: &column.name, ty: column.type_name() }
    }
}
