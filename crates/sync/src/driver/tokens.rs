//! As whom connections are made: with one token, or with those that a keeper has.
//!
//! What always holds: a keeper hears of each of its tokens whether a host takes it, by the token's own number, whichever
//! connection it was for. A token that came while a connection with an older one is open or opening is told to the engine
//! once.

use std::collections::BTreeMap;
use std::future::pending;

use muster_contract::Code;
use muster_wire::lease::{Held, LeaseError};
use muster_wire::{ConnectOptions, Keeper};
use tokio::sync::watch;

use crate::engine::{LinkNo, Trouble};
use crate::limits::{TOKEN_WAIT_MS_MAX, ms};

/// The keeper, if there is one, and what of its tokens was used.
pub(super) struct Tokens {
    keeper: Option<Keeper>,
    changes: Option<watch::Receiver<Option<Held>>>,
    /// The newest token that a connection was asked for with.
    used: u64,
    /// A connection is being opened that takes whatever token there is first.
    is_waiting: bool,
    by_link: BTreeMap<LinkNo, u64>,
}

impl Tokens {
    pub(super) fn of(keeper: Option<Keeper>) -> Tokens {
        let changes = keeper.as_ref().map(Keeper::changes);
        Tokens { keeper, changes, used: 0, is_waiting: false, by_link: BTreeMap::new() }
    }

    /// Until another token is there, or the one that was is over. Never without a keeper.
    pub(super) async fn changed(&mut self) {
        let has_changed = match &mut self.changes {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        };
        if !has_changed {
            pending::<()>().await;
        }
    }

    /// Whether there is another token than the newest connection's: once for each.
    pub(super) fn is_another(&mut self) -> bool {
        let held = self.keeper.as_ref().and_then(Keeper::held);
        let Some(held) = held.filter(|held| held.serial > self.used && !self.is_waiting) else { return false };
        self.used = held.serial;
        true
    }

    /// A connection is asked for; this is where its token comes from.
    pub(super) fn connecting(&mut self) -> Option<Keeper> {
        match self.keeper.as_ref().map(Keeper::held) {
            None => {}
            Some(Some(held)) => (self.used, self.is_waiting) = (held.serial, false),
            Some(None) => self.is_waiting = true,
        }
        self.keeper.clone()
    }

    /// It is open, or could not be opened, with this token.
    pub(super) fn connected(&mut self, link: LinkNo, serial: Option<u64>) {
        self.is_waiting = false;
        if let Some(serial) = serial {
            self.used = self.used.max(serial);
            self.by_link.insert(link, serial);
            // Two at most are of interest: the present one, and its successor.
            while self.by_link.len() > 2 {
                self.by_link.pop_first();
            }
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn given_up(&mut self) {
        self.is_waiting = false;
    }

    /// Whether connections have tokens of a keeper.
    pub(super) fn are_kept(&self) -> bool {
        self.keeper.is_some()
    }

    pub(super) fn denied(&self, link: LinkNo) {
        if let (Some(keeper), Some(serial)) = (&self.keeper, self.by_link.get(&link)) {
            keeper.denied(*serial);
        }
    }

    pub(super) fn taken(&self, link: LinkNo) {
        if let (Some(keeper), Some(serial)) = (&self.keeper, self.by_link.get(&link)) {
            keeper.accepted(*serial);
        }
    }
}

/// The same options with the keeper's token, and its number.
pub(super) async fn with_token(
    options: ConnectOptions,
    keeper: Option<Keeper>,
) -> Result<(ConnectOptions, Option<u64>), Trouble> {
    let Some(keeper) = keeper else { return Ok((options, None)) };
    let held = keeper.token(ms(TOKEN_WAIT_MS_MAX)).await.map_err(|error| no_token(&error))?;
    let mut options = options.token(Some(held.token));
    if let Some(database) = held.database {
        options.endpoint = options.endpoint.with_database(&database).map_err(|error| Trouble {
            is_retryable: false,
            code: Some(Code::Unauthorized),
            message: format!("the token service names a database that cannot be one ({error})"),
        })?;
    }
    Ok((options, Some(held.serial)))
}

fn no_token(error: &LeaseError) -> Trouble {
    let message = error.to_string();
    match error {
        LeaseError::Timeout { .. } => Trouble { is_retryable: true, code: None, message },
        LeaseError::Refused(refused) => {
            let code = Code::ALL.into_iter().find(|code| code.as_str() == refused.code);
            // What another build mends no token will; the rest is for whoever registers clients.
            let of_the_build = code.filter(|code| {
                matches!(
                    code,
                    Code::UnsupportedProtocolVersion
                        | Code::UnsupportedSchemaVersion
                        | Code::UnsupportedClientBuild
                        | Code::UpgradeRequired
                )
            });
            Trouble { is_retryable: false, code: Some(of_the_build.unwrap_or(Code::Unauthorized)), message }
        }
    }
}
