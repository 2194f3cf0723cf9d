//! From the engine's messages to the payloads of WebSocket messages.
//!
//! Always true: messages keep their order; `v1` and `v2` get one message per payload, `v3` as many as were ready
//! together and fit under the size limit (SpacetimeDB, "websocket protocol v3": the payload is a plain sequence). Compression
//! is the engine's: it decides by size, and puts the tag before the payload.

use std::collections::VecDeque;

use bytes::Bytes;
use spacetimedb::client::messages::{
    InUseSerializeBuffer, SerializeBuffer, SwitchedServerMessage, ToProtocol, serialize, serialize_v3,
};
use spacetimedb::client::{ClientConfig, DataMessage, OutboundMessage, WsVersion};
use spacetimedb::subscription::row_list_builder_pool::BsatnRowListBuilderPool;
use spacetimedb::util::spawn_rayon;
use spacetimedb_client_api_messages::websocket::v2::ServerMessage;
use spacetimedb_lib::bsatn;

use super::limits::{BUFFER_KEPT_BYTES, OFFLOAD_BYTES};

/// `v1` does not know the size of a message before it is encoded; it offloads by rows instead.
const OFFLOAD_ROWS_V1: usize = 1024;

/// Encodes the messages of one connection.
pub(super) struct Encoder {
    config: ClientConfig,
    pool: BsatnRowListBuilderPool,
    payload_bytes_target: usize,
    /// Kept from the last payload.
    spare: Option<SerializeBuffer>,
}

/// One payload, and the buffer it lives in.
pub(super) struct Encoded {
    /// What the client receives.
    pub(super) payload: DataMessage,
    buffer: Option<InUseSerializeBuffer>,
}

impl Encoder {
    /// An encoder for a client that negotiated `config`.
    pub(super) fn new(config: ClientConfig, pool: BsatnRowListBuilderPool, payload_bytes_target: usize) -> Self {
        Self { config, pool, payload_bytes_target, spare: None }
    }

    /// Encodes the next payload from the front of `batch`. `None` when `batch` is empty.
    pub(super) async fn next(&mut self, batch: &mut VecDeque<OutboundMessage>) -> Option<Encoded> {
        loop {
            return match batch.pop_front()? {
                OutboundMessage::V1(message) if self.config.version == WsVersion::V1 => {
                    let large = message.num_rows().is_some_and(|rows| rows > OFFLOAD_ROWS_V1);
                    Some(self.v1(message, large).await)
                }
                OutboundMessage::V2(first) if self.config.version != WsVersion::V1 => {
                    let (messages, bytes) = self.together(first, batch);
                    Some(self.v2(messages, bytes).await)
                }
                // The engine builds messages for the version the connection negotiated, so this does not happen; a
                // client could not read such a message.
                other => {
                    tracing::error!(version = ?self.config.version, "dropped a message of another protocol: {other:?}");
                    continue;
                }
            };
        }
    }

    /// Encodes a `v1` message.
    pub(super) async fn v1<M>(&mut self, message: M, large: bool) -> Encoded
    where
        M: ToProtocol<Encoded = SwitchedServerMessage> + Send + 'static,
    {
        let (config, pool, buffer) = (self.config, self.pool.clone(), self.buffer());
        let encode = move || serialize(&pool, buffer, message, config);
        let (buffer, payload) = if large { spawn_rayon(encode).await } else { encode() };
        Encoded { payload, buffer: (!large).then_some(buffer) }
    }

    async fn v2(&mut self, messages: Vec<ServerMessage>, bytes: usize) -> Encoded {
        let (compression, pool, buffer) = (self.config.compression, self.pool.clone(), self.buffer());
        // A sequence of one is exactly the `v2` payload.
        let encode = move || serialize_v3(&pool, buffer, messages, compression);
        let (buffer, payload) = if bytes >= OFFLOAD_BYTES { spawn_rayon(encode).await } else { encode() };
        Encoded { payload: payload.into(), buffer: (bytes <= BUFFER_KEPT_BYTES).then_some(buffer) }
    }

    /// `first` and the messages after it that travel in the same payload, with their size in bytes.
    fn together(&self, first: ServerMessage, batch: &mut VecDeque<OutboundMessage>) -> (Vec<ServerMessage>, usize) {
        let mut bytes = encoded_bytes(&first);
        let mut messages = vec![first];
        if self.config.version == WsVersion::V3 {
            while let Some(OutboundMessage::V2(next)) = batch.front() {
                let Some(sum) = fits(bytes, encoded_bytes(next), self.payload_bytes_target) else { break };
                bytes = sum;
                if let Some(OutboundMessage::V2(next)) = batch.pop_front() {
                    messages.push(next);
                }
            }
        }
        (messages, bytes)
    }

    fn buffer(&mut self) -> SerializeBuffer {
        self.spare.take().unwrap_or_else(|| SerializeBuffer::new(self.config))
    }

    /// Takes back the buffer of a payload that was sent. Large ones are let go, so that one long answer does not make a
    /// session large for life.
    pub(super) fn recycle(&mut self, buffer: Option<InUseSerializeBuffer>) {
        self.spare = buffer.and_then(InUseSerializeBuffer::try_reclaim);
    }
}

impl Encoded {
    /// The bytes to send, whether they are text, and the buffer to give back to [`Encoder::recycle`] afterwards.
    pub(super) fn into_parts(self) -> (Bytes, bool, Option<InUseSerializeBuffer>) {
        let (bytes, is_text) = match self.payload {
            DataMessage::Text(text) => (text.into_bytes(), true),
            DataMessage::Binary(bytes) => (bytes, false),
        };
        (bytes, is_text, self.buffer)
    }
}

fn encoded_bytes(message: &ServerMessage) -> usize {
    bsatn::to_len(message).expect("a server message has an encoding")
}

/// The size of a payload of `bytes` with `more` added, or `None` if that is above `target`.
fn fits(bytes: usize, more: usize, target: usize) -> Option<usize> {
    bytes.checked_add(more).filter(|sum| *sum <= target)
}

#[cfg(test)]
mod tests {
    use spacetimedb::client::Protocol;
    use spacetimedb_client_api_messages::websocket::common::{Compression, QuerySetId};
    use spacetimedb_client_api_messages::websocket::v2::SubscriptionError;

    use super::*;

    fn encoder(version: WsVersion, payload_bytes_target: usize) -> Encoder {
        let config = ClientConfig {
            protocol: Protocol::Binary,
            version,
            compression: Compression::None,
            tx_update_full: true,
            confirmed_reads: false,
        };
        Encoder::new(config, BsatnRowListBuilderPool::new(), payload_bytes_target)
    }

    fn message(n: u32) -> OutboundMessage {
        let error = SubscriptionError { request_id: Some(n), query_set_id: QuerySetId::new(n), error: "x".into() };
        OutboundMessage::V2(ServerMessage::SubscriptionError(error))
    }

    async fn payloads(mut encoder: Encoder, messages: u32) -> Vec<Vec<u32>> {
        let mut batch: VecDeque<_> = (0..messages).map(message).collect();
        let mut all = Vec::new();
        while let Some(encoded) = encoder.next(&mut batch).await {
            let (bytes, is_text, buffer) = encoded.into_parts();
            assert!(!is_text);
            assert_eq!(bytes[0], 0, "the tag of an uncompressed payload");
            let mut rest = &bytes[1..];
            let mut ids = Vec::new();
            while !rest.is_empty() {
                match bsatn::from_reader::<ServerMessage>(&mut rest).unwrap() {
                    ServerMessage::SubscriptionError(error) => ids.push(error.query_set_id.id),
                    _ => panic!("another message"),
                }
            }
            all.push(ids);
            drop(bytes);
            encoder.recycle(buffer);
        }
        all
    }

    #[tokio::test]
    async fn v2_gets_one_message_per_payload() {
        assert_eq!(payloads(encoder(WsVersion::V2, 1 << 20), 3).await, [[0], [1], [2]]);
    }

    #[tokio::test]
    async fn v3_gets_what_is_ready_in_one_payload() {
        assert_eq!(payloads(encoder(WsVersion::V3, 1 << 20), 3).await, [[0, 1, 2]]);
    }

    #[tokio::test]
    async fn v3_payloads_stay_under_the_target_but_a_message_above_it_still_travels() {
        let one = match message(0) {
            OutboundMessage::V2(message) => encoded_bytes(&message),
            OutboundMessage::V1(_) => unreachable!(),
        };
        assert_eq!(payloads(encoder(WsVersion::V3, 2 * one), 5).await, vec![vec![0, 1], vec![2, 3], vec![4]]);
        assert_eq!(payloads(encoder(WsVersion::V3, 1), 2).await, [[0], [1]]);
    }
}
