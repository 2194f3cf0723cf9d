//! The screen as it lives: it takes the terminal, draws what the panel knows, does what keys ask, and gives it back.
//!
//! What always holds: the terminal is left as it was found, whether this ends by a key, a signal or a panic.

use std::time::Duration;

use muster_panel::{At, Command, Facts, Pane, Panel};
use ratatui::crossterm::event;
use tokio::sync::mpsc;

use super::draw::{self, State};
use super::keys::{self, Asked};
use crate::limits::{TOP_KEYS_MAX, TOP_LOOK_MS};
use crate::outcome::{Exit, Failure, Outcome};

/// The terminal, given back when this is dropped; after a panic by the hook that `ratatui` sets.
struct Taken(ratatui::DefaultTerminal);

impl Drop for Taken {
    fn drop(&mut self) {
        // The hook has done it, and then said what happened; to do it again would put the cursor above that.
        if !std::thread::panicking() {
            ratatui::restore();
        }
    }
}

/// Runs until a person ends it.
pub(super) async fn run(panel: &Panel) -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::could_not(format!("the terminal cannot be used ({error})"), "use --once for a text, or --json")
    };
    let mut terminal = Taken(ratatui::try_init().map_err(failed)?);
    let mut keys = listen();
    let mut state = State::new(has_color(std::env::var_os("NO_COLOR").as_deref()));
    let mut facts = panel.watch();
    loop {
        let shown = facts.borrow_and_update().clone();
        let mut deepest = 0;
        terminal.0.draw(|frame| deepest = draw::draw(frame, &shown, panel.now(), &state)).map_err(failed)?;
        let revision = shown.revision;
        tokio::select! {
            key = keys.recv() => match key {
                None => return Ok(Exit::Done),
                Some(key) => match carry_out(&shown, panel.now(), &mut state, key, deepest) {
                    Next::End => return Ok(Exit::Done),
                    Next::Ask(command) => { panel.ask(command); }
                    Next::Look => {}
                },
            },
            // Proofs alone change nothing to be seen.
            _ = facts.wait_for(|facts| facts.revision != revision) => {}
            () = tokio::time::sleep(Duration::from_millis(TOP_LOOK_MS)) => {}
        }
    }
}

/// <https://no-color.org>: colours are wanted where the variable is not there, or empty.
pub(super) fn has_color(no_color: Option<&std::ffi::OsStr>) -> bool {
    no_color.is_none_or(std::ffi::OsStr::is_empty)
}

/// Reads keys on a thread of its own, which ends with the process: the terminal has no other way to be waited for.
fn listen() -> mpsc::Receiver<Asked> {
    let (send, keys) = mpsc::channel(TOP_KEYS_MAX);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if let Some(asked) = keys::of_event(&event)
                && send.blocking_send(asked).is_err()
            {
                return;
            }
        }
    });
    keys
}

/// What comes after a key.
#[derive(Debug)]
pub(super) enum Next {
    /// To draw again.
    Look,
    /// The panel is to do something.
    Ask(Command),
    /// That was all.
    End,
}

/// What a key does. `deepest` is how far the pane that was drawn can be scrolled.
pub(super) fn carry_out(facts: &Facts, now: At, state: &mut State, key: Asked, deepest: usize) -> Next {
    let index = Pane::ALL.iter().position(|pane| *pane == state.pane).unwrap_or(0);
    let show = |state: &mut State, index: usize| {
        (state.pane, state.scrolled, state.is_help) = (Pane::ALL[index % Pane::ALL.len()], 0, false);
    };
    state.said = None;
    match key {
        Asked::Show(pane) => show(state, Pane::ALL.iter().position(|one| *one == pane).unwrap_or(0)),
        Asked::Next => show(state, index + 1),
        Asked::Before => show(state, index + Pane::ALL.len() - 1),
        // From what is seen: there may be fewer lines than when it was scrolled.
        Asked::Up(lines) => state.scrolled = state.scrolled.min(deepest).saturating_sub(lines),
        Asked::Down(lines) => state.scrolled = state.scrolled.saturating_add(lines).min(deepest),
        Asked::Top => state.scrolled = 0,
        Asked::Bottom => state.scrolled = deepest,
        Asked::Help => (state.is_help, state.scrolled) = (!state.is_help, 0),
        Asked::Back if state.is_help => (state.is_help, state.scrolled) = (false, 0),
        Asked::Reconnect => {
            state.said = Some(("connecting anew, at once", now));
            return Next::Ask(Command::ReconnectNow);
        }
        Asked::Toggle if facts.lane.as_ref().is_some_and(|lane| lane.is_wanted) => {
            return Next::Ask(Command::Disconnect);
        }
        Asked::Toggle => return Next::Ask(Command::Connect),
        Asked::Look => {}
        Asked::Back | Asked::End => return Next::End,
    }
    Next::Look
}
