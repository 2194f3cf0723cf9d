//! The shapes of tables and functions.
//!
//! What always holds: a function's parameters are compared by position, name and whole type, because a client encodes its
//! arguments as one row without names.

use muster_contract::page::NewEvent;
use muster_contract::shape::{ColumnShape, columns_of, expected_tables, render};
use muster_wire::http::{FunctionSchema, ModuleSchema};
use muster_wire::sats::SpacetimeType;

use crate::gates::recorder::Recorder;
use crate::gates::site::words;

/// Compares the tables that clients read.
pub(super) fn tables(schema: &ModuleSchema, recorder: &Recorder) {
    let observed = schema.observed_tables();
    for expected in expected_tables() {
        let compared = expected.check(&observed);
        let name = format!("table.{}", expected.table);
        let why = compared.as_ref().err().map(words).unwrap_or_default();
        recorder.must(&name, compared.is_ok(), format!("{} columns", expected.columns.len()), why);
    }
}

/// Compares the functions that clients call.
pub(super) fn functions(schema: &ModuleSchema, recorder: &Recorder) {
    for (name, params) in expected_functions() {
        let found = schema.reducers.iter().chain(&schema.procedures).find(|function| function.name == name);
        let differs = difference(&params, found);
        let shown = format!("({})", params.iter().map(in_words).collect::<Vec<_>>().join(", "));
        let otherwise = differs.clone().unwrap_or_default();
        recorder.must(&format!("function.{name}"), differs.is_none(), shown, otherwise);
    }
}

fn in_words(param: &ColumnShape) -> String {
    format!("{}: {}", param.name, render(&param.ty))
}

/// The first difference, in words.
fn difference(expected: &[ColumnShape], found: Option<&FunctionSchema>) -> Option<String> {
    let Some(found) = found else { return Some("the module has no such function; publish the module that has".into()) };
    let there: Vec<_> =
        found.params.iter().map(|param| ColumnShape { name: param.name.clone(), ty: param.ty.clone() }).collect();
    if there.len() != expected.len() {
        return Some(format!("it takes {} arguments, and clients send {}", there.len(), expected.len()));
    }
    let differing = expected.iter().zip(&there).position(|(expected, there)| expected != there)?;
    let (expected, there) = (in_words(&expected[differing]), in_words(&there[differing]));
    Some(format!("argument {differing} is `{there}`, and clients send `{expected}`"))
}

/// What each function that a client calls takes: a struct whose fields are its parameters.
fn expected_functions() -> Vec<(&'static str, Vec<ColumnShape>)> {
    vec![
        ("append_events", columns_of::<AppendEvents>()),
        ("append_encoded", columns_of::<AppendEncoded>()),
        ("put_snapshot", columns_of::<PutSnapshot>()),
        ("ack_checkpoint", columns_of::<AckCheckpoint>()),
        ("follow", columns_of::<Follow>()),
        ("unfollow", columns_of::<Unfollow>()),
        ("list_streams", columns_of::<ListStreams>()),
        ("read_page", columns_of::<ReadPage>()),
        ("read_snapshot", columns_of::<ReadSnapshot>()),
        ("producer_state", columns_of::<AskProducerState>()),
        ("set_name", columns_of::<SetName>()),
    ]
}

macro_rules! arguments {
    ($($name:ident { $($field:ident: $ty:ty),* $(,)? })*) => {$(
        #[derive(SpacetimeType)]
        #[sats(crate = spacetimedb_lib)]
        #[allow(dead_code, reason = "only its shape is used")]
        struct $name { $($field: $ty),* }
    )*};
}

arguments! {
    AppendEvents { stream: String, epoch: u64, producer: String, first: u64, expected_next_seq: u64, events: Vec<NewEvent> }
    AppendEncoded { stream: String, epoch: u64, producer: String, first: u64, expected_next_seq: u64, events: Vec<u8> }
    PutSnapshot { stream: String, epoch: u64, seq: u64, payload: String, hash: muster_contract::page::WireHash, producer: String }
    AckCheckpoint { stream: String, epoch: u64, seq: u64, client: String }
    Follow { slot: u32, pattern: String }
    Unfollow { slot: u32 }
    ListStreams { pattern: String, after_no: u64 }
    ReadPage { stream: String, epoch: u64, after: u64, after_mark: u64, max_events: u32, max_bytes: u32 }
    ReadSnapshot { stream: String, epoch: u64 }
    AskProducerState { producer: String, streams: Vec<String> }
    SetName { name: String }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_wire::http::Column;

    fn follow(params: &[(&str, muster_wire::sats::AlgebraicType)]) -> FunctionSchema {
        let params = params.iter().map(|(name, ty)| Column { name: (*name).into(), ty: ty.clone() }).collect();
        FunctionSchema { name: "follow".into(), params, lifecycle: None }
    }

    #[test]
    fn a_function_that_takes_something_else_is_named_with_both_sides() {
        use muster_wire::sats::AlgebraicType::{String, U32, U64};
        let expected = columns_of::<Follow>();
        assert_eq!(difference(&expected, Some(&follow(&[("slot", U32), ("pattern", String)]))), None);
        let other = difference(&expected, Some(&follow(&[("slot", U64), ("pattern", String)])));
        assert_eq!(other.as_deref(), Some("argument 0 is `slot: U64`, and clients send `slot: U32`"));
        let fewer = difference(&expected, Some(&follow(&[("slot", U32)])));
        assert_eq!(fewer.as_deref(), Some("it takes 1 arguments, and clients send 2"));
        assert!(difference(&expected, None).is_some());
    }
}
