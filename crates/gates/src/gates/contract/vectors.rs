//! The vectors of `crates/contract/vectors`, asked of the module itself: what it stores, takes and refuses.
//!
//! What always holds: every vector that a module can be asked about is asked; one that is answered otherwise is named with
//! what went in. Nothing but this run's own streams is written to.

use muster_contract::page::{NewEvent, digest, wire_hash};
use muster_contract::{Code, PayloadHash};
use muster_wire::Timestamp;
use serde_json::Value;

use crate::gates::recorder::Recorder;
use crate::gates::session::{Session, SessionError, event, new_producer};
use crate::gates::site::{Stage, words};
use crate::gates::traffic::KIND;

const CANONICAL: &str = include_str!("../../../../contract/vectors/canonical.json");
const PATTERNS: &str = include_str!("../../../../contract/vectors/patterns.json");
const PRODUCER: &str = include_str!("../../../../contract/vectors/producer.json");

/// Asks.
pub(super) async fn run(stage: &Stage, session: &Session, recorder: &Recorder) {
    for (name, asked) in [
        ("vectors.canonical", canonical(stage, session).await),
        ("vectors.wrong_hash", wrong_hash(stage, session).await),
        ("vectors.patterns", patterns(session).await),
        ("vectors.producer", producer(stage, session).await),
    ] {
        match asked {
            Ok(Asked { count: 0, .. }) => recorder.undecided(name, "no vector could be asked"),
            Ok(Asked { count, wrong }) => {
                let first = wrong.first().cloned().unwrap_or_default();
                let otherwise = format!("{} of {count} are answered otherwise; the first: {first}", wrong.len());
                recorder.must(name, wrong.is_empty(), count, otherwise);
            }
            Err(error) => recorder.undecided(name, words(&error)),
        }
    }
}

/// How many vectors were asked, and those that were answered otherwise, in words.
#[derive(Default)]
struct Asked {
    count: u64,
    wrong: Vec<String>,
}

impl Asked {
    fn note(&mut self, is_right: bool, wrong: impl FnOnce() -> String) {
        self.count += 1;
        if !is_right {
            self.wrong.push(wrong());
        }
    }
}

fn read(file: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).expect("the vectors are JSON, as the contract's own tests read them");
    file["vectors"].as_array().cloned().unwrap_or_default()
}

/// Payloads with their hashes are taken, and come back byte for byte.
async fn canonical(stage: &Stage, session: &Session) -> Result<Asked, SessionError> {
    let mut asked = Asked::default();
    let stream = stage.stream("vectors-canonical");
    let (producer, mut sent) = (new_producer(), Vec::new());
    for vector in read(CANONICAL) {
        let (Some(payload), Some(hash)) = (vector["gives"]["canonical"].as_str(), vector["gives"]["hash"].as_str())
        else {
            continue;
        };
        let Some(bytes) =
            hash.strip_prefix("sha256:").and_then(|hex| <[u8; 32]>::try_from(hex::decode(hex).ok()?).ok())
        else {
            continue;
        };
        let at = Timestamp::from_micros_since_unix_epoch(0);
        let event = NewEvent { kind: KIND.into(), payload: payload.into(), hash: wire_hash(&bytes), at };
        match session.append(stream.as_str(), &producer, sent.len() as u64 + 1, vec![event]).await {
            Ok(()) => sent.push((payload.to_owned(), bytes)),
            Err(SessionError::Refused(refusal)) => asked.note(false, || format!("{payload} is refused: {refusal}")),
            Err(error) => return Err(error),
        }
    }
    let stored = session.everything(stream.as_str(), sent.len() as u64).await?;
    for (index, (payload, hash)) in sent.iter().enumerate() {
        let is_right = stored.get(index).is_some_and(|(_, it)| it.payload == *payload && digest(it.hash) == *hash);
        asked.note(is_right, || format!("{payload} does not come back as it went in"));
    }
    Ok(asked)
}

/// A payload that is not what its hash says is refused, with that code.
async fn wrong_hash(stage: &Stage, session: &Session) -> Result<Asked, SessionError> {
    let mut asked = Asked::default();
    let stream = stage.stream("vectors-hash");
    for (payload, other) in [("{}", "[]"), (r#"{"n":1}"#, r#"{"n":2}"#)] {
        let hash = wire_hash(PayloadHash::of(other.as_bytes()).as_bytes());
        let event = NewEvent { hash, ..event(KIND, payload.into(), Timestamp::now()) };
        let told = session.append(stream.as_str(), &new_producer(), 1, vec![event]).await;
        let is_right = code(&told)? == Some(Code::PayloadHashMismatch);
        asked.note(is_right, || format!("{payload} with the hash of {other} is not refused as payload_hash_mismatch"));
    }
    Ok(asked)
}

/// Patterns are followed, or refused with their code.
async fn patterns(session: &Session) -> Result<Asked, SessionError> {
    let mut asked = Asked::default();
    for vector in read(PATTERNS) {
        let Some(pattern) = vector["given"]["pattern"].as_str() else { continue };
        let wanted = vector["gives"]["error"].as_str();
        let told = code(&session.call("follow", &(0u32, pattern)).await)?;
        let is_right = told.map(|code| code.to_string()).as_deref() == wanted;
        asked.note(is_right, || format!("following `{pattern}` gives {told:?}, not {wanted:?}"));
    }
    session.call("unfollow", &(0u32,)).await?;
    Ok(asked)
}

/// Numbers of a producer are taken, passed over or refused.
async fn producer(stage: &Stage, session: &Session) -> Result<Asked, SessionError> {
    const MOST: u64 = 1_000;
    let mut asked = Asked::default();
    let stream = stage.stream("vectors-producer");
    let run = |first: u64, count: u64| {
        let events =
            (0..count).map(|n| event(KIND, format!(r#"{{"n":{}}}"#, first.wrapping_add(n)), Timestamp::UNIX_EPOCH));
        events.collect::<Vec<_>>()
    };
    for vector in read(PRODUCER) {
        let number = |name: &str| vector["given"][name].as_u64();
        let (Some(count), Some(first), Some(last)) = (number("count"), number("first"), number("last_accepted")) else {
            continue;
        };
        if count > MOST || last > MOST || first > MOST {
            continue;
        }
        let producer = new_producer();
        if last > 0 {
            session.append(stream.as_str(), &producer, 1, run(1, last)).await?;
        }
        let before = head(session, stream.as_str()).await?;
        let told = session.append(stream.as_str(), &producer, first, run(first, count)).await;
        let refusal = told.as_ref().err().and_then(SessionError::refusal).cloned();
        let refused = code(&told)?;
        let stored = head(session, stream.as_str()).await? - before;
        let gives = &vector["gives"];
        let is_right = if let Some(skip) = gives["append"]["skip"].as_u64() {
            refused.is_none() && stored == count - skip
        } else if let Some(expected) = gives["hole"]["expected"].as_u64() {
            refused == Some(Code::ProducerHole) && refusal.and_then(|it| it.details.expected) == Some(expected)
        } else if gives == "duplicate" {
            refused.is_none() && stored == 0
        } else {
            refused.map(|code| code.to_string()).as_deref() == gives["error"].as_str() && stored == 0
        };
        asked.note(is_right, || format!("{} gives {refused:?} and {stored} stored, not {gives}", vector["given"]));
    }
    Ok(asked)
}

async fn head(session: &Session, stream: &str) -> Result<u64, SessionError> {
    Ok(session.streams(stream).await?.first().map_or(0, |info| info.head))
}

/// The code of a refusal, if it was one; an error of another kind is no answer.
fn code(told: &Result<(), SessionError>) -> Result<Option<Code>, SessionError> {
    match told {
        Ok(()) => Ok(None),
        Err(SessionError::Refused(refusal)) => Ok(Some(refusal.code)),
        Err(error) => Err(SessionError::Failed(words(error))),
    }
}
