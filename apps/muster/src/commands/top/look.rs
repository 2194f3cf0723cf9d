//! How things look in a terminal: words first, colour only for states.

use muster_contract::state::ConnectionState;
use muster_panel::Badge;
use ratatui::style::{Color, Modifier, Style};

/// A badge's mark, which tells it without colour.
pub(super) const fn mark(badge: Badge) -> &'static str {
    match badge {
        Badge::Live => "●",
        Badge::CatchingUp => "◐",
        Badge::Cached { .. } => "○",
        Badge::Disconnected => "×",
    }
}

/// How a badge is written.
pub(super) fn of_badge(badge: Badge, has_color: bool) -> Style {
    color(
        match badge {
            Badge::Live => Color::Green,
            Badge::CatchingUp => Color::Cyan,
            Badge::Cached { .. } => Color::Yellow,
            Badge::Disconnected => Color::Gray,
        },
        has_color,
    )
}

/// How a state is written.
pub(super) fn of_state(state: ConnectionState, has_color: bool) -> Style {
    color(
        match state {
            ConnectionState::Live => Color::Green,
            ConnectionState::Replaying | ConnectionState::Connecting => Color::Cyan,
            ConnectionState::Backoff => Color::Yellow,
            ConnectionState::Blocked => Color::Red,
            ConnectionState::Idle => Color::Gray,
        },
        has_color,
    )
}

/// How what a person must mend is written.
pub(super) fn of_refusal(has_color: bool) -> Style {
    color(Color::Red, has_color).add_modifier(Modifier::BOLD)
}

/// How headings are written.
pub(super) fn of_head() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

/// How the pane that is shown is marked.
pub(super) fn of_chosen() -> Style {
    Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
}

/// How what stands behind is written: keys, and rows that are not live.
pub(super) fn of_old() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn color(color: Color, has_color: bool) -> Style {
    if has_color { Style::new().fg(color) } else { Style::new() }
}
