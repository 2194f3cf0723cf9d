//! What an administrator does: clients, keys, sessions, the audit log. `muster control` is a thin cover over these.
//!
//! What always holds: every change is in the audit log in the transaction that makes it, with who made it; what takes a
//! permission away also ends the tokens that have it.

mod cohorts;
mod keys;
mod sessions;

use std::collections::BTreeSet;

use rusqlite::Transaction;
use serde_json::{Value, json};

use crate::Control;
use crate::error::ControlError;
use crate::grant::Grant;
use crate::http::is_client_id;
use crate::issue::OWN_SUBJECT;
use crate::keys::{read_public_jwk, thumbprint};
use crate::limits::{
    ACCESS_LIFETIME_DEFAULT_S, ACCESS_LIFETIME_MAX_S, ACCESS_LIFETIME_MIN_S, CLOCK_MARGIN_S, CREDENTIALS_MAX,
    HOST_EXPIRY_LEEWAY_S, SESSION_LIFETIME_MAX_S,
};
use crate::password;
use crate::secret::Secret;
use crate::store::audit;
use crate::store::clients::{self, Client, Permission};
use crate::store::revocations::{self, RevokedKind};
use crate::store::sessions as session_rows;

pub use keys::Rotation;

/// What client secrets begin with, so that scanners of repositories can find one that got loose.
const SECRET_PREFIX: &str = "mcs_";

/// A client to be.
#[derive(Clone, Debug)]
pub struct NewClient {
    /// Its id: 1 to 128 of `A-Z a-z 0-9 . _ -`. It is the `sub` of the client's own tokens.
    pub id: String,
    /// What people call it.
    pub description: String,
    /// The most that its tokens may do.
    pub grant: Grant,
    /// The `oa_role` of its tokens.
    pub role: Option<String>,
    /// It may name subjects that begin with one of these, each ending in `:` (so that none is a client's id).
    pub subject_prefixes: Vec<String>,
    /// What else it may do.
    pub permissions: BTreeSet<Permission>,
    /// The longest life of its access tokens, in seconds.
    pub access_lifetime_s: i64,
    /// The longest life of its refresh families, in seconds.
    pub session_lifetime_s: i64,
    /// How it proves who it is.
    pub credential: Credential,
}

/// How a client proves who it is.
#[derive(Clone, Debug)]
pub enum Credential {
    /// By a secret, which is made and shown once.
    Secret,
    /// By signing with the private half of this key: a JWK, EC P-256 (`private_key_jwt`, RFC 7523, ES256).
    PublicKey(String),
}

impl NewClient {
    /// A client with this grant and a secret, without further permissions.
    pub fn new(id: impl Into<String>, grant: Grant) -> NewClient {
        NewClient {
            id: id.into(),
            description: String::new(),
            grant,
            role: None,
            subject_prefixes: Vec::new(),
            permissions: BTreeSet::new(),
            access_lifetime_s: ACCESS_LIFETIME_DEFAULT_S,
            session_lifetime_s: SESSION_LIFETIME_MAX_S,
            credential: Credential::Secret,
        }
    }

    fn check(&self) -> Result<(), ControlError> {
        let refuse = |field, why: &str| Err(ControlError::Client { field, why: why.into() });
        if !is_client_id(&self.id) {
            return refuse("id", "take 1 to 128 of A-Z a-z 0-9 . _ -");
        }
        if self.id == OWN_SUBJECT {
            return refuse("id", "it is the service's own; take another");
        }
        if self.grant.scopes.is_empty() {
            return refuse("scopes", "name at least one");
        }
        if !self.subject_prefixes.iter().all(|prefix| prefix.ends_with(':') && prefix.len() <= 64) {
            return refuse("subject prefixes", "each ends in `:` and has at most 64 bytes, such as `user:`");
        }
        if self.role.as_ref().is_some_and(|role| role.len() > 64) || self.description.len() > 256 {
            return refuse("role or description", "a role has at most 64 bytes, a description 256");
        }
        if !(ACCESS_LIFETIME_MIN_S..=ACCESS_LIFETIME_MAX_S).contains(&self.access_lifetime_s) {
            return refuse("access lifetime", "take 10 to 3600 seconds");
        }
        if !(self.access_lifetime_s..=SESSION_LIFETIME_MAX_S).contains(&self.session_lifetime_s) {
            return refuse("session lifetime", "take at least the access lifetime and at most thirty days");
        }
        Ok(())
    }
}

/// A client that was added.
#[derive(Debug)]
pub struct AddedClient {
    /// It.
    pub client: Client,
    /// Its secret, where it has one: this is the only time that it can be seen.
    pub secret: Option<Secret>,
    /// The id of its public key, where it has one.
    pub key_id: Option<String>,
}

impl Control {
    pub(super) fn now_s(&self) -> i64 {
        self.inner.config.clock.now_s()
    }

    pub(super) fn change<T>(
        &self,
        work: impl FnOnce(&Transaction<'_>, i64) -> Result<T, ControlError>,
    ) -> Result<T, ControlError> {
        let now_s = self.now_s();
        let done = self.inner.store.write(|tx| work(tx, now_s))?;
        self.inner.note_revoked();
        Ok(done)
    }

    /// Adds a client, as `actor` wants it.
    ///
    /// # Errors
    /// A field that cannot be used, an id that is taken.
    pub fn client_add(&self, actor: &str, new: NewClient) -> Result<AddedClient, ControlError> {
        new.check()?;
        let secret = matches!(new.credential, Credential::Secret).then(|| Secret::generate(SECRET_PREFIX));
        let phc = secret.as_ref().map(password::hash);
        let key = match &new.credential {
            Credential::PublicKey(jwk) => Some(read_public_jwk(jwk)?),
            Credential::Secret => None,
        };
        self.change(|tx, now_s| {
            let client = Client {
                id: new.id,
                description: new.description,
                disabled: false,
                grant: Grant::new(new.grant.scopes, new.grant.streams)?,
                role: new.role,
                subject_prefixes: new.subject_prefixes,
                permissions: new.permissions,
                access_lifetime_s: new.access_lifetime_s,
                session_lifetime_s: new.session_lifetime_s,
                created_s: now_s,
            };
            if !clients::insert(tx, &client)? {
                return Err(ControlError::ClientExists(client.id));
            }
            if let Some(phc) = phc {
                clients::add_secret(tx, &client.id, &phc, now_s, now_s)?;
            }
            let key_id = key.as_ref().map(thumbprint);
            if let (Some(key), Some(kid)) = (&key, &key_id) {
                clients::add_public_key(tx, &client.id, kid, key, now_s)?;
            }
            audit::append(tx, now_s, actor, "client.add", &client.id, &json!(client))?;
            Ok(AddedClient { client, secret, key_id })
        })
    }

    /// All clients, by id.
    ///
    /// # Errors
    /// The database.
    pub fn client_list(&self) -> Result<Vec<Client>, ControlError> {
        self.inner.store.read(|connection| Ok(clients::all(connection)?))
    }

    /// Gives a client another grant. Where that has less, all its tokens end.
    ///
    /// # Errors
    /// No such client.
    pub fn client_set_grant(&self, actor: &str, id: &str, grant: Grant) -> Result<(), ControlError> {
        let grant = Grant::new(grant.scopes, grant.streams)?;
        self.change(|tx, now_s| {
            let before = find(tx, id)?;
            clients::set_grant(tx, id, &grant)?;
            if !grant.covers(&before.grant) {
                end_tokens(tx, id, now_s, "narrowed")?;
            }
            Ok(audit::append(
                tx,
                now_s,
                actor,
                "client.set-grant",
                id,
                &json!({ "grant": grant, "before": before.grant }),
            )?)
        })
    }

    /// Disables a client and ends all its tokens, or enables it again.
    ///
    /// # Errors
    /// No such client.
    pub fn client_set_disabled(&self, actor: &str, id: &str, disabled: bool) -> Result<(), ControlError> {
        self.change(|tx, now_s| {
            find(tx, id)?;
            clients::set_disabled(tx, id, disabled)?;
            if disabled {
                end_tokens(tx, id, now_s, "disabled")?;
            }
            let action = if disabled { "client.disable" } else { "client.enable" };
            Ok(audit::append(tx, now_s, actor, action, id, &Value::Null)?)
        })
    }

    /// Gives a client a new secret, shown this once. The one before is good for `overlap_s` seconds more; 0 for a secret
    /// that got loose, and then revoke its sessions too.
    ///
    /// # Errors
    /// No such client.
    pub fn client_new_secret(&self, actor: &str, id: &str, overlap_s: i64) -> Result<Secret, ControlError> {
        let secret = Secret::generate(SECRET_PREFIX);
        let phc = password::hash(&secret);
        self.change(|tx, now_s| {
            find(tx, id)?;
            clients::add_secret(tx, id, &phc, now_s, now_s.saturating_add(overlap_s.max(0)))?;
            audit::append(tx, now_s, actor, "client.new-secret", id, &json!({ "overlap_s": overlap_s }))?;
            Ok(secret)
        })
    }

    /// Adds a public key to a client, which may have two. Returns the key's id.
    ///
    /// # Errors
    /// No such client, a JWK that cannot be used, no room.
    pub fn client_add_key(&self, actor: &str, id: &str, jwk: &str) -> Result<String, ControlError> {
        let key = read_public_jwk(jwk)?;
        let kid = thumbprint(&key);
        self.change(|tx, now_s| {
            find(tx, id)?;
            if !clients::add_public_key(tx, id, &kid, &key, now_s)? {
                return Err(ControlError::NoKey);
            }
            audit::append(tx, now_s, actor, "client.add-key", id, &json!({ "kid": kid, "keys_max": CREDENTIALS_MAX }))?;
            Ok(kid)
        })
    }

    /// Removes a public key from a client.
    ///
    /// # Errors
    /// No such key.
    pub fn client_remove_key(&self, actor: &str, id: &str, kid: &str) -> Result<(), ControlError> {
        self.change(|tx, now_s| {
            if !clients::remove_public_key(tx, id, kid)? {
                return Err(ControlError::NoKey);
            }
            Ok(audit::append(tx, now_s, actor, "client.remove-key", id, &json!({ "kid": kid }))?)
        })
    }
}

pub(super) fn find(tx: &Transaction<'_>, id: &str) -> Result<Client, ControlError> {
    clients::find(tx, id)?.ok_or_else(|| ControlError::NoClient(id.into()))
}

/// Ends all that a client has. One revocation names the client, so that the module ends what it has of it also where a
/// session is not in this database any more; those that were exchanged from its tokens are named one by one.
pub(super) fn end_tokens(tx: &Transaction<'_>, id: &str, now_s: i64, reason: &str) -> Result<usize, ControlError> {
    revocations::append(tx, RevokedKind::Client, id, now_s, tokens_end_s(now_s), reason)?;
    Ok(session_rows::revoke_of_client(tx, id, now_s, reason)?)
}

/// When every token that is made until now has expired everywhere, in seconds since 1970.
pub(super) fn tokens_end_s(now_s: i64) -> i64 {
    now_s + ACCESS_LIFETIME_MAX_S + HOST_EXPIRY_LEEWAY_S + CLOCK_MARGIN_S
}
