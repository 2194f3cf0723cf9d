//! A publisher, a host and a subscriber, each a process, and the network between them.
//!
//! What always holds: the two clients know only the proxy, whose address stays; the host's may change with each start.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use muster_chaos::Proxy;
use tokio::time::Instant;

use crate::actor::Actor;
use crate::check::Checker;
use crate::journal;
use crate::lane::Place;
use crate::roles::{self, FOLDER, IDLE, PATIENT, PING, PUBLISHER, SEED, STREAMS, SUBSCRIBER, URL};
use crate::support::{Host, PATIENCE, Sandbox, muster_module};

pub(crate) struct Plane {
    sandbox: Sandbox,
    seed: u64,
    streams: u64,
    is_patient: bool,
    pub(crate) proxy: Proxy,
    place: Option<Place>,
    pub(crate) host: Option<Host>,
    pub(crate) publisher: Option<Actor>,
    pub(crate) subscriber: Option<Actor>,
    pub(crate) checker: Checker,
    /// Events that the publishers found stored when they asked, and connections that they made.
    pub(crate) duplicates: u64,
    pub(crate) connections: u64,
}

impl Plane {
    /// All three run.
    pub(crate) async fn start(seed: u64, streams: u64, is_patient: bool) -> Plane {
        let sandbox = Sandbox::new();
        let host = host_on(&sandbox, is_patient);
        let module = std::fs::read(muster_module()).expect("the module's file");
        let place = Place::publish(host.url.clone(), module).await;
        let proxy = Proxy::start(address(&host)).await.expect("a port");
        let mut plane = Plane {
            sandbox,
            seed,
            streams,
            is_patient,
            proxy,
            place: Some(place),
            host: Some(host),
            publisher: None,
            subscriber: None,
            checker: Checker::new(seed, streams),
            duplicates: 0,
            connections: 0,
        };
        plane.start_subscriber();
        plane.start_publisher();
        plane
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.sandbox.path("")
    }

    fn actor(&self, role: &str) -> Actor {
        let variables = [
            (FOLDER, self.folder().to_str().expect("plain").to_owned()),
            (URL, format!("http://{}", self.proxy.address())),
            (SEED, self.seed.to_string()),
            (STREAMS, self.streams.to_string()),
        ];
        let patient = self.is_patient.then(|| (PATIENT, "1".to_owned()));
        let actor = Actor::start(role, variables.into_iter().chain(patient), &self.sandbox.path("talk"));
        actor.hear("ready");
        actor
    }

    pub(crate) fn start_publisher(&mut self) {
        self.publisher = Some(self.actor(PUBLISHER));
    }

    pub(crate) fn start_subscriber(&mut self) {
        self.subscriber = Some(self.actor(SUBSCRIBER));
    }

    pub(crate) fn start_host(&mut self) {
        let host = host_on(&self.sandbox, self.is_patient);
        self.proxy.set_upstream(address(&host));
        self.place = self.place.take().map(|place| place.moved(host.url.clone()));
        self.host = Some(host);
    }

    pub(crate) fn place(&self) -> &Place {
        self.place.as_ref().expect("always there")
    }

    /// Stops publishing, and waits until the host has confirmed everything.
    pub(crate) fn pause(&mut self) {
        let publisher = self.publisher.as_mut().expect("it runs");
        publisher.tell("pause");
        let said = publisher.hear("flushed");
        let mut numbers = said.split(' ').skip(1).map(|word| word.parse::<u64>().expect("a number"));
        self.duplicates += numbers.next().expect("duplicates");
        self.connections += numbers.next().expect("connections");
    }

    pub(crate) fn resume(&mut self) {
        self.publisher.as_mut().expect("it runs").tell("resume");
    }

    /// What is in the subscriber's database is right as far as it goes.
    pub(crate) fn look(&mut self) {
        let folder = self.folder();
        self.checker.look(&roles::store(&folder), &roles::journal_at(&folder));
    }

    /// With everything healed and nothing published any more, waits until the subscriber has what the host has, and
    /// compares it with what was acknowledged.
    pub(crate) async fn settle(&mut self) {
        self.pause();
        let heads = self.heads().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let applied = self.applied();
            if applied == heads {
                break;
            }
            let status = self.subscriber.as_ref().expect("it runs").heard().pop();
            assert!(Instant::now() < deadline, "the host is at {heads:?}, the subscriber at {applied:?}: {status:?}");
            // Between two looks of a deadline-bound wait; nothing depends on its length.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let folder = self.folder();
        self.checker.look_at_all(&roles::store(&folder), &roles::journal_at(&folder));
    }

    /// Up to where the host has each stream.
    async fn heads(&self) -> Vec<u64> {
        let rows = self.place().sql("SELECT id, head FROM sync_stream").await;
        let head = |index| {
            let id = format!("\"{}\"", journal::stream(index));
            rows.iter().find(|row| row[0] == id).map_or(0, |row| row[1].parse().expect("a number"))
        };
        (0..self.streams).map(head).collect()
    }

    /// Events that the host has.
    pub(crate) async fn stored_events(&self) -> u64 {
        self.heads().await.iter().sum()
    }

    /// Events that the subscriber has.
    pub(crate) fn applied_events(&self) -> u64 {
        self.applied().iter().sum()
    }

    /// Up to where the subscriber has each stream.
    fn applied(&self) -> Vec<u64> {
        let connection = rusqlite::Connection::open(roles::store(&self.folder())).expect("the store");
        connection.busy_timeout(PATIENCE).expect("set");
        let mut statement = connection.prepare("SELECT seq FROM muster_cursor WHERE stream = ?1").expect("the table");
        let mut cursor = |index| statement.query_row([journal::stream(index).as_str()], |row| row.get::<_, i64>(0));
        (0..self.streams).map(|index| cursor(index).map_or(0, i64::cast_unsigned)).collect()
    }
}

fn host_on(sandbox: &Sandbox, is_patient: bool) -> Host {
    let (ping, idle) = (format!("{} ms", PING.as_millis()), format!("{} ms", IDLE.as_millis()));
    let impatient = ["--ping-interval", &ping, "--idle-timeout", &idle];
    let args: &[&str] = if is_patient { &[] } else { &impatient };
    Host::start(sandbox, &[&["--data-dir", "data"], args].concat())
}

fn address(host: &Host) -> SocketAddr {
    host.authority().parse().expect("an address")
}
