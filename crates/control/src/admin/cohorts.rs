//! Cohorts, as an administrator sets them: which share of a database's clients the mint sends to a candidate.

use muster_contract::limits::CLAIM_BYTES_MAX;
use serde_json::json;

use super::tokens_end_s;
use crate::Control;
use crate::cohort::Share;
use crate::error::ControlError;
use crate::store::audit;
use crate::store::cohorts::{self, Cohort};

impl Control {
    /// Sends this share of a database's clients to a candidate from their next token on. A larger share of the same
    /// candidate keeps everybody whom a smaller one had. Returns what was before.
    ///
    /// # Errors
    /// [`ControlError::Cohort`]: a name that cannot be used, or a candidate that is the database itself.
    pub fn cohort_set(
        &self,
        actor: &str,
        database: &str,
        candidate: &str,
        share: Share,
    ) -> Result<Option<Cohort>, ControlError> {
        let sound =
            |name: &str| (1..=CLAIM_BYTES_MAX).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_graphic());
        if !sound(database) || !sound(candidate) {
            return Err(ControlError::Cohort("a database's name has 1 to 128 visible characters"));
        }
        if database == candidate {
            return Err(ControlError::Cohort("the candidate is the database itself; name another one"));
        }
        self.change(|tx, now_s| {
            let before = cohorts::find(tx, database)?;
            let cohort = Cohort { database: database.into(), candidate: candidate.into(), share, since_s: now_s };
            cohorts::set(tx, &cohort)?;
            if let Some(before) = before.as_ref().filter(|before| before.candidate != candidate) {
                cohorts::left(tx, database, &before.candidate, tokens_end_s(now_s))?;
            }
            audit::append(tx, now_s, actor, "cohort.set", database, &json!({ "cohort": cohort, "before": before }))?;
            Ok(before)
        })
    }

    /// Sends everybody to the database itself again. Returns what was before.
    ///
    /// # Errors
    /// [`ControlError::NoCohort`].
    pub fn cohort_clear(&self, actor: &str, database: &str) -> Result<Cohort, ControlError> {
        self.change(|tx, now_s| {
            let before = cohorts::find(tx, database)?.ok_or_else(|| ControlError::NoCohort(database.into()))?;
            cohorts::clear(tx, database)?;
            cohorts::left(tx, database, &before.candidate, tokens_end_s(now_s))?;
            audit::append(tx, now_s, actor, "cohort.clear", database, &json!({ "before": before }))?;
            Ok(before)
        })
    }

    /// The databases beside `database` that must hear of revocations: its candidate, and former ones for as long as a
    /// token may live that was good there.
    ///
    /// # Errors
    /// The database.
    pub fn cohort_candidates(&self, database: &str) -> Result<Vec<String>, ControlError> {
        let now_s = self.now_s();
        self.inner.store.read(|connection| Ok(cohorts::candidates(connection, database, now_s)?))
    }

    /// All cohorts, by database.
    ///
    /// # Errors
    /// The database.
    pub fn cohort_list(&self) -> Result<Vec<Cohort>, ControlError> {
        self.inner.store.read(|connection| Ok(cohorts::all(connection)?))
    }
}
