//! Has a promotion's steps taken, one after the other, and writes down what came of each.
//!
//! What always holds: a step is taken only while the journal says that it is next, and the journal knows what came of it
//! before another one is; a step that fails is tried again a few times, then the promotion goes back; where going back or
//! writing down fails, it stops, and running it again goes on there.

use std::future::Future;
use std::time::Duration;

use super::core::{End, Fact, Plan, Step};
use super::journal::{Journal, JournalError};
use crate::evidence::Act;
use crate::report::GateResult;

/// How often a step is tried.
const ATTEMPTS: u32 = 4;
/// How long is waited after a failed attempt, in milliseconds; it doubles.
const PAUSE_MS: u64 = 500;

/// A step that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct StepError {
    /// Why, and what to do.
    pub why: String,
    /// Whether it may go better the next time.
    pub is_passing: bool,
}

/// What came of watching a share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Whether everything held for the whole time.
    pub held: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// What a promotion does to the world. Each may be called again after it was done, or half done, and nothing is then done
/// twice.
pub trait Steps {
    /// Leaves this decision in the evidence folder, unless it is there.
    fn record(&mut self, plan: &Plan, act: Act, reasons: &[String]) -> impl Future<Output = Result<(), StepError>>;
    /// Sees that the candidate runs the module's very bytes: asks first, publishes where it does not.
    fn publish(&mut self, plan: &Plan) -> impl Future<Output = Result<(), StepError>>;
    /// Runs a gate on the candidate and leaves its evidence; what came of it, and why it did not pass.
    fn gate(&mut self, plan: &Plan, name: &str) -> impl Future<Output = Result<(GateResult, Vec<String>), StepError>>;
    /// Gives the candidate to this share of the clients.
    fn widen(&mut self, plan: &Plan, percent: u8) -> impl Future<Output = Result<(), StepError>>;
    /// Watches for the plan's time, or until something does not hold.
    fn watch(&mut self, plan: &Plan, percent: u8) -> impl Future<Output = Result<Watched, StepError>>;
    /// Gives the candidate to nobody, also where nobody has it.
    fn narrow(&mut self, plan: &Plan) -> impl Future<Output = Result<(), StepError>>;
    /// Waits between attempts.
    fn pause(&mut self, how_long: Duration) -> impl Future<Output = ()>;
    /// Tells a person what is next.
    fn tell(&mut self, plan: &Plan, next: &Step);
}

/// Why a promotion stopped before its end. Run again, it goes on there.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// The journal cannot be written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A step of going back, or of writing down a decision, could not be taken.
    #[error("{0}")]
    Step(StepError),
}

/// Goes on until the promotion is over.
///
/// # Errors
/// If it had to stop before.
///
/// # Panics
/// If no promotion has begun.
pub async fn advance(journal: &mut Journal, steps: &mut impl Steps) -> Result<End, Stopped> {
    loop {
        let core = journal.core().expect("a promotion has begun");
        let (plan, next) = (core.plan().clone(), core.next());
        let reasons = core.reasons().to_vec();
        if let Step::Done(end) = next {
            return Ok(end);
        }
        steps.tell(&plan, &next);
        let fact = match persist(steps, &plan, &next, &reasons).await {
            Ok(fact) => fact,
            Err(error) if matches!(next, Step::Record(_) | Step::Narrow) => return Err(Stopped::Step(error)),
            Err(error) => Fact::Failed { reasons: vec![error.why] },
        };
        journal.append(&fact)?;
    }
}

/// Takes a step, again where the failure may pass.
async fn persist(steps: &mut impl Steps, plan: &Plan, next: &Step, reasons: &[String]) -> Result<Fact, StepError> {
    let mut pause = Duration::from_millis(PAUSE_MS);
    let mut attempt = 1;
    loop {
        match take(steps, plan, next, reasons).await {
            Err(error) if error.is_passing && attempt < ATTEMPTS => steps.pause(pause).await,
            done => return done,
        }
        attempt += 1;
        pause *= 2;
    }
}

async fn take(steps: &mut impl Steps, plan: &Plan, next: &Step, reasons: &[String]) -> Result<Fact, StepError> {
    Ok(match next {
        Step::Record(act) => {
            steps.record(plan, *act, reasons).await?;
            Fact::Recorded { act: *act }
        }
        Step::Publish => {
            steps.publish(plan).await?;
            Fact::Published
        }
        Step::Gate(name) => {
            let (result, reasons) = steps.gate(plan, name).await?;
            Fact::Gate { name: name.clone(), result, reasons }
        }
        Step::Widen(percent) => {
            steps.widen(plan, *percent).await?;
            Fact::Widened { percent: *percent }
        }
        Step::Watch(percent) => {
            let Watched { held, reasons } = steps.watch(plan, *percent).await?;
            Fact::Watched { percent: *percent, held, reasons }
        }
        Step::Narrow => {
            steps.narrow(plan).await?;
            Fact::Narrowed
        }
        Step::Done(_) => unreachable!("it is over, which advance looks at first"),
    })
}
