//! Measurements of Muster, beside yardsticks taken in the same run: `muster bench connect`, `muster bench streams`, `muster bench
//! growth`.
//!
//! What always holds:
//! - Every server that is measured is a process of its own; what is measured of it is read from `/proc`, so this runs on
//!   Linux only.
//! - Systems are measured in turn, one repeat of each after the other, so that what else the machine does hits all of
//!   them; medians of the repeats are reported, with their spread.
//! - Nothing is asserted about how fast anything is: ratios are reported, not judged.
//!
//! | question | file |
//! | --- | --- |
//! | what is done, in which order, how often | `plan.rs` |
//! | how is a session opened, by each system | `systems.rs`, `bare.rs` |
//! | connections a second, time to the first row | `connecting.rs` |
//! | calls a second | `calling.rs` |
//! | memory per idle session | `idle.rs` |
//! | events a second, from outbox to subscriber; latency | `streams.rs`, `streams/` |
//! | cost of an event as streams get longer and more | `growth.rs` |
//! | beside Redis, NATS and PostgreSQL | `peers/`, a program of its own |
//! | tokens a second; what enforcement costs | `tokens.rs`, `tokens/` |
//! | percentiles, medians, the table | `stats.rs`, `report.rs` |
//! | the yardstick of the transport | `echo.rs` |
//! | processes, memory, processor time | `child.rs`, `proc.rs` |
//! | every number | `limits.rs` |

mod bare;
mod calling;
mod child;
mod connecting;
pub mod echo;
mod error;
pub mod growth;
mod idle;
pub mod limits;
mod machine;
#[cfg(feature = "peers")]
pub mod peers;
mod plan;
mod proc;
pub mod report;
pub mod stats;
pub mod streams;
mod syncing;
mod systems;
pub mod tokens;

pub use error::BenchError;
pub use machine::Machine;
pub use plan::{Plan, Size, Step, run};
