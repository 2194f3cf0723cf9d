//! Who knows everything: what was acknowledged, what the host made durable, and what each follower may show.
//!
//! What always holds: the oracle learns from the host's disk, from what publishers told their callers, and from what
//! stores committed; never from a core. A promise that does not hold is told with the number it has in DESIGN.md, and
//! ends the run at that step.

use std::collections::{BTreeMap, BTreeSet};

use muster_contract::page::StoredEvent;

use crate::host::state::{Snap, State, Write};

#[cfg(test)]
mod tests;
mod timeline;

pub use timeline::{Misplaced, Tag, Timeline};

/// A promise that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which: 1, 2, 3, 5 and 6 are the promises; 0 is "everything converges, and no step spins".
    pub promise: u8,
    /// What was seen.
    pub what: String,
}

/// Shorthand for a check's result.
pub type Checked = Result<(), Broken>;

/// Says that a promise did not hold.
pub fn broken(promise: u8, what: String) -> Checked {
    Err(Broken { promise, what })
}

/// What a publisher was asked to publish.
#[derive(Clone, Debug)]
struct Published {
    stream: String,
    payload: String,
    acknowledged: bool,
}

/// A life of a stream: its id and epoch.
pub type Life = (String, u64);

/// What is known of everything.
#[derive(Debug, Default)]
pub struct Oracle {
    published: BTreeMap<Tag, Published>,
    /// Timelines of each life; the last is the present one.
    timelines: BTreeMap<Life, Vec<Timeline>>,
    /// Streams that are there, by number.
    present: BTreeMap<u64, Life>,
    /// Whether retention is to keep what no snapshot covers.
    pub keep_unsnapshotted: bool,
    /// Up to which event each stream's newest snapshot reaches.
    snapshots: BTreeMap<u64, u64>,
    /// The highest floor that a life ever had.
    floors: BTreeMap<Life, u64>,
    /// Everything that was ever durable at the host.
    durable: BTreeSet<Tag>,
    /// Publishers whose outbox is an older copy, and for which a person accepted that events go out twice.
    repeats_accepted: BTreeSet<usize>,
    /// How many of theirs were stored twice.
    pub repeated: u64,
    /// Publishers whose outbox is an older copy.
    restored: BTreeSet<usize>,
    /// How many of theirs went out again under another counting, in a stream that was made anew.
    pub repeated_unasked: u64,
    /// What an operator took away: streams deleted, copies restored.
    discarded: BTreeSet<Tag>,
    /// Those of them that went with a deleted stream.
    deleted: BTreeSet<Tag>,
    /// Streams that were made anew for these publishers: with the stream, or with what a restored copy lacks, all went
    /// that it had stored under some counting.
    made_anew: BTreeSet<(String, usize)>,
    /// How many of those were stored again where they should not have been.
    pub came_back: u64,
    /// When the durable head of a life got where: (time, head), in order.
    heads: BTreeMap<Life, Vec<(u64, u64)>>,
}

impl Oracle {
    /// A publisher is asked to publish.
    pub fn on_publish(&mut self, tag: Tag, stream: &str, payload: &str) {
        let published = Published { stream: stream.to_owned(), payload: payload.to_owned(), acknowledged: false };
        self.published.insert(tag, published);
    }

    /// `publish` returned.
    pub fn on_acknowledged(&mut self, tag: Tag) {
        if let Some(published) = self.published.get_mut(&tag) {
            published.acknowledged = true;
        }
    }

    /// A publisher's outbox is now an older copy that holds these: what it does not hold and the host never had went
    /// with the lost one.
    pub fn on_outbox_restored(&mut self, node: usize, held: &BTreeSet<Tag>) {
        self.restored.insert(node);
        let of_node = Tag { node, n: 0 }..Tag { node: node + 1, n: 0 };
        let lost = self.published.range(of_node).map(|(tag, _)| *tag);
        self.discarded.extend(lost.filter(|tag| !held.contains(tag) && !self.durable.contains(tag)));
    }

    /// A person was told that events of this publisher may go out twice, and said to go on.
    pub fn on_repeats_accepted(&mut self, node: usize) {
        self.repeats_accepted.insert(node);
    }

    /// How many events were acknowledged to their publishers' callers.
    pub fn acknowledged(&self) -> usize {
        self.published.values().filter(|published| published.acknowledged).count()
    }

    /// Whether the host ever had it on disk.
    pub fn was_durable(&self, tag: Tag) -> bool {
        self.durable.contains(&tag)
    }

    /// The host's disk has these writes.
    ///
    /// # Errors
    /// Promise 2: an event stored twice, out of its producer's order, in another stream, or with another payload.
    pub fn on_durable(&mut self, now_ms: u64, writes: &[Write]) -> Checked {
        for write in writes {
            self.on_write(now_ms, write)?;
        }
        Ok(())
    }

    fn on_write(&mut self, now_ms: u64, write: &Write) -> Checked {
        match write {
            Write::Create { no, id, epoch } => {
                let life = (id.clone(), *epoch);
                self.snapshots.remove(no);
                self.timelines.insert(life.clone(), vec![Timeline::default()]);
                self.heads.entry(life.clone()).or_default().push((now_ms, 0));
                self.present.insert(*no, life);
                Ok(())
            }
            Write::Append { no, events, .. } => self.on_append(now_ms, *no, events),
            Write::Prune { no, floor } => {
                let life = self.present[no].clone();
                let covered = self.snapshots.get(no).copied().unwrap_or(0);
                if self.keep_unsnapshotted && *floor > covered + 1 {
                    return broken(1, format!("{}: pruned up to {floor}, with a snapshot up to {covered}", life.0));
                }
                let highest = self.floors.entry(life).or_default();
                *highest = (*highest).max(*floor);
                Ok(())
            }
            Write::Delete { no } => {
                if let Some(life) = self.present.remove(no) {
                    let countings = self.timeline(&life).map(Timeline::countings).unwrap_or_default();
                    self.made_anew.extend(countings.into_iter().map(|(node, _)| (life.0.clone(), node)));
                    let events = self.timelines.get(&life).into_iter().flatten().flat_map(|timeline| &timeline.events);
                    self.deleted.extend(events.filter_map(|event| Tag::of_kind(&event.kind)));
                    self.discard(&life, 0);
                }
                Ok(())
            }
            Write::Renew { no, epoch } => {
                let old = self.present[no].clone();
                let timeline = self.timeline(&old).cloned().unwrap_or_default();
                let life = (old.0.clone(), *epoch);
                let floor = self.floors.get(&old).copied().unwrap_or(1);
                self.floors.insert(life.clone(), floor);
                self.heads.insert(life.clone(), vec![(now_ms, timeline.events.len() as u64)]);
                self.timelines.insert(life.clone(), vec![timeline]);
                self.present.insert(*no, life);
                Ok(())
            }
            Write::Snapshot { no, snap } => {
                self.snapshots.insert(*no, snap.seq);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn on_append(&mut self, now_ms: u64, no: u64, events: &[StoredEvent]) -> Checked {
        let life = self.present[&no].clone();
        let timeline = self.timelines.get_mut(&life).and_then(|all| all.last_mut()).expect("created before");
        for event in events {
            let tag = match timeline.push(event.clone()) {
                Ok(tag) => tag,
                Err(misplaced) => {
                    let tag = Tag::of_kind(&event.kind);
                    // Declared in docs/simulation.md: an event of a deleted stream, whose request comes once more or late.
                    if tag.is_some_and(|tag| self.deleted.contains(&tag)) {
                        self.came_back += 1;
                        continue;
                    }
                    // What a person was told and accepted: it is there again, or behind what was published later.
                    if tag.is_some_and(|tag| self.repeats_accepted.contains(&tag.node)) {
                        self.repeated += 1;
                        self.durable.extend(tag);
                        continue;
                    }
                    // Declared in docs/simulation.md: the copy knows nothing of the counting that began with the stream's
                    // new life.
                    let is_unknowing = |tag: Tag| {
                        self.restored.contains(&tag.node) && self.made_anew.contains(&(life.0.clone(), tag.node))
                    };
                    if misplaced.is_of_another_counting && tag.is_some_and(is_unknowing) {
                        self.repeated_unasked += 1;
                        self.durable.extend(tag);
                        continue;
                    }
                    return broken(2, format!("{}: {}", life.0, misplaced.what));
                }
            };
            let asked = self.published.get(&tag);
            if asked.is_none_or(|asked| asked.stream != life.0 || asked.payload != event.payload) {
                return broken(2, format!("{}: {} is not what was published", life.0, event.kind));
            }
            self.durable.insert(tag);
        }
        let head = timeline.events.len() as u64;
        self.heads.entry(life).or_default().push((now_ms, head));
        Ok(())
    }

    /// The host was restored from an older copy.
    pub fn on_restore(&mut self, now_ms: u64, copy: &State) {
        let lives: Vec<Life> = self.present.values().cloned().collect();
        let countings_of = |oracle: &Oracle, id: &str| {
            oracle.present(id).and_then(|life| oracle.timeline(life)).map(Timeline::countings).unwrap_or_default()
        };
        let before: Vec<_> = lives.iter().map(|(id, _)| (id.clone(), countings_of(self, id))).collect();
        self.present.clear();
        for stream in copy.streams.values() {
            let life = (stream.id.clone(), stream.epoch);
            self.snapshots.insert(stream.no, stream.snapshot.as_ref().map_or(0, |snap| snap.seq));
            self.present.insert(stream.no, life.clone());
            let all = self.timelines.get_mut(&life).expect("the copy was durable once");
            // The copy is of some timeline of this life; the present one, unless it was copied before another restore.
            let same = |timeline: &&Timeline| timeline.holds(stream.head, stream.event(stream.head));
            let fork = all.iter().rev().find(same).cloned().unwrap_or_default().cut(stream.head);
            all.push(fork);
            // Nobody can have known of it before it was there again.
            self.heads.insert(life, vec![(now_ms, stream.head)]);
        }
        for (id, countings) in before {
            let left = countings_of(self, &id);
            self.made_anew.extend(countings.difference(&left).map(|(node, _)| (id.clone(), *node)));
        }
        for life in lives {
            let kept = copy.streams.values().find(|stream| (&stream.id, stream.epoch) == (&life.0, life.1));
            self.discard(&life, kept.map_or(0, |stream| stream.head));
        }
    }

    /// What the timelines of a life have behind `kept` is an operator's loss.
    fn discard(&mut self, life: &Life, kept: u64) {
        let kept = usize::try_from(kept).expect("fits");
        for timeline in self.timelines.get(life).into_iter().flatten() {
            self.discarded.extend(timeline.events.iter().skip(kept).filter_map(|event| Tag::of_kind(&event.kind)));
        }
    }

    /// The present timeline of a life.
    pub fn timeline(&self, life: &Life) -> Option<&Timeline> {
        self.timelines.get(life)?.last()
    }

    /// Every timeline that a life ever had.
    pub fn timelines(&self, life: &Life) -> &[Timeline] {
        self.timelines.get(life).map_or(&[], Vec::as_slice)
    }

    /// The present life of a stream.
    pub fn present(&self, id: &str) -> Option<&Life> {
        self.present.values().find(|life| life.0 == id)
    }

    /// A producer's snapshot of a stream: a summary of its events up to `seq` that only they give.
    pub fn summary(&self, life: &Life, seq: u64) -> Option<String> {
        Some(summary(&self.timeline(life)?.events, seq))
    }

    /// Whether a reader at (epoch, seq) has reason to start again: nothing is given up without one.
    pub fn may_start_again(&self, id: &str, epoch: u64, seq: u64) -> bool {
        let life = (id.to_owned(), epoch);
        let passed_by = self.floors.get(&life).is_some_and(|floor| *floor > seq + 1);
        passed_by || self.present(id) != Some(&life) || self.timelines(&life).len() > 1
    }

    /// Whether a follower that shows itself live at (epoch, seq) is no further behind than `lag_ms`.
    ///
    /// # Errors
    /// Promise 6.
    pub fn check_live(&self, now_ms: u64, id: &str, at: Option<(u64, u64)>, lag_ms: u64) -> Checked {
        let since = now_ms.saturating_sub(lag_ms);
        let Some(life) = self.present(id) else { return Ok(()) };
        let history = self.heads.get(life).map_or(&[][..], Vec::as_slice);
        // The life must have been there before the bound for its follower to know of it.
        let Some(&(_, owed)) = history.iter().rev().find(|(at_ms, _)| *at_ms <= since) else { return Ok(()) };
        match at {
            Some((epoch, seq)) if epoch == life.1 && seq >= owed => Ok(()),
            at => broken(6, format!("{id} is live at {at:?}, and {:?} has held {owed} for {lag_ms} ms", life)),
        }
    }

    /// At the end: everything acknowledged is at the host, unless an operator took it away.
    ///
    /// # Errors
    /// Promise 1.
    pub fn check_all_arrived(&self) -> Checked {
        for (tag, published) in &self.published {
            let held = self.present(&published.stream).and_then(|life| self.timeline(life));
            let there = held.is_some_and(|timeline| timeline.tags.contains(tag));
            if published.acknowledged && !there && !self.discarded.contains(tag) {
                return broken(1, format!("{} was acknowledged, and the host does not have it", tag.to_kind()));
            }
        }
        Ok(())
    }

    /// Every acknowledged event is either in its publisher's outbox or was durable at the host.
    ///
    /// # Errors
    /// Promise 1.
    pub fn check_kept(&self, node: usize, outbox: &BTreeSet<Tag>) -> Checked {
        let of_node = Tag { node, n: 0 }..Tag { node: node + 1, n: 0 };
        for (tag, published) in self.published.range(of_node) {
            let is_kept = outbox.contains(tag) || self.durable.contains(tag) || self.discarded.contains(tag);
            if published.acknowledged && !is_kept {
                let what = format!("{} was acknowledged, is not in the outbox and never was durable", tag.to_kind());
                return broken(1, what);
            }
        }
        Ok(())
    }

    /// What a store holds of a stream is what some timeline of that life has, from just behind `base` to `seq`.
    ///
    /// # Errors
    /// Promise 2 or 3.
    pub fn check_rows(&self, life: &Life, base: u64, seq: u64, rows: &[StoredEvent]) -> Checked {
        if seq != base + rows.len() as u64 {
            let what = format!("{}: cursor {seq}, with {} rows applied after {base}", life.0, rows.len());
            return broken(3, what);
        }
        let (from, to) = (usize::try_from(base).expect("fits"), usize::try_from(seq).expect("fits"));
        let fits = |timeline: &Timeline| timeline.events.get(from..to).is_some_and(|held| held == rows);
        if rows.is_empty() || self.timelines(life).iter().any(fits) {
            return Ok(());
        }
        broken(2, format!("{:?}: what was applied after {base} up to {seq} is not what the host had durable", life))
    }
}

/// What a producer's snapshot says of the events up to `seq`.
pub fn summary(events: &[StoredEvent], seq: u64) -> String {
    let upto = usize::try_from(seq).expect("fits").min(events.len());
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    for byte in events[..upto].iter().flat_map(|event| event.kind.bytes()) {
        sum = (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{{\"sum\":\"{sum:016x}\",\"upto\":{seq}}}")
}

/// A snapshot with this payload.
pub fn snapshot(seq: u64, payload: String) -> Snap {
    let hash = crate::workload::hash(&payload);
    Snap { seq, payload, hash, mark: 0 }
}
