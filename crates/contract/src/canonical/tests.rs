use proptest::prelude::*;
use serde::Serialize;
use serde_json::Value;

use super::*;

fn canonical(json: &str) -> Result<String, PayloadError> {
    canonicalize(json).map(CanonicalJson::into_string)
}

#[test]
fn the_example_of_rfc_8785_comes_out_as_its_bytes_say() {
    // Section 3.2.2 in, section 3.2.4 out.
    let json = r#"{
        "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
        "literals": [null, true, false]
    }"#;
    let bytes = "7b226c69746572616c73223a5b6e756c6c2c747275652c66616c73655d2c226e756d62657273223a5b333333333333333333\
                 2e333333333333332c31652b33302c342e352c302e3030322c31652d32375d2c22737472696e67223a22e282ac245c7530\
                 3030665c6e4127425c225c5c5c5c5c222f227d";
    let hex: String = canonicalize(json).expect("json").as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, bytes);
}

#[test]
fn keys_are_sorted_by_their_utf_16_code_units_as_in_rfc_8785() {
    // Section 3.2.3: the smiley (D83D DE02) comes before the Hebrew letter (FB33).
    let json = r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",
        "\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}"#;
    let text = canonical(json).expect("json");
    let order: Vec<usize> = ["Carriage", "One", "Control", "Latin", "Euro", "Emoji", "Hebrew"]
        .map(|word| text.find(word).expect(word))
        .into();
    assert!(order.is_sorted(), "{text}");
}

#[test]
fn a_key_is_sorted_by_what_it_means_and_not_by_how_it_is_escaped() {
    assert_eq!(canonical(r#"{"a":1,"\n":2,"\"":3,"\u0021":4}"#).as_deref(), Ok(r#"{"\n":2,"!":4,"\"":3,"a":1}"#));
}

#[test]
fn the_same_key_twice_is_refused_however_it_is_written() {
    let refused = |json: &str| canonical(json).expect_err(json);
    let key = |at, key: &str| PayloadError::DuplicateKey { at, key: key.into() };
    assert_eq!(refused(r#"{"a":1,"b":2,"a":3}"#), key(13, "a"));
    assert_eq!(refused(r#"{"a":1,"\u0061":1}"#), key(7, "a"));
    assert_eq!(refused(r#"[{"x":{"":0,"":0}}]"#), key(12, ""));
    assert_eq!(canonical(r#"{"a":{"a":{"a":1}}}"#).as_deref(), Ok(r#"{"a":{"a":{"a":1}}}"#));
}

#[test]
fn half_a_surrogate_pair_is_refused() {
    for json in
        [r#""\ud800""#, r#""\udc00""#, r#""\ud800\ud800""#, r#""\ud800x""#, r#""\ud800\n""#, r#""\udead\ud83d""#]
    {
        assert_eq!(canonical(json), Err(PayloadError::LoneSurrogate { at: 1 }), "{json}");
    }
    assert_eq!(canonical(r#""\uD83D\uDE02""#).as_deref(), Ok("\"😂\""));
}

#[test]
fn numbers_that_would_change_their_value_are_refused_where_they_stand() {
    assert_eq!(canonical("[1,1e400]"), Err(PayloadError::NumberOutOfRange { at: 3 }));
    let becomes = "9007199254740992".to_owned();
    assert_eq!(canonical(r#"{"n":9007199254740993}"#), Err(PayloadError::LossyInteger { at: 5, becomes }));
    assert!(CanonicalJson::from_value(&Value::from(u64::MAX)).is_err());
}

#[test]
fn what_is_no_json_is_refused_with_its_place() {
    for (json, at) in [
        ("", 0),
        (" ", 1),
        ("NaN", 0),
        ("-Infinity", 1),
        ("nul", 0),
        ("truex", 4),
        ("01", 1),
        ("--1", 1),
        ("-", 1),
        ("1.", 2),
        ("1e", 2),
        ("+1", 0),
        (".5", 0),
        ("[1,]", 3),
        ("[1 2]", 3),
        ("{\"a\":1,}", 7),
        ("{a:1}", 1),
        ("{\"a\" 1}", 5),
        ("{\"a\":}", 5),
        ("\"a", 2),
        ("\"a\nb\"", 2),
        ("\"\\x\"", 2),
        ("\"\\u12\"", 3),
        ("\"\\u+123\"", 3),
        ("[", 1),
        ("{}{}", 2),
        ("\u{feff}{}", 0),
        ("// a\n1", 0),
    ] {
        match canonical(json) {
            Err(PayloadError::Syntax { at: found, .. }) => assert_eq!(found, at, "{json:?}"),
            other => panic!("{json:?} gave {other:?}"),
        }
    }
    assert_eq!(canonicalize(b"\"a\xff\""), Err(PayloadError::InvalidUtf8 { at: 2 }));
    assert_eq!(canonicalize(b"\"\xed\xa0\x80\""), Err(PayloadError::InvalidUtf8 { at: 1 }));
}

#[test]
fn nesting_is_limited_to_what_readers_can_parse() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deepest = nested(PAYLOAD_DEPTH_MAX);
    assert_eq!(canonical(&deepest).as_deref(), Ok(deepest.as_str()));
    serde_json::from_str::<Value>(&deepest).expect("serde_json reads what was taken");
    assert_eq!(canonical(&nested(PAYLOAD_DEPTH_MAX + 1)), Err(PayloadError::TooDeep { at: PAYLOAD_DEPTH_MAX }));
    assert_eq!(
        canonical(&"[{\"a\":".repeat(500_000)),
        Err(PayloadError::TooDeep { at: 6 * (PAYLOAD_DEPTH_MAX / 2) + 1 })
    );
}

#[test]
fn a_receiver_can_tell_canonical_from_other_text() {
    assert!(is_canonical(r#"{"a":1,"b":[]}"#));
    assert!(!is_canonical(r#"{"b":[],"a":1}"#));
    assert!(!is_canonical("1.0"));
    assert_eq!(CanonicalJson::check(r#"{"a": 1}"#.into()), Err(PayloadError::NotCanonical { at: 5 }));
    assert_eq!(CanonicalJson::check("1 ".into()), Err(PayloadError::NotCanonical { at: 1 }));
}

/// The canonical form by another implementation.
fn other_canonical(value: &Value) -> String {
    let mut out = Vec::new();
    let mut writer = serde_json::Serializer::with_formatter(&mut out, canon_json::CanonicalFormatter::new());
    value.serialize(&mut writer).expect("a value");
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Doubles of at most 15 digits, which have one shortest text and so the same in every implementation. For the others see
/// `number`.
fn doubles() -> impl Strategy<Value = f64> {
    let digits = -999_999_999_999_999i64..=999_999_999_999_999;
    (digits, 0u32..16, -330i32..293).prop_map(|(digits, fewer, exponent)| {
        format!("{}e{exponent}", digits / 10i64.pow(fewer)).parse().expect("a number")
    })
}

/// Values with the keys, strings and numbers that canonical form is about.
fn values() -> impl Strategy<Value = Value> {
    let texts = || {
        prop_oneof![
            "[a-c\"\\\\/\n\t\u{0}\u{1f}\u{7f}\u{80}é€\u{d7ff}\u{e000}\u{fb33}\u{ffff}😂\u{10ffff}]{0,4}",
            any::<String>(),
        ]
    };
    // Where `canon-json` stops: readers with doubles tell these apart.
    let safe = -(1i64 << 53) + 1..=(1 << 53) - 1;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        safe.prop_map(Value::from),
        doubles().prop_map(Value::from),
        texts().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((texts(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// JSON, and what is nearly JSON.
fn texts() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "{", "}", "[", "]", ",", ":", "\"", "\"a\"", "\"b\":", "\\u00e9", "\\ud83d", "\\ude00", "\\n", "\\", "0", "1",
        "-", ".5", "e9", "E-2", "true", "null", " ", "\n", "\u{b}", "é", "\u{1}",
    ]);
    let mangled = (values(), any::<prop::sample::Index>(), any::<char>()).prop_map(|(value, place, char)| {
        let mut chars: Vec<char> = value.to_string().chars().collect();
        let place = place.index(chars.len());
        chars[place] = char;
        chars.into_iter().collect()
    });
    prop_oneof![prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()), mangled]
}

proptest! {
    #[test]
    fn every_value_comes_out_as_another_implementation_writes_it(value in values()) {
        let expected = other_canonical(&value);
        prop_assert_eq!(CanonicalJson::from_value(&value).map(CanonicalJson::into_string), Ok(expected.clone()));
        // However it was spaced and escaped.
        let spaced = serde_json::to_string_pretty(&value).expect("a value");
        prop_assert_eq!(canonical(&spaced), Ok(expected.clone()));
        let units = |text: &str| text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect::<String>();
        let escaped: String = value.to_string().split_inclusive('\u{20ac}').map(|part| match part.strip_suffix('€') {
            Some(before) => before.to_owned() + &units("€"),
            None => part.to_owned(),
        }).collect();
        prop_assert_eq!(canonical(&escaped), Ok(expected));
    }

    #[test]
    fn canonical_text_is_its_own_canonical_form_and_means_the_same(value in values()) {
        let text = CanonicalJson::from_value(&value).expect("a value").into_string();
        prop_assert!(is_canonical(&text));
        prop_assert_eq!(CanonicalJson::check(text.clone()).expect("canonical").into_string(), text);
    }

    #[test]
    fn what_is_taken_is_what_serde_json_takes(text in texts()) {
        match canonical(&text) {
            Ok(out) => {
                prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{text:?} is no JSON");
                prop_assert!(is_canonical(out));
            }
            Err(PayloadError::Syntax { .. } | PayloadError::LoneSurrogate { .. }) => {
                prop_assert!(serde_json::from_str::<Value>(&text).is_err(), "{text:?} is JSON");
            }
            Err(_) => {}
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        let _ = canonicalize(bytes);
    }
}
