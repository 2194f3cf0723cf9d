//! What panes are made of: badges, cards, figures, empty states, refusals.
//!
//! What always holds: a state is told by a word and a shape as well as by its colour; what a screen reader hears is what
//! stands there.

use std::time::Duration;

use eframe::egui::{
    Align, Color32, CornerRadius, Frame, Label, Layout, Margin, Response, RichText, Role, Sense, Shape, Stroke,
    StrokeKind, TextStyle, Ui, WidgetInfo, pos2, vec2,
};
use muster_contract::state::ConnectionState;
use muster_panel::model::Refusal;
use muster_panel::{Badge, Pane};

use crate::theme::{FIGURE, GAP, GROUP_GAP, Palette, TITLE};

/// A pane's title with its badge at the other end.
pub fn heading(ui: &mut Ui, pane: Pane, badge: Badge) {
    ui.horizontal(|ui| {
        ui.label(RichText::new(pane.title()).text_style(TextStyle::Name(TITLE.into())).strong());
        ui.with_layout(Layout::right_to_left(Align::Center), |ui| pill(ui, pane, badge));
    });
    ui.add_space(GAP);
}

/// A badge: a shape and a word.
pub fn pill(ui: &mut Ui, pane: Pane, badge: Badge) -> Response {
    let palette = Palette::shown(ui);
    let color = palette.badge(badge);
    let text = badge.to_string();
    let font = TextStyle::Body.resolve(ui.style());
    let galley = ui.painter().layout_no_wrap(text.clone(), font, color);
    let mark = 9.0;
    let size = vec2(galley.size().x + mark + 30.0, galley.size().y + 8.0);
    let (rect, response) = ui.allocate_exact_size(size, Sense::hover());
    let radius = CornerRadius::same(255);
    ui.painter().rect(rect, radius, palette.card, Stroke::new(1.0, color), StrokeKind::Inside);
    shape(ui, badge, color, pos2(rect.left() + 12.0 + mark / 2.0, rect.center().y), mark / 2.0);
    let at = pos2(rect.left() + mark + 19.0, rect.center().y - galley.size().y / 2.0);
    ui.painter().galley(at, galley, color);
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, format!("{}: {text}", pane.title())));
    response.on_hover_text(meaning(badge))
}

/// What a badge means.
pub const fn meaning(badge: Badge) -> &'static str {
    match badge {
        Badge::Live => "From the host, complete, and confirmed by it within the last two seconds.",
        Badge::CatchingUp => "The host answers; what is shown here is not complete yet.",
        Badge::Cached { .. } => "What was known that long ago. The host does not confirm it at the moment.",
        Badge::Disconnected => "Nothing is known: there is no connection, and nothing was kept.",
    }
}

/// A badge's shape: a disc, a half disc, a ring, a cross.
pub fn shape(ui: &Ui, badge: Badge, color: Color32, center: eframe::egui::Pos2, radius: f32) {
    let painter = ui.painter();
    let stroke = Stroke::new(1.6, color);
    match badge {
        Badge::Live => {
            painter.circle_filled(center, radius, color);
        }
        Badge::CatchingUp => {
            let points = (0..=16)
                .map(|step| {
                    let angle = std::f32::consts::PI * (0.5 + step as f32 / 16.0);
                    center + vec2(angle.cos(), angle.sin()) * radius
                })
                .collect();
            painter.add(Shape::convex_polygon(points, color, Stroke::NONE));
            painter.circle_stroke(center, radius - 0.5, stroke);
        }
        Badge::Cached { .. } => {
            painter.circle_stroke(center, radius - 0.5, stroke);
        }
        Badge::Disconnected => {
            let arm = radius * 0.8;
            for tilt in [1.0, -1.0] {
                painter.line_segment([center + vec2(-arm, -arm * tilt), center + vec2(arm, arm * tilt)], stroke);
            }
        }
    }
}

/// A state as a word in its colour.
pub fn state(ui: &mut Ui, state: ConnectionState) {
    let palette = Palette::shown(ui);
    ui.add(Label::new(RichText::new(state.as_str()).color(state_color(&palette, state))).truncate());
}

/// The colour of a state.
pub const fn state_color(palette: &Palette, state: ConnectionState) -> Color32 {
    match state {
        ConnectionState::Live => palette.live,
        ConnectionState::Replaying | ConnectionState::Connecting => palette.catching_up,
        ConnectionState::Backoff => palette.cached,
        ConnectionState::Blocked => palette.refused,
        ConnectionState::Idle => palette.disconnected,
    }
}

/// Something set off from the rest.
pub fn card<R>(ui: &mut Ui, add: impl FnOnce(&mut Ui) -> R) -> R {
    let palette = Palette::shown(ui);
    Frame::new()
        .fill(palette.card)
        .stroke(Stroke::new(1.0, palette.line))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::symmetric(16, 12))
        .show(ui, add)
        .inner
}

/// A large figure with its caption.
pub fn figure(ui: &mut Ui, value: &str, caption: &str) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.label(RichText::new(value).text_style(TextStyle::Name(FIGURE.into())));
        ui.label(quiet(ui, caption));
    });
}

/// A caption above its value, as wide as its column.
pub fn fact(ui: &mut Ui, caption: &str, value: impl Into<RichText>) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 2.0;
        ui.label(quiet(ui, caption).text_style(TextStyle::Small));
        ui.add(Label::new(value.into()).wrap());
    });
}

/// A caption's text.
pub fn quiet(ui: &Ui, text: &str) -> RichText {
    RichText::new(text).color(Palette::shown(ui).quiet)
}

/// Where there is nothing: what it means, and what would change it.
pub fn empty(ui: &mut Ui, title: &str, hint: &str) {
    ui.add_space(GROUP_GAP * 2.0);
    ui.vertical_centered(|ui| {
        ui.label(RichText::new(title).heading());
        ui.add_space(2.0);
        ui.scope(|ui| {
            ui.set_max_width(460.0);
            ui.add(Label::new(quiet(ui, hint)).wrap());
        });
    });
}

/// A refusal, which takes the pane over, and in how long it is tried again by itself.
pub fn refusal(ui: &mut Ui, refusal: &Refusal, retry: Option<Duration>) {
    let palette = Palette::shown(ui);
    Frame::new()
        .fill(palette.card)
        .stroke(Stroke::new(1.5, palette.refused))
        .corner_radius(CornerRadius::same(8))
        .inner_margin(Margin::same(20))
        .show(ui, |ui| {
            ui.set_width(ui.available_width());
            ui.label(RichText::new(refusal.title).heading().color(palette.refused));
            ui.add_space(GAP / 2.0);
            ui.add(Label::new(refusal.detail.as_str()).wrap());
            ui.add_space(GROUP_GAP / 2.0);
            ui.label(quiet(ui, "What to do").text_style(TextStyle::Small));
            ui.add(Label::new(RichText::new(&refusal.remedy).strong()).wrap());
            let code = refusal.code.map(|code| format!("code {code}"));
            let retry =
                retry.map(|wait| format!("tried again in {} s, or now with Ctrl+R", wait.as_millis().div_ceil(1_000)));
            if code.is_some() || retry.is_some() {
                ui.add_space(GROUP_GAP / 2.0);
                let said = [code, retry].into_iter().flatten().collect::<Vec<_>>().join(" · ");
                ui.label(quiet(ui, &said).text_style(TextStyle::Small));
            }
        });
}

/// A number with thin groups of thousands: `12 345`.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{2009}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A rate: `0`, `3.4`, `5 120`.
pub fn rate(value: f64) -> String {
    match value {
        value if value < 0.05 => "0".into(),
        value if value < 10.0 => format!("{value:.1}"),
        value => number(value.round() as u64),
    }
}

/// A size: `512 B`, `3.4 KiB`, `12 MiB`.
pub fn bytes(value: u64) -> String {
    let scaled = |unit: u64| value as f64 / unit as f64;
    match value {
        0..1_024 => format!("{value} B"),
        1_024..1_048_576 => format!("{:.1} KiB", scaled(1_024)),
        _ => format!("{:.1} MiB", scaled(1_048_576)),
    }
}

/// The beginning of a long identifier.
pub fn short(id: &str) -> String {
    if id.len() > 14 { format!("{}…", id.get(..12).unwrap_or(id)) } else { id.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_sizes_have_units() {
        assert_eq!(
            [0, 999, 1_000, 1_234_567].map(number),
            ["0", "999", "1\u{2009}000", "1\u{2009}234\u{2009}567"].map(String::from)
        );
        assert_eq!([0.04, 3.44, 5_120.4].map(rate), ["0", "3.4", "5\u{2009}120"].map(String::from));
        assert_eq!([512, 3_482, 12_582_912].map(bytes), ["512 B", "3.4 KiB", "12.0 MiB"].map(String::from));
        assert_eq!((short("abc"), short("0123456789abcdef")), ("abc".into(), "0123456789ab…".into()));
    }
}
