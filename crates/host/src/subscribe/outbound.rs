//! From the engine to the socket.
//!
//! Always true: a Close frame is the last thing written; pings and Close do not wait behind a long message, only behind
//! one frame of it (RFC 6455 section 5.4 lets control frames in between); no write waits longer than the stall timeout;
//! beside the engine's own bounded queue, at most one batch of messages and one payload are held.
//!
//! Confirmed reads happen here without being seen: the engine's receiver holds a message back until what it tells is
//! durable.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use futures::{Sink, SinkExt};
use spacetimedb::client::{ClientConnectionReceiver, MessageExecutionError, OutboundMessage};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::close::CloseReason;
use super::encode::{Encoded, Encoder};
use super::limits::{FRAME_BYTES, OUTGOING_BATCH_MESSAGES};

/// Goes out before anything else.
#[derive(Debug)]
pub(super) enum Urgent {
    /// Ask the client for a sign of life.
    Ping,
    /// Say goodbye.
    Close(CloseReason),
}

/// Why the writer stopped.
#[derive(Debug)]
pub(super) enum Written {
    /// A Close frame was sent.
    Close,
    /// The engine has let go of the connection: no message will come any more. The client was told.
    NoMoreMessages,
    /// The socket failed, or the client did not read for the stall timeout.
    Failed(WriteError),
}

/// Why a write failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The connection is broken.
    #[error("cannot write: {0}")]
    Socket(#[from] SocketError),
    /// The client does not read.
    #[error("the client read nothing for {0:?}")]
    Stalled(Duration),
}

/// Writes one connection.
pub(super) struct Writer<S> {
    pub(super) sink: S,
    pub(super) encoder: Encoder,
    pub(super) urgent: mpsc::Receiver<Urgent>,
    pub(super) replies: mpsc::Receiver<MessageExecutionError>,
    pub(super) stall_timeout: Duration,
}

/// What is next.
enum Next {
    Urgent(Urgent),
    Reply(MessageExecutionError),
    Messages(usize),
}

/// Whether the writer goes on.
#[derive(PartialEq, Eq)]
enum Flow {
    GoOn,
    Closed,
}

impl<S: Sink<Message, Error = SocketError> + Unpin> Writer<S> {
    /// Writes until there is nothing more to write.
    pub(super) async fn run(mut self, mut messages: ClientConnectionReceiver) -> Written {
        let mut taken = Vec::new();
        let mut batch = VecDeque::new();
        loop {
            let next = tokio::select! {
                biased;
                Some(urgent) = self.urgent.recv() => Next::Urgent(urgent),
                Some(reply) = self.replies.recv() => Next::Reply(reply),
                count = messages.recv_many(&mut taken, OUTGOING_BATCH_MESSAGES) => Next::Messages(count),
            };
            let flow = match next {
                Next::Urgent(urgent) => self.urgent(urgent).await,
                Next::Reply(reply) => {
                    let encoded = self.encoder.v1(reply, false).await;
                    self.payload(encoded).await
                }
                Next::Messages(0) => {
                    // The connection may be broken as well; then there is nobody to tell.
                    let _ = self.urgent(Urgent::Close(CloseReason::ModuleExited)).await;
                    return Written::NoMoreMessages;
                }
                Next::Messages(_) => {
                    batch.extend(taken.drain(..));
                    self.batch(&mut batch).await
                }
            };
            match flow {
                Ok(Flow::GoOn) => {}
                Ok(Flow::Closed) => return Written::Close,
                Err(error) => return Written::Failed(error),
            }
            if let Err(error) = self.flush().await {
                return Written::Failed(error);
            }
        }
    }

    async fn batch(&mut self, batch: &mut VecDeque<OutboundMessage>) -> Result<Flow, WriteError> {
        while let Some(encoded) = self.encoder.next(batch).await {
            if self.payload(encoded).await? == Flow::Closed {
                return Ok(Flow::Closed);
            }
        }
        Ok(Flow::GoOn)
    }

    async fn payload(&mut self, encoded: Encoded) -> Result<Flow, WriteError> {
        let (bytes, is_text, buffer) = encoded.into_parts();
        for frame in frames(bytes, is_text) {
            while let Ok(urgent) = self.urgent.try_recv() {
                if self.urgent(urgent).await? == Flow::Closed {
                    return Ok(Flow::Closed);
                }
            }
            self.feed(Message::Frame(frame)).await?;
        }
        self.encoder.recycle(buffer);
        Ok(Flow::GoOn)
    }

    async fn urgent(&mut self, urgent: Urgent) -> Result<Flow, WriteError> {
        match urgent {
            Urgent::Ping => {
                self.feed(Message::Ping(Bytes::new())).await?;
                self.flush().await?;
                Ok(Flow::GoOn)
            }
            Urgent::Close(reason) => {
                self.feed(Message::Close(Some(reason.frame()))).await?;
                self.flush().await?;
                Ok(Flow::Closed)
            }
        }
    }

    /// Moves `message` into the socket's own buffer, writing out what is in it as it fills.
    async fn feed(&mut self, message: Message) -> Result<(), WriteError> {
        let sink = &mut self.sink;
        let fed = async {
            sink.feed(message).await?;
            // The half of a split socket holds one message back; push it on, so that its bytes can be used again.
            poll_fn(|cx| sink.poll_ready_unpin(cx)).await
        };
        in_time(self.stall_timeout, fed).await
    }

    async fn flush(&mut self) -> Result<(), WriteError> {
        in_time(self.stall_timeout, self.sink.flush()).await
    }
}

async fn in_time(limit: Duration, write: impl Future<Output = Result<(), SocketError>>) -> Result<(), WriteError> {
    match tokio::time::timeout(limit, write).await {
        Ok(written) => Ok(written?),
        Err(_) => Err(WriteError::Stalled(limit)),
    }
}

/// `payload` cut into frames (RFC 6455 section 5.4): the first says what it is, the last that it is the last.
fn frames(payload: Bytes, is_text: bool) -> impl Iterator<Item = Frame> {
    let total = payload.len();
    let first = if is_text { Data::Text } else { Data::Binary };
    (0..total.max(1)).step_by(FRAME_BYTES).map(move |start| {
        let end = (start + FRAME_BYTES).min(total);
        let kind = if start == 0 { first } else { Data::Continue };
        Frame::message(payload.slice(start..end), OpCode::Data(kind), end == total)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(bytes: usize) -> Vec<(usize, bool, bool)> {
        frames(vec![7; bytes].into(), false)
            .map(|frame| {
                let header = frame.header();
                let continues = header.opcode == OpCode::Data(Data::Continue);
                (frame.payload().len(), continues, header.is_final)
            })
            .collect()
    }

    #[test]
    fn a_payload_is_cut_into_frames_that_a_client_puts_together_again() {
        const N: usize = FRAME_BYTES;
        assert_eq!(shape(0), [(0, false, true)]);
        assert_eq!(shape(N), [(N, false, true)]);
        assert_eq!(shape(N + 1), [(N, false, false), (1, true, true)]);
        assert_eq!(shape(2 * N), [(N, false, false), (N, true, true)]);
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_does_not_hold_the_writer() {
        let never = std::future::pending();
        let result = in_time(Duration::from_millis(10), never).await;
        assert!(matches!(result, Err(WriteError::Stalled(_))));
    }
}
