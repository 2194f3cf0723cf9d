//! What a key means.

use muster_panel::Pane;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a person asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Show(Pane),
    Next,
    Before,
    Up(usize),
    Down(usize),
    Top,
    Bottom,
    Reconnect,
    Toggle,
    Help,
    /// Away with the help, or else the end.
    Back,
    End,
    /// To draw anew: the terminal has another size.
    Look,
}

/// What an event of the terminal asks for.
pub(super) fn of_event(event: &Event) -> Option<Asked> {
    match event {
        Event::Key(key) => asked(*key),
        Event::Resize(..) => Some(Asked::Look),
        _ => None,
    }
}

/// What a key asks for.
fn asked(key: KeyEvent) -> Option<Asked> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        // With control a letter is another key.
        return (key.code == KeyCode::Char('c')).then_some(Asked::End);
    }
    Some(match key.code {
        KeyCode::Char('q') => Asked::End,
        KeyCode::Esc => Asked::Back,
        KeyCode::Char('?' | 'h') => Asked::Help,
        KeyCode::Char(digit @ '1'..='5') => Asked::Show(Pane::ALL[digit as usize - '1' as usize]),
        KeyCode::Char('r') => Asked::Reconnect,
        KeyCode::Char('d') => Asked::Toggle,
        KeyCode::Tab | KeyCode::Right => Asked::Next,
        KeyCode::BackTab | KeyCode::Left => Asked::Before,
        KeyCode::Up | KeyCode::Char('k') => Asked::Up(1),
        KeyCode::Down | KeyCode::Char('j') => Asked::Down(1),
        KeyCode::PageUp => Asked::Up(10),
        KeyCode::PageDown => Asked::Down(10),
        KeyCode::Home => Asked::Top,
        KeyCode::End => Asked::Bottom,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_the_help_says() {
        let press = |code| of_event(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
        for (code, expected) in [
            (KeyCode::Char('1'), Asked::Show(Pane::Sessions)),
            (KeyCode::Char('5'), Asked::Show(Pane::Outbox)),
            (KeyCode::Tab, Asked::Next),
            (KeyCode::Right, Asked::Next),
            (KeyCode::Left, Asked::Before),
            (KeyCode::Up, Asked::Up(1)),
            (KeyCode::Down, Asked::Down(1)),
            (KeyCode::Char('r'), Asked::Reconnect),
            (KeyCode::Char('d'), Asked::Toggle),
            (KeyCode::Char('?'), Asked::Help),
            (KeyCode::Char('q'), Asked::End),
        ] {
            assert_eq!(press(code), Some(expected), "{code:?}");
        }
        assert_eq!(press(KeyCode::Char('x')), None);
    }

    #[test]
    fn control_and_c_ends_and_control_and_another_letter_is_nothing() {
        let control = |letter| of_event(&Event::Key(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL)));
        assert_eq!((control('c'), control('r'), control('q')), (Some(Asked::End), None, None));
    }

    #[test]
    fn a_key_that_is_let_go_is_not_pressed_again() {
        let key = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(of_event(&Event::Key(key)), None);
    }
}
