//! The input, read on a thread of its own, in windows: as many events as are there, up to a bound.
//!
//! What always holds: at most two windows wait; an event waits for no other one that is not there yet, so a slow writer
//! of the input is not made slower; the order is the input's.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use muster_contract::topic::Topic;
use tokio::sync::mpsc;

use super::bookmark::Source;
use super::line::{BadLine, Emitted, parse};
use super::lines::Lines;
use crate::limits::{EMIT_READ_BYTES, EMIT_WINDOW_BYTES, EMIT_WINDOW_EVENTS_MAX};
use crate::outcome::Failure;

/// Where lines come from.
pub(crate) struct Input {
    /// The bytes.
    pub(crate) from: Box<dyn Read + Send>,
    /// The file, if it can be read twice.
    pub(crate) source: Option<Source>,
    /// How many bytes there are, where that is known.
    pub(crate) bytes: Option<u64>,
}

impl Input {
    /// Opens a file; `-` or nothing is stdin.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if it cannot be read, or is a folder.
    pub(crate) fn open(file: Option<&Path>) -> Result<Input, Failure> {
        let Some(path) = file.filter(|path| *path != Path::new("-")) else {
            return Ok(Input { from: Box::new(io::stdin()), source: None, bytes: None });
        };
        let failed = |error: io::Error| {
            Failure::could_not(format!("{} cannot be read ({error})", path.display()), "check the path and its rights")
        };
        let file = File::open(path).map_err(failed)?;
        let data = file.metadata().map_err(failed)?;
        if data.is_dir() {
            return Err(Failure::could_not(format!("{} is a folder", path.display()), "give a file of events"));
        }
        let source = Source::of(path).map_err(failed)?;
        Ok(Input { from: Box::new(file), source, bytes: data.is_file().then_some(data.len()) })
    }
}

/// What was read in one go.
#[derive(Debug, Default)]
pub(crate) struct Window {
    /// Events, in order.
    pub(crate) events: Vec<Emitted>,
    /// Lines that are none, with their numbers.
    pub(crate) bad: Vec<(u64, BadLine)>,
    /// How many bytes of the input were used by now.
    pub(crate) read: u64,
    /// Why there is no more, where reading failed.
    pub(crate) failed: Option<io::Error>,
}

/// Reads all of `input` on a thread of its own. Ends early when nobody takes the windows any more.
pub(crate) fn windows(input: impl Read + Send + 'static, topic: Option<Topic>) -> mpsc::Receiver<Window> {
    let (to, windows) = mpsc::channel(2);
    std::thread::spawn(move || {
        let mut lines = Lines::new(BufReader::with_capacity(EMIT_READ_BYTES, input));
        loop {
            let (window, more) = window(&mut lines, topic.as_ref());
            if to.blocking_send(window).is_err() || !more {
                return;
            }
        }
    });
    windows
}

/// The next window, and whether there may be another one.
fn window<R: Read>(lines: &mut Lines<R>, topic: Option<&Topic>) -> (Window, bool) {
    let mut window = Window::default();
    let mut bytes = 0;
    let more = loop {
        match lines.next() {
            Ok(Some((number, line))) => match line.and_then(|line| parse(&line, topic)) {
                Ok(event) => {
                    bytes += event.bytes();
                    window.events.push(event);
                }
                Err(bad) => window.bad.push((number, bad)),
            },
            Ok(None) => break false,
            Err(error) => {
                window.failed = Some(error);
                break false;
            }
        }
        let count = window.events.len() + window.bad.len();
        if count >= EMIT_WINDOW_EVENTS_MAX || bytes >= EMIT_WINDOW_BYTES || lines.may_wait() {
            break true;
        }
    };
    window.read = lines.read();
    (window, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_does_not_wait_for_one_that_is_not_there_yet() {
        let (reader, mut writer) = io::pipe().unwrap();
        let mut windows = windows(reader, Some(Topic::parse("t").unwrap()));
        for number in 0..3 {
            let line = format!("{{\"kind\":\"k\",\"payload\":{number}}}\n");
            io::Write::write_all(&mut writer, line.as_bytes()).unwrap();
            let window = windows.blocking_recv().unwrap();
            assert_eq!(window.events[0].payload.as_str(), number.to_string());
        }
        drop(writer);
        assert!(windows.blocking_recv().is_none_or(|last| last.events.is_empty()));
    }

    #[test]
    fn a_window_is_bounded_and_keeps_the_order() {
        let text: String = (0..5_000).map(|n| format!("{{\"kind\":\"k\",\"payload\":{n}}}\n")).collect();
        let mut windows = windows(io::Cursor::new(text), Some(Topic::parse("t").unwrap()));
        let mut seen = Vec::new();
        while let Some(window) = windows.blocking_recv() {
            assert!(window.events.len() <= EMIT_WINDOW_EVENTS_MAX && window.bad.is_empty());
            seen.extend(window.events.into_iter().map(|event| event.payload.as_str().parse::<u64>().unwrap()));
        }
        assert_eq!(seen, (0..5_000).collect::<Vec<_>>());
    }
}
