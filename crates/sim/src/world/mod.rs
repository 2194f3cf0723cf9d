//! The world: one step after another, each followed by everything that must hold.
//!
//! What always holds: a run is a function of its plan. A step takes one thing from the queue, lets it happen, and asks
//! the oracle; a run ends when everything has converged after the last fault, or with the first broken promise.

use std::collections::BTreeMap;

use crate::context::{Context, Happening, ToNode};
use crate::coverage::Coverage;
use crate::host::Host;
use crate::host::state::State;
use crate::limits::{CALM_MS, CONVERGE_MS, LOOK_MS, STEPS_AT_ONCE_MAX, STEPS_MAX};
use crate::net::{End, Way};
use crate::oracle::{Broken, Checked, broken};
use crate::process::Fate;
use crate::publisher::Publisher;
use crate::subscriber::Subscriber;
use crate::trace::Trace;
use crate::wire::ConnId;
use crate::workload::{Plan, Timed};
use node::Node;

mod checks;
mod faults;
mod node;

/// A promise that did not hold, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which, and what was seen.
    pub broken: Broken,
    /// When, in milliseconds.
    pub at_ms: u64,
    /// After how many steps.
    pub step: u64,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The broken promise, if one was.
    pub failure: Option<Failure>,
    /// How many steps it took.
    pub steps: u64,
    /// How many events were acknowledged to their publishers' callers.
    pub acknowledged: u64,
    /// How long after the last fault everything had converged, in milliseconds.
    pub converged_ms: u64,
    /// What was exercised.
    pub coverage: Coverage,
    /// The lines, if they were to be kept.
    pub trace: String,
}

/// How a doomed process dies: with its machine or alone, and when it comes back.
#[derive(Clone, Copy, Debug)]
struct Doom {
    machine: bool,
    down_ms: u64,
}

struct World<'a> {
    ctx: Context,
    items: &'a [Timed],
    host: Host,
    nodes: Vec<Node>,
    dooms: BTreeMap<usize, Doom>,
    paused_until: BTreeMap<usize, u64>,
    syncing: bool,
    backup: Option<State>,
    restoring: bool,
    /// An operator has deleted a stream or restored a copy: publishers may have lost what was confirmed.
    taken_away: bool,
    stop_host_until: u64,
    /// While signals do not come, and a little longer, nothing is promised about `live`.
    live_unchecked_until_ms: u64,
    accepted: bool,
}

/// Runs a plan, keeping the trace's lines if asked to.
pub fn run(plan: &Plan, keep_trace: bool) -> Outcome {
    let trace = if keep_trace { Trace::kept() } else { Trace::default() };
    let mut world = World::new(plan, trace);
    let mut steps = 0;
    let result = world.run(&mut steps);
    let at_ms = world.ctx.now_ms;
    let failure = result.err().map(|broken| Failure { broken, at_ms, step: steps });
    if let Some(failure) = &failure {
        let Broken { promise, what } = &failure.broken;
        world.ctx.say("", format_args!("PROMISE {promise} BROKEN: {what}"));
    }
    let came_back = world.ctx.oracle.came_back;
    world.ctx.coverage.add("declared limit: an event of a deleted stream came back", came_back);
    let unasked = world.ctx.oracle.repeated_unasked;
    world.ctx.coverage.add("declared limit: a restored outbox repeated an event in a stream made anew", unasked);
    let repeated = world.ctx.oracle.repeated;
    world.ctx.coverage.add("declared limit: a restored outbox repeated an event when told to", repeated);
    Outcome {
        failure,
        steps,
        acknowledged: world.ctx.oracle.acknowledged() as u64,
        converged_ms: at_ms.saturating_sub(CALM_MS),
        coverage: world.ctx.coverage,
        trace: world.ctx.trace.into_text(),
    }
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan, trace: Trace) -> World<'a> {
        let mut ctx = Context::new(plan.seed, plan.setting.clone(), trace);
        let setting = &plan.setting;
        let mut nodes = Vec::new();
        for node in 0..setting.publishers {
            nodes.push(Node::Publisher(Box::new(Publisher::new(plan.seed, node))));
        }
        for begin in &setting.subscribers {
            let node = nodes.len();
            nodes.push(Node::Subscriber(Box::new(Subscriber::new(plan.seed, node, *begin))));
        }
        for node in 0..nodes.len() {
            ctx.at(1, Happening::Node(node, 0, ToNode::Start));
        }
        for (index, timed) in plan.items.iter().enumerate() {
            ctx.at(timed.at_ms, Happening::Item(index));
        }
        ctx.at(CALM_MS, Happening::Over(usize::MAX));
        World {
            host: Host::new(plan.seed, setting.host),
            ctx,
            items: &plan.items,
            nodes,
            dooms: BTreeMap::new(),
            paused_until: BTreeMap::new(),
            syncing: false,
            backup: None,
            restoring: false,
            taken_away: false,
            stop_host_until: 0,
            live_unchecked_until_ms: 0,
            accepted: false,
        }
    }

    fn run(&mut self, steps: &mut u64) -> Checked {
        let (mut at_once, mut last_ms) = (0, 0);
        while let Some(what) = self.ctx.advance() {
            *steps += 1;
            at_once = if self.ctx.now_ms == last_ms { at_once + 1 } else { 0 };
            last_ms = self.ctx.now_ms;
            if *steps > STEPS_MAX || at_once > STEPS_AT_ONCE_MAX {
                return broken(0, format!("{steps} steps, and no end ({at_once} of them at this moment)"));
            }
            self.step(what)?;
            self.settle()?;
            self.check_step()?;
            if self.ctx.now_ms >= CALM_MS && self.accepted && self.ctx.now_ms.is_multiple_of(LOOK_MS) {
                match self.unsettled() {
                    None => return self.check_end(),
                    Some(what) if self.ctx.now_ms > CALM_MS + CONVERGE_MS => {
                        return broken(0, format!("{} s after the last fault: {what}", CONVERGE_MS / 1_000));
                    }
                    Some(_) => {}
                }
            }
        }
        Ok(())
    }

    fn step(&mut self, what: Happening) -> Checked {
        match what {
            Happening::Item(index) => self.item(index),
            Happening::Over(index) => self.over(index),
            Happening::ToHost(conn, id, request) => {
                if let Some(until_ms) = self.ctx.net.held_until(conn, Way::Up, self.ctx.now_ms) {
                    self.ctx.at(until_ms, Happening::ToHost(conn, id, request));
                } else if self.host.up && self.ctx.net.arrives(conn, Way::Up, self.ctx.now_ms) {
                    self.host.call(conn, id, &request, &mut self.ctx.coverage);
                }
                Ok(())
            }
            Happening::Dial(conn) => {
                self.dialled(conn);
                Ok(())
            }
            Happening::HostClosed(conn) => {
                self.host_closes(conn, 0);
                Ok(())
            }
            Happening::HostSynced(life, offset) => {
                if self.host.up && self.host.life == life {
                    self.syncing = false;
                    let writes = self.host.sync(offset);
                    self.ctx.oracle.on_durable(self.ctx.now_ms, &writes)?;
                }
                Ok(())
            }
            Happening::HostStart => {
                self.start_host();
                Ok(())
            }
            Happening::Node(node, life, what) => self.tell_node(node, life, what),
        }
    }

    /// What the host has to say leaves it, and its disk takes up what waits.
    fn settle(&mut self) -> Checked {
        for (conn, what) in self.host.take_outgoing() {
            if self.ctx.net.get(conn).is_some_and(|conn| conn.host_open) {
                self.ctx.send_down(conn, what);
            }
        }
        if self.host.up
            && !self.syncing
            && let Some(offset) = self.host.unsynced()
        {
            self.syncing = true;
            let at_ms = self.ctx.now_ms + self.host.draw_sync_ms();
            self.ctx.at(at_ms, Happening::HostSynced(self.host.life, offset));
        }
        Ok(())
    }

    fn dialled(&mut self, conn: ConnId) {
        let now_ms = self.ctx.now_ms;
        let Some(it) = self.ctx.net.get(conn).filter(|it| it.client_open) else { return };
        let (node, life) = (it.node, it.life);
        if now_ms < self.ctx.net.partitioned_until_ms {
            return self.ctx.coverage.hit("connection attempt lost");
        }
        if !self.host.up {
            self.ctx.coverage.hit("connection refused");
            return self.ctx.at(now_ms + 1, Happening::Node(node, life, ToNode::Closed(conn)));
        }
        self.ctx.net.accept(conn);
        self.host.connect(conn, node);
    }

    /// The host's end of a connection is gone; what the host had sent may still arrive for `late_ms`.
    fn host_closes(&mut self, conn: ConnId, late_ms: u64) {
        let now_ms = self.ctx.now_ms;
        let Some(it) = self.ctx.net.get(conn).filter(|it| it.host_open) else { return };
        let (node, life, client_open) = (it.node, it.life, it.client_open);
        self.ctx.net.close_end(conn, End::Host, now_ms, late_ms);
        if self.host.up {
            self.host.disconnect(conn);
        }
        if client_open {
            self.ctx.at(now_ms + late_ms + 1, Happening::Node(node, life, ToNode::Closed(conn)));
        }
    }

    fn tell_node(&mut self, index: usize, life: u64, what: ToNode) -> Checked {
        if self.nodes.get(index).is_none_or(|node| life != 0 && node.life() != life) {
            return Ok(());
        }
        let until = self.paused_until.get(&index).copied().unwrap_or(0);
        if self.ctx.now_ms < until {
            self.ctx.at(until, Happening::Node(index, life, what));
            return Ok(());
        }
        if let ToNode::Down(conn, _) = &what
            && let Some(until_ms) = self.ctx.net.held_until(*conn, Way::Down, self.ctx.now_ms)
        {
            self.ctx.at(until_ms, Happening::Node(index, life, what));
            return Ok(());
        }
        if let ToNode::Down(conn, _) = &what
            && !self.ctx.net.arrives(*conn, Way::Down, self.ctx.now_ms)
        {
            return Ok(());
        }
        if matches!(what, ToNode::Start) && self.nodes[index].is_up() {
            return Ok(());
        }
        let fate = self.nodes[index].on(&mut self.ctx, what)?;
        self.bury(index, fate)
    }

    fn bury(&mut self, index: usize, fate: Fate) -> Checked {
        if fate == Fate::Alive {
            return Ok(());
        }
        let doom = self.dooms.remove(&index).unwrap_or(Doom { machine: false, down_ms: 1 });
        self.ctx.say("world", format_args!("node {index} dies, its machine too: {}", doom.machine));
        self.ctx.coverage.hit("process died in the middle of a step");
        self.nodes[index].die(&mut self.ctx, doom.machine)?;
        self.ctx.at(self.ctx.now_ms + doom.down_ms, Happening::Node(index, 0, ToNode::Start));
        Ok(())
    }
}
