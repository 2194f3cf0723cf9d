//! Round trips, frozen bytes, and bytes that nobody should send.

use super::*;
use proptest::prelude::*;

fn event(n: u64) -> StoredEvent {
    StoredEvent {
        kind: "k".into(),
        payload: format!("{{\"n\":{n}}}"),
        hash: wire_hash(&[7; 32]),
        at: Timestamp::from_micros_since_unix_epoch(5),
        producer: 2,
        number: n,
    }
}

fn page() -> Page {
    Page { epoch: 9, floor: 3, head: 10, first: 4, mark: 8, events: (4..=6).map(event).collect() }
}

fn refusal<T: AnswerValue + std::fmt::Debug>(value: T) -> AnswerError {
    Answer::<T>::from_bytes(&Answer::Ok(value).to_bytes()).expect_err("refused")
}

#[test]
fn every_answer_comes_back_as_it_went() {
    fn check<T: AnswerValue + Clone + std::fmt::Debug + PartialEq>(value: T) {
        let stale = Stale { reason: "epoch_changed".into(), epoch: 1, floor: 2, head: 3, snapshot_seq: 0 };
        for answer in [Answer::Ok(value), Answer::Stale(stale), Answer::Refused("no".into())] {
            assert_eq!(Answer::from_bytes(&answer.to_bytes()), Ok(answer.clone()));
        }
    }
    check(page());
    check(Page { events: Vec::new(), first: 11, ..page() });
    let stream = StreamInfo { no: 1, id: "a".into(), epoch: 1, floor: 1, head: 0, snapshot_seq: 0 };
    check(StreamList { streams: vec![stream], more: true, resume_after: 1 });
    let at = Timestamp::UNIX_EPOCH;
    check(Some(Snapshot { epoch: 1, seq: 2, payload: "{}".into(), hash: wire_hash(&[1; 32]), mark: 3, at }));
    check(None::<Snapshot>);
    check(vec![ProducerState::without_event(0, 0, 0)]);
    check(vec![ProducerState { epoch: 1, number: 2, head: 3, hash: wire_hash(&[4; 32]), at }]);
}

#[test]
fn a_mark_is_what_other_languages_compute() {
    let at = Timestamp::from_micros_since_unix_epoch(1_000);
    // FNV-1a of the 64 bytes, computed apart from this code.
    assert_eq!(mark(0, wire_hash(&[0; 32]), Timestamp::UNIX_EPOCH, 1, 1), 0x0f54_9d69_65a8_2a05);
    assert_eq!(mark(0x0f54_9d69_65a8_2a05, wire_hash(&[7; 32]), at, 2, 3), 0xa42d_bba1_dd19_1dc2);
}

#[test]
fn a_mark_stands_for_everything_before_it() {
    let marks = |events: [(u8, i64, u64, u64); 3]| {
        events.into_iter().fold(0, |before, (hash, at, producer, number)| {
            mark(before, wire_hash(&[hash; 32]), Timestamp::from_micros_since_unix_epoch(at), producer, number)
        })
    };
    let [first, last] = [(1, 1, 1, 1), (3, 3, 1, 2)];
    let history = marks([first, (2, 2, 2, 1), last]);
    // The last event is the same in each, and something before it is not.
    for other in [(9, 2, 2, 1), (2, 9, 2, 1), (2, 2, 9, 1), (2, 2, 2, 9)] {
        assert_ne!(history, marks([first, other, last]), "{other:?}");
    }
    assert_ne!(history, marks([(2, 2, 2, 1), first, last]), "another order");
}

#[test]
fn the_bytes_of_a_page_are_frozen() {
    let mut expected = vec![0];
    for number in [1u64, 2, 3, 2, 6] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend([1, 0, 0, 0]);
    for number in [2u64, 5] {
        expected.extend(number.to_le_bytes());
    }
    expected.extend([48, 0, 0, 0]);
    expected.extend([7; 32]);
    expected.extend(5u64.to_le_bytes());
    expected.extend([7, 0, 0, 0, 1, 0, 0, 0]);
    expected.extend(b"\x02\0\0\0k\n\x08\0\0\0{\"n\":5}\n");
    let page = Page { epoch: 1, floor: 2, head: 3, first: 2, mark: 6, events: vec![event(5)] };
    assert_eq!(Answer::Ok(page.clone()).to_bytes(), expected);
    assert_eq!(Answer::from_bytes(&expected), Ok(Answer::Ok(page)));
}

#[test]
fn events_of_one_producer_that_follow_each_other_are_one_run() {
    let by = |producer, number| StoredEvent { producer, number, ..event(number) };
    let events = vec![by(1, 1), by(1, 2), by(2, 3), by(2, 5), by(1, 6), by(1, u64::MAX)];
    let page = Page { epoch: 1, floor: 1, head: 6, first: 1, mark: 0, events };
    let bytes = Answer::Ok(page.clone()).to_bytes();
    let mut of_page = &bytes[1..];
    let borrowed: PageRef<'_> = bsatn::from_reader(&mut of_page).expect("a page");
    let runs: Vec<_> = borrowed.runs.iter().map(|run| (run.producer, run.number, run.packed().count())).collect();
    assert_eq!(runs, [(1, 1, 2), (2, 3, 1), (2, 5, 1), (1, 6, 1), (1, u64::MAX, 1)]);
    let unpacked = Answer::<Page>::from_bytes(&bytes);
    // The highest number has none after it, and no producer ever gives it out.
    assert!(matches!(unpacked, Err(AnswerError::Malformed(_))), "{unpacked:?}");
    let page = Page { events: page.events[..5].to_vec(), ..page };
    assert_eq!(Answer::from_bytes(&Answer::Ok(page.clone()).to_bytes()), Ok(Answer::Ok(page)));
}

#[test]
fn a_run_that_is_not_what_its_heads_say_is_refused() {
    let page = Page { epoch: 1, floor: 1, head: 2, first: 1, mark: 0, events: vec![event(1), event(2)] };
    let bytes = Answer::Ok(page).to_bytes();
    let mut of_page = &bytes[1..];
    let good: PageRef<'_> = bsatn::from_reader(&mut of_page).expect("a page");
    let run = good.runs[0];
    for wrong in [
        RunRef { heads: &run.heads[1..], ..run },
        RunRef { heads: &run.heads[..48], ..run },
        RunRef { heads: &[], kinds: "", payloads: "", ..run },
        RunRef { kinds: &run.kinds[1..], ..run },
        RunRef { payloads: &run.payloads[..9], ..run },
        RunRef { number: u64::MAX - 1, ..run },
        RunRef { number: 0, ..run },
    ] {
        let bytes = Answer::Ok(PageRef { runs: vec![wrong], ..good.clone() }).to_bytes();
        let said = Answer::<Page>::from_bytes(&bytes).expect_err("refused").to_string();
        assert!(said.contains("not what its heads say"), "{wrong:?}: {said}");
    }
}

#[test]
fn a_hash_reads_as_its_digest() {
    let bytes: [u8; 32] = std::array::from_fn(|index| index as u8);
    assert_eq!(
        format!("{:064x}", wire_hash(&bytes)),
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    );
    assert_eq!(digest(wire_hash(&bytes)), bytes);
}

#[test]
fn a_page_that_contradicts_itself_is_refused() {
    let said = |page| refusal::<Page>(page).to_string();
    assert!(said(Page { epoch: 0, ..page() }).contains("without an epoch"));
    assert!(said(Page { floor: 12, ..page() }).contains("floor past its head"));
    assert!(said(Page { floor: 0, ..page() }).contains("floor past its head"));
    assert!(said(Page { first: 9, ..page() }).contains("past its own head"));
    assert!(said(Page { first: u64::MAX, ..page() }).contains("past the last number"));
    assert!(said(Page { first: 2, ..page() }).contains("below its own floor"));
    let crowd = (1..=4_001).map(event).collect();
    assert!(said(Page { epoch: 1, floor: 1, head: 5_000, first: 1, mark: 0, events: crowd }).contains("more events"));
    let large = StoredEvent { payload: "x".repeat(PAGE_BYTES_MAX), ..event(1) };
    assert!(said(Page { epoch: 1, floor: 1, head: 1, first: 1, mark: 0, events: vec![large] }).contains("more events"));
}

#[test]
fn a_list_that_contradicts_itself_is_refused() {
    let stream = |no| StreamInfo { no, id: "a".into(), epoch: 1, floor: 1, head: 0, snapshot_seq: 0 };
    let list = |streams, resume_after| StreamList { streams, more: false, resume_after };
    let said = |list| refusal::<StreamList>(list).to_string();
    assert!(said(list(vec![stream(2), stream(2)], 2)).contains("out of order"));
    assert!(said(list(vec![stream(2)], 1)).contains("before its end"));
    assert!(said(list((1..=1_001).map(stream).collect(), 1_001)).contains("more streams"));
    assert!(said(list(vec![StreamInfo { floor: 5, ..stream(1) }], 1)).contains("floor past its head"));
}

#[test]
fn bytes_that_claim_more_than_they_have_are_refused_without_taking_memory() {
    let mut bytes = Answer::Ok(Page { events: Vec::new(), first: 11, ..page() }).to_bytes();
    let count = bytes.len() - 4;
    bytes[count..].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(Answer::<Page>::from_bytes(&bytes), Err(AnswerError::Malformed(_))));
    let long = vec![0; ANSWER_BYTES_MAX + 1];
    assert_eq!(Answer::<Page>::from_bytes(&long), Err(AnswerError::TooLong { bytes: ANSWER_BYTES_MAX + 1 }));
}

#[test]
fn bytes_behind_the_end_are_refused() {
    let mut bytes = Answer::Ok(page()).to_bytes();
    bytes.push(0);
    assert!(Answer::<Page>::from_bytes(&bytes).unwrap_err().to_string().contains("1 bytes behind"));
}

proptest! {
    #[test]
    fn no_run_panics(
        heads in proptest::collection::vec(any::<u8>(), 0..150), lengths in proptest::collection::vec(0u32..9, 4),
        kinds in "[a\\n\u{e4}]{0,12}", payloads in "[a\\n\u{e4}]{0,12}", number in prop_oneof![0u64..3, u64::MAX - 3..=u64::MAX]
    ) {
        let mut heads = heads;
        // Lengths that are small are nearly right now and then.
        for (place, length) in [40, 44, 88, 92].into_iter().zip(lengths) {
            if let Some(bytes) = heads.get_mut(place..place + 4) {
                bytes.copy_from_slice(&length.to_le_bytes());
            }
        }
        let run = RunRef { producer: 1, number, heads: &heads, kinds: &kinds, payloads: &payloads };
        let page = PageRef { epoch: 1, floor: 1, head: 9, first: 1, mark: 0, runs: vec![run] };
        if let Ok(Answer::Ok(page)) = Answer::<Page>::from_bytes(&Answer::Ok(page).to_bytes()) {
            prop_assert_eq!(page.events.len(), heads.len() / 48);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Answer::<Page>::from_bytes(&bytes);
        let _ = Answer::<StreamList>::from_bytes(&bytes);
        let _ = Answer::<Option<Snapshot>>::from_bytes(&bytes);
        let _ = Answer::<Vec<ProducerState>>::from_bytes(&bytes);
    }

    #[test]
    fn a_page_cut_anywhere_or_with_any_byte_changed_is_refused_or_consistent(cut in 0usize..200, at in 0usize..200, to: u8) {
        let whole = Answer::Ok(page()).to_bytes();
        let cut = cut.min(whole.len() - 1);
        prop_assert!(Answer::<Page>::from_bytes(&whole[..cut]).is_err());
        let mut changed = whole;
        let at = at.min(changed.len() - 1);
        changed[at] = to;
        if let Ok(Answer::Ok(page)) = Answer::<Page>::from_bytes(&changed) {
            prop_assert!(page.check().is_ok());
        }
    }
}
