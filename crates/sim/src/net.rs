//! Connections: ordered, delayed, cut at either end or at both, and half-open.
//!
//! What always holds: each direction of a connection delivers in order and without holes, up to a moment after which it
//! delivers nothing, as TCP does (RFC 9293 section 3.4). Both ends need not learn of the end at the same time; the one
//! may be long gone while the other still gets what was on its way.

use std::collections::{BTreeMap, BTreeSet};

use crate::limits::IDLE_MS;
use crate::rng::{Purpose, Rng};
use crate::wire::ConnId;

/// One direction of a connection.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// Nothing arrives before what was sent earlier.
    last_ms: u64,
    /// What arrives before this moment waits until then.
    held_until_ms: u64,
    /// Nothing sent from now on arrives.
    dead: bool,
    /// What was sent and is to arrive after this is lost.
    lost_after_ms: Option<u64>,
}

/// A connection.
#[derive(Clone, Debug)]
pub struct Conn {
    /// The client's node.
    pub node: usize,
    /// Which life of the client's process.
    pub life: u64,
    /// Whether the client still has it.
    pub client_open: bool,
    /// Whether the host still has it.
    pub host_open: bool,
    up: Lane,
    down: Lane,
    rng: Rng,
    delay_ms: (u64, u64),
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the host.
    Up,
    /// To the client.
    Down,
}

/// Which end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The publisher's or the subscriber's.
    Client,
    /// The host's.
    Host,
}

/// All connections there ever were.
#[derive(Clone, Debug, Default)]
pub struct Network {
    conns: BTreeMap<ConnId, Conn>,
    at_host: BTreeSet<ConnId>,
    last: ConnId,
    /// No connection can be made before this moment.
    pub partitioned_until_ms: u64,
    /// How many messages of a thousand arrive twice.
    pub repeat_permille: u64,
}

impl Network {
    /// A new connection of a client, not yet known to the host.
    pub fn open(&mut self, seed: u64, node: usize, life: u64, delay_ms: (u64, u64)) -> ConnId {
        self.last += 1;
        let conn = Conn {
            node,
            life,
            client_open: true,
            host_open: false,
            up: Lane::default(),
            down: Lane::default(),
            rng: Rng::new(seed, Purpose::Connection, self.last),
            delay_ms,
        };
        self.conns.insert(self.last, conn);
        self.last
    }

    /// A connection.
    pub fn get(&self, id: ConnId) -> Option<&Conn> {
        self.conns.get(&id)
    }

    /// A connection, to change it.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Conn> {
        self.conns.get_mut(&id)
    }

    /// The connection that a client's process has, if it has one.
    pub fn of_client(&self, node: usize) -> Option<ConnId> {
        self.conns.iter().rev().find(|(_, conn)| conn.node == node && conn.client_open).map(|(id, _)| *id)
    }

    /// The connections that the host has.
    pub fn of_host(&self) -> &BTreeSet<ConnId> {
        &self.at_host
    }

    /// The host takes a connection.
    pub fn accept(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.host_open = true;
            self.at_host.insert(id);
        }
    }

    /// When what is sent now arrives; `None` if never.
    pub fn send(&mut self, id: ConnId, way: Way, now_ms: u64) -> Option<u64> {
        let conn = self.conns.get_mut(&id)?;
        let delay = conn.rng.between(conn.delay_ms.0, conn.delay_ms.1);
        let lane = conn.lane_mut(way);
        if lane.dead {
            return None;
        }
        lane.last_ms = lane.last_ms.max(now_ms + delay);
        Some(lane.last_ms)
    }

    /// When what was just sent arrives a second time, if it does. The second one keeps no order.
    pub fn repeat(&mut self, id: ConnId, arrives_ms: u64) -> Option<u64> {
        let permille = self.repeat_permille;
        let conn = self.conns.get_mut(&id).filter(|_| permille > 0)?;
        conn.rng.chance(permille).then(|| arrives_ms + conn.rng.between(0, 3_000))
    }

    /// Whether what arrives now does arrive: neither its receiver nor the line is gone.
    pub fn arrives(&self, id: ConnId, way: Way, now_ms: u64) -> bool {
        let Some(conn) = self.conns.get(&id) else { return false };
        let (open, lane) = match way {
            Way::Up => (conn.host_open, &conn.up),
            Way::Down => (conn.client_open, &conn.down),
        };
        open && lane.lost_after_ms.is_none_or(|lost| now_ms <= lost)
    }

    /// What is on its way arrives no sooner than this much later, and what is sent meanwhile after it.
    pub fn stall(&mut self, id: ConnId, now_ms: u64, by_ms: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        for lane in [&mut conn.up, &mut conn.down] {
            lane.held_until_ms = lane.held_until_ms.max(now_ms + by_ms);
            lane.last_ms = lane.last_ms.max(now_ms + by_ms + 1);
        }
    }

    /// Until when what arrives now has to wait, if it has to.
    pub fn held_until(&self, id: ConnId, way: Way, now_ms: u64) -> Option<u64> {
        let conn = self.conns.get(&id)?;
        let lane = if way == Way::Up { &conn.up } else { &conn.down };
        (lane.held_until_ms > now_ms).then_some(lane.held_until_ms)
    }

    /// The line swallows everything in one direction from now on, and says nothing.
    pub fn swallow(&mut self, id: ConnId, way: Way, now_ms: u64) {
        if let Some(conn) = self.conns.get_mut(&id) {
            let lane = conn.lane_mut(way);
            lane.dead = true;
            lane.lost_after_ms = Some(lane.lost_after_ms.map_or(now_ms, |lost| lost.min(now_ms)));
        }
    }

    /// Nothing that a node has sent arrives any more, over none of its connections, open or closed.
    pub fn swallow_all_of(&mut self, node: usize, now_ms: u64) {
        let of_node: Vec<ConnId> = self.conns.iter().filter(|(_, conn)| conn.node == node).map(|(id, _)| *id).collect();
        for id in of_node {
            self.swallow(id, Way::Up, now_ms);
        }
    }

    /// One end is closed: it sends nothing more. What it sent may still arrive for `late_ms`.
    pub fn close_end(&mut self, id: ConnId, end: End, now_ms: u64, late_ms: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let sends = match end {
            End::Host => {
                conn.host_open = false;
                self.at_host.remove(&id);
                &mut conn.down
            }
            End::Client => {
                conn.client_open = false;
                &mut conn.up
            }
        };
        sends.dead = true;
        sends.lost_after_ms = Some(sends.lost_after_ms.map_or(now_ms + late_ms, |lost| lost.min(now_ms + late_ms)));
    }

    /// When an end that hears nothing more notices.
    pub const fn noticed_ms(now_ms: u64) -> u64 {
        now_ms + IDLE_MS
    }
}

impl Conn {
    fn lane_mut(&mut self, way: Way) -> &mut Lane {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}
