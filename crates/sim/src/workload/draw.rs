//! What a seed draws: sizes, ordinary work, and faults in bunches.
//!
//! What always holds: drawing depends on the seed and on what was drawn before, never on what happens in the run.

use super::{Begin, Cut, Flaw, Item, Setting, Timed};
use crate::host::HostConfig;
use crate::limits::{FAULTS_MS, LATE_MS_MAX};
use crate::rng::Rng;

pub(super) fn setting(rng: &mut Rng) -> Setting {
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
pub(super) fn work(rng: &mut Rng, setting: &Setting, items: &mut Vec<Timed>) {
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

/// How many more cuts follow one behind which requests still arrive.
const LATE_ROUNDS: u64 = 3;

/// Faults of a few kinds, in bunches: the second soon after the first finds a world that has not settled.
pub(super) fn faults(rng: &mut Rng, setting: &Setting, items: &mut Vec<Timed>) {
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
            if rng.chance(if matches!(item, Item::Cut { how: Cut::ClientFirst { .. }, .. }) { 1_000 } else { 400 }) {
                busy(rng, setting, &item, at_ms, items);
            }
            if let Item::Cut { node, how: Cut::ClientFirst { .. } } = item {
                late_batches(rng, setting, node, at_ms, items);
            }
            if let Item::BadPages { flaw: Flaw::Epoch, ms } = item {
                // Wrong only while a reader still asks for the life before.
                let stream = rng.below(setting.streams.len() as u64) as usize;
                let item = if rng.chance(500) { Item::Renew } else { Item::Delete { stream } };
                items.push(Timed { at_ms: at_ms + rng.below(ms), item });
            }
            if let Item::RestoreDisk { node, .. } = item {
                copies(rng, setting, node, at_ms, items);
            }
            items.push(Timed { at_ms, item });
        }
    }
    // Retention may delete the one event by which a host could show a restored outbox that its numbers are taken: a
    // declared limit (docs/simulation.md), which would hide everything else about restored outboxes.
    let restored = |timed: &Timed| matches!(timed.item, Item::RestoreDisk { node, .. } if node < setting.publishers);
    if items.iter().any(restored) {
        items.retain(|timed| timed.item != Item::Sweep);
    }
}

/// Grants that end before there is another token, and cuts that find a connection waiting for one. Drawn apart, so that every
/// other part of a seed's plan is what it would be without.
pub(super) fn grants(rng: &mut Rng, setting: &Setting, items: &mut Vec<Timed>) {
    if !rng.chance(150) {
        return;
    }
    for _ in 0..rng.between(1, 3) {
        let node = setting.publishers + rng.below(setting.subscribers.len() as u64) as usize;
        let at_ms = rng.between(1_000, FAULTS_MS);
        let ms = if rng.chance(300) { rng.between(1, 500) } else { rng.between(500, 40_000) };
        items.push(Timed { at_ms, item: Item::GrantEnds { node, ms, silent: rng.chance(300) } });
        // Something to be read that is refused.
        let stream = rng.below(setting.streams.len() as u64) as usize;
        let publisher = rng.below(setting.publishers as u64) as usize;
        let item = Item::Publish { node: publisher, stream, count: 2, equal: false };
        items.push(Timed { at_ms: at_ms + rng.below(40), item });
        if rng.chance(700) {
            // While there is no token; or when there is, and the next connection is on its way.
            let at_ms = if rng.chance(500) { at_ms + rng.below(ms) } else { at_ms + ms + rng.below(150) };
            let item = match rng.below(4) {
                0 => Item::KillHost { down_ms: rng.between(1, 3_000), silent: false },
                1 => Item::Cut { node, how: Cut::AnswersLost },
                _ => Item::Cut { node, how: Cut::Both },
            };
            items.push(Timed { at_ms, item });
        }
    }
}

/// More such cuts, in quick succession: a batch overlaps only where it arrives between the answer about it and the longer one that
/// is made of it and of what was published since.
fn late_batches(rng: &mut Rng, setting: &Setting, node: usize, at_ms: u64, items: &mut Vec<Timed>) {
    let node = if node < setting.publishers { node } else { rng.below(setting.publishers as u64) as usize };
    let stream = rng.below(setting.streams.len() as u64) as usize;
    for round in 1..=LATE_ROUNDS {
        let at_ms = at_ms + round * 2_000;
        let late_ms = rng.between(50, 500);
        items.push(Timed { at_ms, item: Item::Cut { node, how: Cut::ClientFirst { late_ms } } });
        for _ in 0..4 {
            let (at_ms, equal) = (at_ms - 150 + rng.below(300), rng.chance(300));
            items.push(Timed { at_ms, item: Item::Publish { node, stream, count: 1, equal } });
        }
    }
}

/// Copies of a disk before it is restored, with something published behind each and behind the restored one.
fn copies(rng: &mut Rng, setting: &Setting, node: usize, at_ms: u64, items: &mut Vec<Timed>) {
    for _ in 0..rng.between(1, 3) {
        items.push(Timed { at_ms: at_ms.saturating_sub(rng.between(1, 20_000)).max(1), item: Item::CopyDisk { node } });
    }
    let publisher = if node < setting.publishers { node } else { rng.below(setting.publishers as u64) as usize };
    for _ in 0..rng.between(1, 4) {
        let stream = rng.below(setting.streams.len() as u64) as usize;
        let count = rng.between(1, 6) as u32;
        let at_ms = (at_ms + 8_000).saturating_sub(rng.below(16_000)).max(1);
        items.push(Timed { at_ms, item: Item::Publish { node: publisher, stream, count, equal: rng.chance(300) } });
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
    let copied_ms = at_ms.saturating_sub(2_500).max(1);
    if matches!(item, Item::Restore { .. }) {
        items.push(Timed { at_ms: copied_ms, item: Item::Backup });
    }
    let mut publish = |rng: &mut Rng, node, from_ms: u64, within_ms, most| {
        let at_ms = from_ms + rng.below(within_ms);
        let (count, equal) = (rng.between(1, most) as u32, rng.chance(300));
        items.push(Timed { at_ms, item: Item::Publish { node, stream, count, equal } });
    };
    publish(rng, node, at_ms - 60, 60, 3);
    publish(rng, node, at_ms + 1, 400, 6);
    // After a restore others may fill up what was lost before any follower looks again.
    if let Item::Restore { down_ms } = item {
        publish(rng, node, copied_ms + 1, 400, 8);
        for node in 0..setting.publishers {
            publish(rng, node, at_ms + down_ms, 2_500, 20);
        }
        let first = setting.publishers;
        let away = (first..first + setting.subscribers.len()).map(|node| {
            let away_ms = down_ms + rng.between(1, 12_000);
            Timed { at_ms: at_ms - 1, item: Item::KillNode { node, after: 0, machine: false, down_ms: away_ms } }
        });
        items.extend(away);
    }
}

const KINDS: u64 = 24;

fn fault(rng: &mut Rng, setting: &Setting, kind: u64) -> Item {
    let nodes = (setting.publishers + setting.subscribers.len()) as u64;
    let node = rng.below(nodes) as usize;
    let publisher = rng.below(setting.publishers as u64) as usize;
    let stream = rng.below(setting.streams.len() as u64) as usize;
    let down_ms = if rng.chance(300) { rng.between(5_000, 20_000) } else { rng.between(1, 2_000) };
    let late_ms_max = if rng.chance(700) { 1_500 } else { LATE_MS_MAX };
    let late_ms = rng.between(0, late_ms_max);
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
        15 => {
            if rng.chance(700) {
                Item::Restore { down_ms }
            } else {
                Item::Renew
            }
        }
        16 => Item::Refresh { node: setting.publishers + rng.below(setting.subscribers.len() as u64) as usize },
        17 => Item::Repeat { permille: rng.between(20, 300), ms },
        18 => Item::BadPages { flaw: rng.pick(&[Flaw::Overlap, Flaw::Gap, Flaw::Damage, Flaw::Epoch]), ms },
        19 => Item::RefuseAppends { permille: rng.between(50, 500), ms },
        20 => Item::LoseSignals { ms },
        22 | 23 => {
            Item::RestoreDisk { node: if kind == 22 { publisher } else { node }, whole: rng.chance(600), down_ms }
        }
        _ if rng.chance(500) => Item::ReadErrors { node, count: rng.between(1, 3) as u32 },
        _ => Item::ClockJump { node, by_ms: rng.between(0, 200_000_000) as i64 - 100_000_000 },
    }
}
