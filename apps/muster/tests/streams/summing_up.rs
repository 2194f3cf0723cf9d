//! Snapshots and checkpoints.

use muster_contract::Code;

use crate::lane::{ADA, Lane, Session, event, hash_of, ok, refused, stale};

async fn with_events(lane: &Lane, count: u64) -> (Session, u64) {
    let session = lane.join().await;
    session.emit("a", 1..=count).await;
    let epoch = session.read("a", 0).await.epoch;
    (session, epoch)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_snapshot_reads_back_byte_for_byte() {
    let lane = Lane::start().await;
    let (session, epoch) = with_events(&lane, 9).await;
    assert_eq!(session.snapshot("a").await, None);
    let large = format!(r#""{}""#, "é".repeat(524_287));
    session.put_snapshot("a", epoch, 3, r#"{"sum":6}"#).await.expect("put");
    session.put_snapshot("a", epoch, 9, &large).await.expect("put");
    let snapshot = session.snapshot("a").await.expect("a snapshot");
    assert_eq!((snapshot.epoch, snapshot.seq, snapshot.hash), (epoch, 9, hash_of(&large)));
    assert!(snapshot.payload == large);
    assert_eq!(session.streams("a").await.streams[0].snapshot_seq, 9);
    assert_eq!(lane.place.count("sync_snapshot").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_is_newer_than_the_last_within_the_stream_and_whole() {
    let lane = Lane::start().await;
    let (session, epoch) = with_events(&lane, 9).await;
    let put = async |epoch, seq, payload: &str| session.put_snapshot("a", epoch, seq, payload).await;
    put(epoch, 5, "{}").await.expect("put");
    put(epoch, 5, "{}").await.expect("the same again is acknowledged");
    let refusal = put(epoch, 5, "[]").await.expect_err("another one of the same reach");
    assert_eq!((refusal.code, refusal.details.expected), (Code::SequenceConflict, Some(6)));
    let refusal = put(epoch, 4, "{}").await.expect_err("an older one");
    assert_eq!((refusal.code, refusal.details.expected), (Code::SequenceConflict, Some(6)));
    let refusal = put(epoch, 10, "{}").await.expect_err("past the head");
    assert_eq!((refusal.code, refusal.details.expected), (Code::SequenceConflict, Some(9)));
    let refusal = put(epoch ^ 1, 9, "{}").await.expect_err("of another life");
    assert_eq!((refusal.code, refusal.details.epoch), (Code::EpochChanged, Some(epoch)));
    let too_large = "x".repeat((1 << 20) + 1);
    assert_eq!(put(epoch, 9, &too_large).await.expect_err("too large").code, Code::PayloadTooLarge);
    let wrong = session.call("put_snapshot", &("a", epoch, 9u64, "{}", event(1).hash, ADA)).await;
    assert_eq!(wrong.expect_err("a wrong hash").code, Code::PayloadHashMismatch);
    let refusal = session.put_snapshot("none", epoch, 1, "{}").await.expect_err("no such stream");
    assert_eq!((refusal.code, refusal.details.epoch), (Code::EpochChanged, Some(0)));
    let snapshot = session.snapshot("a").await.expect("a snapshot");
    assert_eq!((snapshot.seq, snapshot.payload.as_str()), (5, "{}"));
    let other = session.ask::<_, Option<muster_contract::page::Snapshot>>("read_snapshot", &("a", epoch ^ 1)).await;
    assert_eq!(stale(other).reason, "epoch_changed");
    let bad = session.ask::<_, Option<muster_contract::page::Snapshot>>("read_snapshot", &("a b", 0u64)).await;
    assert_eq!(refused(bad).code, Code::BadStreamId);
    let eve = lane.join().await;
    assert_eq!(eve.put_snapshot("a", epoch, 9, "{}").await.expect_err("not hers").code, Code::ForbiddenStream);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_never_moves_back_and_each_client_has_its_own() {
    let lane = Lane::start().await;
    let (session, epoch) = with_events(&lane, 9).await;
    let ack = async |seq: u64, client: &str| session.call("ack_checkpoint", &("a", epoch, seq, client)).await;
    let noted = async || {
        let mut rows = lane.place.sql("SELECT client, seq FROM sync_checkpoint").await;
        rows.sort();
        rows.into_iter().map(|row| row.join(" ")).collect::<Vec<_>>()
    };
    ack(4, "desk").await.expect("noted");
    ack(7, "desk").await.expect("noted");
    ack(5, "desk").await.expect("an older one is no error");
    ack(2, "phone").await.expect("noted");
    assert_eq!(noted().await, [r#""desk" 7"#, r#""phone" 2"#]);
    let refusal = ack(10, "desk").await.expect_err("past the head");
    assert_eq!((refusal.code, refusal.details.expected), (Code::StaleCursor, Some(9)));
    let other = session.call("ack_checkpoint", &("a", epoch ^ 1, 1u64, "desk")).await;
    assert_eq!(other.expect_err("another life").code, Code::EpochChanged);
    for wrong in ["", "a\nb", &"x".repeat(129)] {
        assert_eq!(ack(1, wrong).await.expect_err("no name").code, Code::InvalidRequest);
    }
    assert_eq!(noted().await, [r#""desk" 7"#, r#""phone" 2"#]);
    // In another life it begins anew, further back.
    lane.owner().await.call("renew_epochs", &()).await.expect("renewed");
    let epoch = ok(session.page("a", 0, 0).await).epoch;
    session.call("ack_checkpoint", &("a", epoch, 1u64, "desk")).await.expect("noted");
    assert_eq!(noted().await, [r#""desk" 1"#, r#""phone" 2"#]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_too_many_takes_the_place_of_the_longest_silent() {
    let lane = Lane::start().await;
    let (session, epoch) = with_events(&lane, 9).await;
    for client in 0..65 {
        session.call("ack_checkpoint", &("a", epoch, 1u64, format!("c{client}"))).await.expect("noted");
    }
    assert_eq!(lane.place.count("sync_checkpoint").await, 64);
    assert_eq!(lane.place.count("sync_checkpoint WHERE client = 'c0'").await, 0);
    assert_eq!(lane.place.count("sync_checkpoint WHERE client = 'c64'").await, 1);
}
