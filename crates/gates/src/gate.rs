//! What a gate is: a name, what it will do to a lane, and a run that ends with a report.
//!
//! What always holds: a gate says beforehand what it will do ([`Gate::effects`]); a run always ends with a report, also
//! when it could not find anything out (the report is inconclusive then, and says why).

use std::future::Future;

use crate::report::GateReport;

/// What a gate does to the lane that it runs on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effects {
    /// One sentence for a person, as `opens 2 sessions and closes them; writes nothing`.
    pub says: String,
    /// Whether it kills, stops or replaces something that the lane's users need: only lanes that allow it.
    pub is_disruptive: bool,
}

/// A gate or drill, on lanes as `L` describes them.
pub trait Gate<L: ?Sized> {
    /// Its name: lower-case, dotted where it belongs to a family (`drills.partition`).
    fn name(&self) -> &'static str;

    /// What it will do to this lane.
    fn effects(&self, lane: &L) -> Effects;

    /// Runs, and reports. Whatever goes wrong is an observation of the report.
    fn run(&self, lane: &L) -> impl Future<Output = GateReport> + Send;
}
