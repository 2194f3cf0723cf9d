//! Writes the seeds into the folder that is named: `cargo run --bin seeds corpus/verifier`.

use std::path::PathBuf;

use muster_gates::evidence::{Body, Link, Previous, Statement};
use muster_gates::Sha256;
use muster_gates_fuzz::{decision, folder, report};

fn main() {
    let to = PathBuf::from(std::env::args().nth(1).expect("name a folder"));
    let write = |name: &str, choice: u8, bytes: &[u8]| {
        let mut all = vec![choice];
        all.extend_from_slice(bytes);
        std::fs::write(to.join(name), all).expect("written");
    };
    for (at, file) in folder().iter().enumerate() {
        write(&format!("file-{at}"), 0, &file.bytes);
    }
    let previous = Some(Previous { envelope: Sha256::of(b"e"), payload: Sha256::of(b"p") });
    let bodies = [Body::Gate(Box::new(report(2))), Body::Decision(Box::new(decision()))];
    for (at, body) in bodies.into_iter().enumerate() {
        let link = Link { chain: "00".repeat(16), sequence: 2, previous };
        write(&format!("payload-{at}"), 1, &Statement { link, body }.to_json());
    }
    for kind in 0..7 {
        write(&format!("edit-{kind}"), 2, &[kind, 1, 0, 9]);
    }
    write("edits", 2, &[4, 0, 0, 1, 5, 2, 0, 0, 3, 3, 0, 0]);
}
