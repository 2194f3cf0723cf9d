//! A subscriber's token, and the keeper that has it.
//!
//! What always holds, as in the real driver and its keeper (`muster_wire::lease::Tokens`): another token is told of once,
//! and not while a connection is being opened that waits for whatever token comes first; such a connection gives up after
//! a while.

use muster_sync::engine::{Event, LinkNo, Trouble};

use super::{Link, Subscriber};
use crate::context::{Context, Happening, ToNode};
use crate::limits::TOKEN_WAIT_MS;
use crate::oracle::Broken;
use crate::process::{Fate, dial};

/// The newest token.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Token {
    /// Its number.
    serial: u64,
    /// From when on there is one.
    there_ms: u64,
}

/// What a process did with tokens.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Used {
    /// The newest one that a connection was asked for with.
    serial: u64,
    /// The connection that waits for the next.
    waiting: Option<LinkNo>,
}

impl Subscriber {
    /// Its token is over, and the next one comes after so long.
    pub fn lose_token(&mut self, ctx: &mut Context, ms: u64) {
        self.token.serial += 1;
        self.token.there_ms = ctx.now_ms + ms;
        ctx.at(self.token.there_ms, Happening::Node(self.node, 0, ToNode::Token));
    }

    /// Whether there is a token now.
    pub(super) fn has_token(&self, ctx: &Context) -> bool {
        self.token.there_ms <= ctx.now_ms
    }

    /// The engine wants a connection.
    pub(super) fn connect(&mut self, ctx: &mut Context, number: LinkNo) {
        if self.has_token(ctx) {
            self.process_mut().tokens.serial = self.token.serial;
            let conn = dial(ctx, self.node, self.life);
            return self.process_mut().links.push(Link { number, conn, greeted: false });
        }
        self.process_mut().tokens.waiting = Some(number);
        let gives_up = Happening::Node(self.node, self.life, ToNode::NoToken(number.0));
        ctx.at(ctx.now_ms + TOKEN_WAIT_MS, gives_up);
    }

    /// The engine does not want it any more.
    pub(super) fn stop_waiting(&mut self, number: LinkNo) {
        self.process_mut().tokens.waiting.take_if(|waiting| *waiting == number);
    }

    /// A token may have come.
    pub(super) fn token_came(&mut self, ctx: &mut Context) -> Result<Fate, Broken> {
        if !self.has_token(ctx) {
            // It was lost again.
            return Ok(Fate::Alive);
        }
        if let Some(number) = self.process_mut().tokens.waiting.take() {
            ctx.coverage.hit("subscriber: token came while a connection waited for it");
            self.connect(ctx, number);
            return Ok(Fate::Alive);
        }
        let serial = self.token.serial;
        if std::mem::replace(&mut self.process_mut().tokens.serial, serial) == serial {
            return Ok(Fate::Alive);
        }
        self.feed(ctx, Event::TokenRefreshDue)
    }

    /// None came for too long.
    pub(super) fn no_token(&mut self, ctx: &mut Context, number: LinkNo) -> Result<Fate, Broken> {
        if self.process_mut().tokens.waiting.take_if(|waiting| *waiting == number).is_none() {
            return Ok(Fate::Alive);
        }
        let why = Trouble { is_retryable: true, code: None, message: "no token".to_owned() };
        self.feed(ctx, Event::Disconnected { link: number, why })
    }
}
