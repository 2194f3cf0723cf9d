//! Events come in: once, in order, whole batches or nothing.

use muster_contract::page::{NewEvent, ProducerState, StoredEvent};
use muster_contract::{Code, Refusal};
use muster_wire::sats::bsatn;

use crate::lane::{ADA, Append, BOB, Lane, Session, event, events, hash_of, ok, payloads, refused};

/// The head of a stream, and how many events it stores.
async fn stored(lane: &Lane, session: &Session, stream: &str) -> (u64, u64) {
    (session.read(stream, 0).await.head, lane.place.events().await)
}

fn code(result: Result<(), Refusal>) -> Code {
    result.expect_err("refused").code
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_appended_reads_back_byte_for_byte() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let payloads = [
        r#"{}"#.to_owned(),
        r#"{"a":"größe 😂\u0000","b":[1e-7,null]}"#.into(),
        format!(r#""{}""#, "x".repeat(262_142)),
    ];
    let sent: Vec<NewEvent> = payloads
        .iter()
        .map(|payload| NewEvent { payload: payload.clone(), hash: hash_of(payload), ..event(7) })
        .collect();
    session.append(Append { events: sent.clone(), ..Append::of("a", 1..=1) }).await.expect("appended");
    let page = session.read("a", 0).await;
    assert_eq!((page.first, page.floor, page.head), (1, 1, 3));
    let got: Vec<_> = page
        .events
        .iter()
        .map(|e| NewEvent { kind: e.kind.clone(), payload: e.payload.clone(), hash: e.hash, at: e.at })
        .collect();
    assert_eq!(got, sent);
    assert_eq!(page.events.iter().map(|event| event.number).collect::<Vec<_>>(), [1, 2, 3]);
    // Operators read the same with plain SQL, a line for each event.
    let held = lane.place.sql("SELECT seq, events, kinds, payloads FROM sync_event WHERE seq = 1").await;
    let lines = |texts: &mut dyn Iterator<Item = &String>| {
        serde_json::to_string(&texts.map(|text| format!("{text}\n")).collect::<String>()).expect("text")
    };
    let (kinds, payloads) = (lines(&mut sent.iter().map(|event| &event.kind)), lines(&mut payloads.iter()));
    assert_eq!(held, [["1".to_owned(), "3".into(), kinds, payloads]]);
    let bytes: usize = sent.iter().map(|event| event.kind.len() + event.payload.len()).sum();
    let row = lane.place.sql("SELECT id, head, floor_seq, bytes FROM sync_stream").await;
    assert_eq!(row, [["\"a\"".to_owned(), "3".into(), "1".into(), bytes.to_string()]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_in_one_byte_string_are_taken_and_refused_like_a_list_of_them() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let encoded = |numbers: std::ops::RangeInclusive<u64>, events: Vec<u8>| {
        let (session, first) = (&session, *numbers.start());
        async move { session.call("append_encoded", &("a", 0u64, ADA, first, 0u64, events)).await }
    };
    let bytes = |numbers| bsatn::to_vec(&events(numbers)).expect("bytes");
    session.emit("a", 1..=3).await;
    encoded(2..=5, bytes(2..=5)).await.expect("the first two are there, the others are appended");
    let expected: Vec<String> = events(1..=5).into_iter().map(|event| event.payload).collect();
    assert_eq!(payloads(&session.read("a", 0).await), expected);
    assert_eq!(code(encoded(8..=8, bytes(8..=8)).await), Code::ProducerHole);

    let whole = bytes(6..=7);
    for wrong in [&whole[..whole.len() - 1], &[&whole[..], &[0]].concat(), &[], &[255; 64]] {
        assert_eq!(code(encoded(6..=7, wrong.to_vec()).await), Code::InvalidBatch, "{} bytes", wrong.len());
    }
    assert_eq!(code(encoded(6..=7, vec![0; 2 << 20]).await), Code::BatchTooLarge);
    assert_eq!(code(encoded(6..=6, bsatn::to_vec(&Vec::<NewEvent>::new()).expect("bytes")).await), Code::InvalidBatch);
    let forged = vec![event(6), NewEvent { payload: "8".into(), ..event(7) }];
    let refusal = encoded(6..=7, bsatn::to_vec(&forged).expect("bytes")).await.expect_err("refused");
    assert_eq!((refusal.code, refusal.details.event), (Code::PayloadHashMismatch, Some(1)));
    assert_eq!(stored(&lane, &session, "a").await, (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_is_acknowledged_and_stored_once() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a", 1..=5).await;
    session.emit("a", 1..=5).await;
    session.emit("a", 2..=3).await;
    assert_eq!(stored(&lane, &session, "a").await, (5, 5));
    // Of an overlap, only what is new.
    session.emit("a", 4..=8).await;
    assert_eq!(stored(&lane, &session, "a").await, (8, 8));
    let page = session.read("a", 0).await;
    assert_eq!(page.events.iter().map(|event| event.number).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    assert_eq!(payloads(&page)[7], r#"{"n":8}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hole_in_a_producers_numbers_is_refused_with_the_number_expected() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let refusal = session.append(Append::of("a", 2..=3)).await.expect_err("a hole");
    assert_eq!((refusal.code, refusal.details.expected), (Code::ProducerHole, Some(1)));
    session.emit("a", 1..=3).await;
    let refusal = session.append(Append::of("a", 5..=6)).await.expect_err("a hole");
    assert_eq!((refusal.code, refusal.details.expected), (Code::ProducerHole, Some(4)));
    assert_eq!(stored(&lane, &session, "a").await, (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_for_another_place_or_life_of_the_stream_is_refused() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let refusal = session.append(Append { epoch: 9, ..Append::of("a", 1..=1) }).await.expect_err("no such epoch");
    assert_eq!((refusal.code, refusal.details.epoch), (Code::EpochChanged, Some(0)));
    session.emit("a", 1..=3).await;
    let epoch = session.read("a", 0).await.epoch;
    let refusal = session.append(Append { epoch: epoch + 1, ..Append::of("a", 4..=4) }).await.expect_err("old");
    assert_eq!((refusal.code, refusal.details.epoch), (Code::EpochChanged, Some(epoch)));
    let refusal = session.append(Append { epoch, expected: 9, ..Append::of("a", 4..=4) }).await.expect_err("elsewhere");
    assert_eq!((refusal.code, refusal.details.expected), (Code::SequenceConflict, Some(4)));
    session.append(Append { epoch, expected: 4, ..Append::of("a", 4..=4) }).await.expect("in its place");
    // The place of an overlap is that of its first event, and a repeat is acknowledged wherever it is expected.
    session.append(Append { epoch, expected: 4, ..Append::of("a", 4..=5) }).await.expect("in its place");
    session.append(Append { epoch, expected: 77, ..Append::of("a", 4..=5) }).await.expect("a repeat");
    assert_eq!(stored(&lane, &session, "a").await, (5, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_wrong_hash_refuses_the_whole_batch_and_names_its_event() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    session.emit("a", 1..=2).await;
    let mut batch = events(2..=5);
    batch[2].hash = event(1).hash;
    let refusal =
        session.append(Append { first: 2, events: batch, ..Append::of("a", 1..=1) }).await.expect_err("wrong");
    assert_eq!((refusal.code, refusal.details.event), (Code::PayloadHashMismatch, Some(2)));
    assert_eq!(stored(&lane, &session, "a").await, (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_out_of_bounds_is_refused_and_nothing_is_stored() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let of = |events: Vec<NewEvent>| Append { events, ..Append::of("a", 1..=1) };
    let sized = |bytes: usize| {
        let payload = format!(r#""{}""#, "x".repeat(bytes - 2));
        NewEvent { hash: hash_of(&payload), payload, ..event(1) }
    };
    let kind = |kind: &str| NewEvent { kind: kind.into(), ..event(1) };
    assert_eq!(code(session.append(of(vec![sized(262_145)])).await), Code::PayloadTooLarge);
    assert_eq!(code(session.append(of(vec![sized(262_144); 4])).await), Code::BatchTooLarge);
    assert_eq!(code(session.append(of(events(1..=1_001))).await), Code::BatchTooLarge);
    assert_eq!(code(session.append(of(Vec::new())).await), Code::InvalidBatch);
    for wrong in ["", "a\nb", &"k".repeat(129)] {
        assert_eq!(code(session.append(of(vec![event(1), kind(wrong)])).await), Code::InvalidKind);
    }
    for wrong in ["", "a..b", "a b", "a:b", "a.%3a", "*", &"x".repeat(256)] {
        assert_eq!(code(session.append(Append::of(wrong, 1..=1)).await), Code::BadStreamId);
    }
    for wrong in ["", "0123", &ADA.to_uppercase()] {
        let append = Append { producer: wrong, ..Append::of("a", 1..=1) };
        assert_eq!(code(session.append(append).await), Code::InvalidRequest);
    }
    for first in [0, u64::MAX] {
        let append = Append { first, events: events(1..=2), ..Append::of("a", 1..=1) };
        assert_eq!(code(session.append(append).await), Code::InvalidBatch);
    }
    for table in ["sync_stream", "sync_event", "sync_producer", "producer_cursor"] {
        assert_eq!(lane.place.count(table).await, 0, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_producers_share_a_stream_and_each_counts_for_itself() {
    let lane = Lane::start().await;
    let (ada, bob) = (lane.join().await, lane.join().await);
    ada.emit("a", 1..=2).await;
    bob.append(Append { producer: BOB, ..Append::of("a", 1..=3) }).await.expect("appended");
    ada.emit("a", 3..=3).await;
    let page = ada.read("a", 0).await;
    let who: Vec<_> = page.events.iter().map(|event| (event.producer, event.number)).collect();
    let (first, second) = (who[0].0, who[2].0);
    assert_ne!(first, second);
    assert_eq!(who, [(first, 1), (first, 2), (second, 1), (second, 2), (second, 3), (first, 3)]);
    let epoch = page.epoch;
    let states = ok(ada.states(ADA, &["a", "not.there"]).await);
    let nothing = ProducerState::without_event(0, 0, 0);
    let of = |seq: usize| {
        let StoredEvent { hash, at, .. } = page.events[seq - 1];
        ProducerState { epoch, number: 3, head: 6, hash, at }
    };
    assert_eq!(states, [of(6), nothing]);
    assert_eq!(ok(bob.states(BOB, &["a"]).await), [of(5)]);
    // A producer that nobody has seen has sent nothing.
    let unknown = "00000000000000000000000000000001";
    assert_eq!(ok(bob.states(unknown, &["a"]).await), [ProducerState::without_event(epoch, 0, 6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_id_belongs_to_the_identity_that_used_it_first() {
    let lane = Lane::start().await;
    let (ada, eve) = (lane.join().await, lane.join().await);
    ada.emit("a", 1..=2).await;
    assert_eq!(code(eve.append(Append::of("a", 3..=3)).await), Code::ForbiddenStream);
    assert_eq!(refused(eve.states(ADA, &["a"]).await).code, Code::ForbiddenStream);
    // The same identity over another connection goes on.
    let again = lane.place.join(Some(ada.connection.token().clone())).await;
    again.emit("a", 3..=3).await;
    assert_eq!(stored(&lane, &ada, "a").await, (3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_in_flight_are_stored_in_the_order_in_which_they_were_sent() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let batches = (0..40u64).map(|batch| session.emit("a", batch * 10 + 1..=batch * 10 + 10));
    futures::future::join_all(batches).await;
    let page = session.read("a", 0).await;
    assert_eq!(page.events.iter().map(|event| event.number).collect::<Vec<_>>(), (1..=400).collect::<Vec<_>>());
}
