//! The second half of `muster demo`: real events flow while the host is killed and the network breaks.
//!
//! What always holds: faults come at points of progress, not of time, so that each falls into the middle of the work;
//! what the table at the end says is read out of the subscriber's database and compared with what was emitted.

mod compare;
mod drill;
mod events;
mod faults;
mod host;

pub(crate) use drill::Drill;
pub(crate) use events::Events;
pub(crate) use host::HostProcess;
