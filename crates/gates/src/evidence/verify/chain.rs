//! Whether the files of a folder are one chain.
//!
//! What always holds: a file that a trusted statement names by digest is the one that was there when that was signed, whoever
//! signed the file; so what such a file names before it must be there as well. Otherwise whatever stands before a
//! stranger's statement could be taken out unseen.

use std::collections::HashMap;

use super::{Code, Finding, Looked, number_in_name};
use crate::evidence::dsse::Envelope;
use crate::evidence::statement::Previous;
use crate::report::Sha256;

/// Whether each statement names the file before it.
pub(super) fn check(looked: &[Looked<'_>], findings: &mut Vec<Finding>) {
    let places: HashMap<Sha256, usize> = looked.iter().enumerate().rev().map(|(at, it)| (it.sha256, at)).collect();
    let mut payloads: HashMap<Sha256, &str> = HashMap::new();
    let first_good = looked.iter().find_map(|it| it.good.as_ref());
    let chain = first_good.map(|it| it.0.link.chain.clone());
    for (index, this) in looked.iter().enumerate() {
        let Some((statement, _)) = &this.good else { continue };
        let payload = this.envelope.as_ref().map(Envelope::payload_sha256).expect("a statement came in an envelope");
        let mut find = |code, says| findings.push(Finding { file: this.name.into(), code, says });
        if let Some(earlier) = payloads.insert(payload, this.name) {
            find(Code::Replayed, format!("it says the same as {earlier}, word for word"));
            continue;
        }
        let link = &statement.link;
        if Some(&link.chain) != chain.as_ref() {
            find(Code::Replayed, "it is from another folder: its chain is not this folder's".into());
            continue;
        }
        let before = index.checked_sub(1).map(|it| &looked[it]);
        match (link.previous, before) {
            (None, None) if link.sequence == 1 => {}
            (None, None) => find(Code::Contradiction, format!("it is the first, and numbered {}", link.sequence)),
            (None, Some(_)) => find(Code::Reordered, "it is the first of the folder, and stands behind another".into()),
            (Some(previous), before) => {
                if before.is_some_and(|it| it.sha256 == previous.envelope) {
                    let number = before.and_then(|it| it.good.as_ref()).map(|it| it.0.link.sequence);
                    if number.is_some_and(|number| number.checked_add(1) != Some(link.sequence)) {
                        find(Code::Contradiction, format!("its number {} does not follow", link.sequence));
                    }
                } else if let Some(place) = places.get(&previous.envelope) {
                    find(
                        Code::Reordered,
                        format!("it was written behind {}, and stands elsewhere", looked[*place].name),
                    );
                } else if !before.is_some_and(|it| is_altered(it, previous, link.sequence)) {
                    let says = format!(
                        "statement {} (envelope {}) is missing before it",
                        link.sequence.saturating_sub(1),
                        previous.envelope
                    );
                    find(Code::Truncated, says);
                }
            }
        }
    }
}

/// Whether this file is the one before statement `sequence`, with other bytes; its own finding says so.
fn is_altered(before: &Looked<'_>, previous: Previous, sequence: u64) -> bool {
    let is_its_number = number_in_name(before.name).and_then(|it| it.checked_add(1)) == Some(sequence);
    let is_its_payload = before.envelope.as_ref().is_some_and(|it| it.payload_sha256() == previous.payload);
    is_its_payload || (before.bad.is_some() && is_its_number)
}

/// Whether files without a trusted signature, for whose bytes a later trusted statement vouches, have the file before them
/// that they name. Their place is all that is read of them, and nothing else follows from it.
pub(super) fn through_strangers(looked: &[Looked<'_>], findings: &mut Vec<Finding>) {
    let mut wanted: Option<Sha256> = None;
    for (index, this) in looked.iter().enumerate().rev() {
        let is_vouched = wanted == Some(this.sha256);
        wanted = match (&this.good, &this.envelope) {
            (Some((statement, _)), _) => statement.link.previous.map(|it| it.envelope),
            (None, Some(envelope)) if is_vouched => {
                let link = envelope.unverified_link();
                let named = link.and_then(|it| it.previous).map(|it| it.envelope);
                let before = index.checked_sub(1).map(|it| looked[it].sha256);
                if named != before {
                    let named = named.map_or_else(|| "nothing".to_owned(), |it| format!("envelope {it}"));
                    let says =
                        format!("a trusted statement vouches for it, and it names {named} before it: that is missing");
                    findings.push(Finding { file: this.name.into(), code: Code::Truncated, says });
                }
                named
            }
            _ => None,
        };
    }
}
