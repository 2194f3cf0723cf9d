//! What applications publish, and what the sizes of a run are.
//!
//! What always holds: a plan is a setting and a list of items with their times, all drawn from the seed; a run with some
//! items left out is a run of the same setting. Each seed has only some kinds of faults, so that rare pairs of them meet
//! often enough ("swarm testing", Groce and others, 2012).

use muster_contract::page::{WireHash, wire_hash};
use sha2::{Digest, Sha256};

use crate::host::HostConfig;
use crate::limits::FAULTS_MS;
use crate::rng::{Purpose, Rng};

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
    /// They are of another life of the stream.
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
    /// Requests and replies arrive a second time, some of them much later, as from clients and proxies that try again.
    Repeat {
        /// How many of a thousand.
        permille: u64,
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
            Item::Publish { .. } | Item::Snapshot { .. } | Item::Sweep | Item::Backup => return None,
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
            Item::Repeat { .. } => "messages repeated",
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
        items.sort_by_key(|timed| timed.at_ms);
        Plan { seed, setting, items }
    }
}

fn setting(rng: &mut Rng) -> Setting {
    let streams = rng.between(1, 3);
    // On a slow line small batches and pages would take all day.
    let slow = rng.chance(150);
    let least = |sizes: &[u64], rng: &mut Rng| rng.pick(sizes).max(if slow { 8 } else { 1 });
    Setting {
        publishers: if rng.chance(550) { 2 } else { 1 },
        subscribers: (0..rng.between(1, 2)).map(|_| if rng.chance(150) { Begin::Now } else { Begin::Start }).collect(),
        streams: ["s.a", "s.b", "t.c"].iter().take(streams as usize).map(|id| (*id).to_owned()).collect(),
        host: HostConfig {
            page_events_max: least(&[1, 3, 7, 1_000], rng) as usize,
            sync_ms: rng.pick(&[(1, 5), (1, 40), (50, 800)]),
            keep_unsnapshotted: rng.chance(600),
            keep_events: rng.pick(&[3, 10, 40, 1_000]),
        },
        delay_ms: if slow { (50, 1_500) } else { rng.pick(&[(1, 4), (1, 60), (20, 300)]) },
        disk_ms: rng.pick(&[(1, 3), (1, 30), (20, 400)]),
        batch_events: least(&[1, 3, 8, 1_000], rng) as u32,
        stream_calls: rng.pick(&[1, 2, 8]),
        page_events: least(&[1, 4, 500], rng) as u32,
        lazy_stores: rng.chance(500),
        renews: rng.chance(600),
        replay_budget: if rng.chance(300) { Some(rng.between(0, 30)) } else { None },
    }
}

/// Ordinary work: publishing in bursts and drops, snapshots, retention, copies.
fn work(rng: &mut Rng, setting: &Setting, items: &mut Vec<Timed>) {
    for _ in 0..rng.between(5, 45) {
        let node = rng.below(setting.publishers as u64) as usize;
        let stream = rng.below(setting.streams.len() as u64) as usize;
        let count = if rng.chance(150) { rng.between(10, 60) } else { rng.between(1, 4) } as u32;
        put(rng, items, Item::Publish { node, stream, count, equal: false });
        if rng.chance(200)
            && let Some(Timed { item: Item::Publish { equal, .. }, .. }) = items.last_mut()
        {
            *equal = true;
        }
    }
    for _ in 0..rng.below(6) {
        let stream = rng.below(setting.streams.len() as u64) as usize;
        let behind = rng.below(12);
        put(rng, items, Item::Snapshot { stream, behind });
    }
    for _ in 0..rng.below(8) {
        put(rng, items, Item::Sweep);
    }
    for _ in 0..rng.below(5) {
        put(rng, items, Item::Backup);
    }
}

fn put(rng: &mut Rng, items: &mut Vec<Timed>, item: Item) {
    items.push(Timed { at_ms: rng.between(10, FAULTS_MS), item });
}

/// Faults of a few kinds, in bunches: the second soon after the first finds a world that has not settled.
fn faults(rng: &mut Rng, setting: &Setting, items: &mut Vec<Timed>) {
    let kinds: Vec<u64> = (0..KINDS).filter(|_| rng.chance(330)).collect();
    if kinds.is_empty() {
        return;
    }
    for _ in 0..rng.below(9) {
        let begin = rng.between(100, FAULTS_MS - 20_000);
        for _ in 0..rng.between(1, 4) {
            let kind = rng.pick(&kinds);
            let item = fault(rng, setting, kind);
            let at_ms = begin + rng.below(6_000);
            if rng.chance(400) {
                busy(rng, setting, &item, at_ms, items);
            }
            items.push(Timed { at_ms, item });
        }
    }
}

/// Has something under way when a fault strikes, and something new right behind it.
fn busy(rng: &mut Rng, setting: &Setting, item: &Item, at_ms: u64, items: &mut Vec<Timed>) {
    let node = match item {
        Item::Cut { node, .. } | Item::KillNode { node, .. } | Item::Stall { node, .. }
            if *node < setting.publishers =>
        {
            *node
        }
        _ => rng.below(setting.publishers as u64) as usize,
    };
    let stream = rng.below(setting.streams.len() as u64) as usize;
    let mut publish = |rng: &mut Rng, node, from_ms: u64, within_ms, most| {
        let at_ms = from_ms + rng.below(within_ms);
        let (count, equal) = (rng.between(1, most) as u32, rng.chance(300));
        items.push(Timed { at_ms, item: Item::Publish { node, stream, count, equal } });
    };
    publish(rng, node, at_ms - 60, 60, 3);
    publish(rng, node, at_ms + 1, 400, 6);
    // After a restore others may fill up what was lost before any follower looks again.
    if let Item::Restore { down_ms } = item {
        for node in 0..setting.publishers {
            publish(rng, node, at_ms + down_ms, 2_500, 20);
        }
        for node in setting.publishers..setting.publishers + setting.subscribers.len() {
            let away_ms = down_ms + rng.between(1, 12_000);
            let item = Item::KillNode { node, after: 0, machine: false, down_ms: away_ms };
            items.push(Timed { at_ms: at_ms - 1, item });
        }
    }
}

const KINDS: u64 = 20;

fn fault(rng: &mut Rng, setting: &Setting, kind: u64) -> Item {
    let nodes = (setting.publishers + setting.subscribers.len()) as u64;
    let node = rng.below(nodes) as usize;
    let publisher = rng.below(setting.publishers as u64) as usize;
    let stream = rng.below(setting.streams.len() as u64) as usize;
    let down_ms = if rng.chance(300) { rng.between(5_000, 20_000) } else { rng.between(1, 2_000) };
    let late_ms = rng.between(0, crate::limits::LATE_MS_MAX);
    let (after, machine, ms) = (rng.below(40) as u32, rng.chance(500), rng.between(200, 15_000));
    match kind {
        0 => Item::KillHost { down_ms, silent: false },
        1 => Item::KillHost { down_ms, silent: true },
        2 => Item::HostDiskFull { ms },
        3 | 4 => Item::KillNode { node, after, machine, down_ms },
        5 => Item::KillNode { node: publisher, after, machine, down_ms },
        6 => Item::Pause { node, ms: rng.between(100, 40_000) },
        7 => Item::Cut { node, how: Cut::Both },
        8 => Item::Cut { node, how: Cut::ClientFirst { late_ms } },
        9 => Item::Cut { node, how: if rng.chance(500) { Cut::HostFirst { late_ms } } else { Cut::AnswersLost } },
        10 => Item::Cut { node, how: Cut::HalfOpen },
        11 => Item::Stall { node, ms },
        12 => Item::Partition { ms },
        13 => Item::DiskFull { node, ms },
        14 => Item::Delete { stream },
        15 => if rng.chance(700) { Item::Restore { down_ms } } else { Item::Renew },
        16 => Item::Refresh { node: setting.publishers + rng.below(setting.subscribers.len() as u64) as usize },
        17 => Item::Repeat { permille: rng.between(20, 300), ms },
        18 => Item::BadPages { flaw: rng.pick(&[Flaw::Overlap, Flaw::Gap, Flaw::Damage, Flaw::Epoch]), ms },
        _ if rng.chance(500) => Item::ReadErrors { node, count: rng.between(1, 3) as u32 },
        _ => Item::ClockJump { node, by_ms: rng.between(0, 200_000_000) as i64 - 100_000_000 },
    }
}
