//! The well-behaved client: calls a reducer again and again, and hears of what it did, while others misbehave.

use std::time::{Duration, Instant};

use muster_wire::{Connection, Incoming, Update, args};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::process::{HostProcess, soon};

/// How long the well-behaved client lets pass between two calls.
const PAUSE: Duration = Duration::from_millis(5);

/// The longest that one call and its change may take while the host is under attack. On an idle machine it takes less
/// than a millisecond; tests share two cores with the attackers and with each other.
pub(crate) const DELAY_MAX: Duration = Duration::from_secs(3);

/// What it saw.
#[derive(Debug)]
pub(crate) struct Testimony {
    /// Calls, each answered and heard of.
    pub(crate) calls: u64,
    /// The longest that one took.
    pub(crate) slowest: Duration,
    /// Half of them took at most this long.
    pub(crate) median: Duration,
}

/// A well-behaved client at work.
pub(crate) struct Witness {
    stop: oneshot::Sender<()>,
    work: JoinHandle<Testimony>,
}

impl Witness {
    /// Connects, and begins to call.
    pub(crate) async fn of(host: &HostProcess) -> Self {
        let (connection, incoming) = host.connect().await;
        connection.subscribe(&["SELECT * FROM beat"]).await.unwrap();
        let (stop, stopped) = oneshot::channel();
        Self { stop, work: tokio::spawn(work(connection, incoming, stopped)) }
    }

    /// Ends its work; it must have been served, and never kept waiting for longer than [`DELAY_MAX`].
    pub(crate) async fn testify(self) -> Testimony {
        let testimony = self.testify_within(DELAY_MAX).await;
        println!("witness: {testimony:?}");
        testimony
    }

    /// The same where something is allowed to delay it for longer.
    pub(crate) async fn testify_within(self, delay_max: Duration) -> Testimony {
        self.stop.send(()).expect("the witness is still there");
        let testimony = soon("the witness's last call", self.work).await.expect("the witness was served");
        assert!(testimony.calls > 0, "{testimony:?}");
        assert!(testimony.slowest <= delay_max, "{testimony:?}");
        testimony
    }
}

async fn work(connection: Connection, mut incoming: Incoming, mut stopped: oneshot::Receiver<()>) -> Testimony {
    let mut times = Vec::new();
    while stopped.try_recv().is_err() {
        let begun = Instant::now();
        let number = times.len() as u64;
        let reply = connection.call_reducer("beat", args(&(number,))).await.expect("the witness is answered");
        assert!(reply.outcome.is_ok(), "{reply:?}");
        let update = soon("the change", incoming.next()).await;
        let Some(Update::Transaction(change)) = update else { panic!("{update:?}") };
        assert_eq!(change.query_sets[0].tables[0].inserted.decode::<u64>().unwrap(), [number]);
        times.push(begun.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(connection.closed_reason(), None);
    times.sort();
    Testimony {
        calls: times.len() as u64,
        slowest: times.last().copied().unwrap_or_default(),
        median: times.get(times.len() / 2).copied().unwrap_or_default(),
    }
}
