//! `muster publish`: says what will change, then changes it.
//!
//! What always holds: nothing is sent to be stored before the plan was shown and allowed ([`decision`]); a change that
//! breaks clients carries the token of exactly the plan that was shown, so that a module that changed in between is
//! refused by the host; data is deleted only with a flag and a confirmation.

mod decision;
mod refusal;

use std::path::PathBuf;

use muster_wire::http::{HttpClient, Migration, MigrationPlan, PublishOperation, PublishOptions, PublishOutcome};
use serde::Serialize;

use crate::confirm::confirm;
use crate::module_file::ModuleFile;
use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::target::{Target, TargetArgs, check_new_name};
use crate::ui::Ui;
use decision::{Allowed, DeleteData, Go, decide};
use refusal::{Step, explain};

/// The schema id of the JSON document.
const DOCUMENT: &str = "muster.publish.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Makes the database if it does not exist. Otherwise the host plans the change first, and the plan is
shown on stderr; one that is not allowed changes nothing and ends with exit code 1.
Without any token, a new identity is made and its token saved for this host below
$XDG_CONFIG_HOME/muster/tokens (or ~/.config/…), mode 0600: it owns the database.
With --json: {\"schema\":\"muster.publish.v1\",\"operation\":\"created\",\"sha256\":…,\"module_hash\":…,…};
sha256 is of the file, module_hash is how the host knows the module, also in a handshake.

Examples:
  muster publish --server http://127.0.0.1:3000 --database presence
  muster publish --lane staging --module muster_module.wasm --dry-run
  muster publish --lane dev --delete-data --yes")]
pub(crate) struct PublishArgs {
    /// The module; without it, the module of the checkout around the current folder is built
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<PathBuf>,
    /// Show what would change, and stop
    #[arg(long)]
    dry_run: bool,
    /// Allow a change that disconnects clients and locks out those built for the old schema
    #[arg(long)]
    break_clients: bool,
    /// Allow all data to be deleted: where the host cannot keep it, or always; asks for the database's name
    #[arg(long, value_name = "WHEN", num_args = 0..=1, require_equals = true, default_missing_value = "on-conflict")]
    delete_data: Option<DeleteData>,
    /// Allow a module of SpacetimeDB 1.x to be replaced by one of 2.x, for good
    #[arg(long)]
    accept_major_upgrade: bool,
    /// Do not ask before data is deleted
    #[arg(short, long)]
    yes: bool,
    /// Print what was done as one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Publishes.
pub(crate) async fn run(ui: &Ui, args: PublishArgs) -> Outcome {
    // Where to comes first: a wrong address or name should not cost a build.
    let place = args.target.place()?;
    check_new_name(place.endpoint.database())?;
    if args.target.is_anonymous() {
        let cause = "published anonymously, a database belongs to somebody whom nobody can be again, and could never be updated";
        return Err(Failure::could_not(cause, "leave --anonymous out: publish makes an identity where it has none"));
    }
    place.ping().await?;
    let module = ModuleFile::find(ui, args.module.as_deref()).await?;
    ui.say(format!("module sha256 {}, {}", module.sha256(), module.made_by()));
    let mut target = args.target.resolve(ui).await?;
    let (plan, go) = match plan(&target, &module).await {
        // Nothing is kept, so that nothing needs a plan: a database that does not run can still be cleared.
        Err(Unplanned::DoesNotRun(why)) if args.delete_data == Some(DeleteData::Always) => {
            ui.say(format!("the database does not run ({why}); all of its data will be deleted"));
            (None, Go::CLEAR)
        }
        Err(unplanned) => return Err(unplanned.into()),
        Ok(plan) => {
            let go = announce(ui, &target, plan.as_ref(), &args)?;
            (plan, go)
        }
    };
    if args.dry_run {
        ui.say("nothing was changed: --dry-run");
        return report(ui, &args, &target, &module, (plan.as_ref(), &go), None).map(|()| Exit::Done);
    }
    if go.clear {
        let what = format!("delete all data of `{}` on {}", target.database(), target.place.endpoint.base());
        confirm(ui, args.yes, &what, target.database()).await?;
    }
    if target.token.is_none() {
        // A database that an anonymous request makes belongs to an identity that nobody can be again.
        target = target.with_new_identity(ui).await?;
    }
    let options = PublishOptions { policy: go.policy.clone(), clear: go.clear };
    let done = target.http()?.publish(module.bytes.clone(), &options).await;
    let done = done.map_err(|error| explain(error, &target, Step::Deed { clear: go.clear }))?;
    report(ui, &args, &target, &module, (plan.as_ref(), &go), Some(&done))?;
    Ok(Exit::Done)
}

/// What publishing would do to the database; `None` if there is no database yet.
async fn plan(target: &Target, module: &ModuleFile) -> Result<Option<MigrationPlan>, Unplanned> {
    let http: HttpClient = target.http().map_err(Unplanned::Failed)?;
    match http.database_info().await {
        Ok(_) => {}
        Err(error) if error.status() == Some(404) => return Ok(None),
        Err(error) => return Err(Unplanned::Failed(target.explain(error))),
    }
    let plan = http.pre_publish(module.bytes.clone()).await;
    plan.map(Some).map_err(|error| {
        let said = one_line(error.said().unwrap_or_default());
        // The embedded host's words for a database that it cannot run.
        let does_not_run = ["cannot be launched", "has stopped"].iter().any(|words| said.contains(words));
        match error.status() {
            Some(500..) if does_not_run => Unplanned::DoesNotRun(said),
            _ => Unplanned::Failed(explain(error, target, Step::Plan)),
        }
    })
}

/// Why there is no plan.
enum Unplanned {
    /// The database is there, but the host cannot run it. In the host's words.
    DoesNotRun(String),
    /// Anything else.
    Failed(Failure),
}

impl From<Unplanned> for Failure {
    fn from(unplanned: Unplanned) -> Self {
        match unplanned {
            Unplanned::DoesNotRun(why) => Self::could_not(
                format!("the host does not run this database, and so cannot update it: {why}"),
                "do what the host says, or delete all data with --delete-data=always",
            ),
            Unplanned::Failed(failure) => failure,
        }
    }
}

/// Says what will change, and whether it may.
fn announce(ui: &Ui, target: &Target, plan: Option<&MigrationPlan>, args: &PublishArgs) -> Result<Go, Failure> {
    let place = format!("`{}` on {}", target.database(), target.place.endpoint.base());
    let Some(plan) = plan else {
        ui.say(format!("will create the database {place}"));
        return Ok(Go::HARMLESS);
    };
    ui.say(format!("will update the database {place}:"));
    for line in told(plan) {
        ui.say(format!("  {line}"));
    }
    let allowed = Allowed {
        break_clients: args.break_clients,
        accept_major_upgrade: args.accept_major_upgrade,
        delete_data: args.delete_data,
    };
    let go = decide(plan, allowed)?;
    if go.clear {
        ui.say("  all of its data will be deleted");
    }
    Ok(go)
}

/// The plan in lines.
fn told(plan: &MigrationPlan) -> Vec<String> {
    let mut lines: Vec<String> = match &plan.migration {
        Migration::Automatic { steps, .. } => {
            // A host's words, but its own lines are kept: they are a list, below a title in a box.
            let steps = steps.lines().map(|line| line.replace(char::is_control, " ")).filter(|line| !is_title(line));
            steps.map(|line| line.trim_end().to_owned()).collect()
        }
        Migration::Refused { reason } => vec![format!("the host cannot do it and keep the data: {}", one_line(reason))],
    };
    if lines.is_empty() {
        lines.push("no change of the schema".into());
    }
    if let Migration::Automatic { breaks_clients: true, .. } = plan.migration {
        lines.push("connected clients will be disconnected".into());
    }
    lines
}

/// Whether clients built for the stored module can no longer read what they expect.
const fn breaks_clients(plan: &MigrationPlan) -> bool {
    match &plan.migration {
        Migration::Automatic { breaks_clients, .. } => *breaks_clients,
        // What cannot be migrated is another schema.
        Migration::Refused { .. } => true,
    }
}

fn is_title(line: &str) -> bool {
    let line = line.trim();
    line == "Database Migration Plan" || line.chars().all(|c| matches!(c, '━' | '─' | '═' | '-' | '='))
}

fn report(
    ui: &Ui,
    args: &PublishArgs,
    target: &Target,
    module: &ModuleFile,
    (plan, go): (Option<&MigrationPlan>, &Go),
    done: Option<&PublishOutcome>,
) -> Result<(), Failure> {
    if args.json {
        return ui.print_json(&Document {
            schema: DOCUMENT,
            server: target.place.endpoint.base(),
            database: target.database(),
            identity: done.map(|done| done.database_identity.to_hex().to_string()),
            operation: done.map(operation),
            sha256: module.sha256(),
            module_hash: module.module_hash(),
            compiler: module.compiler.as_deref(),
            target: module.target.as_deref(),
            plan: plan.map(told),
            breaks_clients: plan.is_some_and(breaks_clients),
            clears_data: go.clear,
        });
    }
    let Some(done) = done else { return Ok(()) };
    let verb = operation(done);
    ui.print(format!(
        "{verb} {}\n  identity     {}\n  sha256       {}\n  module hash  {}",
        target.database(),
        done.database_identity,
        module.sha256(),
        module.module_hash()
    ))
}

const fn operation(done: &PublishOutcome) -> &'static str {
    match done.operation {
        PublishOperation::Created => "created",
        PublishOperation::Updated => "updated",
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    server: &'a str,
    database: &'a str,
    identity: Option<String>,
    operation: Option<&'static str>,
    /// Of the file's bytes, hexadecimal.
    sha256: String,
    /// By which the host knows the module (Keccak-256, hexadecimal), and which a handshake reports under this name.
    module_hash: String,
    compiler: Option<&'a str>,
    target: Option<&'a str>,
    plan: Option<Vec<String>>,
    breaks_clients: bool,
    clears_data: bool,
}
