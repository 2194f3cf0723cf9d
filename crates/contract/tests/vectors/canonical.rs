//! Canonical JSON and its hash.

use muster_contract::PayloadError;
use muster_contract::canonical::canonicalize;
use muster_contract::limits::PAYLOAD_DEPTH_MAX;
use serde_json::{Value, json};

use crate::string;

pub(crate) fn inputs() -> Vec<Value> {
    let taken = [
        // RFC 8785 section 3.2.2.
        r#"{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
            "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/", "literals": [null, true, false]}"#,
        // RFC 8785 section 3.2.3.
        r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#,
        "null",
        " [ ] ",
        "{}",
        "\"\"",
        r#"{"b":1,"a":{"d":[{"z":0,"y":0}],"c":0},"":0,"B":0,"10":0,"9":0}"#,
        r#"{"a":1,"\n":2,"\"":3,"\u0021":4}"#,
        "\"\\u0000\\u001F\\u007f\\u2028\\b\\t\\n\\f\\r\\/\"",
        r#""\uD83D\uDE02 \u00e9 e\u0301""#,
        "[0,-0,0.0,-0.0,0e9,1.0,100e-2,1E2]",
        "[1e20,1e21,1e-6,1e-7,123456789012345680000,0.1,-1.5e-9,5e-324,1.7976931348623157e308,1e-400]",
        "[9007199254740991,9007199254740992,9007199254740994,-9007199254740992,9007199254740993.0]",
        "[18446744073709552000,1000000000000000000000,-1200000000000000000000000,1e+21]",
        "[333333333.33333325,1424953923781206.2,-0.0000033333333333333333,9.999999999999997e22,1e23]",
    ];
    let refused = [
        "",
        "nul",
        "NaN",
        "Infinity",
        "01",
        "1.",
        "+1",
        ".5",
        "[1,]",
        r#"{"a":1,}"#,
        "{a:1}",
        "'a'",
        "\"a\nb\"",
        r#""\x""#,
        r#""\u12""#,
        "{} {}",
        "\u{feff}{}",
        "// a\n1",
        r#"{"a":1,"b":2,"a":3}"#,
        r#"{"a":1,"\u0061":1}"#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#"["\ud800\u0041"]"#,
        "1e400",
        "[9007199254740993]",
        "9223372036854775807",
        "18446744073709551615",
        "1000000000000000000001",
    ];
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep = [nested(PAYLOAD_DEPTH_MAX), nested(PAYLOAD_DEPTH_MAX + 1)];
    let texts = taken.into_iter().chain(refused).map(String::from).chain(deep).map(|json| json!({ "json": json }));
    let bytes = ["2261ff22", "22eda08022", "22c08022", "227b"].map(|hex| json!({ "hex": hex }));
    texts.chain(bytes).collect()
}

pub(crate) fn answer(given: &Value) -> Value {
    let bytes = match string(given, "json") {
        Some(text) => text.as_bytes().to_vec(),
        None => unhex(string(given, "hex").expect("json or hex")),
    };
    match canonicalize(bytes) {
        Ok(canonical) => json!({ "canonical": canonical.as_str(), "hash": canonical.hash() }),
        Err(error) => {
            let (error, at) = reason(&error);
            json!({ "error": error, "at": at })
        }
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn reason(error: &PayloadError) -> (&'static str, usize) {
    match *error {
        PayloadError::InvalidUtf8 { at } => ("invalid_utf8", at),
        PayloadError::Syntax { at, .. } => ("syntax", at),
        PayloadError::TooDeep { at } => ("too_deep", at),
        PayloadError::DuplicateKey { at, .. } => ("duplicate_key", at),
        PayloadError::LoneSurrogate { at } => ("lone_surrogate", at),
        PayloadError::NumberOutOfRange { at } => ("number_out_of_range", at),
        PayloadError::LossyInteger { at, .. } => ("lossy_integer", at),
        PayloadError::NotCanonical { at } => ("not_canonical", at),
    }
}
