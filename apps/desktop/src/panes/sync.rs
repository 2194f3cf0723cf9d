//! How the sync is doing: overall, latencies, and every stream.

use std::time::Duration;

use eframe::egui::{Button, Label, ProgressBar, RichText, TextStyle, Ui};
use egui_extras::Column;
use egui_plot::{Bar, BarChart, GridMark};
use muster_contract::state::ConnectionState;
use muster_panel::badge::age;
use muster_panel::model::histogram::{Histogram, upper};
use muster_panel::model::{StreamRow, SyncFacts};
use muster_panel::{At, Badge, Facts, Pane};

use crate::panes::{
    REASONS_MAX, figure, head, head_of_figures, is_low, reason, scroll_table_by_keys, still_plot, table,
};
use crate::theme::{GAP, GROUP_GAP, Palette, ROW};
use crate::widgets::{card, empty, fact, number, quiet, rate, state, state_color};

/// Draws, and returns the stream whose events are asked for.
pub(crate) fn ui(ui: &mut Ui, facts: &Facts, now: At) -> Option<String> {
    let sync = &facts.sync;
    if facts.lane.is_none() {
        empty(ui, "Nothing is followed", "Open a lane with Ctrl+L. Its streams are listed here, with how far each is.");
        return None;
    }
    let is_heard = matches!(facts.badge(Pane::Sync, now), Badge::Live | Badge::CatchingUp);
    overall(ui, sync, is_heard, now);
    ui.add_space(GAP);
    latency(ui, &sync.latency);
    ui.add_space(GAP);
    let refused = |row: &&StreamRow| row.refusal.is_some();
    for row in sync.streams.iter().filter(refused).take(REASONS_MAX) {
        let Some(why) = &row.refusal else { continue };
        reason(ui, &format!("{}: {}", row.word.stream, why.title), &why.detail, &why.remedy);
    }
    if sync.streams.is_empty() {
        empty(ui, "No streams", "The lane has none that this session may follow, or nothing of them is known yet.");
        return None;
    }
    streams(ui, sync, is_heard, now)
}

/// What is behind, and how fast it goes, is true only while the host is heard.
fn overall(ui: &mut Ui, sync: &SyncFacts, is_heard: bool, now: At) {
    card(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_wrapped(|ui| {
            ui.spacing_mut().item_spacing.x = GROUP_GAP * 1.4;
            let palette = Palette::shown(ui);
            let color = state_color(&palette, sync.state);
            fact(ui, "State", RichText::new(sync.state.as_str()).heading().color(color));
            if let Some(reason) = sync.reason {
                fact(ui, "Reason", RichText::new(reason.as_str()).heading());
            }
            let behind = if is_heard { "Behind" } else { "Behind when last heard" };
            if is_heard || !sync.streams.is_empty() {
                fact(ui, behind, RichText::new(events(sync.lag)).heading());
            }
            if is_heard {
                fact(ui, "Rate", RichText::new(format!("{} events/s", rate(sync.rate))).heading());
            }
            fact(ui, "Streams", RichText::new(streams_said(sync)).heading());
            if sync.attempts > 0 {
                fact(ui, "Attempts", RichText::new(number(sync.attempts.into())).heading());
            }
            if let Some(at) = sync.next_retry {
                let text = format!("in {} s", now.until(at).as_millis().div_ceil(1_000));
                fact(ui, "Next attempt", RichText::new(text).heading());
            }
        });
        if let Some(error) = &sync.last_error {
            ui.add_space(2.0);
            ui.add(Label::new(quiet(ui, error)).wrap());
        }
    });
}

fn events(count: u64) -> String {
    if count == 1 { "1 event".into() } else { format!("{} events", number(count)) }
}

fn streams_said(sync: &SyncFacts) -> String {
    let live = sync.count(ConnectionState::Live);
    match sync.streams.len() {
        all if all == live => number(all as u64),
        all => format!("{} live of {}", number(live as u64), number(all as u64)),
    }
}

/// From the producer's time to the apply.
fn latency(ui: &mut Ui, histogram: &Histogram) {
    let palette = Palette::shown(ui);
    let counts = histogram.counts();
    card(ui, |ui| {
        ui.set_width(ui.available_width());
        ui.horizontal_wrapped(|ui| {
            ui.label("From append to apply");
            let said = match (histogram.quantile(0.5), histogram.quantile(0.99)) {
                (Some(half), Some(most)) => {
                    format!("half within {}, 99 % within {}, over the last minute", time(half), time(most))
                }
                _ => "no events in the last minute".into(),
            };
            ui.label(quiet(ui, &said));
            if histogram.left_out > 0 {
                let hint = "They were written before this window was connected, or their producer's time is more than ten \
                            minutes from this machine's clock.";
                ui.label(quiet(ui, &format!("· {} not counted", number(histogram.left_out)))).on_hover_text(hint);
            }
        });
        if is_low(ui) {
            return;
        }
        let shown = 16;
        let bars = counts
            .iter()
            .take(shown)
            .enumerate()
            .map(|(index, count)| Bar::new(index as f64, *count as f64).width(0.82));
        let chart = BarChart::new("events", bars.collect()).color(palette.quiet);
        let highest = counts.iter().max().copied().unwrap_or(0).max(1) as f64;
        still_plot(ui, "latency", |mark, _| bound(mark.value), |mark, _| number(mark.value.max(0.0) as u64))
            .height(92.0)
            .default_x_bounds(-0.7, shown as f64 - 0.3)
            .default_y_bounds(0.0, highest * 1.1)
            .x_grid_spacer(|_| {
                (0..16).step_by(2).map(|value| GridMark { value: f64::from(value), step_size: 2.0 }).collect()
            })
            .y_grid_spacer(move |_| [0.0, highest].map(|value| GridMark { value, step_size: highest }).into())
            .show(ui, |plot| {
                plot.set_plot_bounds_y(0.0..=highest * 1.1);
                plot.bar_chart(chart);
            });
    });
}

/// The upper bound of a bucket, as an axis has it.
fn bound(value: f64) -> String {
    time(upper(value.max(0.0) as usize))
}

fn time(time: Duration) -> String {
    let ms = time.as_millis();
    if ms < 1_000 { format!("{ms} ms") } else { format!("{} s", ms / 1_000) }
}

fn streams(ui: &mut Ui, sync: &SyncFacts, is_heard: bool, now: At) -> Option<String> {
    let wide = ui.available_width();
    let mut chosen = None;
    table(ui, "streams")
        .column(Column::exact((wide * 0.28).max(170.0)))
        .column(Column::exact((wide * 0.11).max(86.0)))
        .column(Column::exact((wide * 0.10).max(64.0)))
        .column(Column::exact((wide * 0.10).max(64.0)))
        .column(Column::exact((wide * 0.07).max(48.0)))
        .column(Column::exact((wide * 0.08).max(52.0)))
        .column(Column::remainder())
        .header(ROW, |mut header| {
            for name in ["Stream", "State"] {
                header.col(|ui| head(ui, name));
            }
            for name in ["Cursor", "Head", "Lag", "Rate/s"] {
                header.col(|ui| head_of_figures(ui, name));
            }
            header.col(|ui| head(ui, "Last event"));
        })
        .body(|mut body| {
            scroll_table_by_keys(&mut body);
            body.rows(ROW, sync.streams.len(), |mut row| {
                let Some(stream) = sync.streams.get(row.index()) else { return };
                row.col(|ui| {
                    if name(ui, stream) {
                        chosen = Some(stream.word.stream.to_string());
                    }
                });
                row.col(|ui| progress(ui, stream, now));
                row.col(|ui| figure(ui, stream.word.cursor.map_or("–".into(), number)));
                let rate = if is_heard { rate(stream.rate) } else { "–".into() };
                for text in [newest(stream), number(stream.word.lag), rate] {
                    // What the host had when it was last heard.
                    row.col(|ui| figure(ui, if is_heard { text.into() } else { quiet(ui, &text) }));
                }
                row.col(|ui| last_event(ui, stream));
            });
        });
    chosen
}

fn name(ui: &mut Ui, stream: &StreamRow) -> bool {
    let id = stream.word.stream.as_str();
    let button = Button::new(RichText::new(id)).frame(false).truncate();
    ui.add(button).on_hover_text(format!("{id}\nshow its events")).clicked()
}

fn newest(stream: &StreamRow) -> String {
    if stream.word.head == 0 { "–".into() } else { number(stream.word.head) }
}

/// The state, or how far a replay is, or why it does not go on.
fn progress(ui: &mut Ui, stream: &StreamRow, now: At) {
    let word = &stream.word;
    if let Some(done) = stream.progress.filter(|_| word.lag > 0) {
        let palette = Palette::shown(ui);
        let text = RichText::new(format!("{:.0} %", done * 100.0)).text_style(TextStyle::Small).color(palette.text);
        ui.add(ProgressBar::new(done as f32).fill(palette.chosen).text(text).desired_height(16.0));
        return;
    }
    let hover = match (&stream.refusal, word.reason) {
        (Some(refusal), _) => Some(format!("{}. {} {}", refusal.title, refusal.detail, refusal.remedy)),
        (None, Some(reason)) => {
            let error = word.last_error.as_deref().map(|error| format!(": {error}")).unwrap_or_default();
            let retry =
                word.next_retry.map(|at| format!("; next attempt in {}", age(now.until(at)))).unwrap_or_default();
            Some(format!("{reason}{error}{retry}"))
        }
        _ => None,
    };
    let shown = ui.scope(|ui| state(ui, word.state)).response;
    if let Some(hover) = hover {
        shown.on_hover_text(hover);
    }
}

/// Where there is not room for both, its time.
fn last_event(ui: &mut Ui, stream: &StreamRow) {
    match &stream.last_event {
        Some(event) => {
            let time = event.at.time_of_day();
            let text = if ui.available_width() < 150.0 { time } else { format!("{time}  {}", event.kind) };
            let hover = format!("{}  {}", event.at.date_and_time(), event.kind);
            ui.add(Label::new(text).truncate()).on_hover_text(hover);
        }
        None => {
            ui.label(quiet(ui, "–"));
        }
    }
}
