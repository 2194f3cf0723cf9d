//! The commands with tokens of the service.

use std::time::Duration;

use muster_control::Scope;
use tokio::task::block_in_place;

use crate::plane::Plane;
use crate::support::{Run, Sandbox};

/// Runs a command as this client.
fn run(plane: &Plane, command: &[&str], client: &str, proof: &str) -> Run {
    let (url, host, file) = (plane.issuer.url(), plane.url(), plane.path(client));
    let place = ["--server", &host, "--database", "lane", "--control", &url, "--client-id", client];
    let all = [command, &place, &[proof, file.to_str().expect("plain")]].concat();
    block_in_place(|| Sandbox::new().run(&all))
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_get_their_tokens_from_the_service() {
    let plane = Plane::start().await;
    drop(plane.with_secret("reader", &[Scope::SyncRead], 10));
    drop(plane.with_key("writer", &[Scope::SyncWrite], 10));
    let events = plane.path("events.jsonl");
    std::fs::write(&events, "{\"kind\":\"k\",\"payload\":1}\n").expect("written");
    let events = events.to_str().expect("plain").to_owned();
    let outbox = plane.path("emit.outbox");
    let outbox = outbox.to_str().expect("plain");
    let emit = ["emit", &events, "--topic", "drill", "--flush", "--patience", "3", "--outbox", outbox];
    // `runtime.topic.drill` is none of the client's streams.
    let refused = run(&plane, &emit, "writer", "--private-key-file");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    let told: Vec<&str> = refused.stderr.lines().filter(|line| line.contains("forbidden_stream")).collect();
    assert_eq!(told.len(), 2, "at once, and at the end: {}", refused.stderr);
    assert!(told[1].starts_with("error: events that are not confirmed yet: 1 (forbidden_stream: "), "{}", told[1]);

    let streams = run(&plane, &["streams", "drill.*", "--json"], "reader", "--client-secret-file").done();
    assert!(streams.contains("muster.streams.v1"), "{streams}");
    let more = run(&plane, &["streams", "drill.*", "--scope", "sync.write"], "reader", "--client-secret-file");
    assert_eq!(more.code, Some(2), "{}", more.stderr);
    assert!(more.stderr.contains("sync.write") && more.stderr.lines().count() == 1, "{}", more.stderr);
    let wrong = run(&plane, &["streams"], "reader", "--private-key-file");
    assert_eq!(wrong.code, Some(2), "{}", wrong.stderr);
    let secret = std::fs::read_to_string(plane.path("reader")).expect("the secret");
    assert!(wrong.stderr.contains("no private key") && !wrong.stderr.contains(&secret), "{}", wrong.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_of_which_a_part_is_refused_shows_the_rest_and_is_no_success() {
    let plane = Plane::start().await;
    drop(plane.with_secret("reader", &[Scope::SyncRead], 10));
    let publisher = plane.publisher(&plane.with_key("writer", &[Scope::SyncWrite], 10));
    let stream = muster_contract::stream::StreamId::parse("drill.part").expect("a stream id");
    publisher.publish_many(&stream, [muster_publisher::Draft::new("k", "1")]).await.expect("stored");
    publisher.flush(Duration::from_secs(30)).await.expect("confirmed");
    let tail = |streams: &[&str]| {
        run(&plane, &[&["tail", "--until-idle", "1", "--json"], streams].concat(), "reader", "--client-secret-file")
    };
    let part = tail(&["drill.*", "other.*"]);
    assert_eq!((part.code, part.stdout.lines().count()), (Some(2), 1), "{}", part.stderr);
    let told = part.stderr.lines().last().expect("an error");
    assert!(told.starts_with("error: `other.*` cannot be followed: forbidden_stream: "), "{told}");
    let all = tail(&["drill.*"]);
    assert_eq!((all.code, all.stdout.lines().count()), (Some(0), 1), "{}", all.stderr);
    let none = tail(&["other.*"]);
    assert_eq!(none.code, Some(2), "{}", none.stderr);
    assert!(none.stderr.contains("blocked (forbidden)") && !none.stderr.contains("network"), "{}", none.stderr);
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tail_goes_on_past_the_end_of_its_first_tokens() {
    let plane = Plane::start().await;
    drop(plane.with_secret("reader", &[Scope::SyncRead], 10));
    let writer = plane.with_key("writer", &[Scope::SyncWrite], 10);
    let publisher = plane.publisher(&writer);
    let stream = muster_contract::stream::StreamId::parse("drill.tail").expect("a stream id");
    let (late, lines) = (publisher, 25u64);
    let load = tokio::spawn(async move {
        for n in 1..=lines {
            let payload = format!(r#"{{"n":{n}}}"#);
            let draft = muster_publisher::Draft::new("drill", payload.as_bytes());
            late.publish_many(&stream, [draft]).await.expect("stored");
            tokio::time::sleep(Duration::from_millis(800)).await;
        }
        late
    });
    // It ends when nothing has come for three seconds, so some ten seconds after its first token has.
    let tailed = run(&plane, &["tail", "drill.*", "--until-idle", "3"], "reader", "--client-secret-file");
    assert_eq!((tailed.code, tailed.stdout.lines().count()), (Some(0), 25), "{}{}", tailed.stdout, tailed.stderr);
    load.await.expect("no panic").close().await;
}

#[test]
fn what_is_said_by_halves_is_a_mistake() {
    let place = ["streams", "--server", "http://127.0.0.1:1", "--database", "lane"];
    let said = |more: &[&str]| Sandbox::new().run(&[&place[..], more].concat());
    for (more, remedy) in [
        (&["--client-id", "me"][..], "--control"),
        (&["--control", "http://127.0.0.1:2"], "--client-id"),
        (&["--control", "http://127.0.0.1:2", "--client-id", "me"], "--client-secret-file"),
        (&["--control", "http://10.0.0.1", "--client-id", "me", "--client-secret-file", "x"], "https"),
        (&["--control", "http://127.0.0.1:2", "--anonymous"], "--anonymous"),
    ] {
        let run = said(more);
        assert_eq!(run.code, Some(2), "{more:?}: {}", run.stderr);
        assert!(run.stderr.contains(remedy), "{more:?}: {}", run.stderr);
    }
}
