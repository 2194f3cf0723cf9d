//! A batch as lines: for people, or one JSON object each.
//!
//! What always holds: one event is one line; with `--json` a payload is the producer's own text, which nobody has read
//! as numbers and written again.

use jiff::Timestamp;
use muster_contract::hash::PayloadHash;
use muster_contract::page::{Snapshot, StoredEvent, digest};
use muster_sync::{Batch, Change, Reset};
use serde::Serialize;
use serde_json::value::RawValue;

use crate::table::visible;

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    /// An object a line.
    pub(crate) json: bool,
    /// Each line names its stream: there may be several.
    pub(crate) names_streams: bool,
}

#[derive(Serialize)]
struct EventLine<'a> {
    stream: &'a str,
    epoch: u64,
    seq: u64,
    kind: &'a str,
    at: String,
    payload: &'a RawValue,
    payload_hash: String,
}

#[derive(Serialize)]
struct ResetLine<'a> {
    stream: &'a str,
    epoch: u64,
    reset: ResetPart<'a>,
}

#[derive(Serialize)]
struct ResetPart<'a> {
    reason: Option<&'a str>,
    seq: u64,
    snapshot: Option<&'a RawValue>,
}

/// The lines of a batch, each with its line break.
pub(crate) fn lines(batch: &Batch, style: Style) -> String {
    let stream = batch.stream.as_str();
    match &batch.change {
        Change::Begin(_) => String::new(),
        Change::Events(run) => {
            let epoch = run.epoch.get();
            run.numbered().map(|(seq, event)| event_line(stream, epoch, seq.get(), event, style)).collect()
        }
        Change::Reset(reset) => reset_line(stream, reset, style),
    }
}

/// What a new beginning is for a person, without the stream's name; `None` for what is none.
pub(crate) fn new_beginning(batch: &Batch) -> Option<String> {
    let Change::Reset(Reset { reason, at, snapshot }) = &batch.change else { return None };
    let why = match reason {
        Some(reason) => format!("stale cursor ({reason}): what was shown and kept of it no longer counts"),
        None => "its first events are gone already".into(),
    };
    let from = match snapshot {
        Some(_) => format!("its snapshot up to event {}", at.seq),
        None => format!("event {}, the oldest that it has", at.seq.next()),
    };
    Some(format!("{why}; it starts again from {from}"))
}

fn event_line(stream: &str, epoch: u64, seq: u64, event: &StoredEvent, style: Style) -> String {
    let at = time(event.at);
    if !style.json {
        let name = if style.names_streams { format!("{stream} ") } else { String::new() };
        return format!("{name}{seq} {at} {} {}\n", visible(&event.kind), visible(&event.payload));
    }
    let payload = raw(&event.payload);
    let payload_hash = PayloadHash::from_bytes(digest(event.hash)).to_string();
    json(&EventLine { stream, epoch, seq, kind: &event.kind, at, payload: &payload, payload_hash })
}

fn reset_line(stream: &str, reset: &Reset, style: Style) -> String {
    let seq = reset.at.seq.get();
    if !style.json {
        // People are told on stderr; what takes the place of the events is data.
        let Some(Snapshot { payload, at, .. }) = &reset.snapshot else { return String::new() };
        let name = if style.names_streams { format!("{stream} ") } else { String::new() };
        return format!("{name}{seq} {} (snapshot) {}\n", time(*at), visible(payload));
    }
    let snapshot = reset.snapshot.as_ref().map(|snapshot| raw(&snapshot.payload));
    let reason = reset.reason.map(|reason| reason.as_str());
    let epoch = reset.at.epoch.get();
    json(&ResetLine { stream, epoch, reset: ResetPart { reason, seq, snapshot: snapshot.as_deref() } })
}

fn raw(payload: &str) -> Box<RawValue> {
    // What is no JSON cannot have the hash that was compared, unless its producer hashed it so: then it is a text.
    RawValue::from_string(payload.to_owned())
        .or_else(|_| serde_json::value::to_raw_value(payload))
        .expect("a text is JSON")
}

fn json(line: &impl Serialize) -> String {
    serde_json::to_string(line).expect("maps with text keys are JSON") + "\n"
}

fn time(at: muster_wire::Timestamp) -> String {
    let micros = at.to_micros_since_unix_epoch();
    Timestamp::from_microsecond(micros).map_or_else(|_| format!("{micros}us"), |at| at.to_string())
}

#[cfg(test)]
mod tests {
    use muster_contract::cursor::{Epoch, Position, Seq};
    use muster_contract::page::wire_hash;
    use muster_contract::resume::StaleReason;
    use muster_contract::stream::StreamId;
    use muster_sync::Events;

    use super::*;

    fn batch(change: Change) -> Batch {
        Batch { stream: StreamId::parse("a.b").unwrap(), after: None, change }
    }

    fn event(payload: &str) -> StoredEvent {
        StoredEvent {
            kind: "k".into(),
            payload: payload.into(),
            hash: wire_hash(PayloadHash::of(payload.as_bytes()).as_bytes()),
            at: muster_wire::Timestamp::from_micros_since_unix_epoch(1_500_000),
            producer: 1,
            number: 1,
        }
    }

    fn events() -> Batch {
        let events = vec![event(r#"{"n":1e+21}"#), event("\"\\u001b[2J\"")];
        batch(Change::Events(Events { epoch: Epoch::new(9).unwrap(), first: Seq::new(4), mark: 1, events }))
    }

    #[test]
    fn an_event_is_a_line_that_names_its_number_time_and_kind() {
        let style = Style { json: false, names_streams: false };
        let expected = "4 1970-01-01T00:00:01.5Z k {\"n\":1e+21}\n5 1970-01-01T00:00:01.5Z k \"\\u001b[2J\"\n";
        assert_eq!(lines(&events(), style), expected);
        let named = lines(&events(), Style { names_streams: true, ..style });
        assert!(named.lines().all(|line| line.starts_with("a.b ")), "{named}");
    }

    #[test]
    fn a_payload_in_json_is_the_producers_own_text() {
        let text = lines(&events(), Style { json: true, names_streams: false });
        let first = text.lines().next().unwrap();
        assert!(first.contains(r#""payload":{"n":1e+21}"#), "{first}");
        assert!(
            first.contains(r#""stream":"a.b","epoch":9,"seq":4,"kind":"k","at":"1970-01-01T00:00:01.5Z""#),
            "{first}"
        );
        assert!(first.contains(r#""payload_hash":"sha256:"#), "{first}");
    }

    #[test]
    fn a_new_beginning_says_why_and_from_where() {
        let at = Position { epoch: Epoch::new(9).unwrap(), seq: Seq::new(7) };
        let reset = |reason, snapshot| batch(Change::Reset(Reset { reason, at, snapshot }));
        let plain = reset(Some(StaleReason::EpochChanged), None);
        let told = new_beginning(&plain).unwrap();
        assert!(told.contains("epoch_changed") && told.contains("event 8"), "{told}");
        let line = lines(&plain, Style { json: true, names_streams: false });
        assert_eq!(
            line,
            "{\"stream\":\"a.b\",\"epoch\":9,\"reset\":{\"reason\":\"epoch_changed\",\"seq\":7,\"snapshot\":null}}\n"
        );
        assert_eq!(new_beginning(&events()), None);
    }
}
