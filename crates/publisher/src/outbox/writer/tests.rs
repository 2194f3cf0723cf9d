//! What shares a commit.

mod recent;

use muster_contract::producer::ProducerId;
use tokio::sync::Semaphore;

use super::super::{Decision, file};
use super::*;
use crate::error::OperateError;

fn chunk() -> Chunk {
    let mut chunk = Chunk { events: 1, ..Chunk::default() };
    crate::frame::encode(&mut chunk.data, "k", "{}", &[7; 32], spacetimedb_lib::Timestamp::UNIX_EPOCH);
    chunk
}

fn stream(id: &str) -> StreamId {
    StreamId::parse(id).expect("a stream id")
}

fn publish(id: &str) -> (Request, oneshot::Receiver<Result<Receipt, PublishError>>) {
    let (reply, answer) = oneshot::channel();
    let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
    (Request::Publish(Publish { stream: stream(id), chunks: vec![chunk()], reply, _room: room }), answer)
}

#[test]
fn a_change_that_fails_takes_neither_publishers_nor_other_changes_with_it() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (connection, _) = file::open(&folder.path().join("outbox"), ProducerId::from_random(1), 0).expect("made");
    let (feed, meters) = (Arc::default(), Arc::default());
    let mut writer = Writer::new(connection, OutboxLimits::default(), feed, meters).expect("a writer");
    writer.serve(vec![publish("broken").0, publish("sound").0]);
    let break_it = "UPDATE stream SET parked_code = 'x', parked_message = 'y', parked_ms = 0;
        CREATE TRIGGER broken BEFORE UPDATE ON stream WHEN new.id = 'broken' BEGIN SELECT RAISE(ABORT, 'broken'); END";
    writer.connection.execute_batch(break_it).expect("broken");
    writer.records.clear();

    let decide = |id: &str| {
        let (reply, answer) = oneshot::channel();
        let (stream, decision) = (stream(id), Decision::Retry);
        (Request::Control(Control::Decide { stream, decision, reply }), answer)
    };
    let (broken, sound, (other, kept)) = (decide("broken"), decide("sound"), publish("other"));
    writer.serve(vec![broken.0, other, sound.0]);
    let answered = broken.1.blocking_recv().expect("answered");
    assert!(matches!(answered, Err(OperateError::Disk { .. })), "{answered:?}");
    assert_eq!(sound.1.blocking_recv().expect("answered"), Ok(1));
    assert_eq!(kept.blocking_recv().expect("answered").expect("kept").last, 1);
    assert_eq!(writer.meters.failed_commits.load(Relaxed), 0);
}

#[test]
fn the_age_that_is_shown_is_that_of_the_oldest_events_that_are_left() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (connection, _) = file::open(&folder.path().join("outbox"), ProducerId::from_random(1), 0).expect("made");
    let mut writer =
        Writer::new(connection, OutboxLimits::default(), Arc::default(), Arc::default()).expect("a writer");
    let mut store = |up_to: Option<u64>| {
        writer.serve(match up_to {
            None => vec![publish("a").0],
            Some(up_to) => {
                vec![Request::Control(Control::Forget { up_to: vec![(1, up_to)], reply: oneshot::channel().0 })]
            }
        });
        // So that the next one is later, by the clock's milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(2));
        let sql = "SELECT min(stored_ms) FROM chunk";
        let oldest: Option<i64> = writer.connection.query_row(sql, [], |row| row.get(0)).expect("readable");
        assert_eq!(writer.meters.oldest_ms.load(Relaxed), oldest.unwrap_or(0));
        oldest
    };
    let (first, second) = (store(None), store(None));
    assert_eq!(first, second, "it is the first one's");
    assert!(store(Some(1)) > second, "the first one is gone");
    assert_eq!(store(Some(2)), None);
    assert!(store(None) > first);
}
