//! Values in clear form, from both encodings.

use super::*;
use muster_contract::rows::{ActiveConnection, PresenceSummary, RoleCount};
use muster_contract::shape::{ColumnShape, columns_of};
use muster_wire::sats::{ProductTypeElement, Serialize, SpacetimeType, bsatn, ser::serde::SerializeWrapper};

fn type_of<T: SpacetimeType>() -> ProductType {
    let element = |column: ColumnShape| ProductTypeElement::new_named(column.ty, column.name);
    ProductType { elements: columns_of::<T>().into_iter().map(element).collect() }
}

fn both_ways<T: SpacetimeType + Serialize>(row: &T) -> String {
    let ty = type_of::<T>();
    let from_bsatn = row_from_bsatn(&ty, &bsatn::to_vec(row).expect("encodes")).expect("reads");
    let sats_json = serde_json::to_string(SerializeWrapper::from_ref(row)).expect("encodes");
    assert_eq!(from_sats_json(&AlgebraicType::Product(ty), &sats_json), Ok(from_bsatn.clone()), "{sats_json}");
    from_bsatn.to_string()
}

#[test]
fn a_row_reads_as_a_person_would_write_it() {
    let row = ActiveConnection {
        connection_id: ConnectionId::from_u128(u128::MAX - 0xab),
        identity: Identity::from_hex("c2".to_string() + &"0".repeat(60) + "ff").expect("an identity"),
        role: "desktop".into(),
        client_id: Some("desk-1".into()),
        client_build: None,
        connected_at: Timestamp::from_micros_since_unix_epoch(1_700_000_000_000_001),
    };
    assert_eq!(
        both_ways(&row),
        concat!(
            r#"{"connection_id":"ffffffffffffffffffffffffffffff54","#,
            r#""identity":"c2000000000000000000000000000000000000000000000000000000000000ff","#,
            r#""role":"desktop","client_id":"desk-1","client_build":null,"connected_at":"2023-11-14T22:13:20.000001Z"}"#
        )
    );
}

#[test]
fn nested_rows_keep_their_names() {
    let row = PresenceSummary {
        id: 0,
        total: 2,
        by_role: vec![RoleCount { role: "anonymous".into(), count: 2 }],
        counted_at: Timestamp::UNIX_EPOCH,
    };
    assert_eq!(
        both_ways(&row),
        r#"{"id":0,"total":2,"by_role":[{"role":"anonymous","count":2}],"counted_at":"1970-01-01T00:00:00Z"}"#
    );
}

#[derive(SpacetimeType)]
#[sats(crate = muster_wire::sats)]
enum Colour {
    Red,
    Other(String),
}

#[derive(SpacetimeType)]
#[sats(crate = muster_wire::sats)]
struct Odd {
    bytes: Vec<u8>,
    wide: u128,
    not_a_number: f64,
    half: f32,
    colours: Vec<Colour>,
    maybe: Option<Option<u8>>,
    took: TimeDuration,
}

#[test]
fn what_json_has_no_word_for_is_text() {
    let row = Odd {
        bytes: vec![0xde, 0xad],
        wide: u128::MAX,
        not_a_number: f64::NAN,
        half: 0.5,
        colours: vec![Colour::Red, Colour::Other("teal".into())],
        maybe: Some(None),
        took: TimeDuration::from_micros(-1_500_000),
    };
    // Not through JSON: it has no NaN to come from.
    let clear = row_from_bsatn(&type_of::<Odd>(), &bsatn::to_vec(&row).expect("encodes")).expect("reads");
    assert_eq!(
        clear.to_string(),
        concat!(
            r#"{"bytes":"dead","wide":"340282366920938463463374607431768211455","not_a_number":"NaN","half":0.5,"#,
            r#""colours":["red",{"other":"teal"}],"maybe":{"some":null},"took":"-1.500000s"}"#
        )
    );
}

#[test]
fn a_row_of_another_shape_is_an_error() {
    let ty = type_of::<RoleCount>();
    assert!(row_from_bsatn(&ty, &[1, 0, 0, 0]).is_err(), "too short");
    let mut long = bsatn::to_vec(&RoleCount { role: "x".into(), count: 1 }).expect("encodes");
    long.push(0);
    assert!(row_from_bsatn(&ty, &long).is_err(), "too long");
    let recursive = ProductType::from([("next", AlgebraicType::Ref(muster_wire::sats::AlgebraicTypeRef(0)))]);
    assert!(row_from_bsatn(&recursive, &[]).is_err(), "contains itself");
}
