//! A folder of evidence as one HTML page, for people: nothing is loaded from elsewhere, nothing runs, and it follows the
//! reader's light or dark.
//!
//! What always holds: only statements under a trusted signature are shown; what does not hold of the folder stands at the
//! top; what others wrote is escaped.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::plot::plot;
use crate::evidence::{Body, Decision, Entry, Verdict};
use crate::observation::{Observation, Quantity, Standing};
use crate::report::{GateReport, GateResult};

/// The page.
pub fn html(verdict: &Verdict, now: Timestamp) -> String {
    let mut page = String::with_capacity(64 * 1024);
    let gates = gates(verdict);
    let overall = overall(verdict);
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>Muster: evidence, {overall}</title>\
         <style>{}</style></head><body><main>",
        include_str!("page.css")
    );
    head(&mut page, verdict, &gates, overall, now);
    if !verdict.holds() {
        findings(&mut page, verdict);
    }
    if !gates.is_empty() {
        table(&mut page, &gates);
    }
    decisions(&mut page, verdict);
    for (entry, report) in &gates {
        gate(&mut page, entry, report);
    }
    chain(&mut page, verdict);
    page.push_str("</main></body></html>\n");
    page
}

/// The gates' reports.
pub(super) fn gates(verdict: &Verdict) -> Vec<(&Entry, &GateReport)> {
    let of = |entry| match &Entry::body(entry) {
        Body::Gate(report) => Some((entry, &**report)),
        Body::Decision(_) => None,
    };
    verdict.entries.iter().filter_map(of).collect()
}

/// One word for all of it: the newest run of each gate on each lane counts.
pub(super) fn overall(verdict: &Verdict) -> &'static str {
    let gates = gates(verdict);
    let is_newest = |at: usize| {
        let (gate, lane) = (&gates[at].1.gate, &gates[at].1.lane);
        !gates[at + 1..].iter().any(|(_, later)| later.gate == *gate && later.lane == *lane)
    };
    let worst = (0..gates.len()).filter(|at| is_newest(*at)).map(|at| gates[at].1.result).max();
    match worst {
        _ if !verdict.holds() => "does not hold",
        None => "no gates",
        Some(GateResult::Passed) => "passed",
        Some(GateResult::Inconclusive) => "inconclusive",
        Some(GateResult::Failed) => "failed",
    }
}

fn head(page: &mut String, verdict: &Verdict, gates: &[(&Entry, &GateReport)], overall: &str, now: Timestamp) {
    let class = overall.replace(' ', "-");
    let _ = write!(page, "<header><h1>Evidence <span class=\"chip {class}\">{overall}</span></h1><dl class=\"facts\">");
    let mut fact = |name: &str, value: &str| {
        let _ = write!(page, "<div><dt>{name}</dt><dd>{}</dd></div>", escape(value));
    };
    let mut modules: Vec<String> =
        verdict.entries.iter().map(|it| it.statement.body.module_sha256().to_string()).collect();
    modules.sort_unstable();
    modules.dedup();
    fact("module (sha256)", &modules.join(" "));
    let mut lanes: Vec<&str> = gates.iter().map(|it| it.1.lane.as_str()).collect();
    lanes.sort_unstable();
    lanes.dedup();
    fact("lanes", &lanes.join(", "));
    fact("statements", &verdict.entries.len().to_string());
    if let Some(head) = verdict.head {
        fact("head (sha256)", &head.to_string());
    }
    fact("written", &format!("{now:.0}"));
    page.push_str("</dl></header>");
}

fn findings(page: &mut String, verdict: &Verdict) {
    page.push_str("<section class=\"alarm\"><h2>What does not hold</h2><ul>");
    for it in &verdict.findings {
        let (file, says) = (escape(&it.file), escape(&it.says));
        let _ = write!(page, "<li><code>{file}</code> <b>{}</b>: {says}</li>", it.code);
    }
    page.push_str("</ul></section>");
}

fn table(page: &mut String, gates: &[(&Entry, &GateReport)]) {
    page.push_str(
        "<section><h2>Gates</h2><div class=\"scroll\"><table><thead><tr><th>gate<th>lane<th>result<th class=\"n\">held\
         <th class=\"n\">broken<th class=\"n\">undecided<th class=\"n\">took<th>ended</tr></thead><tbody>",
    );
    for (entry, report) in gates {
        let count = |standing| report.with(standing).count();
        let took = (report.finished_at.as_millisecond() - report.started_at.as_millisecond()) as f64 / 1_000.0;
        let _ = write!(
            page,
            "<tr><td><a href=\"#s{}\">{}</a><td>{}<td><span class=\"chip {r}\">{r}</span><td class=\"n\">{}<td class=\"n\">{}\
             <td class=\"n\">{}<td class=\"n\">{took:.1} s<td>{:.0}</tr>",
            entry.statement.link.sequence,
            escape(&report.gate),
            escape(&report.lane),
            count(Standing::Held),
            count(Standing::Broken),
            count(Standing::Undecided),
            report.finished_at,
            r = report.result,
        );
    }
    page.push_str("</tbody></table></div></section>");
}

fn decisions(page: &mut String, verdict: &Verdict) {
    let of = |it: &'_ Entry| matches!(&it.statement.body, Body::Decision(_));
    if !verdict.entries.iter().any(of) {
        return;
    }
    page.push_str("<section><h2>Promotions</h2><ul class=\"acts\">");
    for entry in &verdict.entries {
        let Body::Decision(decision) = &entry.statement.body else { continue };
        let Decision { act, from, to, promotion, database, reasons, at, .. } = &**decision;
        let act = act.as_str();
        let said = act.replace('_', " ");
        let _ = write!(
            page,
            "<li><span class=\"chip {act}\">{said}</span> {} → {}, database <code>{}</code>, promotion <code>{}</code>, {at:.0}",
            escape(from),
            escape(to),
            escape(database),
            escape(promotion)
        );
        if !reasons.is_empty() {
            page.push_str("<ul>");
            for reason in reasons {
                let _ = write!(page, "<li>{}</li>", escape(reason));
            }
            page.push_str("</ul>");
        }
        page.push_str("</li>");
    }
    page.push_str("</ul></section>");
}

fn gate(page: &mut String, entry: &Entry, report: &GateReport) {
    let _ = write!(
        page,
        "<section class=\"gate\" id=\"s{}\"><h2>{} <small>on {}</small> <span class=\"chip {r}\">{r}</span></h2>\
         <p class=\"where\">{} · database <code>{}</code>{} · from {:.0}</p>",
        entry.statement.link.sequence,
        escape(&report.gate),
        escape(&report.lane),
        escape(&report.server),
        escape(&report.database),
        report.host_version.as_ref().map_or_else(String::new, |it| format!(" · host {}", escape(it))),
        report.started_at,
        r = report.result,
    );
    let wrong: Vec<_> = report.with(Standing::Broken).chain(report.with(Standing::Undecided)).collect();
    if !wrong.is_empty() {
        observations(page, &wrong);
    }
    let length_ms = report.at_ms(report.finished_at);
    for quantity in [Quantity::Latency, Quantity::Lag, Quantity::Recovery, Quantity::Rate] {
        let of_it: Vec<_> = report.series.iter().filter(|it| it.quantity == quantity).collect();
        let mut units: Vec<&str> = of_it.iter().map(|it| it.unit.as_str()).collect();
        units.dedup();
        // Series of different units have no axis in common.
        for unit in units {
            let those: Vec<_> = of_it.iter().copied().filter(|it| it.unit == unit).collect();
            page.push_str(&plot(quantity, &those, &report.faults, length_ms).unwrap_or_default());
        }
    }
    let rest: Vec<_> = report.with(Standing::Held).chain(report.with(Standing::Noted)).collect();
    if !rest.is_empty() {
        let _ = write!(page, "<details><summary>{} that held or were noted</summary>", rest.len());
        observations(page, &rest);
        page.push_str("</details>");
    }
    if !report.configuration.is_empty() {
        page.push_str("<details><summary>Configuration</summary><dl class=\"facts\">");
        for (key, value) in &report.configuration {
            let _ = write!(page, "<div><dt>{}</dt><dd>{}</dd></div>", escape(key), escape(value));
        }
        page.push_str("</dl></details>");
    }
    page.push_str("</section>");
}

fn observations(page: &mut String, observations: &[&Observation]) {
    page.push_str(
        "<div class=\"scroll\"><table><thead><tr><th><th>observation<th class=\"n\">seen<th class=\"n\">limit<th>remark\
         </tr></thead><tbody>",
    );
    for it in observations {
        let (class, mark) = match it.standing {
            Standing::Held => ("passed", "held"),
            Standing::Noted => ("noted", "noted"),
            Standing::Undecided => ("inconclusive", "undecided"),
            Standing::Broken => ("failed", "broken"),
        };
        let unit = it.unit.as_ref().map_or_else(String::new, |unit| format!(" {}", escape(unit)));
        let limit = it.limit.as_ref().map_or_else(String::new, |it| format!("{}{unit}", escape(&it.to_string())));
        let _ = write!(
            page,
            "<tr><td><span class=\"chip {class}\">{mark}</span><td><code>{}</code><td class=\"n\">{}{unit}<td class=\"n\">\
             {limit}<td>{}</tr>",
            escape(&it.name),
            escape(&it.value.to_string()),
            escape(it.note.as_deref().unwrap_or(""))
        );
    }
    page.push_str("</tbody></table></div>");
}

fn chain(page: &mut String, verdict: &Verdict) {
    page.push_str(
        "<section><h2>Chain</h2><details><summary>Every statement, its digest and its signer</summary><div class=\"scroll\">\
         <table><thead><tr><th class=\"n\">no.<th>file<th>envelope (sha256)<th>signer</tr></thead><tbody>",
    );
    for it in &verdict.entries {
        let _ = write!(
            page,
            "<tr><td class=\"n\">{}<td><code>{}</code><td><code>{}…</code><td><code>{}…</code></tr>",
            it.statement.link.sequence,
            escape(&it.file),
            it.sha256.short(),
            it.signer.short()
        );
    }
    page.push_str("</tbody></table></div></details></section>");
}

/// A text that means nothing to HTML.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}
