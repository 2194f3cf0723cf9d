//! The row types of the tables that a subscription may have.

use std::collections::HashMap;

use muster_wire::http::{Column, HttpClient, HttpError};
use muster_wire::sats::{ProductType, ProductTypeElement};

use crate::outcome::{Failure, one_line};

/// Row types by table, from the module's schema; those that it does not give (views) are asked for when met.
pub(super) struct Shapes {
    http: HttpClient,
    known: HashMap<String, ProductType>,
}

impl Shapes {
    /// Reads the schema.
    pub(super) async fn of(http: HttpClient) -> Result<Shapes, HttpError> {
        let schema = http.schema().await?;
        let known = schema.tables.iter().map(|table| (table.name.clone(), row_type(&table.columns))).collect();
        Ok(Shapes { http, known })
    }

    /// The type of the rows of `table`.
    ///
    /// # Errors
    /// [`Failure::CouldNot`] if the host does not say.
    pub(super) async fn row_type(&mut self, table: &str) -> Result<ProductType, Failure> {
        if let Some(ty) = self.known.get(table) {
            return Ok(ty.clone());
        }
        let quoted = table.replace('"', "\"\"");
        // The columns come with any answer, also with one without rows.
        let answer = self.http.sql(&format!("SELECT * FROM \"{quoted}\" LIMIT 0"), false).await?;
        let statement = answer.statements.first().ok_or_else(|| {
            let cause = format!("the host does not say what the rows of {} are", one_line(table));
            Failure::could_not(cause, "subscribe to tables of the module")
        })?;
        let ty = row_type(&statement.columns);
        self.known.insert(table.into(), ty.clone());
        Ok(ty)
    }
}

fn row_type(columns: &[Column]) -> ProductType {
    let element = |column: &Column| ProductTypeElement::new_named(column.ty.clone(), column.name.clone());
    ProductType { elements: columns.iter().map(element).collect() }
}
