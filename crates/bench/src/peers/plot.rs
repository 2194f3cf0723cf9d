//! Plots of the results: bars, as SVG, one file for each group of workloads.
//!
//! What always holds: pure; every bar has its figure written beside it, so nothing is read off a scale; what a reader's
//! theme is does not matter (mid-tone colours, text in the colour of the page through `currentColor`).

use std::collections::BTreeMap;

use super::results::{Results, Row};
use super::system::{System, THREE_SYNCS};
use crate::report::figure;

const WIDTH: usize = 760;
const LABEL: usize = 210;
const BAR: usize = 16;
const GAP: usize = 4;
const HEAD: usize = 22;

/// Which workloads stand in which plot: a file's name, its heading, the unit, what the workloads' names begin with.
const PLOTS: &[(&str, &str, &str, &[&str])] = &[
    ("throughput", "Events a second, publish to applied: more is better", "events/s", &["throughput,"]),
    ("latency", "Milliseconds from due to applied: less is better", "ms", &["latency at"]),
    ("fanout", "Events applied a second, by all subscribers together: more is better", "events/s", &["fan-out to"]),
    ("replay", "Replay and catch-up, events a second: more is better", "events/s", &["replay of", "catch-up,"]),
    (
        "processor",
        "Processor time of an event, all processes, in microseconds: less is better",
        "us",
        &["processor time of an event,"],
    ),
];

/// The colour of a system.
fn colour(system: &str) -> &'static str {
    match system.split([' ', ',']).next() {
        Some("muster") => "#d9730d",
        Some("redis") => "#c0392b",
        Some("nats") => "#2e86c1",
        Some("postgresql") => "#5b6fb5",
        _ => "#8a8a8a",
    }
}

/// Whether it bounds the systems and is none: its bar is an outline.
fn is_bound(system: &str) -> bool {
    [System::Alone.name(true), System::AloneEngine.name(true), THREE_SYNCS].contains(&system)
}

/// Draws; a file's name and its content for each plot that has anything in it.
#[must_use]
pub fn draw(results: &Results) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for (name, heading, unit, begin) in PLOTS {
        let in_it = |row: &&Row| row.unit == *unit && begin.iter().any(|prefix| row.workload.starts_with(prefix));
        let rows: Vec<&Row> = results.rows.iter().filter(in_it).collect();
        if !rows.is_empty() {
            files.insert(format!("{name}.svg"), bars(heading, &rows));
        }
    }
    files
}

fn bars(heading: &str, rows: &[&Row]) -> String {
    let mut groups: Vec<(&str, Vec<&Row>)> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|(name, _)| *name == row.workload) {
            Some((_, of)) => of.push(row),
            None => groups.push((&row.workload, vec![row])),
        }
    }
    let mut body = String::new();
    let mut y = HEAD + 10;
    for (name, of) in groups {
        y += HEAD;
        body += &format!("<text x=\"0\" y=\"{}\" font-weight=\"600\">{}</text>\n", y - 7, escape(name));
        let most = of.iter().map(|row| row.median).fold(f64::MIN_POSITIVE, f64::max);
        for row in of {
            let width = (row.median / most * (WIDTH - LABEL - 150) as f64).max(1.0);
            let ratio = row.ratio_to_best_peer.map_or_else(String::new, |ratio| format!(" ({}×)", figure(ratio)));
            let fill = match is_bound(&row.system) {
                true => "fill=\"none\" stroke=\"#8a8a8a\" stroke-dasharray=\"4 3\"".to_owned(),
                false => format!("fill=\"{}\"", colour(&row.system)),
            };
            body += &format!(
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text><rect x=\"{LABEL}\" y=\"{y}\" width=\"{width:.1}\" \
                 height=\"{BAR}\" {fill}/><text x=\"{:.1}\" y=\"{}\">{} {}{}</text>\n",
                LABEL - 8,
                y + 12,
                escape(&row.system),
                LABEL as f64 + width + 6.0,
                y + 12,
                figure(row.median),
                escape(&row.unit),
                ratio,
            );
            y += BAR + GAP;
        }
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {}\" font-family=\"system-ui, sans-serif\" \
         font-size=\"12\" fill=\"currentColor\" color=\"#777\">\n<text x=\"0\" y=\"16\" font-size=\"14\" \
         font-weight=\"600\">{}</text>\n{body}</svg>\n",
        y + 10,
        escape(heading),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(workload: &str, system: &str, median: f64, unit: &str, ratio_to_best_peer: Option<f64>) -> Row {
        Row {
            workload: workload.into(),
            system: system.into(),
            durability: "synced".into(),
            median,
            unit: unit.into(),
            spread: 0.0,
            repeats: 1,
            ratio_to_best_peer,
            load_average: "0".into(),
            command: "c".into(),
        }
    }

    #[test]
    fn catching_up_stands_beside_the_replay_as_a_rate_and_not_as_a_time() {
        let rows = vec![
            row("replay of 6000 events", "muster", 10.0, "events/s", None),
            row("catch-up, 3000 events of an hour away", "muster", 20.0, "events/s", None),
            row("catch-up, 3000 events of an hour away, time until applied", "muster", 30.0, "s", None),
        ];
        let files = draw(&Results { rows, ..Results::default() });
        let svg = &files["replay.svg"];
        assert!(svg.contains("10.0 events/s") && svg.contains("20.0 events/s") && !svg.contains("30.0"), "{svg}");
        assert_eq!(files.len(), 1);
    }

    #[test]
    fn every_figure_of_a_plot_is_written_beside_its_bar() {
        let row =
            |system: &str, median, ratio| row("throughput, 256 bytes, 1 stream", system, median, "events/s", ratio);
        let bounds = ["both ends alone", "both ends and the engine"].map(|system| row(system, 120_000.0, None));
        let systems = [row("muster", 100_000.0, Some(2.0)), row("redis streams", 50_000.0, None)];
        let rows = systems.into_iter().chain(bounds).collect();
        let files = draw(&Results { rows, ..Results::default() });
        let [(name, svg)] = files.iter().collect::<Vec<_>>()[..] else { panic!("one plot") };
        assert_eq!(name, "throughput.svg");
        assert!(svg.contains("100,000 events/s (2.00×)") && svg.contains("50,000 events/s<"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 4);
        assert_eq!(svg.matches("stroke-dasharray").count(), 2, "only the bounds are outlines");
    }
}
