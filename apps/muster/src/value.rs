//! Database values in clear form: what a person reads and a script compares.
//!
//! What always holds: an identity and a connection id are hexadecimal digits, bytes too; a timestamp is RFC 3339 in UTC
//! with microseconds, a duration is seconds with six decimals and an `s`; integers beyond 64 bits, NaN and infinities,
//! which JSON has no numbers for, are texts; an option is the value or `null`; a variant without payload is its name,
//! another is `{"name": payload}`.

use muster_wire::sats::de::serde::SeedWrapper;
use muster_wire::sats::{
    AlgebraicType, AlgebraicValue, ArrayValue, ProductType, SumType, SumValue, WithTypespace, uuid::Uuid,
};
use muster_wire::{ConnectionId, Identity, TimeDuration, Timestamp};
use serde::de::DeserializeSeed;
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

/// A value in clear form. Serializes as the JSON that this file's head describes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Clear {
    /// What JSON has a word for.
    Plain(Json),
    /// Several of a kind, or a tuple.
    List(Vec<Clear>),
    /// Names and values, in the order of the type: `serde_json`'s own maps are sorted.
    Fields(Vec<(String, Clear)>),
}

impl Clear {
    /// One field alone.
    fn field(name: &str, value: Clear) -> Clear {
        Clear::Fields(vec![(name.into(), value)])
    }
}

impl Serialize for Clear {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Clear::Plain(json) => json.serialize(serializer),
            Clear::List(items) => serializer.collect_seq(items),
            Clear::Fields(fields) => serializer.collect_map(fields.iter().map(|(name, value)| (name, value))),
        }
    }
}

impl std::fmt::Display for Clear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// A row's bytes cannot be read as its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row cannot be read as its table's type ({0}); was the module changed in between? Run this again")]
pub(crate) struct UnreadableRow(String);

/// Reads one row in BSATN.
pub(crate) fn row_from_bsatn(ty: &ProductType, bytes: &[u8]) -> Result<Clear, UnreadableRow> {
    let ty = checked(&AlgebraicType::Product(ty.clone()))?.clone();
    let mut rest = bytes;
    let value = AlgebraicValue::decode(&ty, &mut rest).map_err(|error| UnreadableRow(error.to_string()))?;
    if !rest.is_empty() {
        return Err(UnreadableRow(format!("{} bytes are left over", rest.len())));
    }
    Ok(clear(&ty, value))
}

/// Reads one value in SATS-JSON, from its text: a parsed JSON value would have lost the digits of large integers.
pub(crate) fn from_sats_json(ty: &AlgebraicType, json: &str) -> Result<Clear, UnreadableRow> {
    let seed = SeedWrapper(WithTypespace::empty(checked(ty)?));
    let value = seed
        .deserialize(&mut serde_json::Deserializer::from_str(json))
        .map_err(|error| UnreadableRow(error.to_string()))?;
    Ok(clear(ty, value))
}

/// Types that contain themselves cannot be followed without their typespace, and the library panics on them.
fn checked(ty: &AlgebraicType) -> Result<&AlgebraicType, UnreadableRow> {
    let refers = match ty {
        AlgebraicType::Ref(_) => true,
        AlgebraicType::Product(product) => {
            product.elements.iter().any(|element| checked(&element.algebraic_type).is_err())
        }
        AlgebraicType::Sum(sum) => sum.variants.iter().any(|variant| checked(&variant.algebraic_type).is_err()),
        AlgebraicType::Array(array) => checked(&array.elem_ty).is_err(),
        _ => false,
    };
    if refers { Err(UnreadableRow("its type contains itself".into())) } else { Ok(ty) }
}

fn clear(ty: &AlgebraicType, value: AlgebraicValue) -> Clear {
    match (ty, value) {
        (AlgebraicType::Product(ty), AlgebraicValue::Product(product)) => product_of(ty, product.elements.into_vec()),
        (AlgebraicType::Sum(ty), AlgebraicValue::Sum(sum)) => variant_of(ty, sum),
        (AlgebraicType::Array(_), AlgebraicValue::Array(ArrayValue::U8(bytes))) => {
            Clear::Plain(json!(hex::encode(bytes)))
        }
        (AlgebraicType::Array(ty), AlgebraicValue::Array(array)) => {
            Clear::List(array.into_iter().map(|item| clear(&ty.elem_ty, item)).collect())
        }
        (_, scalar) => Clear::Plain(scalar_of(scalar)),
    }
}

fn product_of(ty: &ProductType, elements: Vec<AlgebraicValue>) -> Clear {
    if let Some(special) = special(ty, &elements) {
        return Clear::Plain(special);
    }
    let fields = ty.elements.iter().zip(elements);
    // A tuple has no names.
    if ty.elements.iter().any(|element| element.name.is_none()) {
        return Clear::List(fields.map(|(element, value)| clear(&element.algebraic_type, value)).collect());
    }
    let named = fields.map(|(element, value)| {
        let name = element.name.as_ref().map(ToString::to_string).unwrap_or_default();
        (name, clear(&element.algebraic_type, value))
    });
    Clear::Fields(named.collect())
}

/// SpacetimeDB's special types (its SATS page, "Special types"): products of one field with a reserved name.
fn special(ty: &ProductType, elements: &[AlgebraicValue]) -> Option<Json> {
    let [element] = elements else { return None };
    match element {
        AlgebraicValue::U256(value) if ty.is_identity() => Some(json!(Identity::from_u256(**value).to_hex().as_str())),
        AlgebraicValue::U128(value) if ty.is_connection_id() => {
            Some(json!(ConnectionId::from_u128(value.0).to_hex().as_str()))
        }
        AlgebraicValue::U128(value) if ty.is_uuid() => Some(json!(Uuid::from_u128(value.0).to_string())),
        AlgebraicValue::I64(micros) if ty.is_timestamp() => {
            Some(json!(rfc3339(Timestamp::from_micros_since_unix_epoch(*micros))))
        }
        AlgebraicValue::I64(micros) if ty.is_time_duration() => {
            Some(json!(seconds(TimeDuration::from_micros(*micros))))
        }
        _ => None,
    }
}

fn variant_of(ty: &SumType, sum: SumValue) -> Clear {
    let Some(variant) = ty.variants.get(usize::from(sum.tag)) else { return Clear::Plain(Json::Null) };
    let payload = clear(&variant.algebraic_type, *sum.value);
    let name = variant.name.as_ref().map_or_else(|| sum.tag.to_string(), ToString::to_string);
    match ty.as_option() {
        // An option in an option keeps its layers, or `some(none)` would look like `none`.
        Some(inner) if inner.is_option() && name == "some" => Clear::field("some", payload),
        Some(_) if name == "some" => payload,
        Some(_) => Clear::Plain(Json::Null),
        None if variant.algebraic_type == AlgebraicType::unit() => Clear::Plain(Json::String(name)),
        None => Clear::field(&name, payload),
    }
}

fn scalar_of(value: AlgebraicValue) -> Json {
    match value {
        AlgebraicValue::Bool(value) => json!(value),
        AlgebraicValue::I8(value) => json!(value),
        AlgebraicValue::U8(value) => json!(value),
        AlgebraicValue::I16(value) => json!(value),
        AlgebraicValue::U16(value) => json!(value),
        AlgebraicValue::I32(value) => json!(value),
        AlgebraicValue::U32(value) => json!(value),
        AlgebraicValue::I64(value) => json!(value),
        AlgebraicValue::U64(value) => json!(value),
        AlgebraicValue::I128(value) => json!({ value.0 }.to_string()),
        AlgebraicValue::U128(value) => json!({ value.0 }.to_string()),
        AlgebraicValue::I256(value) => json!(value.to_string()),
        AlgebraicValue::U256(value) => json!(value.to_string()),
        AlgebraicValue::F32(value) => float(value.into_inner().into(), value.to_string()),
        AlgebraicValue::F64(value) => float(value.into_inner(), value.to_string()),
        AlgebraicValue::String(value) => json!(&*value),
        // Composite values are read with their types, which are composite too.
        AlgebraicValue::Product(_) | AlgebraicValue::Sum(_) | AlgebraicValue::Array(_) => Json::Null,
        // The ends of ranges in queries; no row has them.
        AlgebraicValue::Min | AlgebraicValue::Max => Json::Null,
    }
}

fn float(value: f64, text: String) -> Json {
    serde_json::Number::from_f64(value).map_or(Json::String(text), Json::Number)
}

/// A timestamp as RFC 3339 in UTC; one beyond the years that it can write, as microseconds since 1970.
pub(crate) fn rfc3339(timestamp: Timestamp) -> String {
    match timestamp.to_rfc3339() {
        Ok(text) => text.replace("+00:00", "Z"),
        Err(_) => format!("{} µs", timestamp.to_micros_since_unix_epoch()),
    }
}

fn seconds(duration: TimeDuration) -> String {
    let micros = duration.to_micros();
    let sign = if micros < 0 { "-" } else { "" };
    let (whole, rest) = (micros.unsigned_abs() / 1_000_000, micros.unsigned_abs() % 1_000_000);
    format!("{sign}{whole}.{rest:06}s")
}

#[cfg(test)]
mod tests;
