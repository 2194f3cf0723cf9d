//! Promotion: what is refused and why, and that one that was killed anywhere goes on or goes back, and does nothing twice.

mod admission;
mod killed;
mod world;
