//! Opening another lane: a lane file and a lane's name, or a server and a database.

use eframe::egui::{Context, Frame, Id, Key, Modal, RichText, TextEdit, TextStyle, Ui};

use crate::theme::{GAP, GROUP_GAP, Palette, TITLE};
use crate::view::{Intent, Overlay};
use crate::widgets::quiet;

/// What is typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// A lane's name; with it the server and the database come from the lane file.
    pub lane: String,
    /// A file of lane variables; empty for the environment's own.
    pub env_file: String,
    /// The host's address.
    pub server: String,
    /// The database.
    pub database: String,
    /// A file with a token; empty for none.
    pub token_file: String,
    /// What was wrong with it, when it was last tried.
    pub error: Option<String>,
}

impl Form {
    /// Whether there is enough to try.
    pub fn is_complete(&self) -> bool {
        !self.lane.trim().is_empty() || (!self.server.trim().is_empty() && !self.database.trim().is_empty())
    }
}

pub(crate) fn ui(ctx: &Context, form: &mut Form, overlay: &mut Option<Overlay>, intents: &mut Vec<Intent>) {
    let modal =
        Modal::new(Id::unique("connect")).frame(Frame::popup(&ctx.global_style()).inner_margin(24)).show(ctx, |ui| {
            ui.set_width(440.0);
            ui.label(RichText::new("Open a lane").text_style(TextStyle::Name(TITLE.into())).strong());
            ui.add_space(GAP);
            ui.label(RichText::new("By its name").heading());
            ui.add_space(3.0);
            field(ui, "Lane", "dev", &mut form.lane);
            field(ui, "File with lane variables", "empty: the environment's", &mut form.env_file);
            ui.add_space(GAP);
            ui.add_space(GAP);
            ui.label(RichText::new("Or by its address").heading());
            ui.add_space(3.0);
            field(ui, "Server", "http://127.0.0.1:3000", &mut form.server);
            field(ui, "Database", "presence", &mut form.database);
            ui.add_space(GAP);
            field(ui, "File with a token", "empty: as somebody new", &mut form.token_file);
            if let Some(error) = &form.error {
                ui.label(RichText::new(error).color(Palette::shown(ui).refused));
            }
            ui.add_space(GROUP_GAP / 2.0);
            ui.horizontal(|ui| {
                let entered = ui.input(|input| input.key_pressed(Key::Enter));
                let is_asked = ui.add_enabled(form.is_complete(), eframe::egui::Button::new("Open")).clicked();
                if form.is_complete() && (is_asked || entered) {
                    form.error = None;
                    intents.push(Intent::Open(form.clone()));
                }
                if ui.button("Cancel").clicked() {
                    ui.close();
                }
            });
        });
    if modal.should_close() {
        *overlay = None;
    }
}

fn field(ui: &mut Ui, label: &str, hint: &str, text: &mut String) {
    ui.spacing_mut().item_spacing.y = 3.0;
    let label = ui.label(quiet(ui, label).text_style(TextStyle::Small));
    ui.add(TextEdit::singleline(text).hint_text(hint).desired_width(f32::INFINITY)).labelled_by(label.id);
    ui.add_space(3.0);
}
