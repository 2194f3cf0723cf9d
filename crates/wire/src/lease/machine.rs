//! What a token lease decides: when to ask for the next token, when the present one is no good any more, and when asking
//! is left to a person.
//!
//! What always holds: this is pure. It has no clock (the time comes with each event, as a duration since some moment, and
//! never falls), no socket, no file and no token; the same events give the same actions. At most one question is under
//! way. A token is offered at most until its end, counted from the moment in which it was asked for, so from before it
//! was made. What failed is asked again after [`muster_contract::backoff`]'s waits, or after what the service said; what
//! only a person can mend is looked at about once a minute, or not at all.
//!
//! | what happens | the next question |
//! | --- | --- |
//! | a token with a time for its successor | a little before that time, each client at another moment |
//! | no answer, or one that says "later" | 0 to 250 ms later, then 0 to 500 ms, … 8 s; never before the time it named |
//! | a refusal that stays until somebody changes something | 60 to 75 s later |
//! | a refusal of this build | never by itself |
//! | a host does not take the token, or its grant ended | at once; a second time without success between: 60 to 75 s later |

use std::time::Duration;

use muster_contract::backoff;

use crate::limits::{LEASE_BLOCKED_MS, LEASE_BLOCKED_SPREAD_MS, LEASE_RETRY_AFTER_MS_MAX, ms};

#[cfg(test)]
mod tests;

/// How long a token is good, as far as that is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// From when it was asked for until nobody takes it any more.
    pub expires_in: Option<Duration>,
    /// From when it was asked for until its successor should be there.
    pub refresh_after_in: Option<Duration>,
}

/// What to do after a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It may be over by itself: ask again soon, and not before this has passed.
    Soon {
        /// What the service asked for.
        not_before: Option<Duration>,
    },
    /// It stays until somebody changes something there or here; that is looked for about once a minute.
    Slowly,
    /// It stays for this build.
    Never,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody wants a token, or something has changed for which asking is worth it: a file, a secret, a person's word.
    AskNow,
    /// The question was answered with a token.
    Granted {
        /// Which question.
        question: u64,
        /// How long it is good.
        terms: Terms,
    },
    /// The question was answered: there is nothing but the token that is held.
    Unchanged {
        /// Which question.
        question: u64,
    },
    /// The question was refused, or not answered.
    Refused {
        /// Which question.
        question: u64,
        /// What to do.
        retry: Retry,
    },
    /// A host does not take the token, or what it granted has ended.
    Denied {
        /// Which token.
        serial: u64,
    },
    /// A host has taken the token.
    Accepted {
        /// Which token.
        serial: u64,
    },
    /// [`Lease::next_deadline`] has come.
    Tick,
}

/// What is to be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for a token; answered by `Granted`, `Unchanged` or `Refused` with this number.
    Ask {
        /// The question.
        question: u64,
    },
    /// The token that came last is the one to use.
    Offer {
        /// Its number.
        serial: u64,
    },
    /// The token that was offered last is no good any more.
    Withdraw,
}

/// What a lease is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseState {
    /// There is no token yet, and one is asked for.
    Waiting,
    /// There is a good token, and nothing to do.
    Held,
    /// There is a good token, and its successor is asked for.
    Refreshing,
    /// The token has ended, and the next is asked for.
    Ended,
    /// Nothing helps before somebody has changed something. The present token, if there is one, is good until its end.
    Blocked,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    serial: u64,
    ends: Option<Duration>,
    due: Option<Duration>,
    is_over: bool,
}

/// The state of one lease.
#[derive(Clone, Debug, Default)]
pub struct Lease {
    questions: u64,
    /// The question under way, and when it was asked.
    asking: Option<(u64, Duration)>,
    next_ask: Option<Duration>,
    held: Option<Held>,
    serials: u64,
    attempts: u32,
    is_refused: bool,
    /// Tokens in a row that a host did not take.
    denials: u32,
}

impl Lease {
    /// A lease without a token; [`Event::AskNow`] begins.
    pub fn new() -> Lease {
        Lease::default()
    }

    /// Takes an event at the time `now`, with 64 evenly distributed random bits, and says what to do.
    pub fn on(&mut self, now: Duration, random: u64, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::AskNow => {
                self.attempts = 0;
                self.next_ask = Some(now);
            }
            Event::Granted { question, terms } => self.granted(question, terms, random, &mut actions),
            Event::Unchanged { question } => {
                if self.answered(question).is_some() {
                    self.is_refused = false;
                    self.next_ask = None;
                }
            }
            Event::Refused { question, retry } => self.refused(now, random, question, retry),
            Event::Denied { serial } => self.denied(now, random, serial),
            Event::Accepted { serial } => {
                if self.is_present(serial) {
                    self.denials = 0;
                }
            }
            Event::Tick => {}
        }
        self.time(now, &mut actions);
        actions
    }

    /// When [`Event::Tick`] is due next; `None`: not before something else happens.
    pub fn next_deadline(&self) -> Option<Duration> {
        let ask = self.next_ask.filter(|_| self.asking.is_none());
        let end = self.held.filter(|held| !held.is_over).and_then(|held| held.ends);
        [ask, end].into_iter().flatten().min()
    }

    /// What it is doing.
    pub fn state(&self) -> LeaseState {
        match self.held {
            _ if self.is_refused || self.denials > 1 => LeaseState::Blocked,
            None => LeaseState::Waiting,
            Some(held) if held.is_over => LeaseState::Ended,
            Some(_) if self.asking.is_some() || self.attempts > 0 => LeaseState::Refreshing,
            Some(_) => LeaseState::Held,
        }
    }

    /// When the present token ends, as a time of [`Lease::on`].
    pub fn ends(&self) -> Option<Duration> {
        self.held.and_then(|held| held.ends)
    }

    /// When its successor is due.
    pub fn due(&self) -> Option<Duration> {
        self.held.and_then(|held| held.due)
    }

    /// When the next question is due, while none is under way.
    pub fn next_ask(&self) -> Option<Duration> {
        self.next_ask.filter(|_| self.asking.is_none())
    }

    /// Questions in a row that brought nothing.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How many tokens have come.
    pub fn tokens(&self) -> u64 {
        self.serials
    }

    /// Whether the service refused in a way that somebody has to mend.
    pub fn is_refused(&self) -> bool {
        self.is_refused
    }

    fn is_present(&self, serial: u64) -> bool {
        self.held.is_some_and(|held| held.serial == serial)
    }

    /// When the question was asked that is answered now; `None` if nobody waits for it.
    fn answered(&mut self, question: u64) -> Option<Duration> {
        self.asking.take_if(|(asked, _)| *asked == question).map(|(_, at)| at)
    }

    fn granted(&mut self, question: u64, terms: Terms, random: u64, actions: &mut Vec<Action>) {
        let Some(asked_at) = self.answered(question) else { return };
        self.serials += 1;
        self.attempts = 0;
        self.is_refused = false;
        let ends = terms.expires_in.map(|life| asked_at + life);
        let due = terms.refresh_after_in.map(|after| asked_at + early(after, random));
        self.held = Some(Held { serial: self.serials, ends, due, is_over: false });
        self.next_ask = due;
        actions.push(Action::Offer { serial: self.serials });
    }

    fn refused(&mut self, now: Duration, random: u64, question: u64, retry: Retry) {
        if self.answered(question).is_none() {
            return;
        }
        self.is_refused = !matches!(retry, Retry::Soon { .. });
        self.next_ask = match retry {
            Retry::Soon { not_before } => {
                let wait = ms(backoff::wait_ms(self.attempts, random));
                let asked_for = not_before.unwrap_or_default().min(ms(LEASE_RETRY_AFTER_MS_MAX));
                // Nobody who was told the same time comes at the same moment.
                Some(now + asked_for + wait)
            }
            Retry::Slowly => Some(now + slowly(random)),
            Retry::Never => None,
        };
        self.attempts = self.attempts.saturating_add(1);
    }

    fn denied(&mut self, now: Duration, random: u64, serial: u64) {
        if !self.is_present(serial) || self.is_refused {
            return;
        }
        self.denials = self.denials.saturating_add(1);
        let next = if self.denials == 1 { now } else { now + slowly(random) };
        self.next_ask = Some(self.next_ask.map_or(next, |at| at.min(next)));
        // Said of one token once.
        if let Some(held) = &mut self.held {
            held.serial = 0;
        }
    }

    fn time(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if let Some(held) = &mut self.held
            && !held.is_over
            && held.ends.is_some_and(|ends| ends <= now)
        {
            held.is_over = true;
            actions.push(Action::Withdraw);
        }
        if self.asking.is_none() && self.next_ask.is_some_and(|at| at <= now) {
            self.next_ask = None;
            self.questions += 1;
            self.asking = Some((self.questions, now));
            actions.push(Action::Ask { question: self.questions });
        }
    }
}

/// Up to a fifth before the time that was named, so that clients that got their tokens together do not come together.
fn early(after: Duration, random: u64) -> Duration {
    let part = f64::from(u32::try_from(random >> 32).unwrap_or(0)) / f64::from(u32::MAX);
    after.mul_f64(1.0 - part / 5.0)
}

/// From 60 to 75 s.
fn slowly(random: u64) -> Duration {
    let spread = (u128::from(random) * u128::from(LEASE_BLOCKED_SPREAD_MS)) >> 64;
    ms(LEASE_BLOCKED_MS) + ms(u64::try_from(spread).unwrap_or(LEASE_BLOCKED_SPREAD_MS))
}
