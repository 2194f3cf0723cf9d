//! The tables of the streams.
//!
//! What always holds: all are private but [`SyncSignal`], which is an event table of which each identity sees its own
//! rows and no others. The database's owner reads every one of them with plain SQL; sessions have the reducers and
//! procedures of this folder, each of which asks [`super::grants`] first. Columns hold plain numbers and text, so that
//! they read well in SQL, but for the heads of events; rules are in `muster_contract`.

use muster_contract::page::WireHash;
use spacetimedb::{
    ConnectionId, Filter, Identity, ScheduleAt, SpacetimeType, Timestamp, client_visibility_filter, table,
};

use super::retention::sweep_retention;

/// A stream: an ordered log of events.
// The indexes are for ranges of numbers and of ids: SpacetimeDB gives a unique column no ranges.
#[table(
    accessor = sync_stream,
    index(accessor = by_no, btree(columns = [no, epoch])),
    index(accessor = by_id, btree(columns = [id, no]))
)]
#[derive(Clone)]
pub struct SyncStream {
    /// Its number. Never used again: a stream that is deleted and made again has another.
    #[primary_key]
    #[auto_inc]
    pub no: u64,
    /// Its id.
    #[unique]
    pub id: String,
    /// Random, never 0; another one for each life of the stream.
    pub epoch: u64,
    /// The highest `seq` ever given; 0 for none.
    pub head: u64,
    /// The lowest `seq` held; `head + 1` when nothing is. Not `floor`, which is a function in SQL.
    pub floor_seq: u64,
    /// The mark of the event `head`; 0 for none. See `muster_contract::page::mark`.
    pub head_mark: u64,
    /// The mark of the event before the floor; 0 where nothing was before it.
    pub floor_mark: u64,
    /// Kinds and payloads held, in bytes.
    pub bytes: u64,
    /// Up to which `seq` the newest snapshot reaches; 0 when there is none.
    pub snapshot_seq: u64,
    /// When it was made, by the host's clock.
    pub created_at: Timestamp,
    /// When it was last appended to, by the host's clock.
    pub appended_at: Timestamp,
}

/// The events of one append, in order. A row for each event would cost the host twice the time and the memory (see
/// `docs/performance.md`). What is read of a row begins at the stream's floor, also where the row does not.
#[table(accessor = sync_event, index(accessor = by_stream_seq, btree(columns = [stream, seq])))]
pub struct SyncEvent {
    /// The stream's number.
    pub stream: u64,
    /// The place of the first event in the stream, from 1. The others follow, and the next row follows them, without a hole.
    pub seq: u64,
    /// How many events.
    pub events: u32,
    /// The producer's number, see [`SyncProducer`].
    pub producer: u64,
    /// The producer's number of the first event. The others follow.
    pub number: u64,
    /// The mark of the event before the first, which stands for everything before; 0 where nothing was before it.
    pub mark_before: u64,
    /// When they were stored, by the host's clock.
    pub stored_at: Timestamp,
    /// What kinds of events: a line for each.
    pub kinds: String,
    /// Canonical JSON (RFC 8785): a line for each.
    pub payloads: String,
    /// Hash, time by the producer's clock, and lengths: 48 bytes for each, see `muster_contract::packed`.
    pub heads: Vec<u8>,
}

/// The newest snapshot of a stream.
#[table(accessor = sync_snapshot)]
pub struct SyncSnapshot {
    /// The stream's number.
    #[primary_key]
    pub stream: u64,
    /// The stream's epoch.
    pub epoch: u64,
    /// Up to which `seq` it reaches.
    pub seq: u64,
    /// Canonical JSON.
    pub payload: String,
    /// SHA-256 of the payload, as a big-endian number.
    pub payload_hash: WireHash,
    /// The mark of the event `seq`.
    pub mark: u64,
    /// Who made it: the number of a producer.
    pub producer: u64,
    /// When it came, by the host's clock.
    pub at: Timestamp,
}

/// How far a client says that it has applied a stream: for operators, who see lag by it.
#[table(accessor = sync_checkpoint, index(accessor = by_stream_identity, btree(columns = [stream, identity])))]
pub struct SyncCheckpoint {
    /// Assigned by the host.
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    /// The stream's number.
    pub stream: u64,
    /// Whose.
    pub identity: Identity,
    /// Which of the identity's clients, by the name that it gives itself.
    pub client: String,
    /// The cursor's epoch.
    pub epoch: u64,
    /// The cursor's `seq`.
    pub seq: u64,
    /// When it said so, by the host's clock.
    pub at: Timestamp,
}

/// A producer: an outbox, known by its id.
#[table(accessor = sync_producer)]
pub struct SyncProducer {
    /// Its number.
    #[primary_key]
    #[auto_inc]
    pub no: u64,
    /// Its id, 32 hexadecimal digits.
    #[unique]
    pub id: String,
    /// Who used it first, and nobody else since.
    pub identity: Identity,
    /// When that was.
    pub first_seen: Timestamp,
}

/// How far a producer's events of a stream were accepted, in the stream's present life.
#[table(accessor = producer_cursor, index(accessor = by_stream_producer, btree(columns = [stream, producer])))]
#[derive(Clone)]
pub struct ProducerCursor {
    /// Assigned by the host.
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    /// The stream's number.
    pub stream: u64,
    /// The producer's number.
    pub producer: u64,
    /// The producer's number of the last event accepted.
    pub number: u64,
    /// That event's `seq`.
    pub seq: u64,
    /// When it was accepted, by the host's clock.
    pub at: Timestamp,
}

/// What a live session follows. The rows of a session go when it does.
#[table(accessor = sync_follow, index(accessor = by_connection_slot, btree(columns = [connection_id, slot])))]
#[derive(Clone)]
pub struct SyncFollow {
    /// Assigned by the host.
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    /// Which session.
    pub connection_id: ConnectionId,
    /// Whose.
    pub identity: Identity,
    /// The session's number for it.
    pub slot: u32,
    /// Which streams, as a pattern is written.
    #[index(btree)]
    pub pattern: String,
}

/// See `muster_contract::rows::Signal`.
#[derive(SpacetimeType, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The stream has more events.
    Ahead,
    /// The stream has begun to exist, or has begun anew.
    NewStream,
    /// The stream does not exist any more.
    Gone,
    /// The pattern is no longer followed.
    FollowEnded,
}

/// See `muster_contract::rows::SyncSignal`.
#[table(accessor = sync_signal, public, event)]
pub struct SyncSignal {
    /// Whose session.
    pub to: Identity,
    /// Which session.
    pub connection_id: ConnectionId,
    /// Which of its follows.
    pub slot: u32,
    /// The stream's number.
    pub stream: u64,
    /// What there is to know.
    pub what: Signal,
    /// The events that came, where they are few and all of `to`'s sessions may read them.
    pub page: Vec<u8>,
}

/// Each identity sees the signals to itself, by every door.
#[client_visibility_filter]
const SIGNALS_ARE_FOR_THEIR_RECIPIENTS: Filter =
    Filter::Sql("SELECT * FROM sync_signal WHERE sync_signal.to = :sender");

/// What this lane wants of its streams: one row, or none for the defaults.
#[table(accessor = lane_config)]
#[derive(Clone)]
pub struct LaneConfig {
    /// Always 0.
    #[primary_key]
    pub id: u8,
    /// How long an event is kept, in seconds; 0 for ever.
    pub retention_age_s: u64,
    /// How many events of a stream are kept; 0 for all.
    pub retention_events: u64,
    /// How many bytes of a stream's kinds and payloads are kept; 0 for all.
    pub retention_bytes: u64,
    /// Whether events that no snapshot covers are kept whatever the limits say.
    pub keep_unsnapshotted: bool,
    /// How often retention looks at every stream, in seconds.
    pub sweep_every_s: u64,
}

/// Whose lane this is: one row.
#[table(accessor = lane_owner)]
pub struct LaneOwner {
    /// Always 0.
    #[primary_key]
    pub id: u8,
    /// Who published the database.
    pub identity: Identity,
}

/// The next sweep of retention: one row while there is anything to sweep for.
#[table(accessor = retention_sweep, scheduled(sweep_retention))]
pub struct RetentionSweep {
    /// Assigned by the host.
    #[primary_key]
    #[auto_inc]
    pub scheduled_id: u64,
    /// When it is due.
    pub scheduled_at: ScheduleAt,
    /// The number of the stream after which it goes on; 0 at the beginning of a round.
    pub after: u64,
}

/// What retention knows of the host's clock: one row once there is a limit of age.
#[table(accessor = retention_clock)]
pub struct RetentionClock {
    /// Always 0.
    #[primary_key]
    pub id: u8,
    /// What it said when retention last looked, in microseconds since the beginning of 1970.
    pub seen_us: i64,
    /// Until when it is not believed about the age of events, in the same; 0 if it is.
    pub held_until_us: i64,
}

/// A deleted stream whose events are not all gone yet: nobody can reach them, and sweeps remove them bit by bit.
#[table(accessor = sync_garbage)]
pub struct SyncGarbage {
    /// The number that the stream had.
    #[primary_key]
    pub stream: u64,
    /// The lowest `seq` that is still there.
    pub floor_seq: u64,
    /// The highest.
    pub head: u64,
}
