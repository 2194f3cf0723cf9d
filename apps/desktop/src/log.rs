//! The log: on stderr where it is asked for, and its newest lines in memory for a diagnostics bundle.
//!
//! What always holds: the libraries that see tokens (WebSocket, HTTP, TLS) log nothing here; lines are cut and counted.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::limits::{LOG_LINE_BYTES_MAX, LOG_LINES_MAX};

/// The newest lines.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<VecDeque<String>>>);

impl Lines {
    /// All that are kept, the oldest first.
    pub fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        })
    }

    fn add(&self, mut line: String) {
        if line.len() > LOG_LINE_BYTES_MAX {
            let end = (0..=LOG_LINE_BYTES_MAX).rev().find(|end| line.is_char_boundary(*end)).unwrap_or(0);
            line.truncate(end);
        }
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LOG_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

struct Keep(Lines);

impl<S: Subscriber> Layer<S> for Keep {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line =
            format!("{} {:5} {}:", jiff::Timestamp::now(), event.metadata().level(), event.metadata().target());
        event.record(&mut Words(&mut line));
        self.0.add(line);
    }
}

struct Words<'a>(&'a mut String);

impl Visit for Words<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing into a text does not fail.
        let _ = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}

/// Starts the log; `is_loud` prints it too.
pub fn start(is_loud: bool) -> Lines {
    let lines = Lines::default();
    // Only our own crates: what is below sees secrets.
    let ours = Targets::new()
        .with_target("muster_desktop", Level::DEBUG)
        .with_target("muster_panel", Level::DEBUG)
        .with_target("muster_sync", Level::DEBUG)
        .with_target("muster_wire", Level::INFO);
    let print = is_loud.then(|| tracing_subscriber::fmt::layer().with_writer(std::io::stderr));
    // A second start, in a test, keeps the first one.
    let _ = tracing_subscriber::registry().with(ours).with(Keep(lines.clone())).with(print).try_init();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_long_ones_cut() {
        let lines = Lines::default();
        for number in 0..LOG_LINES_MAX + 5 {
            lines.add(format!("line {number} {}", "ä".repeat(2_000)));
        }
        let text = lines.text();
        assert!(text.starts_with("line 5 ") && text.lines().count() == LOG_LINES_MAX);
        assert!(text.lines().all(|line| line.len() <= LOG_LINE_BYTES_MAX));
    }
}
