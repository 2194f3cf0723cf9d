//! SIGKILL, and the module that was there before.

use std::io::Read;

use muster_contract::page::ProducerState;
use muster_contract::rows::{Person, Row};
use muster_wire::args;
use muster_wire::http::{Migration, Policy, PublishOptions};

use crate::lane::{ADA, Lane, Place, ok};
use crate::support::{Host, Sandbox, muster_module};

/// A host in a process of its own, on a folder.
fn host_on(sandbox: &Sandbox) -> Host {
    Host::start(sandbox, &["--data-dir", "data"])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_reducer_acknowledged_or_a_procedure_told_survives_a_kill() {
    let sandbox = Sandbox::new();
    let mut host = host_on(&sandbox);
    let module = std::fs::read(muster_module()).expect("the module's file");
    let mut place = Place::publish(host.url.clone(), module).await;
    let mut session = place.join(None).await;
    let token = session.connection.token().clone();
    let mut confirmed = 0u64;
    for round in 1..=4u64 {
        // Many in flight, of which some will not be acknowledged; what counts is what was said before the kill.
        let appends = (0..20u64).map(|batch| confirmed + batch * 50 + 1).map(async |first| {
            let crate::lane::Append { stream, epoch, producer, first, expected, events } =
                crate::lane::Append::of("a", first..=first + 49);
            let args = args(&(stream, epoch, producer, first, expected, events));
            session.connection.call_reducer("append_events", args).await.is_ok()
        });
        let told = async {
            // A page says a head that no reducer's answer vouches for.
            let mut head = 0;
            while head <= confirmed {
                head = ok(session.states(ADA, &["a"]).await)[0].number;
            }
            head
        };
        let (told, ()) = tokio::join!(told, async {
            let first_few = futures::future::join_all(appends);
            let _ = first_few.await;
        });
        host.kill();
        host = host_on(&sandbox);
        place = place.moved(host.url.clone());
        session = place.join(Some(token.clone())).await;
        let [ProducerState { number, head, .. }] = ok(session.states(ADA, &["a"]).await)[..] else { panic!("one") };
        assert!(number >= told, "round {round}: told {told}, and {number} are left");
        assert_eq!(number, head);
        confirmed = number;
        let page = session.page("a", 0, head - 1).await;
        assert_eq!(ok(page).events[0].number, number);
    }
    // The follows of the sessions that the kills cut are gone.
    session.call("follow", &(0u32, "*")).await.expect("followed");
    host.kill();
    let host = host_on(&sandbox);
    let place = place.moved(host.url.clone());
    assert_eq!(place.count("sync_follow").await, 0);
}

/// The module as it was before it had streams: what databases run that were published then.
fn presence_only() -> Vec<u8> {
    let mut wasm = Vec::new();
    let packed = include_bytes!("presence-only.wasm.gz");
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut wasm).expect("a gzip file");
    wasm
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_the_module_without_streams_is_updated_in_place_and_keeps_its_data() {
    let host = muster_host::Host::builder().in_memory().start().await.expect("the host starts");
    let lane = Lane::with(host, presence_only()).await;
    let old = muster_wire::connect(muster_wire::ConnectOptions::new(lane.place.endpoint())).await.expect("connected");
    let named = old.0.call_reducer("set_name", args(&("Ada",))).await.expect("an answer");
    assert!(named.outcome.is_ok());

    let module = std::fs::read(muster_module()).expect("the module's file");
    let owner = lane.place.http(Some(lane.place.owner.clone()));
    // Row-level security is new: the host wants to disconnect everybody, and does so only when told to.
    assert!(owner.publish(module.clone(), &PublishOptions::default()).await.is_err());
    let plan = owner.pre_publish(module.clone()).await.expect("a plan");
    let Migration::Automatic { breaks_clients: true, token, .. } = plan.migration else { panic!("breaks clients") };
    let policy = Policy::BreakClients(token);
    owner.publish(module.clone(), &PublishOptions { policy, clear: false }).await.expect("published");
    old.0.wait_closed().await;
    // The next update is none that anybody notices.
    owner.publish(module, &PublishOptions::default()).await.expect("published");

    let producer = lane.join().await;
    let people = producer.connection.one_off_query("SELECT * FROM person").await.expect("an answer");
    assert_eq!(people.rows::<Person>(Person::TABLE).expect("rows")[0].name, "Ada");
    let mut follower = lane.join().await;
    let mut other = lane.join().await;
    follower.follow(0, "a").await;
    other.follow(0, "b").await;
    producer.emit("a", 1..=3).await;
    assert_eq!(follower.next_signal().await.0, 0);
    // Row-level security came with the update.
    other.hears_nothing().await;
    assert_eq!(producer.read("a", 0).await.head, 3);

    // It was made before there was a table of its owner: the error says how the owner, and nobody else, gets in.
    let owner_session = lane.owner().await;
    let refusal = owner_session.call("delete_stream", &("a",)).await.expect_err("not known");
    let sql = refusal.message.split("run the SQL ").nth(1).expect("the statement").to_owned();
    assert!(lane.place.http(None).sql(&sql, true).await.is_err(), "only the owner may");
    owner.sql(&sql, true).await.expect("written");
    owner_session.call("delete_stream", &("a",)).await.expect("deleted");
}
