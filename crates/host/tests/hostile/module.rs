//! A module that does what no module should, written as WebAssembly text; see `tests/common/wat.rs` for how that works.
//!
//! It has the public tables `item (text)`, `beat (number)` and `news (text)`, of which the last is an event table, so that
//! nothing of it stays; the reducers `add (text)`, `beat (number)` and `tell (text)`, which insert into them; and the
//! reducers `spin`, which never returns; `flood`, which inserts items and never returns; `swell`, which takes and fills
//! memory until it gets no more and then panics; and `recurse`, which calls itself for ever. The procedure `idle`
//! spins as well.

#[path = "../common/wat.rs"]
mod wat_module;

use spacetimedb_lib::db::raw_def::v9::{Lifecycle, TableAccess};
use spacetimedb_lib::db::raw_def::v10::RawModuleDefV10Builder;
use spacetimedb_lib::{AlgebraicType, ProductType};

use wat_module::{Text, assemble};

// The order of the definition.
const ADD: u32 = 0;
const BEAT: u32 = 1;
const TELL: u32 = 2;
const SPIN: u32 = 3;
const FLOOD: u32 = 4;
const SWELL: u32 = 5;
const RECURSE: u32 = 6;
/// `client_disconnected`, of the module that has it.
const GOODBYE: u32 = 7;

/// The bytes of the module.
pub(crate) fn module() -> Vec<u8> {
    made(definition(), "")
}

/// The bytes of the same module with a `client_disconnected` that never returns.
pub(crate) fn module_that_never_says_goodbye() -> Vec<u8> {
    let mut definition = definition();
    definition.add_lifecycle_reducer(Lifecycle::OnDisconnect, "client_disconnected", ProductType::unit());
    made(definition, "")
}

/// The bytes of a module with a reducer that takes a list of what takes no bytes.
pub(crate) fn module_with_a_list_of_nothing() -> Vec<u8> {
    let mut definition = definition();
    let list = AlgebraicType::array(AlgebraicType::unit());
    definition.add_reducer("swallow", ProductType::from([("many", list)]));
    made(definition, "")
}

/// The bytes of a module that never gets as far as saying what it is.
pub(crate) fn module_that_spins_when_asked() -> Vec<u8> {
    made(definition(), "(loop $again (br $again))")
}

fn made(definition: RawModuleDefV10Builder, when_asked: &str) -> Vec<u8> {
    let text = Text { imports: "", pages: 20, args_bytes: 1 << 20, data: DATA, when_asked, functions: &functions() };
    assemble(definition, &text)
}

fn definition() -> RawModuleDefV10Builder {
    let mut builder = RawModuleDefV10Builder::new();
    let row = ProductType::from([("text", AlgebraicType::String)]);
    let number = ProductType::from([("number", AlgebraicType::U64)]);
    builder.build_table_with_new_type("item", row.clone(), true).with_access(TableAccess::Public).finish();
    builder.build_table_with_new_type("beat", number.clone(), true).with_access(TableAccess::Public).finish();
    let news = builder.build_table_with_new_type("news", row.clone(), true);
    news.with_access(TableAccess::Public).with_event(true).finish();
    builder.add_reducer("add", row.clone());
    builder.add_reducer("beat", number);
    builder.add_reducer("tell", row);
    for name in ["spin", "flood", "swell", "recurse"] {
        builder.add_reducer(name, ProductType::unit());
    }
    builder.add_procedure("idle", ProductType::unit(), AlgebraicType::unit());
    builder
}

/// The tables' names, four bytes each.
const DATA: &str = r#"(data (i32.const 64) "itembeatnews")"#;

fn functions() -> String {
    format!(
        r#"(func $spin (loop $again (br $again)))
  ;; Rows of four bytes of length and eight of a number in hexadecimal digits' place.
  (func $flood (local $n i64)
    (i32.store (i32.const 65536) (i32.const 8))
    (loop $again
      (local.set $n (i64.add (local.get $n) (i64.const 1)))
      ;; Seven bits in each byte: always UTF-8, and another for each number.
      (i64.store (i32.const 65540) (i64.and (i64.mul (local.get $n) (i64.const 72624976668147841))
        (i64.const 0x7f7f7f7f7f7f7f7f)))
      (call $put (i32.const 64) (i32.const 4) (i32.const 65536) (i32.const 12))
      (br $again)))
  (func $swell (local $page i32)
    (loop $again
      (local.set $page (memory.grow (i32.const 256)))
      (if (i32.eq (local.get $page) (i32.const -1)) (then unreachable))
      (memory.fill (i32.mul (local.get $page) (i32.const 65536)) (i32.const 1) (i32.const 16777216))
      (br $again)))
  (func $recurse (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))

  (func (export "__call_reducer__")
    (param $id i32) (param i64 i64 i64 i64 i64 i64 i64) (param $source i32) (param $errors i32) (result i32)
    (if (i32.le_u (local.get $id) (i32.const {TELL})) (then
      (call $put
        (i32.add (i32.const 64) (i32.mul (i32.const 4) (local.get $id))) ;; {ADD}, {BEAT}, {TELL}, as the names lie
        (i32.const 4)
        (i32.const 65536)
        (call $args (local.get $source)))))
    (if (i32.eq (local.get $id) (i32.const {SPIN})) (then (call $spin)))
    (if (i32.eq (local.get $id) (i32.const {GOODBYE})) (then (call $spin)))
    (if (i32.eq (local.get $id) (i32.const {FLOOD})) (then (call $flood)))
    (if (i32.eq (local.get $id) (i32.const {SWELL})) (then (call $swell)))
    (if (i32.eq (local.get $id) (i32.const {RECURSE})) (then (drop (call $recurse (i32.const 0)))))
    (i32.const 0))

  (func (export "__call_procedure__")
    (param $id i32) (param i64 i64 i64 i64 i64 i64 i64) (param i32) (param $result i32) (result i32)
    (call $spin)
    (i32.const 0))"#
    )
}
