//! Colours, sizes and the shape of things.
//!
//! What always holds: colour means state and nothing else; every text has a contrast of at least 4.5 to 1 to what is behind
//! it (WCAG 2.2, 1.4.3), in both themes, which a test computes. Sizes are points, so they follow the zoom.

use std::collections::BTreeMap;

use eframe::egui::{
    Color32, Context, CornerRadius, FontFamily, FontId, Margin, Stroke, Style, TextStyle, Theme, Ui, Vec2, Visuals,
    vec2,
};
use muster_panel::Badge;

/// Large figures.
pub const FIGURE: &str = "figure";
/// Titles of panes.
pub const TITLE: &str = "title";

/// Space between related things, in points.
pub const GAP: f32 = 8.0;
/// Space between groups, in points.
pub const GROUP_GAP: f32 = 20.0;
/// Height of a table's row, in points.
pub const ROW: f32 = 26.0;

/// The colours of one theme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    /// Behind everything.
    pub ground: Color32,
    /// Behind the list of panes.
    pub rail: Color32,
    /// Behind cards.
    pub card: Color32,
    /// Between things.
    pub line: Color32,
    /// Behind every second row.
    pub stripe: Color32,
    /// Behind what is chosen.
    pub chosen: Color32,
    /// Text.
    pub text: Color32,
    /// Captions and what matters less.
    pub quiet: Color32,
    /// `live`.
    pub live: Color32,
    /// `catching up`.
    pub catching_up: Color32,
    /// `cached`.
    pub cached: Color32,
    /// `disconnected`.
    pub disconnected: Color32,
    /// What a person must mend.
    pub refused: Color32,
}

const DARK: Palette = Palette {
    ground: Color32::from_rgb(22, 24, 28),
    rail: Color32::from_rgb(17, 19, 22),
    card: Color32::from_rgb(29, 32, 37),
    line: Color32::from_rgb(50, 54, 61),
    stripe: Color32::from_rgb(26, 28, 33),
    chosen: Color32::from_rgb(43, 48, 57),
    text: Color32::from_rgb(228, 231, 235),
    quiet: Color32::from_rgb(156, 163, 173),
    live: Color32::from_rgb(78, 201, 140),
    catching_up: Color32::from_rgb(101, 172, 255),
    cached: Color32::from_rgb(229, 174, 75),
    disconnected: Color32::from_rgb(160, 167, 177),
    refused: Color32::from_rgb(255, 127, 117),
};

const LIGHT: Palette = Palette {
    ground: Color32::from_rgb(250, 250, 251),
    rail: Color32::from_rgb(241, 242, 244),
    card: Color32::from_rgb(255, 255, 255),
    line: Color32::from_rgb(218, 221, 226),
    stripe: Color32::from_rgb(246, 247, 249),
    chosen: Color32::from_rgb(226, 230, 236),
    text: Color32::from_rgb(27, 31, 36),
    quiet: Color32::from_rgb(92, 99, 109),
    live: Color32::from_rgb(17, 112, 66),
    catching_up: Color32::from_rgb(13, 92, 184),
    cached: Color32::from_rgb(135, 84, 5),
    disconnected: Color32::from_rgb(86, 93, 103),
    refused: Color32::from_rgb(178, 38, 30),
};

impl Palette {
    /// Of a theme.
    pub const fn of(theme: Theme) -> Palette {
        match theme {
            Theme::Dark => DARK,
            Theme::Light => LIGHT,
        }
    }

    /// Of the theme that is shown.
    pub fn shown(ui: &Ui) -> Palette {
        Palette::of(if ui.visuals().dark_mode { Theme::Dark } else { Theme::Light })
    }

    /// A badge's colour.
    pub const fn badge(&self, badge: Badge) -> Color32 {
        match badge {
            Badge::Live => self.live,
            Badge::CatchingUp => self.catching_up,
            Badge::Cached { .. } => self.cached,
            Badge::Disconnected => self.disconnected,
        }
    }
}

/// Sets fonts, sizes and both themes.
pub fn install(ctx: &Context) {
    for theme in [Theme::Dark, Theme::Light] {
        ctx.style_mut_of(theme, |style| set(style, theme));
    }
}

fn set(style: &mut Style, theme: Theme) {
    let palette = Palette::of(theme);
    let text = |size| FontId::new(size, FontFamily::Proportional);
    style.text_styles = BTreeMap::from([
        (TextStyle::Small, text(12.0)),
        (TextStyle::Body, text(14.0)),
        (TextStyle::Button, text(14.0)),
        (TextStyle::Monospace, FontId::new(13.0, FontFamily::Monospace)),
        (TextStyle::Heading, text(16.0)),
        (TextStyle::Name(TITLE.into()), text(22.0)),
        (TextStyle::Name(FIGURE.into()), text(44.0)),
    ]);
    style.spacing.item_spacing = vec2(GAP, GAP);
    style.spacing.button_padding = vec2(10.0, 5.0);
    style.spacing.interact_size = vec2(36.0, 28.0);
    style.spacing.window_margin = Margin::same(20);
    style.interaction.selectable_labels = true;
    style.visuals = visuals(theme, palette);
    // What moves by itself costs frames while nothing happens.
    style.animation_time = 0.0;
}

fn visuals(theme: Theme, palette: Palette) -> Visuals {
    let mut visuals = theme.default_visuals();
    visuals.panel_fill = palette.ground;
    visuals.window_fill = palette.card;
    visuals.window_stroke = Stroke::new(1.0, palette.line);
    visuals.faint_bg_color = palette.stripe;
    visuals.extreme_bg_color = palette.card;
    visuals.text_edit_bg_color = Some(palette.card);
    visuals.code_bg_color = palette.stripe;
    visuals.weak_text_color = Some(palette.quiet);
    visuals.selection.bg_fill = palette.chosen;
    visuals.selection.stroke = Stroke::new(1.0, palette.text);
    visuals.hyperlink_color = palette.catching_up;
    visuals.window_corner_radius = CornerRadius::same(8);
    visuals.text_cursor.blink = false;
    let widgets = &mut visuals.widgets;
    widgets.noninteractive.fg_stroke = Stroke::new(1.0, palette.text);
    widgets.noninteractive.bg_stroke = Stroke::new(1.0, palette.line);
    for state in [&mut widgets.inactive, &mut widgets.hovered, &mut widgets.active, &mut widgets.open] {
        state.fg_stroke = Stroke::new(1.0, palette.text);
        state.corner_radius = CornerRadius::same(6);
        state.expansion = 0.0;
        state.bg_stroke = Stroke::new(1.0, palette.line);
        state.weak_bg_fill = palette.card;
    }
    for state in [&mut widgets.hovered, &mut widgets.active] {
        (state.weak_bg_fill, state.bg_fill) = (palette.chosen, palette.chosen);
        state.bg_stroke = Stroke::new(1.0, palette.quiet);
    }
    // The keyboard's focus must be seen.
    widgets.active.bg_stroke = Stroke::new(2.0, palette.catching_up);
    visuals
}

/// The smallest window that shows everything at this zoom, in points.
pub const fn window_min() -> Vec2 {
    vec2(720.0, 480.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn luminance(color: Color32) -> f64 {
        let part = |value: u8| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * part(color.r()) + 0.7152 * part(color.g()) + 0.0722 * part(color.b())
    }

    fn contrast(a: Color32, b: Color32) -> f64 {
        let (a, b) = (luminance(a), luminance(b));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    #[test]
    fn every_text_can_be_read_on_whatever_is_behind_it_in_both_themes() {
        for palette in [DARK, LIGHT] {
            let texts = [
                palette.text,
                palette.quiet,
                palette.live,
                palette.catching_up,
                palette.cached,
                palette.disconnected,
                palette.refused,
            ];
            for ground in [palette.ground, palette.rail, palette.card, palette.stripe, palette.chosen] {
                for text in texts {
                    let contrast = contrast(text, ground);
                    assert!(contrast >= 4.5, "{text:?} on {ground:?}: {contrast:.2}");
                }
            }
        }
    }
}
