//! Which streams, and from where: as it is typed.

use muster_contract::pattern::StreamPattern;
use muster_contract::topic::Topic;
use muster_sync::StartAt;

/// Reads a stream id, a pattern, or a topic. A topic is told by its `:`, which no stream id has, or by being the one
/// topic of the contract's table without any.
///
/// # Errors
/// In words, for the command line.
pub(crate) fn streams(text: &str) -> Result<StreamPattern, String> {
    if text.contains(':') || text == "runtime.codex_worker_events" {
        if text.contains('*') {
            let remedy = "write the pattern over stream ids, such as `runtime.run.*`";
            return Err(format!("a topic has no wildcards; {remedy}"));
        }
        return Topic::parse(text)
            .map(|topic| StreamPattern::Exact(topic.stream().clone()))
            .map_err(|error| error.to_string());
    }
    StreamPattern::parse(text).map_err(|error| error.to_string())
}

/// Reads `start`, `now`, or the number of an event.
///
/// # Errors
/// In words, for the command line.
pub(crate) fn start(text: &str) -> Result<StartAt, String> {
    match (text, text.parse::<u64>()) {
        ("start", _) => Ok(StartAt::Start),
        ("now", _) => Ok(StartAt::Now),
        (_, Ok(0)) => Err("events are numbered from 1; write `start`".into()),
        (_, Ok(seq)) => Ok(StartAt::Seq(seq)),
        (_, Err(_)) => Err("neither `start`, nor `now`, nor the number of an event".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_and_stream_ids_and_patterns_are_told_apart() {
        let read = |text| streams(text).expect(text).to_string();
        assert_eq!(read("run:7:events"), "runtime.run.7.events");
        assert_eq!(read("runtime.run.7.events"), "runtime.run.7.events");
        assert_eq!(read("runtime.codex_worker_events"), "runtime.codex.worker.events");
        assert_eq!(read("a:b"), "runtime.topic.a%3Ab");
        assert_eq!(read("runtime.run.*"), "runtime.run.*");
        assert_eq!(read("*"), "*");
        for bad in ["", "run:*:events", "a.*.b", "a b"] {
            assert!(streams(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_tail_begins_at_the_start_now_or_at_an_event() {
        assert_eq!(start("start"), Ok(StartAt::Start));
        assert_eq!(start("now"), Ok(StartAt::Now));
        assert_eq!(start("17"), Ok(StartAt::Seq(17)));
        assert!(start("0").is_err() && start("-1").is_err() && start("yesterday").is_err());
    }
}
