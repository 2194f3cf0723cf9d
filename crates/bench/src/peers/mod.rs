//! Muster beside Redis Streams, NATS JetStream and PostgreSQL, in the same run: `muster bench peers`.
//!
//! What always holds:
//! - Every system carries the same payloads for the same application: the same generator, the same clock, the same
//!   consumer (events and cursor in one synced SQLite transaction), compared byte for byte at the end.
//! - Each peer is driven as its own documentation knows how, and with an outbox in front like Muster's; without one, its
//!   figures stand there too, under a name of their own, and are no peer for a ratio because less is promised.
//! - What all systems have in common is measured by itself, without a server, in the same turns: the bound of each.
//! - Systems take turns within each repeat; each measurement has servers, publishers and subscribers of its own, as
//!   processes of their own, on new folders.
//! - This is a program of its own, `muster-bench-peers`: three more clients in `muster` would be weight for everybody, and
//!   their features would be unified into the engine's. `muster bench peers` starts it.
//!
//! | question | file |
//! | --- | --- |
//! | what is measured | `run.rs`, `backlog.rs` |
//! | how is each server configured | `servers.rs` |
//! | how is each driven | `redis.rs`, `nats.rs`, `postgres.rs`, `muster.rs` |
//! | the application: publisher and subscriber | `roles.rs` |
//! | the outbox and the store that peers get | `outbox.rs`, `store.rs` |
//! | what bounds every system: the two ends alone, the engine beside them, three syncs alone | `alone.rs`, `engine.rs`, `syncs.rs` |
//! | the document, the table, the plots | `results.rs`, `record.rs`, `plot.rs` |

mod alone;
mod backlog;
mod engine;
mod floor;
mod muster;
mod nats;
mod outbox;
mod plot;
mod postgres;
mod record;
mod redis;
pub mod results;
mod roles;
pub mod run;
mod scene;
mod servers;
mod store;
mod syncs;
pub mod system;
mod words;

pub use plot::draw;

pub(crate) type Outcome<T = ()> = Result<T, String>;

pub(crate) fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Runs one of the measured processes: `publisher` or `subscriber`, at the place that `place` describes (JSON).
///
/// # Errors
/// Words about whatever went wrong; a measurement is then void.
pub async fn role(role: &str, place: &str) -> Result<(), String> {
    let place = serde_json::from_str(place).map_err(text)?;
    match role {
        "publisher" => roles::publisher(place).await,
        "subscriber" => roles::subscriber(place).await,
        other => Err(format!("{other} is no role")),
    }
}
