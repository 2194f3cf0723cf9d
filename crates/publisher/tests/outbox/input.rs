//! What is no event is refused by type, and nothing of it is kept.

use muster_contract::append::AppendError;
use muster_contract::canonical::PayloadError;
use muster_contract::stream::StreamId;
use muster_publisher::{Draft, OutboxConfig, OutboxLimits, PublishError, Publisher};

use crate::support::{events, folder, open};

#[tokio::test]
async fn payloads_without_a_canonical_form_are_refused() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    let stream = StreamId::parse("muster.test.a").unwrap();
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    type Check = fn(&PayloadError) -> bool;
    let cases: [(&[u8], Check); 8] = [
        (b"{", |error| matches!(error, PayloadError::Syntax { .. })),
        (b"NaN", |error| matches!(error, PayloadError::Syntax { .. })),
        (b"{\"a\":Infinity}", |error| matches!(error, PayloadError::Syntax { .. })),
        (b"1e999", |error| matches!(error, PayloadError::NumberOutOfRange { .. })),
        (b"\"\xff\"", |error| matches!(error, PayloadError::InvalidUtf8 { .. })),
        (b"{\"a\":1,\"a\":2}", |error| matches!(error, PayloadError::DuplicateKey { .. })),
        (b"9007199254740993", |error| matches!(error, PayloadError::LossyInteger { .. })),
        (deep.as_bytes(), |error| matches!(error, PayloadError::TooDeep { .. })),
    ];
    for (payload, is_expected) in cases {
        let error =
            publisher.publish_many(&stream, [Draft::new("k", "{}"), Draft::new("k", payload)]).await.unwrap_err();
        assert!(matches!(&error, PublishError::Payload(error) if is_expected(error)), "{error}");
    }
    assert_eq!(events(&outbox).len(), 0, "not even the good one beside it");
}

#[tokio::test]
async fn events_beyond_the_contracts_limits_are_refused() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    let large = format!("\"{}\"", "x".repeat(256 * 1_024 - 1));
    let error = publisher.publish("t", "k", &large).await.unwrap_err();
    assert_eq!(error, PublishError::Event(AppendError::PayloadTooLarge { bytes: 256 * 1_024 + 1 }));
    let largest = format!("\"{}\"", "x".repeat(256 * 1_024 - 2));
    publisher.publish("t", "k", &largest).await.unwrap();
    assert_eq!(publisher.publish("t", "", "{}").await, Err(PublishError::Event(AppendError::KindEmpty)));
    assert!(matches!(publisher.publish("t", "a\nb", "{}").await, Err(PublishError::Event(_))));
    assert!(matches!(publisher.publish("", "k", "{}").await, Err(PublishError::Topic(_))));
    assert!(matches!(publisher.publish(&"t".repeat(300), "k", "{}").await, Err(PublishError::Topic(_))));
    let stream = StreamId::parse("muster.test.a").unwrap();
    assert_eq!(publisher.publish_many(&stream, []).await, Err(PublishError::Nothing));
    let many = std::iter::repeat_n(Draft::new("k", "{}"), 10_001);
    assert!(matches!(publisher.publish_many(&stream, many).await, Err(PublishError::TooMuchAtOnce { .. })));
    assert_eq!(events(&outbox).len(), 1);
}

#[tokio::test]
async fn what_is_kept_is_canonical_with_its_hash_and_its_time() {
    let (_folder, outbox) = folder();
    let publisher = open(&outbox);
    let receipt = publisher.publish("run:r:events", "größe", " { \"b\" : 1.0, \"a\" : \"\\u00e4\" } ").await.unwrap();
    assert_eq!((receipt.stream.as_str(), receipt.first, receipt.last), ("runtime.run.r.events", 1, 1));
    let events = events(&outbox);
    let event = &events[&("runtime.run.r.events".to_string(), 1)];
    assert_eq!((event.kind.as_str(), event.payload.as_str()), ("größe", r#"{"a":"ä","b":1}"#));
    // echo -n '{"a":"ä","b":1}' | sha256sum
    let expected = muster_contract::PayloadHash::of(r#"{"a":"ä","b":1}"#.as_bytes());
    assert_eq!(format!("sha256:{:064x}", event.hash), expected.to_string());
    let age = muster_wire::Timestamp::now().duration_since(event.at).unwrap();
    assert!(age.as_secs() < 60);
}

#[tokio::test]
async fn a_full_outbox_is_an_error_and_takes_nothing_of_what_does_not_fit() {
    let (_folder, outbox) = folder();
    let limits = OutboxLimits { events_max: 10, ..OutboxLimits::default() };
    let publisher = Publisher::open(OutboxConfig::new(&outbox).limits(limits)).unwrap();
    let stream = StreamId::parse("muster.test.a").unwrap();
    publisher.publish_many(&stream, [Draft::new("k", "1"); 8]).await.unwrap();
    let error = publisher.publish_many(&stream, [Draft::new("k", "2"); 3]).await.unwrap_err();
    assert!(matches!(error, PublishError::Full { events: 8, .. }) && error.is_retryable(), "{error}");
    publisher.publish_many(&stream, [Draft::new("k", "3"); 2]).await.unwrap();
    assert!(matches!(publisher.publish("t", "k", "4").await, Err(PublishError::Full { events: 10, .. })));
    let metrics = publisher.metrics();
    assert_eq!((metrics.published, metrics.refused_full, metrics.depth_events), (10, 4, 10));
    let payloads: String = events(&outbox).values().map(|event| event.payload.as_str()).collect();
    assert_eq!(payloads, "1111111133");

    publisher.close().await;
    let limits = OutboxLimits { bytes_max: 1_000, ..OutboxLimits::default() };
    let publisher = Publisher::open(OutboxConfig::new(&outbox).limits(limits)).unwrap();
    assert!(matches!(
        publisher.publish("t", "k", &format!("\"{}\"", "x".repeat(500))).await,
        Err(PublishError::Full { .. })
    ));
}
