//! A column of every type there is, stored as the client sent it.

use spacetimedb::sats::{i256, u256};
use spacetimedb::{
    ConnectionId, Identity, ReducerContext, ScheduleAt, SpacetimeType, Table, TimeDuration, Timestamp, Uuid,
};

/// A product.
#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Point {
    pub x: i32,
    pub y: i32,
}

/// A sum whose variants carry nothing, a primitive, and a product.
#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum Shape {
    Empty,
    Circle(f64),
    Corner(Point),
}

/// A sum without payloads.
#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub enum Colour {
    Red,
    Green,
}

/// A product without fields.
#[derive(SpacetimeType, Clone, Debug, PartialEq)]
pub struct Nothing {}

/// A column of every type.
#[spacetimedb::table(accessor = every_type, public)]
pub struct EveryType {
    #[primary_key]
    pub id: u32,
    pub truth: bool,
    pub a_u8: u8,
    pub a_u16: u16,
    pub a_u64: u64,
    pub a_u128: u128,
    pub a_u256: u256,
    pub an_i8: i8,
    pub an_i16: i16,
    pub an_i32: i32,
    pub an_i64: i64,
    pub an_i128: i128,
    pub an_i256: i256,
    pub an_f32: f32,
    pub an_f64: f64,
    pub text: String,
    pub bytes: Vec<u8>,
    pub texts: Vec<String>,
    pub maybe: Option<u32>,
    pub outcome: Result<u32, String>,
    pub point: Point,
    pub shape: Shape,
    pub colour: Colour,
    pub nothing: Nothing,
    pub identity: Identity,
    pub connection: ConnectionId,
    pub at: Timestamp,
    pub lasting: TimeDuration,
    pub due: ScheduleAt,
    pub uuid: Uuid,
}

/// Stores a row as it came.
#[spacetimedb::reducer]
pub fn store_every_type(ctx: &ReducerContext, row: EveryType) {
    ctx.db.every_type().insert(row);
}
