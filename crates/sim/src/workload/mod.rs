//! What applications publish, and what the sizes of a run are.
//!
//! What always holds: a plan is a setting and a list of items with their times, all drawn from the seed; a run with some
//! items left out is a run of the same setting. Each seed has only some kinds of faults, so that rare pairs of them meet
//! often enough ("swarm testing", Groce and others, 2012).

use muster_contract::page::{WireHash, wire_hash};
use sha2::{Digest, Sha256};

use crate::host::HostConfig;
use crate::rng::{Purpose, Rng};
use draw::{faults, grants, setting, work};

mod draw;

/// The SHA-256 of a payload.
pub fn hash(payload: &str) -> WireHash {
    wire_hash(&Sha256::digest(payload.as_bytes()).into())
}

/// Where a subscriber begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// With everything.
    Start,
    /// With what comes after now.
    Now,
}

/// Sizes of a run.
#[derive(Clone, Debug)]
pub struct Setting {
    /// How many publishers.
    pub publishers: usize,
    /// Where each subscriber begins.
    pub subscribers: Vec<Begin>,
    /// The streams' ids.
    pub streams: Vec<String>,
    /// The host's settings.
    pub host: HostConfig,
    /// How long a message takes, in milliseconds.
    pub delay_ms: (u64, u64),
    /// How long a write to a node's disk takes, in milliseconds.
    pub disk_ms: (u64, u64),
    /// Events in a publisher's batch.
    pub batch_events: u32,
    /// Batches under way for one stream.
    pub stream_calls: usize,
    /// Events in a page.
    pub page_events: u32,
    /// Stores answer when a batch is committed, and sync later.
    pub lazy_stores: bool,
    /// Whether the operator gives streams new epochs after a restore, as the documents say.
    pub renews: bool,
    /// From how many events on a subscriber prefers a snapshot.
    pub replay_budget: Option<u64>,
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Both ends know at once; what was on its way is lost.
    Both,
    /// The client knows; what it sent still arrives.
    ClientFirst {
        /// For how long, in milliseconds.
        late_ms: u64,
    },
    /// The host knows; what it sent still arrives.
    HostFirst {
        /// For how long, in milliseconds.
        late_ms: u64,
    },
    /// Requests arrive, and answers are lost. Nobody knows until it has been silent for too long.
    AnswersLost,
    /// Nothing arrives either way, and nobody knows until it has been silent for too long.
    HalfOpen,
}

/// What is wrong with the pages of a host that is not ours, or not well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// They begin before the cursor.
    Overlap,
    /// They leave out the events right after the cursor.
    Gap,
    /// A payload is not what its hash says.
    Damage,
    /// They are of the life that the stream has now, whichever was asked for.
    Epoch,
}

/// Something that happens to the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An application publishes.
    Publish {
        /// On which publisher's node.
        node: usize,
        /// On which stream, by index.
        stream: usize,
        /// How many events.
        count: u32,
        /// All with the same payload.
        equal: bool,
    },
    /// A producer takes a snapshot of a stream this far back from its head.
    Snapshot {
        /// Which stream.
        stream: usize,
        /// How far back.
        behind: u64,
    },
    /// Retention runs.
    Sweep,
    /// The operator deletes a stream.
    Delete {
        /// Which.
        stream: usize,
    },
    /// The operator copies what the host has durable.
    Backup,
    /// The operator puts the last copy in the place of what the host has.
    Restore {
        /// How long the host is away.
        down_ms: u64,
    },
    /// The operator gives every stream a new epoch.
    Renew,
    /// The host's machine dies and comes back.
    KillHost {
        /// How long it is away.
        down_ms: u64,
        /// Clients are not told.
        silent: bool,
    },
    /// The host's disk is full: its database stops until there is room and it starts again.
    HostDiskFull {
        /// How long.
        ms: u64,
    },
    /// A node's process dies in the middle of what it does.
    KillNode {
        /// Which.
        node: usize,
        /// After so many actions.
        after: u32,
        /// With its machine: what was not synced may be lost.
        machine: bool,
        /// How long it is away.
        down_ms: u64,
    },
    /// Somebody copies a node's outbox or store.
    CopyDisk {
        /// Whose.
        node: usize,
    },
    /// A node's process is killed, and somebody puts a copy in the place of its outbox or store.
    RestoreDisk {
        /// Whose.
        node: usize,
        /// The newest copy; otherwise only a part of it came through, which has what an earlier one had.
        whole: bool,
        /// How long it is away.
        down_ms: u64,
    },
    /// A node's process stands still (SIGSTOP, a suspended laptop).
    Pause {
        /// Which.
        node: usize,
        /// How long.
        ms: u64,
    },
    /// A node's connection is cut.
    Cut {
        /// Whose.
        node: usize,
        /// How.
        how: Cut,
    },
    /// A node's connection delivers nothing for a while, and then everything.
    Stall {
        /// Whose.
        node: usize,
        /// How long.
        ms: u64,
    },
    /// Nobody can connect for a while.
    Partition {
        /// How long.
        ms: u64,
    },
    /// A node's disk has no room for a while.
    DiskFull {
        /// Whose.
        node: usize,
        /// How long.
        ms: u64,
    },
    /// A node's disk cannot be read a few times.
    ReadErrors {
        /// Whose.
        node: usize,
        /// How often.
        count: u32,
    },
    /// A subscriber's token ends soon.
    Refresh {
        /// Whose.
        node: usize,
    },
    /// What a subscriber's token granted ends, before the next token is there.
    GrantEnds {
        /// Whose.
        node: usize,
        /// How long until there is another.
        ms: u64,
        /// Nobody is told: only who asks hears it.
        silent: bool,
    },
    /// Requests and replies arrive a second time, some of them much later, as from clients and proxies that try again.
    Repeat {
        /// How many of a thousand.
        permille: u64,
        /// For how long, in milliseconds.
        ms: u64,
    },
    /// The host refuses appends now and then, for no lasting reason.
    RefuseAppends {
        /// How many of a thousand.
        permille: u64,
        /// For how long, in milliseconds.
        ms: u64,
    },
    /// The host's signals do not come.
    LoseSignals {
        /// For how long, in milliseconds.
        ms: u64,
    },
    /// The host's pages are not what they should be.
    BadPages {
        /// How.
        flaw: Flaw,
        /// For how long, in milliseconds.
        ms: u64,
    },
    /// A node's wall clock jumps.
    ClockJump {
        /// Whose.
        node: usize,
        /// By how much, in milliseconds.
        by_ms: i64,
    },
}

impl Item {
    /// Its name among the faults that are counted; `None` for ordinary work.
    pub fn fault(&self) -> Option<&'static str> {
        Some(match self {
            Item::Publish { .. } | Item::Snapshot { .. } | Item::Sweep | Item::Backup | Item::CopyDisk { .. } => {
                return None;
            }
            Item::RestoreDisk { whole: true, .. } => "outbox or store restored from an older copy",
            Item::RestoreDisk { whole: false, .. } => "outbox or store restored from a part of a copy",
            Item::Delete { .. } => "stream deleted",
            Item::Restore { .. } => "host restored from an older copy",
            Item::Renew => "epochs renewed",
            Item::KillHost { silent: false, .. } => "host killed",
            Item::KillHost { silent: true, .. } => "host killed silently",
            Item::HostDiskFull { .. } => "host disk full",
            Item::KillNode { machine: false, .. } => "process killed",
            Item::KillNode { machine: true, .. } => "machine killed",
            Item::Pause { .. } => "process paused",
            Item::Cut { how: Cut::Both, .. } => "connection cut",
            Item::Cut { how: Cut::ClientFirst { .. }, .. } => "connection cut, requests still arriving",
            Item::Cut { how: Cut::HostFirst { .. }, .. } => "connection cut, answers still arriving",
            Item::Cut { how: Cut::AnswersLost, .. } => "answers lost",
            Item::Cut { how: Cut::HalfOpen, .. } => "connection half-open",
            Item::Stall { .. } => "connection stalled",
            Item::Partition { .. } => "network partitioned",
            Item::DiskFull { .. } => "disk full",
            Item::ReadErrors { .. } => "disk unreadable",
            Item::Refresh { .. } => "token refreshed",
            Item::GrantEnds { .. } => "grant ended",
            Item::Repeat { .. } => "messages repeated",
            Item::LoseSignals { .. } => "signals lost",
            Item::RefuseAppends { .. } => "appends refused in passing",
            Item::BadPages { flaw: Flaw::Overlap, .. } => "pages overlap",
            Item::BadPages { flaw: Flaw::Gap, .. } => "pages with gaps",
            Item::BadPages { flaw: Flaw::Damage, .. } => "pages damaged",
            Item::BadPages { flaw: Flaw::Epoch, .. } => "pages of another life",
            Item::ClockJump { .. } => "clock jumped",
        })
    }
}

/// An item and its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed {
    /// When, in milliseconds.
    pub at_ms: u64,
    /// What.
    pub item: Item,
}

/// What a seed means.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// Sizes.
    pub setting: Setting,
    /// What happens, by time.
    pub items: Vec<Timed>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Plan {
        let mut rng = Rng::new(seed, Purpose::Plan, 0);
        let setting = setting(&mut rng);
        let mut items = Vec::new();
        work(&mut rng, &setting, &mut items);
        faults(&mut rng, &setting, &mut items);
        grants(&mut Rng::new(seed, Purpose::Grants, 0), &setting, &mut items);
        items.sort_by_key(|timed| timed.at_ms);
        Plan { seed, setting, items }
    }
}
