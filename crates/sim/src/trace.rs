//! What happened, as lines of text.
//!
//! What always holds: a line is made of simulated time and of what the seed decided, nothing else, so that two runs of
//! a seed give the same bytes. Every run keeps a digest of its lines; only a run that is to be shown keeps the lines.

use std::fmt::{Arguments, Write};

/// The lines of a run, or their digest alone.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    lines: Option<String>,
    count: u64,
}

impl Trace {
    /// A trace that keeps its lines.
    pub fn kept() -> Trace {
        Trace { lines: Some(String::new()), count: 0 }
    }

    /// Whether lines are worth formatting.
    pub fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    /// Writes a line: the time in milliseconds, who, and what.
    pub fn line(&mut self, now_ms: u64, who: &str, what: Arguments<'_>) {
        self.count += 1;
        if let Some(lines) = &mut self.lines {
            // Writing to a String cannot fail.
            let _ = writeln!(lines, "{now_ms:>8} {who:<5} {what}");
        }
    }

    /// How many lines there were, kept or not.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The lines, if kept.
    pub fn into_text(self) -> String {
        self.lines.unwrap_or_default()
    }
}
