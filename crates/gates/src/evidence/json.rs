//! JSON that every reader reads alike: no object has a name twice.
//!
//! What always holds: readers differ in which of two equal names counts, so a statement that has any is refused, whoever
//! signed it.

use std::collections::HashSet;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Whether these bytes are JSON without equal names in any object; why not, if not.
pub(super) fn unambiguous(bytes: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<Unambiguous>(bytes).map(|Unambiguous| ()).map_err(|error| error.to_string())
}

struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unambiguous, D::Error> {
        deserializer.deserialize_any(Looking)
    }
}

struct Looking;

impl<'de> Visitor<'de> for Looking {
    type Value = Unambiguous;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_unit<E: Error>(self) -> Result<Unambiguous, E> {
        Ok(Unambiguous)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Unambiguous, A::Error> {
        while items.next_element::<Unambiguous>()?.is_some() {}
        Ok(Unambiguous)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unambiguous, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, Unambiguous)) = fields.next_entry::<String, Unambiguous>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format_args!("an object has the name {name:?} twice")));
            }
            names.insert(name);
        }
        Ok(Unambiguous)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_an_object_has_twice_is_seen_at_any_depth() {
        for fine in [r#"{"a":1,"b":{"a":[null,true,-1,0.5,"a","a"]},"c":[{"a":1},{"a":1}]}"#, "[]", "1"] {
            assert_eq!(unambiguous(fine.as_bytes()), Ok(()), "{fine}");
        }
        for wrong in [r#"{"a":1,"a":1}"#, r#"[{"b":{"a":1,"\u0061":2}}]"#, "{", r#"{"a":1} 1"#] {
            assert!(unambiguous(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
