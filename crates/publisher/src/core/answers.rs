//! What the host, and the disk, answered.
//!
//! What always holds: an answer to a call of an earlier connection is ignored; every answer gives its call's room back.

use std::time::Duration;

use muster_contract::backoff;

use super::stream::{Class, Numbers, Phase, compare, parks};
use super::words::{HostState, Refusal, named};
use super::{Action, Call, CallId, Core, StreamNo};
use crate::limits::{RETRY_AFTER_MS_MAX, ms};

impl Core {
    pub(super) fn taken(&mut self, now: Duration, call: CallId, read: u32, read_bytes: usize) {
        let Some(Call::Append { stream: no, first, count, events, bytes }) = self.calls.get_mut(&call) else { return };
        self.in_flight_events = self.in_flight_events - *events + u64::from(read);
        self.in_flight_bytes = self.in_flight_bytes - *bytes + read_bytes;
        (*count, *events, *bytes) = (Some(read), u64::from(read), read_bytes);
        let (no, next) = (*no, *first + u64::from(read));
        if let Some(stream) = self.streams.get_mut(&no) {
            stream.next = next;
            stream.reading = false;
        }
        self.index(now, no);
    }

    pub(super) fn not_taken(
        &mut self,
        now: Duration,
        random: u64,
        call: CallId,
        damaged: bool,
        message: String,
        actions: &mut Vec<Action>,
    ) {
        let Some((no, first, _)) = self.end_append(call) else { return };
        let code = if damaged { "outbox_damaged" } else { "outbox_unreadable" };
        self.drain(no, first, Refusal::new(code, message));
        self.settle(now, random, no, actions);
    }

    pub(super) fn accepted(&mut self, now: Duration, random: u64, call: CallId, actions: &mut Vec<Action>) {
        let Some((no, first, count)) = self.end_append(call) else { return };
        self.proven();
        self.token_taken(actions);
        self.counters.accepted_calls += 1;
        if let Some(count) = count {
            // A run is accepted only after all before it, and durable only after them.
            self.counters.confirmed += self.confirm(no, first + u64::from(count) - 1);
        }
        if let Some(stream) = self.streams.get_mut(&no) {
            stream.attempts = 0;
            stream.finals = 0;
            if stream.phase == Phase::Ready {
                stream.refusal = None;
                if stream.record.epoch == 0 {
                    // The epoch under which the stream was made can be asked now.
                    stream.phase = Phase::Draining;
                }
            }
        }
        self.settle(now, random, no, actions);
    }

    pub(super) fn refused(
        &mut self,
        now: Duration,
        random: u64,
        call: CallId,
        refusal: Refusal,
        actions: &mut Vec<Action>,
    ) {
        self.counters.refused_calls += 1;
        self.proven();
        if self.calls.contains_key(&call) {
            self.token_may_be_over(&refusal.code, actions);
        }
        if let Some(Call::Ask { .. }) = self.calls.get(&call) {
            return self.ask_refused(now, random, call, refusal, actions);
        }
        let Some((no, first, count)) = self.end_append(call) else { return };
        let Some(stream) = self.streams.get_mut(&no) else { return };
        // A place outside of the batch is none.
        let refusal = Refusal { at: refusal.at.filter(|at| count.is_some_and(|count| *at < count)), ..refusal };
        // Where the host says which of them it is, what stands before it goes out first, and it alone is named.
        let is_first = refusal.at.is_none_or(|at| at == 0);
        if stream.calls == 0 && stream.phase == Phase::Ready && is_first && parks(stream, &refusal) {
            let count = if refusal.at.is_some() { 1 } else { count.unwrap_or(1) };
            let last = first + u64::from(count).saturating_sub(1);
            // Whoever decides about them must know which they are.
            let message = format!("{}{}", refusal.message, named(first, last));
            return self.park(now, no, Refusal { message, ..refusal }, actions);
        }
        let is_final = refusal.class() == Class::Final;
        let at_fault = refusal.at.filter(|_| is_final).map(|at| first + u64::from(at));
        if self.drain(no, first, refusal)
            && let Some(stream) = self.streams.get_mut(&no)
        {
            stream.at_fault = at_fault;
        }
        self.settle(now, random, no, actions);
    }

    /// The question itself was refused. Asked with others, a stream may suffer for another one.
    fn ask_refused(&mut self, now: Duration, random: u64, call: CallId, refusal: Refusal, actions: &mut Vec<Action>) {
        let Some(streams) = self.end_ask(call) else { return };
        let shared = streams.len() > 1;
        // Where the host says for which of them, the others are asked about again without it, and at once.
        let at_fault = refusal.at.and_then(|at| streams.get(at as usize).copied()).filter(|_| shared);
        for no in streams {
            let Some(stream) = self.streams.get_mut(&no).filter(|stream| stream.phase == Phase::Asking) else {
                continue;
            };
            if at_fault.is_some_and(|at_fault| at_fault != no) {
                stream.phase = Phase::Unknown;
                self.index(now, no);
            } else if shared && at_fault.is_none() && refusal.class() != Class::Passing {
                stream.alone = true;
                stream.phase = Phase::Unknown;
                self.index(now, no);
            } else if parks(stream, &refusal) {
                self.park(now, no, refusal.clone(), actions);
            } else {
                stream.alone |= shared;
                stream.phase = Phase::Ready;
                let first = stream.next;
                self.drain(no, first, refusal.clone());
                self.settle(now, random, no, actions);
            }
        }
    }

    pub(super) fn states(
        &mut self,
        now: Duration,
        random: u64,
        call: CallId,
        states: &[HostState],
        actions: &mut Vec<Action>,
    ) {
        let Some(streams) = self.end_ask(call) else { return };
        self.proven();
        self.token_taken(actions);
        for (index, no) in streams.into_iter().enumerate() {
            let Some(stream) = self.streams.get_mut(&no).filter(|stream| stream.phase == Phase::Asking) else {
                continue;
            };
            let Some(host) = states.get(index) else {
                // A host that answers something else than was asked.
                let message = format!("the host described {} streams, where more were asked for", states.len());
                stream.phase = Phase::Ready;
                let first = stream.next;
                self.drain(no, first, Refusal::new("internal", message));
                self.settle(now, random, no, actions);
                continue;
            };
            // The upper half: the lower one decides about waits.
            let fresh = u32::try_from(random >> 32).expect("32 bits");
            match compare(&stream.record, *host, fresh) {
                Numbers::Confirmed(up_to) => {
                    stream.phase = Phase::Ready;
                    stream.alone = false;
                    let news = self.confirm_by_answer(no, up_to);
                    self.counters.duplicates += news;
                }
                Numbers::Renumbered(record) => {
                    let session = self.session;
                    stream.phase = Phase::Saving { record, session };
                    actions.push(Action::Save(record));
                }
                Numbers::Contradicted(refusal) => {
                    self.park(now, no, refusal, actions);
                    continue;
                }
            }
            self.index(now, no);
        }
    }

    pub(super) fn saved(&mut self, now: Duration, random: u64, no: StreamNo, ok: bool, actions: &mut Vec<Action>) {
        let now_session = self.session;
        let Some(stream) = self.streams.get_mut(&no) else { return };
        let Phase::Saving { record, session } = stream.phase else { return };
        if !ok {
            stream.phase = Phase::Ready;
            let first = stream.next;
            let message = "the outbox could not write the stream's new numbers";
            self.drain(no, first, Refusal::new("outbox_unwritable", message));
            return self.settle(now, random, no, actions);
        }
        let is_another_counting = stream.record.generation != record.generation;
        self.counters.rebased += u64::from(is_another_counting);
        self.counters.epochs += u64::from(stream.record.epoch != 0 && stream.record.epoch != record.epoch);
        let (last, confirmed) = (stream.record.last, stream.record.confirmed);
        stream.record = super::StreamRecord { last, confirmed, ..record };
        // What the host said holds on the connection on which it said so, and for the counting that it was asked about: an
        // outbox that was restored from an older copy may have begun this one before.
        let is_current = session == now_session && self.link == super::Link::Up && !is_another_counting;
        stream.phase = if is_current { Phase::Ready } else { Phase::Unknown };
        self.counters.duplicates += self.confirm_by_answer(no, record.confirmed);
        self.index(now, no);
    }

    /// The same, where the host was asked: the acknowledgement of those events was lost. What was refused before may have
    /// come true in the meantime.
    fn confirm_by_answer(&mut self, no: StreamNo, up_to: u64) -> u64 {
        let news = self.confirm(no, up_to);
        self.counters.confirmed += news;
        if news > 0
            && let Some(stream) = self.streams.get_mut(&no)
        {
            stream.refusal = None;
        }
        news
    }

    /// Notes that the host has everything up to `up_to`; returns how many events that confirms.
    fn confirm(&mut self, no: StreamNo, up_to: u64) -> u64 {
        let Some(stream) = self.streams.get_mut(&no) else { return 0 };
        let news = up_to.min(stream.record.last).saturating_sub(stream.record.confirmed);
        if news > 0 {
            stream.record.confirmed += news;
            stream.next = stream.next.max(stream.record.confirmed + 1);
            stream.attempts = 0;
            stream.finals = 0;
            self.to_forget.insert(no);
        }
        news
    }

    /// Takes note of a refusal: nothing more is sent until what is under way is answered. Of several, the one for the
    /// lowest number counts, because those behind it follow from it; whether this is the one.
    fn drain(&mut self, no: StreamNo, first: u64, refusal: Refusal) -> bool {
        let Some(stream) = self.streams.get_mut(&no) else { return false };
        let counts = stream.phase == Phase::Ready || (stream.phase == Phase::Draining && first < stream.refused_at);
        if counts {
            stream.refused_at = first;
            stream.refusal = Some(refusal);
        }
        if stream.phase == Phase::Ready {
            stream.phase = Phase::Draining;
        }
        counts
    }

    /// Goes on with a stream whose calls are all answered.
    fn settle(&mut self, now: Duration, random: u64, no: StreamNo, actions: &mut Vec<Action>) {
        if let Some(stream) = self.streams.get_mut(&no)
            && stream.phase == Phase::Draining
            && stream.calls == 0
        {
            stream.rewind();
            stream.refused_at = 0;
            let class = stream.refusal.as_ref().map(Refusal::class);
            if class == Some(Class::Damaged)
                && let Some(refusal) = stream.refusal.clone()
            {
                return self.park(now, no, refusal, actions);
            }
            // The first time, what a question may clear up is asked about at once.
            let wait_from = match class {
                None => u32::MAX,
                Some(Class::Passing) => 0,
                Some(Class::Epoch | Class::Final | Class::Damaged) => 1,
            };
            stream.finals += u32::from(class == Some(Class::Final));
            let own = stream.attempts.checked_sub(wait_from).map(|attempt| ms(backoff::wait_ms(attempt, random)));
            let wanted = stream.refusal.as_ref().and_then(|refusal| refusal.retry_after);
            // The host knows better how long it wants to be left alone, within reason.
            let wait = own.max(wanted.map(|wanted| wanted.min(ms(RETRY_AFTER_MS_MAX))));
            stream.phase = match wait {
                Some(wait) => Phase::Waiting { until: now + wait },
                None => Phase::Unknown,
            };
            stream.attempts = stream.attempts.saturating_add(u32::from(class.is_some()));
        }
        self.index(now, no);
    }

    fn park(&mut self, now: Duration, no: StreamNo, refusal: Refusal, actions: &mut Vec<Action>) {
        let Some(stream) = self.streams.get_mut(&no) else { return };
        stream.phase = Phase::Parked;
        stream.record.parked = true;
        stream.refusal = Some(refusal.clone());
        self.counters.parked += 1;
        actions.push(Action::Park { stream: no, refusal });
        self.index(now, no);
    }

    /// Ends a call of `append_encoded`: its stream, its first local number, and how many events it had, if they were read.
    pub(super) fn end_append(&mut self, call: CallId) -> Option<(StreamNo, u64, Option<u32>)> {
        let Call::Append { .. } = self.calls.get(&call)? else { return None };
        let Some(Call::Append { stream: no, first, count, events, bytes }) = self.calls.remove(&call) else {
            return None;
        };
        self.in_flight_events -= events;
        self.in_flight_bytes -= bytes;
        let stream = self.streams.get_mut(&no)?;
        stream.calls = stream.calls.saturating_sub(1);
        if count.is_none() {
            stream.reading = false;
        }
        Some((no, first, count))
    }

    fn end_ask(&mut self, call: CallId) -> Option<Vec<StreamNo>> {
        let Call::Ask { .. } = self.calls.get(&call)? else { return None };
        self.asking = false;
        match self.calls.remove(&call)? {
            Call::Ask { streams } => Some(streams),
            Call::Append { .. } => None,
        }
    }
}
