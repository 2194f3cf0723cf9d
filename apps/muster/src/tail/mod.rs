//! What `muster tail` makes of a subscriber: lines of events on stdout, states on stderr.
//!
//! What always holds: an event is printed before its transaction commits, so no event that a store has was never
//! printed; one is printed twice only where the program was killed in between. Nothing is called live that is not.

pub(crate) mod database;
pub(crate) mod line;
pub(crate) mod printing;
pub(crate) mod states;
pub(crate) mod what;
