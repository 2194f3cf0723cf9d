//! Opening another lane: a lane file and a lane's name, or a server and a database; and as whom.

use eframe::egui::{Context, Frame, Id, Key, Label, Modal, Response, RichText, ScrollArea, TextEdit, TextStyle, Ui};

use crate::help::room;
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
    /// A token service's address; empty for none.
    pub control: String,
    /// The client of the token service.
    pub client_id: String,
    /// The file with that client's secret.
    pub client_secret_file: String,
    /// What was wrong with it, when it was last tried.
    pub error: Option<String>,
}

impl Form {
    /// Whether there is enough to try.
    pub fn is_complete(&self) -> bool {
        !self.lane.trim().is_empty() || (!self.server.trim().is_empty() && !self.database.trim().is_empty())
    }
}

/// `is_new`: it has just been opened, and takes the keyboard.
pub(crate) fn ui(
    ctx: &Context,
    form: &mut Form,
    overlay: &mut Option<Overlay>,
    intents: &mut Vec<Intent>,
    is_new: bool,
) {
    let modal =
        Modal::new(Id::unique("connect")).frame(Frame::popup(&ctx.global_style()).inner_margin(24)).show(ctx, |ui| {
            ui.set_width(440.0_f32.min(room(ctx).x));
            ui.label(RichText::new("Open a lane").text_style(TextStyle::Name(TITLE.into())).strong());
            ui.add_space(GAP);
            // At a large zoom there is not room for all of it.
            let entered = ScrollArea::vertical()
                .animated(false)
                .max_height(room(ctx).y)
                .show(ui, |ui| fields(ui, form, is_new))
                .inner;
            ui.add_space(GROUP_GAP / 2.0);
            ui.horizontal(|ui| {
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

/// What is typed; whether Enter was pressed in any of it.
fn fields(ui: &mut Ui, form: &mut Form, is_new: bool) -> bool {
    ui.set_width(ui.available_width());
    let mut entered = false;
    let mut add = |ui: &mut Ui, label: &str, hint: &str, text: &mut String| {
        let edit = field(ui, label, hint, text);
        entered |= edit.lost_focus() && ui.input(|input| input.key_pressed(Key::Enter));
        if edit.gained_focus() {
            edit.scroll_to_me(None);
        }
        edit
    };
    let group = |ui: &mut Ui, title: &str| {
        ui.add_space(GAP);
        ui.label(RichText::new(title).heading());
        ui.add_space(3.0);
    };
    group(ui, "By its name");
    let first = add(ui, "Lane", "dev", &mut form.lane);
    if is_new {
        first.request_focus();
    }
    add(ui, "File with lane variables", "empty: the environment's", &mut form.env_file);
    group(ui, "Or by its address");
    add(ui, "Server", "http://127.0.0.1:3000", &mut form.server);
    add(ui, "Database", "presence", &mut form.database);
    group(ui, "As whom");
    add(ui, "File with a token", "empty: as somebody new", &mut form.token_file);
    add(ui, "Or a token service", "https://issuer.example", &mut form.control);
    add(ui, "Its client", "diagnostics", &mut form.client_id);
    add(ui, "File with the client's secret", "", &mut form.client_secret_file);
    if let Some(error) = &form.error {
        let error = ui.add(Label::new(RichText::new(error).color(Palette::shown(ui).refused)).wrap());
        error.scroll_to_me(None);
    }
    entered
}

fn field(ui: &mut Ui, label: &str, hint: &str, text: &mut String) -> Response {
    ui.spacing_mut().item_spacing.y = 3.0;
    let label = ui.label(quiet(ui, label).text_style(TextStyle::Small));
    let edit = ui.add(TextEdit::singleline(text).hint_text(hint).desired_width(f32::INFINITY)).labelled_by(label.id);
    ui.add_space(3.0);
    edit
}
