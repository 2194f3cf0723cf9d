//! Modules that mean harm, once somebody was allowed to publish them.

use std::time::{Duration, Instant};

use muster_wire::http::{HttpClient, PublishOptions};
use muster_wire::{CallOutcome, Endpoint, args};

use crate::module::{
    module, module_that_never_says_goodbye, module_that_spins_when_asked, module_with_a_list_of_nothing,
};
use crate::process::{FRUGAL_CALL_TIME, HostProcess, Temper, soon};
use crate::witness::Witness;

const MIB: u64 = 1 << 20;

/// How much longer than its budget a call may take on a machine that is busy: instructions are counted, not time.
const SLOWNESS: u32 = 20;

/// A host with the database `test` for the witness, and `hostile` beside it.
async fn two_databases(temper: Temper) -> (HostProcess, Endpoint) {
    let host = HostProcess::with_module(temper).await;
    let hostile = Endpoint::new(&host.url, "hostile").unwrap();
    let token = HttpClient::new(hostile.clone(), None).unwrap().create_identity().await.unwrap().token;
    let owner = HttpClient::new(hostile.clone(), Some(token)).unwrap();
    owner.publish(module(), &PublishOptions::default()).await.unwrap();
    (host, hostile)
}

/// Calls a reducer of the hostile database that must not come to a good end, and says with what and after how long.
async fn call(hostile: &Endpoint, reducer: &str) -> (CallOutcome, Duration) {
    let (connection, _incoming) =
        muster_wire::connect(muster_wire::ConnectOptions::new(hostile.clone())).await.unwrap();
    let begun = Instant::now();
    let reply = soon(reducer, connection.call_reducer(reducer, args(&()))).await.unwrap();
    assert!(!reply.outcome.is_ok(), "{reducer}: {reply:?}");
    println!("{reducer}: {:?} after {:?}", reply.outcome, begun.elapsed());
    // And it works again.
    let again = connection.call_reducer("beat", args(&(begun.elapsed().as_nanos() as u64,))).await.unwrap();
    assert!(again.outcome.is_ok(), "{again:?}");
    (reply.outcome, begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reducer_that_never_returns_is_stopped_and_other_databases_do_not_notice() {
    let (host, hostile) = two_databases(Temper::Frugal).await;
    let witness = Witness::of(&host).await;
    let (_, lasted) = call(&hostile, "spin").await;
    assert!(lasted < FRUGAL_CALL_TIME * SLOWNESS, "{lasted:?}");
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_the_same_database_wait_for_it_and_are_served_then() {
    let (host, _) = two_databases(Temper::Frugal).await;
    let witness = Witness::of(&host).await;
    call(&host.endpoint(), "spin").await;
    witness.testify_within(FRUGAL_CALL_TIME * SLOWNESS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procedure_that_never_returns_is_stopped_too() {
    let (host, hostile) = two_databases(Temper::Frugal).await;
    let witness = Witness::of(&host).await;
    let (connection, _incoming) = muster_wire::connect(muster_wire::ConnectOptions::new(hostile)).await.unwrap();
    let reply = soon("idle", connection.call_procedure("idle", args(&()))).await.unwrap();
    assert!(matches!(reply.outcome, CallOutcome::Failed(_)), "{reply:?}");
    witness.testify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reducer_that_calls_itself_for_ever_overflows_its_own_stack_only() {
    let (mut host, hostile) = two_databases(Temper::Frugal).await;
    let witness = Witness::of(&host).await;
    call(&hostile, "recurse").await;
    assert!(host.is_alive());
    witness.testify().await;
}

/// A departure waits for the module, the module's budget ends it, and the engine takes the client out all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_disconnected_that_never_returns_keeps_nobody_connected() {
    let (host, _) = two_databases(Temper::Frugal).await;
    let witness = Witness::of(&host).await;
    let endpoint = Endpoint::new(&host.url, "clingy").unwrap();
    let token = HttpClient::new(endpoint.clone(), None).unwrap().create_identity().await.unwrap().token;
    let owner = HttpClient::new(endpoint.clone(), Some(token)).unwrap();
    owner.publish(module_that_never_says_goodbye(), &PublishOptions::default()).await.unwrap();
    let options = muster_wire::ConnectOptions::new(endpoint);
    let (connection, _incoming) = muster_wire::connect(options).await.unwrap();
    assert!(connection.call_reducer("beat", args(&(1u64,))).await.unwrap().outcome.is_ok());
    connection.close().await;
    // The asker is a client as well, for as long as it asks.
    let clients = async {
        loop {
            let answer = owner.sql("SELECT COUNT(*) AS n FROM st_client", true).await.unwrap();
            if answer.statements[0].rows[0][0].get() == "1" {
                break;
            }
        }
    };
    soon("the session's row goes", clients).await;
    witness.testify().await;
}

/// The most that WebAssembly of 32 bits can address, and what else a host needs.
const SWOLLEN_MAX: u64 = 4096 * MIB + 256 * MIB;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs four gibibytes of memory: run by `make soak`"]
async fn a_reducer_that_takes_memory_for_ever_gets_four_gibibytes_and_gives_them_back() {
    let (host, hostile) = two_databases(Temper::Frugal).await;
    let before = host.resident_bytes();
    let witness = Witness::of(&host).await;
    call(&hostile, "swell").await;
    let (peak, after) = (host.resident_bytes_peak(), host.resident_bytes());
    println!("before {} MiB, peak {} MiB, after {} MiB", before / MIB, peak / MIB, after / MIB);
    assert!(peak < before + SWOLLEN_MAX);
    assert!(after < before + 200 * MIB, "its instance was thrown away");
    witness.testify().await;
}

/// What the engine does for a module is not counted, only the module's own instructions, of which an insertion takes some
/// twenty: so the budget must be small for this to end soon.
#[tokio::test(flavor = "multi_thread")]
async fn a_reducer_that_inserts_for_ever_is_stopped_and_rolled_back() {
    let (host, hostile) = two_databases(Temper::Stingy).await;
    let before = host.resident_bytes();
    let witness = Witness::of(&host).await;
    call(&hostile, "flood").await;
    println!("before {} MiB, peak {} MiB", before / MIB, host.resident_bytes_peak() / MIB);
    let client = HttpClient::new(hostile, None).unwrap();
    let answer = client.sql("SELECT COUNT(*) AS n FROM item", true).await.unwrap();
    assert_eq!(answer.statements[0].rows[0][0].get(), "0");
    witness.testify().await;
}

/// Four bytes would become as many elements as they say, in the engine's decoder, where the host cannot bound them.
#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_takes_lists_of_nothing_is_refused_when_created_and_when_updated() {
    let (host, hostile) = two_databases(Temper::Frugal).await;
    let token = HttpClient::new(hostile, None).unwrap().create_identity().await.unwrap().token;
    let owner = HttpClient::new(Endpoint::new(&host.url, "nothing").unwrap(), Some(token)).unwrap();
    let refused = |answer: Result<_, muster_wire::http::HttpError>| answer.map(|_| ()).unwrap_err().to_string();
    let (bad, options) = (module_with_a_list_of_nothing, PublishOptions::default());
    let told = refused(owner.publish(bad(), &options).await);
    assert!(told.contains("parameter `many` of `swallow`"), "{told}");
    owner.publish(module(), &options).await.unwrap();
    let told = refused(owner.publish(bad(), &options).await);
    assert!(told.contains("parameter `many` of `swallow`"), "{told}");
}

/// The engine's own budget for this cannot be changed: it takes a minute or two.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes: run by `make soak`"]
async fn a_module_that_never_says_what_it_is_cannot_be_published_and_other_databases_do_not_notice() {
    let host = HostProcess::with_module(Temper::Frugal).await;
    let witness = Witness::of(&host).await;
    let endpoint = Endpoint::new(&host.url, "never").unwrap();
    let begun = Instant::now();
    let publisher = HttpClient::new(endpoint, None).unwrap();
    let refused = publisher.publish(module_that_spins_when_asked(), &PublishOptions::default()).await;
    println!("{:?} after {:?}", refused.as_ref().map(|_| ()).map_err(ToString::to_string), begun.elapsed());
    assert!(refused.is_err());
    witness.testify().await;
}
