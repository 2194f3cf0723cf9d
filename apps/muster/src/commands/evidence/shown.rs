//! What a person and a script see of evidence.
//!
//! What always holds: text that came from a file is one line without control characters.

use muster_gates::evidence::{Body, Code, Entry, Finding, Verdict};
use muster_gates::{GateReport, Observation, Standing};
use serde::Serialize;

use crate::outcome::one_line;
use crate::table::{self, visible};

/// What `verify --json` prints.
#[derive(Serialize)]
pub(super) struct Verified<'a> {
    schema: &'static str,
    holds: bool,
    statements: usize,
    /// What to give as --head the next time.
    head: Option<String>,
    findings: Vec<Found<'a>>,
}

#[derive(Serialize)]
struct Found<'a> {
    file: &'a str,
    code: Code,
    says: &'a str,
}

impl<'a> Verified<'a> {
    pub(super) fn of(verdict: &'a Verdict) -> Verified<'a> {
        let found = |it: &'a Finding| Found { file: &it.file, code: it.code, says: &it.says };
        Verified {
            schema: "muster.evidence.verify.v1",
            holds: verdict.holds(),
            statements: verdict.entries.len(),
            head: verdict.head.map(|it| it.to_string()),
            findings: verdict.findings.iter().map(found).collect(),
        }
    }
}

/// What `verify` prints.
pub(super) fn verified(verdict: &Verdict) -> String {
    let mut lines: Vec<String> = verdict.findings.iter().map(finding).collect();
    let head = verdict.head.map_or_else(String::new, |head| format!("; head {head}"));
    let count = verdict.entries.len();
    lines.push(match verdict.findings.len() {
        0 => format!("holds: {count} statements{head}"),
        found => format!("does not hold: {found} findings; {count} statements have a trusted signature{head}"),
    });
    lines.join("\n")
}

/// One thing that does not hold.
pub(super) fn finding(finding: &Finding) -> String {
    let file = if finding.file.is_empty() { "(the folder)" } else { &finding.file };
    one_line(&format!("{file}: {}: {}", finding.code, finding.says))
}

/// What `list --json` prints.
#[derive(Serialize)]
pub(super) struct Listed {
    schema: &'static str,
    statements: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    sequence: u64,
    file: String,
    sha256: String,
    signer: String,
    kind: &'static str,
    gate: Option<String>,
    lane: String,
    result: String,
    module_sha256: String,
    at: String,
}

impl Item {
    fn of(entry: &Entry) -> Item {
        let (kind, gate, lane, result) = match entry.body() {
            Body::Gate(report) => ("gate", Some(report.gate.clone()), &report.lane, report.result.as_str()),
            Body::Decision(decision) => ("promotion", None, &decision.to, decision.act.as_str()),
        };
        Item {
            sequence: entry.statement.link.sequence,
            file: entry.file.clone(),
            sha256: entry.sha256.to_string(),
            signer: entry.signer.to_string(),
            kind,
            gate,
            lane: lane.clone(),
            result: result.into(),
            module_sha256: entry.body().module_sha256().to_string(),
            at: entry.body().at().to_string(),
        }
    }
}

impl Listed {
    pub(super) fn of(verdict: &Verdict) -> Listed {
        Listed { schema: "muster.evidence.list.v1", statements: verdict.entries.iter().map(Item::of).collect() }
    }
}

/// What `list` prints.
pub(super) fn listed(verdict: &Verdict) -> String {
    let head = ["no.", "what", "lane", "result", "module", "signer", "at"].map(String::from);
    let row = |item: Item| {
        let what = item.gate.unwrap_or_else(|| item.kind.into());
        let short = |digest: &str| digest[..8].to_owned();
        let (module, signer) = (short(&item.module_sha256), short(&item.signer));
        vec![item.sequence.to_string(), visible(&what), visible(&item.lane), item.result, module, signer, item.at]
    };
    let rows: Vec<_> = verdict.entries.iter().map(|entry| row(Item::of(entry))).collect();
    table::render(&head, &rows)
}

/// What `show` prints.
pub(super) fn entry(entry: &Entry) -> String {
    let mut lines = vec![
        format!("statement  {} of chain {}", entry.statement.link.sequence, one_line(&entry.statement.link.chain)),
        format!("module     sha256 {}", entry.body().module_sha256()),
        format!("signer     {}", entry.signer),
    ];
    match entry.body() {
        Body::Gate(report) => gate(&mut lines, report),
        Body::Decision(decision) => {
            let (from, to) = (one_line(&decision.from), one_line(&decision.to));
            lines.push(format!("promotion  {} from {from} to {to}", one_line(&decision.promotion)));
            lines.push(format!("decision   {}, {}", decision.act.as_str(), decision.at));
            lines.push(format!("database   {} on {}", one_line(&decision.database), one_line(&decision.server)));
            lines.push(format!("policy     sha256 {}", decision.policy_sha256));
            lines.extend(
                decision.inputs.iter().map(|it| format!("rests on   {} sha256 {}", one_line(&it.file), it.sha256)),
            );
            lines.extend(decision.reasons.iter().map(|it| format!("because    {}", one_line(it))));
        }
    }
    lines.join("\n")
}

fn gate(lines: &mut Vec<String>, report: &GateReport) {
    lines.push(format!("gate       {}: {}", one_line(&report.gate), report.result));
    lines.push(format!(
        "lane       {}, {} on {}",
        one_line(&report.lane),
        one_line(&report.database),
        one_line(&report.server)
    ));
    lines.extend(report.host_version.iter().map(|it| format!("host       {}", one_line(it))));
    lines.push(format!("time       {} to {}", report.started_at, report.finished_at));
    for standing in [Standing::Broken, Standing::Undecided, Standing::Held, Standing::Noted] {
        lines.extend(report.with(standing).map(observation));
    }
    let fault =
        |it: &muster_gates::Fault| format!("fault      {} from {} to {} ms", one_line(&it.name), it.from_ms, it.to_ms);
    lines.extend(report.faults.iter().map(fault));
    let series = |it: &muster_gates::Series| format!("series     {}: {} points", one_line(&it.name), it.points.len());
    lines.extend(report.series.iter().map(series));
}

fn observation(seen: &Observation) -> String {
    let word = match seen.standing {
        Standing::Held => "held",
        Standing::Noted => "noted",
        Standing::Undecided => "undecided",
        Standing::Broken => "broken",
    };
    let unit = seen.unit.as_deref().map(|unit| format!(" {unit}")).unwrap_or_default();
    let limit = seen.limit.as_ref().map(|limit| format!(" (limit {limit}{unit})")).unwrap_or_default();
    let note = seen.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    let rest = one_line(&format!("{} = {}{unit}{limit}{note}", seen.name, seen.value));
    format!("{word:<10} {rest}")
}
