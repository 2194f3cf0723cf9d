//! Which streams, and from where: as it is typed.

use muster_contract::pattern::StreamPattern;
use muster_contract::stream::StreamId;
use muster_contract::topic::Topic;
use muster_sync::StartAt;

/// What a person names: a pattern, and what else the word may have meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// As it was typed.
    pub(crate) text: String,
    /// What it is, read as a stream id or a pattern, or as what can only be a topic.
    pub(crate) pattern: StreamPattern,
    /// The stream of the topic of this word, where the word is a stream id that is no topic's: events that were emitted
    /// to the topic `notes` are in `runtime.topic.notes`, and no topic's are in `notes`.
    pub(crate) topic: Option<StreamId>,
}

impl Word {
    /// Every pattern that it may mean.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = StreamPattern> {
        let topic = self.topic.clone().map(StreamPattern::Exact);
        std::iter::once(self.pattern.clone()).chain(topic)
    }

    /// Whether the host refuses all that it may mean.
    pub(crate) fn is_refused(&self, refused: &[StreamPattern]) -> bool {
        self.patterns().all(|pattern| refused.contains(&pattern))
    }

    /// The stream, and the topic's that it may be instead.
    pub(crate) fn either(&self) -> Option<(&StreamId, &StreamId)> {
        match (&self.pattern, &self.topic) {
            (StreamPattern::Exact(stream), Some(topic)) => Some((stream, topic)),
            _ => None,
        }
    }

    /// That the host has nothing of the kind, in words.
    pub(crate) fn missing(&self) -> String {
        match (&self.pattern, &self.topic) {
            (StreamPattern::Exact(stream), Some(topic)) => {
                format!("there is no stream `{stream}`, and none of the topic `{}` (`{topic}`)", self.text)
            }
            (StreamPattern::Exact(stream), None) => format!("there is no stream `{stream}`"),
            (pattern, _) => format!("no stream is called `{pattern}`"),
        }
    }

    /// That the topic was meant, in words.
    pub(crate) fn is_the_topic(&self) -> String {
        let topic = self.topic.as_ref().map_or(String::new(), ToString::to_string);
        format!("there is no stream `{0}`; the topic `{0}` is the stream `{topic}`: taking that", self.text)
    }
}

/// Reads what [`streams`] reads, and remembers what else it may mean.
///
/// # Errors
/// In words, for the command line.
pub(crate) fn word(text: &str) -> Result<Word, String> {
    let pattern = streams(text)?;
    let topic = match &pattern {
        // A topic's own stream can be nothing else, and one that is written as a topic says so.
        StreamPattern::Exact(stream) if stream.as_str() == text && Topic::of(stream).is_none() => {
            Topic::parse(text).ok().map(|topic| topic.stream().clone())
        }
        _ => None,
    };
    Ok(Word { text: text.into(), pattern, topic })
}

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
    fn a_word_that_is_no_topics_stream_may_be_a_topic() {
        let topic = |text| word(text).expect(text).topic.map(|stream| stream.to_string());
        assert_eq!(topic("notes").as_deref(), Some("runtime.topic.notes"));
        assert_eq!(topic("a.b").as_deref(), Some("runtime.topic.a%2Eb"));
        for one in ["runtime.run.7.events", "run:7:events", "runtime.topic.notes", "runtime.run.*", "*"] {
            assert_eq!(topic(one), None, "{one}");
        }
    }

    #[test]
    fn a_word_is_refused_if_all_that_it_may_mean_is() {
        let pattern = |text| StreamPattern::parse(text).expect(text);
        let refused = [pattern("notes"), pattern("a.b"), pattern("runtime.topic.a%2Eb"), pattern("x.*")];
        let is_refused = |text| word(text).expect(text).is_refused(&refused);
        assert!(is_refused("a.b") && is_refused("x.*"));
        assert!(!is_refused("notes") && !is_refused("runtime.topic.notes") && !is_refused("*"));
    }

    #[test]
    fn a_tail_begins_at_the_start_now_or_at_an_event() {
        assert_eq!(start("start"), Ok(StartAt::Start));
        assert_eq!(start("now"), Ok(StartAt::Now));
        assert_eq!(start("17"), Ok(StartAt::Seq(17)));
        assert!(start("0").is_err() && start("-1").is_err() && start("yesterday").is_err());
    }
}
