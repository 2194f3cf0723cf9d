//! The panes, a file for each.
//!
//! What always holds: a table draws only the rows that can be seen, so a frame costs the same however long it is.

use eframe::egui::{Align, Layout, Sense, Ui};
use egui_extras::TableBuilder;

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
        .auto_shrink([false, false])
}
