//! Why a measurement could not be taken.

use std::io;

/// Why a measurement could not be taken. Slow is no error.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A process of its own could not be run.
    #[error("cannot run `{command}` as a process of its own ({reason}); try it by itself")]
    Child {
        /// What was to be run.
        command: String,
        /// Why not.
        reason: String,
    },
    /// The system has too few open files.
    #[error("{wanted} open files are needed and this user may have {allowed}; raise the hard limit (ulimit -Hn)")]
    OpenFiles {
        /// How many are needed.
        wanted: u64,
        /// How many there may be.
        allowed: u64,
    },
    /// Files of `/proc` or of the data folder.
    #[error("cannot read or write {what} ({source}); this needs Linux, and space in the temporary folder")]
    Io {
        /// Which.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A session did not come about, or ended.
    #[error("{system}: {reason}; is the machine out of ports, memory or open files? try again with less load")]
    Session {
        /// Whose.
        system: &'static str,
        /// What happened.
        reason: String,
    },
    /// The module could not be published to the host that was started.
    #[error("the module was not published: {0}")]
    Publish(String),
    /// What arrived is not what was sent.
    #[error("the subscriber's database is wrong: {0}; the figures are worth nothing, please report this")]
    Wrong(String),
    /// The engine in this process failed.
    #[error("the engine in this process: {0}")]
    Engine(String),
    /// Too many sessions for the machine's limits, or another request that makes no sense.
    #[error("{0}")]
    Plan(String),
}

impl BenchError {
    /// Of a file or a folder.
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> BenchError {
        let what = what.into();
        move |source| BenchError::Io { what, source }
    }

    /// Of a system's session.
    pub(crate) fn session(system: &'static str) -> impl Fn(String) -> BenchError {
        move |reason| BenchError::Session { system, reason }
    }
}
