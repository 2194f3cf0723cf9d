//! What a diagnostics screen shows.
pub mod badge;
pub mod clock;
pub mod limits;
pub mod model;
pub use badge::{Badge, Source};
pub use clock::At;
pub use model::{Facts, Model, Observation, Pane};
