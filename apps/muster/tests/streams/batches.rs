//! A row holds the events that arrived together; what readers get does not depend on how that was.

use muster_contract::page::{StoredEvent, mark};

use crate::lane::{Append, BOB, Lane, Session, events, ok};

/// Sizes of batches: alone, few, the most there may be.
const BATCHES: [u64; 12] = [1, 1, 7, 1_000, 2, 300, 1, 1, 1, 1, 64, 3];

/// The events of batches by two producers in turn, as one page after the other gives them, each page as large as may be.
async fn filled(session: &Session) -> Vec<StoredEvent> {
    let mut sent = [0, 0];
    for (turn, size) in BATCHES.into_iter().enumerate() {
        let (first, last) = (sent[turn % 2] + 1, sent[turn % 2] + size);
        match turn % 2 {
            0 => session.emit("a", first..=last).await,
            _ => {
                let append = Append { producer: BOB, first, events: events(first..=last), ..Append::of("a", 1..=1) };
                session.append(append).await.expect("appended");
            }
        }
        sent[turn % 2] = last;
    }
    let mut all = Vec::new();
    while (all.len() as u64) < BATCHES.iter().sum() {
        let page = ok(session.page("a", 0, all.len() as u64).await);
        assert!(!page.events.is_empty(), "a hole behind {}", all.len());
        all.extend(page.events);
    }
    all
}

fn marks(events: &[StoredEvent]) -> Vec<u64> {
    let mut marks = vec![0];
    for event in events {
        marks.push(mark(marks[marks.len() - 1], event.hash, event.at, event.producer, event.number));
    }
    marks
}

/// How many of these events go into a page: the first in any case.
fn fitting(events: &[StoredEvent], size: u32, bytes: u32) -> usize {
    let mut left = bytes as usize;
    let fits = |event: &&StoredEvent| {
        let fits = left.checked_sub(event.kind.len() + event.payload.len());
        left = fits.unwrap_or(0);
        fits.is_some()
    };
    events.iter().take(size as usize).take_while(fits).count().max(1).min(events.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_from_any_place_and_of_any_size_has_the_same_events_and_marks() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let all = filled(&session).await;
    let marks = marks(&all);
    let held = lane.place.sql("SELECT events FROM sync_event").await;
    assert_eq!(held.len(), BATCHES.len(), "a row for each batch");
    let head = all.len() as u64;
    // Around each border, and somewhere in each batch.
    let borders = BATCHES.iter().scan(0, |end, size| {
        *end += size;
        Some(*end)
    });
    let places = borders.flat_map(|end| [end.saturating_sub(2), end - 1, end, end + 1, end + 40]);
    for after in places.filter(|after| *after <= head) {
        let asked =
            [(1, 1 << 20), (2, 1 << 20), (63, 1 << 20), (999, 1 << 20), (4_000, 1 << 20), (4_000, 4_096), (500, 777)];
        for (size, bytes) in asked {
            let page = ok(session.page_with("a", 0, after, marks[after as usize], size, bytes).await);
            let end = after as usize + fitting(&all[after as usize..], size, bytes);
            assert_eq!(page.mark, marks[after as usize], "{size} and {bytes} behind {after}");
            assert_eq!(page.events, all[after as usize..end], "{size} and {bytes} behind {after}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_floor_in_the_middle_of_a_batch_is_a_floor_like_any_other() {
    let lane = Lane::start().await;
    let session = lane.join().await;
    let all = filled(&session).await;
    let (marks, head) = (marks(&all), all.len() as u64);
    // From within the batch of 300 on, then from within that of 64.
    for (kept, rows) in [(200, 7), (20, 2)] {
        lane.owner().await.call("configure_lane", &(0u64, kept, 0u64, false, 1u64)).await.expect("configured");
        let floor = head + 1 - kept;
        lane.place.until_count(&format!("sync_stream WHERE floor_seq = {floor}"), 1).await;
        assert_eq!(lane.place.count("sync_event").await, rows);
        let after = floor - 1;
        let page = ok(session.page_with("a", 0, after, marks[after as usize], 1_000, 1 << 20).await);
        assert_eq!((page.floor, page.mark), (floor, marks[after as usize]));
        assert_eq!(page.events, all[after as usize..]);
    }
    // Deleted and made again: nothing of it is left.
    lane.owner().await.call("delete_stream", &("a",)).await.expect("deleted");
    lane.place.until_count("sync_event", 0).await;
    lane.place.until_count("sync_garbage", 0).await;
}
