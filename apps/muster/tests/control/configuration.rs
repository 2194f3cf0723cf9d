//! Where a service's settings come from.

use std::os::unix::fs::PermissionsExt as _;

use crate::service::Place;

#[test]
fn a_flag_comes_before_a_variable_a_variable_before_the_file_and_each_says_where_it_is_from() {
    let mut place = Place::new();
    place
        .sandbox
        .file("etc/control.toml", "audience = 'file'\nstate_dir = 'here'\n[keys]\nannounce = '500 s'\nretire = '2h'\n");
    place.sandbox = place.sandbox.with("MUSTER_CONTROL_KEYS_ANNOUNCE", "600 s").with("MUSTER_CONTROL_STATE_DIR", "");
    let args = ["serve", "--config", "etc/control.toml", "--audience", "flag", "--print-config"];
    let printed = place.control(&args).done();
    for line in [
        "audience = \"flag\"  # --audience",
        "etc/here\"  # etc/control.toml, line 2",
        "announce = \"600 s\"  # MUSTER_CONTROL_KEYS_ANNOUNCE",
        "retire = \"7200 s\"  # etc/control.toml, line 5",
        "listen = \"127.0.0.1:3100\"  # default",
    ] {
        assert!(printed.contains(line), "{line} in {printed}");
    }
    assert!(!place.sandbox.path("etc/here").exists(), "nothing is started");
}

#[test]
fn what_is_misspelt_names_what_is_known() {
    let place = Place::new();
    place.sandbox.file("control.toml", "audiense = 'x'\n");
    let wrong = place.control(&["serve", "--config", "control.toml"]).error(2);
    assert!(wrong.contains("control.toml, line 1") && wrong.contains("did you mean `audience`"), "{wrong}");
    let other = Place::new().sandbox.with("MUSTER_CONTROL_ISSUR", "x");
    let wrong = other.run(&["control", "serve", "--state-dir", "s"]).error(2);
    assert!(wrong.contains("MUSTER_CONTROL_ISSUER"), "{wrong}");
}

#[test]
fn what_would_be_dangerous_is_refused() {
    let place = Place::new();
    let refused = |more: &[&str]| {
        let args = ["serve", "--listen", "127.0.0.1:0", "--audience", "lane"];
        place.control(&[&args, more].concat()).error(2)
    };
    assert!(refused(&["--issuer", "http://control.example"]).contains("https://"));
    assert!(refused(&["--issuer", "https://control.example", "--keys-announce", "10s"]).contains("420 s"));
    assert!(refused(&["--keys-retire", "10s"]).contains("3660 s"));
    assert!(refused(&["--revocations-server", "http://127.0.0.1:9"]).contains("--database"));
    assert!(refused(&["--database", "d", "--revocations-server", "http://10.255.255.1:3000"]).contains("without TLS"));
    let open = ["serve", "--listen", "0.0.0.0:0", "--audience", "lane", "--issuer", "http://127.0.0.1:9"];
    assert!(place.control(&open).error(2).contains("this machine alone"));
    assert!(!place.sandbox.path("state").exists(), "nothing was made");
    assert!(refused(&["--trusted-proxy", "proxy"]).contains("no address"));
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let place = Place::new();
    place.sandbox.file("owner.token", "aaaa.bbbb.cccc");
    place.sandbox.file("first.pem", "no key");
    let refused = |flag: &str, file: &str, mode: u32| {
        let path = place.sandbox.path(file);
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        let host = ["--database", "d", "--revocations-server", "http://127.0.0.1:9"];
        let args = ["serve", "--listen", "127.0.0.1:0", "--audience", "lane", flag, file];
        place.control(&[&args[..], &host].concat()).error(2)
    };
    for (flag, file) in [("--revocations-token-file", "owner.token"), ("--first-signing-key", "first.pem")] {
        let said = refused(flag, file, 0o644);
        assert!(said.contains(&format!("{file} can be read by others (mode 0644); run `chmod 600 ")), "{said}");
    }
    let said = refused("--first-signing-key", "first.pem", 0o600);
    assert!(said.contains("the signing key cannot be read"), "looked at for what it is: {said}");
}
