//! Which lane a screen shows, and as whom.

use std::path::PathBuf;

use muster_contract::pattern::StreamPattern;
use muster_sync::StartAt;
use muster_wire::lease::Source;
use muster_wire::{Endpoint, Keeper, Token};

/// Which lane, as whom, and what is followed.
#[derive(Clone, Debug)]
pub struct Target {
    /// The lane's name, for people.
    pub lane: Option<String>,
    /// Which database on which host.
    pub endpoint: Endpoint,
    /// As whom.
    pub token: TokenChoice,
    /// The screen's own store of cursors and events. One process has it at a time, and it belongs to one database.
    pub store: PathBuf,
    /// Where this machine publishes from, if it does.
    pub outbox: Option<PathBuf>,
    /// What is followed; every stream if nothing is named.
    pub follows: Vec<StreamPattern>,
    /// From where on, in streams that the store does not have.
    pub start: StartAt,
    /// The name under which cursors are acknowledged to the host; `None`: they are not.
    pub client: Option<String>,
}

/// As whom a screen connects.
#[derive(Clone, Debug)]
pub enum TokenChoice {
    /// As somebody new.
    Anonymous,
    /// With this token, for as long as it is good.
    Given(Token),
    /// With tokens of this source, renewed in time.
    Renewed(Source),
    /// With the tokens of a keeper that is at work already.
    Kept(Keeper),
}

impl Target {
    /// Every stream of a database, anonymously.
    pub fn new(endpoint: Endpoint, store: impl Into<PathBuf>) -> Target {
        Target {
            lane: None,
            endpoint,
            token: TokenChoice::Anonymous,
            store: store.into(),
            outbox: None,
            follows: Vec::new(),
            start: StartAt::Start,
            client: None,
        }
    }
}
