//! The newest applied events of a stream.

use eframe::egui::{
    Align, ComboBox, Key, Label, Layout, Modifiers, Panel, RichText, ScrollArea, Sense, TextEdit, TextStyle, Ui,
};
use egui_extras::Column;
use muster_panel::Facts;
use muster_panel::limits::{EVENTS_MAX, SEARCH_EVENTS_MAX};
use muster_panel::model::EventRow;

use crate::panes::{head, head_of_figures, scroll_table_by_keys, table};
use crate::theme::{GAP, Palette, ROW};
use crate::view::Intent;
use crate::widgets::{bytes, empty, number, quiet};

/// The most streams that the list offers. The sync pane has them all.
const OFFERED_MAX: usize = 200;

/// What was typed and chosen.
#[derive(Debug, Default)]
pub struct State {
    /// What is searched for.
    pub search: String,
    /// Which event is shown whole; `None`: the newest.
    pub chosen: Option<u64>,
    /// By the payload's hash.
    pretty: Option<(String, String)>,
}

pub(crate) fn ui(ui: &mut Ui, state: &mut State, facts: &Facts, intents: &mut Vec<Intent>, focus: bool) {
    let events = &facts.events;
    let Some(stream) = &events.stream else {
        return empty(ui, "No events", "They are shown here as soon as one of the lane's streams has any.");
    };
    ui.horizontal(|ui| {
        choice(ui, facts, stream, intents);
        let label = ui.label(quiet(ui, "Search"));
        let edit = TextEdit::singleline(&mut state.search).hint_text("in kinds and payloads").desired_width(220.0);
        let edit = ui.add(edit).labelled_by(label.id);
        if focus {
            edit.request_focus();
        }
        if edit.changed() {
            intents.push(Intent::Search(state.search.clone()));
        }
        let said = match (events.rows.len(), events.search.trim().is_empty()) {
            (shown, true) if shown >= EVENTS_MAX => format!("the newest {}", number(shown as u64)),
            (1, true) => "1 event".into(),
            (shown, true) => format!("{} events", number(shown as u64)),
            (shown, false) => {
                format!(
                    "{} found in the newest {}",
                    number(shown as u64),
                    number(events.through.min(SEARCH_EVENTS_MAX))
                )
            }
        };
        ui.label(quiet(ui, &said));
    });
    ui.add_space(GAP);
    if facts.sync.stream(stream).is_none_or(|row| row.word.is_gone()) && !events.rows.is_empty() {
        let gone = "The host has this stream no more, or does not show it to this token any more: this is what it was.";
        ui.add(Label::new(quiet(ui, gone)).wrap());
    }
    if events.rows.is_empty() {
        return match events.search.trim().is_empty() {
            true => empty(ui, "No events yet", "Nothing of this stream has been applied here."),
            false => empty(ui, "Nothing found", "Kinds and payloads are searched, whatever the case of letters."),
        };
    }
    let place = state.chosen.and_then(|seq| events.rows.iter().position(|row| row.seq == seq));
    let moved = moved(ui, place.unwrap_or(0), events.rows.len());
    if let Some(place) = moved {
        state.chosen = events.rows.get(place).map(|row| row.seq);
    }
    let chosen = moved.or(place).and_then(|place| events.rows.get(place)).or(events.rows.first());
    if let Some(event) = chosen {
        let height = (ui.available_height() * 0.45).max(120.0);
        Panel::bottom("event")
            .resizable(false)
            .show_separator_line(false)
            .exact_size(height)
            .frame(eframe::egui::Frame::new())
            .show(ui, |ui| whole(ui, state, event));
    }
    let shown = chosen.map(|event| event.seq);
    if let Some(seq) = rows(ui, &events.rows, shown, moved) {
        state.chosen = Some(seq);
    }
}

fn choice(ui: &mut Ui, facts: &Facts, stream: &str, intents: &mut Vec<Intent>) {
    let label = ui.label(quiet(ui, "Stream"));
    let width = ui.available_width().min(520.0) * 0.6;
    let list = ComboBox::from_id_salt("stream").width(width).truncate().selected_text(stream);
    let shown = list.show_ui(ui, |ui| {
        if ui.selectable_label(!facts.events.is_chosen, "the one with the newest event").clicked() {
            intents.push(Intent::Choose(None));
        }
        for row in facts.sync.streams.iter().take(OFFERED_MAX) {
            let id = row.word.stream.as_str();
            if ui.selectable_label(id == stream, id).clicked() {
                intents.push(Intent::Choose(Some(id.to_string())));
            }
        }
    });
    shown.response.labelled_by(label.id);
}

/// To which place the keyboard has moved the choice.
fn moved(ui: &Ui, place: usize, count: usize) -> Option<usize> {
    let pressed = |key| ui.input_mut(|input| input.consume_key(Modifiers::COMMAND, key));
    if pressed(Key::ArrowUp) {
        return Some(place.saturating_sub(1));
    }
    pressed(Key::ArrowDown).then_some((place + 1).min(count.saturating_sub(1)))
}

fn rows(ui: &mut Ui, rows: &[EventRow], shown: Option<u64>, moved: Option<usize>) -> Option<u64> {
    let wide = ui.available_width();
    let mut chosen = None;
    let mut table = table(ui, "events");
    if let Some(place) = moved {
        table = table.scroll_to_row(place, None);
    }
    table
        // For the mouse: with the keyboard one goes from event to event, and not through all of their cells.
        .sense(Sense::CLICK)
        .column(Column::exact((wide * 0.10).max(70.0)))
        .column(Column::exact((wide * 0.13).max(86.0)))
        .column(Column::exact((wide * 0.22).max(120.0)))
        .column(Column::remainder())
        .header(ROW, |mut header| {
            header.col(|ui| head_of_figures(ui, "Number"));
            for name in ["Time", "Kind", "Payload"] {
                header.col(|ui| head(ui, name));
            }
        })
        .body(|mut body| {
            scroll_table_by_keys(&mut body);
            body.rows(ROW, rows.len(), |mut row| {
                let Some(event) = rows.get(row.index()) else { return };
                row.set_selected(shown == Some(event.seq));
                row.col(|ui| {
                    ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                        ui.add_space(14.0);
                        plain(ui, number(event.seq).into());
                    });
                });
                row.col(|ui| plain(ui, event.at.time_of_day().into()));
                row.col(|ui| plain(ui, event.kind.as_str().into()));
                row.col(|ui| {
                    let line: String = event.payload.chars().take(160).collect();
                    plain(ui, RichText::new(line).text_style(TextStyle::Monospace).color(Palette::shown(ui).quiet));
                });
                if row.response().clicked() {
                    chosen = Some(event.seq);
                }
            });
        });
    chosen
}

/// A cell that leaves clicks to its row.
fn plain(ui: &mut Ui, text: RichText) {
    ui.add(Label::new(text).selectable(false).truncate());
}

/// One event, its payload indented.
fn whole(ui: &mut Ui, state: &mut State, event: &EventRow) {
    ui.add_space(GAP);
    if state.pretty.as_ref().is_none_or(|(of, _)| *of != event.hash) {
        state.pretty = Some((event.hash.clone(), event.pretty()));
    }
    let Some((_, pretty)) = &state.pretty else { return };
    ui.horizontal_wrapped(|ui| {
        ui.label(RichText::new(format!("{} · {}", number(event.seq), event.kind)).heading());
        ui.label(quiet(ui, &format!("{} · {}", event.at.date_and_time(), bytes(event.payload_bytes as u64))));
        if ui.button("Copy payload").clicked() {
            ui.ctx().copy_text(event.payload.clone());
        }
        if event.is_cut() {
            ui.label(quiet(ui, "cut for the screen; `muster tail` prints all of it"));
        }
    });
    ui.label(quiet(ui, &event.hash).text_style(TextStyle::Small));
    let palette = Palette::shown(ui);
    eframe::egui::Frame::new().fill(palette.stripe).corner_radius(6).inner_margin(12).show(ui, |ui| {
        ScrollArea::both().id_salt("payload").auto_shrink([false, false]).show(ui, |ui| {
            ui.add(Label::new(RichText::new(pretty).text_style(TextStyle::Monospace)).extend());
        });
    });
}
