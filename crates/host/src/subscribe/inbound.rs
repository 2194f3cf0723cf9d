//! From the socket to the engine: a bounded queue, and the one task that empties it.
//!
//! Always true: requests of a session reach the engine one at a time, in the order they arrived; what waits is bounded
//! in messages and in bytes; putting a request in never waits, so that pings are read however busy the engine is.
//!
//! The engine takes calls and subscriptions into a queue of its own and does not say when they are done. That queue has
//! no bound; so requests are held back here while it is long. On `v3` a long payload, which may hold a million requests,
//! is cut into its requests first ([`Packed`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use bytestring::ByteString;
use spacetimedb::client::{ClientConnection, DataMessage, MessageExecutionError, MessageHandleError, WsVersion};
use spacetimedb_client_api_messages::websocket::v2::ClientMessage;
use spacetimedb_lib::bsatn;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::limits::{ENGINE_QUEUE_OPERATIONS, ENGINE_QUEUE_POLL_INTERVAL, PACKED_BYTES, WebSocketLimits};

/// One WebSocket message of the client, and when it came.
struct Request {
    data: DataMessage,
    received_at: Instant,
}

/// The end of the queue that the socket's reader holds.
pub(super) struct Intake {
    requests: mpsc::Sender<Request>,
    waiting_bytes: Arc<AtomicUsize>,
    waiting_bytes_max: usize,
}

/// The end of the queue that [`handle`] empties.
pub(super) struct Requests {
    requests: mpsc::Receiver<Request>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// More requests wait than the limits allow.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueFull;

/// How the queue came to be empty for good.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Handled {
    /// The [`Intake`] was dropped, and every request before that was handed over.
    All,
    /// The engine cannot read a request. With its message.
    Unreadable(String),
}

/// A queue under `limits`.
pub(super) fn queue(limits: &WebSocketLimits) -> (Intake, Requests) {
    let (sender, receiver) = mpsc::channel(limits.incoming_queue_messages);
    let waiting_bytes = Arc::new(AtomicUsize::new(0));
    let intake = Intake {
        requests: sender,
        waiting_bytes: waiting_bytes.clone(),
        waiting_bytes_max: limits.incoming_queue_bytes,
    };
    (intake, Requests { requests: receiver, waiting_bytes })
}

impl Intake {
    /// Queues a message, or says that the client has asked for too much at once.
    pub(super) fn push(&self, data: DataMessage) -> Result<(), QueueFull> {
        let bytes = data.len();
        // Only this end adds, so the check and the addition need not be one step.
        if self.waiting_bytes.load(Ordering::Relaxed).saturating_add(bytes) > self.waiting_bytes_max {
            return Err(QueueFull);
        }
        self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let request = Request { data, received_at: Instant::now() };
        // A closed queue means that the session is about to end anyway.
        match self.requests.try_send(request) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(QueueFull),
        }
    }
}

impl Requests {
    async fn next(&mut self) -> Option<Request> {
        let request = self.requests.recv().await?;
        self.waiting_bytes.fetch_sub(request.data.len(), Ordering::Relaxed);
        Some(request)
    }
}

/// Hands every request to the engine. Ends when the [`Intake`] is dropped and the queue is empty, or at the first request
/// that the engine cannot read. `engine_queue` tells how many operations the database's engine has not begun.
///
/// The engine answers through the connection's own queue. Only `v1` has answers that do not go there: a request that was
/// understood and could not be carried out is answered through `replies`; from `v2` on it closes the session, as
/// SpacetimeDB does (failed reducers and queries are ordinary answers there and never come this way).
pub(super) async fn handle(
    client: ClientConnection,
    mut requests: Requests,
    replies: mpsc::Sender<MessageExecutionError>,
    engine_queue: impl Fn() -> i64,
) -> Handled {
    while let Some(Request { data, received_at }) = requests.next().await {
        for data in parts(client.config.version, data) {
            room(&engine_queue).await;
            match client.handle_message(data, received_at).await {
                Ok(()) => {}
                Err(MessageHandleError::Execution(error)) if client.config.version == WsVersion::V1 => {
                    tracing::debug!(client = %client.id, "request failed: {error:#}");
                    // The writer is gone only when the session ends.
                    let _ = replies.send(error).await;
                }
                Err(error) => return Handled::Unreadable(format!("{:#}", anyhow::Error::new(error))),
            }
        }
    }
    Handled::All
}

/// `data`, or, where it may hold more requests than the engine's queue is to take at once, those one by one.
fn parts(version: WsVersion, data: DataMessage) -> impl Iterator<Item = DataMessage> {
    let (whole, packed) = match data {
        DataMessage::Binary(bytes) if version == WsVersion::V3 && bytes.len() > PACKED_BYTES => (None, bytes),
        data => (Some(data), Bytes::new()),
    };
    whole.into_iter().chain(Packed { rest: packed }.map(DataMessage::Binary))
}

/// The requests in a `v3` payload, each in the bytes it came in. What cannot be read comes last, as it is: the engine
/// says what is wrong with it.
struct Packed {
    rest: Bytes,
}

impl Iterator for Packed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if self.rest.is_empty() {
            return None;
        }
        let mut behind: &[u8] = &self.rest;
        let len = match bsatn::from_reader::<ClientMessage>(&mut behind) {
            Ok(_) => self.rest.len() - behind.len(),
            Err(_) => self.rest.len(),
        };
        Some(self.rest.split_to(len))
    }
}

/// Waits until the engine's queue is short. It can only be looked at; a look is one atomic read.
async fn room(engine_queue: impl Fn() -> i64) {
    while engine_queue() >= ENGINE_QUEUE_OPERATIONS {
        tokio::time::sleep(ENGINE_QUEUE_POLL_INTERVAL).await;
    }
}

/// A text message as the engine wants it: the same bytes, checked again because the two string types do not know of
/// each other.
pub(super) fn text(text: Utf8Bytes) -> DataMessage {
    let bytes = bytes::Bytes::from(text);
    DataMessage::Text(ByteString::try_from(bytes).expect("tungstenite hands out valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use spacetimedb_client_api_messages::websocket::v2::OneOffQuery;

    use super::*;

    fn limits(messages: usize, bytes: usize) -> WebSocketLimits {
        WebSocketLimits { incoming_queue_messages: messages, incoming_queue_bytes: bytes, ..WebSocketLimits::DEFAULT }
    }

    fn message(bytes: usize) -> DataMessage {
        DataMessage::Binary(vec![0; bytes].into())
    }

    #[test]
    fn one_message_too_many_is_refused() {
        let (intake, _requests) = queue(&limits(2, 1000));
        assert_eq!(intake.push(message(1)), Ok(()));
        assert_eq!(intake.push(message(1)), Ok(()));
        assert_eq!(intake.push(message(1)), Err(QueueFull));
    }

    #[tokio::test]
    async fn bytes_are_counted_while_they_wait_and_no_longer() {
        let (intake, mut requests) = queue(&limits(10, 100));
        assert_eq!(intake.push(message(60)), Ok(()));
        assert_eq!(intake.push(message(60)), Err(QueueFull));
        assert!(requests.next().await.is_some());
        assert_eq!(intake.push(message(100)), Ok(()));
    }

    #[test]
    fn a_long_payload_is_cut_into_its_requests_and_what_cannot_be_read_is_kept_for_the_engine() {
        let query = |text: &str| {
            let query = OneOffQuery { request_id: 1, query_string: text.into() };
            bsatn::to_vec(&ClientMessage::OneOffQuery(query)).unwrap()
        };
        let (short, long) = (query("a"), query(&"b".repeat(PACKED_BYTES)));
        let payload = [&*short, &long, &short, &[0xff, 0xff]].concat();
        let cut = |version| -> Vec<Vec<u8>> {
            let data = DataMessage::Binary(payload.clone().into());
            let bytes = |part| match part {
                DataMessage::Binary(bytes) => bytes.to_vec(),
                DataMessage::Text(_) => panic!("it was binary"),
            };
            parts(version, data).map(bytes).collect()
        };
        assert_eq!(cut(WsVersion::V3), [&*short, &long, &short, &[0xff, 0xff]]);
        assert_eq!(cut(WsVersion::V2), [&*payload]);
        assert_eq!(parts(WsVersion::V3, message(0)).count(), 1, "the engine refuses an empty payload");
    }

    #[tokio::test]
    async fn requests_wait_while_the_engine_is_behind() {
        let looks = std::sync::atomic::AtomicI64::new(ENGINE_QUEUE_OPERATIONS + 3);
        room(|| looks.fetch_sub(1, Ordering::Relaxed)).await;
        assert_eq!(looks.load(Ordering::Relaxed), ENGINE_QUEUE_OPERATIONS - 2);
    }

    #[tokio::test]
    async fn requests_come_out_in_order_and_the_last_before_the_end() {
        let (intake, mut requests) = queue(&limits(10, 100));
        for bytes in 1..=3 {
            intake.push(message(bytes)).unwrap();
        }
        drop(intake);
        for bytes in 1..=3 {
            assert_eq!(requests.next().await.map(|request| request.data.len()), Some(bytes));
        }
        assert!(requests.next().await.is_none());
    }
}
