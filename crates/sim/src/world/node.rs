//! A node of either kind.
//!
//! What always holds: what happens to a node happens to a publisher or a subscriber; the world need not know which.

use crate::context::{Context, ToNode};
use crate::oracle::{Broken, Checked};
use crate::process::Fate;
use crate::publisher::Publisher;
use crate::subscriber::Subscriber;

/// A node.
#[derive(Debug)]
pub(super) enum Node {
    Publisher(Box<Publisher>),
    Subscriber(Box<Subscriber>),
}

impl Node {
    pub(super) fn life(&self) -> u64 {
        match self {
            Node::Publisher(node) => node.life(),
            Node::Subscriber(node) => node.life(),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        match self {
            Node::Publisher(node) => node.is_up(),
            Node::Subscriber(node) => node.is_up(),
        }
    }

    pub(super) fn on(&mut self, ctx: &mut Context, what: ToNode) -> Result<Fate, Broken> {
        match self {
            Node::Publisher(node) => node.on(ctx, what),
            Node::Subscriber(node) => node.on(ctx, what),
        }
    }

    pub(super) fn die(&mut self, ctx: &mut Context, machine: bool) -> Checked {
        match self {
            Node::Publisher(node) => node.die(ctx, machine),
            Node::Subscriber(node) => node.die(ctx, machine),
        }
    }

    pub(super) fn copy(&mut self) {
        match self {
            Node::Publisher(node) => node.copy(),
            Node::Subscriber(node) => node.copy(),
        }
    }

    pub(super) fn restore(&mut self, ctx: &mut Context, whole: bool) -> Checked {
        match self {
            Node::Publisher(node) => node.restore(ctx, whole),
            Node::Subscriber(node) => node.restore(ctx, whole),
        }
    }

    pub(super) fn doom(&mut self, after: Option<u32>) {
        match self {
            Node::Publisher(node) => node.doom(after),
            Node::Subscriber(node) => node.doom(after),
        }
    }

    pub(super) fn set_full(&mut self, full: bool) {
        match self {
            Node::Publisher(node) => node.disk.set_full(full),
            Node::Subscriber(node) => node.disk.set_full(full),
        }
    }
}
