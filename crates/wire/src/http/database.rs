//! The routes of one database: what it is, SQL, and calls.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, StatusCode, header::HeaderMap};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use spacetimedb_lib::Identity;
use spacetimedb_sats::{ProductType, serde::SerdeWrapper};

use super::schema::Column;
use super::{HttpClient, HttpError, json};
use crate::error::quote;
use crate::token::Token;

/// What a host says of a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseInfo {
    /// Its identity.
    pub database_identity: Identity,
    /// Who may publish to it and delete it.
    pub owner_identity: Identity,
    /// What its module is.
    pub host_type: HostType,
    /// The hash of the module that it was *created* with, in hexadecimal; updates do not change it.
    pub initial_program: String,
}

/// What a module is written for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostType {
    /// WebAssembly.
    Wasm,
    /// JavaScript.
    Js,
}

/// The answer to SQL.
#[derive(Clone, Debug)]
pub struct SqlAnswer {
    /// One for each statement.
    pub statements: Vec<StatementResult>,
    /// Who the host took the asker for. While the statement ran, this identity held a connection of its own: a count
    /// of connections over SQL counts it.
    pub asker: Option<Identity>,
    /// A token for that identity, if the request had none.
    pub issued_token: Option<Token>,
}

/// What one SQL statement did.
#[derive(Clone, Debug)]
pub struct StatementResult {
    /// The columns of the rows.
    pub columns: Vec<Column>,
    /// The rows, each the SATS-JSON texts of its cells in the order of the columns. They stay text, because SpacetimeDB
    /// writes integers of up to 256 bits as JSON numbers, of which a parsed JSON value would keep 53.
    pub rows: Vec<Vec<Box<RawValue>>>,
    /// How long the host took for it.
    pub duration: Duration,
    /// Rows that it inserted.
    pub rows_inserted: u64,
    /// Rows that it deleted.
    pub rows_deleted: u64,
    /// Rows that it updated.
    pub rows_updated: u64,
}

/// How a called reducer or procedure ended. Other outcomes are [`HttpError::Status`]: 400 for wrong arguments, 404 for
/// one that does not exist, 402 when the database's energy is used up.
#[derive(Clone, Debug, PartialEq)]
pub enum CallReply {
    /// It returned. A procedure's value as SATS-JSON text, whose integers may have 256 bits; `None` for a reducer.
    Returned(Option<String>),
    /// The reducer refused or panicked, and nothing is changed. For a person.
    Refused(String),
}

/// The status that hosts give for a reducer that returned an error or panicked.
const STATUS_REDUCER_FAILED: u16 = 530;

impl HttpClient {
    /// What the host says of the database (`GET /v1/database/…`).
    ///
    /// # Errors
    /// [`HttpError`]; status 404 if there is none.
    pub async fn database_info(&self) -> Result<DatabaseInfo, HttpError> {
        let context = format!("reading about `{}`", self.endpoint.database());
        let answer = self.ask(Method::GET, self.endpoint.database_url(&[]), None, &context).await?;
        let body: Value = self.parse(&answer.body, &context)?;
        let malformed = |reason| self.malformed(&context, reason);
        let host_type = json::variant(&body["host_type"]).map(str::to_ascii_lowercase);
        Ok(DatabaseInfo {
            database_identity: json::identity(&body["database_identity"]).map_err(malformed)?,
            owner_identity: json::identity(&body["owner_identity"]).map_err(malformed)?,
            host_type: match host_type.as_deref() {
                Some("wasm") => HostType::Wasm,
                Some("js") => HostType::Js,
                _ => return Err(malformed(format!("`{}` is not a host type", body["host_type"]))),
            },
            initial_program: json::hash(&body["initial_program"]).map_err(malformed)?,
        })
    }

    /// The database's identity (`GET /v1/database/…/identity`).
    ///
    /// # Errors
    /// [`HttpError`]; status 404 if there is none.
    pub async fn database_identity(&self) -> Result<Identity, HttpError> {
        let context = format!("resolving `{}`", self.endpoint.database());
        let answer = self.ask(Method::GET, self.endpoint.database_url(&["identity"]), None, &context).await?;
        let text = String::from_utf8_lossy(&answer.body);
        json::identity(&Value::String(text.trim().trim_matches('"').into()))
            .map_err(|reason| self.malformed(&context, reason))
    }

    /// The database's names (`GET /v1/database/…/names`).
    ///
    /// # Errors
    /// [`HttpError`]; status 404 if there is no such database.
    pub async fn database_names(&self) -> Result<Vec<String>, HttpError> {
        #[derive(Deserialize)]
        struct Names {
            names: Vec<String>,
        }
        let context = format!("reading the names of `{}`", self.endpoint.database());
        let answer = self.ask(Method::GET, self.endpoint.database_url(&["names"]), None, &context).await?;
        Ok(self.parse::<Names>(&answer.body, &context)?.names)
    }

    /// Deletes the database with all its data (`DELETE /v1/database/…`).
    ///
    /// # Errors
    /// [`HttpError`]; status 401 if it belongs to another.
    pub async fn delete_database(&self) -> Result<(), HttpError> {
        let context = format!("deleting `{}`", self.endpoint.database());
        self.ask(Method::DELETE, self.endpoint.database_url(&[]), None, &context).await?;
        Ok(())
    }

    /// Runs SQL, one or more statements separated by `;` (`POST /v1/database/…/sql`). With `confirmed`, the answer
    /// shows nothing that a crash of the host could take back.
    ///
    /// # Errors
    /// [`HttpError`]; status 400 if it does not parse, 403 if `client_connected` refuses the asker.
    pub async fn sql(&self, sql: &str, confirmed: bool) -> Result<SqlAnswer, HttpError> {
        let context = format!("running SQL on `{}`", self.endpoint.database());
        let mut url = self.endpoint.database_url(&["sql"]);
        url.query_pairs_mut().append_pair("confirmed", if confirmed { "true" } else { "false" });
        let body = Bytes::copy_from_slice(sql.as_bytes());
        let answer = self.ask(Method::POST, url, Some(("text/plain; charset=utf-8", body)), &context).await?;
        let statements: Vec<RawStatement> = self.parse(&answer.body, &context)?;
        Ok(SqlAnswer {
            statements: statements.into_iter().map(StatementResult::from).collect(),
            asker: header_text(&answer.headers, "spacetime-identity")
                .and_then(|text| json::identity(&Value::String(text)).ok()),
            issued_token: header_text(&answer.headers, "spacetime-identity-token")
                .and_then(|text| Token::new(text).ok()),
        })
    }

    /// Calls a reducer or procedure with a JSON array of SATS-JSON arguments (`POST /v1/database/…/call/…`).
    ///
    /// # Errors
    /// [`HttpError`], see [`CallReply`].
    pub async fn call(&self, name: &str, args: &Value) -> Result<CallReply, HttpError> {
        let context = format!("calling `{name}` of `{}`", self.endpoint.database());
        let url = self.endpoint.database_url(&["call", name]);
        let body = Bytes::from(args.to_string());
        let answer = self.ask_any(Method::POST, url, Some(("application/json", body)), &context).await?;
        match answer.status {
            status if status.as_u16() == STATUS_REDUCER_FAILED => {
                Ok(CallReply::Refused(String::from_utf8_lossy(&answer.body).trim().into()))
            }
            StatusCode::OK if answer.body.is_empty() => Ok(CallReply::Returned(None)),
            StatusCode::OK => {
                let value: Box<RawValue> = self.parse(&answer.body, &context)?;
                Ok(CallReply::Returned(Some(value.get().to_owned())))
            }
            _ => Err(self.refused(&answer, &context)),
        }
    }

    /// What the module says to a new connection of this client's identity, as far as HTTP tells: `Some` with its words
    /// if `client_connected` refuses. A host closes a refused WebSocket without a word, but answers HTTP with 403.
    pub(crate) async fn refusal(&self) -> Option<String> {
        match self.sql("SELECT * FROM st_table", false).await {
            Err(HttpError::Status { status: 403, said, .. }) => Some(quote(&said)),
            _ => None,
        }
    }
}

#[derive(Deserialize)]
struct RawStatement {
    schema: SerdeWrapper<ProductType>,
    rows: Vec<Vec<Box<RawValue>>>,
    #[serde(default)]
    total_duration_micros: u64,
    #[serde(default)]
    stats: RawStats,
}

#[derive(Default, Deserialize)]
struct RawStats {
    #[serde(default)]
    rows_inserted: u64,
    #[serde(default)]
    rows_deleted: u64,
    #[serde(default)]
    rows_updated: u64,
}

impl From<RawStatement> for StatementResult {
    fn from(raw: RawStatement) -> Self {
        StatementResult {
            columns: raw.schema.0.elements.iter().enumerate().map(Column::of_element).collect(),
            rows: raw.rows,
            duration: Duration::from_micros(raw.total_duration_micros),
            rows_inserted: raw.stats.rows_inserted,
            rows_deleted: raw.stats.rows_deleted,
            rows_updated: raw.stats.rows_updated,
        }
    }
}

fn header_text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_string)
}
