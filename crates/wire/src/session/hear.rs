//! What a session makes of each message of the host.
//!
//! What always holds: an answer is matched by its request id *and* must be of the kind that was asked for; anything
//! else is a [`Violation`], which ends the session. Only updates of live sets reach the application.

use super::*;

/// What the host did that the protocol does not allow.
#[derive(Debug)]
pub(super) struct Violation(pub(super) String);

impl From<RowError> for Violation {
    fn from(error: RowError) -> Self {
        Violation(error.to_string())
    }
}

impl Session {
    pub(super) fn hear(&mut self, message: ServerMessage, actions: &mut Vec<Action>) -> Result<(), Violation> {
        match message {
            ServerMessage::InitialConnection(_) => Err(Violation("it greeted twice".into())),
            ServerMessage::SubscribeApplied(applied) => self.subscribed(applied, actions),
            ServerMessage::UnsubscribeApplied(applied) => self.unsubscribed(applied, actions),
            ServerMessage::SubscriptionError(error) => self.subscription_failed(error, actions),
            ServerMessage::TransactionUpdate(update) => self.deliver(update, actions),
            ServerMessage::OneOffQueryResult(result) => self.answered(result, actions),
            ServerMessage::ReducerResult(result) => self.reducer_ended(result, actions),
            ServerMessage::ProcedureResult(result) => self.procedure_ended(result, actions),
            ServerMessage::SubscribeBatchApplied(_) => Err(Violation("it answered a batch nobody asked for".into())),
        }
    }

    /// Takes the request that an answer belongs to.
    fn take(&mut self, request_id: u32, is_kind: impl FnOnce(Kind) -> bool) -> Result<Pending, Violation> {
        match self.pending.remove(&request_id) {
            Some(pending) if is_kind(pending.kind) => {
                self.deadlines.remove(&(pending.deadline, request_id));
                Ok(pending)
            }
            Some(pending) => Err(Violation(format!(
                "it answered request {request_id} ({:?}) with another kind of answer",
                pending.kind
            ))),
            None => Err(Violation(format!("it answered request {request_id}, which is not waiting"))),
        }
    }

    fn subscribed(&mut self, applied: SubscribeApplied, actions: &mut Vec<Action>) -> Result<(), Violation> {
        let query_set = applied.query_set_id;
        let pending = self.take(applied.request_id, |kind| kind == Kind::Subscribe(query_set))?;
        let QueryAnswer { order, tables } = update::answer(self.order, applied.rows)?;
        self.sets.insert(query_set, SetState::Live);
        match pending.call {
            Some(call) => {
                let reply = Reply::Subscribed(Subscription { query_set, order, tables });
                actions.push(Action::Reply { call, result: Ok(reply) });
            }
            None => self.unclaimed(query_set, actions),
        }
        Ok(())
    }

    fn unsubscribed(&mut self, applied: UnsubscribeApplied, actions: &mut Vec<Action>) -> Result<(), Violation> {
        let query_set = applied.query_set_id;
        let pending = self.take(applied.request_id, |kind| kind == Kind::Unsubscribe(query_set))?;
        self.sets.remove(&query_set);
        answer(pending, Ok(Reply::Unsubscribed), actions);
        Ok(())
    }

    fn subscription_failed(&mut self, error: SubscriptionError, actions: &mut Vec<Action>) -> Result<(), Violation> {
        let query_set = error.query_set_id;
        let Some(request_id) = error.request_id else {
            // A set being unsubscribed stays until its own answer comes.
            if self.sets.get(&query_set) == Some(&SetState::Live) {
                self.sets.remove(&query_set);
                let (order, message) = (self.order, error.error);
                actions.push(Action::Deliver(Update::SubscriptionFailed { order, query_set, message }));
            }
            return Ok(());
        };
        let belongs = |kind| kind == Kind::Subscribe(query_set) || kind == Kind::Unsubscribe(query_set);
        let pending = self.take(request_id, belongs)?;
        self.sets.remove(&query_set);
        answer(pending, Err(CallError::Refused(error.error)), actions);
        Ok(())
    }

    fn deliver(&mut self, update: TransactionUpdate, actions: &mut Vec<Action>) -> Result<(), Violation> {
        let mut query_sets = update::changes(update)?;
        query_sets.retain(|change| self.sets.get(&change.query_set) == Some(&SetState::Live));
        if !query_sets.is_empty() {
            let order = self.order;
            actions.push(Action::Deliver(Update::Transaction(Transaction { order, query_sets })));
        }
        Ok(())
    }

    fn answered(&mut self, result: OneOffQueryResult, actions: &mut Vec<Action>) -> Result<(), Violation> {
        let pending = self.take(result.request_id, |kind| kind == Kind::Query)?;
        let reply = match result.result {
            Ok(rows) => Ok(Reply::Rows(update::answer(self.order, rows)?)),
            Err(message) => Err(CallError::Refused(message)),
        };
        answer(pending, reply, actions);
        Ok(())
    }

    fn reducer_ended(&mut self, mut result: ReducerResult, actions: &mut Vec<Action>) -> Result<(), Violation> {
        let pending = self.take(result.request_id, |kind| kind == Kind::Reducer)?;
        // The changes count even if nobody waits for the answer any more, and they come first.
        if let ReducerOutcome::Ok(ok) = &mut result.result {
            self.deliver(std::mem::take(&mut ok.transaction_update), actions)?;
        }
        let (order, timestamp) = (self.order, result.timestamp);
        let reply = Reply::Reducer(ReducerReply { order, timestamp, outcome: result.result.into() });
        answer(pending, Ok(reply), actions);
        Ok(())
    }

    fn procedure_ended(&mut self, result: ProcedureResult, actions: &mut Vec<Action>) -> Result<(), Violation> {
        let pending = self.take(result.request_id, |kind| kind == Kind::Procedure)?;
        let outcome = match result.status {
            ProcedureStatus::Returned(value) => update::CallOutcome::Returned(value),
            ProcedureStatus::InternalError(message) => update::CallOutcome::Failed(message),
        };
        let reply = Reply::Procedure(ProcedureReply {
            order: self.order,
            timestamp: result.timestamp,
            duration: result.total_host_execution_duration,
            outcome,
        });
        answer(pending, Ok(reply), actions);
        Ok(())
    }
}

/// Answers the caller, if one still waits.
fn answer(pending: Pending, result: Result<Reply, CallError>, actions: &mut Vec<Action>) {
    if let Some(call) = pending.call {
        actions.push(Action::Reply { call, result });
    }
}
