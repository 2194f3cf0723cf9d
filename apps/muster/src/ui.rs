//! What a person and a script see: stdout for data, stderr for talk. The log is in [`crate::logging`].
//!
//! What always holds: nothing but this, the log and [`crate::outcome`] writes to stdout or stderr; colours go only to a
//! terminal, and not where `NO_COLOR` is set, unless `--color always` asks for them, which overrides both; a reader that
//! goes away ends the command quietly, and where the command has a verdict ([`or_unread`]), changes nothing about that.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;

use crate::cli::GlobalArgs;
use crate::outcome::{Failure, one_line};

/// How much to say.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ui {
    quiet: bool,
    verbose: bool,
}

impl Ui {
    /// As the command line asks. Also settles whether this process uses colours.
    pub(crate) fn new(global: &GlobalArgs) -> Ui {
        // Left alone, `auto` asks the terminal, NO_COLOR and CLICOLOR.
        match global.color {
            clap::ColorChoice::Auto => {}
            clap::ColorChoice::Always => anstream::ColorChoice::Always.write_global(),
            clap::ColorChoice::Never => anstream::ColorChoice::Never.write_global(),
        }
        Ui { quiet: global.quiet, verbose: global.verbose > 0 }
    }

    /// Talk: one line on stderr, unless `--quiet`.
    pub(crate) fn say(&self, line: impl AsRef<str>) {
        if !self.quiet {
            to_stderr(line.as_ref());
        }
    }

    /// What is wrong with one of many things, where the others go on: one line on stderr, `--quiet` or not.
    pub(crate) fn complain(&self, line: impl AsRef<str>) {
        to_stderr(&one_line(line.as_ref()));
    }

    /// Whether nothing but errors is to be said.
    pub(crate) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// What belongs to an error and was held back by `--quiet`: lines on stderr. Without it they have been seen.
    pub(crate) fn say_although_quiet(&self, lines: &str) {
        if self.quiet && !lines.is_empty() {
            to_stderr(lines);
        }
    }

    /// Talk that only `--verbose` asks for.
    pub(crate) fn detail(&self, line: impl AsRef<str>) {
        if self.verbose {
            to_stderr(line.as_ref());
        }
    }

    /// Talk: how far something is, on one line of stderr that changes. Only on a terminal, and not with `--quiet`.
    ///
    /// # Panics
    /// Never: the template is a constant that is known to be right.
    pub(crate) fn progress_bar(&self) -> indicatif::ProgressBar {
        if self.quiet {
            return indicatif::ProgressBar::hidden();
        }
        let style = indicatif::ProgressStyle::with_template("{wide_bar} {pos}/{len} {elapsed} {msg}");
        // Unknown until the first step.
        indicatif::ProgressBar::new(1).with_style(style.expect("the template is well-formed"))
    }

    /// Data: one line, or several, on stdout.
    ///
    /// # Errors
    /// [`Failure::ReaderGone`], or [`Failure::CouldNot`] if it cannot be written.
    pub(crate) fn print(&self, text: impl AsRef<str>) -> Result<(), Failure> {
        write_stdout(&format!("{}\n", text.as_ref()))
    }

    /// Data: a JSON document on one line of stdout.
    ///
    /// # Errors
    /// As [`Ui::print`].
    ///
    /// # Panics
    /// Never: what this program prints are maps with text keys.
    pub(crate) fn print_json(&self, document: &impl Serialize) -> Result<(), Failure> {
        self.print(serde_json::to_string(document).expect("maps with text keys are JSON"))
    }
}

/// What became of printing, for a command whose verdict does not depend on anybody reading it: a reader that went away is
/// no error then, and the exit code stays the verdict's.
///
/// # Errors
/// As [`Ui::print`], but never [`Failure::ReaderGone`].
pub(crate) fn or_unread(printed: Result<(), Failure>) -> Result<(), Failure> {
    match printed {
        Err(Failure::ReaderGone) => Ok(()),
        printed => printed,
    }
}

/// A question, on stderr, with the cursor left behind it.
pub(crate) fn ask(question: &str) {
    let mut stderr = anstream::stderr();
    // A terminal that cannot show the question will not give an answer either, which means no.
    let _ = write!(stderr, "{question}").and_then(|()| stderr.flush());
}

fn to_stderr(line: &str) {
    // A closed stderr is no reason to stop.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// Writes to stdout, colours taken out where they do not belong.
pub(crate) fn write_stdout(text: &str) -> Result<(), Failure> {
    let mut stdout = anstream::stdout().lock();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| unwritable(&error))
}

fn unwritable(error: &io::Error) -> Failure {
    if error.kind() == ErrorKind::BrokenPipe {
        return Failure::ReaderGone;
    }
    Failure::could_not(format!("cannot write to stdout ({error})"), "check where the output goes")
}

/// Makes a panic one line without a backtrace. It is a bug all the same, and says so.
pub(crate) fn panics_are_one_line() {
    std::panic::set_hook(Box::new(|panic| {
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given");
        // The engine ends the task of a commit log or a module's log that cannot be written in a panic. The host then says
        // what happened, and to whom.
        let engine_log = ["spacetimedb-durability-", "spacetimedb-commitlog-", "database_logger.rs"];
        if panic.location().is_some_and(|place| engine_log.iter().any(|name| place.file().contains(name))) {
            to_stderr(&format!("error: a database's log cannot be written: {}; is the disk full?", one_line(text)));
            return;
        }
        let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
        to_stderr(&format!("error: muster has a bug: {}{place}; please report this line", one_line(text)));
    }));
}
