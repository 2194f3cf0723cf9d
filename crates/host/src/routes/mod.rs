//! The HTTP surface: SpacetimeDB's own paths, status codes, headers and bodies, as its HTTP API pages describe them
//! (<https://spacetimedb.com/docs/http>) and, where the pages are silent, as the official server behaves.
//!
//! Routes only translate: they read a request, ask the state's parts, and shape the answer. Every answer names this
//! host and its engine in `Server`.

mod call;
mod database;
mod handler;
mod identity;
mod logs;
mod metrics;
mod names;
mod publish;
mod schema;
mod sql;
mod subscribe;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post, put};
use axum::{Json, Router, middleware};
use http::{HeaderValue, StatusCode, Uri, header};
use tower_http::cors::{Any, CorsLayer};

use crate::auth::{MaybeCaller, identify};
use crate::body::drain_if_refused;
use crate::engine::ENGINE_VERSION;
use crate::state::AppState;

/// All routes of a host.
pub(crate) fn router(state: AppState) -> Router {
    // The official server's list of headers; browsers would refuse to show the identity without the exposed two.
    let cors = CorsLayer::new()
        .allow_headers([header::AUTHORIZATION, header::ACCEPT, header::CONTENT_TYPE])
        .allow_methods(Any)
        .allow_origin(Any)
        .expose_headers(Any);
    let v1 = Router::new()
        .nest("/identity", identity_routes())
        .merge(database_routes(state.clone()))
        .merge(module_routes())
        .route("/metrics", get(metrics::metrics))
        .route("/ping", get(ping))
        .route("/health", get(health))
        .layer(cors);
    Router::new()
        .nest("/v1", v1)
        .fallback(no_such_route)
        .layer(middleware::from_fn_with_state(state.clone(), drain_if_refused))
        .layer(middleware::map_response(name_server))
        .with_state(state)
}

fn identity_routes() -> Router<AppState> {
    Router::new()
        .route("/", post(identity::create))
        .route("/public-key", get(identity::public_key))
        .route("/websocket-token", post(identity::websocket_token))
        .route("/{identity}/verify", get(identity::verify))
        .route("/{identity}/databases", get(identity::databases))
}

fn database_routes(state: AppState) -> Router<AppState> {
    let one = Router::new()
        .route("/", get(database::info).put(publish::put).delete(database::delete))
        .route("/identity", get(database::identity))
        .route("/names", get(names::get).post(names::add).put(names::set))
        .route("/pre_publish", post(publish::pre_publish))
        .route("/reset", put(publish::reset))
        .route("/schema", get(schema::schema))
        .route("/sql", post(sql::sql))
        .route("/call/{function}", post(call::call))
        .route("/logs", get(logs::logs))
        .route("/subscribe", get(subscribe::subscribe));
    Router::new()
        .route("/database", post(publish::post))
        .nest("/database/{name_or_identity}", one)
        .route_layer(middleware::from_fn_with_state(state, identify))
}

/// Outside of [`identify`]: who calls a module's own routes is the module's business.
fn module_routes() -> Router<AppState> {
    Router::new()
        .route("/database/{name_or_identity}/route", any(handler::root))
        .route("/database/{name_or_identity}/route/", any(handler::root_slash))
        .route("/database/{name_or_identity}/route/{*path}", any(handler::below))
}

/// `GET /v1/ping`: an empty 200, or 401 for a bad token.
async fn ping(_caller: MaybeCaller) {}

/// `GET /v1/health`: the host's and the engine's versions, and whether it takes new databases.
async fn health(State(state): State<AppState>) -> impl IntoResponse {
    Json(serde_json::json!({
        "package_name": env!("CARGO_PKG_NAME"),
        "version": ENGINE_VERSION,
        "host_version": env!("CARGO_PKG_VERSION"),
        "nodes": [0],
        "schedulable": !state.shutdown.is_cancelled(),
    }))
}

async fn no_such_route(uri: Uri) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("no such route: {}", uri.path()))
}

async fn name_server(mut response: Response) -> Response {
    const NAME: &str = concat!("muster-host/", env!("CARGO_PKG_VERSION"), " spacetimedb/2.14.0");
    response.headers_mut().insert(header::SERVER, HeaderValue::from_static(NAME));
    response
}
