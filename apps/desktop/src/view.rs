//! The whole window, from facts: which pane is shown, what was typed, what is asked for.
//!
//! What always holds: drawing changes nothing but this view; what a person asks for is returned as [`Intent`]s, and whoever
//! holds the panel carries them out. So every state of the window can be drawn from made-up facts.

use eframe::egui::{CentralPanel, Context, Frame, Key, Margin, Modifiers, Panel, Ui};
use muster_panel::{At, Facts, Pane};

use crate::panes::{events, outbox, sessions, sync, token};
use crate::theme::Palette;
use crate::widgets::{heading, refusal};
use crate::{connect, help, rail};

/// What a person asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Intent {
    /// Another lane.
    Open(connect::Form),
    /// Connections.
    Connect,
    /// No connections.
    Disconnect,
    /// New connections, now.
    ReconnectNow,
    /// The events of this stream; `None`: of the one with the newest event.
    Choose(Option<String>),
    /// Events that have this text.
    Search(String),
    /// The handshake of two clients.
    Handshake,
    /// A diagnostics bundle.
    Export,
    /// The other theme.
    SwitchTheme,
}

/// What lies over the panes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlay {
    /// The shortcuts.
    Help,
    /// Another lane.
    Connect,
}

/// A line about something that a person asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What came of it.
    pub text: String,
    /// Whether it went wrong.
    pub is_error: bool,
    /// Whether it is still under way.
    pub is_busy: bool,
}

/// The window's own state.
#[derive(Debug)]
pub struct View {
    /// Which pane is shown.
    pub pane: Pane,
    /// What lies over it.
    pub overlay: Option<Overlay>,
    /// What came of the last action.
    pub notice: Option<Notice>,
    /// The sessions pane's own.
    pub sessions: sessions::State,
    /// The events pane's own.
    pub events: events::State,
    /// What is typed about another lane.
    pub form: connect::Form,
    /// The search or filter of the pane wants the keyboard.
    pub wants_focus: bool,
    /// What lay over the panes in the frame before.
    pub overlay_before: Option<Overlay>,
}

impl Default for View {
    fn default() -> View {
        View {
            pane: Pane::Sessions,
            overlay: None,
            notice: None,
            sessions: sessions::State::default(),
            events: events::State::default(),
            form: connect::Form::default(),
            wants_focus: false,
            overlay_before: None,
        }
    }
}

impl View {
    /// What was searched for, and chosen, belongs to the lane that was shown.
    pub fn begin_anew(&mut self) {
        (self.events, self.sessions.filter) = (events::State::default(), String::new());
    }

    /// Draws everything, and returns what is asked for.
    pub fn ui(&mut self, ui: &mut Ui, facts: &Facts, now: At) -> Vec<Intent> {
        let mut intents = Vec::new();
        self.keys(ui.ctx(), facts, &mut intents);
        let palette = Palette::shown(ui);
        let rail_frame = Frame::new().fill(palette.rail).inner_margin(Margin::symmetric(12, 16));
        Panel::left("rail").resizable(false).exact_size(rail::WIDTH).frame(rail_frame).show(ui, |ui| {
            rail::ui(ui, self, facts, now, &mut intents);
        });
        let frame = Frame::new().fill(palette.ground).inner_margin(Margin::symmetric(24, 18));
        CentralPanel::default().frame(frame).show(ui, |ui| self.pane(ui, facts, now, &mut intents));
        match self.overlay {
            Some(Overlay::Help) => help::ui(ui.ctx(), &mut self.overlay),
            Some(Overlay::Connect) => {
                let is_new = self.overlay_before != Some(Overlay::Connect);
                connect::ui(ui.ctx(), &mut self.form, &mut self.overlay, &mut intents, is_new);
            }
            None => {}
        }
        self.overlay_before = self.overlay;
        intents
    }

    fn pane(&mut self, ui: &mut Ui, facts: &Facts, now: At, intents: &mut Vec<Intent>) {
        heading(ui, self.pane, facts.badge(self.pane, now));
        if let Some(taken_over) = facts.refusal(self.pane) {
            refusal(ui, taken_over, facts.next_retry(self.pane).map(|at| now.until(at)));
            if self.pane == Pane::Token {
                token::at_hand(ui, facts, now);
            }
            return;
        }
        let focus = std::mem::take(&mut self.wants_focus);
        match self.pane {
            Pane::Sessions => sessions::ui(ui, &mut self.sessions, facts, now, focus),
            Pane::Sync => {
                if let Some(stream) = sync::ui(ui, facts, now) {
                    self.pane = Pane::Events;
                    intents.push(Intent::Choose(Some(stream)));
                }
            }
            Pane::Token => token::ui(ui, facts, now),
            Pane::Events => events::ui(ui, &mut self.events, facts, intents, focus),
            Pane::Outbox => outbox::ui(ui, facts, now),
        }
    }

    fn keys(&mut self, ctx: &Context, facts: &Facts, intents: &mut Vec<Intent>) {
        let pressed = |modifiers, key| ctx.input_mut(|input| input.consume_key(modifiers, key));
        for (pane, key) in Pane::ALL.into_iter().zip([Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5]) {
            if pressed(Modifiers::COMMAND, key) {
                (self.pane, self.overlay) = (pane, None);
            }
        }
        if pressed(Modifiers::NONE, Key::F1) {
            self.overlay = if self.overlay == Some(Overlay::Help) { None } else { Some(Overlay::Help) };
        }
        if self.overlay.is_some() && pressed(Modifiers::NONE, Key::Escape) {
            self.overlay = None;
        }
        if pressed(Modifiers::COMMAND, Key::L) {
            self.overlay = Some(Overlay::Connect);
        }
        if pressed(Modifiers::COMMAND, Key::F) {
            if !matches!(self.pane, Pane::Sessions | Pane::Events) {
                self.pane = Pane::Events;
            }
            self.wants_focus = true;
        }
        if pressed(Modifiers::COMMAND, Key::T) {
            intents.push(Intent::SwitchTheme);
        }
        let Some(lane) = &facts.lane else { return };
        for (key, intent) in [
            (Key::R, Intent::ReconnectNow),
            (Key::D, if lane.is_wanted { Intent::Disconnect } else { Intent::Connect }),
            (Key::H, Intent::Handshake),
            (Key::E, Intent::Export),
        ] {
            if pressed(Modifiers::COMMAND, key) {
                intents.push(intent);
            }
        }
    }
}
