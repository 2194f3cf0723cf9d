//! The world: one step after another, each followed by everything that must hold.
//!
//! What always holds: a run is a function of its plan. A step takes one thing from the queue, lets it happen, and asks
//! the oracle; a run ends when everything has converged after the last fault, or with the first broken promise.

use std::collections::BTreeMap;

use crate::context::{Context, Happening, ToNode};
use crate::coverage::Coverage;
use crate::host::Host;
use crate::host::state::State;
use crate::limits::{CONVERGE_MS, FAULTS_MS, IDLE_MS, STEPS_AT_ONCE_MAX, STEPS_MAX};
use crate::net::{End, Network, Way};
use crate::oracle::{Broken, Checked, broken, snapshot};
use crate::publisher::{Fate, Publisher};
use crate::subscriber::Subscriber;
use crate::trace::Trace;
use crate::wire::ConnId;
use crate::workload::{Cut, Item, Plan, Timed};

/// When the last fault is over: the longest one may begin at the very end.
const CALM_MS: u64 = FAULTS_MS + 45_000;

/// How often it is looked whether everything has converged.
const LOOK_MS: u64 = 2_000;

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

/// A node.
#[derive(Debug)]
enum Node {
    Publisher(Box<Publisher>),
    Subscriber(Box<Subscriber>),
}

impl Node {
    fn life(&self) -> u64 {
        match self {
            Node::Publisher(node) => node.life(),
            Node::Subscriber(node) => node.life(),
        }
    }

    fn is_up(&self) -> bool {
        match self {
            Node::Publisher(node) => node.is_up(),
            Node::Subscriber(node) => node.is_up(),
        }
    }

    fn on(&mut self, ctx: &mut Context, what: ToNode) -> Result<Fate, Broken> {
        match self {
            Node::Publisher(node) => node.on(ctx, what),
            Node::Subscriber(node) => node.on(ctx, what),
        }
    }

    fn die(&mut self, ctx: &mut Context, machine: bool) -> Checked {
        match self {
            Node::Publisher(node) => node.die(ctx, machine),
            Node::Subscriber(node) => node.die(ctx, machine),
        }
    }

    fn doom(&mut self, after: Option<u32>) {
        match self {
            Node::Publisher(node) => node.doom(after),
            Node::Subscriber(node) => node.doom(after),
        }
    }

    fn set_full(&mut self, full: bool) {
        match self {
            Node::Publisher(node) => node.disk.set_full(full),
            Node::Subscriber(node) => node.disk.set_full(full),
        }
    }
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
    restored: bool,
    stop_host_until: u64,
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
            restored: false,
            stop_host_until: 0,
            accepted: false,
        }
    }

    fn run(&mut self, steps: &mut u64) -> Checked {
        let (mut at_once, mut last_ms) = (0, 0);
        while let Some(what) = self.ctx.next() {
            *steps += 1;
            at_once = if self.ctx.now_ms == last_ms { at_once + 1 } else { 0 };
            last_ms = self.ctx.now_ms;
            if *steps > STEPS_MAX || at_once > STEPS_AT_ONCE_MAX {
                return broken(0, format!("{steps} steps, and no end ({at_once} of them at this moment)"));
            }
            self.step(what)?;
            self.settle()?;
            self.check_step()?;
            if self.ctx.now_ms >= CALM_MS && self.accepted && self.ctx.now_ms % LOOK_MS == 0 {
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
            Happening::Node(node, life, what) => self.to_node(node, life, what),
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
        if let Some(it) = self.ctx.net.get_mut(conn) {
            it.host_open = true;
        }
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

    fn to_node(&mut self, index: usize, life: u64, what: ToNode) -> Checked {
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

    fn item(&mut self, index: usize) -> Checked {
        let timed = &self.items[index];
        self.ctx.say("world", format_args!("{:?}", timed.item));
        if let Some(fault) = timed.item.fault() {
            self.ctx.coverage.hit(fault);
        }
        let now_ms = self.ctx.now_ms;
        match timed.item.clone() {
            Item::Publish { node, stream, count, equal } => {
                return self.to_node(node, 0, ToNode::Publish { stream, count, equal });
            }
            Item::Snapshot { stream, behind } => self.take_snapshot(stream, behind),
            Item::Sweep => {
                if self.host.up {
                    let pruned = self.host.sweep();
                    self.ctx.coverage.add("host: streams pruned", pruned as u64);
                }
            }
            Item::Delete { stream } => {
                let id = self.ctx.setting.streams[stream].clone();
                if self.host.up {
                    self.host.delete_stream(&id);
                }
            }
            Item::Backup => self.backup = Some(self.host.durable().clone()),
            Item::Restore { down_ms } => {
                if self.backup.is_some() {
                    self.restoring = true;
                    return self.kill_host(down_ms, false);
                }
            }
            Item::Renew => {
                if self.host.up {
                    self.host.renew_epochs();
                }
            }
            Item::KillHost { down_ms, silent } => return self.kill_host(down_ms, silent),
            Item::HostDiskFull { ms } => return self.kill_host(ms, false),
            Item::KillNode { node, after, machine, down_ms } => {
                if self.nodes[node].is_up() {
                    self.dooms.insert(node, Doom { machine, down_ms });
                    self.nodes[node].doom(Some(after));
                }
            }
            Item::Pause { node, ms } => self.pause(node, now_ms + ms),
            Item::Cut { node, how } => self.cut(node, how),
            Item::Stall { node, ms } => {
                if let Some(conn) = self.ctx.net.of_client(node) {
                    self.ctx.net.stall(conn, now_ms, ms);
                }
            }
            Item::Partition { ms } => self.ctx.net.partitioned_until_ms = now_ms + ms,
            Item::DiskFull { node, ms } => {
                self.nodes[node].set_full(true);
                self.ctx.at(now_ms + ms, Happening::Over(index));
            }
            Item::ReadErrors { node, count } => match &mut self.nodes[node] {
                Node::Publisher(node) => node.fail_reads(count),
                Node::Subscriber(node) => node.refuse(count),
            },
            Item::Refresh { node } => {
                let paused = self.paused_until.get(&node).is_some_and(|until| now_ms < *until);
                if !paused && let Node::Subscriber(subscriber) = &mut self.nodes[node] {
                    let fate = subscriber.refresh(&mut self.ctx)?;
                    return self.bury(node, fate);
                }
            }
            Item::Repeat { permille, ms } => {
                self.ctx.net.repeat_permille = permille;
                self.ctx.at(now_ms + ms, Happening::Over(index));
            }
            Item::BadPages { flaw, ms } => {
                self.host.flaw = Some(flaw);
                self.ctx.at(now_ms + ms, Happening::Over(index));
            }
            Item::ClockJump { node, by_ms } => {
                if let Node::Publisher(node) = &mut self.nodes[node] {
                    node.jump(by_ms);
                }
            }
        }
        Ok(())
    }

    /// A fault is over; after the last, people come and tidy up.
    fn over(&mut self, index: usize) -> Checked {
        match self.items.get(index).map(|timed| &timed.item) {
            Some(Item::DiskFull { node, .. }) => self.nodes[*node].set_full(false),
            Some(Item::Repeat { .. }) => self.ctx.net.repeat_permille = 0,
            Some(Item::BadPages { .. }) => self.host.flaw = None,
            Some(_) => {}
            None => {
                self.check_parked()?;
                return self.tidy_up();
            }
        }
        Ok(())
    }

    /// Nothing waits for a person unless an operator gave it a reason to.
    fn check_parked(&self) -> Checked {
        for node in &self.nodes {
            if let Node::Publisher(publisher) = node
                && !publisher.parked().is_empty()
                && !self.restored
            {
                return broken(1, format!("streams {:?} are parked without cause", publisher.parked()));
            }
        }
        Ok(())
    }

    fn tidy_up(&mut self) -> Checked {
        self.accepted = true;
        self.ctx.say("world", format_args!("no more faults"));
        self.ctx.net.repeat_permille = 0;
        self.host.flaw = None;
        for index in 0..self.nodes.len() {
            self.nodes[index].doom(None);
            let fate = match &mut self.nodes[index] {
                Node::Publisher(publisher) => {
                    let accepted = publisher.accept_parked(&mut self.ctx);
                    self.ctx.coverage.add("publisher: loss accepted by a person", accepted as u64);
                    Fate::Alive
                }
                Node::Subscriber(subscriber) => subscriber.unblock(&mut self.ctx)?,
            };
            self.bury(index, fate)?;
        }
        // From now on somebody looks every now and then.
        for look in 0..=(CONVERGE_MS / LOOK_MS + 1) {
            let at_ms = (self.ctx.now_ms / LOOK_MS + 1 + look) * LOOK_MS;
            self.ctx.at(at_ms, Happening::Over(0));
        }
        Ok(())
    }

    fn pause(&mut self, node: usize, until_ms: u64) {
        let now_ms = self.ctx.now_ms;
        let until_ms = self.paused_until.get(&node).map_or(until_ms, |already| until_ms.max(*already));
        self.paused_until.insert(node, until_ms);
        // The host does not wait for ever for one that says nothing.
        if until_ms > now_ms + IDLE_MS
            && let Some(conn) = self.ctx.net.of_client(node)
        {
            self.ctx.at(now_ms + IDLE_MS, Happening::HostClosed(conn));
        }
    }

    fn cut(&mut self, node: usize, how: Cut) {
        let now_ms = self.ctx.now_ms;
        let Some(conn) = self.ctx.net.of_client(node) else { return };
        let life = self.nodes[node].life();
        let client = Happening::Node(node, life, ToNode::Closed(conn));
        match how {
            Cut::Both => {
                self.ctx.net.swallow(conn, Way::Up, now_ms);
                self.ctx.net.swallow(conn, Way::Down, now_ms);
                self.host_closes(conn, 0);
                self.ctx.at(now_ms, client);
            }
            Cut::ClientFirst { late_ms } => {
                self.ctx.net.stall(conn, now_ms, late_ms);
                self.ctx.at(now_ms, client);
            }
            Cut::HostFirst { late_ms } => self.host_closes(conn, late_ms),
            Cut::AnswersLost => {
                self.ctx.net.swallow(conn, Way::Down, now_ms);
                self.ctx.at(Network::noticed_ms(now_ms), client);
            }
            Cut::HalfOpen => {
                self.ctx.net.swallow(conn, Way::Up, now_ms);
                self.ctx.net.swallow(conn, Way::Down, now_ms);
                self.ctx.at(Network::noticed_ms(now_ms), client);
                self.ctx.at(Network::noticed_ms(now_ms), Happening::HostClosed(conn));
            }
        }
    }

    fn kill_host(&mut self, down_ms: u64, silent: bool) -> Checked {
        let now_ms = self.ctx.now_ms;
        self.stop_host_until = self.stop_host_until.max(now_ms + down_ms);
        self.ctx.at(now_ms + down_ms, Happening::HostStart);
        if !self.host.up {
            return Ok(());
        }
        let left = self.host.crash(&mut self.ctx.coverage);
        self.syncing = false;
        self.ctx.oracle.on_durable(now_ms, &left)?;
        for conn in self.ctx.net.of_host() {
            let Some(it) = self.ctx.net.get(conn) else { continue };
            let (node, life) = (it.node, it.life);
            self.ctx.net.swallow(conn, Way::Up, now_ms);
            self.ctx.net.swallow(conn, Way::Down, now_ms);
            self.ctx.net.close_end(conn, End::Host, now_ms, 0);
            let noticed_ms = if silent { Network::noticed_ms(now_ms) } else { now_ms + 1 };
            self.ctx.at(noticed_ms, Happening::Node(node, life, ToNode::Closed(conn)));
        }
        Ok(())
    }

    fn start_host(&mut self) {
        if self.host.up || self.ctx.now_ms < self.stop_host_until {
            return;
        }
        let restored = std::mem::take(&mut self.restoring);
        if restored && let Some(copy) = self.backup.clone() {
            self.restored = true;
            self.ctx.oracle.on_restore(self.ctx.now_ms, &copy);
            self.host.restore(copy);
        }
        self.host.start();
        self.ctx.say("host", format_args!("starts, life {}", self.host.life));
        if restored && self.ctx.setting.renews {
            self.host.renew_epochs();
        }
    }

    /// A producer that follows its own stream puts a snapshot of what is durable.
    fn take_snapshot(&mut self, stream: usize, behind: u64) {
        let id = self.ctx.setting.streams[stream].clone();
        let Some(held) = self.host.durable().stream(&id) else { return };
        let seq = held.head.saturating_sub(behind);
        let life = (id.clone(), held.epoch);
        // A producer that does not know of another life yet would be refused.
        let current = self.host.live().stream(&id).is_some_and(|live| live.epoch == life.1);
        if !self.host.up || seq == 0 || !current || self.ctx.oracle.present(&id) != Some(&life) {
            return;
        }
        if let Some(payload) = self.ctx.oracle.summary(&life, seq)
            && self.host.put_snapshot(&id, snapshot(seq, payload))
        {
            self.ctx.coverage.hit("host: snapshot taken");
        }
    }

    /// What holds after every step.
    fn check_step(&self) -> Checked {
        self.check_sessions()?;
        for (index, node) in self.nodes.iter().enumerate() {
            // A process that stands still shows nothing to anybody; what it showed last it shows again when it goes on.
            let paused = self.paused_until.get(&index).is_some_and(|until| self.ctx.now_ms <= *until);
            if let Node::Subscriber(subscriber) = node
                && !paused
            {
                subscriber.check_live(&self.ctx)?;
            }
        }
        Ok(())
    }

    /// Promise 5: the sessions in the table are the connections that the host has, and each follow is of one of them.
    fn check_sessions(&self) -> Checked {
        if !self.host.up {
            return Ok(());
        }
        let state = self.host.live();
        let open = self.ctx.net.of_host();
        if !state.sessions.keys().copied().eq(open.iter().copied()) {
            return broken(5, format!("sessions {:?}, connections {open:?}", state.sessions.keys()));
        }
        match state.follows.keys().find(|(conn, _)| !state.sessions.contains_key(conn)) {
            Some(key) => broken(5, format!("{key:?} is followed by a session that is gone")),
            None => Ok(()),
        }
    }

    /// What has not converged yet, if anything has not.
    fn unsettled(&self) -> Option<String> {
        if !self.host.up || self.host.unsynced().is_some() {
            return Some("the host is not at rest".into());
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if !node.is_up() {
                return Some(format!("node {index} is not up"));
            }
            let what = match node {
                Node::Publisher(publisher) => {
                    let waiting = publisher.pending() > 0 || !publisher.parked().is_empty();
                    waiting.then(|| format!("node {index} has events to send: {:?}", publisher.disk.seen().streams.values().map(|s| s.record).collect::<Vec<_>>()))
                }
                Node::Subscriber(subscriber) => self.behind(subscriber).map(|id| format!("node {index} is behind on {id}")),
            };
            if what.is_some() {
                return what;
            }
        }
        None
    }

    /// A stream that a subscriber does not show as it is.
    fn behind(&self, subscriber: &Subscriber) -> Option<String> {
        let store = subscriber.disk.seen();
        for stream in self.host.durable().streams.values() {
            let at = store.streams.get(&stream.id).map(|held| held.place.position);
            let is_there = at.is_some_and(|at| at.epoch.get() == stream.epoch && at.seq.get() == stream.head);
            if !is_there || !subscriber.is_live(&stream.id) {
                return Some(format!("{} at {at:?}, host at {}@{}", stream.id, stream.head, stream.epoch));
            }
        }
        let gone = store.streams.keys().find(|id| self.host.durable().stream(id).is_none() && subscriber.is_live(id));
        gone.map(|id| format!("{id}, which is gone"))
    }

    /// What holds at the end: all that was acknowledged is there, and every follower has it, once and in order.
    fn check_end(&self) -> Checked {
        self.ctx.oracle.check_all_arrived()?;
        for (index, node) in self.nodes.iter().enumerate() {
            let Node::Subscriber(subscriber) = node else { continue };
            for (id, held) in &subscriber.disk.seen().streams {
                let Some(life) = self.ctx.oracle.present(id) else { continue };
                let Some(timeline) = self.ctx.oracle.timeline(life) else { continue };
                let from = usize::try_from(held.base).expect("fits");
                if timeline.events.get(from..) != Some(&held.rows[..]) {
                    return broken(2, format!("node {index} ends with another {id} than the host has"));
                }
            }
        }
        Ok(())
    }
}
