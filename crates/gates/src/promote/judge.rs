//! Whether the evidence suffices, and what is missing where it does not.
//!
//! What always holds: a pure function of the policy, what was verified, the module and the time; the newest run of a gate
//! about this very module counts, so a run that passed is outweighed by a later one that did not, later by its clock or by
//! its place in the folder; inconclusive is not passed; what ran elsewhere than where the lane's variables lead proves
//! nothing, whatever lane it names; a folder with anything wrong in it but a stranger's signature proves nothing.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::policy::{Policy, Requirement};
use crate::evidence::{Body, Code, Entry, Input, Verdict};
use crate::report::{GateReport, GateResult, Sha256};

/// What is wrong with a required proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is none.
    Missing,
    /// There is one, of another module.
    OtherModule(Sha256),
    /// There is one that names the lane, of another database or server.
    Elsewhere(Place),
    /// It is older than is allowed, in seconds.
    Stale {
        /// Its age.
        age_s: i64,
        /// What is allowed.
        max_s: u64,
    },
    /// It did not pass.
    Failed(String),
    /// It could not find out.
    Inconclusive(String),
    /// There is one, signed by nobody who counts.
    Stranger,
    /// The folder does not hold.
    Evidence(Code, String),
}

/// Where a lane is, as its variables say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The host's base URL, without a slash at its end.
    pub server: String,
    /// The database, by name or identity.
    pub database: String,
}

/// Where lanes are, by their names: as far as it is known.
pub type Places = BTreeMap<String, Place>;

impl Place {
    /// Whether a gate ran here: by the name that it was given, or by the database's identity.
    fn has(&self, report: &GateReport) -> bool {
        let given = report.configuration.get("database");
        report.server == self.server && (given == Some(&self.database) || report.database == self.database)
    }

    /// Where a gate ran.
    fn of(report: &GateReport) -> Place {
        let given = report.configuration.get("database").unwrap_or(&report.database);
        Place { server: report.server.clone(), database: given.clone() }
    }
}

/// A proof that is required and not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortcoming {
    /// The gate; empty where the whole folder is meant.
    pub gate: String,
    /// The lane; empty where the whole folder is meant.
    pub lane: String,
    /// The file that is meant, if one is.
    pub file: Option<String>,
    /// What is wrong.
    pub why: Why,
}

impl Why {
    /// As it is written and shown.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Why::Missing => "missing",
            Why::OtherModule(_) => "other_module",
            Why::Elsewhere(_) => "elsewhere",
            Why::Stale { .. } => "stale",
            Why::Failed(_) => "failed",
            Why::Inconclusive(_) => "inconclusive",
            Why::Stranger => "stranger",
            Why::Evidence(code, _) => code.as_str(),
        }
    }
}

impl std::fmt::Display for Shortcoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Why::Evidence(code, says) = &self.why {
            return write!(f, "{}: {code}: {says}", self.file.as_deref().unwrap_or("the folder"));
        }
        write!(f, "{} on {}: ", self.gate, self.lane)?;
        match &self.why {
            Why::Missing => write!(f, "missing: no evidence of this module"),
            Why::OtherModule(of) => write!(f, "missing: the evidence is of another module (sha256 {}…)", of.short()),
            Why::Elsewhere(Place { server, database }) => {
                write!(f, "missing: the evidence is of {database} on {server}, where the lane's variables do not lead")
            }
            Why::Stale { age_s, max_s } => write!(f, "stale: {age_s} s old, and {max_s} s are allowed"),
            Why::Failed(what) => write!(f, "failed: {what}"),
            Why::Inconclusive(what) => write!(f, "inconclusive: {what}"),
            Why::Stranger => write!(f, "signed by a stranger: its key is none of the policy's signers"),
            Why::Evidence(..) => Ok(()),
        }?;
        self.file.as_ref().map_or(Ok(()), |file| write!(f, " ({file})"))
    }
}

/// Whether a module may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    /// What it rests on: every proof that suffices.
    pub inputs: Vec<Input>,
    /// What is missing; empty if it may.
    pub shortcomings: Vec<Shortcoming>,
}

impl Admission {
    /// Whether it may.
    pub fn suffices(&self) -> bool {
        self.shortcomings.is_empty()
    }
}

/// Judges what was verified (with the policy's signers, without an age or a head) for this module. Evidence of a lane whose
/// place is not known counts by the lane's name.
pub fn judge(
    policy: &Policy,
    from: &str,
    places: &Places,
    module: Sha256,
    verdict: &Verdict,
    now: Timestamp,
) -> Admission {
    let mut admission = Admission { inputs: Vec::new(), shortcomings: Vec::new() };
    for finding in verdict.findings.iter().filter(|it| it.code != Code::ForeignSigner) {
        admission.shortcomings.push(Shortcoming {
            gate: String::new(),
            lane: String::new(),
            file: Some(finding.file.clone()),
            why: Why::Evidence(finding.code, finding.says.clone()),
        });
    }
    for requirement in &policy.require {
        let own = [from.to_owned()];
        let lanes = if requirement.lanes.is_empty() { &own[..] } else { &requirement.lanes[..] };
        for lane in lanes {
            match proof(requirement, lane, places.get(lane), module, verdict, now) {
                Ok(input) => admission.inputs.push(input),
                Err(shortcoming) => admission.shortcomings.push(shortcoming),
            }
        }
    }
    admission
}

/// The proof of one gate on one lane.
fn proof(
    requirement: &Requirement,
    lane: &str,
    place: Option<&Place>,
    module: Sha256,
    verdict: &Verdict,
    now: Timestamp,
) -> Result<Input, Shortcoming> {
    let gate = requirement.gate.as_str();
    let short = |file: Option<&str>, why| {
        Err(Shortcoming { gate: gate.into(), lane: lane.into(), file: file.map(str::to_owned), why })
    };
    let about = |entry: &'_ Entry| match &entry.statement.body {
        Body::Gate(report) if report.gate == gate && report.lane == lane => Some((**report).clone()),
        _ => None,
    };
    let named = verdict.entries.iter().filter_map(|it| Some((it, about(it)?)));
    let (runs, elsewhere): (Vec<(&Entry, GateReport)>, Vec<_>) =
        named.partition(|(_, report)| place.is_none_or(|place| place.has(report)));
    let of_this = || runs.iter().filter(|(_, report)| report.module_sha256 == module);
    let Some(newest) = of_this().max_by_key(|(entry, report)| (report.finished_at, entry.statement.link.sequence))
    else {
        // Of a stranger's statement nothing is read: only its file's name can say what it may be about.
        let part = format!("-{lane}-{gate}-");
        let mut strangers = verdict.findings.iter().filter(|it| it.code == Code::ForeignSigner);
        if let Some(stranger) = strangers.find(|it| it.file.contains(&part)) {
            return short(Some(&stranger.file), Why::Stranger);
        }
        return match (elsewhere.last(), runs.last()) {
            (Some((entry, report)), _) => short(Some(&entry.file), Why::Elsewhere(Place::of(report))),
            (None, Some((entry, report))) => short(Some(&entry.file), Why::OtherModule(report.module_sha256)),
            (None, None) => short(None, Why::Missing),
        };
    };
    // The clocks of two machines may disagree with the order in which they wrote.
    let last = of_this().max_by_key(|(entry, _)| entry.statement.link.sequence).unwrap_or(newest);
    for (entry, report) in [last, newest] {
        match report.result {
            GateResult::Failed => return short(Some(&entry.file), Why::Failed(reasons(report).join("; "))),
            GateResult::Inconclusive => return short(Some(&entry.file), Why::Inconclusive(reasons(report).join("; "))),
            GateResult::Passed => {}
        }
    }
    let (entry, report) = newest;
    let (age_s, max_s) = (now.as_second() - report.finished_at.as_second(), requirement.max_age.as_secs());
    if age_s > i64::try_from(max_s).unwrap_or(i64::MAX) {
        return short(Some(&entry.file), Why::Stale { age_s, max_s });
    }
    Ok(Input { file: entry.file.clone(), sha256: entry.sha256 })
}

/// What kept a report from passing, one line each.
pub fn reasons(report: &GateReport) -> Vec<String> {
    use crate::observation::Standing;
    let of = |standing| {
        report.with(standing).map(|it| match (&it.note, &it.limit) {
            (Some(note), _) => format!("{}: {note}", it.name),
            (None, Some(limit)) => {
                let unit = it.unit.as_ref().map_or_else(String::new, |it| format!(" {it}"));
                format!("{}: {}{unit}, and the limit is {limit}{unit}", it.name, it.value)
            }
            (None, None) => format!("{}: {}", it.name, it.value),
        })
    };
    let mut all: Vec<String> = of(Standing::Broken).chain(of(Standing::Undecided)).collect();
    if all.is_empty() && report.result != GateResult::Passed {
        all.push("it observed nothing that had to hold".into());
    }
    all
}
