//! Pages and lists go out: bounded, from a cursor that holds, or not at all.

use futures::StreamExt;
use muster_contract::Code;
use muster_contract::page::{NewEvent, StreamList, mark};

use crate::lane::{ADA, Append, Lane, event, hash_of, ok, payloads, refused, stale};

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_on_from_one_another_without_a_hole() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a", 1..=25).await;
    session.emit("b", 1..=3).await;
    let mut seen = Vec::new();
    let mut after = 0;
    loop {
        let page = ok(session.page_with("a", 0, after, 0, 10, 1 << 20).await);
        assert_eq!((page.first, page.head, page.floor), (after + 1, 25, 1));
        if page.events.is_empty() {
            break;
        }
        assert!(page.events.len() <= 10);
        after += page.events.len() as u64;
        seen.extend(page.events.iter().map(|event| event.number));
    }
    assert_eq!(seen, (1..=25).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_is_bounded_in_events_and_bytes_whatever_is_asked_for() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    for thousand in 0..5 {
        session.emit("a", thousand * 1_000 + 1..=(thousand + 1) * 1_000).await;
    }
    let page = ok(session.page_with("a", 0, 0, 0, u32::MAX, u32::MAX).await);
    assert_eq!(page.events.len(), 4_000);
    // Each event has a kind of 4 bytes and a payload of 7.
    assert_eq!(ok(session.page_with("a", 0, 0, 0, 100, 33).await).events.len(), 3);
    assert_eq!(ok(session.page_with("a", 0, 0, 0, 0, 0).await).events.len(), 1);
    for n in 1..=9 {
        let payload = format!(r#""{}""#, "x".repeat(250_000));
        let events = vec![NewEvent { hash: hash_of(&payload), payload, ..event(n) }];
        session.append(Append { first: n, events, ..Append::of("large", n..=n) }).await.expect("appended");
    }
    let page = ok(session.page_with("large", 0, 0, 0, u32::MAX, u32::MAX).await);
    assert_eq!(page.events.len(), 4, "a mebibyte");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_life_past_the_head_or_of_no_stream_is_stale() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let missing = stale(session.page("a", 0, 0).await);
    assert_eq!((missing.reason.as_str(), missing.epoch), ("stream_missing", 0));
    session.emit("a", 1..=5).await;
    let epoch = session.read("a", 0).await.epoch;
    let other = stale(session.page("a", epoch ^ 1, 3).await);
    assert_eq!((other.reason.as_str(), other.epoch, other.head), ("epoch_changed", epoch, 5));
    assert_eq!(stale(session.page("a", epoch, 6).await).reason, "head_behind_cursor");
    assert_eq!(stale(session.page("a", epoch, u64::MAX).await).reason, "head_behind_cursor");
    assert!(ok(session.page("a", epoch, 5).await).events.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_whose_last_event_is_another_than_the_one_held_has_another_history() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a", 1..=5).await;
    let epoch = session.read("a", 0).await.epoch;
    let ask = async |after, mark: u64| session.page_with("a", epoch, after, mark, 100, 1 << 20).await;
    // What a reader computes as it applies, the module has as well: from any place, and at the head.
    let mut marks = vec![0];
    for held in ok(ask(0, 0).await).events {
        marks.push(mark(marks[marks.len() - 1], held.hash, held.at, held.producer, held.number));
    }
    for (after, known) in (0..).zip(&marks) {
        let page = ok(ask(after, *known).await);
        assert_eq!((page.mark, page.events.len() as u64), (*known, 5 - after));
    }
    assert_eq!(payloads(&ok(ask(3, marks[3]).await)), [r#"{"n":4}"#, r#"{"n":5}"#]);
    for after in [0, 3, 5] {
        let other = stale(ask(after, 7).await);
        assert_eq!((other.reason.as_str(), other.epoch, other.floor, other.head), ("history_diverged", epoch, 1, 5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_are_listed_by_pattern_in_the_order_of_their_numbers() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    for stream in ["a.x", "b", "a.y.z", "a", "ab.x"] {
        session.emit(stream, 1..=2).await;
    }
    let ids = async |pattern: &str| {
        let list = session.streams(pattern).await;
        assert!(!list.more);
        list.streams.into_iter().map(|stream| stream.id).collect::<Vec<_>>()
    };
    assert_eq!(ids("*").await, ["a.x", "b", "a.y.z", "a", "ab.x"]);
    assert_eq!(ids("a.*").await, ["a.x", "a.y.z"]);
    assert_eq!(ids("a").await, ["a"]);
    assert!(ids("nothing").await.is_empty());
    let all = session.streams("*").await;
    let second = all.streams[1].no;
    let rest = ok(session.ask::<_, muster_contract::page::StreamList>("list_streams", &("*", second)).await);
    assert_eq!(rest.streams, all.streams[2..]);
    let info = &all.streams[0];
    assert_eq!((info.floor, info.head, info.snapshot_seq), (1, 2, 0));
    for wrong in ["", "a.*.b", "**", "a b"] {
        let answer = session.ask::<_, muster_contract::page::StreamList>("list_streams", &(wrong, 0u64)).await;
        assert_eq!(refused(answer).code, Code::BadSubscription);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_ids_and_too_many_questions_are_refused() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    assert_eq!(refused(session.page("a..b", 0, 0).await).code, Code::BadStreamId);
    let many = vec!["a"; 1_001];
    assert_eq!(refused(session.states(crate::lane::ADA, &many).await).code, Code::BatchTooLarge);
    assert_eq!(ok(session.states(crate::lane::ADA, &many[1..]).await).len(), 1_000);
    assert_eq!(refused(session.states(crate::lane::ADA, &["a b"]).await).code, Code::BadStreamId);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_of_few_streams_is_listed_at_once_however_many_there_are_elsewhere() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("few.first", 1..=1).await;
    // More than one answer looks at.
    let others = (0..5_200).map(|n| format!("many.{n}"));
    let appended = others.map(|id| {
        let session = &session;
        async move { session.emit(&id, 1..=1).await }
    });
    futures::stream::iter(appended).buffer_unordered(64).collect::<Vec<_>>().await;
    session.emit("few.last", 1..=1).await;
    session.emit("fewer.x", 1..=1).await;
    let list = session.streams("few.*").await;
    let ids: Vec<_> = list.streams.iter().map(|stream| stream.id.as_str()).collect();
    assert_eq!((ids, list.more, list.resume_after), (vec!["few.first", "few.last"], false, list.streams[1].no));
    let rest = ok(session.ask::<_, StreamList>("list_streams", &("few.*", list.streams[0].no)).await);
    assert_eq!(rest.streams, list.streams[1..]);
    let none = ok(session.ask::<_, StreamList>("list_streams", &("few.*", list.resume_after)).await);
    assert_eq!((none.streams.len(), none.more, none.resume_after), (0, false, list.resume_after));
    // A pattern of many is listed in parts, each stream once.
    let (mut seen, mut after) = (0, 0);
    loop {
        let part = ok(session.ask::<_, StreamList>("list_streams", &("many.*", after)).await);
        (seen, after) = (seen + part.streams.len(), part.resume_after);
        if !part.more {
            break;
        }
    }
    assert_eq!(seen, 5_200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_many_streams_that_is_refused_says_for_which() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let refusal = refused(session.states(ADA, &["a", "b", "c..d", "e"]).await);
    assert_eq!((refusal.code, refusal.details.event), (Code::BadStreamId, Some(2)));
}
