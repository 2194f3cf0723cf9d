//! The shortcuts, and what the badges mean.

use eframe::egui::{Context, Frame, Grid, Id, Modal, RichText, ScrollArea, TextStyle, Ui, Vec2, pos2, vec2};
use muster_panel::Badge;

use crate::panes::scroll_by_keys;
use crate::theme::{GAP, GROUP_GAP, Palette, TITLE};
use crate::view::Overlay;
use crate::widgets::{meaning, quiet, shape};

/// Every shortcut.
pub const SHORTCUTS: [(&str, &str); 13] = [
    ("Ctrl+1 … Ctrl+5", "show a pane"),
    ("Tab, Shift+Tab", "go through everything that can be used"),
    ("Enter, Space", "use it"),
    ("PageUp, PageDown", "scroll a table"),
    ("Ctrl+Up, Ctrl+Down", "the event above, the one below"),
    ("Ctrl+F", "search events, filter sessions"),
    ("Ctrl+L", "open a lane"),
    ("Ctrl+D", "disconnect, connect again"),
    ("Ctrl+R", "reconnect now"),
    ("Ctrl+H", "run the handshake of two clients"),
    ("Ctrl+E", "export diagnostics"),
    ("Ctrl+T", "light or dark"),
    ("Ctrl++, Ctrl+−, Ctrl+0", "larger, smaller, as it was"),
];

pub(crate) fn ui(ctx: &Context, overlay: &mut Option<Overlay>) {
    let modal =
        Modal::new(Id::unique("help")).frame(Frame::popup(&ctx.global_style()).inner_margin(24)).show(ctx, |ui| {
            ui.set_width(520.0_f32.min(room(ctx).x));
            ui.label(RichText::new("Help").text_style(TextStyle::Name(TITLE.into())).strong());
            ui.add_space(GAP);
            // At a large zoom there is not room for all of it.
            ScrollArea::vertical().animated(false).max_height(room(ctx).y).show(ui, |ui| {
                scroll_by_keys(ui, ui.clip_rect().height());
                content(ui);
            });
            ui.add_space(GAP);
            if ui.button("Close").clicked() {
                ui.close();
            }
        });
    if modal.should_close() {
        *overlay = None;
    }
}

fn content(ui: &mut Ui) {
    ui.set_width(ui.available_width());
    // Lines of text, not of buttons.
    ui.spacing_mut().interact_size.y = 18.0;
    Grid::new("shortcuts").num_columns(2).spacing(vec2(24.0, 6.0)).show(ui, |ui| {
        for (keys, what) in SHORTCUTS {
            ui.label(RichText::new(keys).strong());
            ui.label(what);
            ui.end_row();
        }
    });
    ui.add_space(GROUP_GAP / 2.0);
    ui.label(RichText::new("Where what you see is from").heading());
    let palette = Palette::shown(ui);
    Grid::new("badges").num_columns(2).spacing(vec2(24.0, 6.0)).show(ui, |ui| {
        for badge in [Badge::Live, Badge::CatchingUp, Badge::Cached { age_ms: 180_000 }, Badge::Disconnected] {
            ui.horizontal(|ui| {
                let (rect, _) = ui.allocate_exact_size(vec2(10.0, 10.0), eframe::egui::Sense::hover());
                shape(ui, badge, palette.badge(badge), pos2(rect.center().x, rect.center().y), 4.5);
                ui.label(RichText::new(badge.to_string()).color(palette.badge(badge)));
            });
            ui.add(eframe::egui::Label::new(quiet(ui, meaning(badge))).wrap());
            ui.end_row();
        }
    });
}

/// What a dialogue's content may take of the window, its title and buttons left out.
pub(crate) fn room(ctx: &Context) -> Vec2 {
    (ctx.content_rect().size() - vec2(96.0, 190.0)).max(vec2(200.0, 80.0))
}
