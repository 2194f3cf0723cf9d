//! The outbox's writer and reader, late and unreliable as disks are.
//!
//! What always holds: one transaction is written at a time, in order; it is committed when it is taken up and synced when
//! it is answered, so a crash in between may keep it or not. `publish` returns once its events are synced.

use std::rc::Rc;

use muster_contract::page::NewEvent;
use muster_publisher::core::{Event, StreamNo, producer_of};
use spacetimedb_lib::Timestamp;

use super::outbox::OutboxTx;
use super::{Job, Publisher};
use crate::context::{Context, Happening, ToNode};
use crate::oracle::{Broken, Checked, Tag, broken};
use crate::process::Fate;
use crate::wire::Request;
use crate::workload::hash;

impl Publisher {
    /// Takes on events of its application.
    pub(super) fn publish(&mut self, ctx: &mut Context, stream: usize, count: u32, equal: bool) {
        let id = ctx.setting.streams[stream].clone();
        let mut tags = Vec::new();
        let mut events = Vec::new();
        for _ in 0..count {
            self.published += 1;
            let tag = Tag { node: self.node, n: self.published };
            let payload = if equal { "{}".to_owned() } else { format!("{{\"n\":{},\"of\":{}}}", tag.n, tag.node) };
            ctx.oracle.on_publish(tag, &id, &payload);
            let at = Timestamp::from_micros_since_unix_epoch((self.wall_ms + ctx.now_ms as i64) * 1_000);
            events.push(NewEvent { kind: tag.to_kind(), hash: hash(&payload), payload, at });
            tags.push(tag);
        }
        ctx.say(&self.name, format_args!("publishes {count} on {id} up to {}", self.published));
        self.process_mut().jobs.push_back(Job::Publish { stream: id, tags, events });
    }

    /// The writer takes up its next job: its transaction is committed now and synced when [`ToNode::Written`] comes.
    pub(super) fn write_next(&mut self, ctx: &mut Context) {
        let Some(process) = self.process.as_mut().filter(|process| process.writing.is_none()) else { return };
        let Some(job) = process.jobs.pop_front() else { return };
        let tx = match &job {
            Job::Publish { stream, events, .. } => OutboxTx::Publish(stream.clone(), events.clone()),
            Job::Tx(tx) => tx.clone(),
        };
        let ok = self.disk.commit(tx).is_ok();
        if !ok {
            ctx.coverage.hit("outbox refused a write, disk full");
        }
        process.writing = Some((job, ok));
        let (low, high) = ctx.setting.disk_ms;
        let wait_ms = self.disk_rng.between(low, high);
        ctx.at(ctx.now_ms + wait_ms, Happening::Node(self.node, self.life, ToNode::Written));
    }

    pub(super) fn written(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        let Some((job, ok)) = self.process_mut().writing.take() else { return Ok(Fate::Alive) };
        if self.doom.strikes() {
            return Ok(Fate::Dead);
        }
        if ok {
            self.disk.sync();
        }
        // Only these take events out of an outbox.
        if matches!(job, Job::Tx(OutboxTx::Save(_) | OutboxTx::Forget(_))) {
            ctx.oracle.check_kept(self.node, &self.disk.synced().tags())?;
        }
        let fate = match job {
            Job::Publish { stream, tags, .. } if ok => {
                for tag in tags {
                    ctx.oracle.on_acknowledged(tag);
                }
                let outbox = self.disk.seen();
                let no = outbox.no(&stream).expect("just written");
                let record = outbox.streams[&no].record;
                self.feed(ctx, Event::Stored(record))
            }
            Job::Publish { .. } => Ok(Fate::Alive),
            Job::Tx(OutboxTx::Save(record)) => self.feed(ctx, Event::Saved { stream: record.no, ok }),
            Job::Tx(OutboxTx::Forget(_)) => self.feed(ctx, Event::Forgotten { ok }),
            Job::Tx(OutboxTx::Accept(no)) => {
                let record = self.disk.seen().streams[&no].record;
                self.feed(ctx, Event::Reset(record))
            }
            Job::Tx(OutboxTx::Park(no)) => {
                if !ok {
                    // What cannot be written is not seen by the person who must decide about it: once more.
                    self.process_mut().jobs.push_back(Job::Tx(OutboxTx::Park(no)));
                }
                Ok(Fate::Alive)
            }
            Job::Tx(OutboxTx::Publish(..)) => Ok(Fate::Alive),
        }?;
        if fate == Fate::Alive {
            self.write_next(ctx);
        }
        Ok(fate)
    }

    /// Reads the next batch and sends it.
    pub(super) fn read(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        let Some(batch) = self.process_mut().reads.pop_front() else { return Ok(Fate::Alive) };
        if self.process_mut().conn != Some(batch.conn) {
            return Ok(Fate::Alive);
        }
        if self.read_errors > 0 {
            self.read_errors -= 1;
            ctx.coverage.hit("publisher: batch could not be read");
            let message = "the disk could not be read".to_owned();
            return self.feed(ctx, Event::NotTaken { call: batch.call, damaged: false, message });
        }
        let Some(stream) = self.disk.seen().streams.get(&batch.stream) else {
            return Err(self.wrong(1, format!("a batch of a stream that is not there: {batch:?}")));
        };
        let mut events = Vec::new();
        let mut bytes = 0;
        for (local, event) in stream.events.range(batch.first..).take(batch.events_max as usize) {
            let size = event.kind.len() + event.payload.len();
            if *local != batch.first + events.len() as u64 || (!events.is_empty() && bytes + size > batch.bytes_max) {
                break;
            }
            bytes += size;
            events.push(event.clone());
        }
        if events.is_empty() {
            return Err(self.wrong(1, format!("a batch of events that are not in the outbox: {batch:?}")));
        }
        let (stream, count) = (stream.id.clone(), events.len() as u32);
        let producer = producer_of(self.id, batch.generation).to_string();
        ctx.say(
            &self.name,
            format_args!(
                "sends {stream} {}+{count} as {}.{} in epoch {}",
                batch.first, batch.generation, batch.number, batch.epoch
            ),
        );
        let request =
            Request::Append { stream, epoch: batch.epoch, producer, first: batch.number, events: Rc::new(events) };
        self.ask(ctx, batch.conn, batch.call, request);
        self.feed(ctx, Event::Taken { call: batch.call, count, bytes })
    }

    pub(super) fn wrong(&self, promise: u8, what: String) -> Broken {
        Broken { promise, what: format!("{}: {what}", self.name) }
    }

    /// Only what the host once had on disk is forgotten.
    pub(super) fn check_forget(&self, ctx: &Context, upto: &[(StreamNo, u64)]) -> Checked {
        for (no, confirmed) in upto {
            let Some(stream) = self.disk.seen().streams.get(no) else { continue };
            for event in stream.events.range(..=confirmed).map(|(_, event)| event) {
                if Tag::of_kind(&event.kind).is_some_and(|tag| !ctx.oracle.was_durable(tag)) {
                    return broken(1, format!("{} forgets {}, which never was durable", self.name, event.kind));
                }
            }
        }
        Ok(())
    }
}
