//! What an administrator's call or the start of the service can fail with.

use std::io;
use std::path::PathBuf;

use crate::config::ConfigError;
use crate::grant::GrantError;
use crate::keys::KeyError;
use crate::store::StoreError;

/// Why a call failed. One line each: cause and remedy.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The database or a file failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A key given from outside cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A grant cannot be used.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A field of a client cannot be used.
    #[error("the client's {field} cannot be used: {why}")]
    Client {
        /// Which field.
        field: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The id is taken.
    #[error("there is a client `{0}` already; choose another id, or change that one")]
    ClientExists(String),
    /// No client has this id.
    #[error("there is no client `{0}`; `muster control clients list` names them")]
    NoClient(String),
    /// No key of the client or the key set has this id.
    #[error("there is no such key, or no room for one; list the keys to see which there are")]
    NoKey,
    /// No live session has this id.
    #[error("there is no live session `{0}`; `muster control sessions list` names them")]
    NoSession(String),
    /// Another process serves from this state directory.
    #[error("another control service runs on this state directory; stop it, or give this one a directory of its own")]
    AlreadyServing,
    /// The state belongs to another issuer.
    #[error(
        "the state directory is that of the issuer `{0}`; give another issuer a directory of its own: hosts make \
             identities of the issuer's name"
    )]
    OtherIssuer(String),
    /// There is no state yet.
    #[error("{0} has no token service's state; `muster control init` makes it")]
    NoState(PathBuf),
    /// A cohort cannot be used.
    #[error("the cohort cannot be used: {0}")]
    Cohort(&'static str),
    /// The database has no cohort.
    #[error("the database `{0}` has no cohort; `muster control cohort show` lists them")]
    NoCohort(String),
    /// The network or the disk failed while serving.
    #[error("the token service cannot go on: {0}")]
    Serve(#[from] io::Error),
    /// The audit log was changed with other tools.
    #[error("the audit log does not follow from entry {0} on: it was changed; compare it with a backup")]
    AuditBroken(i64),
}

impl From<rusqlite::Error> for ControlError {
    fn from(error: rusqlite::Error) -> Self {
        ControlError::Store(error.into())
    }
}
