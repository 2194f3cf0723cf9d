//! The task that feeds the model: it owns the subscriber, the connection that sessions come over, and the reading of files.
//!
//! What always holds: no judgement is made here. What comes of connections that were ended is dropped by their number.
//! Screens get whole values through a watch channel, at most ten a second; a screen that never looks holds up nothing.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use muster_contract::stream::StreamId;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinHandle};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use crate::clock::{At, Clock};
use crate::limits::{LOOK_MS, OBSERVATIONS_MAX, PUBLISH_MS_MIN, ms};
use crate::model::observation::PresenceWord;
use crate::model::{Facts, Model, Observation};
use lane::Lane;
use target::Target;

mod cache;
mod lane;
mod outbox;
mod presence;
mod reading;
mod store;
mod tap;
pub(crate) mod target;
mod words;

/// What a person asks of a screen.
#[derive(Clone, Debug)]
pub enum Command {
    /// Shows another lane, and connects to it.
    Open(Box<Target>),
    /// Ends the connections; what is known stays.
    Disconnect,
    /// Connects again.
    Connect,
    /// Drops the connections and connects anew, now.
    ReconnectNow,
    /// Shows the events of this stream; `None`: of the one with the newest event.
    Choose(Option<StreamId>),
    /// Shows only events whose kind or payload has this text, whatever its case.
    Search(String),
}

/// A panel that is being fed.
#[derive(Debug)]
pub struct Panel {
    facts: watch::Receiver<Arc<Facts>>,
    clock: Arc<Clock>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
}

impl Panel {
    /// Starts to feed a panel, and calls `on_change` whenever a screen would look different; it must not block.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(on_change: impl Fn() + Send + 'static) -> Panel {
        let clock = Arc::new(Clock::new());
        let (publish, facts) = watch::channel(Arc::new(Facts::default()));
        let (commands, asked) = mpsc::channel(OBSERVATIONS_MAX);
        let (heard, inbox) = mpsc::channel(OBSERVATIONS_MAX);
        let feeder = Feeder {
            model: Model::new(),
            clock: clock.clone(),
            lane: None,
            number: 0,
            heard,
            inbox,
            publish,
            published: None,
            on_change: Box::new(on_change),
        };
        let task = tokio::spawn(feeder.run(asked));
        Panel { facts, clock, commands, task }
    }

    /// The facts as they are.
    pub fn facts(&self) -> Arc<Facts> {
        self.facts.borrow().clone()
    }

    /// The facts as they change, proofs included.
    pub fn watch(&self) -> watch::Receiver<Arc<Facts>> {
        self.facts.clone()
    }

    /// Now, on the clock of the facts.
    pub fn now(&self) -> At {
        self.clock.now()
    }

    /// Asks for something. False where so much waits already that this is dropped, or the feeder is gone.
    pub fn ask(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Ends it: closes the connections, and waits until the store has committed what it has begun.
    pub async fn shutdown(self) {
        drop(self.commands);
        // Only a panic of the task's own would be lost here, and that has been printed.
        let _ = self.task.await;
    }
}

/// Tells the feeder what was observed over the connections of one number.
#[derive(Clone, Debug)]
struct Teller {
    number: u64,
    to: mpsc::Sender<Heard>,
    clock: Arc<Clock>,
}

#[derive(Debug)]
struct Heard {
    number: u64,
    at: At,
    what: Observation,
}

impl Teller {
    fn now(&self) -> At {
        self.clock.now()
    }

    async fn tell(&self, what: Observation) {
        // The feeder is gone only when everything ends.
        let _ = self.to.send(Heard { number: self.number, at: self.now(), what }).await;
    }

    async fn presence(&self, word: PresenceWord) {
        self.tell(Observation::Presence(word)).await;
    }
}

struct Feeder {
    model: Model,
    clock: Arc<Clock>,
    lane: Option<Lane>,
    /// Of the present connections: what was told of others comes too late.
    number: u64,
    heard: mpsc::Sender<Heard>,
    inbox: mpsc::Receiver<Heard>,
    publish: watch::Sender<Arc<Facts>>,
    /// When, and which revision.
    published: Option<(Instant, u64)>,
    on_change: Box<dyn Fn() + Send>,
}

impl Feeder {
    async fn run(mut self, mut asked: mpsc::Receiver<Command>) {
        let mut looks = interval(ms(LOOK_MS));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let due = self.publish_due();
            tokio::select! {
                command = asked.recv() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => break,
                },
                Some(heard) = self.inbox.recv() => {
                    if heard.number == self.number {
                        self.model.on(heard.at, heard.what);
                    }
                }
                _ = looks.tick() => {
                    let now = self.clock.now();
                    self.model.on(now, Observation::Tick);
                    if let Some(lane) = &mut self.lane {
                        lane.look(&mut self.model, now).await;
                    }
                    // Proofs move without anything that can be seen.
                    self.publish();
                }
                () = async { match due { Some(at) => sleep_until(at).await, None => std::future::pending().await } } => {
                    self.publish();
                }
            }
        }
        if let Some(lane) = self.lane.take() {
            lane.close(&mut self.model).await;
        }
    }

    async fn carry_out(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Open(target) => self.open(*target).await,
            Command::Disconnect => self.disconnect().await,
            Command::Connect => self.connect().await,
            Command::ReconnectNow => {
                self.disconnect().await;
                self.connect().await;
            }
            Command::Choose(stream) => {
                self.model.on(now, Observation::Choose(stream.map(|stream| stream.to_string())));
                self.read_events();
            }
            Command::Search(search) => {
                self.model.on(now, Observation::Search(search));
                self.read_events();
            }
        }
        self.publish();
    }

    async fn open(&mut self, target: Target) {
        if let Some(lane) = self.lane.take() {
            lane.close(&mut self.model).await;
        }
        let teller = self.teller();
        let mut lane = Lane::open(target, teller, &mut self.model).await;
        lane.connect(&mut self.model, self.clock.now()).await;
        self.lane = Some(lane);
    }

    async fn connect(&mut self) {
        if let Some(lane) = &mut self.lane {
            lane.connect(&mut self.model, self.clock.now()).await;
        }
    }

    /// What the ended connections have said and nobody has taken in yet is left out: it would come after their end.
    async fn disconnect(&mut self) {
        let teller = self.teller();
        if let Some(lane) = &mut self.lane {
            lane.disconnect(&mut self.model, teller).await;
        }
    }

    /// For the next connections.
    fn teller(&mut self) -> Teller {
        self.number += 1;
        Teller { number: self.number, to: self.heard.clone(), clock: self.clock.clone() }
    }

    fn read_events(&mut self) {
        if let Some(lane) = &mut self.lane {
            lane.read_events(&mut self.model, self.clock.now());
        }
    }

    /// When what has changed may be published; `None` while nothing has.
    fn publish_due(&mut self) -> Option<Instant> {
        let revision = self.model.revision();
        match self.published {
            Some((_, published)) if published == revision => None,
            Some((at, _)) => Some(at + ms(PUBLISH_MS_MIN)),
            None => Some(Instant::now()),
        }
    }

    fn publish(&mut self) {
        let facts = self.model.facts();
        let revision = facts.revision;
        let is_visible = self.published.is_none_or(|(_, published)| published != revision);
        self.publish.send_replace(Arc::new(facts.clone()));
        self.published = Some((Instant::now(), revision));
        if is_visible {
            (self.on_change)();
        }
    }
}

/// What a finished task has come to; `None` if it is not finished.
fn futures_now<T>(mut task: JoinHandle<T>) -> Option<Result<T, JoinError>> {
    match Pin::new(&mut task).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use muster_wire::Endpoint;

    use super::*;
    use crate::badge::Badge;
    use crate::model::{Pane, SessionRow};

    fn session() -> SessionRow {
        let text = |text: &str| text.to_string();
        let (client, build, since) = (None, None, At(0));
        SessionRow { connection_id: text("mine"), identity: text("who"), client, role: text("r"), build, since }
    }

    #[tokio::test]
    async fn what_an_ended_connection_has_said_and_nobody_has_heard_yet_is_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        let endpoint = Endpoint::new("http://127.0.0.1:1", "nowhere").expect("an endpoint");
        let (commands, asked) = mpsc::channel(4);
        let (heard, inbox) = mpsc::channel(OBSERVATIONS_MAX);
        let (publish, mut facts) = watch::channel(Arc::new(Facts::default()));
        let clock = Arc::new(Clock::new());
        let feeder = Feeder {
            model: Model::new(),
            clock: clock.clone(),
            lane: None,
            number: 0,
            heard: heard.clone(),
            inbox,
            publish,
            published: None,
            on_change: Box::new(|| {}),
        };
        let task = tokio::spawn(feeder.run(asked));
        let target = Box::new(Target::new(endpoint, folder.path().join("x.db")));
        commands.send(Command::Open(target)).await.expect("it runs");
        commands.send(Command::Disconnect).await.expect("it runs");
        facts.wait_for(|facts| facts.lane.as_ref().is_some_and(|lane| !lane.is_wanted)).await.expect("it runs");
        // As it waits in the queue when a person disconnects in the moment in which a connection opens.
        let at = clock.now();
        let open = PresenceWord::Open { connection_id: "mine".into(), module: None };
        for word in [open, PresenceWord::Rows(vec![session()]), PresenceWord::Proof(at)] {
            heard.send(Heard { number: 1, at, what: Observation::Presence(word) }).await.expect("it runs");
        }
        let deadline = tokio::time::Instant::now() + Duration::from_millis(600);
        while let Ok(Ok(())) = tokio::time::timeout_at(deadline, facts.changed()).await {
            let facts = facts.borrow_and_update().clone();
            assert_ne!(facts.badge(Pane::Sessions, clock.now()), Badge::Live);
            assert!(!facts.sessions.source.is_open, "nothing is open");
        }
        drop(commands);
        task.await.expect("it ends");
    }
}
