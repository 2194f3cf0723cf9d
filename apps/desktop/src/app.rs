//! The window: it takes the panel's facts, draws them, and carries out what is asked for.
//!
//! What always holds: a frame waits for nothing, no lock and no disk. It takes the newest facts, which are whole, and asks for the next frame
//! when something that is shown will read differently by itself; otherwise only the panel asks for one.

use std::path::PathBuf;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use eframe::egui::{Context, Theme, Ui};
use muster_contract::stream::StreamId;
use muster_panel::report::Report;
use muster_panel::{At, Command, Facts, Panel, Target};
use tokio::runtime::Handle;

use crate::actions::{bundle, handshake};
use crate::frames::Frames;
use crate::limits::COUNT_DOWN_MS;
use crate::log::Lines;
use crate::view::{Intent, Notice, Overlay, View};
use crate::{target, theme};

/// The window.
pub struct App {
    /// What it shows, and what was typed into it.
    pub view: View,
    /// How long its frames took.
    pub frames: Frames,
    panel: Panel,
    runtime: Handle,
    target: Option<Target>,
    /// Where bundles go.
    exports: PathBuf,
    log: Lines,
    news: (mpsc::Sender<News>, mpsc::Receiver<News>),
}

/// What came of something that was done elsewhere.
enum News {
    Told(Notice),
    /// What was typed names this lane, or why it names none.
    Read(Result<Box<Target>, String>),
}

impl App {
    /// A window on a panel, which must have been started on `runtime` to repaint `ctx`.
    pub fn new(ctx: &Context, panel: Panel, runtime: Handle, log: Lines, exports: PathBuf) -> App {
        theme::install(ctx);
        App {
            view: View::default(),
            frames: Frames::default(),
            panel,
            runtime,
            target: None,
            exports,
            log,
            news: mpsc::channel(),
        }
    }

    /// Shows a lane.
    pub fn open(&mut self, target: Target) {
        self.view.begin_anew();
        self.target = Some(target.clone());
        self.ask(Command::Open(Box::new(target)));
    }

    /// The panel.
    pub fn panel(&self) -> &Panel {
        &self.panel
    }

    /// Draws a frame.
    pub fn frame(&mut self, ui: &mut Ui) {
        let began = Instant::now();
        while let Ok(news) = self.news.1.try_recv() {
            self.hear(news);
        }
        let (facts, now) = (self.panel.facts(), self.panel.now());
        for intent in self.view.ui(ui, &facts, now) {
            self.carry_out(ui.ctx(), intent);
        }
        if let Some(after) = next_look(&facts, now) {
            ui.ctx().request_repaint_after(after);
        }
        self.frames.add(began.elapsed());
    }

    fn hear(&mut self, news: News) {
        match news {
            News::Told(notice) => self.view.notice = Some(notice),
            News::Read(Ok(target)) => {
                (self.view.overlay, self.view.notice) = (None, None);
                self.open(*target);
            }
            News::Read(Err(error)) => {
                (self.view.form.error, self.view.overlay) = (Some(error), Some(Overlay::Connect));
            }
        }
    }

    /// Does something elsewhere that may wait for the disk.
    fn away(&self, ctx: &Context, what: impl FnOnce() -> News + Send + 'static) {
        let (news, ctx) = (self.news.0.clone(), ctx.clone());
        self.runtime.spawn_blocking(move || {
            // The window may be gone.
            let _ = news.send(what());
            ctx.request_repaint();
        });
    }

    fn ask(&mut self, command: Command) {
        if !self.panel.ask(command) {
            self.tell("too much is asked for at once; try again", true);
        }
    }

    fn tell(&mut self, text: impl Into<String>, is_error: bool) {
        self.view.notice = Some(Notice { text: text.into(), is_error, is_busy: false });
    }

    fn carry_out(&mut self, ctx: &Context, intent: Intent) {
        match intent {
            Intent::Connect => self.ask(Command::Connect),
            Intent::Disconnect => self.ask(Command::Disconnect),
            Intent::ReconnectNow => self.ask(Command::ReconnectNow),
            Intent::Choose(stream) => {
                self.view.events.chosen = None;
                self.ask(Command::Choose(stream.and_then(|stream| StreamId::parse(&stream).ok())));
            }
            Intent::Search(search) => self.ask(Command::Search(search)),
            Intent::Open(form) => self
                .away(ctx, move || News::Read(target::of_form(&form).map(Box::new).map_err(|error| error.to_string()))),
            Intent::Handshake => self.handshake(ctx),
            Intent::Export => self.export(ctx),
            Intent::SwitchTheme => {
                ctx.set_theme(if ctx.theme() == Theme::Dark { Theme::Light } else { Theme::Dark });
            }
        }
    }

    fn handshake(&mut self, ctx: &Context) {
        let Some(mut target) = self.target.clone() else { return };
        // Where the window is, which the token service may have said.
        let database = self.panel.facts().lane.as_ref().map(|lane| lane.database.clone());
        if let Some(endpoint) = database.and_then(|database| target.endpoint.clone().with_database(&database).ok()) {
            target.endpoint = endpoint;
        }
        if self.view.notice.as_ref().is_some_and(|notice| notice.is_busy) {
            return;
        }
        self.view.notice =
            Some(Notice { text: "Handshake: two clients meet…".into(), is_error: false, is_busy: true });
        let (news, ctx) = (self.news.0.clone(), ctx.clone());
        self.runtime.spawn(async move {
            let (text, is_error) = handshake::run(&target).await;
            // The window may be gone.
            let _ = news.send(News::Told(Notice { text, is_error, is_busy: false }));
            ctx.request_repaint();
        });
    }

    fn export(&mut self, ctx: &Context) {
        let (facts, now) = (self.panel.facts(), self.panel.now());
        let (folder, log, frames) = (self.exports.clone(), self.log.clone(), self.frames.clone());
        self.away(ctx, move || {
            let report = Report::of(&facts, now);
            let content = bundle::Content { report: &report, log: &log.text(), frames: &frames };
            News::Told(match bundle::write(&folder, &content) {
                Ok(path) => Notice { text: format!("Exported to {}", path.display()), is_error: false, is_busy: false },
                Err(error) => {
                    let text = format!("Nothing was exported to {} ({error}); free some space there", folder.display());
                    Notice { text, is_error: true, is_busy: false }
                }
            })
        });
    }

    /// Ends the panel: the store commits what it has begun.
    pub async fn shutdown(self) {
        self.panel.shutdown().await;
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        self.frame(ui);
    }
}

/// When the window reads differently by itself: a badge ends or ages, or something counts down.
fn next_look(facts: &Facts, now: At) -> Option<Duration> {
    let count_down = facts.counts_down().then(|| Duration::from_millis(COUNT_DOWN_MS));
    let token = facts.token.expires.map(|expires| match now.until(expires) {
        left if left.is_zero() => Duration::from_secs(60),
        left if left.as_secs() < 60 => Duration::from_secs(1),
        left if left.as_secs() < 600 => Duration::from_secs(10),
        _ => Duration::from_secs(60),
    });
    [count_down, token, facts.badges_hold_for(now)].into_iter().flatten().min()
}
