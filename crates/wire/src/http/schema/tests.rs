use super::*;

fn schema(types: &str, tables: &str, misc: &str) -> Result<ModuleSchema, String> {
    let json = format!(
        r#"{{"typespace":{{"types":[{types}]}},"tables":[{tables}],
            "reducers":[{{"name":"set_name","params":{{"elements":[{{"name":{{"some":"name"}},"algebraic_type":{{"String":[]}}}}]}},"lifecycle":{{"none":[]}}}},
                        {{"name":"on_connect","params":{{"elements":[]}},"lifecycle":{{"some":{{"OnConnect":[]}}}}}}],
            "types":[],"misc_exports":[{misc}],"row_level_security":[],"added_later":true}}"#
    );
    ModuleSchema::parse(json.as_bytes())
}

fn product(fields: &[(&str, &str)]) -> String {
    let fields: Vec<_> =
        fields.iter().map(|(name, ty)| format!(r#"{{"name":{{"some":"{name}"}},"algebraic_type":{ty}}}"#)).collect();
    format!(r#"{{"Product":{{"elements":[{}]}}}}"#, fields.join(","))
}

fn table(name: &str, type_ref: u32, access: &str) -> String {
    format!(
        r#"{{"name":"{name}","product_type_ref":{type_ref},"primary_key":[0],"indexes":[],"constraints":[],
            "sequences":[],"schedule":{{"none":[]}},"table_type":{{"User":[]}},"table_access":{{"{access}":[]}}}}"#
    )
}

#[test]
fn tables_and_reducers_are_read_with_their_types_written_out() {
    let role = product(&[("role", r#"{"String":[]}"#), ("count", r#"{"U32":[]}"#)]);
    let row = product(&[("id", r#"{"U8":[]}"#), ("by_role", r#"{"Array":{"Ref":1}}"#)]);
    let schema = schema(&format!("{row},{role}"), &table("presence_summary", 0, "Public"), "").expect("a schema");
    let table = schema.table("presence_summary").expect("a table");
    let types: Vec<_> = table.columns.iter().map(|it| (it.name.as_str(), it.type_name())).collect();
    assert_eq!(types, [("id", "U8".into()), ("by_role", "Array<{role: String, count: U32}>".into())]);
    assert!(table.is_public);
    assert_eq!(table.primary_key, ["id"]);
    let reducer = schema.reducer("set_name").expect("a reducer");
    assert_eq!((reducer.params[0].name.as_str(), reducer.params[0].type_name().as_str()), ("name", "String"));
    assert_eq!(schema.reducer("on_connect").and_then(|it| it.lifecycle), Some(Lifecycle::OnConnect));
}

#[test]
fn exports_that_are_not_known_yet_are_passed_over() {
    let misc = r#"{"View":{"name":"mine","index":0}},{"Novelty":{"x":1}},
        {"Procedure":{"name":"page","params":{"elements":[]},"return_type":{"String":[]}}}"#;
    let schema = schema("", "", misc).expect("a schema");
    assert_eq!(schema.views, ["mine"]);
    assert_eq!(schema.procedures[0].name, "page");
}

#[test]
fn a_type_that_contains_itself_ends() {
    let list = product(&[("next", r#"{"Array":{"Ref":0}}"#)]);
    let schema = schema(&list, &table("list", 0, "Private"), "").expect("a schema");
    assert_eq!(schema.tables[0].columns[0].type_name(), "Array<Ref(0)>");
    assert!(!schema.tables[0].is_public);
}

#[test]
fn types_that_double_at_every_step_are_refused_before_they_fill_the_memory() {
    let types: Vec<_> = (1..=40)
        .map(|next| product(&[("a", &format!(r#"{{"Ref":{next}}}"#)), ("b", &format!(r#"{{"Ref":{next}}}"#))]))
        .chain([product(&[("end", r#"{"U8":[]}"#)])])
        .collect();
    let error = schema(&types.join(","), &table("t", 0, "Public"), "").expect_err("too large");
    assert_eq!(error, "its types are too large to write out");
}

#[test]
fn what_is_no_schema_is_named() {
    assert!(ModuleSchema::parse(b"<html>").is_err());
    assert_eq!(
        schema("", &table("t", 3, "Public"), "").expect_err("no type"),
        "it refers to type 3, which is not there"
    );
    let error = schema(r#"{"U8":[]}"#, &table("t", 0, "Public"), "").expect_err("no product");
    assert_eq!(error, "the rows of table `t` are no product");
}

#[test]
fn a_schema_meets_the_contract_it_was_made_from() {
    use muster_contract::shape::expected_tables;
    let observed = ModuleSchema {
        tables: expected_tables()
            .into_iter()
            .map(|shape| TableSchema {
                name: shape.table,
                is_public: true,
                columns: shape.columns.into_iter().map(|it| Column { name: it.name, ty: it.ty }).collect(),
                primary_key: Vec::new(),
            })
            .collect(),
        reducers: Vec::new(),
        procedures: Vec::new(),
        views: Vec::new(),
    }
    .observed_tables();
    assert_eq!(muster_contract::Client::of_this_build().check_tables(&observed), Ok(()));
}
