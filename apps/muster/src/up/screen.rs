//! On what the plane is looked at: the window, the same in this terminal, or nothing.
//!
//! What always holds: a program that draws is one of this installation, beside this program or on the path; where there is
//! none, it is said how to get it, and the plane runs without.

use std::ffi::OsString;
use std::io::{IsTerminal, stdin, stdout};
use std::path::{Path, PathBuf};

use super::part::Part;
use super::{DATABASE, DESKTOP, Folder};
use crate::outcome::Failure;
use crate::target::variable_text;
use crate::ui::Ui;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Choice {
    /// The window where there is a display, else the terminal
    Auto,
    /// The window
    Window,
    /// This terminal
    Top,
    /// Nothing
    None,
}

/// What is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    /// `muster-desktop`.
    Window(PathBuf),
    /// `muster top` in this terminal: this program, or one beside it that was built with the feature `top`.
    Top(PathBuf),
    /// Nothing.
    None,
}

/// What this machine has.
#[derive(Clone, Debug, Default)]
struct Machine {
    window: Option<PathBuf>,
    top: Option<PathBuf>,
    has_display: bool,
    has_terminal: bool,
}

const NO_WINDOW: &str = "the window (muster-desktop) is not installed beside this program: `make up` builds it";
const NO_TOP: &str =
    "a program with the screen of `muster top` (muster-top) is not installed beside this program: `make up` builds it";

impl Screen {
    /// What there is of what is asked for.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if what is asked for by name is not there.
    pub(crate) fn find(ui: &Ui, choice: Choice) -> Result<Screen, Failure> {
        let machine = Machine {
            window: program("muster-desktop"),
            top: if cfg!(feature = "top") { std::env::current_exe().ok() } else { program("muster-top") },
            has_display: ["WAYLAND_DISPLAY", "DISPLAY"].iter().any(|name| variable_text(name).is_some()),
            has_terminal: stdin().is_terminal() && stdout().is_terminal(),
        };
        let (screen, remark) = choose(choice, machine)?;
        if let Some(remark) = remark {
            ui.say(remark);
        }
        Ok(screen)
    }

    /// Its name in the list of what runs.
    pub(crate) const fn word(&self) -> &'static str {
        match self {
            Screen::Window(_) => "window",
            Screen::Top(_) => "terminal",
            Screen::None => "none",
        }
    }

    /// Starts it; `None` where there is nothing to start.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it does not start.
    pub(crate) fn start(&self, folder: &Folder, host: &str, issuer: &str) -> Result<Option<Part>, Failure> {
        let arguments = arguments(folder, host, issuer);
        match self {
            Screen::Window(program) => Part::start("window", "desktop", folder, program, &arguments).map(Some),
            Screen::Top(program) => {
                let arguments: Vec<_> = std::iter::once("top".into()).chain(arguments).collect();
                Part::start_on_terminal("screen", program, &arguments).map(Some)
            }
            Screen::None => Ok(None),
        }
    }
}

fn arguments(folder: &Folder, host: &str, issuer: &str) -> Vec<OsString> {
    let flags: [(&str, OsString); 7] = [
        ("--server", host.into()),
        ("--database", DATABASE.into()),
        ("--control", issuer.into()),
        ("--client-id", DESKTOP.into()),
        ("--client-secret-file", folder.secret(DESKTOP).into()),
        ("--store", folder.store().into()),
        ("--outbox", folder.outbox().into()),
    ];
    flags.into_iter().flat_map(|(flag, value)| [flag.into(), value]).collect()
}

/// What to show, and what to say about it.
fn choose(choice: Choice, machine: Machine) -> Result<(Screen, Option<&'static str>), Failure> {
    let missing = |what: &str| Failure::could_not(what, "or start without it: --no-ui");
    match choice {
        Choice::None => Ok((Screen::None, None)),
        Choice::Window => match machine.window {
            Some(program) => Ok((Screen::Window(program), None)),
            None => Err(missing(NO_WINDOW)),
        },
        Choice::Top => match (machine.top, machine.has_terminal) {
            (Some(program), true) => Ok((Screen::Top(program), None)),
            (None, _) => Err(missing(NO_TOP)),
            (_, false) => Err(missing("this is no terminal to draw on: start it in one")),
        },
        Choice::Auto => Ok(match (machine.window, machine.top) {
            (Some(program), _) if machine.has_display => (Screen::Window(program), None),
            (None, Some(program)) if machine.has_display && machine.has_terminal => {
                (Screen::Top(program), Some(NO_WINDOW))
            }
            (None, _) if machine.has_display => (Screen::None, Some(NO_WINDOW)),
            (_, Some(program)) if machine.has_terminal => (Screen::Top(program), None),
            (_, None) if machine.has_terminal => (Screen::None, Some(NO_TOP)),
            _ => (Screen::None, None),
        }),
    }
}

/// A program beside this one, or on the path.
fn program(name: &str) -> Option<PathBuf> {
    let beside = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = beside.into_iter().chain(std::env::split_paths(&path)).map(|folder| folder.join(name));
    found.into_iter().find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(window: bool, top: bool, has_display: bool, has_terminal: bool) -> Machine {
        let path = |there: bool| there.then(|| PathBuf::from("/x"));
        Machine { window: path(window), top: path(top), has_display, has_terminal }
    }

    #[test]
    fn what_there_is_is_shown_and_what_is_missing_is_said() {
        let auto = |machine| {
            let (screen, remark) = choose(Choice::Auto, machine).expect("it never fails");
            (screen.word(), remark)
        };
        for terminal in [false, true] {
            assert_eq!(auto(machine(true, true, true, terminal)), ("window", None));
        }
        assert_eq!(auto(machine(true, true, false, true)), ("terminal", None));
        assert_eq!(auto(machine(false, true, true, true)), ("terminal", Some(NO_WINDOW)));
        assert_eq!(auto(machine(false, true, true, false)), ("none", Some(NO_WINDOW)));
        assert_eq!(auto(machine(true, false, false, true)), ("none", Some(NO_TOP)));
        assert_eq!(auto(machine(true, true, false, false)), ("none", None));
    }

    #[test]
    fn what_is_asked_for_by_name_must_be_there() {
        let refused = |choice, machine| choose(choice, machine).expect_err("missing").to_string();
        assert!(refused(Choice::Window, machine(false, true, true, true)).contains("muster-desktop"));
        assert!(refused(Choice::Top, machine(true, false, true, true)).contains("muster-top"));
        assert!(refused(Choice::Top, machine(true, true, true, false)).contains("no terminal"));
        assert_eq!(choose(Choice::None, machine(true, true, true, true)), Ok((Screen::None, None)));
    }
}
