//! The engine's requests as calls of the module, and the module's words as replies.
//!
//! What always holds: answers are decoded here, on whatever thread has time, and not in the task that decides.

use muster_contract::page::{Answer, AnswerValue};
use muster_wire::{CallError, CallOutcome, Connection, args};

use crate::engine::{Reply, Request};

/// Asks, and waits for the answer at most as long as the connection's limit for calls.
pub(super) async fn ask(connection: &Connection, what: Request) -> Reply {
    match what {
        Request::Follow { slot, pattern } => reducer(connection, "follow", args(&(slot, pattern.to_string()))).await,
        Request::Checkpoint { stream, position, client } => {
            let arguments = args(&(stream.as_str(), position.epoch.get(), position.seq.get(), client.as_str()));
            reducer(connection, "ack_checkpoint", arguments).await
        }
        Request::List { pattern, after_no } => {
            let arguments = args(&(pattern.to_string(), after_no));
            procedure(connection, "list_streams", arguments, Reply::Listed).await
        }
        Request::Page { stream, epoch, after, after_mark, events_max, bytes_max } => {
            let mark = after_mark.unwrap_or(0);
            let arguments = args(&(stream.as_str(), epoch, after, mark, events_max, bytes_max));
            procedure(connection, "read_page", arguments, Reply::Page).await
        }
        Request::Snapshot { stream, epoch } => {
            procedure(connection, "read_snapshot", args(&(stream.as_str(), epoch)), Reply::Snapshot).await
        }
    }
}

async fn reducer(connection: &Connection, name: &str, arguments: bytes::Bytes) -> Reply {
    match connection.call_reducer(name, arguments).await {
        Ok(reply) => match reply.outcome.message() {
            None => Reply::Done,
            Some(text) => Reply::Refused(text),
        },
        Err(error) => no_answer(&error),
    }
}

async fn procedure<T: AnswerValue>(
    connection: &Connection,
    name: &str,
    arguments: bytes::Bytes,
    reply: impl FnOnce(Answer<T>) -> Reply,
) -> Reply {
    match connection.call_procedure(name, arguments).await {
        Ok(answer) => match answer.outcome {
            CallOutcome::Returned(bytes) => match read(&bytes) {
                Ok(answer) => reply(answer),
                Err(error) => Reply::Failed(format!("`{name}` answered with what cannot be read: {error}")),
            },
            CallOutcome::Refused(_) | CallOutcome::Failed(_) => {
                Reply::Refused(answer.outcome.message().unwrap_or_default())
            }
        },
        Err(error) => no_answer(&error),
    }
}

/// The answer in a procedure's return value, which is one byte string: in BSATN its length in four bytes, and then the
/// bytes (SpacetimeDB's BSATN page). Read in place, because a page is up to a megabyte.
fn read<T: AnswerValue>(value: &[u8]) -> Result<Answer<T>, String> {
    let (length, bytes) = value.split_first_chunk::<4>().ok_or("it has no length")?;
    if usize::try_from(u32::from_le_bytes(*length)) != Ok(bytes.len()) {
        return Err("its length is wrong".into());
    }
    Answer::from_bytes(bytes).map_err(|error| error.to_string())
}

fn no_answer(error: &CallError) -> Reply {
    Reply::Failed(error.to_string())
}

#[cfg(test)]
mod tests {
    use muster_contract::page::StreamList;
    use muster_wire::sats::bsatn;

    use super::*;

    #[test]
    fn an_answer_is_read_out_of_its_byte_string() {
        let list = Answer::Ok(StreamList { streams: Vec::new(), more: false, resume_after: 7 });
        let value = bsatn::to_vec(&list.to_bytes()).expect("bytes");
        assert_eq!(read::<StreamList>(&value), Ok(list));
        assert!(read::<StreamList>(&value[..value.len() - 1]).is_err(), "cut short");
        assert!(read::<StreamList>(&[1, 0]).is_err(), "no length");
    }
}
