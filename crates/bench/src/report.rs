//! What was measured: rows, and the table of them.
//!
//! What always holds: pure. A row's ratio is to [`REFERENCE`] in the same workload, so that it reads as "so many times
//! Muster"; the ratio stands first, because the figures themselves are this machine's and nobody else's.

use serde::Serialize;

use crate::machine::Machine;
use crate::stats::{median, ratio, spread};

/// What other systems are compared with: Muster's own client on Muster's host, as an application uses them.
pub const REFERENCE: &str = "muster";

/// The name of the document's format.
pub const SCHEMA: &str = "muster.bench.connect.v1";

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// What was done.
    pub workload: String,
    /// By whom.
    pub system: &'static str,
    /// The median of the repeats, in `unit`.
    pub median: f64,
    /// Such as `calls/s` or `ms`.
    pub unit: &'static str,
    /// The largest repeat less the smallest, in `unit`.
    pub spread: f64,
    /// The median as a multiple of [`REFERENCE`]'s in the same workload; `None` without one.
    pub ratio: Option<f64>,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Where it was measured.
    pub machine: Machine,
    /// How many times each figure was taken.
    pub repeats: usize,
    /// The figures.
    pub rows: Vec<Row>,
}

/// Repeats, collected in the order in which workloads and systems first appear.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<(Key, Vec<f64>)>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    workload: String,
    system: &'static str,
    unit: &'static str,
}

impl Samples {
    /// Adds one repeat.
    pub fn add(&mut self, workload: impl Into<String>, system: &'static str, unit: &'static str, value: f64) {
        let key = Key { workload: workload.into(), system, unit };
        match self.0.iter_mut().find(|(known, _)| *known == key) {
            Some((_, values)) => values.push(value),
            None => self.0.push((key, vec![value])),
        }
    }

    /// The rows, workload by workload, each in the order in which it first appeared.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut workloads: Vec<&str> = Vec::new();
        for (key, _) in &self.0 {
            if !workloads.contains(&key.workload.as_str()) {
                workloads.push(&key.workload);
            }
        }
        let of = |workload| self.0.iter().filter(move |(key, _)| key.workload == workload);
        workloads.into_iter().flat_map(|workload| of(workload).map(|(key, values)| self.row(key, values))).collect()
    }

    fn row(&self, key: &Key, values: &[f64]) -> Row {
        let same = |other: &&(Key, Vec<f64>)| other.0 == Key { system: REFERENCE, ..key.clone() };
        let reference = self.0.iter().find(same).map(|(_, values)| median(values));
        let middle = median(values);
        Row {
            workload: key.workload.clone(),
            system: key.system,
            median: middle,
            unit: key.unit,
            spread: spread(values),
            ratio: reference.and_then(|reference| ratio(middle, reference)),
        }
    }
}

/// The rows as cells: workload, ratio, system, median, spread, unit. The first row is the head.
#[must_use]
pub fn table(rows: &[Row]) -> Vec<Vec<String>> {
    let head = ["workload", "times muster", "system", "median", "spread", "unit"].map(String::from).to_vec();
    let cells = |row: &Row| {
        let ratio = row.ratio.map_or_else(|| "-".into(), |ratio| format!("{}x", figure(ratio)));
        vec![
            row.workload.clone(),
            ratio,
            row.system.into(),
            figure(row.median),
            format!("±{}", figure(row.spread / 2.0)),
            row.unit.into(),
        ]
    };
    std::iter::once(head).chain(rows.iter().map(cells)).collect()
}

/// A figure with three digits that mean something, and a comma after each three before the point.
#[must_use]
pub fn figure(value: f64) -> String {
    if !value.is_finite() {
        return "-".into();
    }
    let digits = if value == 0.0 { 0 } else { value.abs().log10().floor() as i32 + 1 };
    let decimals = usize::try_from((3 - digits).clamp(0, 4)).unwrap_or(0);
    let scale = 10f64.powi((digits - 3).max(0));
    let rounded = (value / scale).round() * scale;
    let text = if decimals == 0 { format!("{rounded:.0}") } else { format!("{value:.decimals$}") };
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), None), |(whole, rest)| (whole, Some(rest)));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    rest.map_or_else(|| grouped.clone(), |rest| format!("{grouped}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Samples {
        let mut samples = Samples::default();
        for (echo, muster) in [(40.0, 10.0), (50.0, 12.0), (30.0, 8.0)] {
            samples.add("calls", REFERENCE, "calls/s", muster);
            samples.add("connect", REFERENCE, "ms", 2.0);
            samples.add("calls", "echo", "calls/s", echo);
        }
        samples
    }

    #[test]
    fn rows_of_a_workload_stand_together_with_ratios_of_medians() {
        let rows = samples().rows();
        let told: Vec<_> =
            rows.iter().map(|row| (row.workload.as_str(), row.system, row.median, row.spread, row.ratio)).collect();
        assert_eq!(
            told,
            [
                ("calls", "muster", 10.0, 4.0, Some(1.0)),
                ("calls", "echo", 40.0, 20.0, Some(4.0)),
                ("connect", "muster", 2.0, 0.0, Some(1.0)),
            ]
        );
    }

    #[test]
    fn without_the_reference_there_is_no_ratio_and_another_unit_is_another_figure() {
        let mut samples = Samples::default();
        samples.add("calls", REFERENCE, "us", 1.0);
        samples.add("calls", "echo", "calls/s", 5.0);
        assert_eq!(samples.rows()[1].ratio, None);
        assert_eq!(table(&samples.rows())[2][1], "-");
    }

    #[test]
    fn the_table_has_ratios_before_figures() {
        let table = table(&samples().rows());
        assert_eq!(table[0], ["workload", "times muster", "system", "median", "spread", "unit"]);
        assert_eq!(table[2], ["calls", "4.00x", "echo", "40.0", "±10.0", "calls/s"]);
    }

    #[test]
    fn a_figure_has_three_digits_that_mean_something() {
        let figures = [0.012_34, 0.5, 9.999, 12.34, 123.4, 12_345.0, 1_234_567.0, 0.0, f64::NAN].map(figure);
        assert_eq!(figures, ["0.0123", "0.500", "10.00", "12.3", "123", "12,300", "1,230,000", "0.000", "-"]);
    }
}
