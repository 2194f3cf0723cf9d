//! The whole input, into the outbox.
//!
//! What always holds: what is stored is stored in the input's order, stream by stream; what an interrupted run has stored
//! of the same file is left out; bad lines are named as they are met.

use std::path::Path;
use std::time::Duration;

use indicatif::ProgressBar;
use muster_contract::stream::StreamId;
use muster_contract::topic::Topic;

use super::bookmark::{Bookmark, Numbers};
use super::input::{Input, Window, windows};
use super::sending::Sending;
use super::store::store;
use crate::outcome::Failure;
use crate::ui::Ui;

/// What came of the input.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Events stored.
    pub(crate) emitted: u64,
    /// Lines that are none.
    pub(crate) bad: u64,
    /// Why it was not read or stored to its end, if it was not.
    pub(crate) failed: Option<Failure>,
    /// To be finished by a run that comes to its end: until then, another one leaves out what is stored.
    pub(crate) bookmark: Option<Bookmark>,
}

/// Stores all of `input`. A full outbox is waited for, up to `full_for`.
///
/// # Errors
/// [`Failure::CouldNot`], if nothing was stored because it could not begin.
pub(crate) async fn take(
    sending: &mut Sending<'_>,
    outbox: &Path,
    input: Input,
    topic: Option<Topic>,
    full_for: Duration,
) -> Result<Taken, Failure> {
    let could_not = |error: &dyn std::fmt::Display| Failure::CouldNot(error.to_string());
    let publisher = sending.publisher;
    let numbers = publisher.numbers().map_err(|error| could_not(&error))?;
    let producer = publisher.producer().to_string();
    let begun = Bookmark::begin(outbox, &producer, input.source, &numbers);
    let (bookmark, mut skip) = begun.map_err(|error| could_not(&error))?;
    let known: u64 = skip.values().sum();
    if known > 0 {
        sending.ui.say(format!("an emit of this file was interrupted; in the outbox already: {known}"));
    }
    let mut has_warned = false;
    let bar = bar(sending.ui, input.bytes);
    let mut windows = windows(input.from, topic);
    let mut taken = Taken::default();
    while taken.failed.is_none() {
        let window = tokio::select! {
            window = windows.recv() => window,
            () = sending.changed() => {
                sending.tell(&bar);
                continue;
            }
        };
        let Some(mut window) = window else { break };
        bar.set_position(window.read);
        bar.suspend(|| complain(sending.ui, &window));
        if !has_warned && let Some(told) = window.events.iter().find_map(|event| mistaken(&event.topic)) {
            has_warned = true;
            bar.suspend(|| sending.ui.say(told));
        }
        taken.bad += window.bad.len() as u64;
        window.events.retain(|event| !is_known(&mut skip, event.topic.stream()));
        let stored = store(publisher, &window.events, full_for).await;
        taken.emitted += stored.events;
        let so_far = taken.emitted;
        taken.failed = match (stored.failed, window.failed) {
            (Some(error), _) => Some(Failure::CouldNot(format!("{error} (events that are stored: {so_far})"))),
            (None, Some(error)) => Some(Failure::could_not(
                format!("the input cannot be read any further ({error}); events that are stored: {so_far}"),
                "check it, and emit the rest",
            )),
            (None, None) => None,
        };
    }
    bar.finish_and_clear();
    taken.bookmark = taken.failed.is_none().then_some(bookmark);
    Ok(taken)
}

/// What to say of a topic that is written like the stream of another one.
fn mistaken(topic: &Topic) -> Option<String> {
    let like = StreamId::parse(topic.as_str()).ok().filter(|like| like != topic.stream())?;
    let meant = Topic::of(&like)?;
    let stream = topic.stream();
    Some(format!(
        "warning: the topic `{topic}` looks like a stream id, but its events go to the stream `{stream}`; those of `{like}` have the topic `{meant}`"
    ))
}

/// How much of the input is read, where it is known how much there is.
fn bar(ui: &Ui, bytes: Option<u64>) -> ProgressBar {
    let Some(bytes) = bytes else { return ProgressBar::hidden() };
    let bar = ui.progress_bar();
    bar.set_length(bytes);
    bar.set_message("bytes read");
    bar
}

fn complain(ui: &Ui, window: &Window) {
    for (number, bad) in &window.bad {
        ui.complain(format!("line {number}: {bad}"));
    }
}

/// Whether an event of this stream is one of those that are stored already.
fn is_known(skip: &mut Numbers, stream: &StreamId) -> bool {
    match skip.get_mut(stream) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_is_written_like_a_stream_is_told() {
        let told = |text| mistaken(&Topic::parse(text).unwrap());
        let said = told("runtime.run.7.events").unwrap();
        assert!(said.contains("runtime.topic.runtime%2Erun%2E7%2Eevents") && said.contains("`run:7:events`"), "{said}");
        for plain in ["run:7:events", "notes", "a.b", "runtime.codex_worker_events"] {
            assert_eq!(told(plain), None, "{plain}");
        }
    }
}
