//! Values that hosts write into JSON in more than one way.
//!
//! What always holds: every form seen on a 2.x host or in SpacetimeDB's pages is read; anything else is an error text,
//! never a guess.

use serde_json::Value;
use spacetimedb_lib::Identity;

/// An identity: 64 hexadecimal digits, or a number as `0x…` (SATS-JSON, which drops leading zeros), perhaps wrapped as
/// `{"__identity__": …}`.
pub(super) fn identity(value: &Value) -> Result<Identity, String> {
    let wrong = || format!("`{value}` is not an identity");
    let digits = digits(text(value).ok_or_else(wrong)?).ok_or_else(wrong)?;
    Identity::from_hex(digits).map_err(|_| wrong())
}

/// A hash as 64 hexadecimal digits in the order of its bytes, which is how people and the official command line write
/// it. SATS-JSON writes the same hash as the number whose *little-endian* bytes it is: `0x…`, the last byte first.
pub(super) fn hash(value: &Value) -> Result<String, String> {
    let wrong = || format!("`{value}` is not a hash");
    let text = text(value).ok_or_else(wrong)?;
    let digits = digits(text).ok_or_else(wrong)?;
    if !text.starts_with("0x") {
        return Ok(digits);
    }
    let bytes: Vec<_> = (0..digits.len()).step_by(2).map(|at| &digits[at..at + 2]).collect();
    Ok(bytes.into_iter().rev().collect())
}

/// 64 lower-case hexadecimal digits; a number is filled up with zeros.
fn digits(text: &str) -> Option<String> {
    let digits = match text.strip_prefix("0x") {
        Some(number) => format!("{number:0>64}"),
        None => text.to_string(),
    };
    let valid = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| digits.to_ascii_lowercase())
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
pub(super) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::String(inside) => Some(inside),
        Value::Object(fields) if fields.len() == 1 => text(fields.values().next()?),
        Value::Array(items) if items.len() == 1 => text(&items[0]),
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
    fn a_number_may_have_lost_its_leading_zeros() {
        let short = identity(&json!("0x7")).expect("a number");
        assert_eq!(short, Identity::from_hex("0".repeat(63) + "7").expect("an identity"));
        assert!(identity(&json!("7")).is_err());
        assert!(identity(&json!(format!("0x{}", "1".repeat(65)))).is_err());
        assert!(identity(&json!("0xä")).is_err());
    }

    #[test]
    fn a_hash_reads_the_same_in_every_form() {
        let hash_of_module = spacetimedb_lib::hash_bytes(b"a module");
        let as_number = serde_json::to_value(hash_of_module).expect("a number");
        assert!(as_number.as_str().is_some_and(|text| text.starts_with("0x")), "{as_number}");
        let digits = hash_of_module.to_hex().to_string();
        assert_eq!(hash(&as_number), Ok(digits.clone()));
        assert_eq!(hash(&json!([as_number])), Ok(digits.clone()));
        assert_eq!(hash(&json!(digits)), Ok(digits));
        assert!(hash(&json!("no hash")).is_err());
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
