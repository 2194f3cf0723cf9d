//! One session: the socket, the engine's connection and the clock, brought to the [`Lifecycle`] that decides.
//!
//! Always true: everything a session does happens inside the one future of [`run`]; dropping it stops all of it at once.
//! The socket is read whatever else goes on, so that pings and Close frames are seen while a request runs or a write waits.

use std::pin::Pin;

use futures::StreamExt;
use futures::stream::SplitStream;
use spacetimedb::client::{ClientConnection, ClientConnectionReceiver};
use spacetimedb::worker_metrics::WORKER_METRICS;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};
use tokio_util::sync::CancellationToken;

use super::close::{CloseReason, Ending};
use super::encode::Encoder;
use super::handshake::Socket;
use super::inbound::{self, Handled, Intake, QueueFull};
use super::limits::{REPLY_QUEUE_MESSAGES, URGENT_QUEUE_FRAMES, WebSocketLimits};
use super::liveness::{Action, Event, Lifecycle};
use super::outbound::{Urgent, Writer, Written};

/// Runs the session of an accepted client to its end, and says how it ended.
pub(super) async fn run(
    client: ClientConnection,
    receiver: ClientConnectionReceiver,
    socket: Socket,
    limits: WebSocketLimits,
    shutdown: CancellationToken,
) -> Ending {
    let mut session = Session::new(&client, receiver, socket, &limits);
    let mut module = client.clone();
    let mut module_exited = std::pin::pin!(async move { module.watch_module_host().await });
    let mut lifecycle = Lifecycle::new(&limits, Instant::now());
    loop {
        let closing = lifecycle.is_closing();
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled(), if !closing => Event::CloseWanted(CloseReason::Shutdown),
            _ = &mut module_exited, if !closing => Event::CloseWanted(CloseReason::ModuleExited),
            written = settled(&mut session.writer) => session.written(written),
            handled = settled(&mut session.handler) => session.handled(handled),
            message = session.input.next(), if !session.input_ended => session.received(message),
            // Last, so that after a pause (a suspended machine) what has arrived counts before the clock does.
            () = sleep_until(lifecycle.deadline()) => Event::Elapsed,
        };
        match lifecycle.on(event, Instant::now()) {
            Action::Nothing => {}
            Action::Ping => session.ping(),
            Action::Close(reason) => session.close(reason),
            Action::Drain => session.drain(),
            Action::End(ending) => return ending,
        }
    }
}

type Task<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The moving parts. A part that is done, or not wanted any more, is `None`.
struct Session {
    input: SplitStream<Socket>,
    input_ended: bool,
    intake: Option<Intake>,
    handler: Option<Task<Handled>>,
    writer: Option<Task<Written>>,
    urgent: mpsc::Sender<Urgent>,
    /// A place among the urgent frames kept free for the Close frame, so that asking to close never fails or waits.
    close: Option<mpsc::OwnedPermit<Urgent>>,
}

impl Session {
    fn new(
        client: &ClientConnection,
        receiver: ClientConnectionReceiver,
        socket: Socket,
        limits: &WebSocketLimits,
    ) -> Self {
        let (sink, input) = socket.split();
        let (urgent, urgent_rx) = mpsc::channel(URGENT_QUEUE_FRAMES);
        let (replies, replies_rx) = mpsc::channel(REPLY_QUEUE_MESSAGES);
        let (intake, requests) = inbound::queue(limits);
        let module = client.module();
        let pool = module.subscriptions().bsatn_rlb_pool.clone();
        let waiting = WORKER_METRICS.instance_queue_length.with_label_values(&module.info().database_identity);
        let engine_queue = move || waiting.get();
        let writer = Writer {
            sink,
            encoder: Encoder::new(client.config, pool, limits.outgoing_payload_bytes),
            urgent: urgent_rx,
            replies: replies_rx,
            stall_timeout: limits.write_stall_timeout,
        };
        let close = urgent.clone().try_reserve_owned().expect("a new queue has a free place");
        Self {
            input,
            input_ended: false,
            intake: Some(intake),
            handler: Some(Box::pin(inbound::handle(client.clone(), requests, replies, engine_queue))),
            writer: Some(Box::pin(writer.run(receiver))),
            urgent,
            close: Some(close),
        }
    }

    fn received(&mut self, message: Option<Result<Message, SocketError>>) -> Event {
        let data = match message {
            Some(Ok(Message::Binary(bytes))) => bytes.into(),
            Some(Ok(Message::Text(text))) => inbound::text(text),
            Some(Ok(Message::Pong(_))) => return Event::Pong,
            Some(Ok(Message::Close(_))) => return Event::PeerClosed,
            Some(Ok(Message::Ping(_) | Message::Frame(_))) => return Event::Heard,
            Some(Err(error)) => {
                tracing::debug!("reading ended: {error}");
                return CloseReason::from_socket_error(&error).map_or(Event::InputEnded, Event::CloseWanted);
            }
            None => {
                self.input_ended = true;
                return Event::InputEnded;
            }
        };
        match self.intake.as_ref().map(|intake| intake.push(data)) {
            Some(Err(QueueFull)) => Event::CloseWanted(CloseReason::TooManyRequests),
            // What comes after the host has decided to close is not read.
            Some(Ok(())) | None => Event::Heard,
        }
    }

    fn handled(&self, handled: Handled) -> Event {
        match handled {
            Handled::All => Event::RequestsHandled,
            Handled::Unreadable(message) => Event::CloseWanted(CloseReason::BadMessage(message)),
        }
    }

    fn written(&self, written: Written) -> Event {
        match written {
            Written::Close => Event::OutputEnded,
            Written::NoMoreMessages => Event::CloseWanted(CloseReason::ModuleExited),
            Written::Failed(error) => {
                tracing::debug!("writing ended: {error}");
                Event::OutputEnded
            }
        }
    }

    fn ping(&self) {
        // A full queue means that pings wait already: the client does not read.
        let _ = self.urgent.try_send(Urgent::Ping);
    }

    fn close(&mut self, reason: CloseReason) {
        self.intake = None;
        self.handler = None;
        if let Some(place) = self.close.take() {
            place.send(Urgent::Close(reason));
        }
    }

    fn drain(&mut self) {
        self.intake = None;
        self.writer = None;
    }
}

/// Waits for a part to be done, and forgets it. For ever, if there is none.
async fn settled<T>(part: &mut Option<Task<T>>) -> T {
    match part {
        Some(task) => {
            let output = task.await;
            *part = None;
            output
        }
        None => std::future::pending().await,
    }
}
