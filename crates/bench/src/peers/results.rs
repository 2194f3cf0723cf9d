//! The document of the comparison: rows, ratios, the machine and every setting.
//!
//! What always holds: a ratio is to the best peer of the same workload that promises as much as Muster does, of medians of the
//! same run; a workload that is measured again replaces its rows and no others.

use serde::{Deserialize, Serialize};

use super::system::System;
use crate::report::figure;
use crate::stats::{median, ratio, spread};

/// The name of the document's format.
pub const SCHEMA: &str = "muster.bench.peers.v1";

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done.
    pub workload: String,
    /// By whom.
    pub system: String,
    /// What an event survives once it was taken.
    pub durability: String,
    /// The median of the repeats, in `unit`.
    pub median: f64,
    /// Such as `events/s` or `ms`; more is better where it ends in `/s`.
    pub unit: String,
    /// The largest repeat less the smallest, in `unit`.
    pub spread: f64,
    /// How many repeats.
    pub repeats: usize,
    /// The median as a multiple of the best peer's; `None` without one.
    pub ratio_to_best_peer: Option<f64>,
    /// The load average when this workload was measured last.
    pub load_average: String,
    /// What repeats this row.
    pub command: String,
}

/// A whole document.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// [`SCHEMA`].
    pub schema: String,
    /// Where it was measured.
    pub machine: String,
    /// What each server says of itself.
    pub versions: Vec<String>,
    /// Every setting of every system that is not its default, and those defaults that matter.
    pub settings: Vec<String>,
    /// The figures.
    pub rows: Vec<Row>,
}

/// Repeats, collected in the order in which workloads and systems first appear.
#[derive(Debug, Default)]
pub struct Samples(Vec<(Key, Vec<f64>)>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    workload: String,
    system: String,
    durability: &'static str,
    unit: &'static str,
    command: String,
}

impl Samples {
    /// Adds one repeat.
    pub fn add(
        &mut self,
        workload: &str,
        command: &str,
        (system, durability): (&str, &'static str),
        unit: &'static str,
        value: f64,
    ) {
        let (workload, system, command) = (workload.to_owned(), system.to_owned(), command.to_owned());
        let key = Key { workload, system, durability, unit, command };
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => self.0.push((key, vec![value])),
        }
    }

    /// The rows, workload by workload.
    #[must_use]
    pub fn rows(&self, load_average: &str) -> Vec<Row> {
        let mut workloads: Vec<&str> = Vec::new();
        for (key, _) in &self.0 {
            if !workloads.contains(&key.workload.as_str()) {
                workloads.push(&key.workload);
            }
        }
        let mut rows = Vec::new();
        for workload in workloads {
            let of: Vec<_> = self.0.iter().filter(|(key, _)| key.workload == workload).collect();
            let best = best_peer(of.iter().map(|(key, values)| (key.system.as_str(), key.unit, median(values))));
            rows.extend(of.iter().map(|(key, values)| Row {
                workload: workload.to_owned(),
                system: key.system.clone(),
                durability: key.durability.into(),
                median: median(values),
                unit: key.unit.into(),
                spread: spread(values),
                repeats: values.len(),
                ratio_to_best_peer: best.and_then(|best| ratio(median(values), best)),
                load_average: load_average.into(),
                command: key.command.clone(),
            }));
        }
        rows
    }
}

/// Whether more of a unit is better.
#[must_use]
pub fn more_is_better(unit: &str) -> bool {
    unit.ends_with("/s")
}

/// The best median of those that promise as much as Muster.
fn best_peer<'a>(figures: impl Iterator<Item = (&'a str, &'a str, f64)>) -> Option<f64> {
    let equal = |name: &str| {
        System::ALL.iter().any(|system| *system != System::Muster && system.is_equal(true) && system.name(true) == name)
    };
    let peers = figures.filter(|(system, _, value)| equal(system) && value.is_finite());
    peers
        .map(|(_, unit, value)| (more_is_better(unit), value))
        .reduce(|(more, best), (_, value)| (more, if more { best.max(value) } else { best.min(value) }))
        .map(|(_, best)| best)
}

impl Results {
    /// Takes over what was measured anew.
    pub fn merge(&mut self, newer: Results) {
        let Results { schema, machine, versions, settings, rows } = newer;
        self.rows.retain(|row| !rows.iter().any(|new| new.workload == row.workload));
        self.rows.extend(rows);
        (self.schema, self.machine, self.versions, self.settings) = (schema, machine, versions, settings);
    }

    /// As a table in Markdown, workload by workload, ratios first.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| workload | times the best peer | system | median | spread | unit |\n| --- | ---: | --- | ---: | ---: | --- |\n",
        );
        let mut last = "";
        for row in &self.rows {
            let workload = if row.workload == last { "" } else { &row.workload };
            last = &row.workload;
            let ratio = row.ratio_to_best_peer.map_or_else(|| "-".into(), figure);
            let (median, half) = (figure(row.median), figure(row.spread / 2.0));
            text += &format!("| {workload} | {ratio} | {} | {median} | ±{half} | {} |\n", row.system, row.unit);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(unit: &'static str) -> Vec<Row> {
        let mut samples = Samples::default();
        for (system, value) in [
            ("muster", 100.0),
            ("redis streams", 40.0),
            ("postgresql", 50.0),
            ("postgresql, no outbox", 90.0),
            ("both ends alone", 400.0),
            ("three syncs alone", 10.0),
            ("nats jetstream", 300.0),
        ] {
            samples.add("w", "c", (system, "d"), unit, value);
        }
        samples.rows("1")
    }

    #[test]
    fn ratios_are_to_the_best_that_promises_as_much() {
        let ratios = |rows: Vec<Row>| rows.iter().filter_map(|row| row.ratio_to_best_peer).collect::<Vec<_>>();
        assert_eq!(ratios(samples("events/s")), [2.0, 0.8, 1.0, 1.8, 8.0, 0.2, 6.0]);
        assert_eq!(ratios(samples("ms")), [2.5, 1.0, 1.25, 2.25, 10.0, 0.25, 7.5]);
    }

    #[test]
    fn a_workload_that_is_measured_again_replaces_its_rows() {
        let results = |rows| Results { rows, ..Results::default() };
        let other = Row { workload: "other".into(), ..samples("ms").remove(0) };
        let mut all = results([vec![other.clone()], samples("ms")].concat());
        all.merge(results(samples("ms").split_off(6)));
        assert_eq!(all.rows.len(), 2);
        assert_eq!(all.rows[0], other);
        assert!(all.markdown().contains("| w | 7.50 | nats jetstream |"), "{}", all.markdown());
    }
}
