//! What the plan does to the world.
//!
//! What always holds: a fault strikes only what is there: a host that is down is not killed again, a connection that does not
//! exist is not cut.

use super::node::Node;
use super::{Doom, World};
use crate::context::{Happening, ToNode};
use crate::limits::{CONVERGE_MS, IDLE_MS, LIVE_LAG_MS, LOOK_MS};
use crate::net::{End, Network, Way};
use crate::oracle::{Checked, snapshot};
use crate::process::Fate;
use crate::workload::{Cut, Flaw, Item, Timed};

impl World<'_> {
    pub(super) fn item(&mut self, index: usize) -> Checked {
        let timed = &self.items[index];
        self.ctx.say("world", format_args!("{:?}", timed.item));
        if let Some(fault) = timed.item.fault() {
            self.ctx.coverage.hit(fault);
        }
        let now_ms = self.ctx.now_ms;
        match timed.item.clone() {
            Item::Publish { node, stream, count, equal } => {
                return self.tell_node(node, 0, ToNode::Publish { stream, count, equal });
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
                    self.taken_away |= self.host.delete_stream(&id);
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
            Item::CopyDisk { node } => self.nodes[node].copy(),
            Item::RestoreDisk { node, whole, down_ms } => {
                self.taken_away |= matches!(self.nodes[node], Node::Publisher(_));
                self.dooms.remove(&node);
                self.nodes[node].restore(&mut self.ctx, whole)?;
                self.ctx.at(now_ms + down_ms, Happening::Node(node, 0, ToNode::Start));
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
            Item::GrantEnds { node, ms, silent } => {
                if self.host.up {
                    self.host.end_grants(node, silent);
                }
                if let Node::Subscriber(subscriber) = &mut self.nodes[node] {
                    subscriber.lose_token(&mut self.ctx, ms);
                }
            }
            Item::Repeat { permille, ms } => {
                self.ctx.net.repeat_permille = permille;
                self.ctx.at(now_ms + ms, Happening::Over(index));
            }
            Item::LoseSignals { ms } => {
                self.host.is_mute = true;
                // A host that keeps silent is found out by listing all its streams once more, part by part.
                self.live_unchecked_until_ms = self.live_unchecked_until_ms.max(now_ms + ms + 2 * LIVE_LAG_MS);
                self.ctx.at(now_ms + ms, Happening::Over(index));
            }
            Item::RefuseAppends { permille, ms } => {
                self.host.refuse_permille = permille;
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
    pub(super) fn over(&mut self, index: usize) -> Checked {
        match self.items.get(index).map(|timed| &timed.item) {
            Some(Item::DiskFull { node, .. }) => self.nodes[*node].set_full(false),
            Some(Item::Repeat { .. }) => self.ctx.net.repeat_permille = 0,
            Some(Item::LoseSignals { .. }) => self.host.is_mute = false,
            Some(Item::RefuseAppends { .. }) => self.host.refuse_permille = 0,
            Some(Item::BadPages { .. }) => self.host.flaw = None,
            Some(_) => {}
            None => {
                self.check_parked()?;
                return self.tidy_up();
            }
        }
        Ok(())
    }

    pub(super) fn tidy_up(&mut self) -> Checked {
        self.accepted = true;
        self.ctx.say("world", format_args!("no more faults"));
        self.ctx.net.repeat_permille = 0;
        self.host.flaw = None;
        self.host.refuse_permille = 0;
        self.host.is_mute = false;
        // Nobody needs a person but who was given what is not what its hash says.
        let is_damage = |timed: &Timed| matches!(timed.item, Item::BadPages { flaw: Flaw::Damage, .. });
        let was_damaged = self.items.iter().any(is_damage);
        for index in 0..self.nodes.len() {
            self.nodes[index].doom(None);
            let fate = match &mut self.nodes[index] {
                Node::Publisher(publisher) => {
                    let accepted = publisher.accept_parked(&mut self.ctx);
                    self.ctx.coverage.add("publisher: loss accepted by a person", accepted as u64);
                    Fate::Alive
                }
                Node::Subscriber(subscriber) if was_damaged => subscriber.unblock(&mut self.ctx)?,
                Node::Subscriber(_) => Fate::Alive,
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

    pub(super) fn pause(&mut self, node: usize, until_ms: u64) {
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

    pub(super) fn cut(&mut self, node: usize, how: Cut) {
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

    pub(super) fn kill_host(&mut self, down_ms: u64, silent: bool) -> Checked {
        let now_ms = self.ctx.now_ms;
        self.stop_host_until = self.stop_host_until.max(now_ms + down_ms);
        self.ctx.at(now_ms + down_ms, Happening::HostStart);
        if !self.host.up {
            return Ok(());
        }
        let left = self.host.crash(&mut self.ctx.coverage);
        self.syncing = false;
        self.ctx.oracle.on_durable(now_ms, &left)?;
        for conn in self.ctx.net.of_host().clone() {
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

    pub(super) fn start_host(&mut self) {
        if self.host.up || self.ctx.now_ms < self.stop_host_until {
            return;
        }
        let restored = std::mem::take(&mut self.restoring);
        if restored && let Some(copy) = self.backup.clone() {
            self.taken_away = true;
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
    pub(super) fn take_snapshot(&mut self, stream: usize, behind: u64) {
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
}
