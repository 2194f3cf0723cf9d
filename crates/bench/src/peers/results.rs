//! The document of the comparison: rows, ratios, the machine and every setting.
//!
//! What always holds: a ratio is to the best peer of the same workload that promises as much as Muster does, of the medians in
//! the document; what is measured again replaces the row of that workload and that system and no others.

use serde::{Deserialize, Serialize};

use super::system::System;
use crate::report::figure;
use crate::stats::{median, ratio, spread};

/// Whose ratios they are.
const MUSTER: &str = "muster";

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
            let of = self.0.iter().filter(|(key, _)| key.workload == workload);
            rows.extend(of.map(|(key, values)| Row {
                workload: workload.to_owned(),
                system: key.system.clone(),
                durability: key.durability.into(),
                median: median(values),
                unit: key.unit.into(),
                spread: spread(values),
                repeats: values.len(),
                ratio_to_best_peer: None,
                load_average: load_average.into(),
                command: key.command.clone(),
            }));
        }
        compare(&mut rows);
        rows
    }
}

/// Sets every ratio, from the medians that are there.
fn compare(rows: &mut [Row]) {
    let ratios: Vec<Option<f64>> = rows
        .iter()
        .map(|row| {
            let of = rows.iter().filter(|other| other.workload == row.workload && other.unit == row.unit);
            let best = best_peer(of.map(|row| (row.system.as_str(), row.unit.as_str(), row.median)));
            best.and_then(|best| ratio(row.median, best))
        })
        .collect();
    rows.iter_mut().zip(ratios).for_each(|(row, ratio)| row.ratio_to_best_peer = ratio);
}

/// Whether a row of this name sets the ratios of its workload: a peer's that promises as much as Muster.
fn sets_ratio(name: &str) -> bool {
    System::ALL.iter().any(|system| *system != System::Muster && system.is_equal(true) && system.name(true) == name)
}

/// Whether more of a unit is better.
#[must_use]
pub fn more_is_better(unit: &str) -> bool {
    unit.ends_with("/s")
}

/// The best median of those that promise as much as Muster.
fn best_peer<'a>(figures: impl Iterator<Item = (&'a str, &'a str, f64)>) -> Option<f64> {
    let peers = figures.filter(|(name, _, value)| sets_ratio(name) && value.is_finite());
    peers
        .map(|(_, unit, value)| (more_is_better(unit), value))
        .reduce(|(more, best), (_, value)| (more, if more { best.max(value) } else { best.min(value) }))
        .map(|(_, best)| best)
}

impl Results {
    /// Takes over what was measured anew: each row in the place of the same system's of the same workload, a system that was
    /// not there after the others of its workload; all ratios anew.
    pub fn merge(&mut self, newer: Results) {
        let Results { schema, machine, versions, settings, rows } = newer;
        for row in rows {
            let same = |known: &Row| known.workload == row.workload && known.system == row.system;
            match self.rows.iter().position(same) {
                Some(index) => self.rows[index] = row,
                None => {
                    let last = self.rows.iter().rposition(|known| known.workload == row.workload);
                    self.rows.insert(last.map_or(self.rows.len(), |last| last + 1), row);
                }
            }
        }
        compare(&mut self.rows);
        (self.schema, self.machine, self.versions, self.settings) = (schema, machine, versions, settings);
    }

    /// As a table in Markdown, workload by workload, ratios first, and what its signs mean.
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
            let median = figure(row.median);
            let spread = match row.repeats {
                0 | 1 => "one run".into(),
                _ => format!("±{}", figure(row.spread / 2.0)),
            };
            let mark = if row.system == MUSTER || sets_ratio(&row.system) { "" } else { " †" };
            text += &format!("| {workload} | {ratio} | {}{mark} | {median} | {spread} | {} |\n", row.system, row.unit);
        }
        text + "\n± is half of what lies between the largest and the smallest repeat. † sets no ratio: it is a bound or a yardstick, or \
                promises less than Muster (`durability` in the document says what). Above 1, the times of the best peer are good for \
                events a second and bad for times, sizes and processor time.\n"
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
            ("both ends and the engine", 200.0),
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
        assert_eq!(ratios(samples("events/s")), [2.0, 0.8, 1.0, 1.8, 8.0, 4.0, 0.2, 6.0]);
        assert_eq!(ratios(samples("ms")), [2.5, 1.0, 1.25, 2.25, 10.0, 5.0, 0.25, 7.5]);
    }

    fn results(rows: Vec<Row>) -> Results {
        Results { rows, ..Results::default() }
    }

    #[test]
    fn what_is_measured_again_replaces_its_row_and_the_ratios_of_its_workload() {
        let other = Row { workload: "other".into(), ratio_to_best_peer: None, ..samples("ms").remove(0) };
        let mut all = results([samples("ms"), vec![other.clone()]].concat());
        let [mut redis, mut new] = [samples("ms").remove(1), samples("ms").remove(1)];
        redis.median = 25.0;
        (new.system, new.median) = ("redis streams, xread".into(), 20.0);
        all.merge(results(vec![redis, new]));
        let of: Vec<(&str, f64)> = all.rows.iter().map(|row| (row.system.as_str(), row.median)).collect();
        let before =
            [("muster", 100.0), ("redis streams", 25.0), ("postgresql", 50.0), ("postgresql, no outbox", 90.0)];
        assert_eq!(of[..4], before);
        assert_eq!(of[8..], [("redis streams, xread", 20.0), ("muster", 100.0)], "beside the others of its workload");
        let ratios: Vec<f64> = all.rows.iter().filter_map(|row| row.ratio_to_best_peer).collect();
        assert_eq!(ratios, [5.0, 1.25, 2.5, 4.5, 20.0, 10.0, 0.5, 15.0, 1.0], "to the best that is there now");
        assert_eq!(all.rows[9], other, "what was not measured stays as it was");
    }

    #[test]
    fn the_table_says_what_sets_no_ratio_and_what_was_run_once() {
        let mut rows = samples("ms");
        (rows[1].repeats, rows[1].spread) = (2, 3.0);
        let text = results(rows).markdown();
        for line in [
            "| w | 2.50 | muster | 100 | one run | ms |",
            "|  | 1.00 | redis streams | 40.0 | ±1.50 | ms |",
            "|  | 1.25 | postgresql | 50.0 | one run | ms |",
            "|  | 2.25 | postgresql, no outbox † | 90.0 | one run | ms |",
            "|  | 10.0 | both ends alone † | 400 | one run | ms |",
            "|  | 5.00 | both ends and the engine † | 200 | one run | ms |",
            "|  | 7.50 | nats jetstream † | 300 | one run | ms |",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert!(
            text.lines().last().is_some_and(|last| last.starts_with("± is half") && last.contains("† sets no ratio"))
        );
    }
}
