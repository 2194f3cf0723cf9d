//! The process between `muster up` and each part that it starts.
//!
//! What always holds: the part ends when `muster up` is gone, also when that was killed with a signal that nobody can
//! handle: a guard that has another parent than the one that it was started by asks its part to end, and kills it when it
//! takes too long. What the part says, and its exit code, go through unchanged.

use std::ffi::OsString;
use std::os::unix::process::{ExitStatusExt, parent_id};
use std::process::ExitStatus;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, interval, sleep_until};

use crate::limits::{UP_PARENT_LOOK_MS, UP_PART_STOP_MS_MAX};
use crate::outcome::{CODE_NO, Exit, Failure, Outcome};
use crate::signals::Stop;

/// The arguments.
#[derive(Debug, clap::Args)]
pub(crate) struct GuardArgs {
    /// The process that started this one
    #[arg(long, value_name = "PID")]
    parent: u32,
    /// What to run
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs a part to its end.
pub(crate) async fn guard(args: GuardArgs) -> Outcome {
    let mut stop = Stop::listen()?;
    let (program, arguments) = args.command.split_first().expect("clap wants one at least");
    let mut child = Command::new(program).args(arguments).kill_on_drop(true).spawn().map_err(|error| {
        Failure::could_not(format!("{} cannot be run ({error})", program.display()), "is it a program?")
    })?;
    let mut looks = interval(Duration::from_millis(UP_PARENT_LOOK_MS));
    loop {
        tokio::select! {
            status = child.wait() => return ended(status),
            () = stop.wait() => break,
            _ = looks.tick() => if parent_id() != args.parent {
                break;
            },
        }
    }
    ask(&child);
    let deadline = Instant::now() + Duration::from_millis(UP_PART_STOP_MS_MAX);
    tokio::select! {
        status = child.wait() => ended(status),
        () = sleep_until(deadline) => killed(child).await,
        () = stop.wait() => killed(child).await,
    }
}

/// SIGTERM.
fn ask(child: &Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // If it is gone already, the wait says how.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
}

async fn killed(mut child: Child) -> Outcome {
    // If it is gone already, the wait says how.
    let _ = child.start_kill();
    ended(child.wait().await)
}

/// The part's exit code, or 128 and the number of the signal that ended it.
fn ended(status: std::io::Result<ExitStatus>) -> Outcome {
    let status = status.map_err(|error| Failure::could_not(format!("cannot wait ({error})"), "please report this"))?;
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    Ok(match u8::try_from(code).unwrap_or(CODE_NO) {
        0 => Exit::Done,
        code => Exit::Interrupted(code),
    })
}
