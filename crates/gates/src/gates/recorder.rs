//! What a gate writes into its report while it runs.
//!
//! What always holds: times are counted from the report's beginning by one steady clock; several tasks may write at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::site::Stage;
use crate::observation::{Observation, Quantity, Series, Value};
use crate::report::GateReport;

/// Writes one report. Clones write the same.
#[derive(Clone)]
pub(crate) struct Recorder {
    report: Arc<Mutex<GateReport>>,
    began: Instant,
    tell: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Recorder {
    /// Begins a report about a stage. `tell` hears of what is going on, for a person who waits.
    pub(crate) fn begin(gate: &str, stage: &Stage, tell: Arc<dyn Fn(&str) + Send + Sync>) -> Recorder {
        let site = &stage.site;
        let database = stage.database.map_or_else(|| site.endpoint.database().to_owned(), |it| it.to_string());
        let server = site.endpoint.base();
        let mut report = GateReport::begin(gate, &site.name, server, database, stage.sha256, Timestamp::now());
        report.host_version.clone_from(&stage.host);
        report.configure("run", site.run.as_str());
        report.configure("written_by", concat!("muster ", env!("CARGO_PKG_VERSION")));
        Recorder { report: Arc::new(Mutex::new(report)), began: Instant::now(), tell }
    }

    fn report(&self) -> MutexGuard<'_, GateReport> {
        // What a task that panicked had written is whole: each entry is one call.
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since the beginning.
    pub(crate) fn now_ms(&self) -> u64 {
        self.ms_of(Instant::now())
    }

    /// The same for a moment.
    pub(crate) fn ms_of(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.began).as_millis().try_into().unwrap_or(u64::MAX)
    }

    /// Notes what was seen.
    pub(crate) fn observe(&self, observation: Observation) {
        self.report().observe(observation);
    }

    /// Notes something that must hold, and why it matters if it does not.
    pub(crate) fn must(&self, name: &str, holds: bool, value: impl Into<Value>, otherwise: impl Into<String>) {
        let observation =
            if holds { Observation::held(name, value) } else { Observation::broken(name, value, otherwise) };
        self.observe(observation);
    }

    /// Notes something that must be at most so much, and why it matters if it is not.
    pub(crate) fn at_most(&self, name: &str, value: f64, limit: f64, unit: &str, otherwise: &str) {
        let seen = Observation::at_most(name, value, limit, unit);
        let is_broken = seen.standing == crate::observation::Standing::Broken;
        self.observe(if is_broken { seen.note(otherwise) } else { seen });
    }

    /// Notes something that could not be found out, and what to do.
    pub(crate) fn undecided(&self, name: &str, why: impl Into<String>) {
        self.observe(Observation::undecided(name, why));
    }

    /// Notes an option or limit.
    pub(crate) fn configure(&self, key: &str, value: impl ToString) {
        self.report().configure(key, value);
    }

    /// Notes a fault that lasted from then until now.
    pub(crate) fn fault(&self, name: &str, from: Instant) {
        let (from, to) = (self.ms_of(from), self.now_ms());
        self.report().fault(name, from, to);
        self.tell(name);
    }

    /// Adds a value to a series, which its first value makes.
    pub(crate) fn push(&self, series: &str, quantity: Quantity, unit: &str, at: Instant, value: f64) {
        let at_ms = self.ms_of(at);
        let mut report = self.report();
        match report.series.iter_mut().find(|it| it.name == series) {
            Some(series) => series.push(at_ms, value),
            None => {
                let mut new = Series::new(series, quantity, unit);
                new.push(at_ms, value);
                report.series.push(new);
            }
        }
    }

    /// Says what is going on.
    pub(crate) fn tell(&self, what: &str) {
        (self.tell)(what);
    }

    /// Ends the report.
    pub(crate) fn finish(self) -> GateReport {
        let report = self.report().clone();
        report.finish(Timestamp::now())
    }
}

/// Milliseconds with fractions.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The value below or at which this part (0 to 1) of them are; `None` of nothing. Nearest rank: a value that was seen.
pub(crate) fn quantile(values: &mut [f64], part: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let rank = (part * values.len() as f64).ceil() as usize;
    values.get(rank.clamp(1, values.len().max(1)) - 1).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_seen() {
        let mut values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut values, 0.95), Some(95.0));
        assert_eq!(quantile(&mut values, 1.0), Some(100.0));
        assert_eq!(quantile(&mut [7.0], 0.5), Some(7.0));
        assert_eq!(quantile(&mut [], 0.95), None);
    }
}
