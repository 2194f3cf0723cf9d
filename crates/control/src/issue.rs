//! Tokens are made here, and only here: each grant type's rules, inside one transaction each.
//!
//! What always holds: a token's grant is covered by its client's registration as it is now; an exchanged token's also by
//! the exchanged one's, and it ends no later; a refresh token is good once. What refuses also says so in one of OAuth's
//! words.

use rusqlite::{Connection, Transaction};

use crate::claims::{ACCESS_TOKEN_TYPE, AccessClaims, Actor, scope_text};
use crate::config::Config;
use crate::grant::{Grant, GrantError, Wanted};
use crate::keys::{self, KeyFiles};
use crate::limits::{
    ACCESS_LIFETIME_MIN_S, ACTORS_MAX, CREDENTIAL_BYTES_MAX, IDENTITY_CLAIM_BYTES_MAX, OWN_TOKEN_S,
    REFRESH_AFTER_PERCENT,
};
use crate::refresh::{RefreshDecision, RefreshFacts, decide};
use crate::secret::{Secret, random_text};
use crate::store::clients::{self, Client, Permission};
use crate::store::sessions::{self, Session};
use crate::store::{StoreError, audit, keys as key_rows};

/// What is asked for beside the proof of identity.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    pub(crate) wanted: Wanted,
    pub(crate) subject: Option<String>,
    pub(crate) lifetime_s: Option<i64>,
    pub(crate) client_build: Option<String>,
}

/// A token, and what goes with it.
#[derive(Debug)]
pub(crate) struct Issued {
    pub(crate) token: Secret,
    pub(crate) refresh_token: Option<Secret>,
    pub(crate) grant: Grant,
    pub(crate) issued_s: i64,
    pub(crate) expires_s: i64,
}

impl Issued {
    pub(crate) fn expires_in_s(&self) -> i64 {
        self.expires_s - self.issued_s
    }

    /// After how many seconds its holder should fetch the next.
    pub(crate) fn refresh_after_in_s(&self) -> i64 {
        self.expires_in_s() * REFRESH_AFTER_PERCENT / 100
    }
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IssueError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// `invalid_scope`.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// `invalid_grant`.
    #[error("{0}")]
    InvalidGrant(&'static str),
    /// `unauthorized_client`.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// `invalid_request`.
    #[error("{0}")]
    Invalid(&'static str),
}

/// What every way to a token needs.
pub(crate) struct Issuer<'a> {
    pub(crate) config: &'a Config,
    pub(crate) keys: &'a KeyFiles,
    pub(crate) now_s: i64,
}

/// What became of a refresh token. Reuse is no error: the family's end must be committed.
pub(crate) enum Refreshed {
    Issued(Box<Issued>),
    FamilyEnded,
}

impl Issuer<'_> {
    /// A client's own token (RFC 6749 section 4.4). A refresh token goes with it only where the client is registered
    /// for it and asks on the OAuth endpoint: RFC 6749 advises against it because the client has a secret anyway; it is
    /// for those that keep the secret off the machine that runs.
    pub(crate) fn client_credentials(
        &self,
        tx: &Transaction<'_>,
        client: &Client,
        request: Request,
        may_refresh: bool,
    ) -> Result<Issued, IssueError> {
        let grant = client.grant.narrow(&request.wanted)?;
        let subject = subject_of(client, request.subject)?;
        let with_refresh = may_refresh && client.permissions.contains(&Permission::Refresh);
        let lifetime_s = self.lifetime_s(client, request.lifetime_s)?;
        let session = Session {
            id: random_text::<16>(),
            client_id: client.id.clone(),
            subject,
            actors: Vec::new(),
            role: client.role.clone(),
            client_build: request.client_build,
            grant: grant.clone(),
            parent: None,
            created_s: self.now_s,
            used_s: self.now_s,
            ends_s: self.now_s + if with_refresh { client.session_lifetime_s } else { lifetime_s },
            revoked_s: None,
            reason: None,
        };
        sessions::insert(tx, &session)?;
        let mut issued = self.access(tx, &session, grant, lifetime_s)?;
        if with_refresh {
            issued.refresh_token = Some(self.refresh_token(tx, &session)?);
        }
        Ok(issued)
    }

    /// The service's own token, with which it tells modules of revocations: it grants nothing, and its subject is nobody
    /// else's, because no client may have that id.
    pub(crate) fn own(&self, tx: &Transaction<'_>) -> Result<Issued, StoreError> {
        let session = Session {
            id: random_text::<16>(),
            client_id: OWN_SUBJECT.into(),
            subject: OWN_SUBJECT.into(),
            actors: Vec::new(),
            role: Some("control".into()),
            client_build: None,
            grant: Grant::default(),
            parent: None,
            created_s: self.now_s,
            used_s: self.now_s,
            ends_s: self.now_s + OWN_TOKEN_S,
            revoked_s: None,
            reason: None,
        };
        sessions::insert(tx, &session)?;
        self.access(tx, &session, Grant::default(), OWN_TOKEN_S)
    }

    /// The next token of a refresh family (RFC 6749 section 6). What the family may is what it was given, as far as the
    /// client still may: an administrator who takes something from a client takes it from its families.
    pub(crate) fn refresh(
        &self,
        tx: &Transaction<'_>,
        client: &Client,
        token: &Secret,
        request: Request,
    ) -> Result<Refreshed, IssueError> {
        let hash = token.fingerprint();
        let refuse = || IssueError::InvalidGrant("the refresh token is not good; authenticate anew");
        let (mut session, spent) = sessions::of_refresh(tx, &hash)?.ok_or_else(refuse)?;
        let facts = RefreshFacts {
            spent,
            revoked: session.revoked_s.is_some(),
            family_ends_s: session.ends_s,
            same_client: session.client_id == client.id,
        };
        match decide(facts, self.now_s) {
            RefreshDecision::Refuse => return Err(refuse()),
            RefreshDecision::Reuse => {
                sessions::revoke(tx, &session.id, self.now_s, "refresh-reuse")?;
                audit::append(
                    tx,
                    self.now_s,
                    &client.id,
                    "session.refresh-reuse",
                    &session.id,
                    &serde_json::json!({}),
                )?;
                return Ok(Refreshed::FamilyEnded);
            }
            RefreshDecision::Rotate => {}
        }
        let grant = session.grant.intersect(&client.grant)?.narrow(&request.wanted)?;
        let lifetime_s = self.lifetime_s(client, request.lifetime_s)?;
        session.client_build = request.client_build.or(session.client_build);
        sessions::spend(tx, &hash, self.now_s)?;
        sessions::used(tx, &session.id, self.now_s)?;
        let mut issued = self.access(tx, &session, grant, lifetime_s)?;
        issued.refresh_token = Some(self.refresh_token(tx, &session)?);
        Ok(Refreshed::Issued(Box::new(issued)))
    }

    /// A narrower token for another's (RFC 8693): same subject, the authenticated client as actor, never more scopes or
    /// streams, never a later end, never a refresh token.
    pub(crate) fn exchange(
        &self,
        tx: &Transaction<'_>,
        client: &Client,
        subject_token: &Secret,
        request: Request,
    ) -> Result<Issued, IssueError> {
        if !client.permissions.contains(&Permission::Exchange) {
            return Err(IssueError::Unauthorized("the client is not registered for token exchange"));
        }
        let refused =
            IssueError::InvalidGrant("the subject token is not good: expired, revoked, or not of this issuer");
        let Some((claims, parent)) = self.inspect(tx, subject_token)? else { return Err(refused) };
        let given = Grant::new(claims.oa_sync_scopes, claims.oa_sync_streams)?;
        let grant = given.intersect(&client.grant)?.narrow(&request.wanted)?;
        let actors: Vec<String> = std::iter::once(client.id.clone()).chain(parent.actors.iter().cloned()).collect();
        if actors.len() > ACTORS_MAX {
            return Err(IssueError::Invalid(
                "the token has passed through too many hands; start again from the subject's own",
            ));
        }
        let lifetime_s = self.lifetime_s(client, request.lifetime_s)?.min(claims.exp - self.now_s);
        let session = Session {
            id: random_text::<16>(),
            client_id: client.id.clone(),
            actors,
            client_build: request.client_build,
            grant: grant.clone(),
            parent: Some(parent.id.clone()),
            created_s: self.now_s,
            used_s: self.now_s,
            ends_s: self.now_s + lifetime_s,
            ..parent
        };
        sessions::insert(tx, &session)?;
        Ok(self.access(tx, &session, grant, lifetime_s)?)
    }

    /// The claims and session of an access token of this issuer that is good now: signed by a published key, of this
    /// issuer and audience, in its time, and neither it nor its session nor its client ended.
    pub(crate) fn inspect(
        &self,
        connection: &Connection,
        token: &Secret,
    ) -> Result<Option<(AccessClaims, Session)>, StoreError> {
        let token = token.expose();
        if token.len() > CREDENTIAL_BYTES_MAX {
            return Ok(None);
        }
        let Ok(header) = jsonwebtoken::decode_header(token) else { return Ok(None) };
        let Some(kid) = header.kid.filter(|_| header.typ.as_deref() == Some(ACCESS_TOKEN_TYPE)) else {
            return Ok(None);
        };
        let Some(key) = key_rows::published(connection, &kid)? else { return Ok(None) };
        let Some(claims) = keys::verify::<AccessClaims>(token, &key) else { return Ok(None) };
        let ours = claims.iss == self.config.issuer && claims.aud == self.config.audience;
        if !ours || claims.nbf > self.now_s || claims.exp <= self.now_s {
            return Ok(None);
        }
        let Some(session) = sessions::of_access(connection, &claims.jti)? else { return Ok(None) };
        let client = clients::find(connection, &session.client_id)?;
        Ok(client.filter(|client| !client.disabled).map(|_| (claims, session)))
    }

    fn lifetime_s(&self, client: &Client, asked_s: Option<i64>) -> Result<i64, IssueError> {
        match asked_s {
            Some(asked_s) if asked_s < ACCESS_LIFETIME_MIN_S => {
                Err(IssueError::Invalid("so short a life is not useful; ask for at least 10 seconds"))
            }
            Some(asked_s) => Ok(asked_s.min(client.access_lifetime_s)),
            None => Ok(client.access_lifetime_s),
        }
    }

    fn access(
        &self,
        tx: &Transaction<'_>,
        session: &Session,
        grant: Grant,
        lifetime_s: i64,
    ) -> Result<Issued, StoreError> {
        let expires_s = (self.now_s + lifetime_s).min(session.ends_s);
        let claims = AccessClaims {
            iss: self.config.issuer.clone(),
            sub: session.subject.clone(),
            aud: self.config.audience.clone(),
            iat: self.now_s,
            nbf: self.now_s,
            exp: expires_s,
            jti: random_text::<16>(),
            client_id: session.client_id.clone(),
            sid: session.id.clone(),
            scope: scope_text(&grant),
            oa_sync_scopes: grant.scopes.iter().copied().collect(),
            oa_sync_streams: grant.streams.clone(),
            oa_role: session.role.clone(),
            oa_client_build: session.client_build.clone(),
            act: Actor::chain(&session.actors),
        };
        sessions::insert_access(tx, &claims.jti, &session.id, self.now_s, expires_s)?;
        let token = Secret::new(self.keys.sign(tx, ACCESS_TOKEN_TYPE, &claims)?);
        Ok(Issued { token, refresh_token: None, grant, issued_s: self.now_s, expires_s })
    }

    fn refresh_token(&self, tx: &Transaction<'_>, session: &Session) -> Result<Secret, StoreError> {
        let token = Secret::generate(REFRESH_PREFIX);
        sessions::insert_refresh(tx, &token.fingerprint(), &session.id, self.now_s)?;
        Ok(token)
    }
}

/// The `sub` and `client_id` of the service's own tokens.
pub const OWN_SUBJECT: &str = "muster-control";

/// What refresh tokens begin with, so that one that got loose can be recognised.
pub(crate) const REFRESH_PREFIX: &str = "mrt_";

/// The subject of a client's token: itself, or another that its registration allows.
fn subject_of(client: &Client, asked: Option<String>) -> Result<String, IssueError> {
    let Some(subject) = asked else { return Ok(client.id.clone()) };
    let sound = !subject.is_empty()
        && subject.len() <= IDENTITY_CLAIM_BYTES_MAX
        && subject.bytes().all(|byte| byte.is_ascii_graphic());
    if !sound {
        return Err(IssueError::Invalid("a subject has 1 to 128 visible ASCII characters"));
    }
    let allowed =
        client.subject_prefixes.iter().any(|prefix| subject.len() > prefix.len() && subject.starts_with(prefix));
    if !allowed {
        return Err(IssueError::Unauthorized("the client is not registered for this subject"));
    }
    Ok(subject)
}
