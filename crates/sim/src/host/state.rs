//! What the host's database holds, and the writes that change it.
//!
//! What always holds: a [`Write`] carries everything it changes, so that applying the same writes to an older copy gives
//! the same state: that is how the durable copy follows the live one, and what a crash takes back.

use std::collections::{BTreeMap, VecDeque};

use muster_contract::page::{StoredEvent, WireHash, mark};

/// A stream and what hangs on it.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    /// Its number in the module.
    pub no: u64,
    /// Its id.
    pub id: String,
    /// Its epoch.
    pub epoch: u64,
    /// The highest `seq` given.
    pub head: u64,
    /// The lowest `seq` held.
    pub floor: u64,
    /// `floor..=head`.
    pub events: VecDeque<StoredEvent>,
    /// The mark of each held event.
    pub marks: VecDeque<u64>,
    /// The mark of the event below the floor; 0 below the first.
    pub floor_mark: u64,
    /// The newest snapshot.
    pub snapshot: Option<Snap>,
    /// The last accepted number of each producer.
    pub cursors: BTreeMap<u64, u64>,
}

impl Stream {
    /// The mark of the event `seq`, which is held or the one below the floor; 0 for none.
    pub fn mark(&self, seq: u64) -> u64 {
        match seq.checked_sub(self.floor).and_then(|index| usize::try_from(index).ok()) {
            Some(index) => self.marks.get(index).copied().unwrap_or(0),
            None => self.floor_mark,
        }
    }

    /// The event `seq`, if it is held.
    pub fn event(&self, seq: u64) -> Option<&StoredEvent> {
        let index = usize::try_from(seq.checked_sub(self.floor)?).ok()?;
        self.events.get(index)
    }
}

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Snap {
    /// Up to which `seq`.
    pub seq: u64,
    /// Canonical JSON.
    pub payload: String,
    /// Of the payload.
    pub hash: WireHash,
    /// The mark of the event `seq`.
    pub mark: u64,
}

/// Everything the database holds.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Streams by number.
    pub streams: BTreeMap<u64, Stream>,
    /// Stream numbers by id.
    pub by_id: BTreeMap<String, u64>,
    /// Producers' numbers by id.
    pub producers: BTreeMap<String, u64>,
    /// Live sessions, as `active_connection` has them.
    pub sessions: BTreeMap<u64, usize>,
    /// What sessions follow: (connection, slot) to pattern.
    pub follows: BTreeMap<(u64, u32), String>,
    /// Acknowledged cursors: (stream, client) to (epoch, seq).
    pub checkpoints: BTreeMap<(u64, String), (u64, u64)>,
    /// The highest number ever given to a stream.
    pub last_no: u64,
}

/// One change.
#[derive(Clone, Debug)]
pub enum Write {
    /// A new stream.
    Create {
        /// Its number.
        no: u64,
        /// Its id.
        id: String,
        /// Its epoch.
        epoch: u64,
    },
    /// A new producer.
    Producer {
        /// Its number.
        no: u64,
        /// Its id.
        id: String,
    },
    /// Events at the end of a stream, and their producer's cursor.
    Append {
        /// The stream.
        no: u64,
        /// In order.
        events: Vec<StoredEvent>,
        /// Whose.
        producer: u64,
        /// The producer's last number.
        number: u64,
    },
    /// A stream holds nothing below `floor` any more.
    Prune {
        /// The stream.
        no: u64,
        /// Its floor.
        floor: u64,
    },
    /// A newer snapshot.
    Snapshot {
        /// The stream.
        no: u64,
        /// The snapshot.
        snap: Snap,
    },
    /// A stream is gone, with all that hangs on it.
    Delete {
        /// The stream.
        no: u64,
    },
    /// A stream begins another life with the events it has.
    Renew {
        /// The stream.
        no: u64,
        /// Its epoch.
        epoch: u64,
    },
    /// A session begins.
    Session {
        /// Its connection.
        conn: u64,
        /// Whose.
        node: usize,
    },
    /// A session ends.
    SessionEnd {
        /// Its connection.
        conn: u64,
    },
    /// A session follows a pattern.
    Follow {
        /// Its connection.
        conn: u64,
        /// The session's number of it.
        slot: u32,
        /// What it follows; `None` to stop.
        pattern: Option<String>,
    },
    /// A client has applied a stream so far.
    Checkpoint {
        /// The stream.
        no: u64,
        /// The client.
        client: String,
        /// The epoch it meant.
        epoch: u64,
        /// Its cursor.
        seq: u64,
    },
}

impl State {
    /// The stream with this id.
    pub fn stream(&self, id: &str) -> Option<&Stream> {
        self.streams.get(self.by_id.get(id)?)
    }

    /// Applies a change.
    ///
    /// # Panics
    /// For a change of a stream that is not there: the doors look first.
    pub fn apply(&mut self, write: &Write) {
        match write {
            Write::Create { no, id, epoch } => {
                let stream = Stream { no: *no, id: id.clone(), epoch: *epoch, floor: 1, ..Stream::default() };
                self.last_no = self.last_no.max(*no);
                self.by_id.insert(id.clone(), *no);
                self.streams.insert(*no, stream);
            }
            Write::Producer { no, id } => {
                self.producers.insert(id.clone(), *no);
            }
            Write::Append { no, events, producer, number } => {
                let stream = self.stream_mut(*no);
                for event in events {
                    let before = stream.mark(stream.head);
                    stream.marks.push_back(mark(before, event.hash, event.at, event.producer, event.number));
                    stream.events.push_back(event.clone());
                    stream.head += 1;
                }
                stream.cursors.insert(*producer, *number);
            }
            Write::Prune { no, floor } => {
                let stream = self.stream_mut(*no);
                let gone = usize::try_from(floor - stream.floor).expect("fits");
                stream.floor_mark = stream.mark(floor - 1);
                stream.events.drain(..gone);
                stream.marks.drain(..gone);
                // A snapshot with a gap behind it is none that anybody could go on from.
                stream.snapshot = stream.snapshot.take().filter(|snap| snap.seq + 1 >= *floor);
                stream.floor = *floor;
            }
            Write::Snapshot { no, snap } => self.stream_mut(*no).snapshot = Some(snap.clone()),
            Write::Delete { no } => self.delete(*no),
            // The events stay, and so must the producers' numbers of them.
            Write::Renew { no, epoch } => self.stream_mut(*no).epoch = *epoch,
            Write::Session { conn, node } => {
                self.sessions.insert(*conn, *node);
            }
            Write::SessionEnd { conn } => {
                self.sessions.remove(conn);
                self.follows.retain(|(of, _), _| of != conn);
            }
            Write::Follow { conn, slot, pattern: Some(pattern) } => {
                self.follows.insert((*conn, *slot), pattern.clone());
            }
            Write::Follow { conn, slot, pattern: None } => {
                self.follows.remove(&(*conn, *slot));
            }
            Write::Checkpoint { no, client, epoch, seq } => {
                self.checkpoints.insert((*no, client.clone()), (*epoch, *seq));
            }
        }
    }

    fn stream_mut(&mut self, no: u64) -> &mut Stream {
        self.streams.get_mut(&no).expect("the doors look first")
    }

    fn delete(&mut self, no: u64) {
        if let Some(stream) = self.streams.remove(&no) {
            self.by_id.remove(&stream.id);
        }
        self.checkpoints.retain(|(of, _), _| *of != no);
    }
}
