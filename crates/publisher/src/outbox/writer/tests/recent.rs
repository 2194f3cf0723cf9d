//! What goes out from memory is what would be read back, whatever happened to the outbox in between.

use proptest::prelude::*;

use super::*;
use crate::limits::{RECENT_BYTES_MAX, RECENT_MS_MAX, ms};
use crate::outbox::batch::{Batch, Wanted};
use crate::outbox::reader::{self, ReadError};

const STREAMS: [&str; 3] = ["a", "b", "c"];

struct World {
    writer: Writer,
    producer: ProducerId,
    /// Makes every event another one.
    events: u32,
    _folder: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let folder = tempfile::TempDir::new().expect("a folder");
        let (connection, producer) =
            file::open(&folder.path().join("outbox"), ProducerId::from_random(1), 0).expect("made");
        connection.execute_batch("PRAGMA synchronous = OFF").expect("nobody pulls the plug here");
        let (feed, meters) = (Arc::new(Feed::default()), Arc::default());
        feed.listen(true);
        let writer = Writer::new(connection, OutboxLimits::default(), feed, meters).expect("a writer");
        World { writer, producer, events: 0, _folder: folder }
    }

    /// Chunks of events with payloads of these lengths.
    fn chunks(&mut self, lengths: &[Vec<usize>]) -> Vec<Chunk> {
        let chunk = |lengths: &Vec<usize>| {
            let mut chunk = Chunk::default();
            for length in lengths {
                self.events += 1;
                let payload = format!("[{},\"{}\"]", self.events, "é".repeat(*length));
                let at = spacetimedb_lib::Timestamp::from_micros_since_unix_epoch(self.events.into());
                crate::frame::encode(&mut chunk.data, "kind", &payload, &[7; 32], at);
                chunk.events += 1;
            }
            chunk
        };
        lengths.iter().map(chunk).collect()
    }

    fn publishing(&mut self, stream: usize, lengths: &[Vec<usize>]) -> Request {
        let chunks = self.chunks(lengths);
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned().expect("a permit");
        Request::Publish(Publish {
            stream: super::stream(STREAMS[stream]),
            chunks,
            reply: oneshot::channel().0,
            _room: room,
        })
    }

    fn publish(&mut self, stream: usize, lengths: &[Vec<usize>]) {
        let publishing = self.publishing(stream, lengths);
        self.writer.serve(vec![publishing]);
    }

    fn record(&self, stream: usize) -> Option<StreamRecord> {
        record::by_id(&self.writer.connection, STREAMS[stream]).expect("readable")
    }

    fn recent(&self, wanted: &Wanted) -> Option<Batch> {
        self.writer.feed.batch(self.producer, wanted)
    }

    fn read(&self, wanted: &Wanted) -> Result<Batch, ReadError> {
        reader::batch(&self.writer.connection, self.producer, wanted)
    }
}

fn wanted(record: &StreamRecord, first: u64, events_max: u32, bytes_max: usize) -> Wanted {
    let StreamRecord { no, generation, epoch, .. } = *record;
    Wanted { stream: no, generation, epoch, first, number: first.saturating_sub(record.base), events_max, bytes_max }
}

#[derive(Clone, Debug)]
enum Step {
    Publish(Vec<(usize, Vec<Vec<usize>>)>),
    /// A commit that fails at its last statement.
    PublishInVain(usize, Vec<Vec<usize>>),
    /// From which of the stream's events on, and how many events and bytes at the most.
    Want(usize, prop::sample::Index, u32, usize),
    Forget(usize, prop::sample::Index),
    Save(usize, prop::sample::Index),
    Park(usize),
    Decide(usize, u8, prop::sample::Index),
    /// In one commit: a person's word, and events.
    DecideAndPublish(usize, u8, prop::sample::Index, Vec<Vec<usize>>),
}

fn step() -> impl Strategy<Value = Step> {
    let lengths = || prop::collection::vec(prop::collection::vec(0usize..40, 1..6), 1..4);
    let index = any::<prop::sample::Index>;
    prop_oneof![
        8 => prop::collection::vec((0usize..3, lengths()), 1..4).prop_map(Step::Publish),
        1 => (0usize..3, lengths()).prop_map(|(stream, lengths)| Step::PublishInVain(stream, lengths)),
        8 => (0usize..3, index(), 1u32..12, 1usize..400).prop_map(|(stream, first, events, bytes)| {
            Step::Want(stream, first, events, bytes)
        }),
        2 => (0usize..3, index()).prop_map(|(stream, up_to)| Step::Forget(stream, up_to)),
        1 => (0usize..3, index()).prop_map(|(stream, up_to)| Step::Save(stream, up_to)),
        1 => (0usize..3).prop_map(Step::Park),
        1 => (0usize..3, 0u8..4, index()).prop_map(|(stream, which, up_to)| Step::Decide(stream, which, up_to)),
        1 => (0usize..3, 0u8..4, index(), lengths()).prop_map(|(stream, which, up_to, lengths)| {
            Step::DecideAndPublish(stream, which, up_to, lengths)
        }),
    ]
}

/// A local number of the stream.
fn number(record: &StreamRecord, index: prop::sample::Index) -> u64 {
    1 + index.index(usize::try_from(record.last.max(1)).expect("few")) as u64
}

fn decide(record: &StreamRecord, stream: usize, which: u8, up_to: prop::sample::Index) -> Request {
    let through = number(record, up_to);
    let decision =
        [Decision::Retry, Decision::AcceptLoss, Decision::Skip { through }, Decision::Drop][usize::from(which)];
    Request::Control(Control::Decide { stream: super::stream(STREAMS[stream]), decision, reply: oneshot::channel().0 })
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Publish(publishes) => {
                let group = publishes.iter().map(|(stream, lengths)| self.publishing(*stream, lengths)).collect();
                self.writer.serve(group);
            }
            Step::PublishInVain(stream, lengths) => {
                let trigger =
                    "CREATE TEMP TRIGGER fail BEFORE UPDATE ON main.stream BEGIN SELECT RAISE(ABORT, 'no'); END";
                self.writer.connection.execute_batch(trigger).expect("a trigger");
                self.publish(stream, &lengths);
                self.writer.connection.execute_batch("DROP TRIGGER fail").expect("gone");
            }
            Step::Want(stream, first, events_max, bytes_max) => {
                let Some(record) = self.record(stream).filter(|record| record.last > 0) else { return };
                let first = number(&record, first);
                let unsent = u32::try_from(record.last + 1 - first).expect("few");
                self.compare(&wanted(&record, first, events_max.min(unsent), bytes_max));
            }
            Step::Forget(stream, up_to) => {
                let Some(record) = self.record(stream) else { return };
                let up_to = number(&record, up_to).min(record.last);
                let forget = Control::Forget { up_to: vec![(record.no, up_to)], reply: oneshot::channel().0 };
                self.writer.serve(vec![Request::Control(forget)]);
                for first in 1..=record.last {
                    self.compare(&wanted(&record, first, 1, 999));
                }
            }
            Step::Save(stream, up_to) => {
                let Some(mut record) = self.record(stream) else { return };
                record.confirmed = record.confirmed.max(number(&record, up_to)).min(record.last);
                (record.base, record.generation) = (record.confirmed, record.generation + 1);
                record.epoch += 1;
                let save = Control::Save { record, reply: oneshot::channel().0 };
                self.writer.serve(vec![Request::Control(save)]);
                self.nothing_is_kept_of(stream);
            }
            Step::Park(stream) => {
                let Some(record) = self.record(stream) else { return };
                let refusal = crate::core::Refusal::new("x", "y");
                let park = Control::Park { stream: record.no, refusal, reply: oneshot::channel().0 };
                self.writer.serve(vec![Request::Control(park)]);
                self.nothing_is_kept_of(stream);
            }
            Step::Decide(stream, which, up_to) => {
                let Some(record) = self.record(stream).filter(|record| record.parked) else { return };
                self.writer.serve(vec![decide(&record, stream, which, up_to)]);
                self.nothing_is_kept_of(stream);
            }
            Step::DecideAndPublish(stream, which, up_to, lengths) => {
                let Some(record) = self.record(stream).filter(|record| record.parked) else { return };
                let decide = decide(&record, stream, which, up_to);
                let publishing = self.publishing(stream, &lengths);
                self.writer.serve(vec![publishing, decide]);
                if record.last > 0 {
                    let all = u32::try_from(record.last).expect("few");
                    assert_eq!(self.recent(&wanted(&record, 1, all, 99_999)), None, "from before the decision");
                }
            }
        }
    }

    /// What is in memory must be on the disk, and as it is there.
    fn compare(&self, wanted: &Wanted) -> bool {
        let Some(recent) = self.recent(wanted) else { return false };
        assert_eq!(recent, self.read(wanted).expect("what is in memory is on the disk"), "{wanted:?}");
        true
    }

    fn nothing_is_kept_of(&self, stream: usize) {
        let Some(record) = self.record(stream) else { return };
        for first in 1..=record.last {
            assert_eq!(self.recent(&wanted(&record, first, 1, 999)), None, "event {first}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_from_memory_is_what_would_be_read(steps in prop::collection::vec(step(), 1..40)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
    }

    #[test]
    fn all_of_what_was_just_committed_comes_from_memory_in_the_batches_that_reading_makes(
        publishes in prop::collection::vec((0usize..2, prop::collection::vec(prop::collection::vec(0usize..40, 1..9), 1..4)), 1..9),
        batches in prop::collection::vec((1u32..20, 1usize..1_200), 60),
    ) {
        let mut world = World::new();
        for (stream, lengths) in publishes {
            world.publish(stream, &lengths);
        }
        let mut batches = batches.into_iter().cycle();
        for stream in 0..2 {
            let Some(record) = world.record(stream) else { continue };
            let mut next = 1;
            while next <= record.last {
                let (events_max, bytes_max) = batches.next().expect("without end");
                let unsent = u32::try_from(record.last + 1 - next).expect("few");
                let wanted = wanted(&record, next, events_max.min(unsent), bytes_max);
                let read = world.read(&wanted).expect("stored");
                let recent = world.recent(&wanted);
                prop_assert_eq!(recent.as_ref(), Some(&read));
                next += u64::from(read.events);
            }
            prop_assert_eq!(next, record.last + 1);
            prop_assert!(world.writer.feed.holds_nothing_of(record.no), "what was given out is let go of");
        }
    }
}

#[test]
fn nothing_is_kept_in_memory_while_nobody_sends() {
    let mut world = World::new();
    world.publish(0, &[vec![1, 2]]);
    let record = world.record(0).expect("made");
    world.writer.feed.listen(false);
    world.publish(0, &[vec![3]]);
    world.writer.feed.listen(true);
    for first in 1..=3 {
        assert_eq!(world.recent(&wanted(&record, first, 1, 999)), None, "event {first}");
    }
    world.publish(0, &[vec![4]]);
    assert_eq!(world.recent(&wanted(&record, 3, 2, 999)), None, "the first of them is not in memory");
    assert!(world.compare(&wanted(&record, 4, 1, 999)));
}

#[test]
fn events_of_a_parked_stream_are_not_kept_in_memory() {
    let mut world = World::new();
    world.publish(0, &[vec![1]]);
    world.take(Step::Park(0));
    world.publish(0, &[vec![2]]);
    world.nothing_is_kept_of(0);
}

#[test]
fn a_full_memory_keeps_what_it_has_for_a_second_and_then_what_is_newer() {
    use crate::outbox::chunks::Written;
    use crate::outbox::recent::Recent;
    let mut recent = Recent::default();
    let (began, id) = (Instant::now(), stream("a"));
    let large = |first| Written { first, chunk: Chunk { events: 1, data: vec![0; RECENT_BYTES_MAX / 4] } };
    let has = |recent: &mut Recent, first| {
        let record = StreamRecord { no: 1, ..StreamRecord::default() };
        recent.take(&wanted(&record, first, 1, RECENT_BYTES_MAX)).is_some()
    };
    recent.keep(began, 1, &id, (1..=4).map(large).collect());
    recent.keep(began, 1, &id, vec![large(5)]);
    assert_eq!([1, 2, 3].map(|first| has(&mut recent, first)), [true; 3]);
    assert_eq!([4, 5].map(|first| has(&mut recent, first)), [false; 2], "four do not fit with what they need beside");
    recent.keep(began, 1, &id, (6..=8).map(large).collect());
    let later = began + ms(RECENT_MS_MAX);
    recent.keep(later, 2, &id, vec![large(1)]);
    recent.keep(later + ms(1), 2, &id, vec![large(2)]);
    assert!(!has(&mut recent, 6), "it was let go of");
    let record = StreamRecord { no: 2, ..StreamRecord::default() };
    assert!(recent.take(&wanted(&record, 1, 1, 9)).is_none(), "there was no room");
    assert!(recent.take(&wanted(&record, 2, 1, 9)).is_some());
}

#[test]
fn nothing_is_kept_while_there_is_nobody_to_send_it_to() {
    let mut world = World::new();
    world.publish(0, &[vec![1]]);
    world.writer.feed.connected(false);
    assert!(world.writer.feed.holds_nothing_of(1), "what was there is let go of");
    world.publish(0, &[vec![1]]);
    assert!(world.writer.feed.holds_nothing_of(1));
    world.writer.feed.connected(true);
    world.publish(0, &[vec![1]]);
    assert!(!world.writer.feed.holds_nothing_of(1));
}
