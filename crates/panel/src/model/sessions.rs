//! Who is connected.
//!
//! What always holds: the count is the host's own (its rows, or its summary where the rows are not for us); rows that do
//! not fit are counted and not kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use muster_contract::state::{ConnectionState, LeaveReason};
use serde::{Deserialize, Serialize};

use super::churn::Churn;
use super::refusal::Refusal;
use crate::badge::Source;
use crate::clock::At;
use crate::limits::SESSIONS_MAX;

/// One connected session.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SessionRow {
    /// Which connection, in hexadecimal.
    pub connection_id: String,
    /// Who, in hexadecimal.
    pub identity: String,
    /// The OAuth client, where the token names one.
    pub client: Option<String>,
    /// What the token says that it is.
    pub role: String,
    /// The client's build, where the token names one.
    pub build: Option<String>,
    /// Since when, by the host's clock.
    pub since: At,
}

/// How a connection of the screen's own is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkFacts {
    /// What it is doing.
    pub state: ConnectionState,
    /// Why it is not live.
    pub reason: Option<LeaveReason>,
    /// Failed attempts since the last success.
    pub attempts: u32,
    /// When the next one is due.
    pub next_retry: Option<At>,
    /// What went wrong last, as one line.
    #[serde(serialize_with = "super::shared_text")]
    pub last_error: Option<Arc<str>>,
}

impl Default for LinkFacts {
    fn default() -> LinkFacts {
        LinkFacts { state: ConnectionState::Idle, reason: None, attempts: 0, next_retry: None, last_error: None }
    }
}

/// The sessions pane.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    /// The connection that they come over.
    pub link: LinkFacts,
    /// How fresh they are.
    pub source: Source,
    /// How many are connected; `None` before anything is known.
    pub total: Option<u64>,
    /// The same by role, in the order of roles.
    pub by_role: Arc<Vec<(String, u64)>>,
    /// The sessions, in the order of their beginning; at most [`SESSIONS_MAX`].
    pub rows: Arc<Vec<SessionRow>>,
    /// Why there are no rows although there is a count.
    pub rows_refused: Option<Arc<str>>,
    /// The connections that are this screen's own.
    pub own: Arc<Vec<String>>,
    /// Joins and leaves.
    pub churn: Arc<Churn>,
    /// What takes the pane over.
    pub refusal: Option<Refusal>,
}

/// The rows by connection, from which the list is made anew once for many changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Book {
    by_id: BTreeMap<String, SessionRow>,
    /// Rows beyond the limit.
    beyond: u64,
    is_stale: bool,
}

impl Book {
    /// Takes the rows that a subscription begins with: all that there are. What differs from what was known before came
    /// or went in the meantime.
    pub(super) fn begin(&mut self, sessions: &mut Sessions, now: At, rows: Vec<SessionRow>) {
        self.refresh(sessions);
        let before: BTreeSet<String> = sessions.rows.iter().map(|row| row.connection_id.clone()).collect();
        let had_rows = sessions.churn.since.is_some();
        (self.by_id, self.beyond, sessions.rows_refused) = (BTreeMap::new(), 0, None);
        for row in rows {
            self.insert(row);
        }
        let (joins, leaves) = if had_rows {
            let came = self.by_id.keys().filter(|id| !before.contains(*id)).count();
            let went = before.iter().filter(|id| !self.by_id.contains_key(*id)).count();
            (came as u64, went as u64)
        } else {
            (0, 0)
        };
        Arc::make_mut(&mut sessions.churn).count(now, joins, leaves);
        self.is_stale = true;
    }

    /// Takes one transaction's changes.
    pub(super) fn change(&mut self, sessions: &mut Sessions, now: At, came: Vec<SessionRow>, went: &[String]) {
        let (mut joins, mut leaves) = (0, 0);
        for id in went {
            // A changed row is both deleted and inserted, and is no coming and going.
            if came.iter().any(|row| row.connection_id == *id) {
                continue;
            }
            leaves += 1;
            if self.by_id.remove(id).is_none() {
                self.beyond = self.beyond.saturating_sub(1);
            }
        }
        for row in came {
            if !went.contains(&row.connection_id) {
                joins += 1;
            }
            self.insert(row);
        }
        Arc::make_mut(&mut sessions.churn).count(now, joins, leaves);
        self.is_stale = true;
    }

    fn insert(&mut self, row: SessionRow) {
        if self.by_id.len() < SESSIONS_MAX || self.by_id.contains_key(&row.connection_id) {
            self.by_id.insert(row.connection_id.clone(), row);
        } else {
            self.beyond += 1;
        }
    }

    /// Makes the list anew, if anything has changed.
    pub(super) fn refresh(&mut self, sessions: &mut Sessions) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        let mut rows: Vec<_> = self.by_id.values().cloned().collect();
        rows.sort_by(|a, b| a.since.cmp(&b.since).then_with(|| a.connection_id.cmp(&b.connection_id)));
        let mut by_role: BTreeMap<String, u64> = BTreeMap::new();
        for row in &rows {
            *by_role.entry(row.role.clone()).or_default() += 1;
        }
        sessions.total = Some(rows.len() as u64 + self.beyond);
        sessions.by_role = Arc::new(by_role.into_iter().collect());
        sessions.rows = Arc::new(rows);
    }
}
