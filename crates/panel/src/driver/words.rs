//! The sync's and the lease's words, in the model's.
//!
//! What always holds: nothing is added; times are only moved onto the screen's clock.

use std::time::SystemTime;

use muster_contract::state::{ConnectionState, LeaveReason};
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

/// A moment of the wall's clock.
fn wall(at: SystemTime) -> At {
    let micros = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_micros();
    At(i64::try_from(micros).unwrap_or(i64::MAX))
}

/// What the sync waits for while no token has come yet.
pub(super) fn waiting(status: &LeaseStatus) -> SyncWord {
    let state = match status.state {
        LeaseState::Blocked => ConnectionState::Blocked,
        _ if status.attempts > 0 && status.next_attempt_at.is_some() => ConnectionState::Backoff,
        _ => ConnectionState::Connecting,
    };
    let reason = match state {
        ConnectionState::Blocked => Some(LeaveReason::Unauthorized),
        ConnectionState::Backoff => Some(LeaveReason::Network),
        _ => None,
    };
    SyncWord {
        state,
        reason,
        attempts: status.attempts,
        next_retry: status.next_attempt_at.map(wall),
        last_error: status.last_refusal.as_ref().map(|refused| refused.message.clone()),
        lag: 0,
        is_stuck: state == ConnectionState::Blocked,
        proof: None,
    }
}

/// What a lease shows, with the claims of the token that it holds, if it holds one.
pub(super) fn lease(status: &LeaseStatus, held: Option<&str>, now: At) -> TokenFacts {
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
            .map(|refused| Refusal::of_token_service(&refused.message)),
        ..claims
    }
}
