//! The plane's runtime: it emits the sample events, at the pace of somebody who works, through an outbox.
//!
//! What always holds: an event is on disk before it is sent, so a host that is away costs nothing but time; the sample is
//! emitted again from its beginning when it is through, each event as of the moment in which it is emitted.

use std::time::Duration;

use muster_publisher::{ConnectConfig, Draft, OutboxConfig, PublishError, Publisher, PublisherStatus};
use muster_wire::Endpoint;
use muster_wire::lease::{Control, Credential, Keeper, Source};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::{Folder, RUNTIME};
use crate::demo::Events;
use crate::limits::UP_FLUSH_MS_MAX;
use crate::outcome::Failure;
use crate::ui::Ui;

/// How long the pauses between events are, in percent of their mean, one after the other: people do not tick.
const PAUSES_PERCENT: [u32; 8] = [40, 30, 220, 60, 130, 20, 50, 250];
const _: () = {
    let (mut sum, mut at) = (0, 0);
    while at < PAUSES_PERCENT.len() {
        sum += PAUSES_PERCENT[at];
        at += 1;
    }
    assert!(sum == 100 * PAUSES_PERCENT.len() as u32, "the mean is what was asked for");
};

/// A runtime that emits.
#[derive(Debug)]
pub(crate) struct Runtime {
    task: JoinHandle<Failure>,
    stop: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

impl Runtime {
    /// Starts to emit `rate` events a second on average, with tokens of `issuer`.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the outbox cannot be used.
    pub(crate) fn start(
        ui: Ui,
        folder: &Folder,
        endpoint: &Endpoint,
        issuer: &str,
        rate: f64,
        events: Events,
    ) -> Result<Runtime, Failure> {
        let could_not = |error: &dyn std::fmt::Display| Failure::CouldNot(error.to_string());
        let credential = Credential::SecretFile(folder.secret(RUNTIME));
        let control = Control::new(issuer, RUNTIME, credential).map_err(|error| could_not(&error))?;
        let keeper = Keeper::start(Source::Control(Box::new(control)));
        let publisher = Publisher::open(OutboxConfig::new(folder.outbox())).map_err(|error| could_not(&error))?;
        publisher.connect(ConnectConfig::new(endpoint.clone()).tokens(keeper));
        let (stop, asked) = oneshot::channel();
        let mean = Duration::from_secs_f64(1.0 / rate);
        let task = tokio::spawn(emit(ui, publisher, events, mean, asked));
        Ok(Runtime { task, stop: Some(stop) })
    }

    /// Waits until it has ended by itself, and says why.
    pub(crate) async fn ended(&mut self) -> Failure {
        (&mut self.task).await.unwrap_or_else(|error| Failure::could_not(error.to_string(), "please report this"))
    }

    /// Emits nothing more, gives the host a moment to confirm what was emitted, and closes the outbox.
    pub(crate) async fn stop(mut self) {
        let (done, ended) = oneshot::channel();
        if self.stop.take().is_some_and(|stop| stop.send(done).is_ok()) {
            // An error means that it has ended by itself meanwhile.
            let _ = ended.await;
        }
    }
}

async fn emit(
    ui: Ui,
    publisher: Publisher,
    events: Events,
    mean: Duration,
    mut asked: oneshot::Receiver<oneshot::Sender<()>>,
) -> Failure {
    let mut told = None;
    let mut pauses = PAUSES_PERCENT.iter().cycle();
    for event in events.events.iter().cycle() {
        let pause = mean * *pauses.next().expect("it goes round") / 100;
        tokio::select! {
            done = &mut asked => {
                // What is not confirmed stays on disk, and goes out the next time.
                let _ = publisher.flush(Duration::from_millis(UP_FLUSH_MS_MAX)).await;
                publisher.close().await;
                if let Ok(done) = done {
                    // Whoever asked may have been ended meanwhile.
                    let _ = done.send(());
                }
                return Failure::could_not("the runtime was stopped", "start it again");
            }
            () = sleep(pause) => {}
        }
        let draft = Draft::new(&event.kind, &event.payload);
        match publisher.publish_many(event.topic.stream(), [draft]).await {
            // Full: the host is away for so long that this machine is to wait.
            Ok(_) | Err(PublishError::Full { .. }) => {}
            Err(error) => return Failure::CouldNot(format!("the runtime ended by itself: {error}")),
        }
        let trouble = trouble(&publisher.status().borrow());
        if trouble != told {
            if let Some(trouble) = &trouble {
                ui.complain(trouble);
            }
            told = trouble;
        }
    }
    Failure::could_not("the runtime has no events", "give some with --events")
}

/// What a person should hear of a sender that does not get through.
fn trouble(status: &PublisherStatus) -> Option<String> {
    if status.parked_streams > 0 {
        return Some(format!(
            "the runtime: the host refuses events of {} streams for good; `muster outbox --outbox FILE` says why",
            status.parked_streams
        ));
    }
    let is_blocked = status.state == muster_publisher::SenderState::Blocked;
    let error = status.last_error.as_deref().filter(|_| is_blocked)?;
    Some(format!("the runtime is not let in, and tries again: {error}"))
}
