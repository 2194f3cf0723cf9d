use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::messages::{OneOffQuery, OneOffQueryResult, TransactionUpdate};

const LIMIT: usize = 1 << 20;

fn question(request_id: u32, bytes: usize) -> ClientMessage {
    ClientMessage::OneOffQuery(OneOffQuery { request_id, query_string: "x".repeat(bytes) })
}

fn answer(request_id: u32, bytes: usize) -> ServerMessage {
    ServerMessage::OneOffQueryResult(OneOffQueryResult { request_id, result: Err("x".repeat(bytes)) })
}

fn plain(messages: &[ServerMessage]) -> Vec<u8> {
    messages.iter().flat_map(|message| bsatn::to_vec(message).expect("encodes")).collect()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(vec![2], flate2::Compression::fast());
    encoder.write_all(data).expect("into memory");
    encoder.finish().expect("into memory")
}

fn brotli(data: &[u8]) -> Vec<u8> {
    let mut frame = vec![1];
    brotli::CompressorWriter::new(&mut frame, 4_096, 1, 22).write_all(data).expect("into memory");
    frame
}

fn tagged(tag: u8, data: &[u8]) -> Vec<u8> {
    [&[tag], data].concat()
}

/// What a client that asked for the frame's own compression makes of it.
fn asked(frame: &[u8], bytes_max: usize) -> Result<Vec<ServerMessage>, FrameError> {
    let compression = match frame.first() {
        Some(1) => Compression::Brotli,
        Some(2) => Compression::Gzip,
        _ => Compression::None,
    };
    Messages::of(Protocol::V3, compression, &Bytes::copy_from_slice(frame), bytes_max)?.collect()
}

#[test]
fn a_compression_that_nobody_asked_for_is_refused_before_it_is_undone() {
    let data = plain(&[answer(1, 5_000)]);
    for (frame, name, other) in
        [(brotli(&data), "brotli", Compression::Gzip), (gzip(&data), "gzip", Compression::Brotli)]
    {
        let unasked = FrameError::UnaskedCompression { compression: name };
        for compression in [Compression::None, other] {
            let refused = Messages::of(Protocol::V3, compression, &frame.clone().into(), LIMIT).map(drop);
            assert_eq!(refused, Err(unasked.clone()));
        }
    }
    // A host decides by itself what is worth it.
    for compression in [Compression::None, Compression::Gzip, Compression::Brotli] {
        let whole = Messages::of(Protocol::V3, compression, &tagged(0, &data).into(), LIMIT);
        assert_eq!(whole.expect("plain").count(), 1);
    }
}

#[test]
fn the_largest_frame_of_a_host_passes_and_a_larger_one_ends() {
    let empty = ServerMessage::TransactionUpdate(TransactionUpdate::default());
    let full = plain(&vec![empty.clone(); FRAME_MESSAGES_MAX]);
    assert_eq!(decode(Protocol::V3, &tagged(0, &full), LIMIT).map(|all| all.len()), Ok(FRAME_MESSAGES_MAX));
    let more = [full, plain(&[empty])].concat();
    let too_many = FrameError::TooMany { messages_max: FRAME_MESSAGES_MAX };
    assert_eq!(decode(Protocol::V3, &tagged(0, &more), LIMIT), Err(too_many));
}

#[test]
fn a_message_is_decoded_only_when_it_is_taken() {
    let mut data = plain(&[answer(1, 3)]);
    data.extend([0xff; 3]);
    let mut messages = Messages::of(Protocol::V3, Compression::None, &tagged(0, &data).into(), LIMIT).expect("a frame");
    assert_eq!(messages.next(), Some(Ok(answer(1, 3))));
    assert!(!messages.is_done());
    assert!(matches!(messages.next(), Some(Err(FrameError::Undecodable { .. }))));
    assert!(messages.is_done() && messages.next().is_none(), "nothing behind an error means anything");
}

#[test]
fn v2_sends_one_message_in_a_frame_and_v3_as_many_as_are_worth_it() {
    let messages = [question(1, 10), question(2, 10), question(3, COALESCED_BYTES), question(4, 10)];
    let apart = encode(Protocol::V2, &messages);
    assert_eq!(apart.len(), 4);
    let together = encode(Protocol::V3, &messages);
    assert_eq!(together.len(), 2);
    assert_eq!(together.concat(), apart.concat(), "the same bytes in the same order");
    assert!(encode(Protocol::V3, &[]).is_empty());
}

#[test]
fn every_compression_gives_the_same_messages() {
    let messages = [answer(1, 5_000), answer(2, 0)];
    let data = plain(&messages);
    for frame in [tagged(0, &data), brotli(&data), gzip(&data)] {
        assert_eq!(asked(&frame, LIMIT), Ok(messages.to_vec()));
    }
}

#[test]
fn v2_has_one_message_in_a_frame() {
    let one = plain(&[answer(1, 3)]);
    assert_eq!(decode(Protocol::V2, &tagged(0, &one), LIMIT), Ok(vec![answer(1, 3)]));
    let two = plain(&[answer(1, 3), answer(2, 3)]);
    assert_eq!(decode(Protocol::V2, &tagged(0, &two), LIMIT), Err(FrameError::Trailing { bytes: one.len() }));
}

#[test]
fn a_small_frame_cannot_fill_the_memory() {
    let bomb = vec![0; 64 << 20];
    for frame in [brotli(&bomb), gzip(&bomb)] {
        assert!(frame.len() < LIMIT, "the bomb itself is small");
        assert_eq!(asked(&frame, LIMIT), Err(FrameError::TooLarge { bytes_max: LIMIT }));
    }
    assert_eq!(decode(Protocol::V3, &tagged(0, &bomb), LIMIT), Err(FrameError::TooLarge { bytes_max: LIMIT }));
}

#[test]
fn decompression_stops_at_the_limit_instead_of_finding_out_afterwards() {
    struct Endless {
        left: usize,
    }
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let bytes = buffer.len().min(4_096);
            self.left = self.left.checked_sub(bytes).ok_or_else(|| std::io::Error::other("asked for too much"))?;
            Ok(bytes)
        }
    }
    let endless = Endless { left: 2 * LIMIT };
    assert_eq!(bounded("any", endless, LIMIT), Err(FrameError::TooLarge { bytes_max: LIMIT }));
}

#[test]
fn exactly_the_limit_is_allowed() {
    let data = plain(&[answer(1, 1_000)]);
    for frame in [tagged(0, &data), brotli(&data), gzip(&data)] {
        assert!(asked(&frame, data.len()).is_ok());
        assert!(asked(&frame, data.len() - 1).is_err());
    }
}

#[test]
fn a_damaged_frame_is_an_error_in_words() {
    let said = |frame: &[u8]| asked(frame, LIMIT).expect_err("damaged").to_string();
    assert_eq!(said(&[]), "it sent an empty frame");
    assert_eq!(said(&[3, 1, 2]), "it sent a frame with the unknown compression 3");
    assert!(said(&[0]).starts_with("it sent a message that is not of the protocol ("));
    assert!(said(&[0, 99]).starts_with("it sent a message that is not of the protocol ("));
    assert!(said(&[2, 1, 2, 3]).starts_with("it sent a damaged gzip frame ("));
    let cut = brotli(&plain(&[answer(1, 5_000)]));
    assert!(said(&cut[..cut.len() / 2]).contains("brotli"));
}

proptest! {
    #[test]
    fn whatever_arrives_decoding_ends_without_a_panic(frame in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = asked(&frame, 4_096);
    }

    #[test]
    fn a_cut_message_is_never_taken_for_a_whole_one(cut in 0usize..40) {
        let whole = plain(&[ServerMessage::TransactionUpdate(TransactionUpdate::default()), answer(1, 30)]);
        prop_assume!(cut < whole.len() && cut != 5);
        prop_assert!(decode(Protocol::V3, &tagged(0, &whole[..cut]), LIMIT).is_err());
    }
}
