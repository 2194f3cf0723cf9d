//! `POST /oauth/introspect` (RFC 7662) and `POST /oauth/revoke` (RFC 7009).
//!
//! What always holds: a client hears of another's token only where it is registered for that, and ends none but its own.

use axum::Json;
use axum::response::{IntoResponse as _, Response};
use http::StatusCode;
use serde_json::{Value, json};

use super::Call;
use super::answer::Refusal;
use super::credentials::{Presented, form};
use crate::inner::Inner;
use crate::limits::CREDENTIAL_BYTES_MAX;
use crate::secret::Secret;
use crate::store::clients::{Client, Permission};
use crate::store::{StoreError, audit, sessions};

async fn client_and_token(call: &Call) -> Result<(Client, Secret), Refusal> {
    let mut form = form(&call.headers, &call.body)?;
    let client = Presented::find(&call.headers, &mut form)?.check(&call.inner, call.address).await?;
    let token = form.remove("token").map(Secret::new).ok_or_else(|| Refusal::invalid_request("token is missing"))?;
    if token.expose().len() > CREDENTIAL_BYTES_MAX {
        return Err(Refusal::invalid_request("the token is longer than any of this issuer"));
    }
    Ok((client, token))
}

/// What a token is worth now. Whatever is not good, or not the client's to know, is just not active (section 2.2).
pub(crate) async fn introspect(call: Call) -> Result<Response, Refusal> {
    let (client, token) = client_and_token(&call).await?;
    let answer = call.inner.blocking(move |inner| Ok(describe(inner, &client, &token)?)).await?;
    Ok(Json(answer.unwrap_or_else(|| json!({ "active": false }))).into_response())
}

fn describe(inner: &Inner, client: &Client, token: &Secret) -> Result<Option<Value>, StoreError> {
    inner.store.read(|connection| {
        let now_s = inner.config.clock.now_s();
        let may_know = |owner: &str| owner == client.id || client.permissions.contains(&Permission::Introspect);
        if let Some((claims, _)) = inner.issuer().inspect(connection, token)? {
            if !may_know(&claims.client_id) {
                return Ok(None);
            }
            let mut body = serde_json::to_value(&claims).map_err(|_| StoreError::Corrupt("token"))?;
            body["active"] = true.into();
            body["token_type"] = "Bearer".into();
            return Ok(Some(body));
        }
        let Some((session, spent)) = sessions::of_refresh(connection, &token.fingerprint())? else { return Ok(None) };
        let good = !spent && session.revoked_s.is_none() && session.ends_s > now_s && may_know(&session.client_id);
        Ok(good.then(|| {
            json!({
                "active": true, "iss": inner.config.issuer, "client_id": session.client_id, "sub": session.subject,
                "sid": session.id, "exp": session.ends_s, "scope": crate::claims::scope_text(&session.grant),
            })
        }))
    })
}

/// Ends a token: an access token, or with a refresh token its whole family. What is not good any more is no error
/// (section 2.2).
pub(crate) async fn revoke(call: Call) -> Result<Response, Refusal> {
    let (client, token) = client_and_token(&call).await?;
    let ended = call.inner.blocking(move |inner| revoke_in(inner, &client, &token)).await?;
    if ended {
        call.inner.note_revoked();
    }
    Ok(StatusCode::OK.into_response())
}

fn revoke_in(inner: &Inner, client: &Client, token: &Secret) -> Result<bool, Refusal> {
    inner.store.write(|tx| {
        let now_s = inner.config.clock.now_s();
        let own = |owner: &str| match owner == client.id {
            true => Ok(()),
            false => Err(Refusal::unauthorized_client("the token belongs to another client")),
        };
        let (session, ended) = if let Some((claims, session)) = inner.issuer().inspect(tx, token)? {
            own(&session.client_id)?;
            let ended = if sessions::has_refresh(tx, &session.id)? {
                sessions::revoke_access(tx, &claims.jti, &session, now_s, "client")?
            } else {
                !sessions::revoke(tx, &session.id, now_s, "client")?.is_empty()
            };
            (session, ended)
        } else if let Some((session, _)) = sessions::of_refresh(tx, &token.fingerprint())? {
            own(&session.client_id)?;
            let ended = !sessions::revoke(tx, &session.id, now_s, "client")?.is_empty();
            (session, ended)
        } else {
            return Ok(false);
        };
        if ended {
            audit::append(tx, now_s, &client.id, "token.revoke", &session.id, &json!({}))?;
        }
        Ok(ended)
    })
}
