//! `muster streams`.

use crate::plane::{Plane, lines};
use crate::support::Sandbox;

#[test]
fn streams_are_listed_with_what_they_hold() {
    let plane = Plane::new();
    assert_eq!(plane.person.run(&["streams", "--json"]).json()["streams"], serde_json::json!([]));
    plane.emit(&(lines("run:b:events", 0..3) + &lines("run:a:events", 0..2) + &lines("other", 0..1)));
    let listed = plane.person.run(&["streams", "--json", "runtime.run.*"]).json();
    assert_eq!(listed["schema"], "muster.streams.v1");
    let streams = listed["streams"].as_array().expect("streams");
    let told: Vec<_> =
        streams.iter().map(|s| (s["id"].as_str().expect("an id"), s["head"].as_u64(), s["floor"].as_u64())).collect();
    assert_eq!(told, [("runtime.run.a.events", Some(2), Some(1)), ("runtime.run.b.events", Some(3), Some(1))]);
    assert!(
        streams
            .iter()
            .all(|stream| stream["epoch"].as_u64().is_some_and(|epoch| epoch > 0) && stream["snapshot"].is_null())
    );
    let table = plane.person.run(&["streams"]);
    assert_eq!(table.code, Some(0), "{}", table.stderr);
    let ids: Vec<_> = table.stdout.lines().skip(1).map(|line| line.split(' ').next().expect("an id")).collect();
    assert_eq!(ids, ["runtime.run.a.events", "runtime.run.b.events", "runtime.topic.other"]);
    assert_eq!(
        plane.person.run(&["streams", "--json", "run:a:events"]).json()["streams"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn a_list_that_cannot_be_had_is_one_line() {
    let sandbox = Sandbox::new().with("MUSTER_SERVER", "http://127.0.0.1:9").with("MUSTER_DATABASE", "events");
    assert!(sandbox.run(&["streams"]).error(2).contains("127.0.0.1:9"));
    assert!(sandbox.run(&["streams", "a.*.b"]).error(2).contains("`*` that is not its last segment"));
}
