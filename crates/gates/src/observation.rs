//! What a gate saw: single observations, and values over time.
//!
//! What always holds: an observation carries the limit that it was judged by; what could not be decided is
//! [`Standing::Undecided`], never left out and never taken for held.

use serde::{Deserialize, Serialize};

use crate::limits::POINTS_MAX;

/// Whether what had to hold, held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It held.
    Held,
    /// Seen for the record; nothing was demanded of it.
    Noted,
    /// It could not be found out.
    Undecided,
    /// It did not hold.
    Broken,
}

/// What was seen, or what was allowed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Yes or no.
    Flag(bool),
    /// A count.
    Count(u64),
    /// A measure.
    Number(f64),
    /// Words: a hash, a version, a code.
    Text(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Flag(true) => f.write_str("yes"),
            Value::Flag(false) => f.write_str("no"),
            Value::Count(count) => write!(f, "{count}"),
            Value::Number(number) if number.abs() >= 100.0 => write!(f, "{number:.0}"),
            Value::Number(number) => write!(f, "{number:.2}"),
            Value::Text(text) => f.write_str(text),
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Flag(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Value {
        Value::Count(value)
    }
}

impl From<usize> for Value {
    fn from(value: usize) -> Value {
        Value::Count(value as u64)
    }
}

impl From<f64> for Value {
    /// A number that JSON cannot write (infinite, or none at all) becomes words.
    fn from(value: f64) -> Value {
        if value.is_finite() { Value::Number(value) } else { Value::Text(value.to_string()) }
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

/// One thing that a gate saw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// What was looked at: lower-case, dotted, stable, as `sessions.after`. It is the test's name in the evidence.
    pub name: String,
    /// What was seen.
    pub value: Value,
    /// The unit of `value` and `limit`, as `ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What was allowed or expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<Value>,
    /// Whether it held.
    pub standing: Standing,
    /// What a person should know: why it is broken or undecided, and what to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Observation {
    /// An observation with this standing.
    pub fn new(name: impl Into<String>, value: impl Into<Value>, standing: Standing) -> Observation {
        Observation { name: name.into(), value: value.into(), unit: None, limit: None, standing, note: None }
    }

    /// Something that held.
    pub fn held(name: impl Into<String>, value: impl Into<Value>) -> Observation {
        Observation::new(name, value, Standing::Held)
    }

    /// Something for the record.
    pub fn noted(name: impl Into<String>, value: impl Into<Value>) -> Observation {
        Observation::new(name, value, Standing::Noted)
    }

    /// Something that did not hold, and why.
    pub fn broken(name: impl Into<String>, value: impl Into<Value>, note: impl Into<String>) -> Observation {
        Observation::new(name, value, Standing::Broken).note(note)
    }

    /// Something that could not be found out, and why.
    pub fn undecided(name: impl Into<String>, note: impl Into<String>) -> Observation {
        Observation::new(name, "not found out", Standing::Undecided).note(note)
    }

    /// Held exactly if `value` is at most `limit`; a value that is no number at all is broken.
    pub fn at_most(name: impl Into<String>, value: f64, limit: f64, unit: impl Into<String>) -> Observation {
        Observation::new(name, value, held_if(value <= limit)).limit(limit).unit(unit)
    }

    /// Held exactly if `value` is at least `limit`; a value that is no number at all is broken.
    pub fn at_least(name: impl Into<String>, value: f64, limit: f64, unit: impl Into<String>) -> Observation {
        Observation::new(name, value, held_if(value >= limit)).limit(limit).unit(unit)
    }

    /// Held exactly if what was seen is what was expected.
    pub fn equal<V: Into<Value>>(name: impl Into<String>, seen: V, expected: V) -> Observation {
        let (seen, expected) = (seen.into(), expected.into());
        let standing = held_if(seen == expected);
        Observation { limit: Some(expected), ..Observation::new(name, seen, standing) }
    }

    /// With a unit.
    #[must_use]
    pub fn unit(mut self, unit: impl Into<String>) -> Observation {
        self.unit = Some(unit.into());
        self
    }

    /// With what was allowed or expected.
    #[must_use]
    pub fn limit(mut self, limit: impl Into<Value>) -> Observation {
        self.limit = Some(limit.into());
        self
    }

    /// With a remark.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Observation {
        self.note = Some(note.into());
        self
    }
}

fn held_if(it_does: bool) -> Standing {
    if it_does { Standing::Held } else { Standing::Broken }
}

/// What a series measures: the plot that it is drawn in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantity {
    /// From append to apply, or a call's time.
    Latency,
    /// How far a reader is behind.
    Lag,
    /// How long it took to be well again.
    Recovery,
    /// How many a second.
    Rate,
}

/// A value at a time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Since the report's `started_at`, in milliseconds.
    pub at_ms: u64,
    /// In the series' unit; finite.
    pub value: f64,
}

/// Values over time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Its name in the plot's legend.
    pub name: String,
    /// What it measures.
    pub quantity: Quantity,
    /// The unit of its values, as `ms` or `events`.
    pub unit: String,
    /// The values, in the order of their times.
    pub points: Vec<Point>,
}

impl Series {
    /// One without values.
    pub fn new(name: impl Into<String>, quantity: Quantity, unit: impl Into<String>) -> Series {
        Series { name: name.into(), quantity, unit: unit.into(), points: Vec::new() }
    }

    /// Adds a value. One that is not finite is left out: it could not be drawn or written.
    pub fn push(&mut self, at_ms: u64, value: f64) {
        if value.is_finite() {
            self.points.push(Point { at_ms, value });
        }
    }

    /// Sorts by time and, where there are more than [`POINTS_MAX`], keeps the largest of each stretch: peaks are what a
    /// person looks for.
    pub(crate) fn settle(&mut self) {
        self.points.retain(|point| point.value.is_finite());
        self.points.sort_by_key(|point| point.at_ms);
        if self.points.len() > POINTS_MAX {
            let stretch = self.points.len().div_ceil(POINTS_MAX);
            let largest = |points: &[Point]| points.iter().copied().max_by(|a, b| a.value.total_cmp(&b.value));
            self.points = self.points.chunks(stretch).filter_map(largest).collect();
        }
    }
}

/// A fault that was injected, and while: marked on the plots' axes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What was done, in a few words: `host restarted`.
    pub name: String,
    /// Since the report's `started_at`, in milliseconds.
    pub from_ms: u64,
    /// Since the report's `started_at`, in milliseconds; the same as `from_ms` for a single stroke.
    pub to_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_holds_against_no_limit() {
        assert_eq!(Observation::at_most("p95", f64::NAN, 5.0, "ms").standing, Standing::Broken);
        assert_eq!(Observation::at_least("rate", f64::NAN, 5.0, "1/s").standing, Standing::Broken);
        assert_eq!(Observation::at_most("p95", 5.0, 5.0, "ms").standing, Standing::Held);
    }

    #[test]
    fn a_long_series_keeps_its_peaks() {
        let mut series = Series::new("append to apply", Quantity::Latency, "ms");
        for at in 0..50_000 {
            series.push(at, if at == 31_007 { 900.0 } else { 1.0 });
        }
        series.settle();
        assert!(series.points.len() <= POINTS_MAX);
        assert!(series.points.contains(&Point { at_ms: 31_007, value: 900.0 }));
    }
}
