//! Modules for tests, written as WebAssembly text around a definition that the engine's own types describe.
//!
//! They need no compiler and take milliseconds, so that a test can have exactly the module it is about. What they speak
//! is SpacetimeDB's module ABI (`spacetimedb-bindings-sys`, `spacetime_10.0`): `__describe_module__` writes the
//! definition, `__call_reducer__` gets a reducer's index in that definition.
//!
//! The module has: the public table `item (name)` and the public table `session (connection_id)`; a row of the latter
//! for every connected client, and the log line `goodbye` for every one that left; the reducers `add (name)`, which
//! inserts an item, `say (text)`, which logs, `fail`, which returns an error, and `crash`, which panics; the procedures
//! `answer`, which returns 42 at once, and `muse`, which returns it [`MUSING`] after the call began.

use std::fmt::Write;
use std::time::Duration;

use spacetimedb_lib::db::raw_def::v9::{Lifecycle, TableAccess};
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10Builder;
use spacetimedb_lib::{AlgebraicType, ProductType, RawModuleDef};
use spacetimedb_sats::bsatn;

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
    let wat = text(&definition(variant), variant);
    wat::parse_str(wat).expect("the module's text is WebAssembly")
}

fn definition(variant: Variant) -> Vec<u8> {
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
    bsatn::to_vec(&RawModuleDef::V10(builder.finish())).expect("a definition can be encoded")
}

fn table(builder: &mut RawModuleDefV10Builder, name: &'static str, column: (&'static str, AlgebraicType)) {
    let row = ProductType::from([column]);
    builder.build_table_with_new_type(name, row, true).with_access(TableAccess::Public).finish();
}

/// Memory (0 is the null pointer): 4 length cell, 8 table id cell, 16 connection id, 64 texts, 256 definition, 65536 what a caller sent.
fn text(definition: &[u8], variant: Variant) -> String {
    let refuse = "(return (call $fail (local.get $errors)))";
    let on_init = if variant == Variant::FailingInit { refuse } else { "" };
    let on_connect = if variant == Variant::RefusesClients { refuse } else { "" };
    format!(
        r#"(module
  (import "spacetime_10.0" "bytes_sink_write" (func $sink_write (param i32 i32 i32) (result i32)))
  (import "spacetime_10.0" "bytes_source_read" (func $source_read (param i32 i32 i32) (result i32)))
  (import "spacetime_10.0" "console_log" (func $console_log (param i32 i32 i32 i32 i32 i32 i32 i32)))
  (import "spacetime_10.0" "table_id_from_name" (func $table_id (param i32 i32 i32) (result i32)))
  (import "spacetime_10.0" "datastore_insert_bsatn" (func $insert (param i32 i32 i32) (result i32)))
  (import "spacetime_10.0" "datastore_delete_all_by_eq_bsatn" (func $delete (param i32 i32 i32 i32) (result i32)))
  (import "spacetime_10.3" "procedure_sleep_until" (func $sleep_until (param i64) (result i64)))
  (memory (export "memory") 4)
  (data (i32.const 64) "item")
  (data (i32.const 72) "session")
  (data (i32.const 80) "refused on purpose")
  (data (i32.const 112) "goodbye")
  (data (i32.const 100) "\2a\00\00\00")
  (data (i32.const 104) "\01\00\00\00")
  (data (i32.const 256) "{definition}")

  (func $check (param i32) (if (local.get 0) (then unreachable)))
  (func $write (param $sink i32) (param $at i32) (param $len i32)
    (i32.store (i32.const 4) (local.get $len))
    (call $check (call $sink_write (local.get $sink) (local.get $at) (i32.const 4))))
  (func $fail (param $errors i32) (result i32)
    (call $write (local.get $errors) (i32.const 80) (i32.const 18))
    (i32.const 1))
  ;; Reads what the caller sent to 65536 and returns its length.
  (func $args (param $source i32) (result i32)
    (if (i32.eqz (local.get $source)) (then (return (i32.const 0))))
    (i32.store (i32.const 4) (i32.const 131072))
    (drop (call $source_read (local.get $source) (i32.const 65536) (i32.const 4)))
    (i32.load (i32.const 4)))
  (func $log (param $at i32) (param $len i32)
    (call $console_log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1)
      (local.get $at) (local.get $len)))
  (func $table (param $name i32) (param $len i32) (result i32)
    (call $check (call $table_id (local.get $name) (local.get $len) (i32.const 8)))
    (i32.load (i32.const 8)))

  (func (export "__describe_module__") (param $sink i32)
    (call $write (local.get $sink) (i32.const 256) (i32.const {definition_len})))

  (func (export "__call_reducer__")
    (param $id i32) (param i64 i64 i64 i64) (param $conn_0 i64) (param $conn_1 i64) (param i64)
    (param $source i32) (param $errors i32) (result i32)
    (local $len i32)
    (if (i32.eq (local.get $id) (i32.const {INIT})) (then {on_init}))
    (if (i32.eq (local.get $id) (i32.const {CONNECTED})) (then {on_connect}
      (i64.store (i32.const 16) (local.get $conn_0))
      (i64.store (i32.const 24) (local.get $conn_1))
      (i32.store (i32.const 4) (i32.const 16))
      (call $check (call $insert (call $table (i32.const 72) (i32.const 7)) (i32.const 16) (i32.const 4)))))
    (if (i32.eq (local.get $id) (i32.const {DISCONNECTED})) (then
      (call $log (i32.const 112) (i32.const 7))
      ;; A relation is a vector of rows: its length, then the row.
      (i32.store (i32.const 12) (i32.const 1))
      (i64.store (i32.const 16) (local.get $conn_0))
      (i64.store (i32.const 24) (local.get $conn_1))
      (call $check (call $delete (call $table (i32.const 72) (i32.const 7)) (i32.const 12) (i32.const 20) (i32.const 32)))))
    (if (i32.eq (local.get $id) (i32.const {ADD})) (then
      (local.set $len (call $args (local.get $source)))
      (i32.store (i32.const 4) (local.get $len))
      (call $check (call $insert (call $table (i32.const 64) (i32.const 4)) (i32.const 65536) (i32.const 4)))))
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
    (i32.const 0)))"#,
        definition = escaped(definition),
        definition_len = definition.len(),
        musing_us = MUSING.as_micros(),
    )
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        write!(text, "\\{byte:02x}").expect("writing to a string succeeds");
    }
    text
}
