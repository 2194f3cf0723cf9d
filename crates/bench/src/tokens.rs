//! What tokens cost: mints a second, and enforcement on the stream path: `muster bench tokens`.
//!
//! What always holds: enforcement is measured on one host, between two databases of the same module: one that is open and
//! one that takes only what tokens grant; they take turns within each repeat, with the same sessions, events and pages. A
//! load is timed from before its first append until every session has read its last event; every session signs in with a
//! token of its own, by its own subject, in both databases. The sessions live in this process, so the ratio is of the host's
//! work and of the clients' together; the host's processor time alone stands beside it.

mod load;
mod mint;
mod servers;

use std::path::PathBuf;

use bytes::Bytes;

use crate::child;
use crate::error::BenchError;
use crate::limits::OPEN_FILES;
use crate::machine::Machine;
use crate::plan::Step;
use crate::report::{REFERENCE, Report, Samples};
use load::Load;
use servers::Servers;

/// The name of the document's format.
pub const SCHEMA: &str = "muster.bench.tokens.v1";

/// The database that takes only what tokens grant, as a ratio of the open one.
const ENFORCED: &str = "muster, enforced";

/// How much is measured.
#[derive(Clone, Debug)]
pub struct TokensSize {
    /// How many times each figure is taken.
    pub repeats: usize,
    /// Numbers of granted subscribers.
    pub subscribers: Vec<usize>,
    /// Events that all subscribers together read in one load, at least.
    pub reads: usize,
    /// For how long tokens are minted, in milliseconds.
    pub mint_ms: u64,
}

impl TokensSize {
    /// What is worth quoting: some minutes.
    #[must_use]
    pub fn full() -> TokensSize {
        TokensSize { repeats: 7, subscribers: vec![1, 100, 1_000], reads: 200_000, mint_ms: 5_000 }
    }

    /// Enough to see that everything works, and nothing to be quoted: some seconds.
    #[must_use]
    pub fn quick() -> TokensSize {
        TokensSize { repeats: 1, subscribers: vec![1, 10], reads: 2_000, mint_ms: 500 }
    }
}

/// A measurement to be made.
#[derive(Clone, Debug)]
pub struct TokensPlan {
    /// The program `muster`, whose `host` and `control` are started.
    pub program: PathBuf,
    /// Muster's module.
    pub module: Bytes,
    /// How much.
    pub size: TokensSize,
}

/// Measures. `on_step` hears of each step before it begins.
///
/// # Errors
/// [`BenchError`]: nothing is reported of a run that did not complete.
pub async fn run(plan: &TokensPlan, on_step: impl Fn(Step)) -> Result<Report, BenchError> {
    let size = &plan.size;
    let most = size.subscribers.iter().copied().max().unwrap_or(0) as u64;
    child::allow_open_files((2 * most + 512).min(OPEN_FILES))?;
    let machine = Machine::here(&child::data_parent())?;
    let servers = Servers::start(&plan.program, &plan.module).await?;
    let mut samples = Samples::default();
    let of = size.repeats * (mint::AT_ONCE.len() + 2 * size.subscribers.len());
    let mut done = 0;
    let mut step = |what: String| {
        on_step(Step { done, of, what });
        done += 1;
    };
    for round in 0..size.repeats {
        for at_once in mint::AT_ONCE {
            let what = format!("tokens a second, {at_once} at a time");
            step(what.clone());
            samples.add(what, REFERENCE, "tokens/s", mint::rate(&servers, at_once, size.mint_ms).await?);
        }
        for &subscribers in &size.subscribers {
            let load = Load::new(subscribers, size.reads, round);
            // Who comes first changes, so that what a first one warms up is nobody's for good.
            let mut order = [(REFERENCE, false), (ENFORCED, true)];
            if round % 2 == 1 {
                order.reverse();
            }
            for (system, enforced) in order {
                step(format!("{subscribers} subscribers, {system}"));
                let took = load.run(&servers, enforced).await?;
                let noun = if subscribers == 1 { "subscriber" } else { "subscribers" };
                samples.add(format!("time of an event read, {subscribers} {noun}"), system, "us", took.wall_us);
                samples.add(
                    format!("the host's processor time of it, {subscribers} {noun}"),
                    system,
                    "us",
                    took.host_us,
                );
            }
        }
    }
    servers.end().await;
    Ok(Report { schema: SCHEMA, machine: machine.after()?, repeats: size.repeats, rows: samples.rows() })
}
