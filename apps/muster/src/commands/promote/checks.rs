//! What must be so before a promotion begins or is gone on with, and is no matter of the evidence that is required.
//!
//! What always holds: nothing is written down and nothing is done here; a journal is believed only as far as signed
//! evidence says the same.

use std::time::Duration;

use jiff::Timestamp;
use muster_gates::evidence::{Act, Body, Signer};
use muster_gates::gates::GateName;
use muster_gates::promote::{Core, End, Fact, Place, Places, Policy, Requirement, Step, judge};
use muster_wire::http::HttpClient;
use muster_wire::sats::hash::hash_bytes;

use super::steps::Shares;
use super::{Prepared, PromoteArgs, could_not};
use crate::limits::CHECK_MS_MAX;
use crate::outcome::{Failure, one_line};
use crate::target::Target;
use crate::ui::Ui;

/// The lanes that are named must be two, and the host the target lane's.
pub(super) fn lanes(args: &PromoteArgs, target: &Target) -> Result<(), Failure> {
    if args.from == args.to {
        return Err(Failure::could_not(
            format!("{} is promoted to itself", args.from),
            "name another lane with --from or --to",
        ));
    }
    match &target.place.lane {
        Some(lane) if lane.name != args.to => Err(Failure::could_not(
            format!("--lane {} is not the lane that the module is for, {}", lane.name, args.to),
            "leave --lane out: it is --to",
        )),
        _ => Ok(()),
    }
}

/// What is decided must count with those who read the policy.
pub(super) fn signer(args: &PromoteArgs, prepared: &Prepared, signer: &Signer) -> Result<(), Failure> {
    if prepared.keys.contains(&signer.public()) {
        return Ok(());
    }
    Err(Failure::could_not(
        format!("the key that would sign what is decided is none of the signers in {}", args.policy.display()),
        "use one of theirs with --evidence-key, or have this one's public half added to `signers`",
    ))
}

/// What must be so before a promotion may begin.
pub(super) fn begin(args: &PromoteArgs, prepared: &Prepared, shares: Option<&Shares>) -> Result<(), Failure> {
    if shares.is_none() && !prepared.plan.cohorts.is_empty() {
        return Err(Failure::could_not(
            format!("nothing hands the candidate to {:?} % of the clients", prepared.plan.cohorts),
            format!("add --control-state-dir DIR, or write cohorts = [] in {}", args.policy.display()),
        ));
    }
    may_begin(prepared, shares)
}

/// The same as far as it can be told without a token service, for a plan.
pub(super) fn may_begin(prepared: &Prepared, shares: Option<&Shares>) -> Result<(), Failure> {
    let plan = &prepared.plan;
    for gate in plan.gates.iter().chain([&plan.watch_gate]) {
        gate.parse::<GateName>().map_err(could_not)?;
    }
    if plan.candidate == plan.database {
        return Err(Failure::could_not("the candidate is the lane's own database", "name another with --candidate"));
    }
    let Some(shares) = shares else { return Ok(()) };
    serves(shares, &plan.database)?;
    match shares.standing(&plan.database)? {
        // Also of this very candidate: the first share would take clients away from where they are.
        Some(standing) if standing.hundredths > 0 => Err(Failure::no(
            format!("{} % of the clients of {} get {} already", standing.percent(), plan.database, standing.candidate),
            "make that the lane's database and clear the cohort first (muster control cohort clear)",
        )),
        _ => Ok(()),
    }
}

/// A share of a database that the service does not hand out is a share of nobody.
fn serves(shares: &Shares, database: &str) -> Result<(), Failure> {
    let served = shares.serves();
    if served.as_deref() == Some(database) {
        return Ok(());
    }
    let served = served.map_or_else(|| "no database".to_owned(), |it| format!("`{it}`"));
    Err(Failure::could_not(
        format!(
            "the token service of --control-state-dir hands out {served}, and not `{database}`: nobody would be sent"
        ),
        format!("name the state folder of the target's service, and start that with --database {database}"),
    ))
}

/// Whether a promotion that is over is this one, and everything is still as it left it.
pub(super) async fn stands(
    target: &Target,
    prepared: &Prepared,
    core: &Core,
    shares: Option<&Shares>,
) -> Result<bool, Failure> {
    let (plan, now) = (core.plan(), &prepared.plan);
    let is_it = core.next() == Step::Done(End::Completed)
        && plan.module_sha256 == now.module_sha256
        && (&plan.from, &plan.to, &plan.server) == (&now.from, &now.to, &now.server)
        && (&plan.database, &plan.candidate) == (&now.database, &now.candidate);
    if !is_it {
        return Ok(false);
    }
    if let Some(last) = plan.cohorts.last() {
        let Some(shares) = shares else { return Ok(false) };
        let is_all = |it: super::steps::Standing| {
            it.candidate == plan.candidate && it.hundredths == u32::from(*last) * super::steps::HUNDREDTHS
        };
        if !shares.standing(&plan.database)?.is_some_and(is_all) {
            return Ok(false);
        }
    }
    let endpoint = target.place.endpoint.clone().with_database(&plan.candidate)?;
    let http = HttpClient::new(endpoint, target.token.clone())?.with_timeout(Duration::from_millis(CHECK_MS_MAX));
    match http.running_program().await {
        Ok(running) => Ok(running.as_deref() == Some(hash_bytes(&prepared.module).to_hex().as_str())),
        Err(error) if error.status() == Some(404) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// What is to be written down before a promotion that was stopped goes on.
pub(super) fn resume(
    ui: &Ui,
    args: &PromoteArgs,
    prepared: &Prepared,
    core: &Core,
    shares: Option<&Shares>,
) -> Result<Option<Fact>, Failure> {
    let (plan, now) = (core.plan(), &prepared.plan);
    ui.say(format!("goes on with promotion {} of module {}…", plan.id, plan.module_sha256.short()));
    let is_it = plan.module_sha256 == now.module_sha256
        && (&plan.from, &plan.to, &plan.server, &plan.database) == (&now.from, &now.to, &now.server, &now.database)
        && args.candidate.as_ref().is_none_or(|candidate| *candidate == plan.candidate);
    if !is_it {
        return Err(Failure::could_not(
            format!(
                "promotion {} of module {} from {} to {} ({} beside {} on {}) is not over, and this is another one",
                plan.id, plan.module_sha256, plan.from, plan.to, plan.candidate, plan.database, plan.server
            ),
            "run it again with that module, those lanes and that candidate; with --go-back to end it",
        ));
    }
    if core.goes_back() {
        return Ok(None);
    }
    if args.go_back {
        return Ok(Some(Fact::Withdrawn { reasons: vec!["--go-back was given".into()] }));
    }
    if core.is_admitted() && !is_signed(prepared, core) {
        return Err(Failure::could_not(
            format!(
                "{} tells of promotion {}, which no signer of the policy has admitted",
                prepared.journal.display(),
                plan.id
            ),
            "find out who wrote that; --go-back ends it",
        ));
    }
    match shares {
        None if !plan.cohorts.is_empty() => {
            return Err(Failure::could_not(
                format!("promotion {} sends clients to {}, and nothing was named that does", plan.id, plan.candidate),
                "add --control-state-dir DIR, as at its beginning",
            ));
        }
        Some(shares) if !plan.cohorts.is_empty() => serves(shares, &plan.database)?,
        _ => {}
    }
    let mut missing = prepared.admission.shortcomings.clone();
    missing.extend(unproven(prepared, core));
    if missing.is_empty() {
        return Ok(None);
    }
    let reasons = missing.iter().map(|it| one_line(&it.to_string())).collect();
    Ok(Some(Fact::Withdrawn { reasons }))
}

/// Whether a signed decision has admitted this very plan.
fn is_signed(prepared: &Prepared, core: &Core) -> bool {
    let digest = core.plan().digest();
    let is_it = |body: &Body| matches!(body, Body::Decision(it) if it.act == Act::Admitted && it.plan_sha256 == digest);
    prepared.verdict.entries.iter().any(|it| is_it(&it.statement.body))
}

/// What the journal says has passed on the candidate, and no signed evidence does.
fn unproven(prepared: &Prepared, core: &Core) -> Vec<muster_gates::promote::Shortcoming> {
    let plan = core.plan();
    let place = Place { server: plan.server.clone(), database: plan.candidate.clone() };
    let requirement =
        |gate: &String| Requirement { gate: gate.clone(), lanes: vec![plan.to.clone()], max_age: Duration::MAX };
    let policy = Policy { require: core.passed().iter().map(requirement).collect(), ..prepared.policy.clone() };
    let places = Places::from([(plan.to.clone(), place)]);
    let judged = judge(&policy, &plan.to, &places, plan.module_sha256, &prepared.verdict, Timestamp::now());
    // What is wrong with the whole folder has been said already.
    judged.shortcomings.into_iter().filter(|it| !it.gate.is_empty()).collect()
}
