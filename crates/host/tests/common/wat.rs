//! What every module written as WebAssembly text has in common: SpacetimeDB's module ABI (`spacetimedb-bindings-sys`,
//! `spacetime_10.0`) in a few functions, around a definition that the engine's own types describe.
//!
//! The functions that a text may call: `$check (status)`, which traps unless it is 0; `$write (sink, at, len)`;
//! `$args (source)`, which reads what the caller sent to 65536 and returns its length; `$table (name, len)`, a table's id;
//! `$put (name, len, at, len)`, which inserts the row at that place into the table of that name. The text brings
//! `__call_reducer__`, which gets a reducer's index in the definition, and `__call_procedure__`.
//!
//! Memory (0 is the null pointer): 4 a length, 8 a table's id, 12 to 256 the text's own, 256 the definition, 65536 what a
//! caller sent.

use std::fmt::Write;

use spacetimedb_lib::RawModuleDef;
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10Builder;
use spacetimedb_sats::bsatn;

/// What a module is besides the above.
pub(crate) struct Text<'a> {
    /// Further imports.
    pub(crate) imports: &'a str,
    /// How many pages of memory (64 KiB) it begins with.
    pub(crate) pages: u32,
    /// How much a caller may send, in bytes; it lies within these pages.
    pub(crate) args_bytes: u32,
    /// Data, between 12 and 256.
    pub(crate) data: &'a str,
    /// What it does before it describes itself.
    pub(crate) when_asked: &'a str,
    /// Its functions.
    pub(crate) functions: &'a str,
}

/// The bytes of a module.
pub(crate) fn assemble(definition: RawModuleDefV10Builder, text: &Text<'_>) -> Vec<u8> {
    assert!(65_536 + text.args_bytes <= text.pages * 65_536, "what a caller sends has room");
    let definition = bsatn::to_vec(&RawModuleDef::V10(definition.finish())).expect("a definition can be encoded");
    assert!(256 + definition.len() <= 65_536, "the definition has room");
    wat::parse_str(whole(&definition, text)).expect("the module's text is WebAssembly")
}

fn whole(definition: &[u8], text: &Text<'_>) -> String {
    let Text { imports, pages, args_bytes, data, when_asked, functions } = text;
    format!(
        r#"(module
  (import "spacetime_10.0" "bytes_sink_write" (func $sink_write (param i32 i32 i32) (result i32)))
  (import "spacetime_10.0" "bytes_source_read" (func $source_read (param i32 i32 i32) (result i32)))
  (import "spacetime_10.0" "table_id_from_name" (func $table_id (param i32 i32 i32) (result i32)))
  (import "spacetime_10.0" "datastore_insert_bsatn" (func $insert (param i32 i32 i32) (result i32)))
  {imports}
  (memory (export "memory") {pages})
  {data}
  (data (i32.const 256) "{definition}")

  (func $check (param i32) (if (local.get 0) (then unreachable)))
  (func $write (param $sink i32) (param $at i32) (param $len i32)
    (i32.store (i32.const 4) (local.get $len))
    (call $check (call $sink_write (local.get $sink) (local.get $at) (i32.const 4))))
  (func $args (param $source i32) (result i32)
    (if (i32.eqz (local.get $source)) (then (return (i32.const 0))))
    (i32.store (i32.const 4) (i32.const {args_bytes}))
    (drop (call $source_read (local.get $source) (i32.const 65536) (i32.const 4)))
    (i32.load (i32.const 4)))
  (func $table (param $name i32) (param $len i32) (result i32)
    (call $check (call $table_id (local.get $name) (local.get $len) (i32.const 8)))
    (i32.load (i32.const 8)))
  (func $put (param $name i32) (param $name_len i32) (param $at i32) (param $len i32)
    (local $table i32)
    (local.set $table (call $table (local.get $name) (local.get $name_len)))
    (i32.store (i32.const 4) (local.get $len))
    (call $check (call $insert (local.get $table) (local.get $at) (i32.const 4))))

  (func (export "__describe_module__") (param $sink i32)
    {when_asked}
    (call $write (local.get $sink) (i32.const 256) (i32.const {definition_len})))

  {functions})"#,
        definition = escaped(definition),
        definition_len = definition.len(),
    )
}

fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        write!(text, "\\{byte:02x}").expect("writing to a string succeeds");
    }
    text
}
