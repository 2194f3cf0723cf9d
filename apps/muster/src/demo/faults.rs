//! What breaks, and when.
//!
//! What always holds: the plan is the same in every run, by share of the events applied; what was broken is mended again,
//! so that every run can end.

use std::fmt;
use std::time::{Duration, Instant};

use muster_chaos::Proxy;

use super::host::HostProcess;
use crate::limits::{DEMO_DELAY_MS, DEMO_FREEZE_MS};
use crate::outcome::Failure;

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// SIGKILL for the host, and a new start.
    Kill,
    /// Every connection is reset.
    Cut,
    /// Nothing passes, and nothing is closed; after a while every connection is reset.
    Freeze,
    /// Every byte takes its time.
    Slow,
    /// No fault: as fast as ever.
    Clear,
}

/// What happens when so many thousandths of the events are applied.
pub(super) const PLAN: [(u64, Fault); 10] = [
    (50, Fault::Cut),
    (150, Fault::Kill),
    (280, Fault::Freeze),
    (400, Fault::Slow),
    (450, Fault::Cut),
    (500, Fault::Kill),
    (550, Fault::Clear),
    (650, Fault::Cut),
    (750, Fault::Kill),
    (900, Fault::Cut),
];

impl Fault {
    /// Brings it about. Returns what to say of it.
    pub(super) async fn strike(self, host: &mut HostProcess, proxy: &Proxy) -> Result<String, Failure> {
        match self {
            Fault::Kill => {
                host.kill().await?;
                let began = Instant::now();
                host.restart().await?;
                return Ok(format!(
                    "host killed (SIGKILL); it answers again after {:.1} s",
                    began.elapsed().as_secs_f64()
                ));
            }
            Fault::Cut => proxy.cut(),
            Fault::Freeze => {
                proxy.freeze();
                tokio::time::sleep(Duration::from_millis(DEMO_FREEZE_MS)).await;
                proxy.cut();
                proxy.clear();
            }
            Fault::Slow => proxy.delay(Duration::from_millis(DEMO_DELAY_MS)),
            Fault::Clear => proxy.clear(),
        }
        Ok(self.to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill => f.write_str("host killed (SIGKILL)"),
            Fault::Cut => f.write_str("network cut: every connection reset"),
            Fault::Freeze => write!(f, "network silent for {DEMO_FREEZE_MS} ms, then cut"),
            Fault::Slow => write!(f, "network slow: {DEMO_DELAY_MS} ms each way"),
            Fault::Clear => f.write_str("network fast again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_come_in_the_order_of_progress_and_before_its_end() {
        assert!(PLAN.is_sorted_by(|a, b| a.0 < b.0));
        assert!(PLAN.iter().all(|(at, _)| *at < 1_000));
        let last_weather = PLAN.iter().rev().find(|(_, fault)| matches!(fault, Fault::Slow | Fault::Clear));
        assert_eq!(last_weather.map(|(_, fault)| *fault), Some(Fault::Clear), "what is slow gets fast again");
    }
}
