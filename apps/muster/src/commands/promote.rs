//! `muster promote`: from lane to lane on evidence, share by share, and back by itself. What decides stands in
//! `muster_gates::promote`; here are the arguments, what a person sees, and (`promote/steps.rs`) what is done to hosts.
//!
//! What always holds: nothing is published before the evidence suffices; a promotion that was stopped is gone on with
//! before another one begins; whatever it decides is in the evidence folder.

mod shown;
mod steps;

use std::path::PathBuf;

use jiff::Timestamp;
use muster_gates::Sha256;
use muster_gates::evidence::{Act, Decision, EvidenceDir, PublicKey, Signer, Trust, verify};
use muster_gates::gates::{RunId, Settings, Site};
use muster_gates::promote::{Admission, Core, End, Fact, Journal, Plan, Policy, Stopped, advance, judge};
use muster_lane::LaneName;

use crate::limits::MODULE_BYTES_MAX;
use crate::outcome::{Exit, Failure, Outcome, one_line};
use crate::target::{Target, TargetArgs, read_limited};
use crate::ui::{Ui, or_unread};
use shown::Document;
use steps::{Lane, Shares};

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The policy (promotion.toml) says which gates must have passed on which lanes, how long ago at most,
and whose signatures count; which gates are run on the target; and which shares of the clients get the
module, for how long each is watched. The module is published to a database of its own beside the
lane's (the candidate), and the token service hands that to a growing share of the clients. When a
step fails, everybody is sent back. Every decision is left in the evidence folder.

Stopped at any point and run again, it goes on, or goes back where the evidence does not suffice any
more; it does nothing twice.

Exit codes: 0 completed (with --plan: it would begin); 1 refused, or it went back; 2 it could not go
            on: run it again.

Examples:
  muster promote --from staging --to prod --module muster.wasm --evidence-dir evidence --plan
  muster promote --from staging --to prod --module muster.wasm --evidence-dir evidence \\
    --evidence-key operator.pem --control-state-dir control")]
pub(crate) struct PromoteArgs {
    /// The lane whose evidence counts
    #[arg(long, value_name = "LANE")]
    from: LaneName,
    /// The lane that the module is for
    #[arg(long, value_name = "LANE")]
    to: LaneName,
    /// The module's file: the very bytes that were tested
    #[arg(long, value_name = "FILE.wasm")]
    module: PathBuf,
    /// The policy
    #[arg(long, value_name = "FILE", default_value = "promotion.toml")]
    policy: PathBuf,
    /// The folder of evidence: what counts is read from it, and what is decided is left in it
    #[arg(long, value_name = "DIR")]
    evidence_dir: PathBuf,
    /// The key that signs what is decided, from `muster evidence keygen`
    #[arg(long, alias = "key", value_name = "FILE", env = "MUSTER_EVIDENCE_KEY", hide_env_values = true)]
    evidence_key: Option<PathBuf>,
    /// The SHA-256 of an envelope that the folder must hold, known from elsewhere
    #[arg(long, value_name = "SHA256")]
    head: Option<Sha256>,
    /// The state folder of the target's token service, which hands out the candidate
    #[arg(long, value_name = "DIR")]
    control_state_dir: Option<PathBuf>,
    /// The database that gets the module [default: the lane's, a dash, and 8 digits of the module's SHA-256]
    #[arg(long, value_name = "NAME")]
    candidate: Option<String>,
    /// What the lanes allow and demand of gates [default: gates.toml here, if there is one]
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// Where the promotion's journal is [default: promotion-LANE.journal in the evidence folder]
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// Say what is missing and what would be done, and do nothing
    #[arg(long, conflicts_with = "go_back")]
    plan: bool,
    /// Send everybody back, and end the promotion that is under way
    #[arg(long)]
    go_back: bool,
    /// Print one JSON object (muster.promote.v1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Everything that was read before anything is done.
struct Prepared {
    folder: EvidenceDir,
    policy: Policy,
    module: Vec<u8>,
    sha256: Sha256,
    admission: Admission,
    plan: Plan,
    journal: PathBuf,
}

/// Runs.
pub(crate) async fn run(ui: &Ui, args: PromoteArgs) -> Outcome {
    let target = args.target.clone().or_lane(&args.to).resolve(ui).await?;
    if target.token.is_none() {
        return Err(Failure::could_not(
            "without a token the candidate would belong to nobody",
            "use the token of whoever owns the lane's database (--token-file)",
        ));
    }
    let prepared = prepare(&args, &target)?;
    if args.plan {
        return tell_plan(ui, &args, &prepared);
    }
    let signer = args.evidence_key.as_deref().ok_or_else(|| {
        Failure::could_not("nobody would sign what is decided", "add --evidence-key FILE (muster evidence keygen)")
    })?;
    let signer = Signer::read(signer).map_err(could_not)?;
    let mut journal = Journal::open(&prepared.journal).map_err(could_not)?;
    match journal.core().filter(|core| !core.is_over()) {
        Some(core) => {
            if let Some(fact) = resume(ui, &args, &prepared, core)? {
                journal.append(&fact).map_err(could_not)?;
            }
        }
        None if args.go_back => {
            let path = prepared.journal.display();
            return Err(Failure::no(
                format!("no promotion is under way in {path}"),
                "there is nothing to go back from",
            ));
        }
        None if !prepared.admission.suffices() => return refuse(ui, &args, &prepared, &signer),
        None => {
            begin_check(&args, &prepared)?;
            journal.begin(prepared.plan.clone()).map_err(could_not)?;
        }
    }
    let site = site(&args, &target, &prepared)?;
    let mut lane =
        Lane::new(ui, &target, site, prepared.folder.clone(), signer, shares(&args)?, prepared.module.clone())?;
    let end = advance(&mut journal, &mut lane).await.map_err(|stopped| match stopped {
        Stopped::Journal(error) => could_not(error),
        Stopped::Step(error) => Failure::could_not(
            one_line(&format!("the promotion is not over: {error}")),
            "mend that and run this again: it goes on where it stopped",
        ),
    })?;
    let core = journal.core().expect("it was gone on with");
    let result = if end == End::Completed { "completed" } else { "went_back" };
    or_unread(if args.json { ui.print_json(&Document::over(result, core)) } else { ui.print(shown::over(core, end)) })?;
    Ok(if end == End::Completed { Exit::Done } else { Exit::No })
}

fn could_not(error: impl std::fmt::Display) -> Failure {
    Failure::CouldNot(one_line(&error.to_string()))
}

/// Reads and judges everything, and does nothing.
fn prepare(args: &PromoteArgs, target: &Target) -> Result<Prepared, Failure> {
    let policy = Policy::read(&args.policy).map_err(could_not)?;
    let keys = policy.signers.iter().map(|path| PublicKey::read(path)).collect::<Result<_, _>>().map_err(could_not)?;
    let module = read_limited("the module", &args.module, MODULE_BYTES_MAX)?;
    let sha256 = Sha256::of(&module);
    let folder = EvidenceDir::existing(&args.evidence_dir).map_err(could_not)?;
    let trust = Trust { head: args.head, ..Trust::new(keys, Timestamp::now()) };
    let verdict = verify(&folder.files().map_err(could_not)?, &trust);
    let admission = judge(&policy, &args.from.to_string(), sha256, &verdict, trust.now);
    let database = target.place.endpoint.database().to_owned();
    let candidate = match &args.candidate {
        Some(name) => name.clone(),
        None if database.len() == 64 && database.bytes().all(|it| it.is_ascii_hexdigit()) => {
            return Err(Failure::could_not(
                "the lane's database is named by its identity, which no candidate's name can be made of",
                "add --candidate NAME",
            ));
        }
        None => format!("{database}-{}", sha256.short()),
    };
    let plan = Plan {
        id: format!("{:016x}", rand_id()),
        from: args.from.to_string(),
        to: args.to.to_string(),
        server: target.place.endpoint.base().to_owned(),
        database,
        candidate,
        module_sha256: sha256,
        policy_sha256: policy.sha256,
        inputs: admission.inputs.clone(),
        gates: policy.target_gates.clone(),
        setup: policy.setup.clone(),
        cohorts: policy.cohorts.clone(),
        soak_s: policy.soak.as_secs(),
        watch_gate: policy.watch_gate.clone(),
    };
    let default = || args.evidence_dir.join(format!("promotion-{}.journal", args.to));
    let journal = args.journal.clone().unwrap_or_else(default);
    Ok(Prepared { folder, policy, module, sha256, admission, plan, journal })
}

/// A number that no other promotion has.
fn rand_id() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_i128(Timestamp::now().as_nanosecond());
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// What is to be written down before a promotion that was stopped goes on.
fn resume(ui: &Ui, args: &PromoteArgs, prepared: &Prepared, core: &Core) -> Result<Option<Fact>, Failure> {
    let plan = core.plan();
    ui.say(format!("goes on with promotion {} of module {}…", plan.id, plan.module_sha256.short()));
    if plan.module_sha256 != prepared.sha256 || plan.server != prepared.plan.server || plan.from != prepared.plan.from {
        return Err(Failure::could_not(
            format!(
                "promotion {} of module {} from {} to {} is not over, and this is another one",
                plan.id, plan.module_sha256, plan.from, plan.server
            ),
            "run it again with that module and those lanes; with --go-back to end it",
        ));
    }
    if core.goes_back() {
        return Ok(None);
    }
    if args.go_back {
        return Ok(Some(Fact::Withdrawn { reasons: vec!["--go-back was given".into()] }));
    }
    if prepared.admission.suffices() {
        return Ok(None);
    }
    let reasons = prepared.admission.shortcomings.iter().map(|it| one_line(&it.to_string())).collect();
    Ok(Some(Fact::Withdrawn { reasons }))
}

/// What must be so before a promotion may begin at all, and is no matter of evidence.
fn begin_check(args: &PromoteArgs, prepared: &Prepared) -> Result<(), Failure> {
    for gate in prepared.plan.gates.iter().chain([&prepared.plan.watch_gate]) {
        gate.parse::<muster_gates::gates::GateName>().map_err(could_not)?;
    }
    if prepared.plan.candidate == prepared.plan.database {
        return Err(Failure::could_not("the candidate is the lane's own database", "name another with --candidate"));
    }
    match shares(args)? {
        None if !prepared.policy.cohorts.is_empty() => Err(Failure::could_not(
            format!("nothing hands the candidate to {:?} % of the clients", prepared.policy.cohorts),
            "add --control-state-dir DIR, or write cohorts = [] in the policy's [target]",
        )),
        Some(shares) => match shares.standing(&prepared.plan.database)? {
            Some((candidate, percent)) if candidate != prepared.plan.candidate && percent != "0" => Err(Failure::no(
                format!("{percent} % of the clients of {} get {candidate} already", prepared.plan.database),
                "make that the lane's database and clear the cohort first (muster control cohort clear)",
            )),
            _ => Ok(()),
        },
        None => Ok(()),
    }
}

fn shares(args: &PromoteArgs) -> Result<Option<Shares>, Failure> {
    args.control_state_dir.as_deref().map(Shares::open).transpose()
}

/// The evidence does not suffice: says so, and leaves that as evidence too.
fn refuse(ui: &Ui, args: &PromoteArgs, prepared: &Prepared, signer: &Signer) -> Outcome {
    let missing = &prepared.admission.shortcomings;
    let reasons = missing.iter().map(|it| one_line(&it.to_string())).collect();
    let decision = Decision::of(&prepared.plan, Act::Refused, reasons, Timestamp::now());
    let written = prepared.folder.write_decision(&decision, signer);
    if let Err(error) = written {
        // The answer is no, written down or not.
        ui.complain(error.to_string());
    }
    or_unread(if args.json {
        ui.print_json(&Document::plan("refused", &prepared.plan, &prepared.admission))
    } else {
        ui.print(shown::missing(&prepared.plan, &prepared.admission))
    })?;
    Ok(Exit::No)
}

fn tell_plan(ui: &Ui, args: &PromoteArgs, prepared: &Prepared) -> Outcome {
    let under_way = Journal::peek(&prepared.journal).map_err(could_not)?.filter(|core| !core.is_over());
    let suffices = prepared.admission.suffices();
    or_unread(if args.json {
        ui.print_json(&Document::plan(
            if suffices { "would_begin" } else { "refused" },
            &prepared.plan,
            &prepared.admission,
        ))
    } else if suffices {
        ui.print(shown::plan(&prepared.plan, &prepared.admission, under_way.as_ref()))
    } else {
        ui.print(shown::missing(&prepared.plan, &prepared.admission))
    })?;
    Ok(if suffices { Exit::Done } else { Exit::No })
}

/// Where the target's gates are run: the candidate, as the lane.
fn site(args: &PromoteArgs, target: &Target, prepared: &Prepared) -> Result<Site, Failure> {
    let name = args.to.to_string();
    let file = args.gates.clone().or_else(|| Some(PathBuf::from("gates.toml")).filter(|file| file.exists()));
    let settings = file.map(|file| Settings::read(&file, &name)).transpose().map_err(could_not)?.unwrap_or_default();
    Ok(Site {
        name,
        lane: target.place.lane.clone(),
        endpoint: target.place.endpoint.clone().with_database(&prepared.plan.candidate)?,
        token: target.token.clone(),
        settings,
        module: Some(prepared.module.clone()),
        run: RunId::new(),
    })
}
