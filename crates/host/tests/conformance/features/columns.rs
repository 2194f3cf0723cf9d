//! A column of every type: what a client stores comes back the same, in BSATN and in JSON.

use muster_wire::{ConnectionId, Identity, TimeDuration, Timestamp};
use spacetimedb_lib::{ScheduleAt, Uuid};
use spacetimedb_sats::{Deserialize, Serialize, i256, u256};

use crate::support::{Published, http};

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[sats(crate = spacetimedb_sats)]
struct Point {
    x: i32,
    y: i32,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[sats(crate = spacetimedb_sats)]
enum Shape {
    Empty,
    #[allow(dead_code, reason = "the position of the others counts")]
    Circle(f64),
    Corner(Point),
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[sats(crate = spacetimedb_sats)]
enum Colour {
    Red,
    Green,
}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[sats(crate = spacetimedb_sats)]
struct Nothing {}

#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[sats(crate = spacetimedb_sats)]
struct EveryType {
    id: u32,
    truth: bool,
    a_u8: u8,
    a_u16: u16,
    a_u64: u64,
    a_u128: u128,
    a_u256: u256,
    an_i8: i8,
    an_i16: i16,
    an_i32: i32,
    an_i64: i64,
    an_i128: i128,
    an_i256: i256,
    an_f32: f32,
    an_f64: f64,
    text: String,
    bytes: Vec<u8>,
    texts: Vec<String>,
    maybe: Option<u32>,
    outcome: Result<u32, String>,
    point: Point,
    shape: Shape,
    colour: Colour,
    nothing: Nothing,
    identity: Identity,
    connection: ConnectionId,
    at: Timestamp,
    lasting: TimeDuration,
    due: ScheduleAt,
    uuid: Uuid,
}

/// The largest and most awkward values of every type.
fn extremes() -> EveryType {
    EveryType {
        id: u32::MAX,
        truth: true,
        a_u8: u8::MAX,
        a_u16: u16::MAX,
        a_u64: u64::MAX,
        a_u128: u128::MAX,
        a_u256: u256::MAX,
        an_i8: i8::MIN,
        an_i16: i16::MIN,
        an_i32: i32::MIN,
        an_i64: i64::MIN,
        an_i128: i128::MIN,
        an_i256: i256::MIN,
        an_f32: f32::MIN_POSITIVE,
        an_f64: -0.1,
        text: "zero \0, quote \", and 🎻".into(),
        bytes: (0..=255).collect(),
        texts: vec![String::new(), "two".into()],
        maybe: Some(7),
        outcome: Err("no".into()),
        point: Point { x: -1, y: 1 },
        shape: Shape::Corner(Point { x: 2, y: 3 }),
        colour: Colour::Green,
        nothing: Nothing {},
        identity: Identity::from_byte_array([0xc2; 32]),
        connection: ConnectionId::from_u128(1 << 127),
        at: Timestamp::from_micros_since_unix_epoch(1_700_000_000_000_001),
        lasting: TimeDuration::from_micros(-1),
        due: ScheduleAt::Interval(TimeDuration::from_micros(1_000_000)),
        uuid: Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_0001),
    }
}

/// The smallest and emptiest.
fn nothings() -> EveryType {
    EveryType {
        id: 0,
        truth: false,
        a_u8: 0,
        a_u16: 0,
        a_u64: 0,
        a_u128: 0,
        a_u256: u256::ZERO,
        an_i8: 0,
        an_i16: 0,
        an_i32: 0,
        an_i64: 0,
        an_i128: 0,
        an_i256: i256::ZERO,
        an_f32: 0.0,
        an_f64: 0.0,
        text: String::new(),
        bytes: vec![],
        texts: vec![],
        maybe: None,
        outcome: Ok(0),
        point: Point { x: 0, y: 0 },
        shape: Shape::Empty,
        colour: Colour::Red,
        nothing: Nothing {},
        identity: Identity::ZERO,
        connection: ConnectionId::ZERO,
        at: Timestamp::UNIX_EPOCH,
        lasting: TimeDuration::from_micros(0),
        due: ScheduleAt::Time(Timestamp::UNIX_EPOCH),
        uuid: Uuid::NIL,
    }
}

#[tokio::test]
async fn a_value_of_every_type_comes_back_as_it_went() {
    let published = Published::new("features").await;
    let mut session = published.connect().await;
    assert!(session.subscribe::<EveryType>("SELECT * FROM every_type", "every_type").await.is_empty());
    for row in [extremes(), nothings()] {
        session.call("store_every_type", &(row.clone(),)).await;
        assert_eq!(session.next_rows::<EveryType>("every_type").await, [row]);
    }
    let later = published.connect().await;
    let mut rows: Vec<EveryType> = later.subscribe("SELECT * FROM every_type", "every_type").await;
    rows.sort_by_key(|row| row.id);
    assert_eq!(rows, [nothings(), extremes()]);
}

#[tokio::test]
async fn a_row_of_json_is_the_same_row_in_bsatn_and_back() {
    let published = Published::new("features").await;
    let session = published.connect().await;
    session.call("store_every_type", &(extremes(),)).await;
    let answer = published.owner.sql("SELECT * FROM every_type", true).await.unwrap();
    let cells: Vec<&str> = answer.statements[0].rows[0].iter().map(|cell| cell.get()).collect();
    // Where JSON has no number as large, SATS-JSON writes one all the same.
    assert_eq!(cells[5], "340282366920938463463374607431768211455");
    assert_eq!(cells[18], "[0,7]", "an option is a sum: variant and value");
    assert_eq!(cells[20], "[-1,1]", "a product in a row is its fields");

    // What SQL answers, a call over HTTP accepts.
    let row = format!("[[1,{}]]", cells[1..].join(","));
    let called = http()
        .post(published.url("/call/store_every_type"))
        .header("content-type", "application/json")
        .body(row)
        .send()
        .await
        .unwrap();
    assert_eq!((called.status().as_u16(), called.text().await.unwrap()), (200, String::new()));
    let copied: Vec<EveryType> = session.subscribe("SELECT * FROM every_type WHERE id = 1", "every_type").await;
    assert_eq!(copied, [EveryType { id: 1, ..extremes() }]);
}
