//! What the host decodes of what a client sends, in each of its four protocols, with the official types and in the way
//! the engine does it (`spacetimedb-core`'s `client/message_handlers*.rs`).
//!
//! The first byte chooses the protocol, the rest is the payload of one WebSocket message. What must hold: no panic, no
//! endless loop, no allocation out of proportion; and for `v2` and `v3`, what decodes is written back as the same bytes,
//! so that no request has two encodings (but for what `v2` ignores at the end of a payload).
#![no_main]

use std::borrow::Cow;

use libfuzzer_sys::fuzz_target;
use spacetimedb_client_api_messages::websocket::{v1, v2};
use spacetimedb_lib::de::serde::DeserializeWrapper;
use spacetimedb_sats::bsatn;

fuzz_target!(|data: &[u8]| {
    let Some((protocol, payload)) = data.split_first() else { return };
    match protocol % 4 {
        0 => {
            let _ = bsatn::from_slice::<v1::ClientMessage<&[u8]>>(payload);
        }
        1 => {
            let Ok(text) = std::str::from_utf8(payload) else { return };
            let _ = serde_json::from_str::<DeserializeWrapper<v1::ClientMessage<Cow<'_, str>>>>(text);
        }
        2 => {
            if let Ok(message) = bsatn::from_slice::<v2::ClientMessage>(payload) {
                // The engine ignores what stands behind the message.
                assert!(payload.starts_with(&bsatn::to_vec(&message).expect("it was decoded")));
            }
        }
        _ => v3(payload),
    }
});

/// One or more `v2` messages, back to back.
fn v3(payload: &[u8]) {
    let mut rest = payload;
    while !rest.is_empty() {
        let before = rest;
        let Ok(message) = bsatn::from_reader::<v2::ClientMessage>(&mut rest) else { return };
        let read = &before[..before.len() - rest.len()];
        assert!(!read.is_empty(), "a message of no bytes would be read for ever");
        assert_eq!(bsatn::to_vec(&message).expect("it was decoded"), read);
    }
}
