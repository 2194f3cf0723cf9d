//! What the owner wants of this lane's streams.
//!
//! What always holds: without a row the defaults hold, which delete nothing; only the owner writes one, and a change
//! takes effect at once.

use muster_contract::retention::Policy;
use muster_contract::{Code, Refusal};
use spacetimedb::{ReducerContext, reducer};

use super::limits::{SWEEP_EVERY_S, SWEEP_EVERY_S_MAX};
use super::tables::{LaneConfig, lane_config};
use super::{clock, grants, retention};

/// Sets how long events are kept: at most so many seconds, events and bytes for each stream, 0 for no limit. Unless
/// `keep_unsnapshotted` is false, what is newer than the newest snapshot is kept whatever the limits say.
///
/// # Errors
/// `unauthorized` for anybody but the owner; `invalid_request` for a `sweep_every_s` outside 1 to 86,400.
#[reducer]
pub fn configure_lane(
    ctx: &ReducerContext,
    retention_age_s: u64,
    retention_events: u64,
    retention_bytes: u64,
    keep_unsnapshotted: bool,
    sweep_every_s: u64,
) -> Result<(), String> {
    let row =
        LaneConfig { id: 0, retention_age_s, retention_events, retention_bytes, keep_unsnapshotted, sweep_every_s };
    configure(ctx, row).map_err(|refusal| refusal.to_wire())
}

fn configure(ctx: &ReducerContext, row: LaneConfig) -> Result<(), Refusal> {
    grants::must_be_owner(ctx)?;
    if !(1..=SWEEP_EVERY_S_MAX).contains(&row.sweep_every_s) {
        let message = format!("sweep_every_s is {}, and must be 1 to {SWEEP_EVERY_S_MAX}", row.sweep_every_s);
        return Err(Refusal::new(Code::InvalidRequest, message));
    }
    ctx.db.lane_config().id().insert_or_update(row);
    clock::believe(ctx);
    retention::begin_now(ctx);
    Ok(())
}

/// What holds now.
pub(super) fn current(ctx: &ReducerContext) -> LaneConfig {
    ctx.db.lane_config().id().find(0).unwrap_or(LaneConfig {
        id: 0,
        retention_age_s: 0,
        retention_events: 0,
        retention_bytes: 0,
        keep_unsnapshotted: true,
        sweep_every_s: SWEEP_EVERY_S,
    })
}

impl LaneConfig {
    /// The same for `muster_contract::retention`.
    pub(super) fn policy(&self) -> Policy {
        Policy {
            age_s: self.retention_age_s,
            events: self.retention_events,
            bytes: self.retention_bytes,
            keep_unsnapshotted: self.keep_unsnapshotted,
        }
    }
}
