//! The module's reducers and procedures, as the contract decides them.
//!
//! What always holds: the order of the checks is the module's (limits, stream id, epoch, numbers, hashes); a refused
//! reducer changes nothing; every procedure answers from what is committed, and is told once that is durable.

use std::collections::BTreeSet;

use muster_contract::append::check_batch;
use muster_contract::cursor::{Epoch, Position, Seq};
use muster_contract::page::{
    Answer, NewEvent, Page, ProducerState, Snapshot, Stale, StoredEvent, StreamInfo, StreamList, digest,
};
use muster_contract::pattern::StreamPattern;
use muster_contract::producer::{Admit, Run, admit};
use muster_contract::resume::{Resume, StreamBounds, decide};
use muster_contract::retention::{Held, Old, Policy, cut};
use muster_contract::rows::Signal;
use muster_contract::stream::StreamId;
use muster_contract::{Code, Refusal};
use sha2::{Digest, Sha256};
use spacetimedb_lib::Timestamp;

use super::Host;
use super::state::{Snap, Stream, Write};
use crate::coverage::Coverage;
use crate::wire::{ConnId, Down, Reply, Request, RequestId};
use crate::workload::Flaw;

/// How often a page rides on the signals of an append, in thousandths.
const RIDE_PERMILLE: u64 = 700;

/// A call of `append_encoded`.
struct Append<'a> {
    stream: &'a str,
    epoch: u64,
    producer: &'a str,
    first: u64,
    events: &'a [NewEvent],
}

impl Host {
    /// A session begins.
    pub fn connect(&mut self, conn: ConnId, node: usize) {
        self.commit(vec![Write::Session { conn, node }]);
        self.tell_durable(conn, Down::Greeting);
    }

    /// A session ends, however.
    pub fn disconnect(&mut self, conn: ConnId) {
        self.commit(vec![Write::SessionEnd { conn }]);
    }

    /// What the sessions of a node were granted ends: they follow nothing any more, hear so unless it is silent, and
    /// whatever they ask next is refused.
    pub fn end_grants(&mut self, node: usize, silent: bool) {
        let of = |(conn, at): (&ConnId, &usize)| (*at == node).then_some(*conn);
        let conns: BTreeSet<ConnId> = self.live.sessions.iter().filter_map(of).collect();
        let follows: Vec<_> = self.live.follows.keys().filter(|(conn, _)| conns.contains(conn)).copied().collect();
        self.ended.extend(conns);
        if follows.is_empty() {
            return;
        }
        self.commit(
            follows.iter().map(|(conn, slot)| Write::Follow { conn: *conn, slot: *slot, pattern: None }).collect(),
        );
        if self.is_mute || silent {
            return;
        }
        for (conn, slot) in follows {
            self.tell_durable(conn, Down::Signal { slot, stream: 0, what: Signal::FollowEnded, page: None });
        }
    }

    /// A session calls.
    pub fn call(&mut self, conn: ConnId, id: RequestId, request: &Request, coverage: &mut Coverage) {
        let ended = || Refusal::new(Code::Unauthorized, "the grant has ended").to_wire();
        let is_over = self.ended.contains(&conn);
        if is_over {
            coverage.hit("host: refused, the grant has ended");
        }
        let reply = match request {
            Request::ListStreams { .. } if is_over => Reply::Streams(Answer::Refused(ended())),
            Request::ReadPage { .. } if is_over => Reply::Page(Answer::Refused(ended())),
            Request::ReadSnapshot { .. } if is_over => Reply::Snapshot(Answer::Refused(ended())),
            Request::Follow { .. } | Request::Checkpoint { .. } if is_over => Reply::Reducer(Err(ended())),
            Request::Append { stream, epoch, producer, first, events } => {
                let append = Append { stream, epoch: *epoch, producer, first: *first, events };
                Reply::Reducer(self.append(&append, coverage).map_err(|refusal| refusal.to_wire()))
            }
            Request::ProducerState { producer, streams } => Reply::States(Answer::Ok(self.states(producer, streams))),
            Request::ListStreams { pattern, after_no } => Reply::Streams(self.list(pattern, *after_no)),
            Request::ReadPage { stream, epoch, after, after_mark, max_events, .. } => {
                Reply::Page(self.page(stream, *epoch, *after, *after_mark, *max_events, coverage))
            }
            Request::ReadSnapshot { stream, epoch } => Reply::Snapshot(self.snapshot(stream, *epoch)),
            Request::Follow { slot, pattern } => {
                self.commit(vec![Write::Follow { conn, slot: *slot, pattern: Some(pattern.clone()) }]);
                Reply::Reducer(Ok(()))
            }
            Request::Checkpoint { stream, client, epoch, seq } => {
                self.checkpoint(stream, client, *epoch, *seq);
                Reply::Reducer(Ok(()))
            }
        };
        match reply {
            Reply::Reducer(Err(_)) => self.tell_now(conn, Down::Reply(id, reply)),
            reply => self.tell_durable(conn, Down::Reply(id, reply)),
        }
    }

    fn append(&mut self, call: &Append<'_>, coverage: &mut Coverage) -> Result<(), Refusal> {
        if self.refuse_permille > 0 && self.rng.chance(self.refuse_permille) {
            coverage.hit("host: append refused in passing");
            return Err(Refusal::new(Code::Internal, "not now"));
        }
        let size = check_batch(call.events.iter().map(|event| (event.kind.as_str(), event.payload.len())))?;
        let count = u32::try_from(size.events).expect("checked");
        let run = Run::new(call.first, count).ok_or_else(|| Refusal::new(Code::InvalidBatch, "no number is 0"))?;
        let id = StreamId::parse(call.stream).map_err(|error| Refusal::new(Code::BadStreamId, error.to_string()))?;
        let held = self.live.stream(call.stream);
        if call.epoch != 0 && held.is_none_or(|stream| stream.epoch != call.epoch) {
            coverage.hit("host: append refused, epoch changed");
            return Err(Refusal::new(Code::EpochChanged, "the stream has another epoch"));
        }
        let (no, epoch) = held.map_or((0, 0), |stream| (stream.no, stream.epoch));
        let producer = self.live.producers.get(call.producer).copied();
        let last = held.zip(producer).and_then(|(stream, no)| stream.cursors.get(&no).copied()).unwrap_or(0);
        let skip = match admit(last, run) {
            Admit::Duplicate => {
                coverage.hit("host: duplicate batch dropped");
                return Ok(());
            }
            Admit::Hole { expected } => {
                coverage.hit("host: producer hole refused");
                return Err(Refusal::new(Code::ProducerHole, "numbers are missing").expecting(expected));
            }
            Admit::Append { skip } => skip,
        };
        if skip > 0 {
            coverage.hit("host: overlapping batch cut");
        }
        for event in call.events {
            if <[u8; 32]>::from(Sha256::digest(event.payload.as_bytes())) != digest(event.hash) {
                return Err(Refusal::new(Code::PayloadHashMismatch, "the payload is not what was hashed"));
            }
        }
        let mut writes = Vec::new();
        let producer = producer.unwrap_or_else(|| {
            let no = self.live.producers.len() as u64 + 1;
            writes.push(Write::Producer { no, id: call.producer.to_owned() });
            no
        });
        let head = self.live.stream(call.stream).map_or(0, |stream| stream.head);
        let (no, what) = if epoch == 0 {
            let no = self.live.last_no + 1;
            let epoch = Epoch::from_random(self.rng.bits()).get();
            writes.push(Write::Create { no, id: call.stream.to_owned(), epoch });
            (no, Signal::NewStream)
        } else {
            (no, Signal::Ahead)
        };
        let fresh = call.events.iter().enumerate().skip(skip as usize);
        let events = fresh.map(|(index, event)| stored(event, producer, call.first + index as u64)).collect();
        writes.push(Write::Append { no, events, producer, number: run.last() });
        self.commit(writes);
        // Where the page is small the module lets it ride, of which this knows nothing: so by chance.
        let rides = what == Signal::Ahead && self.rng.chance(RIDE_PERMILLE);
        let page = match rides.then(|| self.page(call.stream, 0, head, 0, count, coverage)) {
            Some(Answer::Ok(page)) if page.first == head + 1 && page.events.len() as u64 + head == page.head => {
                Some(page)
            }
            _ => None,
        };
        self.signal(&id, no, what, page);
        Ok(())
    }

    /// Tells every follow that matches, once this transaction is durable.
    fn signal(&mut self, id: &StreamId, no: u64, what: Signal, page: Option<Page>) {
        if self.is_mute {
            return;
        }
        let matching: BTreeSet<String> = StreamPattern::that_match(id).collect();
        let to: Vec<_> =
            self.live.follows.iter().filter(|(_, pattern)| matching.contains(*pattern)).map(|(key, _)| *key).collect();
        for (conn, slot) in to {
            self.tell_durable(conn, Down::Signal { slot, stream: no, what, page: page.clone() });
        }
    }

    fn states(&self, producer: &str, streams: &[String]) -> Vec<ProducerState> {
        let producer = self.live.producers.get(producer);
        let state = |id: &String| match self.live.stream(id) {
            None => ProducerState::without_event(0, 0, 0),
            Some(stream) => {
                let number = producer.and_then(|no| stream.cursors.get(no).copied()).unwrap_or(0);
                let state = ProducerState::without_event(stream.epoch, number, stream.head);
                let is_last = |event: &&StoredEvent| Some(&event.producer) == producer && event.number == number;
                match stream.events.iter().rev().find(is_last) {
                    Some(event) => ProducerState { hash: event.hash, at: event.at, ..state },
                    None => state,
                }
            }
        };
        streams.iter().map(state).collect()
    }

    fn list(&self, pattern: &str, after_no: u64) -> Answer<StreamList> {
        let Ok(pattern) = StreamPattern::parse(pattern) else {
            return Answer::Refused(Refusal::new(Code::BadSubscription, "no pattern").to_wire());
        };
        if let StreamPattern::Exact(id) = &pattern {
            let found = self.live.stream(id.as_str()).filter(|stream| stream.no > after_no);
            let resume_after = found.map_or(after_no, |stream| stream.no);
            return Answer::Ok(StreamList {
                streams: found.into_iter().map(info).collect(),
                more: false,
                resume_after,
            });
        }
        // Lists are cut short after a few, as the real one is after a thousand.
        let mut looked = self.live.streams.range(after_no + 1..).map(|(_, stream)| stream);
        let some: Vec<_> = looked.by_ref().take(2).collect();
        let more = looked.next().is_some();
        let resume_after = some.last().map_or(after_no, |stream| stream.no);
        let matches = |stream: &&&Stream| StreamId::parse(&stream.id).is_ok_and(|id| pattern.matches(&id));
        let streams = some.iter().filter(matches).map(|stream| info(stream)).collect();
        Answer::Ok(StreamList { streams, more, resume_after })
    }

    fn page(
        &self,
        id: &str,
        epoch: u64,
        after: u64,
        after_mark: u64,
        max: u32,
        coverage: &mut Coverage,
    ) -> Answer<Page> {
        let Some(stream) = self.live.stream(id) else {
            coverage.hit("host: page stale, stream missing");
            return Answer::Stale(Stale {
                reason: "stream_missing".to_owned(),
                epoch: 0,
                floor: 1,
                head: 0,
                snapshot_seq: 0,
            });
        };
        // A host that answers from the life that the stream has now, whichever was asked for.
        let is_wrong_life = self.flaw == Some(Flaw::Epoch)
            && epoch != stream.epoch
            && (stream.floor - 1..=stream.head).contains(&after);
        let after_mark = if is_wrong_life { 0 } else { after_mark };
        let asked = Epoch::new(if is_wrong_life || epoch == 0 { stream.epoch } else { epoch }).expect("not 0");
        let has = Position { epoch: asked, seq: Seq::new(after) };
        if let Resume::Stale { reason, .. } = decide(Some(has), Some(&bounds(stream)), None) {
            coverage.hit(match reason.as_str() {
                "retention_floor_breach" => "host: page stale, floor breach",
                "epoch_changed" => "host: page stale, epoch changed",
                _ => "host: page stale, head behind cursor",
            });
            return Answer::Stale(stale(stream, reason.as_str()));
        }
        if after_mark != 0 && after_mark != stream.mark(after) {
            coverage.hit("host: page stale, history diverged");
            return Answer::Stale(stale(stream, "history_diverged"));
        }
        let count = (max.max(1) as usize).min(self.config.page_events_max);
        let first = match self.flaw {
            Some(Flaw::Overlap) => after.saturating_sub(2).max(stream.floor),
            Some(Flaw::Gap) => (after + 2).min(stream.head + 1),
            _ => after + 1,
        };
        let skip = usize::try_from(first.saturating_sub(stream.floor)).expect("fits");
        let events: Vec<_> = stream.events.iter().skip(skip).take(count + skip).cloned().collect();
        let mark = stream.mark(first - 1);
        let mut page = Page { epoch: stream.epoch, floor: stream.floor, head: stream.head, first, mark, events };
        page.events.truncate(count + usize::try_from((after + 1).saturating_sub(first)).expect("fits"));
        if self.flaw == Some(Flaw::Damage)
            && let Some(event) = page.events.last_mut()
        {
            event.payload.push(' ');
        }
        Answer::Ok(page)
    }

    fn snapshot(&self, id: &str, epoch: u64) -> Answer<Option<Snapshot>> {
        let Some(stream) = self.live.stream(id) else { return Answer::Ok(None) };
        if epoch != 0 && epoch != stream.epoch {
            return Answer::Stale(stale(stream, "epoch_changed"));
        }
        let at = Timestamp::UNIX_EPOCH;
        Answer::Ok(stream.snapshot.as_ref().map(|snap| Snapshot {
            epoch: stream.epoch,
            seq: snap.seq,
            payload: snap.payload.clone(),
            hash: snap.hash,
            mark: snap.mark,
            at,
        }))
    }

    fn checkpoint(&mut self, id: &str, client: &str, epoch: u64, seq: u64) {
        let Some(stream) = self.live.stream(id).filter(|stream| stream.epoch == epoch && seq <= stream.head) else {
            return;
        };
        let no = stream.no;
        let before = self.live.checkpoints.get(&(no, client.to_owned()));
        if before.is_none_or(|(was, at)| *was != epoch || *at < seq) {
            self.commit(vec![Write::Checkpoint { no, client: client.to_owned(), epoch, seq }]);
        }
    }

    /// A producer's snapshot of a stream up to `seq`.
    pub fn put_snapshot(&mut self, id: &str, snap: Snap) -> bool {
        let Some(stream) = self.live.stream(id) else { return false };
        if snap.seq > stream.head || snap.seq <= snapshot_seq(stream) || snap.seq + 1 < stream.floor {
            return false;
        }
        let (no, mark) = (stream.no, stream.mark(snap.seq));
        self.commit(vec![Write::Snapshot { no, snap: Snap { mark, ..snap } }]);
        true
    }

    /// Retention looks at every stream. Returns how many lost events.
    pub fn sweep(&mut self) -> usize {
        let mut writes = Vec::new();
        let policy = Policy {
            age_s: 0,
            events: self.config.keep_events,
            bytes: 0,
            keep_unsnapshotted: self.config.keep_unsnapshotted,
        };
        for stream in self.live.streams.values() {
            let snapshot_seq = snapshot_seq(stream);
            let held = Held { floor: stream.floor, head: stream.head, bytes: 0, snapshot_seq };
            // A sweep does a bounded amount of work.
            let oldest = stream.events.iter().take(25).map(|_| Old { bytes: 0, stored_at_us: 0 });
            let floor = cut(&policy, &held, 0, oldest).floor;
            if floor > stream.floor {
                writes.push(Write::Prune { no: stream.no, floor });
            }
        }
        let pruned = writes.len();
        if pruned > 0 {
            self.commit(writes);
        }
        pruned
    }

    /// The operator deletes a stream.
    pub fn delete_stream(&mut self, id: &str) -> bool {
        let Some(no) = self.live.by_id.get(id).copied() else { return false };
        let id = StreamId::parse(id).expect("it was made with this id");
        self.commit(vec![Write::Delete { no }]);
        self.signal(&id, no, Signal::Gone, None);
        true
    }

    /// The operator says that this host was restored: every stream gets another epoch.
    pub fn renew_epochs(&mut self) {
        let nos: Vec<_> = self.live.streams.keys().copied().collect();
        let writes: Vec<_> =
            nos.iter().map(|no| Write::Renew { no: *no, epoch: Epoch::from_random(self.rng.bits()).get() }).collect();
        if writes.is_empty() {
            return;
        }
        self.commit(writes);
        for no in nos {
            let id = StreamId::parse(&self.live.streams[&no].id).expect("it was made with this id");
            self.signal(&id, no, Signal::NewStream, None);
        }
    }
}

fn stored(event: &NewEvent, producer: u64, number: u64) -> StoredEvent {
    StoredEvent {
        kind: event.kind.clone(),
        payload: event.payload.clone(),
        hash: event.hash,
        at: event.at,
        producer,
        number,
    }
}

fn info(stream: &Stream) -> StreamInfo {
    StreamInfo {
        no: stream.no,
        id: stream.id.clone(),
        epoch: stream.epoch,
        floor: stream.floor,
        head: stream.head,
        snapshot_seq: snapshot_seq(stream),
    }
}

fn snapshot_seq(stream: &Stream) -> u64 {
    stream.snapshot.as_ref().map_or(0, |snap| snap.seq)
}

fn stale(stream: &Stream, reason: &str) -> Stale {
    Stale {
        reason: reason.to_owned(),
        epoch: stream.epoch,
        floor: stream.floor,
        head: stream.head,
        snapshot_seq: snapshot_seq(stream),
    }
}

fn bounds(stream: &Stream) -> StreamBounds {
    let snapshot = stream.snapshot.as_ref().map(|snap| Seq::new(snap.seq));
    let epoch = Epoch::new(stream.epoch).expect("never 0");
    StreamBounds::new(epoch, Seq::new(stream.floor), Seq::new(stream.head), snapshot)
        .expect("the model keeps them sound")
}
