//! What the sender and people change in an outbox, beside publishing.
//!
//! What always holds: what a person decides concerns parked streams only, so nothing is under way for them.

use muster_contract::stream::StreamId;
use muster_wire::Token;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::record;
use super::writer::Changes;
use crate::core::{Refusal, StreamNo, StreamRecord};
use crate::error::OperateError;

/// What a person decides about a parked stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again as it is: the cause is mended.
    Retry,
    /// Go on with the next event, whatever the host has: what it lost stays lost, and what it has beyond is left there.
    AcceptLoss,
    /// Throw the stream's events in the outbox away, for good, and go on with what is published from now on.
    Drop,
}

/// A request that is no publishing.
pub(crate) enum Control {
    Save { record: StreamRecord, reply: oneshot::Sender<bool> },
    Park { stream: StreamNo, refusal: Refusal, reply: oneshot::Sender<bool> },
    Forget { up_to: Vec<(StreamNo, u64)>, reply: oneshot::Sender<bool> },
    KeepToken { host: String, token: Token, reply: oneshot::Sender<bool> },
    Decide { stream: StreamId, decision: Decision, reply: oneshot::Sender<Result<u64, OperateError>> },
}

/// What came of a control.
pub(super) enum Answer {
    Done,
    Decided(Result<u64, OperateError>),
}

/// Carries a control out in the transaction that is open.
pub(super) fn apply(
    control: &Control,
    connection: &Connection,
    changes: &mut Changes,
    now_ms: i64,
) -> rusqlite::Result<Answer> {
    match control {
        Control::Save { record, .. } => save(record, connection, changes)?,
        Control::Park { stream, refusal, .. } => {
            record::park(connection, *stream, refusal, now_ms)?;
            if let Some(mut record) = current(connection, changes, *stream)? {
                record.parked = true;
                changes.records.insert(*stream, record);
            }
        }
        Control::Forget { up_to, .. } => {
            for (stream, number) in up_to {
                forget(connection, changes, *stream, *number)?;
            }
        }
        Control::KeepToken { host, token, .. } => {
            connection
                .prepare_cached("INSERT INTO token VALUES (?1, ?2) ON CONFLICT DO UPDATE SET token = excluded.token")?
                .execute((host, token.expose()))?;
        }
        Control::Decide { stream, decision, .. } => {
            return decide(connection, changes, stream, *decision).map(Answer::Decided);
        }
    }
    Ok(Answer::Done)
}

/// Answers; whoever does not wait any more needs none.
pub(super) fn reply(controls: Vec<Control>, answers: Vec<Answer>) {
    for (control, answer) in controls.into_iter().zip(answers) {
        match (control, answer) {
            (
                Control::Save { reply, .. }
                | Control::Forget { reply, .. }
                | Control::Park { reply, .. }
                | Control::KeepToken { reply, .. },
                _,
            ) => {
                let _ = reply.send(true);
            }
            (Control::Decide { reply, .. }, Answer::Decided(result)) => drop(reply.send(result)),
            (Control::Decide { .. }, _) => {}
        }
    }
}

pub(super) fn refuse(controls: Vec<Control>, error: &rusqlite::Error) {
    for control in controls {
        match control {
            Control::Save { reply, .. }
            | Control::Forget { reply, .. }
            | Control::Park { reply, .. }
            | Control::KeepToken { reply, .. } => {
                let _ = reply.send(false);
            }
            Control::Decide { reply, .. } => {
                drop(reply.send(Err(OperateError::Disk { detail: crate::error::words(error) })));
            }
        }
    }
}

fn current(connection: &Connection, changes: &Changes, no: StreamNo) -> rusqlite::Result<Option<StreamRecord>> {
    match changes.records.get(&no) {
        Some(record) => Ok(Some(*record)),
        None => record::by_no(connection, no),
    }
}

fn save(record: &StreamRecord, connection: &Connection, changes: &mut Changes) -> rusqlite::Result<()> {
    let Some(mut row) = current(connection, changes, record.no)? else { return Ok(()) };
    (row.epoch, row.generation, row.base, row.renumber) = (record.epoch, record.generation, record.base, false);
    changes.records.insert(row.no, row);
    forget(connection, changes, record.no, record.confirmed)
}

fn forget(connection: &Connection, changes: &mut Changes, no: StreamNo, up_to: u64) -> rusqlite::Result<()> {
    let Some(mut record) = current(connection, changes, no)? else { return Ok(()) };
    let up_to = up_to.min(record.last);
    if up_to > record.confirmed {
        changes.totals.events = changes.totals.events.saturating_sub(up_to - record.confirmed);
        record.confirmed = up_to;
        changes.records.insert(no, record);
    }
    let key = (no.cast_signed(), record.confirmed.cast_signed());
    let bytes: i64 = connection
        .prepare_cached("SELECT coalesce(sum(bytes), 0) FROM chunk WHERE stream = ?1 AND last <= ?2")?
        .query_row(key, |row| row.get(0))?;
    let gone = connection.prepare_cached("DELETE FROM chunk WHERE stream = ?1 AND last <= ?2")?.execute(key)?;
    changes.totals.bytes = changes.totals.bytes.saturating_sub(bytes.cast_unsigned());
    changes.freed |= gone > 0;
    Ok(())
}

/// Returns how many events the decision concerned.
fn decide(
    connection: &Connection,
    changes: &mut Changes,
    stream: &StreamId,
    decision: Decision,
) -> rusqlite::Result<Result<u64, OperateError>> {
    let Some(row) = record::by_id(connection, stream.as_str())? else {
        return Ok(Err(OperateError::NoSuchStream { stream: stream.clone() }));
    };
    let mut record = changes.records.get(&row.no).copied().unwrap_or(row);
    if !record.parked {
        return Ok(Err(OperateError::NotParked { stream: stream.clone() }));
    }
    record::unpark(connection, record.no)?;
    record.parked = false;
    // The host's next word says how it counts; with no event left or none to be compared, any count will do.
    record.renumber |= decision != Decision::Retry;
    let events = record.pending();
    changes.records.insert(record.no, record);
    if decision == Decision::Drop {
        forget(connection, changes, record.no, record.last)?;
    }
    changes.reset.insert(record.no);
    Ok(Ok(events))
}
