//! How much of the processor one call of a module's function may use.
//!
//! The engine counts WebAssembly instructions (wasmtime's fuel) and ends a call that has none left. Always true: every
//! call has the same budget, and nothing is charged. What a module has the engine do for it (rows inserted, lines logged)
//! costs none, and modules are launched and tried out under the engine's own default of 60 s.

use std::time::Duration;

use spacetimedb::energy::{EnergyMonitor, FunctionBudget, FunctionFingerprint};
use spacetimedb::messages::control_db::Database;

/// The budget of every call.
pub(crate) struct CallBudget(FunctionBudget);

impl CallBudget {
    /// As many instructions as take `call_time` at the engine's rate, two thousand million a second.
    pub(crate) fn new(call_time: Duration) -> Self {
        Self(FunctionBudget::from_duration(call_time).unwrap_or(FunctionBudget::MAX))
    }
}

impl Default for CallBudget {
    fn default() -> Self {
        Self(FunctionBudget::DEFAULT_BUDGET)
    }
}

impl EnergyMonitor for CallBudget {
    fn reducer_budget(&self, _function: &FunctionFingerprint<'_>) -> FunctionBudget {
        self.0
    }

    fn record_reducer(&self, _function: &FunctionFingerprint<'_>, _used: FunctionBudget, _duration: Duration) {}

    fn record_disk_usage(&self, _database: &Database, _replica_id: u64, _bytes: u64, _period: Duration) {}

    fn record_memory_usage(&self, _database: &Database, _replica_id: u64, _bytes: u64, _period: Duration) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_engines_own() {
        assert_eq!(CallBudget::new(crate::limits::HostLimits::DEFAULT.call_time).0, CallBudget::default().0);
        assert_eq!(CallBudget::new(Duration::MAX).0, FunctionBudget::MAX);
    }
}
