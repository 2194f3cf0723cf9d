//! Values that hosts write into JSON in more than one way.
//!
//! What always holds: every form seen on a 2.x host or in SpacetimeDB's pages is read; anything else is an error text,
//! never a guess.

use serde_json::Value;
use spacetimedb_lib::Identity;

/// An identity: a hexadecimal string, or wrapped as `{"__identity__": "0x…"}` (SATS-JSON).
pub(super) fn identity(value: &Value) -> Result<Identity, String> {
    let text = unwrapped(value).ok_or_else(|| format!("`{value}` is not an identity"))?;
    Identity::from_hex(text.trim_start_matches("0x")).map_err(|error| format!("`{text}` is not an identity ({error})"))
}

/// A hash: 64 hexadecimal digits without `0x`.
pub(super) fn hash(value: &Value) -> Result<String, String> {
    let text = unwrapped(value).map(|text| text.trim_start_matches("0x").to_ascii_lowercase());
    text.filter(|text| text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .ok_or_else(|| format!("`{value}` is not a hash"))
}

/// The name of a variant without payload: `"Wasm"`, or `{"Wasm": []}` (SATS-JSON).
pub(super) fn variant(value: &Value) -> Option<&str> {
    match value {
        Value::String(name) => Some(name),
        Value::Object(fields) if fields.len() == 1 => fields.keys().next().map(String::as_str),
        _ => None,
    }
}

/// The payload of an option: `null` or the value, or `{"none": []}` or `{"some": value}` (SATS-JSON).
pub(super) fn option(value: &Value) -> Option<&Value> {
    match value {
        Value::Null => None,
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("none") => None,
        Value::Object(fields) if fields.len() == 1 && fields.contains_key("some") => fields.get("some"),
        value => Some(value),
    }
}

/// The string inside objects and arrays of one element.
fn unwrapped(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        Value::Object(fields) if fields.len() == 1 => unwrapped(fields.values().next()?),
        Value::Array(items) if items.len() == 1 => unwrapped(&items[0]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_form_of_an_identity_is_read() {
        let hex = "c200".to_string() + &"0".repeat(59) + "7";
        let expected = Identity::from_hex(&hex).expect("an identity");
        for form in [json!(hex), json!(format!("0x{hex}")), json!({ "__identity__": format!("0x{hex}") }), json!([hex])]
        {
            assert_eq!(identity(&form), Ok(expected), "{form}");
        }
        assert!(identity(&json!("c200")).is_err());
        assert!(identity(&json!({ "a": 1, "b": 2 })).is_err());
    }

    #[test]
    fn options_and_variants_have_two_forms() {
        assert_eq!(option(&json!({ "none": [] })), None);
        assert_eq!(option(&Value::Null), None);
        assert_eq!(option(&json!({ "some": "x" })), Some(&json!("x")));
        assert_eq!(option(&json!("x")), Some(&json!("x")));
        assert_eq!(variant(&json!({ "Wasm": [] })), Some("Wasm"));
        assert_eq!(variant(&json!("wasm")), Some("wasm"));
    }
}
