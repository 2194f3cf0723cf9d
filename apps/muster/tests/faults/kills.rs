//! SIGKILL of publisher, host and subscriber at random moments, under load and in bad weather.
//!
//! What always holds: which process is killed, when, and in which weather follows from the seed; how far the others are by
//! then does not, because the machine decides that.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::plane::Plane;
use crate::roles::IDLE;

/// Kills without `MUSTER_FAULTS`.
const KILLS: u64 = 8;
/// After how many rounds everything is left alone until it has settled, and compared whole.
const SETTLE_EVERY: u64 = 4;
const STREAMS: u64 = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    Host,
    Publisher,
    Subscriber,
    AllAtOnce,
}

const VICTIMS: [Victim; 7] = [
    Victim::Host,
    Victim::Host,
    Victim::Publisher,
    Victim::Publisher,
    Victim::Subscriber,
    Victim::Subscriber,
    Victim::AllAtOnce,
];

/// What goes on around the kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weather {
    Clear,
    /// Each byte comes late.
    Slow,
    /// Connections are half-open: nothing passes and nothing is closed.
    Frozen,
    /// Half-open for longer than the idle timeout.
    FrozenLong,
    /// Connections are reset, once.
    Cut,
    /// Connections are reset, and new ones too.
    Refused,
    /// SIGSTOP for longer than the idle timeout.
    HostStopped,
    PublisherStopped,
    SubscriberStopped,
}

const WEATHERS: [Weather; 9] = [
    Weather::Clear,
    Weather::Slow,
    Weather::Frozen,
    Weather::FrozenLong,
    Weather::Cut,
    Weather::Refused,
    Weather::HostStopped,
    Weather::PublisherStopped,
    Weather::SubscriberStopped,
];

/// One round, as it follows from the seed.
#[derive(Clone, Copy, Debug)]
struct Round {
    weather: Weather,
    victim: Victim,
    /// Of load before the weather, of weather before the kill, from the kill to the restart, and of weather after it.
    waits: [Duration; 4],
}

impl Round {
    fn of(seed: u64, number: u64) -> Round {
        let mut dice = Dice::new(seed, number);
        let (weather, victim) = (dice.pick(&WEATHERS), dice.pick(&VICTIMS));
        let mut waits = [dice.ms(30..=300), dice.ms(0..=250), dice.ms(0..=300), dice.ms(0..=300)];
        if matches!(
            weather,
            Weather::FrozenLong | Weather::HostStopped | Weather::PublisherStopped | Weather::SubscriberStopped
        ) {
            waits[1] += IDLE + Duration::from_millis(300);
        }
        Round { weather, victim, waits }
    }
}

async fn play(plane: &mut Plane, round: Round) {
    let [load, before, dead, after] = round.waits;
    tokio::time::sleep(load).await;
    begin(plane, round.weather);
    tokio::time::sleep(before).await;
    // A stopped process is woken before others are killed: who is to be killed may be that one.
    wake(plane, round.weather);
    let is = |victim| round.victim == victim || round.victim == Victim::AllAtOnce;
    if is(Victim::Publisher) {
        plane.publisher.take().expect("it runs").kill();
    }
    if is(Victim::Host) {
        plane.host.take().expect("it runs").kill();
    }
    if is(Victim::Subscriber) {
        plane.subscriber.take().expect("it runs").kill();
    }
    tokio::time::sleep(dead).await;
    if is(Victim::Host) {
        plane.start_host();
    }
    if is(Victim::Publisher) {
        plane.start_publisher();
    }
    if is(Victim::Subscriber) {
        plane.start_subscriber();
    }
    tokio::time::sleep(after).await;
    plane.proxy.clear();
    plane.look();
}

fn begin(plane: &Plane, weather: Weather) {
    match weather {
        Weather::Clear => {}
        Weather::Slow => plane.proxy.delay(Duration::from_millis(60)),
        Weather::Frozen | Weather::FrozenLong => plane.proxy.freeze(),
        Weather::Cut => plane.proxy.cut(),
        Weather::Refused => {
            plane.proxy.refuse();
            plane.proxy.cut();
        }
        Weather::HostStopped | Weather::PublisherStopped | Weather::SubscriberStopped => signal(plane, weather, "STOP"),
    }
}

fn wake(plane: &Plane, weather: Weather) {
    signal(plane, weather, "CONT");
}

fn signal(plane: &Plane, weather: Weather, name: &str) {
    match weather {
        Weather::HostStopped => plane.host.as_ref().expect("it runs").process.signal(name),
        Weather::PublisherStopped => plane.publisher.as_ref().expect("it runs").signal(name),
        Weather::SubscriberStopped => plane.subscriber.as_ref().expect("it runs").signal(name),
        _ => {}
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_acknowledged_is_lost_doubled_or_out_of_order_whoever_is_killed() {
    let rounds = number("MUSTER_FAULTS").unwrap_or(KILLS);
    let seed = number("MUSTER_FAULTS_SEED").unwrap_or_else(crate::actor::now_ms);
    println!("MUSTER_FAULTS={rounds} MUSTER_FAULTS_SEED={seed}");
    let began = Instant::now();
    let mut plane = Plane::start(seed, STREAMS, false).await;
    let (mut victims, mut weathers) = (BTreeMap::<_, u64>::new(), BTreeMap::<_, u64>::new());
    for number in 1..=rounds {
        let round = Round::of(seed, number);
        println!("{:>7.1} s  {number:>3}  {round:?}", began.elapsed().as_secs_f64());
        play(&mut plane, round).await;
        *victims.entry(round.victim).or_default() += 1;
        *weathers.entry(round.weather).or_default() += 1;
        if number.is_multiple_of(SETTLE_EVERY) {
            plane.settle().await;
            plane.resume();
        }
    }
    plane.settle().await;
    // Once more from the first row on, in case a row that was right has changed since.
    let mut whole = crate::check::Checker::new(seed, STREAMS);
    let folder = plane.folder();
    whole.look_at_all(&crate::roles::store(&folder), &crate::roles::journal_at(&folder));
    assert_eq!(whole.events(), plane.checker.events());
    assert!(whole.events() > rounds * 20, "there was hardly any load: {} events", whole.events());
    println!(
        "{rounds} kills in {:.0} s, {} events: none lost, doubled or out of order. Killed: {victims:?}. Weather: \
         {weathers:?}. Publishers that were not killed since: {} connections, {} events found stored when asked.",
        began.elapsed().as_secs_f64(),
        whole.events(),
        plane.connections,
        plane.duplicates,
    );
}
