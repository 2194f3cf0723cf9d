//! How a command ends: the exit codes, and the one line that an error is.
//!
//! What always holds: [`finish`] is the only place that prints `error:`, once, as one line; libraries' typed errors
//! become [`Failure`]s here and keep their own words, which already name cause and remedy.

use std::io::Write;
use std::process::ExitCode;

use muster_lane::LaneError;
use muster_wire::http::HttpError;
use muster_wire::{CallError, ConnectError, EndpointError, TokenError};

use crate::value::UnreadableRow;

/// How every command ends. An `Err` is printed by [`finish`].
pub(crate) type Outcome = Result<Exit, Failure>;

/// The end of a command that ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done: exit code 0.
    Done,
    /// The answer is no, and the command's output has said so: exit code 1.
    No,
    /// A signal ended it before it was done, and it has put away what it had made: this exit code, 128 and the signal's
    /// number.
    Interrupted(u8),
}

/// The end of a command that has something to say on stderr.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// The answer is no: a change was refused, a reducer refused. Exit code 1.
    #[error("{0}")]
    No(String),
    /// It could not run: bad usage, bad input, unreachable, not allowed. Exit code 2.
    #[error("{0}")]
    CouldNot(String),
    /// Whoever read stdout went away before all of it was written, and nothing else was wrong. Nobody is left to tell: no
    /// line, exit code 0. A command that has a verdict gives that instead ([`crate::ui::or_unread`]).
    #[error("the reader of the output went away")]
    ReaderGone,
}

/// Exit code of [`Exit::No`] and [`Failure::No`].
pub(crate) const CODE_NO: u8 = 1;
/// Exit code of [`Failure::CouldNot`], and of a panic.
pub(crate) const CODE_COULD_NOT: u8 = 2;

impl Failure {
    /// It could not run, because of `cause`; `remedy` says what to do.
    pub(crate) fn could_not(cause: impl AsRef<str>, remedy: impl AsRef<str>) -> Failure {
        Failure::CouldNot(format!("{}; {}", cause.as_ref(), remedy.as_ref()))
    }

    /// The answer is no, because of `cause`; `remedy` says what would change that.
    pub(crate) fn no(cause: impl AsRef<str>, remedy: impl AsRef<str>) -> Failure {
        Failure::No(format!("{}; {}", cause.as_ref(), remedy.as_ref()))
    }

    /// The async runtime did not start.
    pub(crate) fn runtime(error: &std::io::Error) -> Failure {
        Failure::could_not(format!("this process cannot start its threads ({error})"), "check the limits of this user")
    }
}

macro_rules! could_not {
    ($($error:ty),*) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Failure::CouldNot(error.to_string())
            }
        })*
    };
}
could_not!(HttpError, ConnectError, CallError, EndpointError, TokenError, LaneError, UnreadableRow);

/// Prints what is left to say and gives the exit code.
pub(crate) fn finish(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(Exit::Done) | Err(Failure::ReaderGone) => ExitCode::SUCCESS,
        Ok(Exit::No) => ExitCode::from(CODE_NO),
        Ok(Exit::Interrupted(code)) => ExitCode::from(code),
        Err(failure @ Failure::No(_)) => failed(&failure, CODE_NO),
        Err(failure @ Failure::CouldNot(_)) => failed(&failure, CODE_COULD_NOT),
    }
}

/// Shows which commands there are to somebody who named none, and gives the exit code. Nothing was done, so nothing is
/// on stdout.
pub(crate) fn unasked_help(help: &str) -> ExitCode {
    // A closed stderr must not turn into another failure.
    let _ = anstream::stderr().write_all(help.as_bytes());
    ExitCode::from(CODE_COULD_NOT)
}

fn failed(failure: &Failure, code: u8) -> ExitCode {
    let red = anstyle::AnsiColor::Red.on_default().bold();
    // A closed stderr must not turn into another failure.
    let _ = writeln!(anstream::stderr(), "{red}error:{red:#} {}", one_line(&failure.to_string()));
    ExitCode::from(code)
}

/// The text with every run of white space, line breaks included, as one blank, and without control characters: what
/// others say must not span lines or move a terminal's cursor.
pub(crate) fn one_line(text: &str) -> String {
    let visible: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_cannot_span_lines_or_colour_a_terminal() {
        assert_eq!(one_line("no such\n\n  table:\t`x`\u{1b}[2J\n"), "no such table: `x` [2J");
    }

    #[test]
    fn a_failure_names_cause_and_remedy() {
        assert_eq!(Failure::no("it is full", "free some").to_string(), "it is full; free some");
    }
}
