//! What must hold after every step, and at the end.
//!
//! What always holds: nothing here changes anything.

use super::World;
use super::node::Node;
use crate::oracle::{Checked, broken};
use crate::subscriber::Subscriber;

impl World<'_> {
    /// Nothing waits for a person unless an operator gave it a reason to.
    pub(super) fn check_parked(&self) -> Checked {
        for node in &self.nodes {
            if let Node::Publisher(publisher) = node
                && !publisher.parked().is_empty()
                && !self.taken_away
            {
                return broken(1, format!("streams {:?} are parked without cause", publisher.parked()));
            }
        }
        Ok(())
    }

    /// What holds after every step.
    pub(super) fn check_step(&self) -> Checked {
        self.check_sessions()?;
        if self.ctx.now_ms < self.live_unchecked_until_ms {
            return Ok(());
        }
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
    pub(super) fn check_sessions(&self) -> Checked {
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
    pub(super) fn unsettled(&self) -> Option<String> {
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
                    waiting.then(|| {
                        format!(
                            "node {index} has events to send: {:?}",
                            publisher.disk.seen().streams.values().map(|s| s.record).collect::<Vec<_>>()
                        )
                    })
                }
                Node::Subscriber(subscriber) => {
                    self.behind(subscriber).map(|id| format!("node {index} is behind on {id}"))
                }
            };
            if what.is_some() {
                return what;
            }
        }
        None
    }

    /// A stream that a subscriber does not show as it is.
    pub(super) fn behind(&self, subscriber: &Subscriber) -> Option<String> {
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
    pub(super) fn check_end(&self) -> Checked {
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
