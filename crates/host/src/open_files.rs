//! How many files and sockets this process may have open.
//!
//! The system counts both in one number (`RLIMIT_NOFILE`), which is 1,024 on many systems until a program asks for what it
//! is allowed: far less than a host's connections. The number belongs to the process, so a host inside another program
//! only says that it is too small; [`raise_open_files`] is for whoever owns the process.

use crate::limits::OPEN_FILES_RESERVE;

/// Lets this process have as many files open as the system allows it, and returns that number; `None` where there is no
/// limit, or none that is known. Best called once, before a host starts. A program that uses `select(2)` with descriptors
/// above 1,023 must not.
pub fn raise_open_files() -> Option<u64> {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if limit.current != limit.maximum
            && let Err(error) = setrlimit(Resource::Nofile, raised)
        {
            tracing::warn!(%error, "cannot raise the number of files that may be open");
        }
    }
    allowed()
}

/// How many files may be open now.
fn allowed() -> Option<u64> {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    #[cfg(not(unix))]
    return None;
}

/// Says so in the log if `connections` do not fit beside the files of databases.
pub(crate) fn warn_if_short(connections: usize) {
    if let Some(allowed) = allowed()
        && let Some(fitting) = too_few(connections, allowed)
    {
        tracing::warn!(
            connections,
            allowed,
            "not so many files may be open: about {fitting} connections will find a place; raise the limit (`ulimit -n`, \
             `LimitNOFILE=`), or lower `connections`"
        );
    }
}

/// How many connections fit, if it is fewer than are wanted.
fn too_few(connections: usize, allowed: u64) -> Option<u64> {
    let fitting = allowed.saturating_sub(OPEN_FILES_RESERVE);
    (fitting < u64::try_from(connections).unwrap_or(u64::MAX)).then_some(fitting)
}

/// Whether `error` says that this process (`EMFILE`) or this machine (`ENFILE`) has too many files open. The engine turns
/// some errors of the system into text, which ends in the number.
pub(crate) fn is_out_of_files(error: &anyhow::Error) -> bool {
    const NUMBERS: [i32; 2] = [23, 24];
    error.chain().any(|cause| {
        let number = cause.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        let text = cause.to_string();
        NUMBERS.iter().any(|known| number == Some(*known) || text.contains(&format!("(os error {known})")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_need_files_beside_those_of_databases() {
        assert_eq!(too_few(16_384, 1_024), Some(1_024 - OPEN_FILES_RESERVE));
        assert_eq!(too_few(16_384, 16_384), Some(16_384 - OPEN_FILES_RESERVE));
        assert_eq!(too_few(16_384, 16_384 + OPEN_FILES_RESERVE), None);
        assert_eq!(too_few(1, 3), Some(0));
    }

    #[cfg(unix)]
    #[test]
    fn too_many_open_files_are_known_by_number_and_by_text() {
        let system = || std::io::Error::from_raw_os_error(24);
        assert!(is_out_of_files(&anyhow::Error::new(system()).context("cannot make a folder")));
        assert!(is_out_of_files(&anyhow::anyhow!("cannot open the log: {}", system())));
        assert!(!is_out_of_files(&anyhow::Error::new(std::io::Error::from_raw_os_error(2))));
        assert!(!is_out_of_files(&anyhow::anyhow!("unreachable executed")));
    }
}
