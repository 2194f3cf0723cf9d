//! `muster promote`: from lane to lane on evidence, share by share, and back by itself. What decides stands in
//! `muster_gates::promote`; here are the arguments, what a person sees, and (`promote/steps.rs`) what is done to hosts.
//!
//! What always holds: nothing is published before the evidence suffices; a promotion that was stopped is gone on with
//! before another one begins; whatever it decides is in the evidence folder.

mod checks;
mod shown;
mod steps;

use std::path::PathBuf;

use jiff::Timestamp;
use muster_gates::Sha256;
use muster_gates::evidence::{Act, Decision, EvidenceDir, PublicKey, Signer, Trust, Verdict, verify};
use muster_gates::gates::{RunId, Settings, Site};
use muster_gates::promote::{Admission, Core, End, Journal, Place, Places, Plan, Policy, Stopped, advance, judge};
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
    keys: Vec<PublicKey>,
    module: Vec<u8>,
    verdict: Verdict,
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
    checks::lanes(&args, &target)?;
    let prepared = prepare(ui, &args, &target)?;
    if args.plan {
        return tell_plan(ui, &args, &prepared);
    }
    let signer = args.evidence_key.as_deref().ok_or_else(|| {
        Failure::could_not("nobody would sign what is decided", "add --evidence-key FILE (muster evidence keygen)")
    })?;
    let signer = Signer::read(signer).map_err(could_not)?;
    checks::signer(&args, &prepared, &signer)?;
    let shares = shares(&args)?;
    let mut journal = Journal::open(&prepared.journal).map_err(could_not)?;
    match journal.core() {
        Some(core) if !core.is_over() => {
            if let Some(fact) = checks::resume(ui, &args, &prepared, core, shares.as_ref())? {
                journal.append(&fact).map_err(could_not)?;
            }
        }
        _ if args.go_back => {
            let path = prepared.journal.display();
            return Err(Failure::no(
                format!("no promotion is under way in {path}"),
                "there is nothing to go back from",
            ));
        }
        Some(core) if checks::stands(&target, &prepared, core, shares.as_ref()).await? => {
            ui.say(format!("promotion {} has done this already: nothing is done again", core.plan().id));
            return tell_end(ui, &args, core, End::Completed);
        }
        _ if !prepared.admission.suffices() => return refuse(ui, &args, &prepared, &signer),
        _ => {
            checks::begin(&args, &prepared, shares.as_ref())?;
            journal.begin(prepared.plan.clone()).map_err(could_not)?;
        }
    }
    // Its own plan: where it is gone on with, another candidate than this command line's.
    let candidate = journal.core().expect("it has begun").plan().candidate.clone();
    let site = site(&args, &target, &prepared, &candidate)?;
    let mut lane = Lane::new(ui, &target, site, prepared.folder.clone(), signer, shares, prepared.module.clone())?;
    let end = advance(&mut journal, &mut lane).await.map_err(|stopped| match stopped {
        Stopped::Journal(error) => could_not(error),
        Stopped::Step(error) => Failure::could_not(
            one_line(&format!("the promotion is not over: {error}")),
            "mend that and run this again: it goes on where it stopped",
        ),
    })?;
    tell_end(ui, &args, journal.core().expect("it was gone on with"), end)
}

fn tell_end(ui: &Ui, args: &PromoteArgs, core: &Core, end: End) -> Outcome {
    let result = if end == End::Completed { "completed" } else { "went_back" };
    or_unread(if args.json { ui.print_json(&Document::over(result, core)) } else { ui.print(shown::over(core, end)) })?;
    Ok(if end == End::Completed { Exit::Done } else { Exit::No })
}

fn could_not(error: impl std::fmt::Display) -> Failure {
    Failure::CouldNot(one_line(&error.to_string()))
}

/// Reads and judges everything, and does nothing.
fn prepare(ui: &Ui, args: &PromoteArgs, target: &Target) -> Result<Prepared, Failure> {
    let policy = Policy::read(&args.policy).map_err(could_not)?;
    let keys = policy.signers.iter().map(|path| PublicKey::read(path)).collect::<Result<Vec<_>, _>>();
    let keys = keys.map_err(could_not)?;
    let module = read_limited("the module", &args.module, MODULE_BYTES_MAX)?;
    let sha256 = Sha256::of(&module);
    let folder = EvidenceDir::existing(&args.evidence_dir).map_err(could_not)?;
    let trust = Trust { head: args.head, ..Trust::new(keys.clone(), Timestamp::now()) };
    let verdict = verify(&folder.files().map_err(could_not)?, &trust);
    let places = places(ui, args, &policy);
    let admission = judge(&policy, &args.from.to_string(), &places, sha256, &verdict, trust.now);
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
    Ok(Prepared { folder, policy, keys, module, verdict, admission, plan, journal })
}

/// Where the lanes are whose evidence is required, as far as their variables are here.
fn places(ui: &Ui, args: &PromoteArgs, policy: &Policy) -> Places {
    let mut lanes: Vec<String> = policy.require.iter().flat_map(|it| it.lanes.clone()).collect();
    lanes.push(args.from.to_string());
    lanes.sort_unstable();
    lanes.dedup();
    let mut places = Places::new();
    for lane in lanes {
        match lane.parse().ok().and_then(|name: LaneName| args.target.whereabouts(&name)) {
            Some((server, database)) => {
                places.insert(lane, Place { server, database });
            }
            None => ui.say(format!("the variables of `{lane}` are not here: its evidence counts by the lane's name")),
        }
    }
    places
}

/// A number that no other promotion has.
fn rand_id() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _};
    let mut hasher = std::hash::RandomState::new().build_hasher();
    hasher.write_i128(Timestamp::now().as_nanosecond());
    hasher.write_u32(std::process::id());
    hasher.finish()
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
    if suffices && under_way.is_none() {
        checks::may_begin(prepared, shares(args)?.as_ref())?;
    }
    // What is under way is gone on with as it was begun.
    let plan = under_way.as_ref().map_or(&prepared.plan, Core::plan);
    or_unread(if args.json {
        ui.print_json(&Document::plan(if suffices { "would_begin" } else { "refused" }, plan, &prepared.admission))
    } else if suffices {
        ui.print(shown::plan(plan, &prepared.admission, under_way.as_ref()))
    } else {
        ui.print(shown::missing(plan, &prepared.admission))
    })?;
    Ok(if suffices { Exit::Done } else { Exit::No })
}

/// Where the target's gates are run: the candidate, as the lane.
fn site(args: &PromoteArgs, target: &Target, prepared: &Prepared, candidate: &str) -> Result<Site, Failure> {
    let name = args.to.to_string();
    let file = args.gates.clone().or_else(|| Some(PathBuf::from("gates.toml")).filter(|file| file.exists()));
    let settings = file.map(|file| Settings::read(&file, &name)).transpose().map_err(could_not)?.unwrap_or_default();
    Ok(Site {
        name,
        lane: target.place.lane.clone(),
        endpoint: target.place.endpoint.clone().with_database(candidate)?,
        token: target.token.clone(),
        settings,
        module: Some(prepared.module.clone()),
        run: RunId::new(),
    })
}
