//! A folder of evidence as Markdown, for a pull request.
//!
//! What always holds: it names the folder's head, so that whoever reads the request later can see whether anything was
//! taken from the end of the folder since; what others wrote cannot become Markdown of its own.

use std::fmt::Write as _;

use super::page::{gates, overall};
use crate::evidence::{Body, Verdict};
use crate::observation::Standing;

/// The text.
pub fn summary(verdict: &Verdict) -> String {
    let mut text = format!("# Evidence: {}\n\n", overall(verdict));
    let mut modules: Vec<String> = verdict.entries.iter().map(|it| it.body().module_sha256().to_string()).collect();
    modules.sort_unstable();
    modules.dedup();
    for module in modules {
        let _ = writeln!(text, "- module sha256 `{module}`");
    }
    if let Some(head) = verdict.head {
        let _ = writeln!(text, "- head `{head}`: `muster evidence verify DIR --key KEY.pub --head {head}`");
    }
    if !verdict.holds() {
        text.push_str("\n## What does not hold\n\n");
        for it in &verdict.findings {
            let _ = writeln!(text, "- `{}` **{}**: {}", plain(&it.file), it.code, plain(&it.says));
        }
    }
    let gates = gates(verdict);
    if !gates.is_empty() {
        text.push_str("\n| gate | lane | result | held | broken | undecided | took |\n");
        text.push_str("| --- | --- | --- | ---: | ---: | ---: | ---: |\n");
    }
    for (_, report) in &gates {
        let count = |standing| report.with(standing).count();
        let took = (report.finished_at.as_millisecond() - report.started_at.as_millisecond()) as f64 / 1_000.0;
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {took:.1} s |",
            plain(&report.gate),
            plain(&report.lane),
            report.result,
            count(Standing::Held),
            count(Standing::Broken),
            count(Standing::Undecided)
        );
    }
    for (_, report) in &gates {
        for reason in crate::promote::judge::reasons(report) {
            let _ = writeln!(text, "\n**{}** on {}: {}", plain(&report.gate), plain(&report.lane), plain(&reason));
        }
    }
    for entry in &verdict.entries {
        let Body::Decision(decision) = entry.body() else { continue };
        let (from, to) = (plain(&decision.from), plain(&decision.to));
        let act = decision.act.as_str().replace('_', " ");
        let _ =
            writeln!(text, "\nPromotion {} {from} → {to}: **{act}**, {:.0}", plain(&decision.promotion), decision.at);
        for reason in &decision.reasons {
            let _ = writeln!(text, "- {}", plain(reason));
        }
    }
    text
}

/// One line that means nothing to Markdown or HTML.
fn plain(text: &str) -> String {
    let one_line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    one_line.chars().flat_map(|c| if "\\`*_[]<>|#!@&~".contains(c) { vec!['\\', c] } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_text() {
        assert_eq!(plain("a|b\n# <img> @all"), "a\\|b \\# \\<img\\> \\@all");
    }
}
