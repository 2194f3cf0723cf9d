//! The shortest trace that still fails: the plan with as few items as possible.
//!
//! What always holds: a shrunk plan breaks the same promise as the whole one, and leaving out any single item that is
//! left would mend it, unless the budget of runs was used up first ("delta debugging": Zeller and Hildebrandt, 2002).

use crate::workload::{Item, Plan, Timed};
use crate::world::run;

/// The most runs that shrinking takes.
pub const RUNS_MAX: u32 = 600;

/// What shrinking came to.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The plan with what is left.
    pub plan: Plan,
    /// How many runs it took.
    pub runs: u32,
}

/// Leaves out what does not matter for a plan that breaks `promise`.
pub fn shrink(plan: &Plan, promise: u8) -> Shrunk {
    let mut search = Search { promise, runs: 0, plan: plan.clone() };
    let mut chunk = search.plan.items.len().div_ceil(2).max(1);
    loop {
        let removed = search.pass(chunk);
        if chunk > 1 {
            chunk = chunk.div_ceil(2);
        } else if !removed || search.runs >= RUNS_MAX {
            break;
        }
    }
    search.fewer_events();
    Shrunk { plan: search.plan, runs: search.runs }
}

struct Search {
    promise: u8,
    runs: u32,
    plan: Plan,
}

impl Search {
    fn fails(&mut self, items: Vec<Timed>) -> bool {
        self.runs += 1;
        let candidate = Plan { items, ..self.plan.clone() };
        let fails = run(&candidate, false).failure.is_some_and(|failure| failure.broken.promise == self.promise);
        if fails {
            self.plan = candidate;
        }
        fails
    }

    /// Tries to leave out each run of `chunk` items; whether any could be left out.
    fn pass(&mut self, chunk: usize) -> bool {
        let mut removed = false;
        let mut from = 0;
        while from < self.plan.items.len() && self.runs < RUNS_MAX {
            let mut items = self.plan.items.clone();
            items.drain(from..(from + chunk).min(items.len()));
            if self.fails(items) {
                removed = true;
            } else {
                from += chunk;
            }
        }
        removed
    }

    /// Publishes one event where one is enough.
    fn fewer_events(&mut self) {
        for index in 0..self.plan.items.len() {
            let mut items = self.plan.items.clone();
            if let Item::Publish { count, .. } = &mut items[index].item
                && *count > 1
                && self.runs < RUNS_MAX
            {
                *count = 1;
                self.fails(items);
            }
        }
    }
}
