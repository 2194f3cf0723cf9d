//! Signing keys, as an administrator sees and moves them.

use serde::Serialize;
use serde_json::{Value, json};

use super::end_tokens;
use crate::Control;
use crate::error::ControlError;
use crate::schedule::{self, KeyState, Step};
use crate::store::keys::{self as key_rows, SigningKeyInfo};
use crate::store::{audit, clients};

/// What a rotation is waiting for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rotation {
    /// The key that signs now.
    pub active: String,
    /// The key that will sign.
    pub next: String,
    /// When it may begin, in seconds since 1970, if the service that runs goes on until then; `None` while none runs, and
    /// then the time begins when one does.
    pub not_before_s: Option<i64>,
}

impl Control {
    /// All signing keys, oldest first, without their private halves.
    ///
    /// # Errors
    /// The database.
    pub fn keys_list(&self) -> Result<Vec<SigningKeyInfo>, ControlError> {
        self.inner.store.read(|connection| Ok(key_rows::all(connection)?))
    }

    /// Asks that the announced key sign as soon as every host knows it. The running service does it; asking twice is
    /// asking once.
    ///
    /// # Errors
    /// The database.
    pub fn keys_rotate(&self, actor: &str) -> Result<Rotation, ControlError> {
        let running = self.inner.running()?;
        self.change(|tx, now_s| {
            key_rows::want(tx)?;
            let keys = key_rows::all(tx)?;
            let find = |state| keys.iter().find(|key| key.facts.state == state).ok_or(ControlError::NoKey);
            let (active, next) = (find(KeyState::Active)?, find(KeyState::Announced)?);
            audit::append(tx, now_s, actor, "key.rotate", &next.facts.kid, &json!({ "active": active.facts.kid }))?;
            Ok(Rotation {
                active: active.facts.kid.clone(),
                next: next.facts.kid.clone(),
                not_before_s: running
                    .and_then(|service| schedule::may_sign_at(&next.facts, service.phases, Some(service.since_s))),
            })
        })
    }

    /// Does what is due with the keys, as the running service does every second. Returns whether anything was.
    ///
    /// # Errors
    /// The database, the key files.
    pub fn keys_advance(&self) -> Result<bool, ControlError> {
        self.inner.advance_keys()
    }

    /// Takes a key whose private half got loose out of the key set at once, and with it every token that it signed. Where
    /// it signed, its successor takes over at once, announced or not: until hosts have fetched the key set again (five
    /// minutes) some may refuse new tokens, and may still take what a thief signs.
    ///
    /// # Errors
    /// No such key, or it is gone already.
    pub fn keys_compromised(&self, actor: &str, kid: &str) -> Result<(), ControlError> {
        self.change(|tx, now_s| {
            let keys = key_rows::all(tx)?;
            let published = keys.iter().find(|key| key.facts.kid == kid && key.facts.state.is_published());
            let state = published.ok_or(ControlError::NoKey)?.facts.state;
            let mut steps = vec![Step::Remove(kid.to_owned())];
            if state == KeyState::Active {
                let next = keys.iter().find(|key| key.facts.state == KeyState::Announced).ok_or(ControlError::NoKey)?;
                steps.push(Step::Activate(next.facts.kid.clone()));
            }
            if state != KeyState::Retiring {
                steps.push(Step::Announce);
            }
            for step in &steps {
                self.inner.keys.apply(tx, step, now_s, None)?;
            }
            for client in clients::all(tx)? {
                end_tokens(tx, &client.id, now_s, "key-compromised")?;
            }
            Ok(audit::append(tx, now_s, actor, "key.compromised", kid, &Value::Null)?)
        })
    }
}
