//! Sessions, revocations and the audit log, as an administrator sees and ends them.

use std::time::Duration;

use serde_json::json;

use super::{end_tokens, find};
use crate::Control;
use crate::error::ControlError;
use crate::limits::{LIST_MAX, PRUNE_PAUSE_MS};
use crate::secret::Secret;
use crate::store::audit::{self, AuditEntry, Head};
use crate::store::revocations::{self, Revocation};
use crate::store::sessions::{self, Session};

impl Control {
    /// Live sessions, newest first, at most [`LIST_MAX`]; of one client, if it is named.
    ///
    /// # Errors
    /// The database.
    pub fn sessions_list(&self, client: Option<&str>) -> Result<Vec<Session>, ControlError> {
        let now_s = self.now_s();
        self.inner.store.read(|connection| Ok(sessions::live(connection, client, now_s, LIST_MAX)?))
    }

    /// Ends a session, and all that were exchanged from it. Returns how many ended.
    ///
    /// # Errors
    /// No live session has this id.
    pub fn session_revoke(&self, actor: &str, id: &str) -> Result<usize, ControlError> {
        self.change(|tx, now_s| {
            let ended = sessions::revoke(tx, id, now_s, "operator")?;
            if ended.is_empty() {
                return Err(ControlError::NoSession(id.into()));
            }
            audit::append(tx, now_s, actor, "session.revoke", id, &json!({ "ended": ended }))?;
            Ok(ended.len())
        })
    }

    /// Ends every session of a client, which may begin new ones.
    ///
    /// # Errors
    /// No such client.
    pub fn client_revoke_sessions(&self, actor: &str, id: &str) -> Result<usize, ControlError> {
        self.change(|tx, now_s| {
            find(tx, id)?;
            let ended = end_tokens(tx, id, now_s, "operator")?;
            audit::append(tx, now_s, actor, "client.revoke-sessions", id, &json!({ "ended": ended }))?;
            Ok(ended)
        })
    }

    /// Revocations after a place in the feed, oldest first.
    ///
    /// # Errors
    /// The database.
    pub fn revocations_after(&self, after: i64, limit: usize) -> Result<Vec<Revocation>, ControlError> {
        self.inner.store.read(|connection| Ok(revocations::after(connection, after, limit)?))
    }

    /// Revocations that `target` has not confirmed to have taken, oldest first.
    ///
    /// # Errors
    /// The database.
    pub fn revocations_waiting(&self, target: &str, limit: usize) -> Result<Vec<Revocation>, ControlError> {
        self.inner.store.read(|connection| Ok(revocations::waiting(connection, target, limit)?))
    }

    /// Confirms that `target` has taken everything up to the place `seq`; 0 makes it known. Nothing is taken back.
    ///
    /// # Errors
    /// The database.
    pub fn revocations_delivered(&self, target: &str, seq: i64) -> Result<(), ControlError> {
        let now_s = self.now_s();
        self.inner.store.write(|tx| Ok(revocations::delivered(tx, target, seq, now_s)?))
    }

    /// Forgets a target that there is no more. One of its name hears everything that is remembered again.
    ///
    /// # Errors
    /// The database.
    pub fn revocations_forget(&self, target: &str) -> Result<(), ControlError> {
        self.inner.store.write(|tx| Ok(revocations::forget_target(tx, target)?))
    }

    /// A token of the service's own, good for five minutes. It grants nothing; the lane's module lets its identity (of the
    /// issuer and [`crate::OWN_SUBJECT`]) revoke grants where the owner named it as the revoker.
    ///
    /// # Errors
    /// The database, the signing key.
    pub fn own_token(&self) -> Result<Secret, ControlError> {
        let issued = self.inner.store.write(|tx| Ok::<_, ControlError>(self.inner.issuer().own(tx)?))?;
        Ok(issued.token)
    }

    /// Forgets what nobody needs any more: expired tokens and assertions, sessions a day after their end, revocations of
    /// what has expired everywhere. The running service does it every five minutes. Others write in between.
    ///
    /// # Errors
    /// The database.
    pub fn prune(&self) -> Result<(), ControlError> {
        while self.inner.prune_some()? {
            std::thread::sleep(Duration::from_millis(PRUNE_PAUSE_MS));
        }
        Ok(())
    }

    /// The audit log after an entry, oldest first, at most [`LIST_MAX`].
    ///
    /// # Errors
    /// The database.
    pub fn audit(&self, after: i64) -> Result<Vec<AuditEntry>, ControlError> {
        self.inner.store.read(|connection| Ok(audit::list(connection, after, LIST_MAX)?))
    }

    /// Checks the audit log's chain of hashes from its beginning, and returns its end.
    ///
    /// # Errors
    /// [`ControlError::AuditBroken`] with the first entry that does not follow.
    pub fn audit_verify(&self) -> Result<Head, ControlError> {
        let verified = self.inner.store.read(audit::verify)?;
        verified.map_err(ControlError::AuditBroken)
    }
}
