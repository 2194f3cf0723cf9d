//! A WebSocket client's row among the connected clients: there for as long as the session.
//!
//! Always true: from the moment the module accepted a client until its [`Presence`] is dropped, the client is in the
//! engine's table `st_client`, and the module has seen `client_connected`; dropping the `Presence` runs
//! `client_disconnected`. There is no other way out of a session: a client's Close, a cut connection, an idle timeout, a
//! refused message, a panic, the engine aborting a slow consumer's task, the host's shutdown all end in that drop.
//! A host that is killed has dropped nothing; the engine then finds the row in `st_client` when it starts again, and
//! runs `client_disconnected` for it.

use spacetimedb::client::SessionReservation;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::departure::Departure;

/// Keeps a client connected for as long as it lives.
pub(super) struct Presence {
    leaving: Option<Leaving>,
    runtime: Handle,
    tracker: TaskTracker,
    /// Keeps whoever waits for `tracker` waiting until the goodbye is on it.
    _token: TaskTrackerToken,
}

struct Leaving {
    departure: Departure,
    /// Frees the session id only after `client_disconnected` ran, so that a retry finds the old connection gone.
    reservation: Option<SessionReservation>,
}

impl Presence {
    /// Takes charge of a client that `client_connected` has just accepted. The goodbye runs on `tracker`, so that a host
    /// that waits for `tracker` waits for it.
    pub(super) fn of(departure: Departure, reservation: Option<SessionReservation>, tracker: TaskTracker) -> Self {
        let leaving = Leaving { departure, reservation };
        Self { leaving: Some(leaving), runtime: Handle::current(), _token: tracker.token(), tracker }
    }

    /// The place to say which connection holds the session id.
    pub(super) fn reservation(&self) -> Option<&SessionReservation> {
        self.leaving.as_ref().and_then(|leaving| leaving.reservation.as_ref())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(leaving) = self.leaving.take() {
            // On a task of its own, because the session's task may be the one that is being aborted.
            self.tracker.spawn_on(leave(leaving), &self.runtime);
        }
    }
}

async fn leave(Leaving { departure, reservation }: Leaving) {
    departure.run().await;
    drop(reservation);
}
