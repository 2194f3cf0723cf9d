//! What `muster emit` reads, newline-delimited JSON, one event a line; and how that gets into an outbox and out of it.
//!
//! What always holds: a bad line is reported with its number and costs no other line; what is read is bounded, whatever
//! the file holds; a payload keeps its own bytes until it is made canonical, so no number is rounded on the way.

pub(crate) mod bookmark;
pub(crate) mod input;
pub(crate) mod line;
pub(crate) mod lines;
pub(crate) mod sending;
pub(crate) mod store;
pub(crate) mod taking;
