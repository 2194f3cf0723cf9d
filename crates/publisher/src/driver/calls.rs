//! Calls to the host: how their answers are read.
//!
//! What always holds: every answer becomes one event of the core; what the host says is cut to a bounded length.

use std::time::Duration;

use muster_contract::Code;
use muster_contract::page::{Answer, ProducerState};
use muster_wire::{CallError, CallOutcome, ProcedureReply, ReducerReply};
use spacetimedb_sats::bsatn;

use crate::core::{CallId, Event, HostState, Refusal};
use crate::limits::WORDS_BYTES_MAX;
use crate::outbox::reader::ReadError;

/// How a call ended.
pub(super) enum Ended {
    /// With this event.
    With(Event),
    /// Without a word for too long: nobody knows what becomes of it, and the connection is not to be trusted.
    InSilence(String),
    /// With the connection, whose end is told by itself.
    WithConnection,
}

pub(super) fn append_ended(call: CallId, result: Result<ReducerReply, CallError>) -> Ended {
    match result {
        Ok(ReducerReply { outcome: CallOutcome::Returned(_), .. }) => Ended::With(Event::Accepted { call }),
        Ok(reply) => refused(call, &reply.outcome.message().unwrap_or_default()),
        Err(error) => failed(call, error),
    }
}

/// What the host says of the streams, or how else the call ended.
pub(super) fn ask_ended(call: CallId, result: Result<ProcedureReply, CallError>) -> Result<Vec<ProducerState>, Ended> {
    let bytes = match result {
        Ok(ProcedureReply { outcome: CallOutcome::Returned(bytes), .. }) => bytes,
        Ok(reply) => return Err(refused(call, &reply.outcome.message().unwrap_or_default())),
        Err(error) => return Err(failed(call, error)),
    };
    let answer = bsatn::from_slice::<Vec<u8>>(&bytes)
        .map_err(|error| error.to_string())
        .and_then(|bytes| Answer::<Vec<ProducerState>>::from_bytes(&bytes).map_err(|error| error.to_string()));
    match answer {
        Ok(Answer::Ok(states)) => Ok(states),
        Ok(Answer::Refused(words)) => Err(refused(call, &words)),
        Ok(Answer::Stale(stale)) => Err(refused(call, &format!("an answer about cursors ({})", stale.reason))),
        Err(error) => Err(refused(call, &error)),
    }
}

fn refused(call: CallId, words: &str) -> Ended {
    Ended::With(Event::Refused { call, refusal: refusal(words) })
}

/// The host's word on streams, beside what the outbox holds under the same numbers.
pub(super) fn compared(call: CallId, states: Result<Vec<HostState>, ReadError>) -> Ended {
    match states {
        Ok(states) => Ended::With(Event::States { call, states }),
        Err(ReadError::Damaged(message) | ReadError::Unreadable(message)) => {
            Ended::With(Event::Refused { call, refusal: Refusal::new("outbox_unreadable", message) })
        }
    }
}

/// A refusal as the module writes them; anything else is something that failed inside the host.
fn refusal(words: &str) -> Refusal {
    match muster_contract::refusal::Refusal::from_wire(words) {
        Some(refusal) => Refusal {
            retry_after: refusal.details.retry_after_ms.map(Duration::from_millis),
            at: refusal.details.event,
            ..Refusal::new(refusal.code.to_string(), cut(&refusal.to_string()))
        },
        None => Refusal::new(Code::Internal.to_string(), cut(words)),
    }
}

fn failed(call: CallId, error: CallError) -> Ended {
    match error {
        CallError::Timeout { .. } => Ended::InSilence(error.to_string()),
        CallError::Closed { .. } => Ended::WithConnection,
        CallError::TooLarge { .. } => {
            let refusal = Refusal::new(Code::BatchTooLarge.to_string(), error.to_string());
            Ended::With(Event::Refused { call, refusal })
        }
        CallError::Refused(_) | CallError::Rows(_) => refused(call, &error.to_string()),
    }
}

fn cut(words: &str) -> String {
    let end = (0..=WORDS_BYTES_MAX.min(words.len())).rev().find(|end| words.is_char_boundary(*end)).unwrap_or(0);
    words[..end].to_string()
}
