//! The proxy: accepts connections, pairs each with one to the upstream, and cuts them when told to.

use crate::limits::CONNECT_WAIT;
use crate::pipe;
use crate::weather::Weather;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What passed through a proxy since it was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// Connections accepted, those that were refused by the weather included.
    pub accepted: u64,
    /// Connections open now.
    pub open: usize,
    /// Bytes from clients to the upstream.
    pub bytes_up: u64,
    /// Bytes from the upstream to clients.
    pub bytes_down: u64,
}

#[derive(Default)]
struct Counters {
    accepted: AtomicU64,
    open: AtomicUsize,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

/// A TCP proxy on a port of its own, at 127.0.0.1. Dropping it cuts every connection and stops listening.
pub struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
    upstream: watch::Sender<SocketAddr>,
    /// Counts up at every cut; connections of an earlier generation end.
    generation: watch::Sender<u64>,
    counters: Arc<Counters>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and passes what arrives there to `upstream`, which need not be there yet.
    ///
    /// # Errors
    /// If no port can be had.
    pub async fn start(upstream: SocketAddr) -> io::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (weather, _) = watch::channel(Weather::CLEAR);
        let (upstream, _) = watch::channel(upstream);
        let (generation, _) = watch::channel(0);
        let counters = Arc::new(Counters::default());
        let accepting = tokio::spawn(accept(
            listener,
            weather.clone(),
            upstream.clone(),
            generation.clone(),
            Arc::clone(&counters),
        ));
        Ok(Proxy { address, weather, upstream, generation, counters, accepting })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// New connections go to `upstream`; those that exist stay where they are.
    pub fn set_upstream(&self, upstream: SocketAddr) {
        self.upstream.send_replace(upstream);
    }

    /// Changes the weather for all connections, present and coming.
    pub fn set_weather(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// The weather as it is.
    pub fn weather(&self) -> Weather {
        self.weather.borrow().clone()
    }

    /// Half-opens every connection: nothing passes and nothing is closed, until [`Proxy::clear`].
    pub fn freeze(&self) {
        self.weather.send_modify(|weather| weather.frozen = true);
    }

    /// Resets new connections as if nobody listened, until [`Proxy::clear`]. Those that exist stay.
    pub fn refuse(&self) {
        self.weather.send_modify(|weather| weather.refusing = true);
    }

    /// Lets everything pass again, at once and at full speed.
    pub fn clear(&self) {
        self.weather.send_replace(Weather::CLEAR);
    }

    /// Delays each byte by `delay` in each direction.
    pub fn delay(&self, delay: Duration) {
        self.weather.send_modify(|weather| weather.delay = delay);
    }

    /// Resets every connection that exists (TCP RST, at both ends), also frozen ones. What was on its way is lost.
    pub fn cut(&self) {
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// What has passed so far.
    pub fn traffic(&self) -> Traffic {
        Traffic {
            accepted: self.counters.accepted.load(Ordering::Relaxed),
            open: self.counters.open.load(Ordering::Relaxed),
            bytes_up: self.counters.up.load(Ordering::Relaxed),
            bytes_down: self.counters.down.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(
    listener: TcpListener,
    weather: watch::Sender<Weather>,
    upstream: watch::Sender<SocketAddr>,
    generation: watch::Sender<u64>,
    counters: Arc<Counters>,
) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // Out of descriptors, or the client is gone already: the next one may do better.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        counters.accepted.fetch_add(1, Ordering::Relaxed);
        if weather.borrow().refusing {
            reset(&client);
            continue;
        }
        let (weather, upstream) = (weather.subscribe(), *upstream.borrow());
        // Subscribed here, not in the task: a cut that comes before the task's first step is meant for this one too.
        let mut cuts = generation.subscribe();
        cuts.borrow_and_update();
        let counters = Arc::clone(&counters);
        tokio::spawn(async move {
            counters.open.fetch_add(1, Ordering::Relaxed);
            serve(client, upstream, weather, cuts, &counters).await;
            counters.open.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

async fn serve(
    client: TcpStream,
    upstream: SocketAddr,
    weather: watch::Receiver<Weather>,
    mut cuts: watch::Receiver<u64>,
    counters: &Counters,
) {
    let Ok(Ok(server)) = timeout(CONNECT_WAIT, TcpStream::connect(upstream)).await else {
        reset(&client);
        return;
    };
    for socket in [&client, &server] {
        let _ = socket.set_nodelay(true);
    }
    let ends = [socket2::SockRef::from(&client).try_clone(), socket2::SockRef::from(&server).try_clone()];
    // Not `into_split`: its write half says goodbye when it is dropped, and a broken network does not.
    let (client_in, client_out) = tokio::io::split(client);
    let (server_in, server_out) = tokio::io::split(server);
    let up = pipe::carry(client_in, server_out, weather.clone(), Arc::clone(&counters.up));
    let down = pipe::carry(server_in, client_out, weather, Arc::clone(&counters.down));
    // Whichever way it ends other than in order, both ends get a reset, as they would from a broken network.
    let orderly = tokio::select! {
        ended = async { tokio::try_join!(up, down) } => ended.is_ok(),
        _ = cuts.changed() => false,
    };
    if !orderly {
        for end in ends.into_iter().flatten() {
            let _ = end.set_linger(Some(Duration::ZERO));
        }
    }
}

/// Closes a connection with a reset instead of an orderly end.
fn reset(socket: &TcpStream) {
    let _ = socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO));
}
