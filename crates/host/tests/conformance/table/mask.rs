//! What differs from run to run, made the same.

use serde_json::Value;

/// Names of JSON fields whose numbers are times, durations, sizes or random.
const VOLATILE: [&str; 12] = [
    "total_duration_micros",
    "ts",
    "timestamp",
    "line_number",
    "table_id",
    "reducer_id",
    "query_id",
    "__timestamp_micros_since_unix_epoch__",
    "__time_duration_micros__",
    "__connection_id__",
    "total_host_execution_duration_micros",
    "quanta",
];

/// A body with what is volatile masked: JSON by its fields, also one value a line; a key whole; other text by its words.
pub(super) fn mask(body: &str) -> String {
    if body.starts_with("-----BEGIN ") {
        return body
            .lines()
            .map(|line| if line.starts_with('-') { line } else { "<key>" })
            .collect::<Vec<_>>()
            .join(" ");
    }
    if body.starts_with('{') && body.lines().count() > 1 {
        return body.lines().map(mask).collect::<Vec<_>>().join(" ");
    }
    match serde_json::from_str::<Value>(body) {
        Ok(mut value @ (Value::Object(_) | Value::Array(_))) => {
            mask_value(&mut value);
            value.to_string()
        }
        _ => mask_words(body),
    }
}

fn mask_value(value: &mut Value) {
    match value {
        Value::String(text) => *text = mask_words(text),
        Value::Array(items) => items.iter_mut().for_each(mask_value),
        Value::Object(fields) => {
            for (name, value) in fields {
                if VOLATILE.contains(&name.as_str()) && value.is_number() {
                    *value = Value::String("<number>".into());
                } else {
                    mask_value(value);
                }
            }
        }
        _ => {}
    }
}

/// A path with what is volatile masked.
pub(super) fn mask_words_of_url(path: &str) -> String {
    mask_words(path)
}

fn mask_words(text: &str) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let mut out = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_word(c)).unwrap_or(from.len()));
        out.push_str(before);
        out.push_str(masked(word));
        rest = after;
    }
    out.push_str(rest);
    out
}

fn masked(word: &str) -> &str {
    let hex = word.strip_prefix("0x").unwrap_or(word);
    let is_hex = hex.bytes().all(|b| b.is_ascii_hexdigit());
    match hex.len() {
        64 if is_hex && hex.starts_with("c200") => "<identity>",
        64 if is_hex && hex.bytes().any(|b| b != b'0') => "<hash>",
        32 if is_hex => "<id>",
        _ if word.starts_with("eyJ") && word.matches('.').count() == 2 => "<token>",
        _ => word,
    }
}

#[test]
fn what_is_volatile_is_masked_and_nothing_else() {
    let identity = format!("c200{}", "a".repeat(60));
    assert_eq!(mask(&format!("{identity} may not")), "<identity> may not");
    assert_eq!(mask(r#"{"token":"eyJh.eyJp.c2ln","ts":5,"n":5}"#), r#"{"n":5,"token":"<token>","ts":"<number>"}"#);
    assert_eq!(mask(&"0".repeat(64)), "0".repeat(64));
    assert_eq!(mask("a/b?c=d"), "a/b?c=d");
}
