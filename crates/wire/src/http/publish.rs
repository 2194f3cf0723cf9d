//! Publishing a module: first the plan, then the deed.

use bytes::Bytes;
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;
use spacetimedb_lib::Identity;

use super::{HttpClient, HttpError, json};
use crate::limits::{PUBLISH_MS_MAX, ms};

/// What publishing a module over the stored one would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationPlan {
    /// What would happen to schema and clients.
    pub migration: Migration,
    /// Whether the stored module is of SpacetimeDB 1.x and the new one of 2.x: there is no way back.
    pub major_version_upgrade: bool,
}

/// What would happen to schema and clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Migration {
    /// The host can do it by itself, keeping all data.
    Automatic {
        /// The steps, as text of several lines without colours; empty if there are none.
        steps: String,
        /// Whether clients with the old schema are disconnected and can no longer read what they expect.
        breaks_clients: bool,
        /// What [`Policy::BreakClients`] must show, as proof that this very plan was seen.
        token: MigrationToken,
    },
    /// The host cannot do it and keep the data.
    Refused {
        /// Why, as text that may have several lines.
        reason: String,
    },
}

/// Names one plan: from which module to which, on which database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigrationToken(String);

impl MigrationToken {
    /// As the host wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a publish may do to connected clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Nothing: the host refuses a migration that breaks them.
    #[default]
    Compatible,
    /// Break them, by the plan of this token.
    BreakClients(MigrationToken),
}

/// How to publish.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PublishOptions {
    /// What it may do to clients.
    pub policy: Policy,
    /// Whether to delete all data first. Cannot be undone.
    pub clear: bool,
}

/// What a publish did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishOutcome {
    /// The database's identity.
    pub database_identity: Identity,
    /// The database's name, unless it was named by its identity.
    pub domain: Option<String>,
    /// Whether it is new.
    pub operation: PublishOperation,
}

/// Whether a database is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishOperation {
    /// It is.
    Created,
    /// It existed.
    Updated,
}

impl HttpClient {
    /// Asks what publishing `wasm` to this existing database would do (`POST /v1/database/…/pre_publish`).
    ///
    /// # Errors
    /// [`HttpError`]; status 404 if there is no such database yet, 401 if it belongs to another, 400 or 500 if `wasm`
    /// is not a module.
    pub async fn pre_publish(&self, wasm: impl Into<Bytes>) -> Result<MigrationPlan, HttpError> {
        let context = format!("planning the update of `{}`", self.endpoint.database());
        let mut url = self.endpoint.database_url(&["pre_publish"]);
        url.query_pairs_mut().append_pair("style", "NoColor");
        let patient = self.patient(ms(PUBLISH_MS_MAX));
        let answer = patient.ask(Method::POST, url, Some(("application/wasm", wasm.into())), &context).await?;
        let body: RawPlan = self.parse(&answer.body, &context)?;
        Ok(match body {
            RawPlan::AutoMigrate { migrate_plan, break_clients, token, major_version_upgrade } => MigrationPlan {
                migration: Migration::Automatic {
                    steps: migrate_plan,
                    breaks_clients: break_clients,
                    // Goes back exactly as it came: hosts read a hash in more than one form, but write it in one.
                    token: json::text(&token)
                        .map(|token| MigrationToken(token.into()))
                        .ok_or_else(|| self.malformed(&context, format!("`{token}` is no token")))?,
                },
                major_version_upgrade,
            },
            RawPlan::ManualMigrate { reason, major_version_upgrade } => {
                MigrationPlan { migration: Migration::Refused { reason }, major_version_upgrade }
            }
        })
    }

    /// Publishes `wasm` to this database and makes it if it does not exist (`PUT /v1/database/…`).
    ///
    /// # Errors
    /// [`HttpError`]; status 401 if it belongs to another, 400 if the migration is refused or `wasm` is not a module.
    pub async fn publish(&self, wasm: impl Into<Bytes>, options: &PublishOptions) -> Result<PublishOutcome, HttpError> {
        let context = format!("publishing to `{}`", self.endpoint.database());
        let mut url = self.endpoint.database_url(&[]);
        {
            let mut query = url.query_pairs_mut();
            if options.clear {
                query.append_pair("clear", "true");
            }
            match &options.policy {
                Policy::Compatible => query.append_pair("policy", "Compatible"),
                Policy::BreakClients(token) => {
                    query.append_pair("policy", "BreakClients").append_pair("token", token.as_str())
                }
            };
        }
        let patient = self.patient(ms(PUBLISH_MS_MAX));
        let answer = patient.ask_any(Method::PUT, url, Some(("application/wasm", wasm.into())), &context).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&answer, &context));
        }
        match self.parse(&answer.body, &context)? {
            RawOutcome::Success { domain, database_identity, op } => Ok(PublishOutcome {
                database_identity: json::identity(&database_identity)
                    .map_err(|reason| self.malformed(&context, reason))?,
                domain: domain.as_str().map(str::to_string),
                operation: match op {
                    RawOperation::Created => PublishOperation::Created,
                    RawOperation::Updated => PublishOperation::Updated,
                },
            }),
            RawOutcome::Other(other) => Err(self.malformed(&context, format!("`{other}` is no outcome"))),
        }
    }
}

#[derive(Deserialize)]
enum RawPlan {
    AutoMigrate {
        migrate_plan: String,
        break_clients: bool,
        token: Value,
        #[serde(default)]
        major_version_upgrade: bool,
    },
    ManualMigrate {
        reason: String,
        #[serde(default)]
        major_version_upgrade: bool,
    },
}

#[derive(Deserialize)]
enum RawOutcome {
    Success {
        #[serde(default)]
        domain: Value,
        database_identity: Value,
        op: RawOperation,
    },
    #[serde(untagged)]
    Other(Value),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawOperation {
    Created,
    Updated,
}
