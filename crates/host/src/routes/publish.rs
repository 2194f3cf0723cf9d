//! Publishing: `POST /v1/database`, `PUT /v1/database/{name_or_identity}`, its `/reset` and its `/pre_publish`.
//!
//! Only WebAssembly passes: `host_type=Js`, and bytes that do not begin as WebAssembly does, are refused here, before
//! the engine sees them.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use spacetimedb::host::MigratePlanResult;
use spacetimedb_client_api_messages::name::{
    self, PrePublishAutoMigrateResult, PrePublishManualMigrateResult, PrePublishResult, PublishOp, PublishResult,
};
use spacetimedb_lib::{Hash, Identity};
use spacetimedb_schema::auto_migrate::{MigrationPolicy, MigrationToken, PrettyPrintStyle};

use crate::address::{DatabaseAddress, Existing};
use crate::auth::Caller;
use crate::body;
use crate::control::DatabaseRecord;
use crate::http_error::{ApiError, causes};
use crate::limits::{UPDATE_CONFIRMATION_TIMEOUT_DEFAULT, UPDATE_CONFIRMATION_TIMEOUT_MAX};
use crate::programs::{begins_as_wasm, is_wasm};
use crate::publishing::{self, CreateError, NewDatabase};
use crate::state::AppState;

/// The query of a publish, as the official server has it.
#[derive(Debug, Deserialize)]
pub(super) struct PublishQuery {
    /// Empty the database, if it exists, before the module starts.
    #[serde(default)]
    clear: bool,
    /// Looked at, and then ignored as on the official standalone server: there is one replica.
    num_replicas: Option<usize>,
    /// What `pre_publish` answered, without which clients are not broken.
    token: Option<Hash>,
    #[serde(default)]
    policy: name::MigrationPolicy,
    #[serde(default)]
    host_type: Option<String>,
    parent: Option<String>,
    #[serde(alias = "org")]
    organization: Option<String>,
    /// How long to wait until an update is durable, as `5s`, `1m` or `300ms`.
    update_confirmation_timeout: Option<String>,
}

/// `POST /v1/database`: a new database without a name.
pub(super) async fn post(
    State(state): State<AppState>,
    Query(query): Query<PublishQuery>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    check_query(&query, &headers)?;
    if query.clear {
        return Err(ApiError::bad_request("Clear database requires database name or identity"));
    }
    let module = read_module(&state, body, query.host_type.as_deref()).await?;
    create(&state, &caller, None, module, None).await
}

/// `PUT /v1/database/{name_or_identity}`: creates the database, or updates it if it exists.
pub(super) async fn put(
    State(state): State<AppState>,
    address: DatabaseAddress,
    Query(query): Query<PublishQuery>,
    Extension(caller): Extension<Arc<Caller>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    check_query(&query, &headers)?;
    let existing = match address.try_resolve(&state)? {
        Some(identity) => state.control.database(identity)?,
        None => None,
    };
    // Who may not, or asks for what cannot be, hears so before a module is read.
    let change = match existing {
        None => Change::Create(query.update_terms()?),
        Some(record) if query.clear => {
            require_owner(&record, &caller, "reset database")?;
            Change::Reset(record)
        }
        Some(record) => {
            require_owner(&record, &caller, "update database")?;
            Change::Update(record, query.update_terms()?)
        }
    };
    let module = read_module(&state, body, query.host_type.as_deref()).await?;
    let identity = match change {
        Change::Create(terms) => return create(&state, &caller, Some(address), module, Some(terms)).await,
        Change::Reset(record) => {
            let identity = record.identity;
            publishing::reset(&state, record, Some(module)).await?;
            identity
        }
        Change::Update(record, terms) => {
            let identity = record.identity;
            publishing::update(&state, record, module, terms.policy, terms.confirmation_timeout).await?;
            identity
        }
    };
    Ok(success(&address, identity, PublishOp::Updated))
}

/// What a `PUT` comes to.
enum Change {
    /// There is no such database; if there is one by the time that the module has come, it is updated.
    Create(UpdateTerms),
    Reset(DatabaseRecord),
    Update(DatabaseRecord, UpdateTerms),
}

/// What an update may break, and how long it waits to become durable.
struct UpdateTerms {
    policy: MigrationPolicy,
    confirmation_timeout: Duration,
}

impl PublishQuery {
    fn update_terms(&self) -> Result<UpdateTerms, ApiError> {
        Ok(UpdateTerms {
            policy: migration_policy(&self.policy, self.token)?,
            confirmation_timeout: confirmation_timeout(self.update_confirmation_timeout.as_deref())?,
        })
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct ModuleQuery {
    #[serde(default)]
    host_type: Option<String>,
    #[serde(default)]
    style: name::PrettyPrintStyle,
}

/// `PUT …/reset`: empties the database; without a body it keeps its module.
pub(super) async fn reset(
    State(state): State<AppState>,
    address: DatabaseAddress,
    Query(query): Query<ModuleQuery>,
    Extension(caller): Extension<Arc<Caller>>,
    body: Body,
) -> Result<Response, ApiError> {
    let record = state.find(address.resolve(&state)?)?;
    require_owner(&record, &caller, "reset database")?;
    let bytes = body::read(body, state.limits.program_bytes, state.limits.body_timeout).await?;
    let module = match bytes.is_empty() {
        true => None,
        false => Some(check_module(&bytes, query.host_type.as_deref())?),
    };
    publishing::reset(&state, record.clone(), module).await?;
    Ok(success(&address, record.identity, PublishOp::Updated))
}

/// `POST …/pre_publish`: what an update with this module would change, and the token that agrees to it.
pub(super) async fn pre_publish(
    State(state): State<AppState>,
    Existing(record): Existing,
    Query(query): Query<ModuleQuery>,
    Extension(caller): Extension<Arc<Caller>>,
    body: Body,
) -> Result<Json<PrePublishResult>, ApiError> {
    require_owner(&record, &caller, "update database")?;
    let module = read_module(&state, body, query.host_type.as_deref()).await?;
    let style = match query.style {
        name::PrettyPrintStyle::AnsiColor => PrettyPrintStyle::AnsiColor,
        name::PrettyPrintStyle::NoColor => PrettyPrintStyle::NoColor,
    };
    publishing::describe(&state, &module).await?;
    // A database that does not run is no fault of the module.
    state.engine.module(&record).await?;
    let plan = state.engine.plan_update(&record, &module, style).await;
    let plan = plan.map_err(|e| ApiError::bad_request(format!("Failed to plan the update: {}", causes(&e))))?;
    Ok(Json(match plan {
        MigratePlanResult::Success { old_module_hash, new_module_hash, plan, breaks_client, major_version_upgrade } => {
            let token = MigrationToken { database_identity: record.identity, old_module_hash, new_module_hash };
            PrePublishResult::AutoMigrate(PrePublishAutoMigrateResult {
                migrate_plan: plan,
                break_clients: breaks_client,
                token: token.hash(),
                major_version_upgrade,
            })
        }
        MigratePlanResult::AutoMigrationError { error, major_version_upgrade } => {
            PrePublishResult::ManualMigrate(PrePublishManualMigrateResult {
                reason: error.to_string(),
                major_version_upgrade,
            })
        }
    }))
}

async fn create(
    state: &AppState,
    caller: &Caller,
    address: Option<DatabaseAddress>,
    module: Arc<[u8]>,
    or_update: Option<UpdateTerms>,
) -> Result<Response, ApiError> {
    let name = address.as_ref().and_then(DatabaseAddress::name).cloned();
    let identity = match &address {
        Some(DatabaseAddress::Identity(identity)) => *identity,
        _ => state.auth.mint()?.identity(),
    };
    let new = NewDatabase {
        identity,
        owner: caller.identity(),
        name: name.clone().map(|name| name.0),
        module: module.clone(),
    };
    match (publishing::create(state, new).await, name) {
        (Ok(()), name) => Ok(published(name, identity, PublishOp::Created)),
        (Err(CreateError::NameTaken), Some(name)) => {
            // Somebody was faster. If it was the caller, this is what a publish a moment later would be: an update.
            let taken = state.control.identity_of(&name.0)?.map(|identity| state.find(identity)).transpose()?;
            if let (Some(record), Some(terms)) = (taken, or_update)
                && record.owner == caller.identity()
            {
                let identity = record.identity;
                publishing::update(state, record, module, terms.policy, terms.confirmation_timeout).await?;
                return Ok(published(Some(name), identity, PublishOp::Updated));
            }
            let refusal = PublishResult::PermissionDenied { name };
            Ok((StatusCode::UNAUTHORIZED, Json(refusal)).into_response())
        }
        (Err(CreateError::NameTaken), None) => Err(ApiError::internal("a database without a name met a taken name")),
        (Err(CreateError::Api(e)), _) => Err(e),
    }
}

fn success(address: &DatabaseAddress, identity: Identity, op: PublishOp) -> Response {
    published(address.name().cloned(), identity, op)
}

fn published(domain: Option<name::DatabaseName>, database_identity: Identity, op: PublishOp) -> Response {
    Json(PublishResult::Success { domain, database_identity, op }).into_response()
}

/// 403 unless `caller` owns the database.
pub(super) fn require_owner(record: &DatabaseRecord, caller: &Caller, action: &str) -> Result<(), ApiError> {
    if record.owner == caller.identity() {
        Ok(())
    } else {
        Err(ApiError::forbidden(caller.identity(), record.identity, action))
    }
}

/// Refuses what this host cannot do, rather than ignoring it.
fn check_query(query: &PublishQuery, headers: &HeaderMap) -> Result<(), ApiError> {
    if query.num_replicas.is_some_and(|n| u8::try_from(n).is_err()) {
        return Err(ApiError::bad_request("Replication factor out of bounds"));
    }
    if query.parent.is_some() || query.organization.is_some() {
        return Err(ApiError::bad_request("this host has no parent databases and no organizations"));
    }
    for header in ["spacetime-environment", "spacetime-environment-remove"] {
        if headers.contains_key(header) {
            return Err(ApiError::bad_request(format!("this host does not support `{header}`")));
        }
    }
    Ok(())
}

async fn read_module(state: &AppState, body: Body, host_type: Option<&str>) -> Result<Arc<[u8]>, ApiError> {
    check_module(&body::read(body, state.limits.program_bytes, state.limits.body_timeout).await?, host_type)
}

fn check_module(bytes: &[u8], host_type: Option<&str>) -> Result<Arc<[u8]>, ApiError> {
    match host_type {
        None | Some("Wasm") => {}
        Some("Js") => {
            return Err(ApiError::bad_request(
                "this host does not run JavaScript modules; publish a WebAssembly module, or use a SpacetimeDB server",
            ));
        }
        Some(other) => return Err(ApiError::bad_request(format!("unknown host_type `{other}`; use `Wasm`"))),
    }
    if !is_wasm(bytes) {
        if begins_as_wasm(bytes) {
            return Err(ApiError::bad_request(
                "not a SpacetimeDB module: the body begins with `\\0asm`, but holds no module for SpacetimeDB; send the \
                 .wasm file that the module's build made",
            ));
        }
        return Err(ApiError::bad_request(
            "not a WebAssembly module: the body does not begin with `\\0asm`, or is text; send the .wasm file that the \
             build made",
        ));
    }
    Ok(bytes.into())
}

fn migration_policy(policy: &name::MigrationPolicy, token: Option<Hash>) -> Result<MigrationPolicy, ApiError> {
    match (policy, token) {
        (name::MigrationPolicy::Compatible, _) => Ok(MigrationPolicy::Compatible),
        (name::MigrationPolicy::BreakClients, Some(token)) => Ok(MigrationPolicy::BreakClients(token)),
        (name::MigrationPolicy::BreakClients, None) => Err(ApiError::bad_request(
            "Migration policy is set to `BreakClients`, but no migration token was provided.",
        )),
    }
}

/// Reads `500ms`, `5s` or `1m`, the part of the official syntax that its own tools send.
fn confirmation_timeout(text: Option<&str>) -> Result<Duration, ApiError> {
    let Some(text) = text else {
        return Ok(UPDATE_CONFIRMATION_TIMEOUT_DEFAULT);
    };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let duration = digits.parse().ok().and_then(|n: u64| match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(n)),
        "s" | "sec" => Some(Duration::from_secs(n)),
        "m" | "min" => Some(Duration::from_secs(n.saturating_mul(60))),
        _ => None,
    });
    let duration = duration.ok_or_else(|| {
        ApiError::bad_request(format!("`{text}` is no update_confirmation_timeout; write it as `500ms`, `5s` or `1m`"))
    })?;
    Ok(duration.min(UPDATE_CONFIRMATION_TIMEOUT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_read_and_capped() {
        let read = |text| confirmation_timeout(Some(text)).ok();
        assert_eq!(confirmation_timeout(None).unwrap(), UPDATE_CONFIRMATION_TIMEOUT_DEFAULT);
        assert_eq!(read("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(read("7s"), Some(Duration::from_secs(7)));
        assert_eq!(read("2m"), Some(Duration::from_secs(120)));
        assert_eq!(read("9999999999999m"), Some(UPDATE_CONFIRMATION_TIMEOUT_MAX));
        for wrong in ["", "5", "s", "-1s", "five s", "99999999999999999999s"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn javascript_is_refused_by_its_declared_type_and_by_its_bytes() {
        assert!(check_module(b"\0asm\x01\0\0\0\xff", Some("Js")).is_err());
        let told = |bytes: &[u8]| format!("{:?}", check_module(bytes, None).unwrap_err());
        assert!(told(b"export {}").contains("does not begin with"), "{}", told(b"export {}"));
        let empty = told(b"\0asm\x01\0\0\0");
        assert!(empty.contains("not a SpacetimeDB module") && !empty.contains("does not begin"), "{empty}");
        assert!(check_module(b"\0asm\x01\0\0\0\xff", Some("Wasm")).is_ok());
    }
}
