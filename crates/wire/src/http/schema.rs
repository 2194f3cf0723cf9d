//! A module's schema, as a host describes it (`GET /v1/database/…/schema?version=9`).
//!
//! What always holds: only what Muster uses is read, so that newer hosts may add to it; every column's type has its
//! references written out, except inside types that contain themselves.

use muster_contract::shape::{ColumnShape, ObservedTable, TableShape};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use spacetimedb_sats::serde::SerdeWrapper;
use spacetimedb_sats::{
    AlgebraicType, AlgebraicTypeRef, ArrayType, ProductType, ProductTypeElement, SumType, SumTypeVariant, Typespace,
};

use super::{HttpClient, HttpError, json};

/// What a module offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSchema {
    /// Its tables.
    pub tables: Vec<TableSchema>,
    /// Its reducers, those of the lifecycle included.
    pub reducers: Vec<FunctionSchema>,
    /// Its procedures.
    pub procedures: Vec<FunctionSchema>,
    /// The names of its views.
    pub views: Vec<String>,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// Its name.
    pub name: String,
    /// Whether others than the owner may read it.
    pub is_public: bool,
    /// Its columns in order.
    pub columns: Vec<Column>,
    /// The names of the columns of its primary key; empty if it has none.
    pub primary_key: Vec<String>,
}

/// A column, or a parameter of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name; its position where it has none.
    pub name: String,
    /// Its type.
    pub ty: AlgebraicType,
}

/// A reducer or a procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionSchema {
    /// Its name.
    pub name: String,
    /// Its parameters in order.
    pub params: Vec<Column>,
    /// When the host runs it by itself. Such a reducer cannot be called.
    pub lifecycle: Option<Lifecycle>,
}

/// When a host runs a reducer by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lifecycle {
    /// When the database is made.
    Init,
    /// When a client connects.
    OnConnect,
    /// When a client is gone.
    OnDisconnect,
}

impl ModuleSchema {
    /// The tables as the contract compares them.
    pub fn observed_tables(&self) -> Vec<ObservedTable> {
        self.tables.iter().map(TableSchema::observed).collect()
    }

    /// The table of that name.
    pub fn table(&self, name: &str) -> Option<&TableSchema> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The reducer of that name.
    pub fn reducer(&self, name: &str) -> Option<&FunctionSchema> {
        self.reducers.iter().find(|reducer| reducer.name == name)
    }

    /// Reads a schema from JSON.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(json: &[u8]) -> Result<ModuleSchema, String> {
        let raw: RawModule = serde_json::from_slice(json).map_err(|error| error.to_string())?;
        let mut types = Resolver { typespace: raw.typespace.0, budget: RESOLVED_TYPES_MAX, path: Vec::new() };
        let tables = raw.tables.into_iter().map(|table| table.resolve(&mut types)).collect::<Result<_, _>>()?;
        let reducers = raw.reducers.into_iter().map(|it| it.resolve(&mut types)).collect::<Result<_, _>>()?;
        let (mut procedures, mut views) = (Vec::new(), Vec::new());
        for export in raw.misc_exports {
            if let Some(procedure) = export.get("Procedure") {
                let raw = RawFunction::deserialize(procedure).map_err(|error| error.to_string())?;
                procedures.push(raw.resolve(&mut types)?);
            } else if let Some(name) = export.get("View").and_then(|view| view["name"].as_str()) {
                views.push(name.into());
            }
        }
        Ok(ModuleSchema { tables, reducers, procedures, views })
    }
}

impl TableSchema {
    fn observed(&self) -> ObservedTable {
        let columns = self.columns.iter().map(|it| ColumnShape { name: it.name.clone(), ty: it.ty.clone() }).collect();
        ObservedTable { shape: TableShape { table: self.name.clone(), columns }, public: self.is_public }
    }
}

impl Column {
    /// The type as a person reads it: `Option<String>`.
    pub fn type_name(&self) -> String {
        muster_contract::shape::render(&self.ty)
    }

    pub(super) fn of_element((position, element): (usize, &ProductTypeElement)) -> Column {
        Column {
            name: element.name.as_ref().map_or_else(|| position.to_string(), ToString::to_string),
            ty: element.algebraic_type.clone(),
        }
    }
}

impl HttpClient {
    /// The schema of the database's module.
    ///
    /// # Errors
    /// [`HttpError`]; status 404 if there is no such database.
    pub async fn schema(&self) -> Result<ModuleSchema, HttpError> {
        let context = format!("reading the schema of `{}`", self.endpoint.database());
        let mut url = self.endpoint.database_url(&["schema"]);
        url.query_pairs_mut().append_pair("version", "9");
        let answer = self.ask(Method::GET, url, None, &context).await?;
        ModuleSchema::parse(&answer.body).map_err(|reason| self.malformed(&context, reason))
    }
}

#[derive(Deserialize)]
struct RawModule {
    typespace: SerdeWrapper<Typespace>,
    tables: Vec<RawTable>,
    reducers: Vec<RawFunction>,
    #[serde(default)]
    misc_exports: Vec<Value>,
}

#[derive(Deserialize)]
struct RawTable {
    name: String,
    product_type_ref: u32,
    #[serde(default)]
    primary_key: Vec<usize>,
    table_access: Value,
}

#[derive(Deserialize)]
struct RawFunction {
    name: String,
    params: SerdeWrapper<ProductType>,
    #[serde(default)]
    lifecycle: Value,
}

impl RawTable {
    fn resolve(self, types: &mut Resolver) -> Result<TableSchema, String> {
        let row = types.resolve(&AlgebraicType::Ref(AlgebraicTypeRef(self.product_type_ref)))?;
        let AlgebraicType::Product(row) = row else {
            return Err(format!("the rows of table `{}` are no product", self.name));
        };
        let columns: Vec<_> = row.elements.iter().enumerate().map(Column::of_element).collect();
        let key = |position: &usize| {
            let column = columns.get(*position).map(|column| column.name.clone());
            column.ok_or_else(|| format!("table `{}` has no column {position}", self.name))
        };
        let primary_key = self.primary_key.iter().map(key).collect::<Result<_, _>>()?;
        let is_public = json::variant(&self.table_access) == Some("Public");
        Ok(TableSchema { name: self.name, is_public, columns, primary_key })
    }
}

impl RawFunction {
    fn resolve(self, types: &mut Resolver) -> Result<FunctionSchema, String> {
        let params = types.product(&self.params.0)?;
        let lifecycle = match json::option(&self.lifecycle).and_then(json::variant) {
            Some("Init") => Some(Lifecycle::Init),
            Some("OnConnect") => Some(Lifecycle::OnConnect),
            Some("OnDisconnect") => Some(Lifecycle::OnDisconnect),
            _ => None,
        };
        let params = params.elements.iter().enumerate().map(Column::of_element).collect();
        Ok(FunctionSchema { name: self.name, params, lifecycle })
    }
}

/// How many types a whole schema may have once its references are written out. Types that share types can grow without
/// bound; a host could make a client run out of memory with a few lines.
const RESOLVED_TYPES_MAX: usize = 100_000;

/// How many references may lead to one another, each of which costs stack.
const REFERENCE_DEPTH_MAX: usize = 64;

/// Writes references out.
struct Resolver {
    typespace: Typespace,
    budget: usize,
    /// The references being written out, outermost first: one of them again means a type that contains itself.
    path: Vec<AlgebraicTypeRef>,
}

impl Resolver {
    fn resolve(&mut self, ty: &AlgebraicType) -> Result<AlgebraicType, String> {
        self.budget = self.budget.checked_sub(1).ok_or("its types are too large to write out")?;
        match ty {
            AlgebraicType::Ref(index) if self.path.contains(index) => Ok(ty.clone()),
            AlgebraicType::Ref(_) if self.path.len() >= REFERENCE_DEPTH_MAX => {
                Err("its types are nested too deep".into())
            }
            AlgebraicType::Ref(index) => {
                let target = self.typespace.get(*index).cloned();
                let target = target.ok_or_else(|| format!("it refers to type {}, which is not there", index.0))?;
                self.path.push(*index);
                let resolved = self.resolve(&target);
                self.path.pop();
                resolved
            }
            AlgebraicType::Product(product) => self.product(product).map(AlgebraicType::Product),
            AlgebraicType::Sum(sum) => self.sum(sum).map(AlgebraicType::Sum),
            AlgebraicType::Array(array) => {
                let elem_ty = Box::new(self.resolve(&array.elem_ty)?);
                Ok(AlgebraicType::Array(ArrayType { elem_ty }))
            }
            scalar => Ok(scalar.clone()),
        }
    }

    fn product(&mut self, product: &ProductType) -> Result<ProductType, String> {
        let element = |element: &ProductTypeElement| {
            let algebraic_type = self.resolve(&element.algebraic_type)?;
            Ok(ProductTypeElement { name: element.name.clone(), algebraic_type })
        };
        let elements = product.elements.iter().map(element).collect::<Result<_, String>>()?;
        Ok(ProductType { elements })
    }

    fn sum(&mut self, sum: &SumType) -> Result<SumType, String> {
        let variant = |variant: &SumTypeVariant| {
            let algebraic_type = self.resolve(&variant.algebraic_type)?;
            Ok(SumTypeVariant { name: variant.name.clone(), algebraic_type })
        };
        let variants = sum.variants.iter().map(variant).collect::<Result<_, String>>()?;
        Ok(SumType { variants })
    }
}

#[cfg(test)]
mod tests;
