//! The signals that end what would otherwise go on: Ctrl-C and SIGTERM.

use tokio::signal;

use crate::outcome::Failure;

/// Listens for the signals from the moment it is made; they no longer end the process by themselves.
pub(crate) struct Stop {
    #[cfg(unix)]
    interrupt: signal::unix::Signal,
    #[cfg(unix)]
    terminate: signal::unix::Signal,
}

impl Stop {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the system has no room for it.
    #[cfg(unix)]
    pub(crate) fn listen() -> Result<Stop, Failure> {
        use signal::unix::{SignalKind, signal};
        let failed =
            |error: std::io::Error| Failure::could_not(format!("cannot listen for signals ({error})"), "try again");
        Ok(Stop {
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
        })
    }

    /// Begins to listen, on a system that only has Ctrl-C.
    #[cfg(not(unix))]
    pub(crate) fn listen() -> Result<Stop, Failure> {
        Ok(Stop {})
    }

    /// Waits for the next signal. Dropping the future loses none.
    pub(crate) async fn wait(&mut self) {
        self.wait_for_code().await;
    }

    /// The same, and says with which exit code shells expect a command to end that did not finish because of it: 128 and
    /// the signal's number.
    pub(crate) async fn wait_for_code(&mut self) -> u8 {
        #[cfg(unix)]
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
        #[cfg(not(unix))]
        // Without a handler the signal ends the process by itself, which will do.
        {
            if signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            130
        }
    }
}
