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
use crate::error::{OperateError, is_damage};

/// What a person decides about a parked stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again as it is: the cause is mended.
    Retry,
    /// Go on with the outbox's next event in another counting, whatever the host has: what it lost stays lost, and what it
    /// has beyond is left there. What it has of the events that wait, without the outbox having heard so, is stored twice,
    /// unless the host can still name the last of it. It is no help against an event that the host refuses, or that cannot
    /// be read: that one comes next again.
    AcceptLoss,
    /// Throw the events up to this local number away, for good, and go on with the next one in another counting. For an
    /// event that the host refuses for what it is, or that is damaged on disk; the reason for which the stream is parked
    /// names the numbers.
    Skip {
        /// The last number to be thrown away. The first is the first that is not confirmed.
        through: u64,
    },
    /// Throw the stream's events in the outbox away, for good, and go on with what is published from now on.
    Drop,
}

/// A request that is no publishing.
pub(crate) enum Control {
    Save {
        record: StreamRecord,
        reply: oneshot::Sender<bool>,
    },
    Park {
        stream: StreamNo,
        refusal: Refusal,
        reply: oneshot::Sender<bool>,
    },
    Forget {
        up_to: Vec<(StreamNo, u64)>,
        reply: oneshot::Sender<bool>,
    },
    /// Without a token: forgets the one that is kept.
    KeepToken {
        host: String,
        token: Option<Token>,
        reply: oneshot::Sender<bool>,
    },
    Decide {
        stream: StreamId,
        decision: Decision,
        reply: oneshot::Sender<Result<u64, OperateError>>,
    },
}

impl Control {
    /// The streams whose rows it may have changed, once it is carried out.
    pub(super) fn streams(&self, changes: &Changes) -> Vec<StreamNo> {
        match self {
            Control::Save { record, .. } => vec![record.no],
            Control::Park { stream, .. } => vec![*stream],
            Control::Forget { up_to, .. } => up_to.iter().map(|(no, _)| *no).collect(),
            Control::KeepToken { .. } => Vec::new(),
            Control::Decide { .. } => changes.reset.iter().copied().collect(),
        }
    }

    /// Says what came of it; whoever does not wait any more needs no answer.
    fn answer(self, answer: Answer) {
        match (self, answer) {
            (Control::Decide { reply, .. }, Answer::Decided(result)) => drop(reply.send(result)),
            (Control::Decide { reply, .. }, Answer::Failed(detail)) => {
                drop(reply.send(Err(OperateError::Disk { detail })));
            }
            (Control::Decide { .. }, Answer::Done) => {}
            (
                Control::Save { reply, .. }
                | Control::Forget { reply, .. }
                | Control::Park { reply, .. }
                | Control::KeepToken { reply, .. },
                answer,
            ) => drop(reply.send(!matches!(answer, Answer::Failed(_)))),
        }
    }
}

/// What came of a control.
pub(super) enum Answer {
    Done,
    /// It changed nothing, for this reason.
    Failed(String),
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
            changes.renumbered.insert(*stream);
            if let Some(mut record) = current(connection, changes, *stream)? {
                record.parked = true;
                changes.records.insert(*stream, record);
            }
        }
        Control::Forget { up_to, .. } => {
            for (stream, number) in up_to {
                match forget(connection, changes, *stream, *number) {
                    // Its events stay until the host is asked about them again; the other streams' do not.
                    Err(error) if is_damage(&error) => {
                        tracing::warn!(stream, %error, "a stream's row cannot be read");
                    }
                    done => done?,
                }
            }
        }
        Control::KeepToken { host, token: None, .. } => {
            connection.prepare_cached("DELETE FROM token WHERE host = ?1")?.execute([host])?;
        }
        Control::KeepToken { host, token: Some(token), .. } => {
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

/// Answers each.
pub(super) fn reply(controls: Vec<Control>, answers: Vec<Answer>) {
    for (control, answer) in controls.into_iter().zip(answers) {
        control.answer(answer);
    }
}

pub(super) fn refuse(controls: Vec<Control>, error: &rusqlite::Error) {
    for control in controls {
        control.answer(Answer::Failed(crate::error::words(error)));
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
    changes.renumbered.insert(row.no);
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
    let gone = match connection
        .prepare_cached("DELETE FROM chunk WHERE stream = ?1 AND last <= ?2")
        .and_then(|mut statement| statement.execute(key))
    {
        Ok(gone) => gone,
        // What cannot be deleted stays where it is and is not read again: the numbers have passed it.
        Err(error) if is_damage(&error) => {
            tracing::warn!(stream = no, %error, "events that are done with cannot be deleted");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
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
    let events = match decision {
        Decision::Skip { through } if through <= record.confirmed || through > record.last => {
            let (first, last) = (record.confirmed + 1, record.last);
            return Ok(Err(OperateError::NoSuchEvent { stream: stream.clone(), number: through, first, last }));
        }
        Decision::Skip { through } => through - record.confirmed,
        _ => record.pending(),
    };
    record::unpark(connection, record.no)?;
    record.parked = false;
    // The host's next word says how it counts; with no event left or none to be compared, any count will do.
    record.renumber |= decision != Decision::Retry;
    changes.records.insert(record.no, record);
    match decision {
        Decision::Drop => forget(connection, changes, record.no, record.last)?,
        Decision::Skip { through } => forget(connection, changes, record.no, through)?,
        Decision::Retry | Decision::AcceptLoss => {}
    }
    changes.reset.insert(record.no);
    Ok(Ok(events))
}
