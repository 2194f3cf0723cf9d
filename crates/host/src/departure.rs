//! Taking a client out of a database: the one place where a connected client's row disappears, for WebSocket sessions
//! and HTTP requests alike.
//!
//! Always true: [`Departure::run`] returns only once the client is out of the engine's table `st_client` and the module
//! has seen `client_disconnected`, or the database is gone, or the engine has not answered for minutes. An update may
//! replace the module at any moment, also in the middle of asking; whichever module runs then is asked.
//!
//! Exactly once: the engine runs `client_disconnected` only for a client that is still in `st_client` and deletes the
//! row in the same transaction, so that asking twice is harmless.

use std::time::Duration;

use spacetimedb::client::ClientActorId;
use spacetimedb::host::{HostController, ModuleHost};
use tokio::sync::watch;

use crate::limits::DEPARTURE_TIMEOUT;

/// A client that a module has accepted, and how to find the module that runs when it leaves.
pub(crate) struct Departure {
    /// Who leaves.
    pub(crate) client: ClientActorId,
    /// The replica it was connected to.
    pub(crate) replica_id: u64,
    /// The replica's module, followed across updates.
    pub(crate) module_rx: watch::Receiver<ModuleHost>,
    /// Where a new watch comes from after an update that breaks clients.
    pub(crate) host: HostController,
}

impl Departure {
    /// Runs `client_disconnected` and takes the client out of the engine's tables and subscriptions.
    ///
    /// A module that is swapped for another while we ask answers with an error, which the engine only logs; so we ask
    /// again as long as there is a newer module than the one asked. The engine either answers or lets go of the
    /// module; should it do neither within [`DEPARTURE_TIMEOUT`], the row is left to it, or to the next start.
    pub(crate) async fn run(self) {
        let client = self.client;
        if within(DEPARTURE_TIMEOUT, self.ask()).await {
            tracing::debug!(%client, "disconnected");
        } else {
            tracing::error!(%client, "the engine did not take a client out; the next start will");
        }
    }

    async fn ask(self) {
        let Self { client, replica_id, mut module_rx, host } = self;
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
    }
}

/// Whether the engine was done `asking` within the limit: an engine that hangs must not keep a session's place, and a
/// shutdown, for ever.
async fn within(limit: Duration, asking: impl Future<Output = ()>) -> bool {
    tokio::time::timeout(limit, asking).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_engine_that_never_answers_is_waited_for_no_longer_than_the_limit() {
        let soon = Duration::from_millis(10);
        let asked = tokio::time::timeout(DEPARTURE_TIMEOUT, within(soon, std::future::pending())).await;
        assert_eq!(asked, Ok(false));
        assert!(within(soon, std::future::ready(())).await);
    }
}
