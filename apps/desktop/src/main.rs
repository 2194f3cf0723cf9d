//! `muster-desktop`: arguments, a runtime for the panel, a window.
//!
//! What always holds: the window's thread only draws; everything that waits is on the runtime's threads.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Parser;
use eframe::egui::{self, Context, ThemePreference, Ui, ViewportBuilder, vec2};
use muster_desktop::app::App;
use muster_desktop::args::Args;
use muster_desktop::limits::SHUTDOWN_MS_MAX;
use muster_desktop::{log, target, theme};
use muster_panel::Panel;
use tokio::runtime::Runtime;

/// The window could not be opened, or the arguments were wrong.
const COULD_NOT: u8 = 2;

fn main() -> ExitCode {
    let args = Args::parse();
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(said) => {
            eprintln!("muster-desktop: {said}");
            ExitCode::from(COULD_NOT)
        }
    }
}

fn run(args: Args) -> Result<(), String> {
    let lines = log::start(args.verbose);
    let target = target::of_args(&args).map_err(|error| error.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| format!("no threads for the connections ({error}); the system's limit is reached"))?;
    let (width, height) = args.size.unwrap_or((1_180.0, 760.0));
    let viewport = ViewportBuilder::default()
        .with_title("Muster")
        .with_app_id("muster-desktop")
        .with_inner_size(vec2(width, height))
        .with_min_inner_size(theme::window_min());
    let options = eframe::NativeOptions { viewport, ..eframe::NativeOptions::default() };
    let ended: Arc<Mutex<Option<App>>> = Arc::default();
    let (keep, handle) = (ended.clone(), runtime.handle().clone());
    let made = eframe::run_native(
        "muster-desktop",
        options,
        Box::new(move |creation| {
            let ctx = creation.egui_ctx.clone();
            prepare(&ctx, &args);
            let panel = {
                let (_guard, ctx) = (handle.enter(), ctx.clone());
                Panel::start(move || ctx.request_repaint())
            };
            let mut app = App::new(&ctx, panel, handle, lines, exports());
            if let Some(pane) = args.pane {
                app.view.pane = pane;
            }
            if let Some(target) = target {
                app.open(target);
            }
            let measure = args.measure.map(Measure::new);
            Ok(Box::new(Window { app: Some(app), keep, measure }))
        }),
    );
    end(runtime, &ended);
    made.map_err(|error| {
        format!("the window cannot be opened ({error}); without a screen, `muster top` shows the same in a terminal")
    })
}

fn prepare(ctx: &Context, args: &Args) {
    ctx.set_theme(args.theme.map_or(ThemePreference::System, ThemePreference::from));
    if let Some(scale) = args.scale {
        ctx.set_zoom_factor(scale);
    }
}

/// Where diagnostics bundles go.
fn exports() -> PathBuf {
    target::state_home().map_or_else(std::env::temp_dir, |home| home.join("muster/diagnostics"))
}

/// Lets the store commit what it has begun.
fn end(runtime: Runtime, ended: &Mutex<Option<App>>) {
    let app = ended.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(app) = app {
        let limit = Duration::from_millis(SHUTDOWN_MS_MAX);
        // Past the limit the process ends, and SQLite rolls back what was not committed.
        let _ = runtime.block_on(async { tokio::time::timeout(limit, app.shutdown()).await });
    }
    runtime.shutdown_timeout(Duration::from_millis(500));
}

/// The app, until the window is closed; then whoever opened it gets it back to end it in peace.
struct Window {
    app: Option<App>,
    keep: Arc<Mutex<Option<App>>>,
    measure: Option<Measure>,
}

impl eframe::App for Window {
    fn ui(&mut self, ui: &mut Ui, frame: &mut eframe::Frame) {
        let Some(app) = &mut self.app else { return };
        app.frame(ui);
        if let Some(measure) = &mut self.measure {
            measure.frame(frame.info().cpu_usage);
            measure.write(app, ui.ctx());
        }
    }

    fn on_exit(&mut self, _: Option<&eframe::glow::Context>) {
        *self.keep.lock().unwrap_or_else(PoisonError::into_inner) = self.app.take();
    }
}

/// Frame times and memory, written down for a soak.
struct Measure {
    path: PathBuf,
    whole: muster_desktop::frames::Frames,
    began: Instant,
    written: Instant,
}

impl Measure {
    fn new(path: PathBuf) -> Measure {
        Measure { path, whole: Default::default(), began: Instant::now(), written: Instant::now() }
    }

    /// The frame before this one, drawing and rendering included.
    fn frame(&mut self, whole_s: Option<f32>) {
        if let Some(seconds) = whole_s {
            self.whole.add(Duration::from_secs_f32(seconds));
        }
    }

    fn write(&mut self, app: &App, ctx: &egui::Context) {
        ctx.request_repaint_after(Duration::from_secs(10));
        if self.written.elapsed() < Duration::from_secs(10) {
            return;
        }
        self.written = Instant::now();
        let ms = |time: Option<Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let (drawn, facts) = (&app.frames, app.panel().facts());
        let applied = facts.sync.latency.counted + facts.sync.latency.left_out;
        let figures = [
            ("rss_kib", rss_kib() as f64),
            ("frames", self.whole.count as f64),
            ("applied", applied as f64),
            ("behind", facts.sync.lag as f64),
            ("drawn_p50_ms", ms(drawn.quantile_of_all(0.5))),
            ("drawn_p99_ms", ms(drawn.quantile_of_all(0.99))),
            ("whole_p50_ms", ms(self.whole.quantile_of_all(0.5))),
            ("whole_p99_ms", ms(self.whole.quantile_of_all(0.99))),
            ("whole_max_ms", ms(Some(self.whole.longest))),
        ];
        let figures: Vec<_> = figures.iter().map(|(name, value)| format!("{name}={value:.2}")).collect();
        let line = format!("{:.0} {}\n", self.began.elapsed().as_secs_f64(), figures.join(" "));
        append(&self.path, &line);
    }
}

fn append(path: &Path, line: &str) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
        tracing::warn!(%error, "measurements cannot be written");
    }
}

/// What the process holds in memory, where the system says so.
fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
