//! The engine called in this process, past HTTP and WebSocket: the yardstick that the host's own cost is measured by.
//!
//! Always true: a call takes the same way into the engine as `POST …/call/{reducer}` does, and a visitor is known to
//! engine and module as a WebSocket client is; only parsing, sockets and subscriptions are missing. For measurements
//! (feature `in-process`), not for applications: nothing here is part of SpacetimeDB's API.

use bytes::Bytes;
use spacetimedb::client::{ClientActorId, ClientConnection};
use spacetimedb::host::{FunctionArgs, ModuleHost, ReducerOutcome};
use spacetimedb_lib::{ConnectionId, Identity};
use tokio::sync::watch;

use super::RunningHost;
use crate::auth::Caller;
use crate::departure::Departure;
use crate::engine::within_durability_timeout;

/// A call or a visit that did not come about. For a person.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the engine refused: {0}; see the host's log")]
pub struct InProcessError(String);

impl InProcessError {
    fn of(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// One database of a running host, called directly, as one anonymous identity.
pub struct InProcess {
    module_rx: watch::Receiver<ModuleHost>,
    caller: Caller,
    new_departure: Box<dyn Fn(ClientActorId) -> Departure + Send + Sync>,
    new_client: Box<dyn Fn(Identity) -> ClientActorId + Send + Sync>,
}

/// A client that engine and module take for connected until [`Visit::leave`].
#[must_use = "a visit that is dropped stays in the database until the host starts again"]
pub struct Visit(Departure);

impl RunningHost {
    /// The database of `identity`, to be called in this process.
    ///
    /// # Errors
    /// [`InProcessError`] if there is no such database or it does not launch.
    pub async fn in_process(&self, identity: Identity) -> Result<InProcess, InProcessError> {
        let state = self.parts().state.clone();
        let record = state.control.database(identity).map_err(InProcessError::of)?;
        let record = record.ok_or_else(|| InProcessError("no such database".into()))?;
        let module_rx = state.engine.watch_module(&record).await.map_err(InProcessError::of)?;
        let caller = state.auth.mint().map_err(|error| InProcessError(format!("{error:?}")))?;
        let (replica_id, host, rx) = (record.replica_id, state.engine.controller().clone(), module_rx.clone());
        let new_departure = move |client| Departure { client, replica_id, module_rx: rx.clone(), host: host.clone() };
        let new_client = move |identity| ClientActorId {
            identity,
            connection_id: ConnectionId::from_u128(rand::random::<u128>() | 1),
            name: state.clients.next_client_name(),
        };
        Ok(InProcess { module_rx, caller, new_departure: Box::new(new_departure), new_client: Box::new(new_client) })
    }
}

impl InProcess {
    /// Runs a reducer with arguments in BSATN; with `confirmed`, returns once what it did is durable.
    ///
    /// # Errors
    /// [`InProcessError`] if the reducer did not commit, or was not durable in time.
    pub async fn call(&self, reducer: &str, args: Bytes, confirmed: bool) -> Result<(), InProcessError> {
        let module = self.module_rx.borrow().clone();
        let identity = self.caller.identity();
        let args = FunctionArgs::Bsatn(args);
        let called = module
            .call_reducer_with_offset(identity, None, None, None, None, reducer, args)
            .await
            .map_err(InProcessError::of)?;
        match called.result.outcome {
            ReducerOutcome::Committed => {}
            ReducerOutcome::Failed(message) => return Err(InProcessError(message.to_string())),
            ReducerOutcome::BudgetExceeded => return Err(InProcessError("out of energy".into())),
        }
        let Some(mut durable) = module.durable_tx_offset().filter(|_| confirmed) else {
            return Ok(());
        };
        let confirmation = within_durability_timeout(async {
            let offset = called.tx_offset.await.map_err(InProcessError::of)?;
            durable.wait_for(offset).await.map_err(|_| InProcessError("the database stopped".into()))
        });
        confirmation.await.map_err(InProcessError::of)?.map(|_| ())
    }

    /// Connects a client: `client_connected` runs and commits. Nobody waits for it to be durable.
    ///
    /// # Errors
    /// [`InProcessError`] if the module refuses.
    pub async fn visit(&self) -> Result<Visit, InProcessError> {
        let auth = self.caller.connection_auth().map_err(|error| InProcessError(format!("{error:?}")))?;
        let client = (self.new_client)(self.caller.identity());
        let mut module_rx = self.module_rx.clone();
        ClientConnection::call_client_connected_maybe_reject(&mut module_rx, client, auth)
            .await
            .map_err(|error| InProcessError(format!("{error:#}")))?;
        Ok(Visit((self.new_departure)(client)))
    }
}

impl Visit {
    /// Disconnects the client: `client_disconnected` has run when this returns.
    pub async fn leave(self) {
        self.0.run().await;
    }
}
