//! The host's process is killed under load and comes back: what it had acknowledged is there, and no session outlived it.
//!
//! What always holds: that it really went away is seen by a session straight to it, which must end; a command that killed
//! nothing makes the drill inconclusive.

use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;
use tokio::time::timeout;

use super::scene::{Scene, under_load};
use crate::gates::limits::COMMAND_MS_MAX;
use crate::gates::recorder::{Recorder, ms};
use crate::gates::site::{Stage, words};
use crate::gates::traffic::until;
use crate::observation::{Observation, Quantity};

/// Runs.
pub(super) async fn run(stage: &Stage, recorder: &Recorder) {
    under_load(stage, recorder, "host_restart", async |scene: &Scene<'_>| {
        let witness = stage.session().await.map_err(|error| words(&error))?;
        let id = witness.connection.connection_id();
        let began = Instant::now();
        execute(&stage.settings().restart).await?;
        let patience = stage.settings().patience();
        if timeout(patience, witness.connection.wait_closed()).await.is_err() {
            return Err("the command ended well, and the host was never away: is it the right one in `restart`?".into());
        }
        let up = until(patience, async || stage.http.ping().await.is_ok()).await;
        let took = ms(began.elapsed());
        scene.recorder.push("host away", Quantity::Recovery, "ms", Instant::now(), took);
        if !up {
            return Err(format!("the host did not come back within {} s", patience.as_secs()));
        }
        recorder.observe(Observation::noted("host_restart.away", took).unit("ms"));
        let query =
            format!("SELECT COUNT(*) AS n FROM active_connection WHERE connection_id = 0x{}", id.to_hex().as_str());
        let ghosts = until(patience, async || {
            let answer = stage.http.sql(&query, true).await;
            answer.is_ok_and(|answer| {
                let cell = answer.statements.first().and_then(|it| it.rows.first()).and_then(|row| row.first());
                cell.is_some_and(|cell| cell.get() == "0")
            })
        });
        let gone = ghosts.await;
        let why = "a session of before the restart still has its row in active_connection (a ghost)";
        recorder.must("host_restart.ghosts", gone, !gone, why);
        Ok(())
    })
    .await;
}

/// Runs a command of the lane's, without a shell.
async fn execute(command: &[String]) -> Result<(), String> {
    let [program, arguments @ ..] = command else { return Err("gates.toml says no command in `restart`".into()) };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let status = timeout(Duration::from_millis(COMMAND_MS_MAX), command.status()).await;
    match status {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{program}` ended with {status}")),
        Ok(Err(error)) => Err(format!("`{program}` cannot be run: {error}")),
        Err(_) => Err(format!("`{program}` did not end within {} s", COMMAND_MS_MAX / 1_000)),
    }
}
