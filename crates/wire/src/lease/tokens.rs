//! Which of a keeper's tokens a client's connections have.
//!
//! What always holds: a keeper hears of each of its tokens whether a host takes it, by the token's own number, whichever
//! connection it was for. Another token is told of once; not while a connection is being opened that waits for whatever
//! token comes first.

use std::collections::BTreeMap;
use std::future::pending;

use tokio::sync::watch;

use super::{Held, Keeper};

/// The keeper, if there is one, and what of its tokens was used.
#[derive(Debug)]
pub struct Tokens {
    keeper: Option<Keeper>,
    changes: Option<watch::Receiver<Option<Held>>>,
    /// The newest token that a connection was asked for with.
    used: u64,
    /// A connection is being opened that takes whatever token there is first.
    is_waiting: bool,
    by_connection: BTreeMap<u64, u64>,
}

impl Tokens {
    /// Of nobody, or of this keeper.
    pub fn of(keeper: Option<Keeper>) -> Tokens {
        let changes = keeper.as_ref().map(Keeper::changes);
        Tokens { keeper, changes, used: 0, is_waiting: false, by_connection: BTreeMap::new() }
    }

    /// Until another token is there, or the one that was is over. Never without a keeper.
    pub async fn changed(&mut self) {
        let has_changed = match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        };
        if !has_changed {
            pending::<()>().await;
        }
    }

    /// Whether there is another token than the newest connection's: once for each.
    pub fn is_another(&mut self) -> bool {
        let held = self.keeper.as_ref().and_then(Keeper::held);
        let Some(held) = held.filter(|held| held.serial > self.used && !self.is_waiting) else { return false };
        self.used = held.serial;
        true
    }

    /// A connection is asked for; this is where its token comes from.
    pub fn connecting(&mut self) -> Option<Keeper> {
        match self.keeper.as_ref().map(Keeper::held) {
            None => {}
            Some(Some(held)) => (self.used, self.is_waiting) = (held.serial, false),
            Some(None) => self.is_waiting = true,
        }
        self.keeper.clone()
    }

    /// It is open, or could not be opened, with this token.
    pub fn connected(&mut self, connection: u64, serial: Option<u64>) {
        self.is_waiting = false;
        if let Some(serial) = serial {
            self.used = self.used.max(serial);
            self.by_connection.insert(connection, serial);
            // Two at most are of interest: the present one, and its successor.
            while self.by_connection.len() > 2 {
                self.by_connection.pop_first();
            }
        }
    }

    /// Nobody waits for it any more.
    pub fn given_up(&mut self) {
        self.is_waiting = false;
    }

    /// A connection could not be opened, because the host does not take this token.
    pub fn refused(&self, serial: Option<u64>) {
        if let (Some(keeper), Some(serial)) = (&self.keeper, serial) {
            keeper.denied(serial);
        }
    }

    /// Whether connections have tokens of a keeper.
    pub fn are_kept(&self) -> bool {
        self.keeper.is_some()
    }

    /// A host does not take the token of this connection, or what it granted has ended.
    pub fn denied(&self, connection: u64) {
        if let (Some(keeper), Some(serial)) = (&self.keeper, self.by_connection.get(&connection)) {
            keeper.denied(*serial);
        }
    }

    /// A host has done what the token of this connection grants.
    pub fn taken(&self, connection: u64) {
        if let (Some(keeper), Some(serial)) = (&self.keeper, self.by_connection.get(&connection)) {
            keeper.accepted(*serial);
        }
    }
}
