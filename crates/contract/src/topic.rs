//! Topics, the names runtimes use, and the streams they map to: DESIGN's table, both ways.
//!
//! What always holds: every [`Topic`] has a stream, no two topics have the same, and `topic → stream → topic` is the
//! identity. A stream that no topic maps to has none, however much it looks like one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stream::{StreamId, StreamIdError};

/// The one topic with a stream of its own that follows no pattern.
const CODEX_TOPIC: &str = "runtime.codex_worker_events";
const CODEX_STREAM: [&str; 4] = ["runtime", "codex", "worker", "events"];

/// A family of topics: `<before><id><after>`, with an id that is not empty, and may itself contain colons.
struct Family {
    before: &'static str,
    after: &'static str,
    stream_before: &'static [&'static str],
    stream_after: &'static str,
}

/// No topic belongs to two families: the texts before the ids differ, and none begins another.
const FAMILIES: [Family; 4] = [
    Family { before: "run:", after: ":events", stream_before: &["runtime", "run"], stream_after: "events" },
    Family { before: "worker:", after: ":lifecycle", stream_before: &["runtime", "worker"], stream_after: "lifecycle" },
    Family {
        before: "fleet:user:",
        after: ":workers",
        stream_before: &["runtime", "fleet", "user"],
        stream_after: "workers",
    },
    Family {
        before: "fleet:guest:",
        after: ":workers",
        stream_before: &["runtime", "fleet", "guest"],
        stream_after: "workers",
    },
];

impl Family {
    fn id_of<'t>(&self, topic: &'t str) -> Option<&'t str> {
        topic.strip_prefix(self.before)?.strip_suffix(self.after).filter(|id| !id.is_empty())
    }

    fn topic_of(&self, names: &[&str]) -> Option<String> {
        let (stream_after, rest) = names.split_last()?;
        let (id, stream_before) = rest.split_last()?;
        (stream_before == self.stream_before && *stream_after == self.stream_after)
            .then(|| format!("{}{id}{}", self.before, self.after))
    }
}

/// A topic: any text that is not empty and whose stream id is short enough. It knows its stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Topic {
    text: String,
    stream: StreamId,
}

/// Why a text is no topic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// No text at all.
    #[error("a topic is empty; name one, such as `run:<run id>:events`")]
    Empty,
    /// The stream of this topic would have too long an id. It is never shortened: two topics could become one.
    #[error("a topic of {bytes} bytes has no stream: {source}; use a shorter topic")]
    TooLong {
        /// How long the topic is, in bytes.
        bytes: usize,
        /// How long its stream would be.
        source: StreamIdError,
    },
}

impl Topic {
    /// Reads a topic.
    ///
    /// # Errors
    /// [`TopicError::Empty`], or [`TopicError::TooLong`] where its stream's id would exceed
    /// [`crate::limits::STREAM_ID_BYTES_MAX`].
    pub fn parse(text: &str) -> Result<Topic, TopicError> {
        if text.is_empty() {
            return Err(TopicError::Empty);
        }
        let stream = stream_of(text).map_err(|source| TopicError::TooLong { bytes: text.len(), source })?;
        Ok(Topic { text: text.to_owned(), stream })
    }

    /// The topic whose stream this is; `None` for a stream that no topic maps to.
    pub fn of(stream: &StreamId) -> Option<Topic> {
        let names = stream.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let text = match names.as_slice() {
            names if names == CODEX_STREAM => CODEX_TOPIC.to_owned(),
            ["runtime", "topic", text] => (*text).to_owned(),
            names => FAMILIES.iter().find_map(|family| family.topic_of(names))?,
        };
        // `runtime.topic.run%3Aa%3Aevents` names a topic whose stream is another one.
        Topic::parse(&text).ok().filter(|topic| topic.stream == *stream)
    }

    /// The topic as it is written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The stream that this topic's events are in.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }
}

fn stream_of(topic: &str) -> Result<StreamId, StreamIdError> {
    if topic == CODEX_TOPIC {
        return StreamId::from_names(CODEX_STREAM);
    }
    for family in &FAMILIES {
        if let Some(id) = family.id_of(topic) {
            return StreamId::from_names(family.stream_before.iter().copied().chain([id, family.stream_after]));
        }
    }
    StreamId::from_names(["runtime", "topic", topic])
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Topic::parse(text)
    }
}

impl TryFrom<String> for Topic {
    type Error = TopicError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Topic::parse(&text)
    }
}

impl From<Topic> for String {
    fn from(topic: Topic) -> String {
        topic.text
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Topics, with those that are nearly of a family among them.
    fn topics() -> impl Strategy<Value = String> {
        let id = "[a-z0-9:._%-]{0,8}|\\PC{0,5}";
        let before =
            prop::sample::select(vec!["run:", "worker:", "fleet:user:", "fleet:guest:", "fleet:", "runtime.", ""]);
        let after = prop::sample::select(vec![":events", ":lifecycle", ":workers", "events", ""]);
        let built = (before, id, after).prop_map(|(before, id, after)| format!("{before}{id}{after}"));
        let fixed = prop::sample::select(vec![
            CODEX_TOPIC.to_owned(),
            "runtime.codex.worker.events".to_owned(),
            "runtime.topic.x".to_owned(),
        ]);
        prop_oneof![8 => built, 1 => fixed].prop_filter("a topic is not empty", |topic| !topic.is_empty())
    }

    fn stream(topic: &str) -> String {
        Topic::parse(topic).expect(topic).stream().to_string()
    }

    #[test]
    fn each_row_of_the_table_maps_as_it_says() {
        assert_eq!(stream("run:r-1:events"), "runtime.run.r-1.events");
        assert_eq!(
            stream("worker:desktopw:desktop:shared:lifecycle"),
            "runtime.worker.desktopw%3Adesktop%3Ashared.lifecycle"
        );
        assert_eq!(stream("fleet:user:u_1:workers"), "runtime.fleet.user.u_1.workers");
        assert_eq!(stream("fleet:guest:g.1:workers"), "runtime.fleet.guest.g%2E1.workers");
        assert_eq!(stream("runtime.codex_worker_events"), "runtime.codex.worker.events");
        assert_eq!(stream("Wetter/München"), "runtime.topic.Wetter%2FM%C3%BCnchen");
    }

    #[test]
    fn a_topic_without_an_id_where_one_belongs_is_a_topic_like_any_other() {
        assert_eq!(stream("run::events"), "runtime.topic.run%3A%3Aevents");
        assert_eq!(stream("run:events"), "runtime.topic.run%3Aevents");
        assert_eq!(stream("fleet:user::workers"), "runtime.topic.fleet%3Auser%3A%3Aworkers");
        assert_eq!(stream("runtime.codex.worker.events"), "runtime.topic.runtime%2Ecodex%2Eworker%2Eevents");
    }

    #[test]
    fn a_topic_that_is_too_long_is_refused_and_not_cut() {
        Topic::parse(&format!("run:{}:events", "a".repeat(236))).expect("a stream id of 255 bytes");
        let error = Topic::parse(&format!("run:{}:events", "a".repeat(237))).expect_err("256 bytes");
        assert_eq!(error, TopicError::TooLong { bytes: 248, source: StreamIdError::TooLong { bytes: 256 } });
        assert_eq!(Topic::parse(""), Err(TopicError::Empty));
    }

    #[test]
    fn a_stream_that_no_topic_maps_to_has_none() {
        for id in [
            "muster.test.run-1",
            "runtime.run.a.b.events",
            "runtime.run.events",
            "runtime.topic",
            "runtime.topic.a.b",
            "runtime.topic.run%3Aa%3Aevents",
            "runtime.topic.runtime%2Ecodex_worker_events",
            "Runtime.run.a.events",
            "runtime.fleet.admin.a.workers",
        ] {
            assert_eq!(Topic::of(&StreamId::parse(id).expect(id)), None, "{id}");
        }
    }

    proptest! {
        #[test]
        fn every_topic_comes_back_from_its_stream(text in topics()) {
            let topic = Topic::parse(&text).expect("short and not empty");
            prop_assert_eq!(topic.as_str(), text);
            prop_assert_eq!(Topic::of(topic.stream()), Some(topic));
        }

        #[test]
        fn no_two_topics_share_a_stream(one in topics(), other in topics()) {
            let (one, other) = (Topic::parse(&one).expect("a topic"), Topic::parse(&other).expect("a topic"));
            prop_assert_eq!(one.as_str() == other.as_str(), one.stream() == other.stream());
        }

        #[test]
        fn a_topic_found_for_a_stream_maps_back_to_that_stream(
            id in "(runtime|Runtime)(\\.(run|topic|worker|fleet|user|events|workers|lifecycle|a|%3A)){1,5}"
        ) {
            let id = StreamId::parse(&id).expect("an id");
            if let Some(topic) = Topic::of(&id) {
                prop_assert_eq!(topic.stream(), &id);
            }
        }
    }
}
