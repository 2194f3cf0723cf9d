//! What somebody has of a stream, beside what was sent: byte for byte. Pure.
//!
//! What always holds: an event is known by its producer's number, so that two events with the same payload are two; the
//! first thing that is wrong is named.

use crate::gates::recorder::Recorder;
use crate::observation::Observation;

/// One event, as somebody has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The number that it has in the stream.
    pub(crate) seq: u64,
    /// Its producer's number.
    pub(crate) number: u64,
    /// Its payload.
    pub(crate) payload: String,
}

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Events sent.
    pub(crate) sent: u64,
    /// Of those, found once and unchanged.
    pub(crate) found: u64,
    /// Events sent that are not there.
    pub(crate) lost: u64,
    /// Events that are there again.
    pub(crate) duplicated: u64,
    /// Events behind a later one, or whose `seq` is not the next.
    pub(crate) out_of_order: u64,
    /// Events that nobody sent, or with other bytes.
    pub(crate) altered: u64,
    /// The first thing that is wrong.
    pub(crate) first_wrong: Option<String>,
}

impl Tally {
    /// How many events there are, whoever sent them.
    pub(crate) fn rows(&self) -> u64 {
        self.found + self.duplicated + self.altered
    }

    /// Whether everything arrived once, unchanged and in order.
    #[cfg(test)]
    pub(crate) fn is_clean(&self) -> bool {
        self.found == self.sent && self.lost + self.duplicated + self.out_of_order + self.altered == 0
    }
}

/// Compares. `sent` are the payloads in the order of their numbers, from 1 on.
pub(crate) fn judge(sent: &[String], held: &[Held]) -> Tally {
    let mut tally = Tally { sent: sent.len() as u64, ..Tally::default() };
    let mut seen = vec![false; sent.len()];
    let (mut last_seq, mut latest) = (0, 0);
    for event in held {
        let Held { seq, number, payload } = event;
        let mut wrong = None;
        if *seq != last_seq + 1 {
            wrong = Some(format!("after seq {last_seq} comes seq {seq}"));
            tally.out_of_order += 1;
        } else if *number < latest {
            wrong = Some(format!("seq {seq} holds event {number}, which comes before event {latest}"));
            tally.out_of_order += 1;
        }
        (last_seq, latest) = (*seq, latest.max(*number));
        let index = usize::try_from(*number).ok().and_then(|number| number.checked_sub(1));
        match index.and_then(|index| Some((sent.get(index)?, seen.get_mut(index)?))) {
            Some((expected, seen)) if expected == payload => {
                if std::mem::replace(seen, true) {
                    tally.duplicated += 1;
                    wrong = Some(format!("event {number} is there twice, the second time as seq {seq}"));
                } else {
                    tally.found += 1;
                }
            }
            _ => {
                tally.altered += 1;
                wrong = Some(format!("seq {seq} holds what nobody sent as event {number}"));
            }
        }
        tally.first_wrong = tally.first_wrong.or(wrong);
    }
    let missing: Vec<_> = (1..).zip(&seen).filter(|(_, seen)| !**seen).map(|(number, _)| number).collect::<Vec<u64>>();
    tally.lost = missing.len() as u64;
    if let Some(first) = missing.first() {
        let first = format!("event {first} of {} is not there", tally.sent);
        tally.first_wrong = Some(match tally.first_wrong {
            Some(wrong) => format!("{first}; {wrong}"),
            None => first,
        });
    }
    tally
}

/// Writes a tally down. `who` has the events: `subscriber`, `host`.
pub(crate) fn note(recorder: &Recorder, name: &str, who: &str, tally: &Tally) {
    if tally.sent == 0 {
        return recorder.undecided(&format!("{name}.events"), "no event was sent, so nothing could be lost");
    }
    recorder.observe(Observation::noted(format!("{name}.events"), tally.sent).unit("events"));
    let why = tally.first_wrong.clone().unwrap_or_default();
    for (what, count, sentence) in [
        ("lost", tally.lost, "acknowledged events are lost"),
        ("duplicated", tally.duplicated, "events are there twice"),
        ("out_of_order", tally.out_of_order, "events are out of order"),
        ("altered", tally.altered, "events are not what was sent"),
    ] {
        let seen = Observation::equal(format!("{name}.{what}"), count, 0);
        recorder.observe(if count == 0 { seen } else { seen.note(format!("{who}: {sentence}: {why}")) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent() -> Vec<String> {
        ["a", "b", "b", "d"].map(String::from).into()
    }

    fn held(events: &[(u64, u64, &str)]) -> Tally {
        let events: Vec<_> = events
            .iter()
            .map(|(seq, number, payload)| Held { seq: *seq, number: *number, payload: (*payload).into() })
            .collect();
        judge(&sent(), &events)
    }

    #[test]
    fn what_is_there_once_and_in_order_is_clean() {
        assert!(held(&[(1, 1, "a"), (2, 2, "b"), (3, 3, "b"), (4, 4, "d")]).is_clean());
        assert!(!held(&[]).is_clean());
    }

    #[test]
    fn what_is_wrong_is_counted_and_the_first_of_it_named() {
        let lost = held(&[(1, 1, "a"), (2, 2, "b"), (3, 3, "b")]);
        assert_eq!((lost.lost, lost.first_wrong.as_deref()), (1, Some("event 4 of 4 is not there")));
        let skipped = held(&[(1, 1, "a"), (2, 2, "b"), (4, 3, "b"), (5, 4, "d")]);
        assert_eq!((skipped.out_of_order, skipped.first_wrong.as_deref()), (1, Some("after seq 2 comes seq 4")));
        let twice = held(&[(1, 1, "a"), (2, 2, "b"), (3, 2, "b"), (4, 3, "b"), (5, 4, "d")]);
        assert_eq!((twice.duplicated, twice.lost), (1, 0));
        let swapped = held(&[(1, 2, "b"), (2, 1, "a"), (3, 3, "b"), (4, 4, "d")]);
        assert_eq!(swapped.out_of_order, 1);
        let altered = held(&[(1, 1, "a"), (2, 2, "B"), (3, 3, "b"), (4, 4, "d")]);
        assert_eq!((altered.altered, altered.lost), (1, 1));
        assert!([lost, skipped, twice, swapped, altered].iter().all(|tally| !tally.is_clean()));
    }
}
