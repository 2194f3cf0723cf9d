//! Modules for tests, written as WebAssembly text around a definition that the engine's own types describe.
//!
//! They need no compiler and take milliseconds, so that a test can have exactly the module it is about. What they have in
//! common with others is in `tests/common/wat.rs`.
//!
//! The module has: the public table `item (name)` and the public table `session (connection_id)`; a row of the latter
//! for every connected client, and the log line `goodbye` for every one that left; the reducers `add (name)`, which
//! inserts an item, `say (text)`, which logs, `fail`, which returns an error, and `crash`, which panics; the procedures
//! `answer`, which returns 42 at once, and `muse`, which returns it [`MUSING`] after the call began.

#[path = "../common/wat.rs"]
mod wat_module;

use std::time::Duration;

use spacetimedb_lib::db::raw_def::v9::{Lifecycle, TableAccess};
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10Builder;
use spacetimedb_lib::{AlgebraicType, ProductType};

use wat_module::{Text, assemble};

/// What a module is to be besides the above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// Nothing more.
    Plain,
    /// A further table, `note (text)`: an update from `Plain` that no client notices, and one to `Plain` that breaks
    /// clients.
    WithNotes,
    /// `item.name` is a number: an update from `Plain` that cannot be done automatically.
    NumberedItems,
    /// `client_connected` returns an error.
    RefusesClients,
    /// `init` returns an error.
    FailingInit,
}

/// How long the procedure `muse` takes.
pub(crate) const MUSING: Duration = Duration::from_secs(2);

const INIT: u32 = 0;
const CONNECTED: u32 = 1;
const DISCONNECTED: u32 = 2;
const ADD: u32 = 3;
const SAY: u32 = 4;
const FAIL: u32 = 5;
const CRASH: u32 = 6;

/// Procedures are counted on their own.
const MUSE: u32 = 1;

/// The bytes of a module.
pub(crate) fn module(variant: Variant) -> Vec<u8> {
    assemble(
        definition(variant),
        &Text {
            imports: IMPORTS,
            pages: 4,
            args_bytes: 131_072,
            data: DATA,
            when_asked: "",
            functions: &functions(variant),
        },
    )
}

fn definition(variant: Variant) -> RawModuleDefV10Builder {
    let mut builder = RawModuleDefV10Builder::new();
    let name = match variant {
        Variant::NumberedItems => AlgebraicType::U64,
        _ => AlgebraicType::String,
    };
    table(&mut builder, "item", ("name", name));
    table(&mut builder, "session", ("connection_id", AlgebraicType::U128));
    if variant == Variant::WithNotes {
        table(&mut builder, "note", ("text", AlgebraicType::String));
    }
    // The order is that of the constants above.
    builder.add_lifecycle_reducer(Lifecycle::Init, "init", ProductType::unit());
    builder.add_lifecycle_reducer(Lifecycle::OnConnect, "client_connected", ProductType::unit());
    builder.add_lifecycle_reducer(Lifecycle::OnDisconnect, "client_disconnected", ProductType::unit());
    builder.add_reducer("add", ProductType::from([("name", AlgebraicType::String)]));
    builder.add_reducer("say", ProductType::from([("text", AlgebraicType::String)]));
    builder.add_reducer("fail", ProductType::unit());
    builder.add_reducer("crash", ProductType::unit());
    builder.add_procedure("answer", ProductType::unit(), AlgebraicType::U32);
    builder.add_procedure("muse", ProductType::unit(), AlgebraicType::U32);
    builder
}

fn table(builder: &mut RawModuleDefV10Builder, name: &'static str, column: (&'static str, AlgebraicType)) {
    let row = ProductType::from([column]);
    builder.build_table_with_new_type(name, row, true).with_access(TableAccess::Public).finish();
}

const IMPORTS: &str = r#"
  (import "spacetime_10.0" "console_log" (func $console_log (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "spacetime_10.0" "datastore_delete_all_by_eq_bsatn" (func $delete (param i32 i32 i32 i32) (result i32)))
  (import "spacetime_10.3" "procedure_sleep_until" (func $sleep_until (param i64) (result i64)))"#;

/// From 12 on a relation with one row, the connection id at 16; from 64 on texts, and what the procedures return.
const DATA: &str = r#"
  (data (i32.const 64) "item")
  (data (i32.const 72) "session")
  (data (i32.const 80) "refused on purpose")
  (data (i32.const 100) "\2a\00\00\00")
  (data (i32.const 112) "goodbye")"#;

fn functions(variant: Variant) -> String {
    let refuse = "(return (call $fail (local.get $errors)))";
    let on_init = if variant == Variant::FailingInit { refuse } else { "" };
    let on_connect = if variant == Variant::RefusesClients { refuse } else { "" };
    format!(
        r#"(func $fail (param $errors i32) (result i32)
    (call $write (local.get $errors) (i32.const 80) (i32.const 18))
    (i32.const 1))
  (func $log (param $at i32) (param $len i32)
    (call $console_log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)
      (local.get $at) (local.get $len)))

  (func (export "__call_reducer__")
    (param $id i32) (param i64 i64 i64 i64) (param $conn_0 i64) (param $conn_1 i64) (param i64)
    (param $source i32) (param $errors i32) (result i32)
    (local $len i32)
    (if (i32.eq (local.get $id) (i32.const {INIT})) (then {on_init}))
    (if (i32.eq (local.get $id) (i32.const {CONNECTED})) (then {on_connect}
      (i64.store (i32.const 16) (local.get $conn_0))
      (i64.store (i32.const 24) (local.get $conn_1))
      (call $put (i32.const 72) (i32.const 7) (i32.const 16) (i32.const 16))))
    (if (i32.eq (local.get $id) (i32.const {DISCONNECTED})) (then
      (call $log (i32.const 112) (i32.const 7))
      ;; A relation is a vector of rows: its length, then the row.
      (i32.store (i32.const 12) (i32.const 1))
      (i64.store (i32.const 16) (local.get $conn_0))
      (i64.store (i32.const 24) (local.get $conn_1))
      (call $check (call $delete (call $table (i32.const 72) (i32.const 7)) (i32.const 12) (i32.const 20) (i32.const 32)))))
    (if (i32.eq (local.get $id) (i32.const {ADD})) (then
      (local.set $len (call $args (local.get $source)))
      (call $put (i32.const 64) (i32.const 4) (i32.const 65536) (local.get $len))))
    (if (i32.eq (local.get $id) (i32.const {SAY})) (then
      (local.set $len (call $args (local.get $source)))
      (call $log (i32.const 65540) (i32.sub (local.get $len) (i32.const 4)))))
    (if (i32.eq (local.get $id) (i32.const {FAIL})) (then {refuse}))
    (if (i32.eq (local.get $id) (i32.const {CRASH})) (then unreachable))
    (i32.const 0))

  (func (export "__call_procedure__")
    (param $id i32) (param i64 i64 i64 i64 i64 i64) (param $now_us i64) (param i32) (param $result i32) (result i32)
    (if (i32.eq (local.get $id) (i32.const {MUSE})) (then
      (drop (call $sleep_until (i64.add (local.get $now_us) (i64.const {musing_us}))))))
    (call $write (local.get $result) (i32.const 100) (i32.const 4))
    (i32.const 0))"#,
        musing_us = MUSING.as_micros(),
    )
}
