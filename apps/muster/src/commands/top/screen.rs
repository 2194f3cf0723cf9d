//! The screen: a line of panes with their badges, the pane that is shown, a line of keys.
//!
//! What always holds: drawing is pure; the terminal is left as it was found, also after a panic.

use std::time::Duration;

use muster_panel::{At, Command, Facts, Pane, Panel};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};
use tokio::sync::mpsc;

use super::keys::{Asked, asked};
use super::{look, text};
use crate::limits::{TOP_KEYS_MAX, TOP_LOOK_MS};
use crate::outcome::{Exit, Failure, Outcome};

/// What is shown of the facts.
#[derive(Clone, Copy, Debug)]
pub(super) struct State {
    pub(super) pane: Pane,
    pub(super) scrolled: u16,
    pub(super) has_color: bool,
}

/// Runs until a person ends it.
pub(super) async fn run(panel: &Panel) -> Outcome {
    let failed = |error: std::io::Error| {
        Failure::could_not(format!("the terminal cannot be used ({error})"), "use --once for a text, or --json")
    };
    let mut terminal = ratatui::try_init().map_err(failed)?;
    let mut keys = listen();
    let has_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut state = State { pane: Pane::Sync, scrolled: 0, has_color };
    let mut facts = panel.watch();
    let outcome = loop {
        let shown = facts.borrow_and_update().clone();
        if let Err(error) = terminal.draw(|frame| draw(frame, &shown, panel.now(), &state)) {
            break Err(failed(error));
        }
        let revision = shown.revision;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Asked::End) | None => break Ok(Exit::Done),
                Some(key) => carry_out(panel, &shown, &mut state, key),
            },
            // Proofs alone change nothing to be seen.
            _ = facts.wait_for(|facts| facts.revision != revision) => {}
            () = tokio::time::sleep(Duration::from_millis(TOP_LOOK_MS)) => {}
        }
    };
    ratatui::restore();
    outcome
}

/// Reads keys on a thread of its own, which ends with the process: the terminal has no other way to be waited for.
fn listen() -> mpsc::Receiver<Asked> {
    let (send, keys) = mpsc::channel(TOP_KEYS_MAX);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            let wanted = match event {
                Event::Key(key) => asked(key),
                _ => None,
            };
            if let Some(wanted) = wanted
                && send.blocking_send(wanted).is_err()
            {
                return;
            }
        }
    });
    keys
}

fn carry_out(panel: &Panel, facts: &Facts, state: &mut State, key: Asked) {
    let index = Pane::ALL.iter().position(|pane| *pane == state.pane).unwrap_or(0);
    let mut show = |pane| (state.pane, state.scrolled) = (pane, 0);
    match key {
        Asked::Show(pane) => show(pane),
        Asked::Next => show(Pane::ALL[(index + 1) % Pane::ALL.len()]),
        Asked::Before => show(Pane::ALL[(index + Pane::ALL.len() - 1) % Pane::ALL.len()]),
        Asked::Up(lines) => state.scrolled = state.scrolled.saturating_sub(lines),
        Asked::Down(lines) => state.scrolled = state.scrolled.saturating_add(lines),
        Asked::Top => state.scrolled = 0,
        Asked::Reconnect => drop(panel.ask(Command::ReconnectNow)),
        Asked::Toggle => {
            let is_wanted = facts.lane.as_ref().is_some_and(|lane| lane.is_wanted);
            panel.ask(if is_wanted { Command::Disconnect } else { Command::Connect });
        }
        Asked::End => {}
    }
}

/// Draws.
pub(super) fn draw(frame: &mut Frame<'_>, facts: &Facts, now: At, state: &State) {
    let rows = [Constraint::Length(1), Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)];
    let [top, panes, body, bottom] = Layout::vertical(rows).areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Line::from(vec![Span::styled("Muster  ", bold), Span::raw(text::lane(facts))]), top);
    frame.render_widget(list(facts, now, state), panes);
    let lines = body_lines(facts, now, state);
    let deepest = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(body.height.saturating_sub(1));
    let block = Block::new().borders(ratatui::widgets::Borders::TOP);
    frame.render_widget(Paragraph::new(lines).block(block).scroll((state.scrolled.min(deepest), 0)), body);
    let keys = "1-5 pane  ↑↓ scroll  r reconnect  d disconnect/connect  q end";
    frame.render_widget(Span::styled(keys, Style::new().add_modifier(Modifier::DIM)), bottom);
}

/// The panes with their badges.
fn list(facts: &Facts, now: At, state: &State) -> Paragraph<'static> {
    let mut spans = Vec::new();
    for (number, pane) in Pane::ALL.into_iter().enumerate() {
        let (badge, is_refused) = (facts.badge(pane, now), facts.refusal(pane).is_some());
        let name = if state.pane == pane {
            Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED)
        } else {
            Style::new()
        };
        spans.push(Span::styled(format!(" {} {} ", number + 1, pane.title()), name));
        let (said, style) = if is_refused {
            ("! refused".to_string(), look::of_refusal(state.has_color))
        } else {
            (format!("{} {badge}", look::mark(badge)), look::of_badge(badge, state.has_color))
        };
        spans.push(Span::styled(format!(" {said}   "), style));
    }
    Paragraph::new(Line::from(spans)).wrap(ratatui::widgets::Wrap { trim: true })
}

fn body_lines(facts: &Facts, now: At, state: &State) -> Vec<Line<'static>> {
    let lines = text::of_pane(facts, state.pane, now);
    let first = match (state.pane, facts.refusal(state.pane)) {
        (_, Some(_)) => look::of_refusal(state.has_color),
        (Pane::Sync, None) => look::of_state(facts.sync.state, state.has_color),
        _ => Style::new().add_modifier(Modifier::BOLD),
    };
    let style = |index| if index == 0 { first } else { Style::new() };
    lines.into_iter().enumerate().map(|(index, line)| Line::styled(line, style(index))).collect()
}

#[cfg(test)]
mod tests {
    use muster_contract::Code;
    use muster_panel::model::observation::PresenceWord;
    use muster_panel::model::{LaneFacts, Refusal, SessionRow};
    use muster_panel::{Model, Observation};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;

    const T0: At = At(1_700_000_000_000_000);

    fn drawn(model: &mut Model, now: At, pane: Pane) -> String {
        let mut terminal = Terminal::new(TestBackend::new(140, 16)).expect("a terminal");
        let state = State { pane, scrolled: 0, has_color: true };
        terminal.draw(|frame| draw(frame, model.facts(), now, &state)).expect("drawn");
        terminal.backend().to_string()
    }

    fn connected() -> Model {
        let mut model = Model::new();
        let (server, database) = ("http://h:1".into(), "streams".into());
        model.on(T0, Observation::Lane(LaneFacts { server, database, is_wanted: true, ..LaneFacts::default() }));
        let row = SessionRow {
            connection_id: "one".into(),
            identity: "c200aabbccddeeff00112233".into(),
            client: Some("desk\u{1b}[31m".into()),
            role: "operator".into(),
            build: None,
            since: T0,
        };
        model.on(T0, Observation::Presence(PresenceWord::Open { connection_id: "one".into(), module: None }));
        model.on(T0, Observation::Presence(PresenceWord::Rows(vec![row])));
        model.on(T0, Observation::Presence(PresenceWord::Proof(T0)));
        model
    }

    #[test]
    fn a_pane_says_live_while_it_is_and_its_age_after_that() {
        let mut model = connected();
        let screen = drawn(&mut model, T0, Pane::Sessions);
        assert!(screen.contains("1 Sessions  ● live") && screen.contains("2 Sync  × disconnected"), "{screen}");
        assert!(screen.contains("1 connected: 1 operator") && screen.contains("streams on http://h:1"), "{screen}");
        assert!(!screen.contains('\u{1b}'), "what a token claims cannot speak to the terminal");
        let screen = drawn(&mut model, T0.after(Duration::from_secs(125)), Pane::Sessions);
        assert!(screen.contains("1 Sessions  ○ cached 2 min"), "{screen}");
    }

    #[test]
    fn a_refusal_takes_the_pane_over() {
        let mut model = connected();
        let refusal = Refusal::of(Code::SchemaMismatch, "table `person` differs");
        model.on(T0, Observation::Presence(PresenceWord::Refused { refusal, next_retry: T0 }));
        let screen = drawn(&mut model, T0, Pane::Sessions);
        assert!(
            screen.contains("! refused") && screen.contains("(schema_mismatch)") && screen.contains("→ "),
            "{screen}"
        );
    }
}
