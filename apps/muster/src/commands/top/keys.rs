//! What a key means.

use muster_panel::Pane;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a person asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Show(Pane),
    Next,
    Before,
    Up(u16),
    Down(u16),
    Top,
    Reconnect,
    Toggle,
    End,
}

/// What a key asks for.
pub(super) fn asked(key: KeyEvent) -> Option<Asked> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    Some(match key.code {
        KeyCode::Char('c') if is_control => Asked::End,
        KeyCode::Char('q') | KeyCode::Esc => Asked::End,
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
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_the_help_says() {
        let press = |code| asked(KeyEvent::new(code, KeyModifiers::NONE));
        assert_eq!(press(KeyCode::Char('2')), Some(Asked::Show(Pane::Sync)));
        assert_eq!(press(KeyCode::Tab), Some(Asked::Next));
        assert_eq!(press(KeyCode::Char('q')), Some(Asked::End));
        assert_eq!(asked(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Asked::End));
        assert_eq!(press(KeyCode::Char('x')), None);
    }
}
