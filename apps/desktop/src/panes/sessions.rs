//! Who is connected: the count, joins and leaves, the table.

use std::cmp::Ordering;
use std::ops::RangeInclusive;
use std::sync::Arc;

use eframe::egui::{Button, Label, RichText, Sense, Shape, Stroke, TextEdit, TextStyle, Ui, vec2};
use egui_extras::Column;
use egui_plot::{Bar, BarChart, GridMark};
use muster_panel::model::{SessionRow, Sessions};
use muster_panel::{At, Facts};

use crate::panes::{is_low, scroll_table_by_keys, still_plot, table};
use crate::theme::{GAP, GROUP_GAP, Palette, ROW};
use crate::widgets::{card, empty, figure, number, quiet, short};

/// Roles that are counted beside each other.
const ROLES_MAX: usize = 6;

/// Columns that rows can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Who.
    Identity,
    /// The OAuth client.
    Client,
    /// What the token says that it is.
    Role,
    /// The client's build.
    Build,
    /// Since when.
    Since,
}

const COLUMNS: [(By, &str); 5] = [
    (By::Identity, "Identity"),
    (By::Client, "Client"),
    (By::Role, "Role"),
    (By::Build, "Build"),
    (By::Since, "Since"),
];

/// What was typed and chosen, and the order that follows from it.
#[derive(Debug)]
pub struct State {
    /// Only rows that have this text.
    pub filter: String,
    /// Sorted by this.
    pub by: By,
    /// The largest first.
    pub is_descending: bool,
    /// The rows to show, by their index; computed again only if something changed.
    shown: Vec<usize>,
    /// Of which rows, which are kept for as long as that: another list might lie where one lay that is gone.
    computed: Option<(Arc<Vec<SessionRow>>, String, By, bool)>,
}

impl Default for State {
    fn default() -> State {
        State { filter: String::new(), by: By::Since, is_descending: true, shown: Vec::new(), computed: None }
    }
}

pub(crate) fn ui(ui: &mut Ui, state: &mut State, facts: &Facts, now: At, focus: bool) {
    let sessions = &facts.sessions;
    let Some(total) = sessions.total else {
        return empty(
            ui,
            "Nobody is known yet",
            "Sessions are listed here as soon as a host is connected. Open a lane, or connect, with the buttons on the left.",
        );
    };
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = GROUP_GAP * 1.5;
        figure(ui, &number(total), if total == 1 { "connected session" } else { "connected sessions" });
        roles(ui, sessions);
    });
    ui.add_space(GAP);
    if let Some(why) = &sessions.rows_refused {
        // Who joins and leaves is not to be seen either.
        ui.add(Label::new(quiet(ui, why)).wrap());
        return;
    }
    churn(ui, sessions, now);
    ui.add_space(GAP);
    rows(ui, state, sessions, focus);
}

fn roles(ui: &mut Ui, sessions: &Sessions) {
    let roles = &sessions.by_role;
    let shown = if roles.len() > ROLES_MAX { ROLES_MAX - 1 } else { roles.len() };
    for (role, count) in &roles[..shown] {
        figure_of(ui, *count, role);
    }
    let rest = &roles[shown..];
    if !rest.is_empty() {
        let count = rest.iter().map(|(_, count)| count).sum();
        figure_of(ui, count, &format!("in {} other roles", number(rest.len() as u64)));
    }
}

fn figure_of(ui: &mut Ui, count: u64, caption: &str) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 0.0;
        ui.add_space(12.0);
        ui.label(RichText::new(number(count)).heading());
        ui.label(quiet(ui, caption));
    });
}

/// Joins above the line, leaves below it, a bar for each minute.
fn churn(ui: &mut Ui, sessions: &Sessions, now: At) {
    let palette = Palette::shown(ui);
    let churn = &sessions.churn;
    let (joins, leaves) = churn.totals();
    card(ui, |ui| {
        ui.horizontal(|ui| {
            ui.label("Last hour");
            ui.label(quiet(ui, &format!("{} joined, {} left", number(joins), number(leaves))));
            if let Some(since) = churn.since.filter(|since| now.since(*since).as_secs() < 3_600) {
                ui.label(quiet(ui, &format!("· watched since {}", since.time_of_day())));
            }
        });
        if is_low(ui) {
            return;
        }
        let minutes_ago = |at: At| -((now.0 - now.0.rem_euclid(60_000_000) - at.0) / 60_000_000) as f64;
        let bars = |of: fn(&muster_panel::model::churn::Minute) -> f64| -> Vec<Bar> {
            churn.minutes.iter().map(|minute| Bar::new(minutes_ago(minute.at), of(minute)).width(0.7)).collect()
        };
        let highest =
            churn.minutes.iter().map(|minute| minute.joins.max(minute.leaves)).max().unwrap_or(0).max(2) as f64;
        let x = |mark: GridMark, _: &RangeInclusive<f64>| {
            if mark.value == 0.0 { "now".into() } else { format!("{} min", mark.value.abs()) }
        };
        still_plot(ui, "churn", x, |mark, _| format!("{}", mark.value.abs()))
            .height(96.0)
            .default_x_bounds(-60.5, 1.5)
            .default_y_bounds(-highest * 1.15, highest * 1.15)
            .x_grid_spacer(|_| {
                (0..=4).map(|step| GridMark { value: f64::from(step) * -15.0, step_size: 15.0 }).collect()
            })
            .y_grid_spacer(move |_| [0.0, highest].map(|value| GridMark { value, step_size: highest }).into())
            .show(ui, |plot| {
                plot.set_plot_bounds_y(-highest * 1.15..=highest * 1.15);
                plot.bar_chart(BarChart::new("joined", bars(|minute| minute.joins as f64)).color(palette.live));
                plot.bar_chart(
                    BarChart::new("left", bars(|minute| -(minute.leaves as f64))).color(palette.disconnected),
                );
            });
    });
}

fn rows(ui: &mut Ui, state: &mut State, sessions: &Sessions, focus: bool) {
    ui.horizontal(|ui| {
        let label = ui.label(quiet(ui, "Filter"));
        let hint = "identity, client, role or build";
        let edit = ui.add(TextEdit::singleline(&mut state.filter).hint_text(hint).desired_width(280.0));
        let edit = edit.labelled_by(label.id);
        if focus {
            edit.request_focus();
        }
        state.compute(sessions);
        if !state.filter.trim().is_empty() {
            ui.label(quiet(
                ui,
                &format!("{} of {}", number(state.shown.len() as u64), number(sessions.rows.len() as u64)),
            ));
        }
        let listed = sessions.rows.len() as u64;
        if let Some(total) = sessions.total.filter(|total| *total > listed) {
            ui.label(quiet(ui, &format!("only {} of the {} are listed", number(listed), number(total))));
        }
    });
    let wide = ui.available_width();
    let mut sort = None;
    table(ui, "sessions")
        .column(Column::exact((wide * 0.24).max(196.0)))
        .column(Column::exact((wide * 0.21).max(96.0)))
        .column(Column::exact((wide * 0.16).max(76.0)))
        .column(Column::exact((wide * 0.13).max(54.0)))
        .column(Column::remainder())
        .header(ROW, |mut header| {
            for (by, name) in COLUMNS {
                header.col(|ui| {
                    if head(ui, name, (state.by == by).then_some(state.is_descending)) {
                        sort = Some(by);
                    }
                });
            }
        })
        .body(|mut body| {
            scroll_table_by_keys(&mut body);
            body.rows(ROW, state.shown.len(), |mut row| {
                let Some(session) = state.shown.get(row.index()).and_then(|index| sessions.rows.get(*index)) else {
                    return;
                };
                let is_own = sessions.own.contains(&session.connection_id);
                row.col(|ui| {
                    let text = RichText::new(short(&session.identity)).text_style(TextStyle::Monospace);
                    ui.add(Label::new(text).sense(Sense::hover())).on_hover_text(&session.identity);
                    if is_own {
                        ui.label(quiet(ui, "this window"));
                    }
                });
                row.col(|ui| cell(ui, session.client.as_deref()));
                row.col(|ui| cell(ui, Some(&session.role)));
                row.col(|ui| cell(ui, session.build.as_deref()));
                row.col(|ui| {
                    let is_narrow = ui.available_width() < 130.0;
                    let since = if is_narrow { session.since.time_of_day() } else { session.since.date_and_time() };
                    cell(ui, Some(&since));
                });
            });
        });
    if let Some(by) = sort {
        state.is_descending = state.by == by && !state.is_descending;
        state.by = by;
    }
}

/// A column's name, which sorts by it. The fonts have no arrows, so one is drawn.
fn head(ui: &mut Ui, name: &str, sorted: Option<bool>) -> bool {
    let text = quiet(ui, name).text_style(TextStyle::Small);
    let hint = match sorted {
        Some(true) => format!("sorted by {}, the largest first", name.to_lowercase()),
        Some(false) => format!("sorted by {}, the smallest first", name.to_lowercase()),
        None => format!("sort by {}", name.to_lowercase()),
    };
    let response = ui.add(Button::new(text).frame(false)).on_hover_text(hint);
    if let Some(is_descending) = sorted {
        let tip = if is_descending { 3.0 } else { -3.0 };
        let center = response.rect.right_center() + vec2(8.0, 0.0);
        let corners = vec![center + vec2(-4.0, -tip), center + vec2(4.0, -tip), center + vec2(0.0, tip)];
        ui.painter().add(Shape::convex_polygon(corners, Palette::shown(ui).quiet, Stroke::NONE));
    }
    response.clicked()
}

fn cell(ui: &mut Ui, text: Option<&str>) {
    let text = text.map_or_else(|| quiet(ui, "–"), RichText::new);
    ui.add(Label::new(text).truncate());
}

impl State {
    /// Which rows are shown, in which order.
    fn compute(&mut self, sessions: &Sessions) {
        let rows = &sessions.rows;
        let is_same = |(of, filter, by, is_descending): &(Arc<Vec<SessionRow>>, String, By, bool)| {
            Arc::ptr_eq(of, rows) && *filter == self.filter && (*by, *is_descending) == (self.by, self.is_descending)
        };
        if self.computed.as_ref().is_some_and(is_same) {
            return;
        }
        let filter = self.filter.trim().to_lowercase();
        let fits = |row: &SessionRow| {
            let texts = [Some(&row.identity), row.client.as_ref(), Some(&row.role), row.build.as_ref()];
            filter.is_empty() || texts.into_iter().flatten().any(|text| text.to_lowercase().contains(&filter))
        };
        self.shown = (0..rows.len()).filter(|index| fits(&rows[*index])).collect();
        let (by, is_descending) = (self.by, self.is_descending);
        self.shown.sort_by(|a, b| {
            let order = compare(by, &rows[*a], &rows[*b]);
            if is_descending { order.reverse() } else { order }
        });
        self.computed = Some((rows.clone(), self.filter.clone(), by, is_descending));
    }
}

fn compare(by: By, a: &SessionRow, b: &SessionRow) -> Ordering {
    match by {
        By::Identity => a.identity.cmp(&b.identity),
        By::Client => a.client.cmp(&b.client),
        By::Role => a.role.cmp(&b.role),
        By::Build => a.build.cmp(&b.build),
        By::Since => a.since.cmp(&b.since),
    }
}
