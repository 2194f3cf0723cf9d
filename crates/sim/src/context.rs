//! What everybody in the simulated world shares: time, the queue of what will happen, the network, who keeps count.
//!
//! What always holds: what is due at the same moment happens in the order in which it was put into the queue.

use std::collections::BTreeMap;
use std::fmt::Arguments;

use crate::coverage::Coverage;
use crate::net::{Network, Way};
use crate::oracle::Oracle;
use crate::trace::Trace;
use crate::wire::{ConnId, Down, Request, RequestId};
use crate::workload::Setting;

/// What happens to a node's process.
#[derive(Clone, Debug)]
pub enum ToNode {
    /// Its next life begins.
    Start,
    /// Its core asked to be woken.
    Tick,
    /// Something arrives.
    Down(ConnId, Down),
    /// It learns that a connection is gone, or was never made.
    Closed(ConnId),
    /// Late word that a connection is gone which its core has given up before, by the core's own number.
    OldClosed(u64),
    /// A connection attempt has taken too long.
    ConnectTimeout(ConnId),
    /// A call has taken too long.
    CallTimeout(RequestId),
    /// Its disk has written.
    Written,
    /// Its disk has read.
    Read,
    /// Its disk syncs what it wrote before.
    BackgroundSync,
    /// Its token may have come.
    Token,
    /// None has come for the connection that waits for it, by the core's own number.
    NoToken(u64),
    /// Its application publishes.
    Publish {
        /// Which stream.
        stream: usize,
        /// How many events.
        count: u32,
        /// All with the same payload.
        equal: bool,
    },
}

/// What will happen.
#[derive(Clone, Debug)]
pub enum Happening {
    /// An item of the plan.
    Item(usize),
    /// An item's fault is over.
    Over(usize),
    /// Something reaches the host.
    ToHost(ConnId, RequestId, Request),
    /// A new connection reaches the host.
    Dial(ConnId),
    /// The host learns that a connection is gone.
    HostClosed(ConnId),
    /// The host's disk has synced up to an offset, if the host still lives this life.
    HostSynced(u64, u64),
    /// The host starts.
    HostStart,
    /// Something happens to a node, if it still lives this life (0: whichever it lives).
    Node(usize, u64, ToNode),
}

/// What everybody shares.
#[derive(Debug)]
pub struct Context {
    /// The seed of everything.
    pub seed: u64,
    /// The time, in milliseconds.
    pub now_ms: u64,
    /// Sizes.
    pub setting: Setting,
    /// Connections.
    pub net: Network,
    /// Who checks.
    pub oracle: Oracle,
    /// Who counts.
    pub coverage: Coverage,
    /// Who writes down.
    pub trace: Trace,
    queue: BTreeMap<(u64, u64), Happening>,
    put: u64,
}

impl Context {
    /// A world in which nothing has happened.
    pub fn new(seed: u64, setting: Setting, trace: Trace) -> Context {
        let mut oracle = Oracle::default();
        oracle.keep_unsnapshotted = setting.host.keep_unsnapshotted;
        Context {
            seed,
            now_ms: 0,
            setting,
            net: Network::default(),
            oracle,
            coverage: Coverage::default(),
            trace,
            queue: BTreeMap::new(),
            put: 0,
        }
    }

    /// Something will happen at `at_ms`, or now if that is past.
    pub fn at(&mut self, at_ms: u64, what: Happening) {
        self.put += 1;
        self.queue.insert((at_ms.max(self.now_ms), self.put), what);
    }

    /// The next thing that happens; time moves to it.
    pub fn advance(&mut self) -> Option<Happening> {
        let ((at_ms, _), what) = self.queue.pop_first()?;
        self.now_ms = self.now_ms.max(at_ms);
        Some(what)
    }

    /// Writes a line of the trace.
    pub fn say(&mut self, who: &str, what: Arguments<'_>) {
        self.trace.line(self.now_ms, who, what);
    }

    /// A client's request goes out.
    pub fn send_up(&mut self, conn: ConnId, id: RequestId, request: Request) {
        match self.net.send(conn, Way::Up, self.now_ms) {
            Some(at_ms) => {
                if let Some(again_ms) = self.net.repeat(conn, at_ms) {
                    self.coverage.hit("request arrived twice");
                    self.at(again_ms, Happening::ToHost(conn, id, request.clone()));
                }
                self.at(at_ms, Happening::ToHost(conn, id, request));
            }
            None => self.coverage.hit("message swallowed"),
        }
    }

    /// What the host tells goes out.
    pub fn send_down(&mut self, conn: ConnId, what: Down) {
        let Some((node, life)) = self.net.get(conn).map(|conn| (conn.node, conn.life)) else { return };
        match self.net.send(conn, Way::Down, self.now_ms) {
            Some(at_ms) => {
                if let Some(again_ms) = self.net.repeat(conn, at_ms) {
                    self.coverage.hit("reply arrived twice");
                    self.at(again_ms, Happening::Node(node, life, ToNode::Down(conn, what.clone())));
                }
                self.at(at_ms, Happening::Node(node, life, ToNode::Down(conn, what)));
            }
            None => self.coverage.hit("message swallowed"),
        }
    }
}
