//! `POST …/call/{function}`: one reducer or procedure, its arguments a JSON array.
//!
//! A reducer answers 200 with an empty body, a procedure 200 with its value in SATS-JSON. A reducer that returned an
//! error or panicked answers 530 with its message, as on the official server, and changed nothing. A success is sent
//! once it is durable, unless `confirmed=false`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use spacetimedb::host::{
    CallProcedureReturn, FunctionArgs, ModuleHost, ProcedureCallError, ReducerCallError, ReducerCallResultWithTxOffset,
    ReducerOutcome,
};
use spacetimedb_lib::{ConnectionId, Identity};
use spacetimedb_sats::serde::SerdeWrapper;

use crate::address::Existing;
use crate::auth::Caller;
use crate::body;
use crate::connection::with_connection;
use crate::engine::within_durability_timeout;
use crate::http_error::{ApiError, without_backtrace};
use crate::state::AppState;

const ENERGY_USED: HeaderName = HeaderName::from_static("spacetime-energy-used");
const EXECUTION_DURATION: HeaderName = HeaderName::from_static("spacetime-execution-duration-micros");

/// The status of a reducer that failed; not a registered one, but the official server's.
const REDUCER_FAILED: u16 = 530;

#[derive(Deserialize)]
pub(super) struct CallPath {
    function: String,
}

#[derive(Deserialize)]
pub(super) struct CallQuery {
    confirmed: Option<bool>,
}

/// Anybody may call; the module decides what it does for whom.
pub(super) async fn call(
    State(state): State<AppState>,
    Existing(record): Existing,
    Path(CallPath { function }): Path<CallPath>,
    Query(query): Query<CallQuery>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    require_json(&headers)?;
    let args = FunctionArgs::Json(body::read_text(body, state.limits.call_bytes, state.limits.body_timeout).await?);
    let call = Call { function, args, caller: caller.identity(), confirmed: query.confirmed.unwrap_or(true) };
    with_connection(&state, &record, &caller, |module, id| call.run(module, id)).await
}

struct Call {
    function: String,
    args: FunctionArgs,
    caller: Identity,
    confirmed: bool,
}

impl Call {
    async fn run(self, module: ModuleHost, connection_id: ConnectionId) -> Result<Response, ApiError> {
        let called = module
            .call_reducer_with_offset(
                self.caller,
                Some(connection_id),
                None,
                None,
                None,
                &self.function,
                self.args.clone(),
            )
            .await;
        match called {
            Ok(result) => self.reducer_answer(&module, result).await,
            // Not a reducer: perhaps a procedure.
            Err(ReducerCallError::NoSuchReducer | ReducerCallError::ScheduleReducerNotFound) => {
                let returned = module
                    .call_procedure(
                        self.caller,
                        Some(connection_id),
                        None,
                        &self.function,
                        self.args.clone(),
                        self.confirmed,
                    )
                    .await;
                self.procedure_answer(&module, returned).await
            }
            Err(e) => Err(self.reducer_error(e)),
        }
    }

    async fn reducer_answer(
        &self,
        module: &ModuleHost,
        called: ReducerCallResultWithTxOffset,
    ) -> Result<Response, ApiError> {
        let result = called.result;
        let (status, body) = match result.outcome {
            ReducerOutcome::Committed => {
                self.confirm(module, called.tx_offset).await?;
                (StatusCode::OK, String::new())
            }
            ReducerOutcome::Failed(message) => {
                let status = StatusCode::from_u16(REDUCER_FAILED).expect("530 is in the range of status codes");
                (status, message.to_string())
            }
            ReducerOutcome::BudgetExceeded => {
                (StatusCode::PAYMENT_REQUIRED, "Module energy budget exhausted.".to_owned())
            }
        };
        let mut headers = execution_duration(result.execution_duration);
        headers.insert(ENERGY_USED, HeaderValue::from(result.execution_budget_used.get()));
        Ok((status, headers, body).into_response())
    }

    async fn procedure_answer(&self, module: &ModuleHost, called: CallProcedureReturn) -> Result<Response, ApiError> {
        let result = called.result.map_err(|e| self.procedure_error(e))?;
        if let Some(tx_offset) = called.tx_offset {
            self.confirm(module, tx_offset).await?;
        }
        let headers = execution_duration(result.execution_duration);
        Ok((headers, Json(SerdeWrapper(result.return_val))).into_response())
    }

    /// Waits until the call's transaction is durable, if that was asked for and there is a disk to wait for.
    async fn confirm(
        &self,
        module: &ModuleHost,
        tx_offset: tokio::sync::oneshot::Receiver<u64>,
    ) -> Result<(), ApiError> {
        let Some(mut durable) = module.durable_tx_offset().filter(|_| self.confirmed) else {
            return Ok(());
        };
        let confirmation = within_durability_timeout(async {
            let offset = tx_offset.await.map_err(|_| ApiError::internal("transaction aborted"))?;
            durable.wait_for(offset).await.map_err(|_| ApiError::unavailable("the database stopped"))
        });
        confirmation.await.map_err(|_| super::sql::not_durable())?.map(|_| ())
    }

    fn reducer_error(&self, error: ReducerCallError) -> ApiError {
        let status = match &error {
            ReducerCallError::Args(_) | ReducerCallError::LifecycleReducer(_) => StatusCode::BAD_REQUEST,
            ReducerCallError::NoSuchModule(_)
            | ReducerCallError::NoSuchReducer
            | ReducerCallError::ScheduleReducerNotFound => StatusCode::NOT_FOUND,
            ReducerCallError::WorkerError(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, outermost_and_root(&error.into()))
    }

    fn procedure_error(&self, error: ProcedureCallError) -> ApiError {
        let status = match &error {
            ProcedureCallError::Args(_) => StatusCode::BAD_REQUEST,
            ProcedureCallError::NoSuchProcedure => {
                let message = format!("No such procedure or reducer: `{}`", self.function);
                return ApiError::new(StatusCode::NOT_FOUND, message);
            }
            ProcedureCallError::NoSuchModule(_) => StatusCode::NOT_FOUND,
            ProcedureCallError::OutOfEnergy => StatusCode::PAYMENT_REQUIRED,
            ProcedureCallError::InternalError(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        ApiError::new(status, outermost_and_root(&error.into()))
    }
}

/// What failed and, behind it, what was found wrong: of arguments, the engine says in between the same as before.
fn outermost_and_root(error: &anyhow::Error) -> String {
    let (outermost, root) = (error.to_string(), error.root_cause().to_string());
    let outermost = without_backtrace(&outermost).trim_end_matches(": .");
    let root = without_backtrace(&root);
    if outermost.ends_with(root) { outermost.to_owned() } else { format!("{outermost}: {root}") }
}

/// The header that says how long the module ran.
pub(super) fn execution_duration(duration: Duration) -> HeaderMap {
    let micros = HeaderValue::from(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    HeaderMap::from_iter([(EXECUTION_DURATION, micros)])
}

fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let essence = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    if essence.is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        Ok(())
    } else {
        Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Expected request with `Content-Type: application/json`"))
    }
}
