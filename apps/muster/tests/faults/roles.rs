//! What the processes do: one publishes, one applies. Each is a test that does nothing unless it is started as an actor.
//!
//! What always holds: they use the crates as an application would; only their waits are shorter, so that a silence of a
//! second counts as one of half a minute.

use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_contract::pattern::StreamPattern;
use muster_publisher::{ConnectConfig, Draft, OutboxConfig, Publisher};
use muster_sync::{EventLog, StartAt, Subscriber};
use muster_wire::{Endpoint, Timeouts};
use tokio::sync::{mpsc, watch};

use crate::actor::{now_ms, say};
use crate::dice::Dice;
use crate::journal::{self, Journal, KIND, payload, stream};
use crate::lane::DATABASE;

/// The names of the tests below, as the test harness knows them.
pub(crate) const PUBLISHER: &str = "roles::a_publisher_that_is_told_to";
pub(crate) const SUBSCRIBER: &str = "roles::a_subscriber_that_is_told_to";

/// The variables that make one of them an actor.
pub(crate) const FOLDER: &str = "MUSTER_FAULTS_ROLE_FOLDER";
pub(crate) const URL: &str = "MUSTER_FAULTS_ROLE_URL";
pub(crate) const SEED: &str = "MUSTER_FAULTS_ROLE_SEED";
pub(crate) const STREAMS: &str = "MUSTER_FAULTS_ROLE_STREAMS";
/// Set where silences count as in production.
pub(crate) const PATIENT: &str = "MUSTER_FAULTS_ROLE_PATIENT";

/// How long a silent connection lives, at the actors' end as at the host's, unless they are patient.
pub(crate) const IDLE: Duration = Duration::from_millis(1_200);
/// How often a silent connection is pinged.
pub(crate) const PING: Duration = Duration::from_millis(300);
/// How long an actor may take to get everything confirmed, once nothing is in its way.
const FLUSH: Duration = Duration::from_secs(60);

/// Where the files are.
pub(crate) fn outbox(folder: &std::path::Path) -> PathBuf {
    folder.join("outbox")
}

pub(crate) fn store(folder: &std::path::Path) -> PathBuf {
    folder.join("store")
}

pub(crate) fn journal_at(folder: &std::path::Path) -> PathBuf {
    folder.join("journal")
}

struct Role {
    folder: PathBuf,
    endpoint: Endpoint,
    seed: u64,
    streams: u64,
    timeouts: Timeouts,
    orders: mpsc::UnboundedReceiver<String>,
}

impl Role {
    fn from_env() -> Option<Role> {
        let folder = PathBuf::from(std::env::var_os(FOLDER)?);
        let text = |name| std::env::var(name).expect("set together");
        let (sender, orders) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        let timeouts = if std::env::var_os(PATIENT).is_some() { Timeouts::default() } else { impatient() };
        let endpoint = Endpoint::new(&text(URL), DATABASE).expect("an endpoint");
        let number = |name| text(name).parse().expect("a number");
        Some(Role { folder, endpoint, seed: number(SEED), streams: number(STREAMS), timeouts, orders })
    }
}

fn impatient() -> Timeouts {
    let mut timeouts = Timeouts::default();
    (timeouts.ping_interval, timeouts.idle) = (PING, IDLE);
    (timeouts.connect, timeouts.call) = (Duration::from_secs(2), Duration::from_secs(5));
    timeouts
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_publisher_that_is_told_to() {
    let Some(mut role) = Role::from_env() else { return };
    let tried = journal::read(&journal_at(&role.folder));
    let journal = Arc::new(Journal::open(&journal_at(&role.folder)));
    let publisher = Publisher::open(OutboxConfig::new(outbox(&role.folder))).expect("the outbox opens");
    let publisher = Arc::new(publisher);
    let mut config = ConnectConfig::new(role.endpoint.clone());
    config.options.timeouts = role.timeouts;
    publisher.connect(config);
    // Even: publish; odd: pause.
    let (turn, turns) = watch::channel(0u64);
    let (paused, mut pauses) = mpsc::unbounded_channel();
    for index in 0..role.streams {
        let next = journal::next(tried.get(&index).map_or(&[], Vec::as_slice));
        let work =
            Work { publisher: publisher.clone(), journal: journal.clone(), seed: role.seed, stream: index, next };
        tokio::spawn(work.run(turns.clone(), paused.clone()));
    }
    say("ready");
    while let Some(order) = role.orders.recv().await {
        match order.as_str() {
            "pause" => {
                turn.send_modify(|turn| *turn += 1);
                for _ in 0..role.streams {
                    pauses.recv().await.expect("each pauses");
                }
                publisher.flush(FLUSH).await.expect("all confirmed");
                let metrics = publisher.metrics();
                say(&format!("flushed {} {}", metrics.sender.duplicates, metrics.sender.connections));
            }
            "resume" => turn.send_modify(|turn| *turn += 1),
            other => panic!("told `{other}`"),
        }
    }
}

/// Publishing into one stream.
struct Work {
    publisher: Arc<Publisher>,
    journal: Arc<Journal>,
    seed: u64,
    stream: u64,
    next: u64,
}

impl Work {
    async fn run(mut self, mut turns: watch::Receiver<u64>, paused: mpsc::UnboundedSender<()>) {
        let id = stream(self.stream);
        let mut dice = Dice::new(self.seed ^ self.stream, self.next);
        loop {
            while *turns.borrow_and_update() % 2 == 1 {
                let _ = paused.send(());
                if turns.changed().await.is_err() {
                    return;
                }
            }
            let count = dice.within(1..=16);
            let payloads: Vec<String> =
                (self.next..self.next + count).map(|n| payload(self.seed, self.stream, n)).collect();
            self.journal.tried(self.stream, self.next, count);
            self.next += count;
            let drafts = payloads.iter().map(|payload| Draft::new(KIND, payload));
            match self.publisher.publish_many(&id, drafts).await {
                Ok(receipt) => self.journal.kept(self.stream, &receipt),
                Err(error) => {
                    self.journal.refused(self.stream);
                    say(&format!("refused {error}"));
                }
            }
            // The load: some hundred events a second and stream.
            tokio::time::sleep(dice.ms(5..=35)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscriber_that_is_told_to() {
    let Some(mut role) = Role::from_env() else { return };
    let pattern = StreamPattern::parse("faults.*").expect("a pattern");
    let subscriber = Subscriber::builder(role.endpoint.clone(), store(&role.folder))
        .timeouts(role.timeouts)
        .follow(pattern, StartAt::Start)
        .client("desktop")
        .apply(EventLog)
        .await
        .expect("it starts");
    say("ready");
    let mut status = subscriber.status();
    loop {
        let now = status.borrow_and_update().clone();
        let applied: u64 = subscriber.streams().iter().map(|stream| stream.cursor.map_or(0, |at| at.seq.get())).sum();
        say(&format!("{} {} {applied} {}", now.state, now_ms(), now.last_error.unwrap_or_default()));
        tokio::select! {
            changed = status.changed() => changed.expect("it lives"),
            // Nobody is left.
            None = role.orders.recv() => return,
        }
    }
}
