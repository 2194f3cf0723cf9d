//! The gate `security`: whoever has no grant gets nothing, by any door, on the lane as it runs.
//!
//! What always holds: each door is tried by who may not go through it, beside one who may, so that a door that lets nobody
//! through does not pass for one that is guarded. What is tried would do no harm if it were let through: it names streams
//! of this run, or arguments that are refused anyway.

mod doors;
mod forged;
mod strangers;

use std::collections::BTreeMap;

use muster_contract::PayloadHash;
use muster_contract::page::wire_hash;
use muster_wire::{Timestamp, Token};

use super::recorder::Recorder;
use super::session::{Session, SessionError, event, new_producer};
use super::settings::Auth;
use super::site::{Stage, words};
use super::tokens::{self, Wanted};
use super::traffic::KIND;
use crate::observation::Observation;

/// What the lane says about tokens.
pub(crate) struct Lane {
    pub(crate) issuer: String,
    pub(crate) audience: String,
    pub(crate) allow_anonymous: bool,
    pub(crate) presence_needs_scope: bool,
}

/// Runs.
pub(crate) async fn run(stage: &Stage, recorder: &Recorder) {
    if let Err(why) = stage.may_write() {
        return recorder.undecided("doors", why);
    }
    let lane = match lane_auth(stage).await {
        Ok(lane) => lane,
        Err(why) => return recorder.undecided("lane", why),
    };
    let ground = match Ground::prepare(stage).await {
        Ok(ground) => ground,
        Err(error) => return recorder.undecided("streams", words(&error)),
    };
    strangers::owners_doors(stage, &ground, recorder, lane.as_ref()).await;
    let Some(lane) = lane else {
        let why = "this lane takes anybody: any session may read and append to every stream; `muster call \
                   configure_auth` closes it";
        return match stage.settings().auth {
            Auth::Required => recorder.observe(Observation::broken("lane.closed", false, why)),
            Auth::Unsaid => recorder.undecided("lane.closed", why),
        };
    };
    recorder.observe(Observation::held("lane.closed", true));
    same_as_variables(stage, &lane, recorder);
    forged::run(stage, &lane, recorder).await;
    strangers::streams_doors(stage, &ground, &lane, recorder).await;
    granted(stage, &ground, &lane, recorder).await;
}

/// The owner's word about tokens; `None` on an open lane.
pub(crate) async fn lane_auth(stage: &Stage) -> Result<Option<Lane>, String> {
    let answer = stage.http.sql("SELECT * FROM lane_auth", true).await.map_err(|error| words(&error))?;
    let Some(statement) = answer.statements.first() else { return Err("SQL gave no answer".into()) };
    let Some(row) = statement.rows.first() else { return Ok(None) };
    let cells: BTreeMap<_, _> =
        statement.columns.iter().zip(row).map(|(column, cell)| (column.name.as_str(), cell.get())).collect();
    let text = |name: &str| {
        let cell = cells.get(name).ok_or_else(|| format!("lane_auth has no column `{name}`"))?;
        serde_json::from_str::<String>(cell).map_err(|_| format!("lane_auth.{name} is no text"))
    };
    let flag = |name: &str| cells.get(name).is_some_and(|cell| *cell == "true");
    Ok(Some(Lane {
        issuer: text("issuer")?,
        audience: text("audience")?,
        allow_anonymous: flag("allow_anonymous"),
        presence_needs_scope: flag("presence_needs_scope"),
    }))
}

/// What the module enforces is what the lane's variables tell everybody else.
fn same_as_variables(stage: &Stage, lane: &Lane, recorder: &Recorder) {
    let Some(said) = &stage.site.lane else { return };
    for (name, enforced, said) in
        [("lane.issuer", &lane.issuer, &said.token_issuer), ("lane.audience", &lane.audience, &said.token_audience)]
    {
        let why = "the module takes other tokens than the lane's variables say: call configure_auth, or mend them";
        let seen = Observation::equal(name, enforced.as_str(), said.as_str());
        recorder.observe(if enforced == said { seen } else { seen.note(why) });
    }
}

/// Streams that tokens are narrowed to and beside: `a.x`, `ab.x` and `a` of this run, two events and a snapshot each.
pub(crate) struct Ground {
    owner: Session,
    /// Below `….security`.
    prefix: String,
    /// By the short names above.
    epochs: BTreeMap<&'static str, u64>,
}

impl Ground {
    async fn prepare(stage: &Stage) -> Result<Ground, SessionError> {
        let owner = stage.session().await?;
        let prefix = stage.stream("security").as_str().to_owned();
        let mut epochs = BTreeMap::new();
        for name in ["a.x", "ab.x", "a"] {
            let (stream, producer) = (format!("{prefix}.{name}"), new_producer());
            let events = (1..=2).map(|n| event(KIND, format!(r#"{{"n":{n}}}"#), Timestamp::now())).collect();
            owner.append(&stream, &producer, 1, events).await?;
            let epoch = owner.streams(&stream).await?.first().map_or(0, |info| info.epoch);
            let hash = wire_hash(PayloadHash::of(b"{}").as_bytes());
            owner.call("put_snapshot", &(stream.as_str(), epoch, 2u64, "{}", hash, producer.as_str())).await?;
            epochs.insert(name, epoch);
        }
        Ok(Ground { owner, prefix, epochs })
    }

    fn stream(&self, name: &str) -> String {
        format!("{}.{name}", self.prefix)
    }

    fn epoch(&self, name: &str) -> u64 {
        self.epochs.get(name).copied().unwrap_or(1)
    }
}

/// Sessions with tokens of the lane's own issuer, narrowed to `a.*`: what they may, and what they may not.
async fn granted(stage: &Stage, ground: &Ground, lane: &Lane, recorder: &Recorder) {
    for (name, scopes) in [("reader", ["sync.read"]), ("writer", ["sync.write"])] {
        let wanted = Wanted { scopes: &scopes, streams: vec![ground.stream("a.*")], life: None };
        let session = match enter(stage, &wanted).await {
            Ok(session) => session,
            Err(why) => {
                recorder.undecided(&format!("{name}.token"), why);
                continue;
            }
        };
        doors::try_all(ground, &session.0, name, recorder).await;
        doors::over_http(stage, ground, session.1, name, recorder).await;
        if name == "reader" {
            doors::wakes(ground, session.0, recorder).await;
            continue;
        }
        doors::presence(lane, &session.0, recorder).await;
        session.0.close().await;
    }
}

async fn enter(stage: &Stage, wanted: &Wanted<'_>) -> Result<(Session, Token), String> {
    let token = tokens::get(stage, wanted).await?;
    let patience = stage.settings().patience();
    let session = Session::open(stage.site.endpoint.clone(), Some(token.clone()), patience).await;
    session.map(|session| (session, token)).map_err(|error| words(&error))
}
