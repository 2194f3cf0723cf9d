//! Streams: ordered, append-only logs of events.
//!
//! What always holds: every decision that client, module and simulator must agree on is a call into `muster_contract`
//! (may this batch be stored, may this cursor go on, what may retention delete); the files here fetch rows, ask, and
//! write what was decided. Every door of a session, reducer or procedure, asks [`grants`] before it reads a stream's
//! rows. A refusal is one line, [`Refusal::to_wire`], at every door.
//!
//! The map: [`tables`] what is stored, [`packed`] and [`rows`] how events are; [`append`] events come in; [`read`] pages and lists go out; [`snapshot`] and
//! [`checkpoint`]; [`follow`] who is woken; [`retention`] what goes, and when, by which clock ([`clock`]); [`admin`] and [`lane_config`] what the
//! owner may do; [`grants`] who may do anything.

pub mod admin;
pub mod append;
pub mod checkpoint;
mod clock;
mod filling;
pub mod follow;
pub mod grants;
pub mod lane_config;
pub mod limits;
pub mod packed;
pub mod read;
pub mod retention;
mod rows;
pub mod snapshot;
pub mod tables;

use muster_contract::cursor::{Epoch, Position, Seq};
use muster_contract::page::Stale;
use muster_contract::pattern::StreamPattern;
use muster_contract::resume::StreamBounds;
use muster_contract::stream::StreamId;
use muster_contract::{Code, Refusal};
use spacetimedb::ReducerContext;

use tables::{SyncStream, sync_stream};

/// The stream of that id, if there is one.
fn find(ctx: &ReducerContext, id: &StreamId) -> Option<SyncStream> {
    ctx.db.sync_stream().id().find(id.as_str().to_owned())
}

/// A stream's id, as a caller wrote it.
fn parse_id(text: &str) -> Result<StreamId, Refusal> {
    StreamId::parse(text).map_err(|error| Refusal::new(Code::BadStreamId, error.to_string()))
}

/// A pattern, as a caller wrote it.
fn parse_pattern(text: &str) -> Result<StreamPattern, Refusal> {
    StreamPattern::parse(text).map_err(|error| Refusal::new(Code::BadSubscription, error.to_string()))
}

/// The stream in the life that the caller means.
fn find_in_epoch(ctx: &ReducerContext, id: &StreamId, epoch: u64) -> Result<SyncStream, Refusal> {
    let stream = find(ctx, id);
    let present = stream.as_ref().map_or(0, |stream| stream.epoch);
    stream.filter(|stream| stream.epoch == epoch).ok_or_else(|| epoch_changed(epoch, present))
}

/// The refusal of a caller that means another life of a stream than the `present` one (0: there is no such stream).
fn epoch_changed(meant: u64, present: u64) -> Refusal {
    let message = match present {
        0 => format!("epoch {meant} is over: the stream does not exist any more"),
        _ => format!("epoch {meant} is over: the stream has begun anew"),
    };
    Refusal::new(Code::EpochChanged, message).with_epoch(present)
}

impl SyncStream {
    /// What the stream holds, for decisions.
    fn bounds(&self) -> StreamBounds {
        let epoch = Epoch::new(self.epoch).expect("a stream's epoch is never 0");
        let snapshot = Some(self.snapshot_seq).filter(|seq| *seq > 0).map(Seq::new);
        StreamBounds::new(epoch, self.floor_seq.into(), self.head.into(), snapshot)
            .expect("retention and append keep the floor at most one above the head")
    }

    /// Where a reader stands that has applied everything up to `seq` in `epoch`; 0 stands for the present life.
    fn position(&self, epoch: u64, seq: u64) -> Position {
        let epoch = Epoch::new(if epoch == 0 { self.epoch } else { epoch }).expect("neither is 0");
        Position { epoch, seq: seq.into() }
    }

    /// What a reader is told whose cursor does not hold.
    fn stale(&self, reason: &str) -> Stale {
        let SyncStream { epoch, floor_seq: floor, head, snapshot_seq, .. } = *self;
        Stale { reason: reason.into(), epoch, floor, head, snapshot_seq }
    }
}
