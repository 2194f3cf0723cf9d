//! The task that feeds the core and carries out what it decides: connects, reads, calls, writes.
//!
//! What always holds: no decision is made here. Everything under way is a future in one set; the core bounds how much
//! that is. A call is handed to the connection before the core hears that it was, so calls of a stream keep their order.

use std::sync::Arc;
use std::time::Duration;

use muster_wire::{ConnectOptions, Endpoint, Keeper, Token};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::core::{Core, CoreConfig, Refusal, State};
use crate::limits::{CLOSE_MS_MAX, ms};
use crate::outbox::Outbox;

mod calls;
pub(crate) mod greeting;
mod reading;
mod task;

/// As whom the publisher connects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TokenSource {
    /// As somebody new at the first time, and from then on as the same one: the outbox keeps the host's token.
    #[default]
    Outbox,
    /// With the keeper's tokens, one after the other: the next session is connected before the one before it is let go.
    /// They must always be the same identity's.
    Leased(Keeper),
    /// With this token. A producer belongs to the identity that used it first, so it must always be the same person's.
    Given(Token),
}

/// Where to send, and how.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectConfig {
    /// The connection. Its token is not used, see [`ConnectConfig::token`], and reads are always confirmed.
    pub options: ConnectOptions,
    /// As whom.
    pub token: TokenSource,
    /// How to batch.
    pub core: CoreConfig,
}

impl ConnectConfig {
    /// Sends to `endpoint` with the defaults: confirmed reads, the module's contract checked, a token that the outbox
    /// keeps.
    pub fn new(endpoint: Endpoint) -> ConnectConfig {
        ConnectConfig {
            options: ConnectOptions::new(endpoint).expect(muster_contract::Client::of_this_build()),
            token: TokenSource::default(),
            core: CoreConfig::default(),
        }
    }

    /// The same with a token.
    pub fn token(mut self, token: Token) -> ConnectConfig {
        self.token = TokenSource::Given(token);
        self
    }

    /// The same with a keeper's tokens.
    pub fn tokens(mut self, keeper: Keeper) -> ConnectConfig {
        self.token = TokenSource::Leased(keeper);
        self
    }
}

/// What the sender is doing, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderState {
    /// Nobody asked it to send.
    Off,
    /// Waiting for the host's greeting.
    Connecting,
    /// Connected, with events that are not confirmed.
    Sending,
    /// Connected, and all but parked events confirmed.
    Idle,
    /// Not connected, until the next attempt.
    Backoff,
    /// Not connected, until a person has changed something: the token, the name, the host. It is looked for about once a
    /// minute; [`crate::Publisher::retry_now`] looks at once.
    Blocked,
}

impl From<State> for SenderState {
    fn from(state: State) -> Self {
        match state {
            State::Off => SenderState::Off,
            State::Connecting => SenderState::Connecting,
            State::Sending => SenderState::Sending,
            State::Idle => SenderState::Idle,
            State::Backoff { .. } => SenderState::Backoff,
            State::Blocked { .. } => SenderState::Blocked,
        }
    }
}

/// What keeps the sender from its work and has a remedy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The host does not take the token that the outbox keeps for it: it has other keys than when it gave it, perhaps
    /// because it was made anew. [`crate::Publisher::forget_token`] lets the outbox begin there as somebody new.
    KeptTokenRefused,
    /// The sender's task ended without being asked to. [`crate::Publisher::connect`] starts another.
    SenderEnded,
}

/// What the sender tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublisherStatus {
    /// What it is doing.
    pub state: SenderState,
    /// Attempts to connect in a row that failed.
    pub attempts: u32,
    /// How long until the next attempt, as of this status.
    pub next_attempt_in: Option<Duration>,
    /// What went wrong last with the connection, while it is away.
    pub last_error: Option<String>,
    /// What a program may want to tell apart of it.
    pub trouble: Option<Trouble>,
    /// Streams with events that are neither confirmed nor parked, as far as the sender has met them.
    pub pending_streams: usize,
    /// Parked streams that the sender has met.
    pub parked_streams: usize,
    /// Refusals of streams that are tried again by themselves; at most ten.
    pub refused: Vec<Refusal>,
}

impl PublisherStatus {
    pub(crate) fn off() -> PublisherStatus {
        PublisherStatus::of(&Core::new(CoreConfig::default()), Duration::ZERO)
    }

    fn of(core: &Core, now: Duration) -> PublisherStatus {
        let status = core.status();
        PublisherStatus {
            state: status.state.into(),
            attempts: status.attempts,
            next_attempt_in: match status.state {
                State::Backoff { until } | State::Blocked { until } => Some(until.saturating_sub(now)),
                _ => None,
            },
            last_error: status.last_error,
            trouble: None,
            pending_streams: status.pending_streams,
            parked_streams: status.parked_streams,
            refused: status.refused.into_iter().map(|(_, refusal)| refusal).collect(),
        }
    }
}

/// What a publisher asks of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Command {
    RetryNow,
    Stop,
}

/// A sender that runs.
#[derive(Debug)]
pub(crate) struct Sender {
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Sender {
    pub(crate) fn retry_now(&self) {
        // Full: it has been told already.
        let _ = self.commands.try_send(Command::RetryNow);
    }

    /// Ends the sender: it closes its connection properly, if that does not take too long.
    pub(crate) async fn stop(self) {
        let _ = self.commands.send(Command::Stop).await;
        let abort = self.task.abort_handle();
        if tokio::time::timeout(ms(CLOSE_MS_MAX), self.task).await.is_err() {
            abort.abort();
        }
    }
}

/// Starts a sender, which waits until the one `before` has ended.
pub(crate) fn start(
    outbox: Arc<Outbox>,
    config: ConnectConfig,
    status: watch::Sender<PublisherStatus>,
    before: Option<Sender>,
) -> Sender {
    let (commands, orders) = mpsc::channel(4);
    let watch = DeathWatch { outbox: outbox.clone(), status: status.clone(), detail: Some(DIED.into()) };
    let task = tokio::spawn(watch.over(task::run(outbox, config, status, orders, before)));
    Sender { commands, task }
}

const DIED: &str = "the sender ended in the midst of its work, which is a fault in this library; connect again";

/// Says in the status that the sender has ended, where it did so without being asked: by an error or a panic. Without it
/// the last status would stay, and whoever waits would wait for nobody.
struct DeathWatch {
    outbox: Arc<Outbox>,
    status: watch::Sender<PublisherStatus>,
    /// Why, should this be dropped now.
    detail: Option<String>,
}

impl DeathWatch {
    async fn over(mut self, work: impl Future<Output = Result<(), String>>) {
        self.detail = work.await.err();
    }
}

impl Drop for DeathWatch {
    fn drop(&mut self) {
        let Some(detail) = self.detail.take() else { return };
        tracing::error!(detail, "the sender has ended");
        self.outbox.feed().listen(false);
        self.status.send_modify(|status| {
            *status = PublisherStatus {
                state: SenderState::Blocked,
                last_error: Some(detail),
                trouble: Some(Trouble::SenderEnded),
                ..PublisherStatus::off()
            };
        });
    }
}

/// A sender that panics at once.
#[cfg(test)]
pub(crate) fn start_to_die(outbox: Arc<Outbox>, status: watch::Sender<PublisherStatus>) -> Sender {
    let (commands, _) = mpsc::channel(4);
    let watch = DeathWatch { outbox, status, detail: Some(DIED.into()) };
    Sender { commands, task: tokio::spawn(watch.over(async { panic!("on purpose") })) }
}
