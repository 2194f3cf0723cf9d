//! The handshake on a lane that lets nobody in without a token.

use std::collections::BTreeSet;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::Value;

use crate::lane::Lane;
use crate::service::{Place, basic};
use crate::support::{Run, Running};

const CLIENTS: usize = 6;

/// A lane that also asks for `presence.read`.
fn discreet() -> (Lane, Running) {
    let lane = Lane::new();
    let issuer = lane.place.issuer();
    let made = lane.place.control(&["init", "--issuer", &issuer, "--audience", "muster-test", "--json"]).json();
    lane.configure("lane", made["revoker"].as_str().expect("an identity"), true);
    let service = lane.serve();
    (lane, service)
}

/// Registers a client whose secret stands in the file of its name.
fn register(place: &Place, id: &str, more: &[&str]) {
    let file = format!("{id}.secret");
    let grant = ["clients", "add", id, "--scope", "presence.read", "--secret-file", &file];
    place.control(&[&grant[..], more].concat()).done();
}

fn meet(lane: &Lane, more: &[&str]) -> Run {
    let clients = CLIENTS.to_string();
    let place = ["--server", &lane.host.url, "--database", "lane", "--clients", &clients];
    let args = ["handshake", "--json", "--evidence-dir", "evidence"];
    lane.place.sandbox.run(&[&args[..], &place, more].concat())
}

/// Meets as a client of the service; gives what the evidence says of the clients.
fn met_as(lane: &Lane, id: &str, more: &[&str]) -> (Value, usize) {
    let (issuer, secret) = (lane.place.issuer(), format!("{id}.secret"));
    let who = ["--control", &issuer, "--client-id", id, "--client-secret-file", &secret];
    met(lane, &[&who[..], more].concat())
}

fn met(lane: &Lane, more: &[&str]) -> (Value, usize) {
    let report = meet(lane, more).json();
    assert_eq!((&report["passed"], &report["during"], &report["final"]), (&true.into(), &CLIENTS.into(), &0.into()));
    let folder = lane.place.sandbox.path("evidence");
    let files = std::fs::read_dir(&folder).expect("the folder").map(|file| file.expect("readable").path());
    let file = files.max().expect("names sort as the times");
    let evidence: Value = serde_json::from_slice(&std::fs::read(file).expect("the file")).expect("JSON");
    assert_eq!(evidence["started_at"], report["started_at"]);
    let sessions = evidence["sessions"].as_array().expect("sessions");
    assert_eq!(sessions.len(), CLIENTS);
    let identities: BTreeSet<_> = sessions.iter().map(|session| session["identity"].to_string()).collect();
    (evidence["clients_come_as"].clone(), identities.len())
}

#[test]
fn each_client_has_a_token_and_where_it_is_allowed_a_subject_of_its_own() {
    let (lane, _service) = discreet();
    let refused = meet(&lane, &[]).error(2);
    assert!(refused.contains("token"), "{refused}");

    register(&lane.place, "plain", &[]);
    assert_eq!(met_as(&lane, "plain", &[]), ("a token each, of one subject".into(), 1));
    register(&lane.place, "probe", &["--subject-prefix", "handshake:", "--subject-prefix", "user:"]);
    assert_eq!(met_as(&lane, "probe", &[]), ("a token and a subject each".into(), CLIENTS));
    let users = ["--subject-prefix", "user:"];
    assert_eq!(met_as(&lane, "probe", &users), ("a token and a subject each".into(), CLIENTS));
    let (issuer, who) = (lane.place.issuer(), ["--client-id", "plain", "--client-secret-file", "plain.secret"]);
    let refused = meet(&lane, &[&["--control", &issuer], &who[..], &users].concat()).error(2);
    assert!(refused.contains("not registered for this subject"), "{refused}");
    // Six of its own, one for the one who asks, and one to see whether it may name subjects.
    let listed = lane.place.control(&["sessions", "list", "--client", "probe", "--json"]).json();
    assert_eq!(listed["sessions"].as_array().expect("a list").len(), 2 * (CLIENTS + 2), "{listed}");
}

#[test]
fn one_token_serves_all_where_it_is_said_outright() {
    let (lane, _service) = discreet();
    register(&lane.place, "plain", &[]);
    let secret = std::fs::read_to_string(lane.place.sandbox.path("plain.secret")).expect("the secret");
    let token = lane.place.token(&basic("plain", secret.trim()));
    let file = lane.place.sandbox.path("plain.token");
    let mut open = std::fs::OpenOptions::new();
    let made = open.write(true).create_new(true).mode(0o600).open(file).expect("made");
    std::io::Write::write_all(&mut &made, token.as_bytes()).expect("written");
    assert_eq!(met(&lane, &["--token-file", "plain.token"]), ("one token for all".into(), 1));
    let refused = meet(&lane, &["--token-file", "plain.token", "--subject-prefix", "user:"]).error(2);
    assert!(refused.contains("--control"), "{refused}");
}
