//! One client of a handshake: a connection, its subscription, and the picture they give.
//!
//! What always holds: the picture is fed from the connection's own updates by one task, which ends with the connection
//! and says why; whoever waits for a state of it is woken by changes and never polls.

use std::time::{Duration, Instant};

use muster_contract::rows::{ActiveConnection, Row};
use muster_wire::{ConnectOptions, Connection, Identity, Incoming, RowError, Transaction, Update, connect};
use tokio::sync::watch;

use super::view::View;
use super::{CouldNotRun, Own};

/// What every session of a handshake follows.
const QUERY: &str = "SELECT * FROM active_connection";

/// A connected client.
pub(crate) struct Member {
    connection: Connection,
    view: watch::Receiver<View>,
    /// From the first packet to the host's greeting.
    pub(crate) connect_took: Duration,
    /// From there to the first rows.
    pub(crate) subscribe_took: Duration,
    /// From there until it saw everybody, once it did.
    pub(crate) complete_took: Option<Duration>,
    subscribed_at: Instant,
}

impl Member {
    /// Connects and follows `active_connection`. Sessions of `asker` are not counted in this member's view.
    pub(crate) async fn join(options: ConnectOptions, asker: Identity) -> Result<Member, CouldNotRun> {
        let began = Instant::now();
        let (connection, incoming) = connect(options).await?;
        let connect_took = began.elapsed();
        let subscription = connection.subscribe(&[QUERY]).await?;
        let mut view = View::new(asker);
        view.apply(&[], &subscription.rows::<ActiveConnection>(ActiveConnection::TABLE)?);
        let (sender, receiver) = watch::channel(view);
        tokio::spawn(follow(incoming, sender));
        let subscribed_at = Instant::now();
        Ok(Member {
            connection,
            view: receiver,
            connect_took,
            subscribe_took: subscribed_at - began - connect_took,
            complete_took: None,
            subscribed_at,
        })
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The picture as it is now.
    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    /// Waits until the picture is as wanted, the session is lost, or the time is up; returns it as it then is.
    pub(crate) async fn wait_for(&mut self, deadline: Instant, mut wanted: impl FnMut(&View) -> bool) -> View {
        let reached = self.view.wait_for(|view| view.lost().is_some() || wanted(view));
        // Either way the picture is read again below: a deadline is an answer too, and the caller judges what is there.
        let _ = tokio::time::timeout_at(deadline.into(), reached).await.is_ok();
        self.view()
    }

    /// Waits until this client sees `count` sessions, all of `own` among them.
    pub(crate) async fn wait_for_everybody(&mut self, deadline: Instant, count: usize, own: &Own) -> View {
        // What is cheap comes first: each client looks at each other one that comes.
        let complete = |view: &View| {
            view.count_max() >= count
                && view.count(&own.as_asker) == count
                && view.how_many_of(&own.all) == own.all.len()
        };
        let view = self.wait_for(deadline, complete).await;
        if complete(&view) {
            self.complete_took = Some(self.subscribed_at.elapsed());
        }
        view
    }
}

/// Feeds the picture until the connection ends.
async fn follow(mut incoming: Incoming, view: watch::Sender<View>) {
    let lost = loop {
        match incoming.next().await {
            Some(Update::Transaction(transaction)) => match changes(&transaction) {
                Ok((deleted, inserted)) => view.send_modify(|view| view.apply(&deleted, &inserted)),
                Err(error) => break error.to_string(),
            },
            Some(Update::SubscriptionFailed { message, .. }) => break message,
            Some(Update::Closed(reason)) => break reason.to_string(),
            None => break "the connection ended".to_owned(),
        }
    };
    view.send_modify(|view| view.lose(lost));
}

type Changes = (Vec<ActiveConnection>, Vec<ActiveConnection>);

fn changes(transaction: &Transaction) -> Result<Changes, RowError> {
    let (mut deleted, mut inserted) = Changes::default();
    let tables = transaction.query_sets.iter().flat_map(|set| &set.tables);
    for table in tables.filter(|table| table.table == ActiveConnection::TABLE) {
        deleted.extend(table.deleted.decode::<ActiveConnection>()?);
        inserted.extend(table.inserted.decode::<ActiveConnection>()?);
    }
    Ok((deleted, inserted))
}
