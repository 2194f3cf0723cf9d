//! A host that comes back from an older copy of its data, under a publisher and a subscriber that have seen more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use muster_chaos::Proxy;
use muster_contract::stream::StreamId;
use muster_publisher::{ConnectConfig, Decision, Draft, OutboxConfig, Publisher};
use muster_wire::Endpoint;

use crate::desk::{Desk, Told, numbered};
use crate::lane::{DATABASE, Place};
use crate::support::{Host, PATIENCE, Sandbox, muster_module};

const STREAM: &str = "a.x";
const FLUSH: Duration = PATIENCE;

/// A host that can be set back, a publisher and where the subscriber's store is.
struct Scene {
    sandbox: Sandbox,
    proxy: Proxy,
    host: Option<Host>,
    publisher: Publisher,
}

fn payload(n: u64) -> String {
    format!(r#"{{"n":{n}}}"#)
}

fn payloads(numbers: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = String> {
    numbers.map(payload)
}

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp runs");
    assert!(status.success());
}

impl Scene {
    async fn new() -> Scene {
        let sandbox = Sandbox::new();
        let host = Host::start(&sandbox, &["--data-dir", "data"]);
        let module = std::fs::read(muster_module()).expect("the module's file");
        Place::publish(host.url.clone(), module).await;
        let proxy = Proxy::start(host.authority().parse().expect("an address")).await.expect("a port");
        let publisher = Publisher::open(OutboxConfig::new(sandbox.path("outbox"))).expect("the outbox opens");
        let scene = Scene { sandbox, proxy, host: Some(host), publisher };
        scene.publisher.connect(ConnectConfig::new(scene.endpoint()));
        scene
    }

    fn endpoint(&self) -> Endpoint {
        Endpoint::new(&format!("http://{}", self.proxy.address()), DATABASE).expect("an endpoint")
    }

    fn store(&self) -> PathBuf {
        self.sandbox.path("store")
    }

    async fn publish(&self, numbers: std::ops::RangeInclusive<u64>) {
        let payloads: Vec<String> = payloads(numbers).collect();
        let drafts = payloads.iter().map(|payload| Draft::new("test", payload));
        let id = StreamId::parse(STREAM).expect("a stream id");
        self.publisher.publish_many(&id, drafts).await.expect("published");
    }

    async fn publish_confirmed(&self, numbers: std::ops::RangeInclusive<u64>) {
        self.publish(numbers).await;
        self.publisher.flush(FLUSH).await.expect("all confirmed");
    }

    fn kill_host(&mut self) {
        self.host.take().expect("it runs").kill();
    }

    fn start_host(&mut self) {
        let host = Host::start(&self.sandbox, &["--data-dir", "data"]);
        self.proxy.set_upstream(host.authority().parse().expect("an address"));
        self.host = Some(host);
    }

    fn back_up(&mut self) {
        self.kill_host();
        copy(&self.sandbox.path("data"), &self.sandbox.path("copy"));
        self.start_host();
    }

    fn set_back(&mut self) {
        self.kill_host();
        std::fs::remove_dir_all(self.sandbox.path("data")).expect("the host is gone");
        copy(&self.sandbox.path("copy"), &self.sandbox.path("data"));
        self.start_host();
    }

    /// A person decides that what the host lost stays lost.
    async fn accept_the_loss(&self) {
        let mut status = self.publisher.status();
        let parked = tokio::time::timeout(PATIENCE, status.wait_for(|status| status.parked_streams == 1)).await;
        parked.unwrap_or_else(|_| panic!("not parked: {:?}", self.publisher.status().borrow())).expect("it lives");
        let id = StreamId::parse(STREAM).expect("a stream id");
        self.publisher.decide(&id, Decision::AcceptLoss).await.expect("accepted");
    }
}

/// The reasons of new beginnings.
fn resets(told: &[Told]) -> Vec<String> {
    let reason = |told: &Told| match told {
        Told::Reset { reason, .. } => Some(reason.map_or("none".into(), |reason| reason.to_string())),
        Told::Events { .. } => None,
    };
    told.iter().filter_map(reason).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_less_than_was_applied_is_noticed_and_the_database_becomes_what_the_host_has() {
    let mut scene = Scene::new().await;
    let desk = Desk::open(scene.endpoint(), &scene.store(), STREAM).await;
    scene.publish_confirmed(1..=20).await;
    desk.until_rows(STREAM, &numbered(1, payloads(1..=20))).await;
    scene.back_up();
    scene.publish_confirmed(21..=30).await;
    desk.until_rows(STREAM, &numbered(1, payloads(1..=30))).await;
    assert_eq!(resets(&desk.told()), Vec::<String>::new(), "a kill alone is no new beginning");

    scene.set_back();
    desk.until_rows(STREAM, &numbered(1, payloads(1..=20))).await;
    assert_eq!(resets(&desk.told()).len(), 1, "{:?}", desk.told());

    scene.publish(31..=40).await;
    scene.accept_the_loss().await;
    scene.publisher.flush(FLUSH).await.expect("all confirmed");
    let all: Vec<String> = payloads(1..=20).chain(payloads(31..=40)).collect();
    desk.until_rows(STREAM, &numbered(1, all)).await;
    assert_eq!(resets(&desk.told()).len(), 1, "once: {:?}", desk.told());
    desk.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_with_another_history_is_noticed_though_it_has_more_than_was_applied() {
    let mut scene = Scene::new().await;
    let desk = Desk::open(scene.endpoint(), &scene.store(), STREAM).await;
    scene.publish_confirmed(1..=20).await;
    scene.back_up();
    scene.publish_confirmed(21..=30).await;
    desk.until_rows(STREAM, &numbered(1, payloads(1..=30))).await;
    desk.close().await;

    scene.set_back();
    scene.publish(31..=60).await;
    scene.accept_the_loss().await;
    scene.publisher.flush(FLUSH).await.expect("all confirmed");

    // Fifty events where the cursor stands at 30: by the numbers alone it would go on.
    let desk = Desk::open(scene.endpoint(), &scene.store(), STREAM).await;
    let all: Vec<String> = payloads(1..=20).chain(payloads(31..=60)).collect();
    desk.until_rows(STREAM, &numbered(1, all)).await;
    assert_eq!(resets(&desk.told()), ["history_diverged"]);
    assert!(matches!(desk.told()[0], Told::Reset { .. }), "before the first row");
    desk.close().await;
}
