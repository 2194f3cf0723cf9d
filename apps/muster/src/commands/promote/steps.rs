//! What a promotion does to hosts, to the token service and to the evidence folder.
//!
//! What always holds: each step asks first how things stand, so that it may be taken again; what is published is the bytes
//! whose digest the evidence names, and the host's own hash of what it then runs is compared.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use muster_gates::evidence::{Act, Decision, EvidenceDir, Signer};
use muster_gates::gates::{GateName, RunId, Site, Stage, clean};
use muster_gates::promote::judge::reasons;
use muster_gates::promote::{Plan, Step, StepError, Steps, Watched};
use muster_gates::{GateReport, GateResult};
use muster_wire::http::{CallReply, HttpClient, HttpError, PublishOptions};
use muster_wire::sats::hash::hash_bytes;

use crate::outcome::{Failure, one_line};
use crate::target::Target;
use crate::ui::Ui;

/// How long is waited between two runs of the gate that watches a share.
const WATCH_EVERY: Duration = Duration::from_secs(5);
/// The name under which changes stand in the token service's audit log.
#[cfg(feature = "control")]
const ACTOR: &str = "muster promote";

/// Hundredths of a percent in one.
pub(super) const HUNDREDTHS: u32 = 100;

/// Who gets a candidate now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// The candidate.
    pub(super) candidate: String,
    /// How large a share of the clients, in hundredths of a percent.
    pub(super) hundredths: u32,
}

impl Standing {
    /// The share in percent.
    pub(super) fn percent(&self) -> f64 {
        f64::from(self.hundredths) / f64::from(HUNDREDTHS)
    }
}

/// The shares that a token service hands out.
pub(super) struct Shares {
    #[cfg(feature = "control")]
    control: muster_control::Control,
}

#[cfg(feature = "control")]
impl Shares {
    /// Opens a service's state, beside the running service.
    pub(super) fn open(state: &Path) -> Result<Shares, Failure> {
        Ok(Shares { control: muster_control::Control::manage(state)? })
    }

    /// The database that the service hands out.
    pub(super) fn serves(&self) -> Option<String> {
        self.control.config().database.clone()
    }

    /// Which candidate the clients of a database get, and how many of them.
    pub(super) fn standing(&self, database: &str) -> Result<Option<Standing>, Failure> {
        let cohort = self.control.cohort_list()?.into_iter().find(|it| it.database == database);
        Ok(cohort.map(|it| Standing { candidate: it.candidate, hundredths: it.share.hundredths() }))
    }

    fn set(&self, database: &str, candidate: &str, percent: u8) -> Result<(), Failure> {
        let share = muster_control::Share::of_hundredths(u32::from(percent) * HUNDREDTHS);
        self.control.cohort_set(ACTOR, database, candidate, share)?;
        Ok(())
    }

    fn clear(&self, database: &str) -> Result<(), Failure> {
        self.control.cohort_clear(ACTOR, database)?;
        Ok(())
    }
}

#[cfg(not(feature = "control"))]
impl Shares {
    pub(super) fn open(_: &Path) -> Result<Shares, Failure> {
        Err(Failure::could_not(
            "this muster was built without the token service",
            "build it with the feature `control`",
        ))
    }

    pub(super) fn serves(&self) -> Option<String> {
        None
    }

    pub(super) fn standing(&self, _: &str) -> Result<Option<Standing>, Failure> {
        Ok(None)
    }

    fn set(&self, _: &str, _: &str, _: u8) -> Result<(), Failure> {
        Ok(())
    }

    fn clear(&self, _: &str) -> Result<(), Failure> {
        Ok(())
    }
}

/// The target.
pub(super) struct Lane<'a> {
    ui: &'a Ui,
    http: HttpClient,
    site: Site,
    folder: EvidenceDir,
    signer: Signer,
    shares: Option<Shares>,
    module: Vec<u8>,
}

impl<'a> Lane<'a> {
    pub(super) fn new(
        ui: &'a Ui,
        target: &Target,
        site: Site,
        folder: EvidenceDir,
        signer: Signer,
        shares: Option<Shares>,
        module: Vec<u8>,
    ) -> Result<Lane<'a>, Failure> {
        let http = HttpClient::new(site.endpoint.clone(), target.token.clone())?;
        Ok(Lane { ui, http, site, folder, signer, shares, module })
    }

    /// Runs a gate on the candidate.
    async fn run(&self, plan: &Plan, name: &str) -> Result<GateReport, StepError> {
        let gate: GateName = name.parse().map_err(lasting)?;
        let site = Site { run: RunId::new(), ..self.site.clone() };
        let stage = Stage::open(site.clone()).await.map_err(passing)?;
        let ui = *self.ui;
        let report = gate.run(&stage, Arc::new(move |what: &str| ui.detail(format!("  {what}")))).await;
        for left in clean(&site).await.left {
            self.ui.complain(format!("not removed: {left}"));
        }
        if report.module_sha256 != plan.module_sha256 {
            let (is, wanted) = (report.module_sha256, plan.module_sha256);
            return Err(lasting(format!(
                "{} runs module sha256 {is}, not {wanted}: somebody published",
                plan.candidate
            )));
        }
        Ok(report)
    }

    fn write(&self, report: &GateReport) -> Result<(), StepError> {
        self.folder.write(report, &self.signer).map(|_| ()).map_err(passing)
    }

    /// The host's hash of what the candidate runs; nothing if there is no such database.
    async fn running(&self) -> Result<Option<String>, StepError> {
        match self.http.running_program().await {
            Ok(hash) => Ok(hash),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(of_http(&error)),
        }
    }

    async fn set_up(&self, plan: &Plan) -> Result<(), StepError> {
        for call in &plan.setup {
            match self.http.call(&call.call, &call.args.clone().into()).await {
                Ok(CallReply::Returned(_)) => {}
                Ok(CallReply::Refused(why)) => return Err(lasting(format!("{} refuses: {why}", call.call))),
                Err(error) => return Err(of_http(&error)),
            }
        }
        Ok(())
    }
}

/// What may go better the next time.
fn passing(error: impl std::fmt::Display) -> StepError {
    StepError { why: one_line(&error.to_string()), is_passing: true }
}

/// What will not.
fn lasting(error: impl std::fmt::Display) -> StepError {
    StepError { why: one_line(&error.to_string()), is_passing: false }
}

/// A refusal stays one; a host that is away may come back.
fn of_http(error: &HttpError) -> StepError {
    match error.status() {
        Some(status) if (400..500).contains(&status) && status != 429 => lasting(error),
        _ => passing(error),
    }
}

impl Steps for Lane<'_> {
    async fn record(&mut self, plan: &Plan, act: Act, reasons: &[String]) -> Result<(), StepError> {
        let decision = Decision::of(plan, act, reasons.to_vec(), Timestamp::now());
        self.folder.write_decision_once(&decision, &self.signer).map(|_| ()).map_err(passing)
    }

    async fn publish(&mut self, plan: &Plan) -> Result<(), StepError> {
        let wanted = hash_bytes(&self.module).to_hex().to_string();
        match self.running().await? {
            Some(hash) if hash == wanted => self.ui.detail(format!("{} runs it already", plan.candidate)),
            Some(hash) => {
                let why = format!("{} exists and runs another module (host's hash {hash})", plan.candidate);
                return Err(lasting(format!("{why}; name another with --candidate, or delete it")));
            }
            None => {
                let done = self.http.publish(self.module.clone(), &PublishOptions::default()).await;
                done.map_err(|error| of_http(&error))?;
                let now = self.running().await?;
                if now.as_deref() != Some(wanted.as_str()) {
                    return Err(passing(format!("the host says that {} runs {now:?}, not {wanted}", plan.candidate)));
                }
            }
        }
        self.set_up(plan).await
    }

    async fn gate(&mut self, plan: &Plan, name: &str) -> Result<(GateResult, Vec<String>), StepError> {
        let report = self.run(plan, name).await?;
        self.write(&report)?;
        Ok((report.result, reasons(&report)))
    }

    async fn widen(&mut self, plan: &Plan, percent: u8) -> Result<(), StepError> {
        let shares = self.shares.as_ref().ok_or_else(|| lasting("no token service was named (--control-state-dir)"))?;
        let wanted = Standing { candidate: plan.candidate.clone(), hundredths: u32::from(percent) * HUNDREDTHS };
        match shares.standing(&plan.database).map_err(passing)? {
            Some(standing) if standing == wanted => return Ok(()),
            // Somebody else sends clients elsewhere, or more of them here: they must not be taken away from there.
            Some(it)
                if it.hundredths > 0 && (it.candidate != wanted.candidate || it.hundredths > wanted.hundredths) =>
            {
                let (share, candidate) = (it.percent(), it.candidate);
                return Err(lasting(format!("somebody has sent {share} % of the clients to {candidate} meanwhile")));
            }
            _ => {}
        }
        shares.set(&plan.database, &plan.candidate, percent).map_err(passing)
    }

    async fn watch(&mut self, plan: &Plan, percent: u8) -> Result<Watched, StepError> {
        let until = Instant::now() + Duration::from_secs(plan.soak_s);
        loop {
            let report = self.run(plan, &plan.watch_gate).await?;
            let is_over = Instant::now() >= until;
            // What was well in between is not kept: a long watch would bury the rest of the folder.
            if report.result != GateResult::Passed || is_over {
                self.write(&report)?;
            }
            let because = || reasons(&report).iter().map(|it| format!("{}: {it}", plan.watch_gate)).collect();
            match report.result {
                GateResult::Passed if is_over => return Ok(Watched { held: true, reasons: Vec::new() }),
                GateResult::Passed => {
                    self.ui.detail(format!("{percent} %: {} passed", plan.watch_gate));
                    tokio::time::sleep(WATCH_EVERY.min(until.saturating_duration_since(Instant::now()))).await;
                }
                _ => return Ok(Watched { held: false, reasons: because() }),
            }
        }
    }

    async fn narrow(&mut self, plan: &Plan) -> Result<(), StepError> {
        let Some(shares) = &self.shares else {
            // Nobody was ever sent to the candidate where nothing sends anybody; a share must not be left behind.
            return match plan.cohorts.is_empty() {
                true => Ok(()),
                false => Err(lasting("no token service was named; add --control-state-dir")),
            };
        };
        match shares.standing(&plan.database).map_err(passing)? {
            Some(standing) if standing.candidate == plan.candidate => shares.clear(&plan.database).map_err(passing),
            _ => Ok(()),
        }
    }

    async fn pause(&mut self, how_long: Duration) {
        tokio::time::sleep(how_long).await;
    }

    fn tell(&mut self, plan: &Plan, next: &Step) {
        let candidate = &plan.candidate;
        match next {
            Step::Record(act) => self.ui.detail(format!("writes down: {}", act.as_str())),
            Step::Publish => self.ui.say(format!("publishes to {candidate}")),
            Step::Gate(name) => self.ui.say(format!("runs {name} on {candidate}")),
            Step::Widen(percent) => self.ui.say(format!("sends {percent} % to {candidate}")),
            Step::Watch(percent) => self.ui.say(format!("watches {percent} % for {} s", plan.soak_s)),
            Step::Narrow => self.ui.say(format!("sends everybody back to {}", plan.database)),
            Step::Done(_) => {}
        }
    }
}
