//! `muster gate`: asks a lane whether it holds, says what it saw, and leaves signed evidence.
//!
//! What always holds: what will be done to the lane is said before anything is; what the gates made there is removed after,
//! also when one fails or a signal ends the run; the exit code is the worst result: 0 passed, 1 failed, 2 inconclusive or
//! not run at all.

use std::path::PathBuf;
use std::sync::Arc;

use muster_gates::evidence::{EvidenceDir, Signer};
use muster_gates::gates::{GateName, RunId, Settings, Site, Stage, clean};
use muster_gates::{GateReport, GateResult, Observation, Standing};
use serde::Serialize;

use crate::limits::MODULE_BYTES_MAX;
use crate::outcome::{Exit, Failure, Outcome};
use crate::signals::Stop;
use crate::table;
use crate::target::{Target, TargetArgs, read_limited};
use crate::ui::{Ui, or_unread};

/// Where the lanes' permissions and limits lie, unless `--gates` says otherwise.
const GATES_FILE: &str = "gates.toml";
/// The schema of what `--json` prints.
const SCHEMA: &str = "muster.gate.v1";

/// The arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The gates: provision, handshake, contract, replay, security, drills, slo; `all` runs them in this
order; drills.NAME runs one drill. Each says first what it will do to the lane; --plan only says it.
What a lane allows beyond streams below `muster.gate`, its limits, and the drills that are run there
stand in gates.toml. Whatever writes needs the token of the database's owner, who alone can remove
it again.

Exit codes: 0 all passed; 1 one failed; 2 one is inconclusive, or none could run.

Examples:
  muster gate all --lane staging --plan
  muster gate all --lane staging --evidence-dir evidence --evidence-key operator.pem
  muster gate drills.partition --server http://127.0.0.1:3000 --database presence --as-lane local")]
pub(crate) struct GateArgs {
    /// Which gates, or `all`
    #[arg(required = true, value_name = "NAME|all")]
    names: Vec<String>,
    /// Leave signed evidence of each gate in this folder, made if missing
    #[arg(long, value_name = "DIR", requires = "evidence_key")]
    evidence_dir: Option<PathBuf>,
    /// The key that signs it, from `muster evidence keygen`
    #[arg(long, alias = "key", value_name = "FILE", env = "MUSTER_EVIDENCE_KEY", hide_env_values = true)]
    evidence_key: Option<PathBuf>,
    /// What the lanes allow and demand [default: gates.toml here, if there is one]
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// With --server: the lane's name, for its section of gates.toml and for the evidence
    #[arg(long, value_name = "NAME", conflicts_with = "lane")]
    as_lane: Option<String>,
    /// The module that should run there
    #[arg(long, value_name = "FILE.wasm")]
    module: Option<PathBuf>,
    /// Say what would be done to the lane, and do nothing
    #[arg(long)]
    plan: bool,
    /// Print one JSON object (muster.gate.v1)
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: TargetArgs,
}

/// Runs.
pub(crate) async fn run(ui: &Ui, args: GateArgs) -> Outcome {
    let gates = named(&args.names)?;
    let signer = args.evidence_key.as_deref().filter(|_| args.evidence_dir.is_some()).map(Signer::read).transpose();
    let signer = signer.map_err(|error| Failure::CouldNot(error.to_string()))?;
    let folder = args.evidence_dir.as_deref().map(EvidenceDir::open).transpose();
    let folder = folder.map_err(|error| Failure::CouldNot(error.to_string()))?;
    let target = args.target.resolve(ui).await?;
    let site = site(&args, &target)?;
    let stage = Stage::open(site.clone()).await.map_err(|error| Failure::CouldNot(error.to_string()))?;
    let plan: Vec<_> = gates.iter().map(|gate| Planned::of(*gate, &stage)).collect();
    if args.plan {
        if args.json {
            ui.print_json(&Plan { schema: SCHEMA, lane: &site.name, server: site.endpoint.base(), plan })?;
        } else {
            ui.print(plan.iter().map(Planned::line).collect::<Vec<_>>().join("\n"))?;
        }
        return Ok(Exit::Done);
    }
    for planned in &plan {
        ui.say(planned.line());
    }
    let mut stop = Stop::listen()?;
    let ran = tokio::select! {
        code = stop.wait_for_code() => Err(code),
        reports = run_all(ui, &gates, &stage, folder.as_ref().zip(signer.as_ref())) => Ok(reports),
    };
    let cleaned = clean(&site).await;
    if cleaned.removed > 0 {
        ui.detail(format!("removed {} streams and databases of this run", cleaned.removed));
    }
    for left in &cleaned.left {
        ui.complain(format!("not removed: {left}"));
    }
    let (reports, written) = match ran {
        Ok(ran) => ran?,
        Err(code) => return Ok(Exit::Interrupted(code)),
    };
    or_unread(if args.json {
        let result = worst(&reports);
        let left = &cleaned.left;
        ui.print_json(&Document { schema: SCHEMA, result, reports: &reports, evidence: &written, left })
    } else {
        ui.print(shown(&reports))
    })?;
    for path in &written {
        ui.say(format!("evidence   {path}"));
    }
    verdict(&reports)
}

/// Which gates are meant.
fn named(names: &[String]) -> Result<Vec<GateName>, Failure> {
    if let [all] = names
        && all == "all"
    {
        return Ok(GateName::ALL.into());
    }
    let parsed = names.iter().map(|name| name.parse::<GateName>()).collect::<Result<Vec<_>, _>>();
    parsed.map_err(|error| Failure::CouldNot(format!("{error}; or write `all`")))
}

fn site(args: &GateArgs, target: &Target) -> Result<Site, Failure> {
    let place = &target.place;
    let lane_name = place.lane.as_ref().map(|lane| lane.name.to_string());
    let name = lane_name.or_else(|| args.as_lane.clone()).unwrap_or_else(|| place.endpoint.base().to_owned());
    let file = args.gates.clone().or_else(|| Some(PathBuf::from(GATES_FILE)).filter(|file| file.exists()));
    let settings = file.map(|file| Settings::read(&file, &name)).transpose();
    let settings = settings.map_err(|error| Failure::CouldNot(error.to_string()))?.unwrap_or_default();
    let module = args.module.as_deref().map(|file| read_limited("--module", file, MODULE_BYTES_MAX)).transpose()?;
    Ok(Site {
        name,
        lane: place.lane.clone(),
        endpoint: place.endpoint.clone(),
        token: target.token.clone(),
        settings,
        module,
        run: RunId::new(),
    })
}

/// Runs them, and leaves the evidence of each as soon as it is over, so that nobody can end the run after one that failed and
/// have no trace of it. The reports, and the files of evidence.
async fn run_all(
    ui: &Ui,
    gates: &[GateName],
    stage: &Stage,
    keep: Option<(&EvidenceDir, &Signer)>,
) -> Result<(Vec<GateReport>, Vec<String>), Failure> {
    let (mut reports, mut written) = (Vec::with_capacity(gates.len()), Vec::new());
    for gate in gates {
        ui.detail(format!("{gate} begins"));
        let talker = *ui;
        let report = gate.run(stage, Arc::new(move |what: &str| talker.detail(format!("  {what}")))).await;
        ui.detail(format!("{gate} {}", report.result));
        if let Some((folder, signer)) = keep {
            let file = folder.write(&report, signer).map_err(|error| Failure::CouldNot(error.to_string()))?;
            written.push(file.path.display().to_string());
        }
        reports.push(report);
    }
    Ok((reports, written))
}

fn worst(reports: &[GateReport]) -> GateResult {
    reports.iter().map(|report| report.result).max().unwrap_or(GateResult::Inconclusive)
}

/// The exit code, and a line where nothing was found out.
fn verdict(reports: &[GateReport]) -> Outcome {
    match worst(reports) {
        GateResult::Passed => Ok(Exit::Done),
        GateResult::Failed => Ok(Exit::No),
        GateResult::Inconclusive => {
            let open = reports.iter().filter(|report| report.result == GateResult::Inconclusive);
            let open: Vec<_> = open.map(|report| report.gate.as_str()).collect();
            Err(Failure::could_not(
                format!("inconclusive: {}", open.join(", ")),
                "what could not be found out, and what to do about it, stands above",
            ))
        }
    }
}

/// A table of the gates, and under it everything that did not hold or could not be found out.
fn shown(reports: &[GateReport]) -> String {
    let head = ["gate", "result", "held", "broken", "undecided", "s"].map(String::from);
    let rows: Vec<_> = reports
        .iter()
        .map(|report| {
            let count = |standing| report.with(standing).count().to_string();
            let took = report.finished_at.duration_since(report.started_at).as_secs_f64();
            vec![
                report.gate.clone(),
                report.result.to_string(),
                count(Standing::Held),
                count(Standing::Broken),
                count(Standing::Undecided),
                format!("{took:.1}"),
            ]
        })
        .collect();
    let mut text = table::render(&head, &rows);
    for report in reports {
        for standing in [Standing::Broken, Standing::Undecided] {
            for observation in report.with(standing) {
                text.push_str(&format!("\n{}", finding(report, observation)));
            }
        }
    }
    text
}

/// One thing that did not hold, in words: `replay: host.lost is 1 events (allowed 0): …`.
fn finding(report: &GateReport, seen: &Observation) -> String {
    let unit = seen.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let allowed = seen.limit.as_ref().map(|limit| format!(" (allowed {limit})")).unwrap_or_default();
    let note = seen.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    let word = if seen.standing == Standing::Broken { "broken   " } else { "undecided" };
    format!("{word}  {}: {} is {}{unit}{allowed}{note}", report.gate, seen.name, seen.value)
}

/// What a gate will do.
#[derive(Serialize)]
struct Planned {
    gate: String,
    does: String,
    is_disruptive: bool,
}

impl Planned {
    fn of(gate: GateName, stage: &Stage) -> Planned {
        let effects = gate.effects(stage);
        Planned { gate: gate.to_string(), does: effects.says, is_disruptive: effects.is_disruptive }
    }

    fn line(&self) -> String {
        let mark = if self.is_disruptive { " [DISRUPTIVE]" } else { "" };
        format!("{:<10}{mark} {}", self.gate, self.does)
    }
}

/// What `--plan --json` prints.
#[derive(Serialize)]
struct Plan<'a> {
    schema: &'static str,
    lane: &'a str,
    server: &'a str,
    plan: Vec<Planned>,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Document<'a> {
    schema: &'static str,
    /// The worst of them.
    result: GateResult,
    reports: &'a [GateReport],
    /// The files of evidence.
    evidence: &'a [String],
    /// What could not be removed from the lane.
    left: &'a [String],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_named_and_all_means_all() {
        assert_eq!(named(&["all".into()]), Ok(GateName::ALL.into()));
        let one = named(&["replay".into(), "drills.half-open".into()]).expect("gates");
        assert_eq!(one.iter().map(ToString::to_string).collect::<Vec<_>>(), ["replay", "drills.half-open"]);
        assert!(named(&["replays".into()]).expect_err("no gate").to_string().contains("`replays` is no gate"));
    }
}
