//! The sync's and the lease's words, in the model's.
//!
//! What always holds: nothing is added; times are only moved onto the screen's clock.

use std::time::SystemTime;

use muster_sync::{Status, StreamStatus, Subscriber};
use muster_wire::lease::{LeaseState, LeaseStatus};

use crate::clock::{At, Clock};
use crate::model::observation::SyncWord;
use crate::model::refusal::Refusal;
use crate::model::streams::StreamWord;
use crate::model::token::{TokenFacts, TokenKind};

pub(super) fn sync(subscriber: &Subscriber, status: &Status, clock: &Clock) -> SyncWord {
    let at = |since_began| clock.at((subscriber.began() + since_began).into_std());
    SyncWord {
        state: status.state,
        reason: status.reason,
        attempts: status.attempts,
        next_retry: status.next_retry.map(at),
        last_error: status.last_error.clone(),
        lag: status.lag,
        is_stuck: status.is_stuck(),
        proof: subscriber.proof().map(|at| clock.at(at.into_std())),
    }
}

pub(super) fn streams(subscriber: &Subscriber, clock: &Clock) -> Vec<StreamWord> {
    let at = |since_began| clock.at((subscriber.began() + since_began).into_std());
    let word = |status: StreamStatus| StreamWord {
        stream: status.stream,
        state: status.state,
        reason: status.reason,
        epoch: status.cursor.map(|cursor| cursor.epoch.get()),
        cursor: status.cursor.map(|cursor| cursor.seq.get()),
        head: status.head,
        lag: status.lag,
        attempts: status.attempts,
        next_retry: status.next_retry.map(at),
        last_error: status.last_error,
    };
    subscriber.streams().into_iter().map(word).collect()
}

/// What a lease shows, with the claims of the token that it holds, if it holds one.
pub(super) fn lease(status: &LeaseStatus, held: Option<&str>, now: At) -> TokenFacts {
    let wall = |at: SystemTime| {
        let micros = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
        At(i64::try_from(micros).unwrap_or(i64::MAX))
    };
    let claims = held.map(|token| TokenFacts::of(TokenKind::Renewed, token)).unwrap_or_default();
    let said = status.last_refusal.as_ref();
    TokenFacts {
        kind: TokenKind::Renewed,
        client: status.client.clone().or(claims.client.clone()),
        scopes: if status.scopes.is_empty() { claims.scopes.clone() } else { status.scopes.clone() },
        streams: if status.streams.is_empty() { claims.streams.clone() } else { status.streams.clone() },
        expires: status.expires_at.map(wall).or(claims.expires),
        next_refresh: status.refresh_due_at.or(status.next_attempt_at).map(wall),
        last_refusal: said.map(|refused| (now, refused.message.clone())),
        refusal: said
            .filter(|_| status.state == LeaseState::Blocked)
            .map(|refused| Refusal::permission("The token service refuses", &refused.message)),
        ..claims
    }
}
