//! What a module's schema says of its functions: how they are called, and by whom. Pure.
//!
//! What always holds: only the schema that the host serves is asked, never a name's look.

use muster_wire::http::{Column, FunctionSchema, Lifecycle, ModuleSchema, TableSchema};
use muster_wire::sats::AlgebraicType;

use crate::limits::NAME_DISTANCE_MAX;
use crate::table;

/// Who runs a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RunBy<'a> {
    /// Whoever calls it.
    Callers,
    /// The host, at a moment of its own.
    Lifecycle(Lifecycle),
    /// The host, when a row of this table is due.
    Schedule(&'a str),
}

/// Who runs `function`.
pub(crate) fn run_by<'a>(schema: &'a ModuleSchema, function: &FunctionSchema) -> RunBy<'a> {
    if let Some(when) = function.lifecycle {
        return RunBy::Lifecycle(when);
    }
    let table = schema.tables.iter().find(|table| is_scheduled_by(function, table));
    table.map_or(RunBy::Callers, |table| RunBy::Schedule(&table.name))
}

/// The function that runs when a row of `table` is due.
pub(crate) fn scheduled_of<'a>(schema: &'a ModuleSchema, table: &TableSchema) -> Option<&'a FunctionSchema> {
    schema.reducers.iter().chain(&schema.procedures).find(|function| is_scheduled_by(function, table))
}

/// Whether rows of `table` schedule `function`: it has a column of type `ScheduleAt`, and the function takes a row of it
/// and nothing else, which SpacetimeDB requires of a schedule (its page "Schedule tables") and nothing else would want.
fn is_scheduled_by(function: &FunctionSchema, table: &TableSchema) -> bool {
    let [Column { ty: AlgebraicType::Product(row), .. }] = function.params.as_slice() else { return false };
    let is_schedule = table.columns.iter().any(|column| column.ty.is_schedule_at());
    is_schedule && row.elements.iter().map(|it| &it.algebraic_type).eq(table.columns.iter().map(|it| &it.ty))
}

/// The reducer or procedure of that name.
pub(crate) fn function<'a>(schema: &'a ModuleSchema, name: &str) -> Option<&'a FunctionSchema> {
    schema.reducers.iter().chain(&schema.procedures).find(|function| function.name == name)
}

/// The function that callers may call and whose name is nearest to `name`, if it is near enough to be meant
/// (Damerau-Levenshtein distance, without regard to case).
pub(crate) fn nearest<'a>(schema: &'a ModuleSchema, name: &str) -> Option<&'a FunctionSchema> {
    let callable = schema.reducers.iter().chain(&schema.procedures);
    let callable = callable.filter(|function| run_by(schema, function) == RunBy::Callers);
    let asked = name.to_lowercase();
    let distance = |function: &FunctionSchema| strsim::damerau_levenshtein(&function.name.to_lowercase(), &asked);
    // Of a short name most letters must be right.
    let near = NAME_DISTANCE_MAX.min(name.chars().count() / 2);
    callable.map(|it| (distance(it), it)).filter(|(far, _)| *far <= near).min_by_key(|(far, _)| *far).map(|it| it.1)
}

/// How many arguments a function takes, and which: `1 argument (name: String)`.
pub(crate) fn arguments(function: &FunctionSchema) -> String {
    let params = &function.params;
    match params.len() {
        0 => "no arguments".into(),
        1 => format!("1 argument ({})", named(&params[0])),
        many => format!("{many} arguments ({})", params.iter().map(named).collect::<Vec<_>>().join(", ")),
    }
}

/// A column or parameter with its type: `name: String`.
pub(crate) fn named(column: &Column) -> String {
    format!("{}: {}", table::visible(&column.name), column.type_name())
}

/// When the host runs a reducer, as the end of a sentence.
pub(crate) const fn in_words(when: Lifecycle) -> &'static str {
    match when {
        Lifecycle::Init => "when the database is made",
        Lifecycle::OnConnect => "when a client connects",
        Lifecycle::OnDisconnect => "when a client is gone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use muster_wire::sats::{ProductType, ProductTypeElement};

    fn column(name: &str, ty: AlgebraicType) -> Column {
        Column { name: name.into(), ty }
    }

    fn reducer(name: &str, params: Vec<Column>) -> FunctionSchema {
        FunctionSchema { name: name.into(), params, lifecycle: None }
    }

    /// Two tables of one shape but for the type of `when`, and a reducer for the rows of either.
    fn schema() -> ModuleSchema {
        let table = |name: &str, when: AlgebraicType| TableSchema {
            name: name.into(),
            is_public: false,
            columns: vec![column("id", AlgebraicType::U64), column("when", when)],
            primary_key: vec!["id".into()],
        };
        let tables = vec![table("plan", AlgebraicType::U64), table("alarm", schedule_at())];
        let row = |table: &TableSchema| {
            let elements = table.columns.iter().map(|it| ProductTypeElement::new(it.ty.clone(), None));
            AlgebraicType::Product(ProductType { elements: elements.collect() })
        };
        let reducers = vec![
            reducer("ring", vec![column("due", row(&tables[1]))]),
            reducer("set_name", vec![column("name", AlgebraicType::String)]),
            reducer("draw", vec![column("due", row(&tables[0]))]),
            FunctionSchema { lifecycle: Some(Lifecycle::Init), ..reducer("set_up", Vec::new()) },
        ];
        ModuleSchema { tables, reducers, procedures: Vec::new(), views: Vec::new() }
    }

    fn schedule_at() -> AlgebraicType {
        use muster_wire::sats::{SumType, SumTypeVariant};
        let variant = |name: &'static str, ty| SumTypeVariant::new_named(ty, name);
        let variants =
            [variant("Interval", AlgebraicType::time_duration()), variant("Time", AlgebraicType::timestamp())];
        AlgebraicType::Sum(SumType { variants: variants.into() })
    }

    #[test]
    fn only_a_reducer_that_takes_the_row_of_a_schedule_is_scheduled() {
        let schema = schema();
        let by = |name| run_by(&schema, function(&schema, name).expect("there"));
        assert_eq!(by("ring"), RunBy::Schedule("alarm"));
        assert_eq!(by("draw"), RunBy::Callers);
        assert_eq!(by("set_name"), RunBy::Callers);
        assert_eq!(by("set_up"), RunBy::Lifecycle(Lifecycle::Init));
        assert_eq!(scheduled_of(&schema, &schema.tables[1]).map(|it| it.name.as_str()), Some("ring"));
        assert_eq!(scheduled_of(&schema, &schema.tables[0]), None);
    }

    #[test]
    fn a_misspelt_name_finds_the_nearest_that_can_be_called() {
        let schema = schema();
        let near = |name| nearest(&schema, name).map(|it| it.name.as_str());
        assert_eq!(near("st_name"), Some("set_name"));
        assert_eq!(near("SetName"), Some("set_name"));
        assert_eq!(near("drw"), Some("draw"));
        assert_eq!(near("rin"), None, "nobody can call `ring`");
        assert_eq!(near("set_upp"), None, "nobody can call `set_up`");
        assert_eq!((near("delete_everything"), near("x"), near("")), (None, None, None));
    }

    #[test]
    fn arguments_are_counted_in_words() {
        let schema = schema();
        let said = |name| arguments(function(&schema, name).expect("there"));
        assert_eq!(said("set_name"), "1 argument (name: String)");
        assert_eq!(said("set_up"), "no arguments");
        let two = reducer("two", vec![column("a", AlgebraicType::U8), column("b", AlgebraicType::Bool)]);
        assert_eq!(arguments(&two), "2 arguments (a: U8, b: Bool)");
    }
}
