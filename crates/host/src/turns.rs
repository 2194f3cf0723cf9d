//! Taking turns: whoever publishes waits for nobody but those who change the same database.
//!
//! Always true: every wait here ends, with a turn or with 503; no module runs while a lock on more than its own database
//! is held; a module file is not removed while somebody is about to list it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use spacetimedb_lib::Identity;
use tokio::sync::{MutexGuard, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::http_error::ApiError;
use crate::limits::{PUBLISH_TURN_TIMEOUT, TRIALS_AT_ONCE};

/// Who may change what now.
pub(crate) struct Turns {
    databases: Mutex<HashMap<Identity, Arc<tokio::sync::Mutex<()>>>>,
    files: tokio::sync::Mutex<()>,
    trials: Arc<Semaphore>,
}

impl Default for Turns {
    fn default() -> Self {
        let trials = Arc::new(Semaphore::new(TRIALS_AT_ONCE));
        Self { databases: Mutex::default(), files: tokio::sync::Mutex::default(), trials }
    }
}

impl Turns {
    /// The turn to create, update, reset or delete the database `identity`. Never taken twice by one operation.
    pub(crate) async fn of(&self, identity: Identity) -> Result<OwnedMutexGuard<()>, ApiError> {
        let turn = {
            let mut databases = self.databases.lock().unwrap_or_else(PoisonError::into_inner);
            // Nobody else holds or awaits these.
            databases.retain(|_, turn| Arc::strong_count(turn) > 1);
            databases.entry(identity).or_default().clone()
        };
        tokio::time::timeout(PUBLISH_TURN_TIMEOUT, turn.lock_owned())
            .await
            .map_err(|_| ApiError::unavailable("another change of this database is still going on; try again later"))
    }

    /// The turn to list or remove module files. Held for moments, and never while a module runs.
    pub(crate) async fn files(&self) -> Result<MutexGuard<'_, ()>, ApiError> {
        tokio::time::timeout(PUBLISH_TURN_TIMEOUT, self.files.lock())
            .await
            .map_err(|_| ApiError::unavailable("the host is still writing other modules; try again later"))
    }

    /// A place to try out a module that nobody knows yet, kept until the trial has ended.
    pub(crate) async fn trial(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        let busy = || ApiError::unavailable("too many modules are being tried out; try again later");
        let place = tokio::time::timeout(PUBLISH_TURN_TIMEOUT, self.trials.clone().acquire_owned()).await;
        place.map_err(|_| busy())?.map_err(|_| busy())
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn only_those_who_change_the_same_database_wait() {
        let turns = Turns::default();
        let [one, two] = [1, 2].map(|n| Identity::from_be_byte_array([n; 32]));
        let held = turns.of(one).now_or_never().expect("nobody else is there").unwrap();
        turns.of(two).now_or_never().expect("another database").unwrap();
        assert!(turns.of(one).now_or_never().is_none());
        drop(held);
        turns.of(one).now_or_never().expect("its turn").unwrap();
    }
}
