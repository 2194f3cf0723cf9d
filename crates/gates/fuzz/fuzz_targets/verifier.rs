//! The verifier of evidence, against whatever may lie in a folder.
//!
//! The first byte chooses: bytes as a file; bytes as a payload that the trusted key signed; edits of a folder that holds.
//! What must hold: no panic and no allocation out of proportion; bytes that the key did not sign never hold; a statement
//! that holds can be written and read back as the same; and an edited folder holds exactly if it is a beginning of what
//! was written, and with a head exactly if it is all of it.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use muster_gates::evidence::{Envelope, File, Trust, verify, verify_one};
use muster_gates_fuzz::{folder, signer, trust};

static FOLDER: LazyLock<Vec<File>> = LazyLock::new(folder);
static TRUST: LazyLock<Trust> = LazyLock::new(trust);

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    match choice % 3 {
        0 => as_a_file(rest),
        1 => as_a_payload(rest),
        _ => as_edits(rest),
    }
});

fn as_a_file(bytes: &[u8]) {
    let file = File { name: "000001-local-x-00000000.dsse.json".into(), bytes: bytes.to_vec() };
    // The folder's key signed four payloads; an envelope around one of them may hold by itself.
    let verdict = verify_one(&file, &TRUST);
    assert!(verdict.holds() == (verdict.entries.len() == 1));
    let _ = verify(&[file.clone(), file], &TRUST);
}

fn as_a_payload(bytes: &[u8]) {
    let seal = |payload: Vec<u8>| Envelope::seal(payload, &signer()).to_json();
    let file = File { name: "x".into(), bytes: seal(bytes.to_vec()) };
    let verdict = verify_one(&file, &TRUST);
    let Some(entry) = verdict.entries.first() else {
        assert!(!verdict.holds());
        return;
    };
    let again = verify_one(&File { name: "x".into(), bytes: seal(entry.statement.to_json()) }, &TRUST);
    let again = again.entries.first().expect("what was read can be written, and read again");
    assert_eq!(again.statement.link, entry.statement.link);
    assert_eq!(again.statement.to_json(), entry.statement.to_json());
}

fn as_edits(bytes: &[u8]) {
    let original = &*FOLDER;
    let mut files = original.clone();
    for edit in bytes.chunks_exact(4).take(8) {
        let [kind, which, high, low] = edit else { continue };
        let at = usize::from(*which) % files.len().max(1);
        let Some(file) = files.get_mut(at) else { break };
        let place = usize::from(u16::from_be_bytes([*high, *low]));
        match kind % 7 {
            0 => {
                let place = place % file.bytes.len().max(1);
                if let Some(byte) = file.bytes.get_mut(place) {
                    *byte ^= high ^ low | 1;
                }
            }
            1 => file.bytes.truncate(place),
            2 => file.bytes.insert(place % (file.bytes.len() + 1), *which),
            3 => {
                files.remove(at);
            }
            4 => {
                let other = place % files.len();
                let bytes = std::mem::take(&mut files[at].bytes);
                let theirs = std::mem::replace(&mut files[other].bytes, bytes);
                files[at].bytes = theirs;
            }
            5 => {
                let mut copy = file.clone();
                copy.name.insert(0, '9');
                files.push(copy);
            }
            _ => {
                let end = (place + 40).min(file.bytes.len());
                if place < end {
                    file.bytes.drain(place..end);
                }
            }
        }
    }
    let same = |a: &File, b: &File| a.bytes == b.bytes;
    let is_a_beginning = files.len() <= original.len() && files.iter().zip(original).all(|(a, b)| same(a, b));
    assert_eq!(verify(&files, &TRUST).holds(), is_a_beginning);
    let head = verify(original, &TRUST).head;
    let is_all = is_a_beginning && files.len() == original.len();
    assert_eq!(verify(&files, &Trust { head, ..TRUST.clone() }).holds(), is_all);
}
