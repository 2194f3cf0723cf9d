//! Setting up, serving, and changing what is served.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::Value;

use crate::service::{Place, basic, eventually};
use crate::support::PATIENCE;

#[test]
fn a_service_is_set_up_serves_and_ends_in_order() {
    let place = Place::new();
    let issuer = place.issuer();
    let init = ["init", "--issuer", &issuer, "--audience", "muster-test", "--json"];
    let made = place.control(&init).json();
    assert_eq!((&made["schema"], &made["issuer"]), (&"muster.control_init.v1".into(), &issuer.clone().into()));
    assert_eq!(made["revoker"].as_str().map(str::len), Some(64), "{made}");
    assert_eq!(place.control(&init).json(), made, "twice is once");
    let mode = |name: &str| std::fs::metadata(place.sandbox.path(name)).expect("there").permissions().mode() & 0o777;
    assert_eq!((mode("state"), mode("state/control.sqlite"), mode("state/keys")), (0o700, 0o600, 0o700));

    let mut service = place.serve(&[]);
    let (status, document) = place.ask("GET", "/.well-known/openid-configuration", &[], "");
    let document: Value = serde_json::from_str(&document).expect("JSON");
    assert_eq!((status, &document["issuer"]), (200, &issuer.into()));
    assert_eq!(place.ask("GET", "/healthz", &[], ""), (200, "ok\n".into()));
    service.signal("TERM");
    assert_eq!(service.code(), Some(0), "{}", service.rest_of_talk());
}

#[test]
fn a_secret_is_shown_once_or_written_for_its_owner_alone() {
    let place = Place::new();
    let _service = place.serve(&[]);
    let add = ["clients", "add", "one", "--scope", "sync.read", "--stream", "a.*"];
    let added = place.control(&[&add[..], &["--json"]].concat()).json();
    let secret = added["secret"].as_str().expect("a secret").to_owned();
    assert_eq!((&added["schema"], &added["client"]["id"]), (&"muster.control_client.v1".into(), &"one".into()));
    place.token(&basic("one", &secret));
    for args in [&["clients", "show", "one", "--json"][..], &["clients", "list", "--json"], &["audit", "--json"]] {
        let said = place.control(args).done();
        assert!(said.contains("one") && !said.contains(&secret) && !said.contains("argon2"), "{said}");
    }

    let rotate = ["clients", "rotate-secret", "one", "--overlap", "0s", "--secret-file", "one.secret"];
    let (stdout, _) = place.control(&rotate).done_with_talk();
    assert_eq!(stdout, "", "it is in the file");
    let file = place.sandbox.path("one.secret");
    assert_eq!(std::fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
    let next = std::fs::read_to_string(&file).expect("read");
    place.token(&basic("one", next.trim()));
    assert_eq!(place.mint(&basic("one", &secret), "").0, 401, "the one before got loose");
    let refused = place.control(&rotate).error(2);
    assert!(refused.contains("is there already"), "{refused}");
    assert_eq!(std::fs::read_to_string(&file).expect("read"), next);
    place.token(&basic("one", next.trim()));
}

#[test]
fn clients_are_changed_beside_the_service_and_every_change_is_in_the_audit_log() {
    let place = Place::new();
    let _service = place.serve(&[]);
    let one = place.client("one", &["--permission", "refresh", "--access-lifetime", "60s", "--description", "first"]);
    let (_, answer) = place.mint(&one, "");
    assert_eq!((&answer["expires_in"], &answer["granted_streams"]), (&60.into(), &serde_json::json!(["a.*"])));
    place.control(&["clients", "grant", "one", "--scope", "sync.read", "--stream", "a.b"]).done();
    assert_eq!(place.mint(&one, "").1["granted_streams"], serde_json::json!(["a.b"]));
    assert_eq!(place.mint(&one, r#"{"streams":["a.*"]}"#).0, 400, "it has less now");
    place.control(&["clients", "disable", "one"]).done();
    assert_eq!(place.mint(&one, "").0, 401);
    place.control(&["clients", "enable", "one"]).done();
    place.token(&one);

    let sessions = place.control(&["sessions", "list", "--client", "one", "--json"]).json();
    let id = sessions["sessions"][0]["id"].as_str().expect("a session").to_owned();
    place.control(&["sessions", "revoke", &id, "--actor", "grace"]).done();
    let gone = place.control(&["sessions", "revoke", &id]).error(1);
    assert!(gone.contains("no live session"), "{gone}");
    place.control(&["clients", "revoke", "one"]).done();
    place.control(&["keys", "rotate"]).done();

    let log = place.control(&["audit", "--json"]).json();
    let entries = log["entries"].as_array().expect("entries").iter();
    let by_people: Vec<_> = entries
        .filter(|entry| entry["actor"] != "control")
        .map(|entry| (entry["actor"].as_str().expect("who"), entry["action"].as_str().expect("what")))
        .collect();
    let expected = [
        ("ada", "client.add"),
        ("ada", "client.set-grant"),
        ("ada", "client.disable"),
        ("ada", "client.enable"),
        ("grace", "session.revoke"),
        ("ada", "client.revoke-sessions"),
        ("ada", "key.rotate"),
    ];
    assert_eq!(by_people, expected);
    let head = place.control(&["audit", "--verify", "--json"]).json();
    assert_eq!(head["seq"].as_u64(), Some(log["entries"].as_array().expect("entries").len() as u64));
}

#[test]
fn what_cannot_be_is_one_line_with_a_remedy() {
    let place = Place::new();
    let error = |args: &[&str], code: i32| place.control(args).error(code);
    assert!(error(&["clients", "list"], 2).contains("muster control init"), "nothing is set up");
    let _service = place.serve(&[]);
    place.client("one", &[]);
    assert!(error(&["clients", "show", "two"], 1).contains("muster control clients list"));
    assert!(error(&["clients", "add", "one", "--scope", "sync.read"], 1).contains("already"));
    assert!(error(&["clients", "add", "a b", "--scope", "sync.read"], 1).contains("A-Z"));
    assert!(error(&["clients", "add", "muster-control", "--scope", "sync.read"], 1).contains("the service's own"));
    assert!(error(&["clients", "add", "two", "--scope", "sync.everything"], 2).contains("sync.write"));
    assert!(error(&["clients", "add", "two", "--scope", "sync.read", "--access-lifetime", "2h"], 1).contains("3600"));
    assert!(error(&["keys", "compromised", "any"], 2).contains("--yes"));
    let second = ["serve", "--listen", "127.0.0.1:0", "--issuer", &place.issuer(), "--audience", "muster-test"];
    assert!(error(&second, 2).contains("another control service runs"));
    let other = ["init", "--issuer", "https://other.example", "--audience", "muster-test"];
    assert!(error(&other, 2).contains("state directory is that of the issuer"));
}

#[test]
fn what_is_counted_is_shown_and_nothing_that_a_stranger_sent() {
    let place = Place::new();
    let _service = place.serve(&["--database", "lane"]);
    let one = place.client("one", &[]);
    for _ in 0..3 {
        place.token(&one);
    }
    assert_eq!(place.mint(&basic("one", "mcs_guessed"), "").0, 401);
    assert_eq!(place.ask("GET", "/nobody/knows\u{7f}", &[], "").0, 400);
    assert_eq!(place.ask("GET", "/nobody/knows", &[], "").0, 404);
    assert_eq!(place.metric("muster_control_tokens_total{grant_type=\"mint\"}"), Some(3));
    assert_eq!(place.metric("muster_control_failed_authentications_total"), Some(1));
    assert_eq!(place.metric("muster_control_refusals_total{code=\"unauthorized\"}"), Some(1));
    assert_eq!(place.metric("muster_control_requests_total{route=\"other\"}"), Some(1));
    assert_eq!(place.metric("muster_control_keys{state=\"active\"}"), Some(1));
    assert_eq!(place.metric("muster_control_sessions"), Some(3));
    let (_, text) = place.ask("GET", "/metrics", &[], "");
    for secret in ["nobody", "mcs_", "one", "eyJ"] {
        let shown = text.lines().any(|line| !line.starts_with('#') && line.contains(secret));
        assert!(!shown, "{secret}: {text}");
    }
}

#[test]
fn a_service_that_cannot_sign_says_that_it_is_not_well() {
    let place = Place::new();
    let service = place.serve(&[]);
    let keys = place.sandbox.path("state/keys");
    for entry in std::fs::read_dir(&keys).expect("listed") {
        std::fs::remove_file(entry.expect("an entry").path()).expect("removed");
    }
    drop(service);
    let _service = place.serve(&[]);
    eventually("it says so", PATIENCE, || place.ask("GET", "/healthz", &[], "").0 == 503);
    let (_, said) = place.ask("GET", "/healthz", &[], "");
    assert!(!said.contains("state"), "no path: {said}");
}

#[test]
fn who_has_no_name_is_in_the_audit_log_by_number() {
    let mut place = Place::new();
    place.sandbox = place.sandbox.with("LOGNAME", "").with("USER", "");
    place.control(&["init", "--issuer", &place.issuer(), "--audience", "muster-test"]).done();
    place.client("one", &[]);
    let told = place.control(&["audit"]).done();
    let added = told.lines().find(|line| line.contains("client.add")).expect("it is there");
    let number = std::fs::metadata(place.sandbox.path("state")).expect("there").uid();
    assert!(added.contains(&format!("uid {number}")), "{told}");
}
