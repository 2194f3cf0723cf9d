//! The panes, a file for each.
//!
//! What always holds: a table draws only the rows that can be seen, so a frame costs the same however long it is.

use std::ops::RangeInclusive;

use eframe::egui::style::ScrollAnimation;
use eframe::egui::{Align, Key, Label, Layout, Modifiers, RichText, Sense, TextStyle, Ui, vec2};
use egui_extras::{TableBody, TableBuilder};
use egui_plot::{AxisHints, GridMark, Plot};

use crate::theme::{GAP, Palette, ROW};
use crate::widgets::{card, quiet};

pub mod events;
pub mod outbox;
pub mod sessions;
pub mod sync;
pub mod token;

/// A table as all of them are.
pub(crate) fn table<'a>(ui: &'a mut Ui, id: &'static str) -> TableBuilder<'a> {
    TableBuilder::new(ui)
        .id_salt(id)
        .striped(true)
        .sense(Sense::hover())
        .cell_layout(Layout::left_to_right(Align::Center))
        // What is below the window's end could not be scrolled to.
        .min_scrolled_height(0.0)
        .animate_scrolling(false)
        .auto_shrink([false, false])
}

/// Whether the window is too low for plots above a table: what they tell stands in words beside them.
pub(crate) fn is_low(ui: &Ui) -> bool {
    ui.ctx().content_rect().height() < 520.0
}

/// A column's name.
pub(crate) fn head(ui: &mut Ui, name: &str) {
    ui.label(quiet(ui, name).text_style(TextStyle::Small));
}

/// A column's name, above figures.
pub(crate) fn head_of_figures(ui: &mut Ui, name: &str) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add_space(14.0);
        head(ui, name);
    });
}

/// A figure in a table: figures of a column end at the same place.
pub(crate) fn figure(ui: &mut Ui, text: impl Into<RichText>) {
    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
        ui.add_space(14.0);
        ui.add(Label::new(text.into()).truncate());
    });
}

/// Further than any table is long, in points.
const FAR: f32 = 1e7;

/// Scrolls by keys what is scrolled by a wheel: a page up or down, to the beginning, to the end. `page` is what is seen at once,
/// in points.
pub(crate) fn scroll_by_keys(ui: &Ui, page: f32) {
    let layer = ui.layer_id();
    if !ui.memory(|memory| memory.allows_interaction(layer)) {
        return;
    }
    let pressed = |modifiers, key| ui.input_mut(|input| input.consume_key(modifiers, key));
    let step = (page - ROW).max(ROW);
    for (modifiers, key, delta) in [
        (Modifiers::NONE, Key::PageUp, step),
        (Modifiers::NONE, Key::PageDown, -step),
        (Modifiers::COMMAND, Key::Home, FAR),
        (Modifiers::COMMAND, Key::End, -FAR),
    ] {
        if pressed(modifiers, key) {
            ui.scroll_with_delta_animation(vec2(0.0, delta), ScrollAnimation::none());
        }
    }
}

/// The same for a table.
pub(crate) fn scroll_table_by_keys(body: &mut TableBody<'_>) {
    let ui = body.ui_mut();
    scroll_by_keys(ui, ui.clip_rect().height());
}

/// Streams that wait for a person, or other things that went wrong, at most so many at once.
pub(crate) const REASONS_MAX: usize = 3;

/// What is wrong with one of many, and what a person can do.
pub(crate) fn reason(ui: &mut Ui, title: &str, detail: &str, remedy: &str) {
    let palette = Palette::shown(ui);
    card(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.label(RichText::new(title).strong().color(palette.refused));
        ui.add(Label::new(detail).wrap());
        ui.add(Label::new(quiet(ui, remedy)).wrap());
    });
    ui.add_space(GAP / 2.0);
}

/// A plot that is only looked at: it does not move, and takes no more colour than it must.
pub(crate) fn still_plot<'a>(
    ui: &Ui,
    id: &'static str,
    x: impl Fn(GridMark, &RangeInclusive<f64>) -> String + 'a,
    y: impl Fn(GridMark, &RangeInclusive<f64>) -> String + 'a,
) -> Plot<'a> {
    let palette = Palette::shown(ui);
    let font = TextStyle::Small.resolve(ui.style());
    let axis = |hints: AxisHints<'a>| hints.tick_label_color(palette.quiet).tick_label_font(font.clone());
    Plot::new(id)
        .show_background(false)
        .allow_zoom(false)
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_x(false)
        .show_y(false)
        .show_grid([false, true])
        .grid_color(palette.line)
        .grid_fade(0.0)
        .custom_x_axes(vec![axis(AxisHints::new_x().formatter(x))])
        .custom_y_axes(vec![axis(AxisHints::new_y().formatter(y))])
}
