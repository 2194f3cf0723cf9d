//! What waits on this machine to be sent.

use std::time::Duration;

use eframe::egui::{Label, RichText, Ui};
use egui_extras::Column;
use muster_panel::badge::age;
use muster_panel::model::outbox::OutboxRow;
use muster_panel::{At, Facts};

use crate::panes::{self, REASONS_MAX, head, head_of_figures, reason, scroll_table_by_keys, table};
use crate::theme::{GAP, GROUP_GAP, Palette, ROW};
use crate::widgets::{bytes, empty, figure, number, quiet};

/// Longer than a publisher that is let in needs.
const LONG: Duration = Duration::from_secs(60);

pub(crate) fn ui(ui: &mut Ui, facts: &Facts, now: At) {
    let outbox = &facts.outbox;
    let Some(look) = &outbox.look else {
        let hint = match &outbox.path {
            Some(path) => format!("There is no outbox at {path}. `muster emit` makes one with its first event."),
            None => "Name the outbox of a publisher on this machine with --outbox, and what waits in it is shown here."
                .into(),
        };
        return empty(ui, "Nothing is published from here", &hint);
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = GROUP_GAP * 1.5;
        figure(ui, &number(look.depth), if look.depth == 1 { "event waits" } else { "events wait" });
        figure(ui, &look.oldest.map_or("–".into(), |oldest| age(now.since(oldest))), "the oldest has waited");
        figure(
            ui,
            &number(outbox.parked() as u64),
            if outbox.parked() == 1 { "parked stream" } else { "parked streams" },
        );
    });
    if let Some(path) = &outbox.path {
        ui.add(Label::new(quiet(ui, &format!("{path} · {}", bytes(look.bytes)))).truncate());
    }
    ui.add_space(GAP);
    for row in look.streams.iter().filter(|row| row.parked.is_some()).take(REASONS_MAX) {
        parked(ui, row);
    }
    if outbox.parked() == 0 && look.oldest.is_some_and(|oldest| now.since(oldest) > LONG) {
        let hint = "Nobody sends what waits, or the host does not let it in: run `muster emit < /dev/null`, and read what it says.";
        ui.add(Label::new(quiet(ui, hint)).wrap());
        ui.add_space(GAP / 2.0);
    }
    if look.streams.is_empty() {
        return empty(ui, "Everything is confirmed", "The host has every event that was published here.");
    }
    streams(ui, &look.streams);
}

/// Why a stream waits for a person, and what that person can do.
fn parked(ui: &mut Ui, row: &OutboxRow) {
    let Some(parked) = &row.parked else { return };
    let remedy = format!(
        "Since {}, with {} waiting. Mend the cause and run `muster outbox --retry {}`; --accept-loss, --skip and --drop give \
         something up.",
        parked.since.date_and_time(),
        number(row.pending),
        row.stream
    );
    reason(ui, &format!("{} is parked", row.stream), &parked.message, &remedy);
}

fn streams(ui: &mut Ui, rows: &[OutboxRow]) {
    let wide = ui.available_width();
    table(ui, "outbox")
        .column(Column::exact((wide * 0.40).max(200.0)))
        .column(Column::exact((wide * 0.12).max(70.0)))
        .column(Column::exact((wide * 0.14).max(80.0)))
        .column(Column::remainder())
        .header(ROW, |mut header| {
            header.col(|ui| head(ui, "Stream"));
            header.col(|ui| head_of_figures(ui, "Waiting"));
            header.col(|ui| head_of_figures(ui, "Confirmed"));
            header.col(|ui| head(ui, "State"));
        })
        .body(|mut body| {
            scroll_table_by_keys(&mut body);
            body.rows(ROW, rows.len(), |mut line| {
                let Some(row) = rows.get(line.index()) else { return };
                line.col(|ui| {
                    ui.add(Label::new(&row.stream).truncate());
                });
                for count in [row.pending, row.confirmed] {
                    line.col(|ui| panes::figure(ui, number(count)));
                }
                line.col(|ui| {
                    let text = match &row.parked {
                        Some(parked) => {
                            RichText::new(format!("parked: {}", parked.code)).color(Palette::shown(ui).refused)
                        }
                        None => RichText::new("waiting"),
                    };
                    ui.add(Label::new(text).truncate());
                });
            });
        });
}
