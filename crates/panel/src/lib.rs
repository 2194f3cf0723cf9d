//! What a diagnostics screen shows.
pub mod badge;
pub mod clock;
pub mod limits;
