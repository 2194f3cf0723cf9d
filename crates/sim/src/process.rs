//! What processes of both kinds share: whether they live, and how they connect.
//!
//! What always holds: a connection that a process closes is closed at once at its own end; the host hears of it behind
//! everything that was sent before.

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
