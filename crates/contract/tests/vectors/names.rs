//! Topics, streams and patterns.

use muster_contract::{Refusal, StreamId, StreamPattern, Topic};
use serde_json::{Value, json};

use crate::string;

pub(crate) fn topics() -> Vec<Value> {
    let topics = [
        "run:r-1:events",
        "run:a:b:events",
        "run::events",
        "run:events",
        "run:events:events",
        "RUN:a:events",
        "run:a:events ",
        "run:a.b:events",
        "run:100%:events",
        "run:%3A:events",
        "run:😂:events",
        "run:e\u{301}:events",
        "run:\u{e9}:events",
        "worker:desktopw:desktop:shared:lifecycle",
        "worker:w:events",
        "fleet:user:u_1:workers",
        "fleet:user::workers",
        "fleet:guest:g-1:workers",
        "fleet:admin:a:workers",
        "runtime.codex_worker_events",
        "runtime.codex.worker.events",
        "runtime.run.a.events",
        "runtime.topic.x",
        "Wetter/München",
        "*",
        ".",
        " ",
        "\n",
        "\u{0}",
        "",
    ];
    let streams = [
        "runtime.run.r-1.events",
        "runtime.run.a%3Ab.events",
        "runtime.run.a.b.events",
        "runtime.run.events",
        "runtime.codex.worker.events",
        "runtime.topic.hello",
        "runtime.topic.hello.world",
        "runtime.topic.run%3Aa%3Aevents",
        "runtime.topic.run%3A%3Aevents",
        "runtime.topic.runtime%2Ecodex_worker_events",
        "muster.test.x",
        "Runtime.run.a.events",
        "runtime.run.a%3ab.events",
        "runtime.run.%41.events",
        "runtime.run.%FF.events",
        "runtime.run.%C0%AF.events",
        "runtime.run.%.events",
        "runtime..events",
        ".a",
        "a.",
        "a b",
        "a:b",
        "münchen",
        "",
    ];
    let long = |n: usize| "a".repeat(n);
    let topics = topics.map(String::from).into_iter().chain([236, 237].map(|n| format!("run:{}:events", long(n))));
    let streams = streams.map(String::from).into_iter().chain([255, 256].map(long));
    topics.map(|topic| json!({ "topic": topic })).chain(streams.map(|stream| json!({ "stream": stream }))).collect()
}

pub(crate) fn topic_answer(given: &Value) -> Value {
    if let Some(topic) = string(given, "topic") {
        return match Topic::parse(topic) {
            Ok(topic) => json!({ "stream": topic.stream() }),
            Err(_) => json!({ "error": "bad_stream_id" }),
        };
    }
    match StreamId::parse(string(given, "stream").expect("a topic or a stream")) {
        Ok(stream) => json!({ "topic": Topic::of(&stream) }),
        Err(error) => json!({ "error": Refusal::from(error).code }),
    }
}

pub(crate) fn patterns() -> Vec<Value> {
    let matches = [
        ("*", "a.b"),
        ("a.b", "a.b"),
        ("a.b", "a.B"),
        ("a.b", "a.b.c"),
        ("a.b.*", "a.b.c"),
        ("a.b.*", "a.b.c.d"),
        ("a.b.*", "a.b"),
        ("a.b.*", "a.bc.x"),
        ("a.b.*", "a.b%2Ec"),
        ("a.b.*", "A.b.c"),
        ("a.%2A", "a.b"),
        ("a.%2A.*", "a.%2A.b"),
        ("a*", "a.b"),
        ("a.*.b", "a.x.b"),
        ("*.b", "a.b"),
        ("**", "a.b"),
        (".*", "a.b"),
        ("a.%2a.*", "a.b"),
        ("", "a.b"),
    ];
    let covers = [
        ("*", "a.*"),
        ("*", "*"),
        ("a.*", "*"),
        ("a.*", "a.*"),
        ("a.*", "a.b.*"),
        ("a.b.*", "a.*"),
        ("a.*", "ab.*"),
        ("a.*", "a.b"),
        ("a.*", "a"),
        ("a.b", "a.b"),
        ("a.b", "a.b.*"),
    ];
    let matches = matches.map(|(pattern, stream)| json!({ "pattern": pattern, "stream": stream }));
    let covers = covers.map(|(pattern, other)| json!({ "pattern": pattern, "other": other }));
    let lists = ["a", "a.b.c", "runtime.run.a%3Ab.events"].map(|stream| json!({ "stream": stream }));
    matches.into_iter().chain(covers).chain(lists).collect()
}

pub(crate) fn pattern_answer(given: &Value) -> Value {
    let id = |text: &str| StreamId::parse(text).expect("the streams of these vectors are well formed");
    let Some(pattern) = string(given, "pattern") else {
        let stream = id(string(given, "stream").expect("a stream"));
        return json!({ "patterns": StreamPattern::that_match(&stream).collect::<Vec<_>>() });
    };
    let pattern = match StreamPattern::parse(pattern) {
        Ok(pattern) => pattern,
        Err(error) => return json!({ "error": Refusal::from(error).code }),
    };
    match string(given, "stream") {
        Some(stream) => json!({ "matches": pattern.matches(&id(stream)) }),
        None => {
            let other = StreamPattern::parse(string(given, "other").expect("another pattern")).expect("a pattern");
            json!({ "covers": pattern.covers(&other) })
        }
    }
}
