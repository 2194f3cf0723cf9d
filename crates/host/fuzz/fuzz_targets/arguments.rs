//! What the host decodes of a call's arguments: BSATN, or a JSON array, against the types of the function's parameters.
//!
//! The first byte chooses the format. The parameters here are one of every kind of type, nested. What must hold: no
//! panic, no overflow of the stack, no allocation out of proportion; and arguments that decode can be written in both
//! formats and read back as the same, which is what the engine does when it tells subscribers of `v1` about a call.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use serde::de::DeserializeSeed;
use spacetimedb_lib::de::serde::SeedWrapper;
use spacetimedb_lib::ser::serde::SerializeWrapper;
use spacetimedb_sats::{
    AlgebraicType, ProductType, ProductValue, Typespace, WithTypespace, bsatn, de::DeserializeSeed as SatsSeed,
};

static NO_TYPES: &Typespace = Typespace::EMPTY;

/// One of every kind, but for a list of what takes no bytes (`Vec<()>`): the engine believes its length, so that some bytes
/// become gigabytes. Found by this target; see docs/host-robustness.md.
static PARAMETERS: LazyLock<ProductType> = LazyLock::new(|| {
    let point = AlgebraicType::product([("x", AlgebraicType::F64), ("y", AlgebraicType::F32)]);
    let choice =
        AlgebraicType::sum([("None", AlgebraicType::unit()), ("Some", point.clone()), ("Text", AlgebraicType::String)]);
    ProductType::from([
        ("flag", AlgebraicType::Bool),
        ("small", AlgebraicType::I8),
        ("large", AlgebraicType::U64),
        ("huge", AlgebraicType::U256),
        ("text", AlgebraicType::String),
        ("bytes", AlgebraicType::bytes()),
        ("choice", choice.clone()),
        ("option", AlgebraicType::option(AlgebraicType::I128)),
        ("lists", AlgebraicType::array(AlgebraicType::array(choice))),
        ("who", AlgebraicType::identity()),
        ("when", AlgebraicType::timestamp()),
    ])
});

fuzz_target!(|data: &[u8]| {
    let Some((format, arguments)) = data.split_first() else { return };
    let value = match format % 2 {
        0 => from_bsatn(arguments),
        _ => std::str::from_utf8(arguments).ok().and_then(from_json),
    };
    let Some(value) = value else { return };
    let bytes = bsatn::to_vec(&value).expect("a value can be written");
    assert_eq!(from_bsatn(&bytes).as_ref(), Some(&value));
    // JSON has no infinities and no NaN; they become null, which is not read back.
    let json = serde_json::to_string(SerializeWrapper::from_ref(&value)).expect("a value can be written");
    let _ = from_json(&json);
});

fn from_bsatn(bytes: &[u8]) -> Option<ProductValue> {
    WithTypespace::new(NO_TYPES, &*PARAMETERS).deserialize(bsatn::Deserializer::new(&mut &*bytes)).ok()
}

fn from_json(text: &str) -> Option<ProductValue> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = SeedWrapper(WithTypespace::new(NO_TYPES, &*PARAMETERS)).deserialize(&mut json).ok()?;
    json.end().ok().map(|()| value)
}
