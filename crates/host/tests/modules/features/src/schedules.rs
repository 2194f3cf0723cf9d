//! Schedules: once, at intervals, and of a procedure.

use spacetimedb::{ProcedureContext, ReducerContext, ScheduleAt, Table, TimeDuration};

/// What is to run.
#[spacetimedb::table(accessor = alarm, public, scheduled(ring))]
pub struct Alarm {
    #[primary_key]
    #[auto_inc]
    pub scheduled_id: u64,
    pub scheduled_at: ScheduleAt,
    pub name: String,
}

/// What ran.
#[spacetimedb::table(accessor = ringing, public)]
pub struct Ringing {
    #[primary_key]
    #[auto_inc]
    pub id: u64,
    pub name: String,
    /// Whether the caller was the database itself.
    pub by_the_database: bool,
}

/// Which procedure is to run.
#[spacetimedb::table(accessor = errand, scheduled(run_errand))]
pub struct Errand {
    #[primary_key]
    #[auto_inc]
    pub scheduled_id: u64,
    pub scheduled_at: ScheduleAt,
    pub name: String,
}

/// Runs at its time; clients may call it too.
#[spacetimedb::reducer]
pub fn ring(ctx: &ReducerContext, alarm: Alarm) {
    let by_the_database = ctx.sender() == ctx.database_identity();
    ctx.db.ringing().insert(Ringing { id: 0, name: alarm.name, by_the_database });
}

/// Runs at its time, in a transaction of its own.
#[spacetimedb::procedure]
pub fn run_errand(ctx: &mut ProcedureContext, errand: Errand) {
    let by_the_database = ctx.sender() == ctx.database_identity();
    ctx.with_tx(|tx| tx.db.ringing().insert(Ringing { id: 0, name: errand.name.clone(), by_the_database }));
}

/// Rings every `every_ms` milliseconds.
#[spacetimedb::reducer]
pub fn ring_every(ctx: &ReducerContext, name: String, every_ms: i64) {
    let scheduled_at = TimeDuration::from_micros(every_ms * 1000).into();
    ctx.db.alarm().insert(Alarm { scheduled_id: 0, scheduled_at, name });
}

/// Rings once, `after_ms` milliseconds from now.
#[spacetimedb::reducer]
pub fn ring_once(ctx: &ReducerContext, name: String, after_ms: i64) {
    let scheduled_at = (ctx.timestamp + TimeDuration::from_micros(after_ms * 1000)).into();
    ctx.db.alarm().insert(Alarm { scheduled_id: 0, scheduled_at, name });
}

/// Runs the procedure once, as soon as may be.
#[spacetimedb::reducer]
pub fn send_on_errand(ctx: &ReducerContext, name: String) {
    ctx.db.errand().insert(Errand { scheduled_id: 0, scheduled_at: ctx.timestamp.into(), name });
}

/// Rings no more.
#[spacetimedb::reducer]
pub fn silence(ctx: &ReducerContext) {
    for alarm in ctx.db.alarm().iter() {
        ctx.db.alarm().scheduled_id().delete(alarm.scheduled_id);
    }
}
