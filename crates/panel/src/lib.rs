//! What a diagnostics screen shows, whether that is a window or a terminal: who is connected, how the sync is doing, what
//! the token grants, the newest events, the outbox.
//!
//! What always holds:
//! - [`model`] decides and does no I/O: observations go in, facts come out, and every statement of how fresh they are is
//!   made by [`badge`] from the times of proofs, at the moment in which it is shown.
//! - `driver` only feeds it, as an application of `muster-sync` and `muster-wire` like any other, and publishes facts as
//!   whole values: a screen holds no lock that the sync needs, and a slow screen slows nobody.
//! - Every queue is bounded and every wait limited ([`limits`]).

pub mod badge;
pub mod clock;
pub mod limits;
pub mod model;
pub mod report;

mod driver;

pub use badge::{Badge, Source};
pub use clock::At;
pub use driver::target::{Target, TokenChoice};
pub use driver::{Command, Panel};
pub use model::{Facts, Model, Observation, Pane};
pub use muster_sync::StartAt;
