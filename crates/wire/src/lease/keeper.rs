//! The task that keeps a token good: it asks when the machine says so, and shows what it holds.
//!
//! What always holds: no decision is made here. The task ends when the last [`Keeper`] is dropped. Its queue of words is
//! bounded, and a word that finds it full is not lost on anybody: the task is about to look anyway.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::machine::{Action, Event, Lease, LeaseState, Retry};
use super::source::{Granted, Refused, Source, fetch};
use crate::clock::Clock;
use crate::limits::{LEASE_COMMANDS_MAX, LEASE_LOOK_MS, ms};
use crate::token::Token;

#[cfg(test)]
mod tests;

/// A token that is good, as far as is known here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The token.
    pub token: Token,
    /// Its number: each token of a keeper has a higher one than those before. From 1.
    pub serial: u64,
    /// The database that it is for, where the service says so.
    pub database: Option<String>,
}

/// What there is to see of a lease. Holds no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// What it is doing.
    pub state: LeaseState,
    /// To whom the present token was given, where that is known.
    pub client: Option<String>,
    /// What the present token allows to do.
    pub scopes: Vec<String>,
    /// With which streams.
    pub streams: Vec<String>,
    /// The database that it is for, where the service says so.
    pub database: Option<String>,
    /// When it ends, by this machine's clock; `None` where that is not known.
    pub expires_at: Option<SystemTime>,
    /// When its successor is asked for.
    pub refresh_due_at: Option<SystemTime>,
    /// When the next question is due, while none is under way.
    pub next_attempt_at: Option<SystemTime>,
    /// Questions in a row that brought no token.
    pub attempts: u32,
    /// How many tokens have come.
    pub refreshes: u64,
    /// Why the last question brought none, or why the present token is no good; `None` once that is over.
    pub last_refusal: Option<Refused>,
}

/// Why there is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// Somebody has to change something.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// None came in time.
    #[error("no token came within {} s; {last}", .limit.as_secs())]
    Timeout {
        /// How long was waited.
        limit: Duration,
        /// What went wrong last.
        last: String,
    },
}

enum Command {
    RetryNow,
    Denied(u64),
    Accepted(u64),
}

/// Keeps a token good for as long as it lives. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Keeper {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands: mpsc::Sender<Command>,
    status: watch::Receiver<LeaseStatus>,
    held: watch::Receiver<Option<Held>>,
}

impl PartialEq for Keeper {
    /// Whether they are clones of one another.
    fn eq(&self, other: &Keeper) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }
}

impl Eq for Keeper {}

impl Keeper {
    /// Begins to keep a token of this source.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(source: Source) -> Keeper {
        let (commands, inbox) = mpsc::channel(LEASE_COMMANDS_MAX);
        let (held, held_now) = watch::channel(None);
        let machine = Lease::new();
        let (status, status_now) = watch::channel(LeaseStatus {
            state: machine.state(),
            client: None,
            scopes: Vec::new(),
            streams: Vec::new(),
            database: None,
            expires_at: None,
            refresh_due_at: None,
            next_attempt_at: None,
            attempts: 0,
            refreshes: 0,
            last_refusal: None,
        });
        let task = Task {
            source,
            machine,
            clock: Clock::new(),
            began: Instant::now(),
            asking: JoinSet::new(),
            inbox,
            latest: None,
            refusal: None,
            seen: None,
            held,
            status,
        };
        tokio::spawn(task.run());
        Keeper { shared: Arc::new(Shared { commands, status: status_now, held: held_now }) }
    }

    /// What there is to see, as it changes.
    pub fn status(&self) -> watch::Receiver<LeaseStatus> {
        self.shared.status.clone()
    }

    /// The token to use, as it changes; `None` while there is none that is good.
    pub fn changes(&self) -> watch::Receiver<Option<Held>> {
        self.shared.held.clone()
    }

    /// The token to use now.
    pub fn held(&self) -> Option<Held> {
        self.shared.held.borrow().clone()
    }

    /// The token to use, as soon as there is one that is good.
    ///
    /// # Errors
    /// [`LeaseError`]: none came within `limit`, or only a person can help.
    pub async fn token(&self, limit: Duration) -> Result<Held, LeaseError> {
        let (mut held, mut status) = (self.changes(), self.status());
        let refused = async {
            loop {
                let now = status.borrow_and_update().clone();
                let is_blocked = now.state == LeaseState::Blocked;
                if let Some(refusal) = now.last_refusal.filter(|_| is_blocked) {
                    return refusal;
                }
                if status.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        let came = async {
            loop {
                let now = held.borrow_and_update().clone();
                if let Some(now) = now {
                    return now;
                }
                if held.changed().await.is_err() {
                    return std::future::pending().await;
                }
            }
        };
        let first = async {
            tokio::select! {
                biased;
                held = came => Ok(held),
                refusal = refused => Err(refusal),
            }
        };
        match tokio::time::timeout(limit, first).await {
            Ok(Ok(held)) => Ok(held),
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(_) => {
                let last = self.shared.status.borrow().last_refusal.as_ref().map(|refusal| refusal.message.clone());
                let last = last.unwrap_or_else(|| "the token service has not answered".into());
                Err(LeaseError::Timeout { limit, last })
            }
        }
    }

    /// A host does not take this token, or what it granted has ended: the next one is asked for.
    pub fn denied(&self, serial: u64) {
        self.tell(Command::Denied(serial));
    }

    /// A host has taken this token.
    pub fn accepted(&self, serial: u64) {
        self.tell(Command::Accepted(serial));
    }

    /// Asks now, because somebody has changed something.
    pub fn retry_now(&self) {
        self.tell(Command::RetryNow);
    }

    fn tell(&self, command: Command) {
        let _ = self.shared.commands.try_send(command);
    }
}

struct Task {
    source: Source,
    machine: Lease,
    clock: Clock,
    began: Instant,
    asking: JoinSet<(u64, Result<Granted, Refused>)>,
    inbox: mpsc::Receiver<Command>,
    /// The token that came last, and its number.
    latest: Option<(u64, Granted)>,
    refusal: Option<Refused>,
    /// When the file was changed last, and its size, as of the last look.
    seen: Option<(SystemTime, u64)>,
    held: watch::Sender<Option<Held>>,
    status: watch::Sender<LeaseStatus>,
}

impl Task {
    async fn run(mut self) {
        self.feed(Event::AskNow);
        loop {
            // A timer stands still while the machine sleeps; so it is looked often enough to notice.
            let soon = Instant::now() + ms(LEASE_LOOK_MS);
            let due = self.machine.next_deadline().map(|at| self.began + self.clock.awake(at));
            let wake = due.map_or(soon, |at| at.min(soon));
            let event = tokio::select! {
                command = self.inbox.recv() => match command {
                    Some(Command::RetryNow) => Event::AskNow,
                    Some(Command::Denied(serial)) => self.denied(serial),
                    Some(Command::Accepted(serial)) => Event::Accepted { serial },
                    None => return,
                },
                Some(answered) = self.asking.join_next(), if !self.asking.is_empty() => match answered {
                    Ok((question, answer)) => self.answered(question, answer),
                    Err(_) => Event::Tick,
                },
                () = sleep_until(wake) => self.look().await,
            };
            self.feed(event);
        }
    }

    /// The time has come, or the file has changed.
    async fn look(&mut self) -> Event {
        let Source::File(path) = &self.source else { return Event::Tick };
        let seen = match tokio::fs::metadata(path).await {
            Ok(found) => found.modified().ok().map(|at| (at, found.len())),
            Err(_) => None,
        };
        let is_new = seen.is_some() && self.seen != seen;
        self.seen = seen;
        if is_new { Event::AskNow } else { Event::Tick }
    }

    fn denied(&mut self, serial: u64) -> Event {
        if self.latest.as_ref().is_some_and(|(latest, _)| *latest == serial) {
            tracing::info!(serial, "a host does not take the token, or what it granted has ended");
            let message = "the host does not take the token, or what it granted has ended; the next is asked for";
            let retry = Retry::Soon { not_before: None };
            self.refusal = Some(Refused::new("denied", message.into(), retry));
        }
        Event::Denied { serial }
    }

    fn answered(&mut self, question: u64, answer: Result<Granted, Refused>) -> Event {
        match answer {
            Ok(granted) => {
                let is_from_service = matches!(self.source, Source::Control(_));
                if !is_from_service && self.latest.as_ref().is_some_and(|(_, latest)| latest.token == granted.token) {
                    return Event::Unchanged { question };
                }
                self.refusal = None;
                let terms = granted.terms();
                self.latest = Some((self.machine.tokens() + 1, granted));
                Event::Granted { question, terms }
            }
            Err(refusal) => {
                tracing::info!(code = refusal.code, message = refusal.message, "no token");
                let retry = refusal.retry;
                self.refusal = Some(refusal);
                Event::Refused { question, retry }
            }
        }
    }

    fn feed(&mut self, event: Event) {
        let wall = SystemTime::now();
        let now = self.clock.now(self.began.elapsed(), wall);
        if let Event::Accepted { serial } = event
            && self.latest.as_ref().is_some_and(|(latest, _)| *latest == serial)
            && self.refusal.as_ref().is_some_and(|refusal| refusal.code == "denied")
        {
            self.refusal = None;
        }
        for action in self.machine.on(now, rand::random(), event) {
            match action {
                Action::Ask { question } => {
                    let source = self.source.clone();
                    self.asking.spawn(async move { (question, fetch(&source).await) });
                }
                Action::Offer { serial } => {
                    let Some((latest, granted)) = self.latest.as_ref().filter(|(latest, _)| *latest == serial) else {
                        continue;
                    };
                    tracing::debug!(serial, "a token came");
                    let (token, database) = (granted.token.clone(), granted.database.clone());
                    self.held.send_replace(Some(Held { token, serial: *latest, database }));
                }
                Action::Withdraw => {
                    tracing::info!("the token has ended, and there is no other");
                    self.held.send_replace(None);
                }
            }
        }
        self.show(now, wall);
    }

    fn show(&self, now: Duration, wall: SystemTime) {
        // Both clocks may be far from where they were: a time that cannot be said is not said.
        let at = |at: Option<Duration>| {
            at.and_then(|at| match at.checked_sub(now) {
                Some(ahead) => wall.checked_add(ahead),
                None => wall.checked_sub(now - at),
            })
        };
        let granted = self.latest.as_ref().map(|(_, granted)| granted);
        let status = LeaseStatus {
            state: self.machine.state(),
            client: granted.and_then(|granted| granted.client.clone()),
            scopes: granted.map(|granted| granted.scopes.clone()).unwrap_or_default(),
            streams: granted.map(|granted| granted.streams.clone()).unwrap_or_default(),
            database: granted.and_then(|granted| granted.database.clone()),
            expires_at: at(self.machine.ends()),
            refresh_due_at: at(self.machine.due()),
            next_attempt_at: at(self.machine.next_ask()),
            attempts: self.machine.attempts(),
            refreshes: self.machine.tokens(),
            last_refusal: self.refusal.clone(),
        };
        self.status.send_if_modified(|shown| {
            let is_new = !is_same(shown, &status);
            if is_new {
                *shown = status;
            }
            is_new
        });
    }
}

/// Whether nothing but the clocks has moved: the same moment is a little elsewhere at each look.
fn is_same(a: &LeaseStatus, b: &LeaseStatus) -> bool {
    let near = |a: Option<SystemTime>, b: Option<SystemTime>| match (a, b) {
        (Some(a), Some(b)) => {
            let apart = a.duration_since(b).or_else(|_| b.duration_since(a)).unwrap_or_default();
            apart < Duration::from_millis(500)
        }
        (a, b) => a == b,
    };
    let timeless = |status: &LeaseStatus| LeaseStatus {
        expires_at: None,
        refresh_due_at: None,
        next_attempt_at: None,
        ..status.clone()
    };
    near(a.expires_at, b.expires_at)
        && near(a.refresh_due_at, b.refresh_due_at)
        && near(a.next_attempt_at, b.next_attempt_at)
        && timeless(a) == timeless(b)
}
