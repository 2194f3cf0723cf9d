//! Gates, drills, evidence and promotion: what must hold before a build goes from lane to lane, and the proof that it did.
//!
//! What always holds: a gate only observes and reports ([`GateReport`]), and what follows from its observations is
//! computed in one place ([`GateReport::finish`]); evidence is signed bytes, and nothing of it is parsed before its
//! signature holds ([`evidence`]); whether something may be promoted, and what is the next step of a promotion, is
//! decided by pure functions over evidence and a journal ([`promote`]).

pub mod evidence;
pub mod gate;
#[cfg(feature = "gates")]
pub mod gates;
pub mod limits;
pub mod observation;
pub mod promote;
pub mod report;

pub use gate::{Effects, Gate};
pub use observation::{Fault, Observation, Point, Quantity, Series, Standing, Value};
pub use report::{GateReport, GateResult, Sha256};
