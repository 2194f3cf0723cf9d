//! What processes of both kinds share: whether they live, when they are woken, and how they connect.
//!
//! What always holds: a doomed process dies once, between two of its actions; a connection that a process closes is closed at once at its own end; the host hears of it behind
//! everything that was sent before.

use std::time::Duration;

use crate::context::{Context, Happening, ToNode};
use crate::limits::{CALL_MS, CONNECT_MS, IDLE_MS};
use crate::net::{End, Way};
use crate::wire::ConnId;

/// Whether a process is still there after what it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is.
    Alive,
    /// It died in the middle of it.
    Dead,
}

/// After how many more actions a process dies; `None`: it does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Doom(pub Option<u32>);

impl Doom {
    /// Whether it dies before its next action. Counts that action, if it does not.
    pub fn strikes(&mut self) -> bool {
        match &mut self.0 {
            Some(0) => true,
            Some(left) => {
                *left -= 1;
                false
            }
            None => false,
        }
    }
}

/// Has a process woken when its core wants to be, unless it is woken before that anyway. `set` is when that is.
pub fn wake(ctx: &mut Context, node: usize, life: u64, set: &mut Option<u64>, deadline: Option<Duration>) {
    let Some(due) = deadline else { return };
    let due_ms = u64::try_from(due.as_millis()).expect("fits").max(ctx.now_ms);
    if set.is_none_or(|set| due_ms < set) {
        *set = Some(due_ms);
        ctx.at(due_ms, Happening::Node(node, life, ToNode::Tick));
    }
}

/// A client's process opens a connection.
pub fn dial(ctx: &mut Context, node: usize, life: u64) -> ConnId {
    let delay_ms = ctx.setting.delay_ms;
    let conn = ctx.net.open(ctx.seed, node, life, delay_ms);
    ctx.at(ctx.now_ms + CONNECT_MS, Happening::Node(node, life, ToNode::ConnectTimeout(conn)));
    let at_ms = ctx.net.send(conn, Way::Up, ctx.now_ms).unwrap_or(ctx.now_ms);
    ctx.at(at_ms, Happening::Dial(conn));
    conn
}

/// A client's process closes a connection: the host learns of it behind what was sent before.
pub fn close(ctx: &mut Context, conn: ConnId) {
    let at_ms = ctx.net.send(conn, Way::Up, ctx.now_ms);
    ctx.net.close_end(conn, End::Client, ctx.now_ms, CALL_MS);
    // On a line that swallows everything the host notices the silence.
    ctx.at(at_ms.unwrap_or(ctx.now_ms + IDLE_MS), Happening::HostClosed(conn));
}
