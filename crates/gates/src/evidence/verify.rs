//! What holds of a folder of evidence, and precisely what does not.
//!
//! What always holds: the only input is bytes and the keys, time and head that the verifier brings; every file gets a
//! verdict; a payload is parsed only after a trusted key's signature over it holds. Where none holds, the reason that is
//! given is a help for people and decides nothing: the file is refused whatever the reason. It is drawn from the next
//! statement, if that one holds (it says by digest what stood before it), else from the file's name and `keyid`.

mod chain;

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::dsse::{Envelope, EnvelopeFault, PAYLOAD_TYPE};
use super::folder::SUFFIX;
use super::keys::PublicKey;
use super::statement::{Body, Previous, Statement, StatementFault};
use crate::limits::CLOCK_MARGIN_S;
use crate::report::Sha256;

/// A file of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What the verifier brings.
#[derive(Clone, Debug)]
pub struct Trust {
    /// The public keys whose signatures count.
    pub keys: Vec<PublicKey>,
    /// The time, by the verifier's clock.
    pub now: Timestamp,
    /// How old a statement may be; nothing if any age will do.
    pub max_age: Option<Duration>,
    /// The digest of an envelope that the folder must hold, known from elsewhere: an earlier verification, a pull request.
    /// Without it nobody can see that the folder's end was taken away.
    pub head: Option<Sha256>,
}

impl Trust {
    /// Trust in these keys, at this time.
    pub fn new(keys: Vec<PublicKey>, now: Timestamp) -> Trust {
        Trust { keys, now, max_age: None, head: None }
    }
}

/// What does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The file is no envelope.
    Malformed,
    /// A file ends in the middle, or statements of the folder are missing.
    Truncated,
    /// The payload is not what was signed.
    TamperedPayload,
    /// The signature, or the envelope around the payload, is not what was written.
    TamperedSignature,
    /// The payload's type is not that of a statement.
    WrongPayloadType,
    /// Signed by nobody whose key was given.
    ForeignSigner,
    /// Signed, and of a kind that is not known.
    UnknownPredicate,
    /// Signed, and no statement.
    BadStatement,
    /// Signed, and its parts contradict each other.
    Contradiction,
    /// The statements stand in another order than they were written in.
    Reordered,
    /// A statement that was there already, or is from another folder.
    Replayed,
    /// Older than is allowed.
    Expired,
    /// From the future.
    FromTheFuture,
}

impl Code {
    /// As it is written and shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Malformed => "malformed",
            Code::Truncated => "truncated",
            Code::TamperedPayload => "tampered_payload",
            Code::TamperedSignature => "tampered_signature",
            Code::WrongPayloadType => "wrong_payload_type",
            Code::ForeignSigner => "foreign_signer",
            Code::UnknownPredicate => "unknown_predicate",
            Code::BadStatement => "bad_statement",
            Code::Contradiction => "contradiction",
            Code::Reordered => "reordered",
            Code::Replayed => "replayed",
            Code::Expired => "expired",
            Code::FromTheFuture => "from_the_future",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: String,
    /// What does not hold.
    pub code: Code,
    /// The same in words, with what was compared.
    pub says: String,
}

/// A statement under a trusted signature.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its file.
    pub file: String,
    /// The digest of the file.
    pub sha256: Sha256,
    /// Whose signature holds.
    pub signer: Sha256,
    /// What it says.
    pub statement: Statement,
}

impl Entry {
    /// What it says.
    pub fn body(&self) -> &Body {
        &self.statement.body
    }
}

/// What came of a verification.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The statements under a trusted signature, in the order of their files.
    pub entries: Vec<Entry>,
    /// Everything that does not hold; empty if all does.
    pub findings: Vec<Finding>,
    /// The digest of the last file: what to bring as [`Trust::head`] next time.
    pub head: Option<Sha256>,
}

impl Verdict {
    /// Whether everything holds.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }

    /// Whether something was found of this file.
    pub fn faults_of<'a>(&'a self, file: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |it| it.file == file)
    }
}

/// A file that was looked at by itself.
struct Looked<'a> {
    name: &'a str,
    sha256: Sha256,
    /// What is known without any trust; nothing of what is no envelope.
    envelope: Option<Envelope>,
    good: Option<(Statement, Sha256)>,
    bad: Option<(Code, String)>,
    /// Whether the file is, byte for byte, what Muster writes for this payload, key and signature: nothing of it is left
    /// that somebody could change unseen.
    is_as_written: bool,
}

/// Verifies one file by itself: its signature and its statement, and nothing about its place.
pub fn verify_one(file: &File, trust: &Trust) -> Verdict {
    let mut looked = [look(file, &trust.keys)];
    let mut findings = Vec::new();
    explain(&mut looked, &trust.keys, &mut findings);
    finish(looked.into(), findings, trust)
}

/// Verifies a folder: each file, and that they are one unbroken chain in the order of their names.
pub fn verify(files: &[File], trust: &Trust) -> Verdict {
    let mut looked: Vec<_> = files.iter().map(|file| look(file, &trust.keys)).collect();
    let mut findings = Vec::new();
    explain(&mut looked, &trust.keys, &mut findings);
    for it in looked.iter().filter(|it| it.good.is_some() && !it.is_as_written) {
        let says = "its payload is signed and stands, but the envelope around it is not as Muster writes one";
        findings.push(Finding { file: it.name.into(), code: Code::TamperedSignature, says: says.into() });
    }
    chain::check(&looked, &mut findings);
    chain::through_strangers(&looked, &mut findings);
    if let Some(head) = trust.head.filter(|head| looked.iter().all(|it| it.sha256 != *head)) {
        let file = looked.last().map_or_else(String::new, |it| it.name.to_owned());
        let says = format!("envelope {} is not here any more: the folder's end is missing, or was replaced", head);
        findings.push(Finding { file, code: Code::Truncated, says });
    }
    finish(looked, findings, trust)
}

/// Signature first, statement after.
fn look<'a>(file: &'a File, keys: &[PublicKey]) -> Looked<'a> {
    let sha256 = Sha256::of(&file.bytes);
    let mut looked = Looked { name: &file.name, sha256, envelope: None, good: None, bad: None, is_as_written: false };
    let envelope = match Envelope::parse(&file.bytes) {
        Ok(envelope) => envelope,
        Err(fault @ EnvelopeFault::CutOff) => {
            looked.bad = Some((Code::Truncated, fault.to_string()));
            return looked;
        }
        Err(fault) => {
            looked.bad = Some((Code::Malformed, fault.to_string()));
            return looked;
        }
    };
    if let Some(verified) = envelope.verify(keys) {
        let signer = verified.by.fingerprint();
        looked.is_as_written = envelope.names_alone(&signer) && envelope.to_json() == file.bytes;
        if verified.payload_type != PAYLOAD_TYPE {
            let says = format!("its payload is signed as {:?}; a statement is {PAYLOAD_TYPE:?}", verified.payload_type);
            looked.bad = Some((Code::WrongPayloadType, says));
        } else {
            match Statement::parse(verified.payload) {
                Ok(statement) => looked.good = Some((statement, signer)),
                Err(fault) => looked.bad = Some(of_statement(fault)),
            }
        }
    } else if envelope.claimed_type() != PAYLOAD_TYPE {
        let says = match envelope.signed_by(PAYLOAD_TYPE, keys) {
            Some(_) => "its payload type was changed after it was signed",
            None => "no trusted signature holds for it either",
        };
        let says = format!("it says that its payload is {:?}; {says}", envelope.claimed_type());
        looked.bad = Some((Code::WrongPayloadType, says));
    }
    looked.envelope = Some(envelope);
    looked
}

fn of_statement(fault: StatementFault) -> (Code, String) {
    match fault {
        StatementFault::UnknownPredicate(predicate) => {
            (Code::UnknownPredicate, format!("its predicate is {predicate:?}, which is none of Muster's"))
        }
        StatementFault::Malformed(why) => (Code::BadStatement, format!("it is no statement of Muster's: {why}")),
        StatementFault::Contradiction(why) => (Code::Contradiction, why),
    }
}

/// Why no signature holds, for the files where none does.
fn explain(looked: &mut [Looked<'_>], keys: &[PublicKey], findings: &mut Vec<Finding>) {
    let disowned: Vec<(u64, Previous)> = looked
        .iter()
        .filter_map(|it| it.good.as_ref())
        .filter_map(|(statement, _)| Some((statement.link.sequence, statement.link.previous?)))
        .collect();
    let names: Vec<String> = keys.iter().map(|it| it.fingerprint().to_string()).collect();
    for this in looked {
        if this.good.is_none() && this.bad.is_none() {
            let envelope = this.envelope.as_ref().expect("what is no envelope is bad already");
            this.bad = Some(unsigned(this, envelope, &disowned, &names));
        }
        if let Some((code, says)) = &this.bad {
            findings.push(Finding { file: this.name.into(), code: *code, says: says.clone() });
        }
    }
}

/// Why no trusted signature holds for this envelope, as well as can be told: by what trusted statements say stood before
/// them (`told`, with their own numbers), then by what the file says of itself.
fn unsigned(this: &Looked<'_>, envelope: &Envelope, told: &[(u64, Previous)], keys: &[String]) -> (Code, String) {
    let payload = envelope.payload_sha256();
    let ids = || envelope.signatures().iter().filter_map(|it| it.keyid.as_deref());
    let foreign = || {
        let hint = ids().next().map_or_else(String::new, |it| format!(" (it names the key {it})"));
        (Code::ForeignSigner, format!("it is signed by none of the keys that were given{hint}"))
    };
    if told.iter().any(|(_, it)| it.envelope == this.sha256) {
        return foreign();
    }
    if told.iter().any(|(_, it)| it.payload == payload) {
        let says = "its payload is the one that the next statement names, but its signature is not";
        return (Code::TamperedSignature, says.into());
    }
    let next = number_in_name(this.name).and_then(|it| it.checked_add(1));
    if let Some((_, was)) = told.iter().find(|(number, _)| Some(*number) == next) {
        let says = format!("its payload is {payload}, and the next statement says that it was {}", was.payload);
        return (Code::TamperedPayload, says);
    }
    let hint = hint_in_name(this.name);
    if let Some(named) = hint.filter(|named| *named != payload.short()) {
        let says = format!("no signature holds; its payload is {}…, and its name says {named}…", payload.short());
        return (Code::TamperedPayload, says);
    }
    if envelope.signatures().iter().all(|it| !is_a_signature(&it.bytes)) {
        return (Code::TamperedSignature, "what stands for its signature is none".into());
    }
    if hint.is_some() && ids().any(|id| keys.iter().any(|key| key == id)) {
        return (Code::TamperedSignature, "its signature does not hold for the payload that its name tells of".into());
    }
    foreign()
}

/// The number at the beginning of a name that Muster gave.
fn number_in_name(name: &str) -> Option<u64> {
    name.split('-').next()?.parse().ok()
}

/// The digits of the payload's digest in a name that Muster gave.
fn hint_in_name(name: &str) -> Option<&str> {
    let hint = name.strip_suffix(SUFFIX)?.rsplit('-').next()?;
    (hint.len() == 8 && hint.bytes().all(|it| it.is_ascii_hexdigit())).then_some(hint)
}

/// Whether these bytes have the form of a signature of one of the two algorithms.
fn is_a_signature(bytes: &[u8]) -> bool {
    bytes.len() == 64 || p256::ecdsa::Signature::from_der(bytes).is_ok()
}

/// Times, and the result.
fn finish(looked: Vec<Looked<'_>>, mut findings: Vec<Finding>, trust: &Trust) -> Verdict {
    let head = looked.last().map(|it| it.sha256);
    let mut entries = Vec::new();
    for it in looked {
        let Some((statement, signer)) = it.good else { continue };
        let at = statement.body.at();
        let age_s = trust.now.as_second() - at.as_second();
        let mut find = |code, says| findings.push(Finding { file: it.name.into(), code, says });
        if age_s < -CLOCK_MARGIN_S {
            find(Code::FromTheFuture, format!("it is of {at}, and it is {} now; set the clocks right", trust.now));
        }
        if let Some(max) = trust.max_age
            && age_s > i64::try_from(max.as_secs()).unwrap_or(i64::MAX)
        {
            find(Code::Expired, format!("it is of {at}, {age_s} s ago; {} s are allowed", max.as_secs()));
        }
        entries.push(Entry { file: it.name.into(), sha256: it.sha256, signer, statement });
    }
    findings.sort_by(|a, b| a.file.cmp(&b.file));
    Verdict { entries, findings, head }
}
