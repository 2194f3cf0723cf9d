//! `POST …/sql`: statements in, rows out.
//!
//! Statements are separated by `;` and run one after the other, each in a transaction of its own; the first that fails
//! ends the request with its error, and what earlier ones did stays done. Unless `confirmed=false`, the answer waits
//! until everything it saw is durable.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::IntoResponse;
use axum::{Extension, Json};
use http::StatusCode;
use serde::Deserialize;
use spacetimedb::host::ModuleHost;
use spacetimedb_client_api_messages::http::{SqlStmtResult, SqlStmtStats};
use spacetimedb_lib::identity::AuthCtx;
use spacetimedb_lib::{ProductTypeElement, ProductValue};

use crate::address::Existing;
use crate::auth::Caller;
use crate::body;
use crate::connection::with_connection;
use crate::engine::within_durability_timeout;
use crate::http_error::ApiError;
use crate::limits::SQL_STATEMENTS_MAX;
use crate::sql_split::split_statements;
use crate::state::AppState;

#[derive(Deserialize)]
pub(super) struct SqlQuery {
    confirmed: Option<bool>,
}

type StatementResult = SqlStmtResult<ProductValue>;

/// Anybody may ask; the engine decides what they see.
pub(super) async fn sql(
    State(state): State<AppState>,
    Existing(record): Existing,
    Query(query): Query<SqlQuery>,
    Extension(caller): Extension<Arc<Caller>>,
    body: Body,
) -> Result<impl IntoResponse, ApiError> {
    let text = body::read_text(body, state.limits.sql_bytes, state.limits.body_timeout).await?;
    let statements: Vec<String> = split_statements(&text).into_iter().map(str::to_owned).collect();
    if statements.len() > SQL_STATEMENTS_MAX {
        return Err(ApiError::bad_request(format!("at most {SQL_STATEMENTS_MAX} statements at a time")));
    }
    let confirmed = query.confirmed.unwrap_or(true);
    let auth = caller.sql_auth(record.owner);
    let results = with_connection(&state, &record, &caller, move |module, _| async move {
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            results.push(run(&module, &auth, statement, confirmed).await?);
        }
        Ok(results)
    })
    .await?;
    let micros: u64 = results.iter().map(|result| result.total_duration_micros).sum();
    Ok((super::call::execution_duration(Duration::from_micros(micros)), Json(results)))
}

async fn run(
    module: &ModuleHost,
    auth: &AuthCtx,
    statement: String,
    confirmed: bool,
) -> Result<StatementResult, ApiError> {
    let started = Instant::now();
    let db = module.relational_db().clone();
    let durable_offset = db.durable_tx_offset();
    let mut head = Vec::new();
    let result = spacetimedb::sql::execute::run(
        db,
        statement,
        auth.clone(),
        Some(module.info().subscriptions.clone()),
        Some(module.clone()),
        &mut head,
    )
    .await
    .map_err(ApiError::bad_request)?;
    let total_duration_micros = started.elapsed().as_micros() as u64;
    let tx_offset = result.tx_offset;
    if confirmed && let Some(mut durable) = durable_offset {
        let confirmation = within_durability_timeout(async {
            let offset = tx_offset.await.map_err(|_| ApiError::internal("transaction aborted"))?;
            durable.wait_for(offset).await.map_err(|_| ApiError::unavailable("the database stopped"))
        });
        confirmation.await.map_err(|_| not_durable())??;
    }
    let columns = head.into_iter().map(|(name, ty)| ProductTypeElement::new(ty, Some(name)));
    Ok(SqlStmtResult {
        schema: columns.collect(),
        rows: result.rows,
        total_duration_micros,
        stats: SqlStmtStats::from_metrics(&result.metrics),
    })
}

/// 504: it happened, but the disk has not said so.
pub(super) fn not_durable() -> ApiError {
    ApiError::new(
        StatusCode::GATEWAY_TIMEOUT,
        "done, but not durable in time; it may be lost if the host stops now: check before repeating it",
    )
}
