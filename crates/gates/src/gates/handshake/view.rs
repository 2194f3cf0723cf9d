//! One session's picture of who is connected, built from its own subscription to `active_connection`.
//!
//! What always holds: the picture holds exactly the rows that the host inserted and has not deleted; sessions of the
//! asker's identity are left out of every count, but for those that are named as clients, by that rule and not by
//! subtracting a number. It decides nothing and does no I/O.

use std::collections::{BTreeMap, BTreeSet};

use muster_contract::rows::ActiveConnection;
use muster_wire::{ConnectionId, Identity};

/// Who is connected, as one session sees it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    asker: Identity,
    rows: BTreeMap<ConnectionId, Identity>,
    of_asker: BTreeSet<ConnectionId>,
    lost: Option<String>,
}

impl View {
    /// An empty picture that leaves the sessions of `asker` out of its count.
    pub(crate) fn new(asker: Identity) -> View {
        View { asker, rows: BTreeMap::new(), of_asker: BTreeSet::new(), lost: None }
    }

    /// Takes one transaction's rows. A row that changed comes as deleted and inserted, so deletions go first.
    pub(crate) fn apply(&mut self, deleted: &[ActiveConnection], inserted: &[ActiveConnection]) {
        for row in deleted {
            self.rows.remove(&row.connection_id);
            self.of_asker.remove(&row.connection_id);
        }
        for row in inserted {
            self.rows.insert(row.connection_id, row.identity);
            if row.identity == self.asker {
                self.of_asker.insert(row.connection_id);
            } else {
                self.of_asker.remove(&row.connection_id);
            }
        }
    }

    /// Notes that the session is over: from here on the picture is stale.
    pub(crate) fn lose(&mut self, why: String) {
        self.lost = Some(why);
    }

    /// Why the session is over, if it is.
    pub(crate) fn lost(&self) -> Option<&str> {
        self.lost.as_deref()
    }

    /// How many sessions are connected, the asker's left out that are not `clients`.
    pub(crate) fn count(&self, clients: &BTreeSet<ConnectionId>) -> usize {
        self.rows.len() - self.of_asker.difference(clients).count()
    }

    /// The most that can be counted: what is cheap to know.
    pub(crate) fn count_max(&self) -> usize {
        self.rows.len()
    }

    /// How many of `sessions` are in the picture.
    pub(crate) fn how_many_of(&self, sessions: &[ConnectionId]) -> usize {
        sessions.iter().filter(|session| self.rows.contains_key(session)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_wire::Timestamp;

    fn row(connection: u128, identity: u8) -> ActiveConnection {
        ActiveConnection {
            connection_id: ConnectionId::from_u128(connection),
            identity: Identity::from_byte_array([identity; 32]),
            role: "anonymous".into(),
            client_id: None,
            client_build: None,
            connected_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn asked_by(identity: u8) -> View {
        View::new(Identity::from_byte_array([identity; 32]))
    }

    fn ids(connections: &[u128]) -> BTreeSet<ConnectionId> {
        connections.iter().copied().map(ConnectionId::from_u128).collect()
    }

    #[test]
    fn the_askers_own_sessions_are_not_counted_however_many_but_for_those_that_are_clients() {
        let mut view = asked_by(9);
        view.apply(&[], &[row(1, 9), row(2, 9), row(3, 4)]);
        assert_eq!(view.count(&ids(&[])), 1);
        assert_eq!(view.count(&ids(&[2, 7])), 2);
        assert_eq!(view.count(&ids(&[3])), 1, "once");
        view.apply(&[row(1, 9)], &[]);
        assert_eq!(view.count(&ids(&[])), 1);
        view.apply(&[row(3, 4), row(2, 9)], &[]);
        assert_eq!((view.count(&ids(&[])), view.count(&ids(&[2]))), (0, 0));
    }

    #[test]
    fn a_changed_row_is_counted_once() {
        let mut view = asked_by(9);
        view.apply(&[], &[row(1, 4)]);
        view.apply(&[row(1, 4)], &[row(1, 4)]);
        view.apply(&[], &[row(1, 4)]);
        assert_eq!(view.count(&ids(&[])), 1);
    }

    #[test]
    fn a_row_that_never_was_cannot_be_taken_away() {
        let mut view = asked_by(9);
        view.apply(&[row(1, 4)], &[]);
        assert_eq!(view.count(&ids(&[])), 0);
    }

    #[test]
    fn sessions_are_known_by_their_connection() {
        let mut view = asked_by(9);
        view.apply(&[], &[row(1, 4), row(2, 4)]);
        let asked: Vec<_> = [1, 2, 3].map(ConnectionId::from_u128).into();
        assert_eq!(view.how_many_of(&asked), 2);
    }
}
