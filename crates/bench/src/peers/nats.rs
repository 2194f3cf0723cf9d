//! NATS JetStream, as its documentation drives it: one stream in file storage with a subject for each of ours; publishing
//! without waiting, a window of acknowledgements behind; one durable pull consumer, which acknowledges the last message of a
//! committed batch and with it all before (`AckPolicy::All`).
//!
//! What always holds: the server acknowledges what it has written to its file and not synced. Version 2.9 syncs every two
//! minutes and has no setting for it; newer ones have (`sync_interval: always`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::context::PublishAckFuture;
use async_nats::jetstream::{self, Context, Message, stream};
use futures::StreamExt;

use super::outbox::Batch;
use super::store::{Progress, Run, Store, Taken};
use super::{Outcome, text};
use crate::limits::{PATIENCE, PEERS_READ_EVENTS};

/// The name of JetStream's stream.
const STREAM: &str = "events";

/// Messages asked for at a time, and given to the store at a time, at the most.
const PULL: usize = PEERS_READ_EVENTS;

async fn context(address: &str) -> Outcome<Context> {
    let client = async_nats::connect(format!("nats://{address}")).await.map_err(text)?;
    let mut context = jetstream::new(client);
    // Many consumers may be made at once, on a machine that has other things to do.
    context.set_timeout(PATIENCE);
    Ok(context)
}

async fn events(context: &Context, prefix: &str) -> Outcome<stream::Stream> {
    let config = stream::Config {
        name: STREAM.into(),
        subjects: vec![format!("{prefix}.>")],
        storage: stream::StorageType::File,
        num_replicas: 1,
        ..stream::Config::default()
    };
    context.get_or_create_stream(config).await.map_err(text)
}

/// Makes the stream, before many ask for it at once: the server lets two who make the same one stumble over each other.
pub(crate) async fn prepare(address: &str, prefix: &str) -> Outcome {
    events(&context(address).await?, prefix).await.map(drop)
}

/// Who sends.
#[derive(Clone)]
pub(crate) struct Sender(Context);

impl Sender {
    pub(crate) async fn connect(address: &str, prefix: &str) -> Outcome<Sender> {
        let context = context(address).await?;
        events(&context, prefix).await?;
        Ok(Sender(context))
    }

    /// Publishes in order; what is awaited later is each acknowledgement.
    pub(crate) async fn publish(&self, batches: Vec<Batch>) -> Outcome<Vec<PublishAckFuture>> {
        let mut acks = Vec::new();
        for Batch { stream, payloads } in batches {
            for payload in payloads {
                acks.push(self.0.publish(stream.to_string(), payload.into()).await.map_err(text)?);
            }
        }
        Ok(acks)
    }
}

/// Waits for all acknowledgements.
pub(crate) async fn acknowledged(acks: Vec<PublishAckFuture>) -> Outcome {
    for ack in acks {
        ack.await.map_err(text)?;
    }
    Ok(())
}

/// Follows; returns how it gets on.
pub(crate) async fn follow(
    address: &str,
    store: &Path,
    name: &str,
    prefix: &str,
    streams: &[String],
) -> Outcome<Arc<Progress>> {
    let context = context(address).await?;
    let config = pull::Config {
        durable_name: Some(name.into()),
        deliver_policy: DeliverPolicy::All,
        ack_policy: AckPolicy::All,
        ack_wait: Duration::from_secs(60),
        max_ack_pending: 20_000,
        ..pull::Config::default()
    };
    let consumer: PullConsumer =
        events(&context, prefix).await?.get_or_create_consumer(name, config).await.map_err(text)?;
    let messages = consumer.stream().max_messages_per_batch(PULL).messages().await.map_err(text)?;
    let store = Store::<Message>::open(store)?;
    let (inbox, mut acks, progress, _thread) = store.split();
    let names: BTreeMap<String, Arc<str>> =
        streams.iter().map(|name| (name.clone(), Arc::from(name.as_str()))).collect();
    tokio::spawn(async move {
        let mut ready = messages.ready_chunks(PULL);
        while let Some(some) = ready.next().await {
            let taken = match taken(some, &names) {
                Ok(taken) => taken,
                Err(error) => return eprintln!("nats: {error}"),
            };
            if inbox.send(taken).await.is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        while let Some(mut done) = acks.recv().await {
            let Some(last) = done.pop() else { continue };
            if let Err(error) = last.ack().await {
                return eprintln!("nats: {error}");
            }
        }
    });
    Ok(progress)
}

fn taken<E: std::fmt::Display>(
    messages: Vec<Result<Message, E>>,
    names: &BTreeMap<String, Arc<str>>,
) -> Outcome<Taken<Message>> {
    let mut runs: Vec<Run> = Vec::new();
    let mut last = None;
    for message in messages {
        let message = message.map_err(text)?;
        let name = names.get(message.subject.as_str()).ok_or("a subject that nobody asked for")?;
        match runs.iter_mut().find(|run| Arc::ptr_eq(&run.stream, name)) {
            Some(run) => run.payloads.push(message.payload.to_vec()),
            None => {
                let token = String::new();
                runs.push(Run { stream: name.clone(), payloads: vec![message.payload.to_vec()], token });
            }
        }
        last = Some(message);
    }
    let ack = last.ok_or("no message")?;
    let token = ack.info().map_err(text)?.stream_sequence.to_string();
    runs.iter_mut().for_each(|run| run.token.clone_from(&token));
    Ok(Taken { runs, ack })
}
