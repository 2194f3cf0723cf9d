//! A model of the host: what it holds, what of it is durable, and what it has promised.
//!
//! What always holds: a transaction is committed at once and durable later; a success is told only when everything
//! committed before it is durable, a reducer's refusal at once (confirmed reads, as `crates/host` and the engine have
//! them). A crash takes back what was not durable, all but some first transactions of it. The decisions are the
//! contract's; what is modelled is the database around them.

mod doors;
pub mod state;

use std::collections::{BTreeSet, VecDeque};

use crate::coverage::Coverage;
use crate::rng::{Purpose, Rng};
use crate::wire::{ConnId, Down};
use crate::workload::Flaw;
use state::{State, Write};

/// What the host is set to.
#[derive(Clone, Copy, Debug)]
pub struct HostConfig {
    /// No page has more events than this, however many are asked for.
    pub page_events_max: usize,
    /// How long its disk takes to sync, in milliseconds.
    pub sync_ms: (u64, u64),
    /// Never prune what is newer than the newest snapshot.
    pub keep_unsnapshotted: bool,
    /// Every stream keeps about this many events.
    pub keep_events: u64,
}

/// A transaction that is not durable yet.
#[derive(Clone, Debug)]
struct Pending {
    offset: u64,
    writes: Vec<Write>,
}

/// What is told once it is durable.
#[derive(Clone, Debug)]
struct Held {
    offset: u64,
    to: ConnId,
    what: Down,
}

/// The host.
#[derive(Debug)]
pub struct Host {
    /// Whether it runs.
    pub up: bool,
    /// Which life of its process.
    pub life: u64,
    /// What is wrong with its pages.
    pub flaw: Option<Flaw>,
    /// It sends no signals.
    pub is_mute: bool,
    /// How many appends of a thousand it refuses in passing.
    pub refuse_permille: u64,
    /// Connections whose grant has ended.
    ended: BTreeSet<ConnId>,
    config: HostConfig,
    live: State,
    durable: State,
    log: VecDeque<Pending>,
    committed: u64,
    synced: u64,
    held: VecDeque<Held>,
    outgoing: Vec<(ConnId, Down)>,
    rng: Rng,
}

impl Host {
    /// An empty host that runs.
    pub fn new(seed: u64, config: HostConfig) -> Host {
        Host {
            up: true,
            life: 1,
            flaw: None,
            is_mute: false,
            refuse_permille: 0,
            ended: BTreeSet::new(),
            config,
            live: State::default(),
            durable: State::default(),
            log: VecDeque::new(),
            committed: 0,
            synced: 0,
            held: VecDeque::new(),
            outgoing: Vec::new(),
            rng: Rng::new(seed, Purpose::Host, 0),
        }
    }

    /// What it holds, durable or not.
    pub fn live(&self) -> &State {
        &self.live
    }

    /// What outlasts a crash.
    pub fn durable(&self) -> &State {
        &self.durable
    }

    /// Its settings.
    pub fn config(&self) -> &HostConfig {
        &self.config
    }

    /// What leaves it now.
    pub fn take_outgoing(&mut self) -> Vec<(ConnId, Down)> {
        std::mem::take(&mut self.outgoing)
    }

    /// Whether something waits for its disk; the disk's next sync covers everything up to the returned offset.
    pub fn unsynced(&self) -> Option<u64> {
        self.log.back().map(|pending| pending.offset)
    }

    /// How long the next sync takes, in milliseconds.
    pub fn draw_sync_ms(&mut self) -> u64 {
        self.rng.between(self.config.sync_ms.0, self.config.sync_ms.1)
    }

    /// Everything committed up to `offset` is durable. Returns what became so, in order.
    pub fn sync(&mut self, offset: u64) -> Vec<Write> {
        let mut now_durable = Vec::new();
        while self.log.front().is_some_and(|pending| pending.offset <= offset) {
            let pending = self.log.pop_front().expect("there is a front");
            self.synced = pending.offset;
            for write in &pending.writes {
                self.durable.apply(write);
            }
            now_durable.extend(pending.writes);
        }
        self.release();
        now_durable
    }

    /// Its machine dies. Of what was not durable, some first transactions are left: returns them.
    pub fn crash(&mut self, coverage: &mut Coverage) -> Vec<Write> {
        let waiting = self.log.len() as u64;
        let kept = self.rng.below(waiting + 1);
        if kept < waiting {
            coverage.hit("host lost unsynced transactions");
        }
        let offset = self.synced + kept;
        self.held.clear();
        let left = self.sync(offset);
        self.log.clear();
        self.committed = self.synced;
        self.live = self.durable.clone();
        self.outgoing.clear();
        self.ended.clear();
        self.up = false;
        left
    }

    /// While it is down, an older copy takes the place of what it holds.
    pub fn restore(&mut self, copy: State) {
        self.live = copy.clone();
        self.durable = copy;
    }

    /// It starts again, and ends the sessions that its last life left behind.
    pub fn start(&mut self) {
        self.up = true;
        self.life += 1;
        let left: Vec<_> = self.live.sessions.keys().map(|conn| Write::SessionEnd { conn: *conn }).collect();
        if !left.is_empty() {
            self.commit(left);
        }
    }

    /// Commits a transaction.
    fn commit(&mut self, writes: Vec<Write>) {
        for write in &writes {
            self.live.apply(write);
        }
        self.committed += 1;
        self.log.push_back(Pending { offset: self.committed, writes });
    }

    /// Tells something once all that is committed now is durable.
    fn tell_durable(&mut self, to: ConnId, what: Down) {
        self.held.push_back(Held { offset: self.committed, to, what });
        self.release();
    }

    /// Tells something at once.
    fn tell_now(&mut self, to: ConnId, what: Down) {
        self.outgoing.push((to, what));
    }

    fn release(&mut self) {
        while self.held.front().is_some_and(|held| held.offset <= self.synced) {
            let held = self.held.pop_front().expect("there is a front");
            self.outgoing.push((held.to, held.what));
        }
    }
}
