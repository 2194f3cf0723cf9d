//! The publisher as `emit` watches it: what it says of it, and how long it waits.
//!
//! What always holds: a person hears why nothing is sent, each reason once; what only a person can mend is not waited
//! for.

use std::collections::BTreeSet;
use std::time::Duration;

use indicatif::ProgressBar;
use muster_publisher::{FlushError, Publisher, PublisherStatus, SenderState};
use tokio::sync::watch;

use crate::limits::EMIT_ROOM_POLL_MS;
use crate::outcome::{Failure, one_line};
use crate::ui::Ui;

/// A publisher that may be sending.
pub(crate) struct Sending<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) publisher: &'a Publisher,
    status: watch::Receiver<PublisherStatus>,
    told: SenderState,
    /// Codes of refusals that were told of.
    refused: BTreeSet<String>,
}

impl<'a> Sending<'a> {
    /// With nothing said yet.
    pub(crate) fn of(ui: &'a Ui, publisher: &'a Publisher) -> Sending<'a> {
        Sending { ui, publisher, status: publisher.status(), told: SenderState::Off, refused: BTreeSet::new() }
    }

    /// What it is doing.
    pub(crate) fn state(&self) -> SenderState {
        self.status.borrow().state
    }

    /// Waits until it does something else.
    pub(crate) async fn changed(&mut self) {
        if self.status.changed().await.is_err() {
            // It never does again.
            std::future::pending::<()>().await;
        }
    }

    /// Says that the host is away, once for each time it is; and why it takes some streams' events not now, once for each
    /// reason.
    pub(crate) fn tell(&mut self, bar: &ProgressBar) {
        let now = self.status.borrow_and_update().clone();
        let away = matches!(now.state, SenderState::Backoff | SenderState::Connecting);
        let was_away = matches!(self.told, SenderState::Backoff);
        if now.state == SenderState::Backoff && !was_away {
            let why = now.last_error.unwrap_or_default();
            bar.suspend(|| self.ui.say(format!("the host is away ({why}); events wait in the outbox")));
        }
        if !(away && was_away) {
            self.told = now.state;
        }
        for refusal in now.refused.iter().filter(|refusal| lasts(&refusal.code)) {
            if self.refused.insert(refusal.code.clone()) {
                let why = one_line(&refusal.message);
                bar.suspend(|| self.ui.say(format!("not taken yet, and tried again: {why}")));
            }
        }
    }

    /// Waits until everything is confirmed that can be, or until only a person can help.
    ///
    /// # Errors
    /// [`Failure::CouldNot`], if not all is.
    pub(crate) async fn flush(&mut self, limit: Duration) -> Result<(), Failure> {
        let bar = self.ui.progress_bar();
        let publisher = self.publisher;
        let flushing = publisher.flush(limit);
        tokio::pin!(flushing);
        let mut tick = tokio::time::interval(Duration::from_millis(EMIT_ROOM_POLL_MS));
        let flushed = loop {
            self.tell(&bar);
            show(&bar, publisher);
            let (state, why) = (self.state(), self.status.borrow().last_error.clone());
            if state == SenderState::Blocked {
                let why = why.unwrap_or_else(|| "it does not say why".into());
                let pending = publisher.metrics().depth_events;
                break Err(Failure::CouldNot(format!("{why} (events that stay in the outbox: {pending})")));
            }
            tokio::select! {
                flushed = &mut flushing => break flushed.map_err(|error| explain(error, limit)),
                () = self.changed() => {}
                _ = tick.tick() => {}
            }
        };
        bar.finish_and_clear();
        flushed
    }
}

/// Whether a refusal is one that goes on until somebody does something; others are over by themselves in a moment, or park
/// the stream.
fn lasts(code: &str) -> bool {
    matches!(code, "unauthorized" | "forbidden_stream") || code.starts_with("outbox_")
}

fn show(bar: &ProgressBar, publisher: &Publisher) {
    let metrics = publisher.metrics();
    bar.set_length(metrics.sender.confirmed + metrics.depth_events);
    bar.set_position(metrics.sender.confirmed);
    bar.set_message("events confirmed");
}

fn explain(error: FlushError, limit: Duration) -> Failure {
    match error {
        FlushError::Deadline { .. } => Failure::could_not(
            format!("{error} after {} s", limit.as_secs_f64()),
            "they stay in the outbox: run this again, with no input or more --patience, once the host is there",
        ),
        FlushError::NotConnected { .. } | FlushError::SenderEnded { .. } | FlushError::Outbox(_) => {
            Failure::CouldNot(error.to_string())
        }
    }
}
