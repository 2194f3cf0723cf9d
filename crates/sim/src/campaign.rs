//! Many seeds together: what they came to, and what they never met.

use std::fmt;

use crate::coverage::{Coverage, EXERCISED};
use crate::world::Outcome;

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// How many seeds.
    pub seeds: u64,
    /// How many steps in all.
    pub steps: u64,
    /// How many events were acknowledged.
    pub acknowledged: u64,
    /// The longest that a run took to converge after its last fault, in milliseconds.
    pub converged_ms_max: u64,
    /// What was exercised.
    pub coverage: Coverage,
}

impl Totals {
    /// Adds a run.
    pub fn add(&mut self, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.acknowledged += outcome.acknowledged;
        self.converged_ms_max = self.converged_ms_max.max(outcome.converged_ms);
        self.coverage.merge(&outcome.coverage);
    }

    /// Adds what other seeds came to.
    pub fn merge(&mut self, other: &Totals) {
        self.seeds += other.seeds;
        self.steps += other.steps;
        self.acknowledged += other.acknowledged;
        self.converged_ms_max = self.converged_ms_max.max(other.converged_ms_max);
        self.coverage.merge(&other.coverage);
    }

    /// Faults and rules that no run met.
    pub fn unexercised(&self) -> Vec<&'static str> {
        EXERCISED.iter().copied().filter(|name| self.coverage.count(name) == 0).collect()
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} seeds, {} steps, {} events acknowledged, converged within {} ms",
            self.seeds, self.steps, self.acknowledged, self.converged_ms_max
        )?;
        for (name, count) in self.coverage.iter() {
            writeln!(f, "{count:>10}  {name}")?;
        }
        Ok(())
    }
}
