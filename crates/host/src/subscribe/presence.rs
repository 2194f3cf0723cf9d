//! A client's row among the connected clients, and the one place where it disappears.
//!
//! Always true: from the moment the module accepted a client until its [`Presence`] is dropped, the client is in the
//! engine's table `st_client`, and the module has seen `client_connected`; dropping the `Presence` runs
//! `client_disconnected`. There is no other way out of a session: a client's Close, a cut connection, an idle timeout, a
//! refused message, a panic, the engine aborting a slow consumer's task, the host's shutdown all end in that drop.
//! A host that is killed has dropped nothing; the engine then finds the row in `st_client` when it starts again, and
//! runs `client_disconnected` for it.
//!
//! Exactly once: the engine runs `client_disconnected` only for a client that is still in `st_client` and deletes the
//! row in the same transaction, so that asking twice, as [`leave`] may, is harmless.

use spacetimedb::client::{ClientActorId, SessionReservation};
use spacetimedb::host::{HostController, ModuleHost};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// Keeps a client connected for as long as it lives.
pub(super) struct Presence {
    departure: Option<Departure>,
    runtime: Handle,
    tracker: TaskTracker,
    /// Keeps whoever waits for `tracker` waiting until the goodbye is on it.
    _token: TaskTrackerToken,
}

struct Departure {
    client: ClientActorId,
    replica_id: u64,
    module_rx: watch::Receiver<ModuleHost>,
    host: HostController,
    /// Frees the session id only after `client_disconnected` ran, so that a retry finds the old connection gone.
    reservation: Option<SessionReservation>,
}

impl Presence {
    /// Takes charge of a client that `client_connected` has just accepted. The goodbye runs on `tracker`, so that a host
    /// that waits for `tracker` waits for it.
    pub(super) fn of(
        client: ClientActorId,
        replica_id: u64,
        module_rx: watch::Receiver<ModuleHost>,
        host: HostController,
        reservation: Option<SessionReservation>,
        tracker: TaskTracker,
    ) -> Self {
        let departure = Departure { client, replica_id, module_rx, host, reservation };
        Self { departure: Some(departure), runtime: Handle::current(), _token: tracker.token(), tracker }
    }

    /// The place to say which connection holds the session id.
    pub(super) fn reservation(&self) -> Option<&SessionReservation> {
        self.departure.as_ref().and_then(|departure| departure.reservation.as_ref())
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        if let Some(departure) = self.departure.take() {
            // On a task of its own, because the session's task may be the one that is being aborted.
            self.tracker.spawn_on(leave(departure), &self.runtime);
        }
    }
}

/// Runs `client_disconnected` and takes the client out of the engine's tables and subscriptions.
///
/// A module that is swapped for another while we ask answers with an error, which the engine only logs; so we ask again
/// as long as there is a newer module than the one asked. No timeout: the engine either answers or lets go of the
/// module, and giving up would leave a row behind for a client that is gone.
async fn leave(departure: Departure) {
    let Departure { client, replica_id, mut module_rx, host, reservation } = departure;
    loop {
        let module = module_rx.borrow_and_update().clone();
        module.disconnect_client(client).await;
        match module_rx.has_changed() {
            Ok(false) => break,
            Ok(true) => {}
            // An update that breaks clients cuts them off from the new module, and disconnects those it knows of. A
            // client that connected in that very moment is not among them.
            Err(_) => match host.watch_module_host(replica_id).await {
                Ok(current) => module_rx = current,
                // The database is gone, and the row with it.
                Err(_) => break,
            },
        }
    }
    tracing::debug!(%client, "disconnected");
    drop(reservation);
}
