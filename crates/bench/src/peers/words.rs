//! What the measuring process asks of those that publish and apply, and what they answer: one JSON document a line.
//!
//! What always holds: an answer follows each order, in their order; times are in microseconds since 1970, on the clock
//! that the processes of a machine share; every system is asked with the same words.

use serde::{Deserialize, Serialize};

use super::system::System;

/// Events to be sent: `first`, `first + 1`, … of each stream, so many of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// What the names of the streams begin with.
    pub(crate) prefix: String,
    /// How many streams.
    pub(crate) streams: usize,
    /// The number of the first event of each stream, from 0.
    pub(crate) first: u64,
    /// Events of each stream.
    pub(crate) each: u64,
    /// Events that the application hands over at a time, where they do not come by the clock.
    pub(crate) batch: u64,
    /// Bytes of each payload.
    pub(crate) bytes: usize,
    /// Events a second, by the clock; 0 for as fast as it goes.
    pub(crate) rate: u64,
}

impl Load {
    /// All of them.
    pub(crate) fn events(&self) -> u64 {
        self.each * self.streams as u64
    }

    /// The name of the index-th stream.
    pub(crate) fn stream(&self, index: usize) -> String {
        format!("{}.s{index}", self.prefix)
    }

    /// The name of every stream.
    pub(crate) fn names(&self) -> Vec<String> {
        (0..self.streams).map(|index| self.stream(index)).collect()
    }

    /// When the n-th event of the one stream is due, in microseconds after the first.
    pub(crate) fn due_us(&self, n: u64) -> u64 {
        n.saturating_mul(1_000_000) / self.rate.max(1)
    }
}

/// Where a process that publishes or applies finds its work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) system: System,
    /// The server's: `127.0.0.1:port`, for Muster the URL.
    pub(crate) address: String,
    /// Its own folder.
    pub(crate) folder: String,
    /// What the names of the streams begin with, and how many there are.
    pub(crate) prefix: String,
    pub(crate) streams: usize,
    /// What the server knows the subscribers by, where it does.
    pub(crate) group: String,
    /// How many subscribers, each with a store of its own.
    pub(crate) readers: usize,
    /// Whether the events pass through an outbox on disk.
    pub(crate) outbox: bool,
    /// What a subscriber is given where there is no server, load by load.
    pub(crate) given: Vec<Load>,
}

/// The publisher's answer.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Published {
    pub(crate) began_us: u64,
    /// The last event was taken: on disk in the outbox, where there is one.
    pub(crate) kept_us: u64,
    /// The server had confirmed the last.
    pub(crate) confirmed_us: u64,
}

/// To a subscriber: say when each store has so many events, counted from its beginning.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Wait {
    pub(crate) goal: u64,
}

/// The subscriber's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// When the last store had them.
    pub(crate) at_us: u64,
    /// Of the first store: how many events were committed at which time, commit by commit, since the process began.
    pub(crate) commits: Vec<(u64, u64)>,
}

/// The n-th payload: canonical JSON of so many bytes, none like another, and not to be compressed to nothing: a filler of
/// hexadecimal digits from a generator (xorshift64*) that begins with `n`. Made without the formatter, which would take
/// longer than some systems take to store it.
pub(crate) fn payload(n: u64, bytes: usize) -> String {
    let head = format!(r#"{{"n":{n},"text":""#);
    let mut text = Vec::with_capacity(bytes.max(head.len() + 2) + 16);
    text.extend_from_slice(head.as_bytes());
    let mut state = (n + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let until = bytes.saturating_sub(2);
    while text.len() < until {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        text.extend_from_slice(&digits(state.wrapping_mul(0x2545_F491_4F6C_DD1D)));
    }
    text.truncate(until.max(head.len()));
    text.extend_from_slice(b"\"}");
    String::from_utf8(text).expect("hexadecimal digits are ASCII")
}

/// A number in sixteen hexadecimal digits.
fn digits(number: u64) -> [u8; 16] {
    std::array::from_fn(|index| b"0123456789abcdef"[(number >> (60 - 4 * index)) as usize & 15])
}

/// Waits until then, to some ten microseconds. The runtime's own timers are exact to a millisecond only, which is more than
/// a sync takes.
pub(crate) fn sleep_until(at: std::time::Instant) {
    let left = at.saturating_duration_since(std::time::Instant::now());
    if !left.is_zero() {
        std::thread::sleep(left);
    }
}

/// The shared clock.
pub(crate) fn now_us() -> u64 {
    crate::streams::words::now_us()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_have_the_size_asked_for_differ_and_are_canonical() {
        for bytes in [64, 256, 4_096] {
            for n in [0, 1, 999_999] {
                let text = payload(n, bytes);
                assert_eq!(text.len(), bytes);
                let canonical = muster_contract::canonical::canonicalize(text.as_bytes()).expect("JSON");
                assert_eq!(canonical.as_bytes(), text.as_bytes());
            }
        }
        assert_ne!(payload(1, 64)[12..], payload(2, 64)[12..]);
        assert_eq!(payload(7, 0), r#"{"n":7,"text":""}"#);
    }

    #[test]
    fn digits_are_those_of_the_number() {
        for number in [0, 1, 0x0123_4567_89ab_cdef, u64::MAX] {
            assert_eq!(digits(number).as_slice(), format!("{number:016x}").as_bytes());
        }
        // What every figure so far was measured with.
        assert_eq!(payload(5, 64), r#"{"n":5,"text":"e7e49e240569bd433c11b12ced2bd586b0759a684ad62cd"}"#);
    }

    #[test]
    fn nobody_wakes_before_it_is_due() {
        let at = std::time::Instant::now() + std::time::Duration::from_millis(3);
        sleep_until(at);
        assert!(std::time::Instant::now() >= at);
        sleep_until(at);
    }

    #[test]
    fn events_are_due_by_the_clock() {
        let load = Load { prefix: "p".into(), streams: 1, first: 0, each: 10, batch: 1, bytes: 64, rate: 1_000 };
        assert_eq!((load.due_us(0), load.due_us(5)), (0, 5_000));
    }
}
