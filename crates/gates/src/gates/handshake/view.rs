//! One session's picture of who is connected, built from its own subscription to `active_connection`.
//!
//! What always holds: the picture holds exactly the rows that the host inserted and has not deleted; sessions of the
//! observer's own identity are left out of every count by that rule, and not by subtracting a number. It decides
//! nothing and does no I/O.

use std::collections::BTreeMap;

use muster_contract::rows::ActiveConnection;
use muster_wire::{ConnectionId, Identity};

/// Who is connected, as one session sees it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    observer: Identity,
    rows: BTreeMap<ConnectionId, Identity>,
    counted: usize,
    lost: Option<String>,
}

impl View {
    /// An empty picture that leaves the sessions of `observer` out of its count.
    pub(crate) fn new(observer: Identity) -> View {
        View { observer, rows: BTreeMap::new(), counted: 0, lost: None }
    }

    /// Takes one transaction's rows. A row that changed comes as deleted and inserted, so deletions go first.
    pub(crate) fn apply(&mut self, deleted: &[ActiveConnection], inserted: &[ActiveConnection]) {
        for row in deleted {
            if self.rows.remove(&row.connection_id).is_some_and(|identity| identity != self.observer) {
                self.counted -= 1;
            }
        }
        for row in inserted {
            let before = self.rows.insert(row.connection_id, row.identity);
            if row.identity != self.observer && before.is_none_or(|identity| identity == self.observer) {
                self.counted += 1;
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

    /// How many sessions are connected, the observer's own left out.
    pub(crate) fn count(&self) -> usize {
        self.counted
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

    fn observed_by(identity: u8) -> View {
        View::new(Identity::from_byte_array([identity; 32]))
    }

    #[test]
    fn the_observers_own_sessions_are_not_counted_however_many() {
        let mut view = observed_by(9);
        view.apply(&[], &[row(1, 9), row(2, 9), row(3, 4)]);
        assert_eq!(view.count(), 1);
        view.apply(&[row(1, 9)], &[]);
        assert_eq!(view.count(), 1);
        view.apply(&[row(3, 4)], &[]);
        assert_eq!(view.count(), 0);
    }

    #[test]
    fn a_changed_row_is_counted_once() {
        let mut view = observed_by(9);
        view.apply(&[], &[row(1, 4)]);
        view.apply(&[row(1, 4)], &[row(1, 4)]);
        view.apply(&[], &[row(1, 4)]);
        assert_eq!(view.count(), 1);
    }

    #[test]
    fn a_row_that_never_was_cannot_be_taken_away() {
        let mut view = observed_by(9);
        view.apply(&[row(1, 4)], &[]);
        assert_eq!(view.count(), 0);
    }

    #[test]
    fn sessions_are_known_by_their_connection() {
        let mut view = observed_by(9);
        view.apply(&[], &[row(1, 4), row(2, 4)]);
        let asked: Vec<_> = [1, 2, 3].map(ConnectionId::from_u128).into();
        assert_eq!(view.how_many_of(&asked), 2);
    }
}
