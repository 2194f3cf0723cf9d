//! What a screen shows, as facts.
//!
//! What always holds: [`Model`] is pure: no clock, no socket, no file. Facts are whole values; lists are shared, so that a
//! copy for a screen costs the same however long they are. How fresh a pane is, is not a fact but a judgement of the moment
//! ([`Facts::badge`]).

use std::sync::Arc;
use std::time::Duration;

use muster_contract::Code;
use serde::{Serialize, Serializer};

use crate::badge::{Badge, Source};
use crate::clock::At;
use crate::limits::{EVENTS_BEHIND_MS_MAX, OUTBOX_LOOK_MS_MAX, PROOF_MS_MAX, ms};

mod apply;
pub mod churn;
pub mod events;
pub mod histogram;
pub mod observation;
pub mod outbox;
pub mod refusal;
pub mod sessions;
pub mod streams;
#[cfg(test)]
mod tests;
pub mod token;

pub use apply::Model;
pub use events::{EventRow, Events};
pub use observation::Observation;
pub use outbox::OutboxFacts;
pub use refusal::Refusal;
pub use sessions::{SessionRow, Sessions};
pub use streams::{StreamRow, SyncFacts};
pub use token::TokenFacts;

/// The panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pane {
    /// Who is connected.
    Sessions,
    /// How the sync is doing.
    Sync,
    /// What this session may do, and until when.
    Token,
    /// The newest applied events of a stream.
    Events,
    /// What waits on this machine to be sent.
    Outbox,
}

impl Pane {
    /// Every one, in the order of the screen.
    pub const ALL: [Pane; 5] = [Pane::Sessions, Pane::Sync, Pane::Token, Pane::Events, Pane::Outbox];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Pane::Sessions => "Sessions",
            Pane::Sync => "Sync",
            Pane::Token => "Token",
            Pane::Events => "Events",
            Pane::Outbox => "Outbox",
        }
    }
}

/// Which lane is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LaneFacts {
    /// Its name, where it came from a lane file.
    pub lane: Option<String>,
    /// The host's address.
    pub server: String,
    /// The database.
    pub database: String,
    /// The store in which this screen keeps cursors and events.
    pub store: String,
    /// The module's build and schema version, once known.
    pub module: Option<String>,
    /// Whether it should be connected: false once a person disconnected.
    pub is_wanted: bool,
}

/// Everything that a screen shows.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Counts up with every change that can be seen. Proofs alone do not count.
    pub revision: u64,
    /// Which lane; `None` before one was chosen.
    pub lane: Option<LaneFacts>,
    /// The sessions pane.
    pub sessions: Sessions,
    /// The sync pane.
    pub sync: SyncFacts,
    /// The token pane.
    pub token: TokenFacts,
    /// The events pane.
    pub events: Events,
    /// The outbox pane.
    pub outbox: OutboxFacts,
    /// The newest thing that went wrong with this screen itself (its store, its files), as one line.
    pub trouble: Option<Arc<str>>,
}

/// What is shared is written as what it is.
fn shared<T: Serialize + ?Sized, S: Serializer>(value: &Arc<T>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_ref().serialize(serializer)
}

fn shared_text<S: Serializer>(value: &Option<Arc<str>>, serializer: S) -> Result<S::Ok, S::Error> {
    value.as_deref().serialize(serializer)
}

/// How old a proof may be.
const BOUND: Duration = ms(PROOF_MS_MAX);

impl Facts {
    /// How fresh what the pane shows is, at this moment.
    pub fn badge(&self, pane: Pane, now: At) -> Badge {
        self.source(pane, now).badge(now, BOUND)
    }

    /// For how long every badge stays as it is, if nothing is heard: when a screen must look again.
    pub fn badges_hold_for(&self, now: At) -> Option<Duration> {
        Pane::ALL.iter().filter_map(|pane| self.source(*pane, now).holds_for(now, BOUND)).min()
    }

    /// What takes the pane over: nothing in it would be true before a person has changed something.
    pub fn refusal(&self, pane: Pane) -> Option<&Refusal> {
        match pane {
            Pane::Sessions => self.sessions.refusal.as_ref(),
            Pane::Sync => self.sync.refusal.as_ref(),
            Pane::Token => self.token_refusal(),
            Pane::Events => self.events_refusal(),
            Pane::Outbox => self.outbox.refusal.as_ref(),
        }
    }

    /// What the sync is refused for its token's sake is the token's matter too.
    fn token_refusal(&self) -> Option<&Refusal> {
        let of_sync = || self.sync.refusal.as_ref().filter(|refusal| refusal.code == Some(Code::Unauthorized.as_str()));
        self.token.refusal.as_ref().or_else(of_sync)
    }

    /// Events that were applied stay readable when the host refuses more: only what never came is taken over.
    fn events_refusal(&self) -> Option<&Refusal> {
        let chosen = self.events.stream.as_deref().and_then(|stream| self.sync.stream(stream));
        let own = chosen.and_then(|row| row.refusal.as_ref());
        own.or(self.sync.refusal.as_ref()).filter(|_| self.events.rows.is_empty())
    }

    /// What a refusal has taken over is not fresh, whatever the connection says.
    fn source(&self, pane: Pane, now: At) -> Source {
        let source = match pane {
            Pane::Sessions => self.sessions.source,
            Pane::Sync => self.sync.source,
            Pane::Token => self.either_link(),
            Pane::Events => self.events_source(now),
            Pane::Outbox => self.outbox_source(now),
        };
        Source { is_open: source.is_open && self.refusal(pane).is_none(), ..source }
    }

    /// Whether the host is heard over either connection.
    pub fn is_heard(&self, now: At) -> bool {
        [self.sessions.source, self.sync.source].iter().any(|source| source.is_proven(now, BOUND))
    }

    /// The host's word of this screen itself, over whichever connection is open.
    fn either_link(&self) -> Source {
        let (presence, sync) = (self.sessions.source, self.sync.source);
        let better = if presence.is_open && presence.proof >= sync.proof { presence } else { sync };
        Source { is_complete: better.is_open, seen: presence.seen.max(sync.seen).max(better.proof), ..better }
    }

    fn events_source(&self, now: At) -> Source {
        let (sync, events) = (&self.sync, &self.events);
        let Some(stream) = events.stream.as_deref() else {
            // No stream is there to show: as true as the list of streams is.
            return sync.source;
        };
        let Some(row) = sync.stream(stream) else {
            // The host has it no more: what is shown grows old from then on.
            return Source { is_complete: false, is_moving: false, seen: events.seen, ..sync.source };
        };
        // Numbers alone do not tell one life of a stream from another.
        let is_same_life = row.word.cursor.is_none() || events.epoch == row.word.epoch;
        let has_all = events.through >= row.word.cursor.unwrap_or(0);
        let is_fresh = events.read_at.is_some_and(|at| now.since(at) <= ms(EVENTS_BEHIND_MS_MAX));
        Source {
            is_complete: row.word.is_live() && is_same_life && (has_all || is_fresh),
            is_moving: row.word.is_moving() || row.word.is_live(),
            seen: sync.seen_of(row).filter(|_| row.word.cursor.is_some()),
            ..sync.source
        }
    }

    /// What waits here is known from the disk; that it still waits, only as long as the host is heard.
    fn outbox_source(&self, now: At) -> Source {
        let is_read = self.outbox.read_at.is_some_and(|at| now.since(at) <= ms(OUTBOX_LOOK_MS_MAX));
        Source { is_complete: is_read, is_moving: false, seen: self.outbox.read_at, ..self.either_link() }
    }

    /// When what a refusal has taken over is tried again by itself.
    pub fn next_retry(&self, pane: Pane) -> Option<At> {
        match pane {
            Pane::Sessions => self.sessions.link.next_retry,
            Pane::Sync => self.sync.next_retry,
            Pane::Token => self.token.next_refresh.or(self.sessions.link.next_retry),
            Pane::Events | Pane::Outbox => None,
        }
    }

    /// Whether anything on the screen changes by itself every second.
    pub fn counts_down(&self) -> bool {
        self.sync.next_retry.is_some() || self.sessions.link.next_retry.is_some()
    }
}
