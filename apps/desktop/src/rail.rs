//! The list of panes, each with its badge, and what can be done.
//!
//! What always holds: every pane's badge can be seen whichever pane is shown; every action has a button, which the keyboard
//! reaches, and a shortcut, which the button names.

use eframe::egui::{
    Button, CornerRadius, Frame, Label, Panel, RichText, Role, ScrollArea, Sense, Stroke, StrokeKind, TextStyle, Ui,
    WidgetInfo, pos2, vec2,
};
use muster_panel::{At, Facts, Pane};

use crate::theme::{GAP, GROUP_GAP, Palette, TITLE};
use crate::view::{Intent, Overlay, View};
use crate::widgets::{quiet, shape};

/// Its width, in points.
pub const WIDTH: f32 = 216.0;

/// Where its texts begin.
const INDENT: f32 = 12.0;

pub(crate) fn ui(ui: &mut Ui, view: &mut View, facts: &Facts, now: At, intents: &mut Vec<Intent>) {
    Panel::bottom("actions").resizable(false).frame(Frame::new()).show_separator_line(false).show(ui, |ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        actions(ui, view, facts, intents);
    });
    // In a low window, or a large zoom, the list scrolls and the actions stay.
    ScrollArea::vertical().show(ui, |ui| {
        ui.horizontal(|ui| {
            ui.add_space(INDENT);
            ui.vertical(|ui| lane(ui, facts));
        });
        ui.add_space(GROUP_GAP * 0.7);
        ui.spacing_mut().item_spacing.y = 2.0;
        for (number, pane) in Pane::ALL.into_iter().enumerate() {
            if entry(ui, pane, number + 1, view.pane == pane, facts, now) {
                (view.pane, view.overlay) = (pane, None);
            }
        }
    });
}

/// Which lane.
fn lane(ui: &mut Ui, facts: &Facts) {
    ui.spacing_mut().item_spacing.y = 2.0;
    ui.label(RichText::new("Muster").text_style(TextStyle::Name(TITLE.into())).strong());
    match &facts.lane {
        None => {
            ui.label(quiet(ui, "no lane chosen"));
        }
        Some(lane) => {
            let name = lane.lane.as_deref().map_or(lane.database.clone(), |name| format!("{name} · {}", lane.database));
            ui.add(Label::new(name).truncate());
            ui.add(Label::new(quiet(ui, &lane.server).text_style(TextStyle::Small)).truncate());
        }
    }
}

fn entry(ui: &mut Ui, pane: Pane, number: usize, is_shown: bool, facts: &Facts, now: At) -> bool {
    let palette = Palette::shown(ui);
    let badge = facts.badge(pane, now);
    let is_refused = facts.refusal(pane).is_some();
    let (rect, response) = ui.allocate_exact_size(vec2(ui.available_width(), 48.0), Sense::click());
    let said = if is_refused { "refused".to_string() } else { badge.to_string() };
    response.widget_info(|| WidgetInfo::selected(Role::Tab, true, is_shown, format!("{}, {said}", pane.title())));
    let radius = CornerRadius::same(6);
    if is_shown || response.hovered() {
        ui.painter().rect_filled(rect, radius, palette.chosen);
    }
    if response.has_focus() {
        ui.painter().rect_stroke(rect, radius, Stroke::new(2.0, palette.catching_up), StrokeKind::Inside);
    }
    let left = rect.left() + INDENT;
    let color = if is_refused { palette.refused } else { palette.badge(badge) };
    let font = |style: TextStyle| style.resolve(ui.style());
    let top = ui.painter().layout_no_wrap(pane.title().into(), font(TextStyle::Body), palette.text);
    let bottom = ui.painter().layout_no_wrap(said, font(TextStyle::Small), color);
    let total = top.size().y + bottom.size().y + 1.0;
    let y = rect.center().y - total / 2.0;
    let middle = y + top.size().y + 1.0 + bottom.size().y / 2.0;
    ui.painter().galley(pos2(left, y), top.clone(), palette.text);
    shape(ui, badge, color, pos2(left + 4.5, middle), 4.0);
    ui.painter().galley(pos2(left + 14.0, y + top.size().y + 1.0), bottom, color);
    let key = ui.painter().layout_no_wrap(format!("Ctrl+{number}"), font(TextStyle::Small), palette.quiet);
    ui.painter().galley(pos2(rect.right() - key.size().x - 10.0, y + 2.0), key, palette.quiet);
    response.clicked()
}

fn actions(ui: &mut Ui, view: &mut View, facts: &Facts, intents: &mut Vec<Intent>) {
    let trouble = facts.trouble.as_deref().map(|trouble| (trouble, true));
    let notice = view.notice.as_ref().map(|notice| (notice.text.as_str(), notice.is_error));
    for (text, is_bad) in [trouble, notice].into_iter().flatten() {
        let palette = Palette::shown(ui);
        let color = if is_bad { palette.refused } else { palette.quiet };
        ui.horizontal(|ui| {
            ui.add_space(INDENT - GAP);
            ui.add(Label::new(RichText::new(text).color(color).text_style(TextStyle::Small)).wrap());
        });
        ui.add_space(GAP);
    }
    let lane = facts.lane.as_ref();
    let has_lane = lane.is_some();
    let is_wanted = lane.is_some_and(|lane| lane.is_wanted);
    if button(ui, "Open a lane…", "Ctrl+L", true) {
        view.overlay = Some(Overlay::Connect);
    }
    let (toggle, intent) = if is_wanted { ("Disconnect", Intent::Disconnect) } else { ("Connect", Intent::Connect) };
    for (label, key, intent) in [
        (toggle, "Ctrl+D", intent),
        ("Reconnect now", "Ctrl+R", Intent::ReconnectNow),
        ("Run the handshake", "Ctrl+H", Intent::Handshake),
        ("Export diagnostics", "Ctrl+E", Intent::Export),
    ] {
        if button(ui, label, key, has_lane) {
            intents.push(intent);
        }
    }
    if button(ui, "Help", "F1", true) {
        view.overlay = Some(Overlay::Help);
    }
}

fn button(ui: &mut Ui, label: &str, key: &str, is_enabled: bool) -> bool {
    let size = vec2(ui.available_width(), 30.0);
    let button = Button::new(label).shortcut_text(quiet(ui, key).text_style(TextStyle::Small)).min_size(size);
    ui.add_enabled(is_enabled, button.frame_when_inactive(false)).clicked()
}
