//! The shape of tables: what a client expects, what a host says, and the first place where they part.
//!
//! What always holds: BSATN rows carry no names and no types, so a client that decodes a row of another shape reads
//! noise, or nothing. Therefore the shapes are compared before the first row is decoded. Columns compare by position,
//! name and whole type; columns that the host has *behind* the expected ones do no harm (a migration may add columns at
//! the end) and are allowed.

use spacetimedb_sats::typespace::TypespaceBuilder;
use spacetimedb_sats::{AlgebraicType, AlgebraicTypeRef, SpacetimeType};

use crate::rows::{ActiveConnection, ContractInfo, Person, PresenceSummary, Row, SyncSignal};

/// One column: its name and its type with every reference resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnShape {
    /// The column's name.
    pub name: String,
    /// The column's type.
    pub ty: AlgebraicType,
}

/// One table: its name and its columns in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// The table's name.
    pub table: String,
    /// The columns, in storage order.
    pub columns: Vec<ColumnShape>,
}

/// Where two shapes part: the first difference found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeMismatch {
    /// The host has no such table.
    #[error("table `{table}` does not exist on the host")]
    NoSuchTable {
        /// The expected table.
        table: String,
    },
    /// The table exists, but sessions may not read it.
    #[error("table `{table}` is private on the host, and this client needs to read it")]
    NotPublic {
        /// The expected table.
        table: String,
    },
    /// The host's table ends before this column.
    #[error("table `{table}` has no column `{column}`: expected {expected} at position {position}")]
    NoSuchColumn {
        /// The table.
        table: String,
        /// The expected column.
        column: String,
        /// Its position, from 0.
        position: usize,
        /// Its expected type.
        expected: String,
    },
    /// Another column stands at this position.
    #[error("table `{table}` has column `{found}` at position {position}, where `{column}` was expected")]
    OtherColumn {
        /// The table.
        table: String,
        /// The expected column.
        column: String,
        /// The position, from 0.
        position: usize,
        /// The column that the host has there.
        found: String,
    },
    /// The column's type differs.
    #[error("table `{table}`, column `{column}`: expected type {expected}, the host has {found}")]
    OtherType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type this client decodes.
        expected: String,
        /// The type the host has.
        found: String,
    },
}

/// A table as a host describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedTable {
    /// Name and columns.
    pub shape: TableShape,
    /// Whether sessions other than the owner's may read it.
    pub public: bool,
}

impl TableShape {
    /// The shape of the rows of `R`.
    pub fn of<R: Row>() -> TableShape {
        TableShape { table: R::TABLE.into(), columns: columns_of::<R>() }
    }

    /// Compares a host's tables with this expectation.
    ///
    /// # Errors
    /// The first difference, in column order.
    pub fn check(&self, observed: &[ObservedTable]) -> Result<(), ShapeMismatch> {
        let table = || self.table.clone();
        let found = observed
            .iter()
            .find(|candidate| candidate.shape.table == self.table)
            .ok_or_else(|| ShapeMismatch::NoSuchTable { table: table() })?;
        if !found.public {
            return Err(ShapeMismatch::NotPublic { table: table() });
        }
        for (position, expected) in self.columns.iter().enumerate() {
            let column = || expected.name.clone();
            match found.shape.columns.get(position) {
                None => {
                    return Err(ShapeMismatch::NoSuchColumn {
                        table: table(),
                        column: column(),
                        position,
                        expected: render(&expected.ty),
                    });
                }
                Some(other) if other.name != expected.name => {
                    return Err(ShapeMismatch::OtherColumn {
                        table: table(),
                        column: column(),
                        position,
                        found: other.name.clone(),
                    });
                }
                Some(other) if other.ty != expected.ty => {
                    return Err(ShapeMismatch::OtherType {
                        table: table(),
                        column: column(),
                        expected: render(&expected.ty),
                        found: render(&other.ty),
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// The tables that every client of this build reads.
pub fn expected_tables() -> Vec<TableShape> {
    vec![
        TableShape::of::<Person>(),
        TableShape::of::<ActiveConnection>(),
        TableShape::of::<PresenceSummary>(),
        TableShape::of::<ContractInfo>(),
        TableShape::of::<SyncSignal>(),
    ]
}

/// The columns of a row type, with every type written out in place.
///
/// # Panics
/// If `T` is not a struct with named fields, which no row type is.
pub fn columns_of<T: SpacetimeType>() -> Vec<ColumnShape> {
    let AlgebraicType::Product(product) = T::make_type(&mut InPlace) else {
        panic!("a row type is a struct");
    };
    product
        .elements
        .iter()
        .map(|element| ColumnShape {
            name: element.name().expect("a row type has named fields").to_string(),
            ty: as_hosts_say(&element.algebraic_type),
        })
        .collect()
}

/// A type as a host describes it: SpacetimeDB writes the variants of a module's enums in camel case, whatever they are
/// called in the module (its page on case conversion).
fn as_hosts_say(ty: &AlgebraicType) -> AlgebraicType {
    let mut ty = ty.clone();
    match &mut ty {
        AlgebraicType::Sum(sum) => {
            for variant in &mut sum.variants {
                variant.name = variant.name.as_deref().map(|name| camel_case(name).into());
                variant.algebraic_type = as_hosts_say(&variant.algebraic_type);
            }
        }
        AlgebraicType::Product(product) => {
            for element in &mut product.elements {
                element.algebraic_type = as_hosts_say(&element.algebraic_type);
            }
        }
        AlgebraicType::Array(array) => *array.elem_ty = as_hosts_say(&array.elem_ty),
        _ => {}
    }
    ty
}

/// `FollowEnded` as `followEnded`.
fn camel_case(pascal_case: &str) -> String {
    let mut chars = pascal_case.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + chars.as_str())
}

/// A typespace that writes every nested type out where it is used, so that two types compare by structure alone.
/// Recursive types would not end; no column has one.
struct InPlace;

impl TypespaceBuilder for InPlace {
    fn add(
        &mut self,
        _: std::any::TypeId,
        _: Option<&'static str>,
        make_ty: impl FnOnce(&mut Self) -> AlgebraicType,
    ) -> AlgebraicType {
        make_ty(self)
    }
}

/// A type as a person reads it: `Identity`, `Option<String>`, `Array<{role: String, count: U32}>`.
pub fn render(ty: &AlgebraicType) -> String {
    for (name, special) in special_types() {
        if *ty == special {
            return name.into();
        }
    }
    match ty {
        AlgebraicType::Ref(AlgebraicTypeRef(index)) => format!("Ref({index})"),
        AlgebraicType::Array(array) => format!("Array<{}>", render(&array.elem_ty)),
        AlgebraicType::Product(product) => {
            let fields = product.elements.iter().enumerate().map(|(position, element)| {
                let name = element.name().map_or_else(|| position.to_string(), ToString::to_string);
                format!("{name}: {}", render(&element.algebraic_type))
            });
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
        AlgebraicType::Sum(sum) => {
            if let Some(some) = sum.as_option() {
                return format!("Option<{}>", render(some));
            }
            let variants = sum.variants.iter().enumerate().map(|(position, variant)| {
                let name = variant.name().map_or_else(|| position.to_string(), ToString::to_string);
                format!("{name}({})", render(&variant.algebraic_type))
            });
            format!("<{}>", variants.collect::<Vec<_>>().join(" | "))
        }
        scalar => format!("{scalar:?}"),
    }
}

/// SpacetimeDB's special product types (its SATS page, "Special types"), by the name that people know.
fn special_types() -> [(&'static str, AlgebraicType); 4] {
    [
        ("Identity", AlgebraicType::identity()),
        ("ConnectionId", AlgebraicType::connection_id()),
        ("Timestamp", AlgebraicType::timestamp()),
        ("TimeDuration", AlgebraicType::time_duration()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(shape: TableShape) -> Vec<ObservedTable> {
        vec![ObservedTable { shape, public: true }]
    }

    fn refusal(change: impl FnOnce(&mut TableShape)) -> String {
        let expected = TableShape::of::<ActiveConnection>();
        let mut host = expected.clone();
        change(&mut host);
        expected.check(&observed(host)).expect_err("the shapes differ").to_string()
    }

    #[test]
    fn a_table_matches_itself_and_one_with_more_columns_behind() {
        let expected = TableShape::of::<ActiveConnection>();
        let mut host = expected.clone();
        assert_eq!(expected.check(&observed(host.clone())), Ok(()));
        host.columns.push(ColumnShape { name: "added_later".into(), ty: AlgebraicType::U8 });
        assert_eq!(expected.check(&observed(host)), Ok(()));
    }

    #[test]
    fn another_type_is_named_with_table_column_and_both_types() {
        assert_eq!(
            refusal(|host| host.columns[3].ty = AlgebraicType::U64),
            "table `active_connection`, column `client_id`: expected type Option<String>, the host has U64"
        );
        assert_eq!(
            refusal(|host| host.columns[5].ty = AlgebraicType::I64),
            "table `active_connection`, column `connected_at`: expected type Timestamp, the host has I64"
        );
    }

    #[test]
    fn a_renamed_missing_or_private_thing_is_named() {
        assert_eq!(
            refusal(|host| host.columns[1].name = "who".into()),
            "table `active_connection` has column `who` at position 1, where `identity` was expected"
        );
        assert_eq!(
            refusal(|host| host.columns.truncate(2)),
            "table `active_connection` has no column `role`: expected String at position 2"
        );
        assert_eq!(
            refusal(|host| host.table = "ActiveConnection".into()),
            "table `active_connection` does not exist on the host"
        );
        let shape = TableShape::of::<Person>();
        let private = [ObservedTable { shape: shape.clone(), public: false }];
        assert_eq!(shape.check(&private), Err(ShapeMismatch::NotPublic { table: "person".into() }));
    }

    #[test]
    fn variants_are_named_as_hosts_name_them() {
        let shape = TableShape::of::<SyncSignal>();
        assert_eq!(render(&shape.columns[4].ty), "<ahead({}) | newStream({}) | gone({}) | followEnded({})>");
        let optional = TableShape::of::<ActiveConnection>();
        assert_eq!(render(&optional.columns[3].ty), "Option<String>");
    }

    #[test]
    fn a_difference_inside_a_nested_type_counts() {
        let expected = TableShape::of::<PresenceSummary>();
        let mut host = expected.clone();
        let renamed = AlgebraicType::product([("role", AlgebraicType::String), ("number", AlgebraicType::U32)]);
        host.columns[2].ty = AlgebraicType::array(renamed);
        assert_eq!(
            expected.check(&observed(host)).expect_err("the shapes differ").to_string(),
            "table `presence_summary`, column `by_role`: expected type Array<{role: String, count: U32}>, \
             the host has Array<{role: String, number: U32}>"
        );
    }
}
