//! How the screen is drawn: a line about the lane, the panes with their badges, the pane that is shown, a line of keys.
//!
//! What always holds: drawing is pure; badges are judged at the moment that it is given; what a badge or a state says is
//! said in words too, so nothing is lost without colours.

use std::time::Duration;

use muster_panel::{At, Badge, Facts, Pane};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders};

use super::{fit, look, text};
use crate::outcome::one_line;

/// What is shown of the facts.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) pane: Pane,
    /// Lines of the pane that are above what is seen.
    pub(super) scrolled: usize,
    pub(super) is_help: bool,
    pub(super) has_color: bool,
    /// What a key did, where nothing else shows it at once, and when.
    pub(super) said: Option<(&'static str, At)>,
}

impl State {
    /// What is shown at first.
    pub(super) const fn new(has_color: bool) -> State {
        State { pane: Pane::Sync, scrolled: 0, is_help: false, has_color, said: None }
    }
}

/// For how long it is shown what a key did.
const SAID_FOR: Duration = Duration::from_secs(3);
const KEYS: &str = "1-5 ←→ pane   ↑↓ scroll   r reconnect now   d disconnect   ? help   q quit";
const KEYS_APART: &str = "1-5 ←→ pane   ↑↓ scroll   d connect again   ? help   q quit";
const KEYS_HELP: &str = "? back   ↑↓ scroll   q quit";

const HELP: &[(&str, &str)] = &[
    ("1 to 5", "show a pane: sessions, sync, token, events, outbox"),
    ("← →", "the pane before, the next one (also Tab)"),
    ("↑ ↓", "scroll a line; PgUp and PgDn ten, Home and End to either end"),
    ("r", "connect anew at once, whatever the next attempt waits for"),
    ("d", "disconnect; once more: connect again"),
    ("? or h", "this help, and away with it"),
    ("q", "quit (also Esc and Ctrl-C)"),
    ("", ""),
    ("● live", "the host has confirmed within two seconds that this is all, and true"),
    ("◐ catching up", "the host answers; there is more to fetch"),
    ("○ cached", "what was true so long ago; the host is not heard"),
    ("× disconnected", "nothing is known of this"),
    ("! refused", "no waiting mends it: the pane says what to do"),
];

/// Draws, and says how far the pane can be scrolled.
pub(super) fn draw(frame: &mut Frame<'_>, facts: &Facts, now: At, state: &State) -> usize {
    let rows = [Constraint::Length(1), Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)];
    let [top, panes, body, bottom] = Layout::vertical(rows).areas(frame.area());
    lane(frame, top, facts);
    list(frame, panes, facts, now, state);
    let deepest = pane(frame, body, facts, now, state);
    last(frame, bottom, facts, now, state);
    deepest
}

fn lane(frame: &mut Frame<'_>, area: Rect, facts: &Facts) {
    let is_apart = facts.lane.as_ref().is_some_and(|lane| !lane.is_wanted);
    let apart = if is_apart { "disconnected by you: " } else { "" };
    let room = usize::from(area.width).saturating_sub(8);
    let lane = fit::cut(&format!("{apart}{}", one_line(&text::lane(facts))), room);
    frame.render_widget(Line::from(vec![Span::styled(" Muster ", look::of_head()), Span::raw(lane)]), area);
}

/// The panes, each with its badge below it, in columns of one width, so that nothing moves when a badge changes.
fn list(frame: &mut Frame<'_>, area: Rect, facts: &Facts, now: At, state: &State) {
    let columns: [Rect; 5] = Layout::horizontal([Constraint::Fill(1); 5]).areas(area);
    for (number, (pane, column)) in Pane::ALL.into_iter().zip(columns).enumerate() {
        let style = if state.pane == pane && !state.is_help { look::of_chosen() } else { Style::new() };
        let name = Line::styled(format!(" {} {} ", number + 1, pane.title()), style);
        let badge = if facts.refusal(pane).is_some() {
            Line::styled(" ! refused", look::of_refusal(state.has_color))
        } else {
            let badge = facts.badge(pane, now);
            Line::styled(format!(" {} {badge}", look::mark(badge)), look::of_badge(badge, state.has_color))
        };
        frame.render_widget(Text::from(vec![name, badge]), column);
    }
}

/// The pane. Where there is room, its first lines and the table's head stay while the rows are scrolled.
fn pane(frame: &mut Frame<'_>, area: Rect, facts: &Facts, now: At, state: &State) -> usize {
    let width = usize::from(area.width).saturating_sub(2);
    let (mut first, mut rest) =
        if state.is_help { (Vec::new(), help(width)) } else { content(facts, now, state, width) };
    let height = usize::from(area.height).saturating_sub(1);
    if first.len() + 3 > height {
        first.append(&mut rest);
        std::mem::swap(&mut first, &mut rest);
    }
    let room = height.saturating_sub(first.len());
    let deepest = rest.len().saturating_sub(room);
    let from = state.scrolled.min(deepest);
    let mut block = Block::new().borders(Borders::TOP);
    if deepest > 0 {
        let shown = format!(" {} to {} of {} ", from + 1, from + room.min(rest.len()), rest.len());
        block = block.title_top(Line::raw(shown).right_aligned());
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let lines: Vec<_> = first.into_iter().chain(rest.into_iter().skip(from).take(room)).collect();
    let inside = Rect { x: inner.x + u16::from(inner.width > 0), width: inner.width.saturating_sub(2), ..inner };
    frame.render_widget(Text::from(lines), inside);
    deepest
}

/// What stays, and what is scrolled.
fn content(facts: &Facts, now: At, state: &State, width: usize) -> (Vec<Line<'static>>, Vec<Line<'static>>) {
    let is_refused = facts.refusal(state.pane).is_some();
    let heading = match state.pane {
        _ if is_refused => look::of_refusal(state.has_color),
        Pane::Sync => look::of_state(facts.sync.state, state.has_color).patch(look::of_head()),
        _ => look::of_head(),
    };
    let body = text::of_pane(facts, state.pane, now);
    // What is old is told apart from what is live also where a person looks at nothing but the rows.
    let dim = if facts.badge(state.pane, now) == Badge::Live { Style::new() } else { look::of_old() };
    let mut lines = Vec::new();
    for (index, line) in body.lines.iter().enumerate() {
        let style = if index == 0 { heading } else { Style::new() };
        lines.extend(fit::wrapped(line, width).into_iter().map(|line| Line::styled(line, style)));
        if is_refused {
            lines.push(Line::default());
        }
    }
    let Some(table) = &body.table else { return (Vec::new(), lines) };
    let (head, rows) = fit::rows(table, width, state.has_color);
    lines.extend([Line::default(), head]);
    (lines, rows.into_iter().map(|row| row.patch_style(dim)).collect())
}

fn help(width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for (name, meaning) in HELP {
        for (index, part) in fit::wrapped(meaning, width.saturating_sub(16)).into_iter().enumerate() {
            let name = if index == 0 { *name } else { "" };
            lines.push(Line::from(vec![Span::styled(format!("{name:16}"), look::of_head()), Span::raw(part)]));
        }
    }
    lines
}

/// What is wrong with the screen itself, what a key did, or which keys there are.
fn last(frame: &mut Frame<'_>, area: Rect, facts: &Facts, now: At, state: &State) {
    let room = usize::from(area.width).saturating_sub(1);
    let is_apart = facts.lane.as_ref().is_some_and(|lane| !lane.is_wanted);
    let said = state.said.filter(|(_, at)| now.since(*at) < SAID_FOR).map(|(said, _)| said);
    let (said, style) = match (&facts.trouble, said) {
        (Some(trouble), _) => (format!("! {}", one_line(trouble)), look::of_refusal(state.has_color)),
        (None, Some(said)) => (said.into(), look::of_head()),
        (None, None) if state.is_help => (KEYS_HELP.into(), look::of_old()),
        (None, None) if is_apart => (KEYS_APART.into(), look::of_old()),
        (None, None) => (KEYS.into(), look::of_old()),
    };
    frame.render_widget(Line::styled(format!(" {}", fit::cut(&said, room)), style), area);
}
