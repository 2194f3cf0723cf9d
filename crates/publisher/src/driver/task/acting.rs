//! What the sender does when the core says so.
//!
//! What always holds: the calls of a stream go out in the order of the core's words; nothing here waits for the network or
//! the disk, what does is under way beside the loop.

use std::sync::atomic::Ordering::Relaxed;

use tokio::sync::oneshot;

use super::{Done, Task};
use crate::core::{Action, CallId, Event, Refusal, StreamNo};
use crate::driver::greeting::greet;
use crate::limits::{FORGET_RETRY_MS, ms};
use crate::outbox::Control;
use crate::outbox::batch::Wanted;

impl Task {
    /// Carries an action out, or begins to; what came of it, where that is known at once.
    pub(super) async fn act(&mut self, action: Action) -> Option<Event> {
        let outbox = self.outbox.clone();
        match action {
            Action::Connect { connection } => self.connect(connection),
            Action::Disconnect { connection } => {
                if self.wanted.take_if(|wanted| *wanted == connection).is_some() {
                    self.tokens.given_up();
                }
                if let Some(wire) = self.take(connection) {
                    self.close(wire);
                }
            }
            Action::RenewToken { connection } => self.tokens.denied(connection),
            Action::TokenTaken { connection } => self.tokens.taken(connection),
            Action::Ask { call, generation, streams } => {
                let reader = self.reader.clone();
                self.note_reading(call);
                self.work.push(Box::pin(async move {
                    let result = reader.ids(streams.clone()).await;
                    Done::Named { call, generation, streams, result }
                }));
            }
            Action::Append { call, stream, generation, epoch, first, number, events_max, bytes_max } => {
                let wanted = Wanted { stream, generation, epoch, first, number, events_max, bytes_max };
                // The core wants one batch of a stream at a time, so one from memory overtakes none that is being read.
                if let Some(batch) = outbox.feed().batch(outbox.producer(), &wanted) {
                    outbox.meters().from_memory.fetch_add(1, Relaxed);
                    return self.hand_over(call, batch).await;
                }
                let reader = self.reader.clone();
                self.note_reading(call);
                self.work.push(Box::pin(async move { Done::Read { call, result: reader.batch(wanted).await } }));
            }
            Action::Save(record) => {
                let stream = record.no;
                let (reply, answer) = oneshot::channel();
                self.work.push(Box::pin(async move {
                    let asked = outbox.control(Control::Save { record, reply }).await;
                    Done::Event(Event::Saved { stream, ok: asked && answer.await.unwrap_or(false) })
                }));
            }
            Action::Park { stream, refusal } => {
                tracing::warn!(stream, code = refusal.code, message = refusal.message, "a stream is parked");
                if refusal.code.starts_with("outbox_") || refusal.code.starts_with("host_") {
                    self.outbox.meters().failed(&refusal.code);
                }
                self.park(stream, refusal).await;
            }
            Action::Forget(up_to) => {
                let (reply, answer) = oneshot::channel();
                self.work.push(Box::pin(async move {
                    let asked = outbox.control(Control::Forget { up_to, reply }).await;
                    Done::Event(Event::Forgotten { ok: asked && answer.await.unwrap_or(false) })
                }));
            }
        }
        None
    }

    /// Has a stream marked as parked, again and again until it is. The first time before anything else, so that a person
    /// who sees it can decide about it.
    async fn park(&mut self, stream: StreamNo, refusal: Refusal) {
        let outbox = self.outbox.clone();
        let (reply, mut answer) = oneshot::channel();
        if !outbox.control(Control::Park { stream, refusal: refusal.clone(), reply }).await {
            return;
        }
        self.work.push(Box::pin(async move {
            while !answer.await.unwrap_or(false) {
                tokio::time::sleep(ms(FORGET_RETRY_MS)).await;
                let (reply, next) = oneshot::channel();
                answer = next;
                if !outbox.control(Control::Park { stream, refusal: refusal.clone(), reply }).await {
                    break;
                }
            }
            Done::Nothing
        }));
    }

    fn note_reading(&mut self, call: CallId) {
        if let Some((connection, _)) = &self.connection {
            self.reading.insert(call, *connection);
        }
    }

    fn connect(&mut self, connection: u64) {
        self.wanted = Some(connection);
        self.tokens.connecting();
        let (options, source) = (self.config.options.clone(), self.config.token.clone());
        let (outbox, reader) = (self.outbox.clone(), self.reader.clone());
        self.work.push(Box::pin(async move {
            let result = greet(options, source, &outbox, reader).await;
            Done::Connected { connection, result: Box::new(result) }
        }));
    }
}
