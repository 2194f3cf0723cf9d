//! What this window may do, and until when.

use eframe::egui::{Grid, Label, RichText, TextStyle, Ui, vec2};
use muster_panel::model::token::TokenKind;
use muster_panel::{At, Facts};

use crate::theme::{GROUP_GAP, Palette};
use crate::widgets::{card, empty, quiet};

pub(crate) fn ui(ui: &mut Ui, facts: &Facts, now: At) {
    if facts.lane.is_none() {
        return empty(ui, "No token", "Open a lane with Ctrl+L. What its token grants is shown here.");
    }
    let token = &facts.token;
    card(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.label(
            RichText::new(match token.kind {
                TokenKind::Anonymous => "Without a token",
                TokenKind::Given => "With a token that was given",
                TokenKind::Renewed => "With tokens that renew themselves",
            })
            .heading(),
        );
        ui.add(
            Label::new(quiet(
                ui,
                match token.kind {
                    TokenKind::Anonymous => {
                        "The host made up an identity for this window. A lane that grants by token refuses it."
                    }
                    TokenKind::Given => "It is used until it expires; then this window needs another.",
                    TokenKind::Renewed => {
                        "The next one is fetched in time, and the session changes over without a gap."
                    }
                },
            ))
            .wrap(),
        );
    });
    ui.add_space(GROUP_GAP);
    let palette = Palette::shown(ui);
    let left = token.expires.map(|expires| match now.until(expires) {
        left if left.is_zero() => RichText::new(format!("expired at {}", expires.time_of_day())).color(palette.refused),
        left => RichText::new(format!("{} (until {})", time_left(left), expires.time_of_day())),
    });
    Grid::new("token").num_columns(2).spacing(vec2(GROUP_GAP, 10.0)).show(ui, |ui| {
        line(ui, "Time left", left.unwrap_or_else(|| quiet(ui, "no end is known")));
        line(
            ui,
            "Next refresh",
            match token.next_refresh {
                Some(at) => RichText::new(format!("{} (at {})", time_left(now.until(at)), at.time_of_day())),
                None => quiet(ui, "none: nothing renews it"),
            },
        );
        line(ui, "Client", text(ui, token.client.as_deref()));
        line(ui, "Scopes", list(ui, &token.scopes, token.kind));
        line(ui, "Streams", list(ui, &token.streams, token.kind));
        line(ui, "Issuer", text(ui, token.issuer.as_deref()));
        line(ui, "Audience", text(ui, Some(token.audience.join(", ").as_str())));
        line(ui, "Subject", text(ui, token.subject.as_deref()));
        line(
            ui,
            "Last refusal",
            match &token.last_refusal {
                Some((at, said)) => RichText::new(format!("{}  {said}", at.time_of_day())),
                None => quiet(ui, "none"),
            },
        );
    });
}

/// Beside a refusal: whether the token that is used now is still good.
pub(crate) fn at_hand(ui: &mut Ui, facts: &Facts, now: At) {
    let Some(expires) = facts.token.expires.filter(|expires| *expires > now) else { return };
    ui.add_space(GROUP_GAP);
    let said =
        format!("The token at hand is good for {} (until {}).", time_left(now.until(expires)), expires.time_of_day());
    ui.add(Label::new(said).wrap());
}

fn line(ui: &mut Ui, caption: &str, value: RichText) {
    ui.label(quiet(ui, caption));
    ui.scope(|ui| {
        ui.set_max_width((ui.ctx().content_rect().width() - crate::rail::WIDTH - 190.0).max(200.0));
        ui.add(Label::new(value.text_style(TextStyle::Body)).wrap());
    });
    ui.end_row();
}

fn text(ui: &Ui, value: Option<&str>) -> RichText {
    value.filter(|value| !value.is_empty()).map_or_else(|| quiet(ui, "–"), RichText::new)
}

fn list(ui: &Ui, values: &[String], kind: TokenKind) -> RichText {
    match (values.is_empty(), kind) {
        (false, _) => RichText::new(values.join(",  ")),
        (true, TokenKind::Anonymous) => quiet(ui, "whatever an open lane lets anybody do"),
        (true, _) => quiet(ui, "none are named"),
    }
}

/// How long, in steps that a screen need not follow every second.
fn time_left(left: std::time::Duration) -> String {
    match left.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..600 => format!("{} min {:02} s", seconds / 60, seconds % 60 / 10 * 10),
        seconds @ 600..7_200 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}
