//! What is read becomes what is heard: a frame's messages, a few at a time.
//!
//! What always holds: a message is decoded only while nothing heard before it waits for the application, so that what is
//! decoded and waits is never more than what one message brings.

use bytes::Bytes;

use super::{Outgoing, Task};
use crate::frame::{FrameError, Messages};
use crate::limits::MESSAGES_AT_ONCE;
use crate::messages::ServerMessage;
use crate::session::{Action, Event};

impl Task {
    pub(super) fn read_frame(&mut self, payload: &Bytes) {
        match Messages::of(self.protocol, self.compression, payload, self.message_bytes_max) {
            Ok(messages) => {
                self.inbound = Some(messages);
                self.hear_some();
            }
            Err(error) => self.broken(error.to_string()),
        }
    }

    /// Hears messages of the frame at hand until one has to wait for the application, or others are to have a turn: what
    /// is decoded and waits is never more than what one message brings.
    pub(super) fn hear_some(&mut self) {
        for _ in 0..MESSAGES_AT_ONCE {
            if !self.outbox.is_empty() || self.ended.is_some() {
                return;
            }
            match self.next_message() {
                Some(Ok(message)) => self.hear(message),
                Some(Err(error)) => return self.broken(error.to_string()),
                None => return,
            }
            self.hand_on(None);
        }
    }

    /// The next message of the frame at hand, which is let go with its last one.
    fn next_message(&mut self) -> Option<Result<ServerMessage, FrameError>> {
        let messages = self.inbound.as_mut()?;
        let next = messages.next();
        if messages.is_done() {
            self.inbound = None;
        }
        next
    }

    /// Results of a host's message go through the outbox, so that none overtakes another.
    fn hear(&mut self, message: ServerMessage) {
        let now = self.now();
        for action in self.session.on(now, Event::Message(message)) {
            match action {
                Action::Reply { call, result } => self.outbox.push_back(Outgoing::Reply(call, result)),
                other => self.act(other),
            }
        }
    }
}
