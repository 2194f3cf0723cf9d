//! One module that uses every feature of the engine that a host must carry to its clients.
//!
//! What always holds: nothing here is clever. Each file is one feature, small enough to say what a client must see.

mod columns;
mod events;
mod indexes;
mod procedures;
mod routes;
mod schedules;
mod views;
mod visibility;

use spacetimedb::ReducerContext;

/// Runs once, when the database is created.
#[spacetimedb::reducer(init)]
pub fn init(_ctx: &ReducerContext) {
    log::info!("created");
}

/// Writes a line of every level to the module's log.
#[spacetimedb::reducer]
pub fn log_at_every_level(_ctx: &ReducerContext, text: String) {
    log::trace!("{text}");
    log::debug!("{text}");
    log::info!("{text}");
    log::warn!("{text}");
    log::error!("{text}");
}
