//! The life of a session, decided: when to ping, when to close, what to wait for, when it is over.
//!
//! No clock, no socket, no task: [`Lifecycle::on`] takes an event and the time, and answers what to do. Always true:
//! a session that was told to end stays ended, `Close` is asked for at most once, and from every phase but `Open` a
//! deadline leads out.
//!
//! ```text
//!          the host wants to close                 input ended and Close sent, or close timeout
//!   Open ───────────────────────────▶ Closing ──────────────────────────────────────────────────▶ Ended
//!    │     the client said goodbye                 its last requests are handled, or idle timeout   ▲
//!    ├───────────────────────────────▶ Draining ────────────────────────────────────────────────────┤
//!    │                                 or the host wants to close                                   │
//!    └──────────────────────────────── nothing heard for the idle timeout ──────────────────────────┘
//! ```

use std::time::Duration;

use tokio::time::Instant;

use super::close::{CloseReason, Ending};
use super::limits::WebSocketLimits;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A frame arrived: data, or a ping (which tungstenite answers).
    Heard,
    /// The answer to a ping arrived.
    Pong,
    /// A Close frame arrived.
    PeerClosed,
    /// Nothing will be read from the socket any more.
    InputEnded,
    /// Every request received before the end of the input has been handed to the engine.
    RequestsHandled,
    /// The writer is done: the Close frame is out, or writing failed.
    OutputEnded,
    /// The host wants to end the session.
    CloseWanted(CloseReason),
    /// Nothing but time.
    Elapsed,
}

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Go on.
    Nothing,
    /// Send a ping.
    Ping,
    /// Drop the requests that wait, and send a Close frame.
    Close(CloseReason),
    /// Stop writing, accept no more requests, and hand the engine those that wait.
    Drain,
    /// Drop everything: the session is over, for this reason.
    End(Ending),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Closing { deadline: Instant },
    Draining { deadline: Instant },
    Ended,
}

/// A session's state.
#[derive(Debug)]
pub(super) struct Lifecycle {
    ping_interval: Duration,
    idle_timeout: Duration,
    close_handshake_timeout: Duration,
    phase: Phase,
    /// What ended `Open`.
    ending: Option<Ending>,
    heard_at: Instant,
    ping_at: Instant,
    pong_awaited: bool,
    input_ended: bool,
    output_ended: bool,
    requests_handled: bool,
}

impl Lifecycle {
    /// A session that opens now.
    pub(super) fn new(limits: &WebSocketLimits, now: Instant) -> Self {
        Self {
            ping_interval: limits.ping_interval,
            idle_timeout: limits.idle_timeout,
            close_handshake_timeout: limits.close_handshake_timeout,
            phase: Phase::Open,
            ending: None,
            heard_at: now,
            ping_at: now + limits.ping_interval,
            pong_awaited: false,
            input_ended: false,
            output_ended: false,
            requests_handled: false,
        }
    }

    /// Whether the host has decided to close, and further reasons to close change nothing.
    pub(super) fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing { .. })
    }

    /// When [`Event::Elapsed`] is due, if nothing else happens.
    pub(super) fn deadline(&self) -> Instant {
        match self.phase {
            Phase::Open => self.ping_at.min(self.heard_at + self.idle_timeout),
            Phase::Closing { deadline } | Phase::Draining { deadline } => deadline,
            Phase::Ended => self.heard_at,
        }
    }

    /// Takes in `event`, which happened at `now`.
    pub(super) fn on(&mut self, event: Event, now: Instant) -> Action {
        match event {
            Event::Heard => self.heard_at = now,
            Event::Pong => {
                self.heard_at = now;
                self.pong_awaited = false;
            }
            Event::PeerClosed => self.heard_at = now,
            Event::InputEnded => self.input_ended = true,
            Event::OutputEnded => self.output_ended = true,
            Event::RequestsHandled => self.requests_handled = true,
            Event::CloseWanted(_) | Event::Elapsed => {}
        }
        match self.phase {
            Phase::Open => self.while_open(event, now),
            Phase::Closing { deadline } => self.end_if(now >= deadline || (self.input_ended && self.output_ended)),
            Phase::Draining { deadline } => {
                // The client is gone, so there is nobody to close with.
                let over = matches!(event, Event::CloseWanted(_));
                self.while_draining(deadline, now, over)
            }
            Phase::Ended => Action::Nothing,
        }
    }

    fn while_open(&mut self, event: Event, now: Instant) -> Action {
        match event {
            Event::PeerClosed => self.drain(Ending::PeerClosed, now),
            // A failed write loses the connection, but what the client managed to ask for is still done.
            Event::InputEnded | Event::OutputEnded => self.drain(Ending::ConnectionLost, now),
            Event::CloseWanted(reason) => {
                self.ending = Some(Ending::Closed(reason.clone()));
                self.phase = Phase::Closing { deadline: now + self.close_handshake_timeout };
                Action::Close(reason)
            }
            Event::Elapsed => self.tick(now),
            Event::Heard | Event::Pong | Event::RequestsHandled => Action::Nothing,
        }
    }

    fn drain(&mut self, ending: Ending, now: Instant) -> Action {
        self.ending = Some(ending);
        self.phase = Phase::Draining { deadline: now + self.idle_timeout };
        Action::Drain
    }

    fn while_draining(&mut self, deadline: Instant, now: Instant, over: bool) -> Action {
        if self.requests_handled {
            // All that is left is tungstenite's answer to the client's Close frame.
            let deadline = deadline.min(now + self.close_handshake_timeout);
            self.phase = Phase::Draining { deadline };
        }
        self.end_if(over || now >= deadline || (self.input_ended && self.requests_handled))
    }

    fn tick(&mut self, now: Instant) -> Action {
        if now >= self.heard_at + self.idle_timeout {
            self.ending = Some(Ending::Idle);
            return self.end_if(true);
        }
        if now < self.ping_at {
            return Action::Nothing;
        }
        self.ping_at = now + self.ping_interval;
        // A second ping behind an unanswered one tells nothing new; the idle timeout decides.
        if std::mem::replace(&mut self.pong_awaited, true) { Action::Nothing } else { Action::Ping }
    }

    fn end_if(&mut self, over: bool) -> Action {
        if !over {
            return Action::Nothing;
        }
        self.phase = Phase::Ended;
        Action::End(self.ending.clone().expect("set whenever `Open` is left"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: WebSocketLimits = WebSocketLimits::DEFAULT;

    fn open() -> (Lifecycle, Instant) {
        let start = Instant::now();
        (Lifecycle::new(&LIMITS, start), start)
    }

    fn seconds(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    #[test]
    fn a_silent_client_is_pinged_once_and_then_ended() {
        let (mut session, start) = open();
        assert_eq!(session.deadline(), start + seconds(15));
        assert_eq!(session.on(Event::Elapsed, start + seconds(15)), Action::Ping);
        assert_eq!(session.deadline(), start + seconds(30));
        assert_eq!(session.on(Event::Elapsed, start + seconds(30)), Action::End(Ending::Idle));
        assert_eq!(session.on(Event::Heard, start + seconds(31)), Action::Nothing);
    }

    #[test]
    fn a_client_that_answers_pings_lives_on() {
        let (mut session, start) = open();
        for round in 1..100 {
            assert_eq!(session.on(Event::Elapsed, start + seconds(15 * round)), Action::Ping);
            assert_eq!(session.on(Event::Pong, start + seconds(15 * round + 1)), Action::Nothing);
        }
    }

    #[test]
    fn a_client_that_talks_lives_on_without_pongs_and_gets_no_second_ping() {
        let (mut session, start) = open();
        assert_eq!(session.on(Event::Elapsed, start + seconds(15)), Action::Ping);
        assert_eq!(session.on(Event::Heard, start + seconds(29)), Action::Nothing);
        assert_eq!(session.on(Event::Elapsed, start + seconds(30)), Action::Nothing);
        assert_eq!(session.on(Event::Heard, start + seconds(44)), Action::Nothing);
        assert_eq!(session.on(Event::Elapsed, start + seconds(45)), Action::Nothing);
        assert_eq!(session.on(Event::Elapsed, start + seconds(74)), Action::End(Ending::Idle));
    }

    #[test]
    fn a_close_by_the_host_waits_for_the_clients_answer() {
        let (mut session, start) = open();
        let close = Event::CloseWanted(CloseReason::Shutdown);
        assert_eq!(session.on(close.clone(), start), Action::Close(CloseReason::Shutdown));
        assert_eq!(session.on(close, start), Action::Nothing);
        assert_eq!(session.on(Event::OutputEnded, start), Action::Nothing);
        assert_eq!(session.on(Event::PeerClosed, start), Action::Nothing);
        assert_eq!(session.on(Event::InputEnded, start), Action::End(Ending::Closed(CloseReason::Shutdown)));
    }

    #[test]
    fn a_client_that_never_answers_a_close_is_ended_after_the_timeout() {
        let (mut session, start) = open();
        session.on(Event::CloseWanted(CloseReason::ModuleExited), start);
        assert_eq!(session.deadline(), start + LIMITS.close_handshake_timeout);
        assert_eq!(
            session.on(Event::Heard, start + LIMITS.close_handshake_timeout),
            Action::End(Ending::Closed(CloseReason::ModuleExited))
        );
    }

    #[test]
    fn what_a_client_asked_for_before_it_left_is_still_done() {
        for goodbye in [Event::PeerClosed, Event::InputEnded] {
            let (mut session, start) = open();
            assert_eq!(session.on(goodbye.clone(), start), Action::Drain);
            session.on(Event::InputEnded, start);
            assert!(!matches!(session.on(Event::Elapsed, start + seconds(29)), Action::End(_)));
            let end = session.on(Event::RequestsHandled, start + seconds(29));
            let expected = if goodbye == Event::PeerClosed { Ending::PeerClosed } else { Ending::ConnectionLost };
            assert_eq!(end, Action::End(expected));
        }
    }

    #[test]
    fn requests_that_never_finish_do_not_hold_a_session_for_ever() {
        let (mut session, start) = open();
        session.on(Event::PeerClosed, start);
        session.on(Event::InputEnded, start);
        assert_eq!(session.on(Event::Elapsed, start + seconds(30)), Action::End(Ending::PeerClosed));
    }

    #[test]
    fn a_client_that_says_goodbye_and_reads_nothing_is_not_waited_for() {
        let (mut session, start) = open();
        session.on(Event::PeerClosed, start);
        assert_eq!(session.on(Event::RequestsHandled, start), Action::Nothing);
        let deadline = session.deadline();
        assert_eq!(deadline, start + LIMITS.close_handshake_timeout);
        assert_eq!(session.on(Event::Elapsed, deadline), Action::End(Ending::PeerClosed));
    }

    #[test]
    fn a_host_that_stops_does_not_wait_for_the_requests_of_a_client_that_left() {
        let (mut session, start) = open();
        session.on(Event::PeerClosed, start);
        let end = session.on(Event::CloseWanted(CloseReason::Shutdown), start);
        assert_eq!(end, Action::End(Ending::PeerClosed));
    }

    #[test]
    fn a_failed_write_ends_the_session_once_its_requests_are_handled() {
        let (mut session, start) = open();
        assert_eq!(session.on(Event::OutputEnded, start), Action::Drain);
        session.on(Event::RequestsHandled, start);
        assert_eq!(session.on(Event::InputEnded, start), Action::End(Ending::ConnectionLost));
    }
}
