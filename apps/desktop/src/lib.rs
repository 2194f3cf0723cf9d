//! Muster's diagnostics window: who is connected, and how the sync is doing.
//!
//! What always holds: the window draws facts of `muster-panel` and asks it for things; it holds no connection, no store and
//! no lock that the sync needs. Every judgement of how fresh something is, is the panel's, made anew at every frame.

pub mod actions;
pub mod app;
pub mod args;
pub mod connect;
pub mod frames;
pub mod help;
pub mod limits;
pub mod log;
pub mod panes;
pub mod rail;
pub mod target;
pub mod theme;
pub mod view;
pub mod widgets;
