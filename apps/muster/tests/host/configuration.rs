//! `--config`, `--print-config`, flags and variables: which one counts, and what is said of a wrong one.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use crate::support::variants::{Variant, module};
use crate::support::{Host, Sandbox, sandbox_at};
#[cfg(target_os = "linux")]
use crate::support::{MUSTER, finish};

/// The line of `--print-config` for a key within its section.
fn line<'a>(printed: &'a str, section: &str, key: &str) -> &'a str {
    let start = if section.is_empty() { 0 } else { printed.find(&format!("[{section}]")).expect("the section") };
    let mut lines = printed[start..].lines();
    lines.find(|line| line.trim_start_matches('#').starts_with(&format!("{key} = "))).expect("the key")
}

#[test]
fn a_flag_comes_before_a_variable_a_variable_before_the_file_the_file_before_the_default() {
    let file = "in_memory = true\n[limits]\nconnections = 11\nsql_bytes = '1 KiB'\ncall_bytes = '2 KiB'\n";
    let sandbox = Sandbox::new()
        .with("MUSTER_HOST_CONNECTIONS", "22")
        .with("MUSTER_HOST_SQL_BYTES", "2 KiB")
        .with("MUSTER_HOST_DATA_DIR", "");
    sandbox.file("host.toml", file);
    let printed = sandbox.run(&["host", "--config", "host.toml", "--connections", "33", "--print-config"]).done();
    let limits = |key| line(&printed, "limits", key);
    assert_eq!(limits("connections"), "connections = 33  # --connections");
    assert_eq!(limits("sql_bytes"), "sql_bytes = \"2 KiB\"  # MUSTER_HOST_SQL_BYTES");
    assert_eq!(limits("call_bytes"), "call_bytes = \"2 KiB\"  # host.toml, line 5");
    assert_eq!(limits("header_bytes"), "header_bytes = \"64 KiB\"  # default");
    assert_eq!(line(&printed, "", "in_memory"), "in_memory = true  # host.toml, line 1");
    assert_eq!(line(&printed, "tls", "key"), "#key = \"/etc/muster/key.pem\"  # not set");

    // Whoever says where the data goes takes back what stands further down.
    let printed = sandbox.run(&["host", "--config", "host.toml", "--data-dir", "kept", "--print-config"]).done();
    let kept = sandbox.path("kept");
    assert_eq!(line(&printed, "", "data_dir"), format!("data_dir = \"{}\"  # --data-dir", kept.display()));
    assert_eq!(line(&printed, "", "in_memory"), "in_memory = false  # default");
}

#[test]
fn what_is_printed_is_a_configuration_that_prints_the_same() {
    let sandbox = Sandbox::new().with("MUSTER_HOST_TRUST_ISSUER", "https://a.example https://b.example");
    let args = ["host", "--data-dir", "kept", "--call-time", "5s", "--log-format", "json", "--print-config"];
    let first = sandbox.run(&args).done();
    sandbox.file("printed.toml", &first);
    let second =
        Sandbox::new().run(&["host", "--config", sandbox.path("printed.toml").to_str().unwrap(), "--print-config"]);
    let values = |text: &str| -> Vec<String> {
        text.lines().map(|line| line.split("  # ").next().expect("a first part").to_owned()).collect()
    };
    assert_eq!(values(&second.done()), values(&first), "in whatever folder it is kept");
    assert!(first.contains("trusted_issuers = [\"https://a.example\", \"https://b.example\"]"), "{first}");
}

#[test]
fn the_example_is_taken_as_it_stands() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/host.toml");
    let printed = Sandbox::new().run(&["host", "--config", example.to_str().unwrap(), "--print-config"]).done();
    let plain = Sandbox::new().run(&["host", "--print-config"]).done();
    let values =
        |text: &str| text.lines().map(|line| line.split("  # ").next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(values(&printed), values(&plain));
}

#[test]
fn whatever_is_wrong_is_one_line_that_says_where_and_what_to_write() {
    let cases: [(&str, &[&str], &str); 14] = [
        ("", &[], "where is the data to be kept? --data-dir DIR, or --in-memory"),
        (
            "in_memory = true\n\n[limits]\nconections = 3\n",
            &[],
            "host.toml, line 4: no such key: `limits.conections`; did you mean `limits.connections`?",
        ),
        ("connections = 5\n", &[], "host.toml, line 1: no such key: `connections`; did you mean `limits.connections`?"),
        ("listn = 'x'\n", &[], "host.toml, line 1: no such key: `listn`; did you mean `listen`?"),
        (
            "[websokcet]\nping_interval = '1 s'\n",
            &[],
            "host.toml, line 1: no such section: `[websokcet]`; did you mean `[websocket]`?",
        ),
        (
            "[limits]\nheader_timeout = 30\n",
            &[],
            "host.toml, line 2: `limits.header_timeout`: write a time such as \"30 s\" or \"250 ms\"",
        ),
        (
            "[limits]\nheader_bytes = '1 KiB'\n",
            &[],
            "host.toml, line 2: `limits.header_bytes`: it must be from 8 KiB to 16 MiB",
        ),
        (
            "in_memory = true\ndata_dir = 'x'\n",
            &[],
            "`in_memory` (host.toml, line 1) and `data_dir` (host.toml, line 2) contradict each other; keep one of the two",
        ),
        (
            "[tls]\nkey = 'k.pem'\n",
            &[],
            "`tls.key` is set (host.toml, line 2), but not `tls.certificates`; TLS needs both",
        ),
        ("in_memory = \n", &[], "host.toml, line 1: "),
        (
            "",
            &["--in-memory", "--ping-interval", "30s"],
            "[websocket]: the ping interval must be longer than zero and shorter than the idle timeout; ",
        ),
        (
            "",
            &["--in-memory", "--listen", "3000"],
            "invalid value '3000' for '--listen <HOST:PORT>': it is no address; write HOST:PORT, such as 127.0.0.1:3000, \
             localhost:3000 or [::1]:0; see --help",
        ),
        (
            "",
            &["--in-memory", "--listen", "no.such.name.invalid:1"],
            "no address is known for `no.such.name.invalid:1` (",
        ),
        (
            "",
            &["--in-memory", "--log-filter", "muster=lots"],
            "invalid value 'muster=lots' for '--log-filter <FILTER>': ",
        ),
    ];
    for (file, flags, told) in cases {
        let sandbox = Sandbox::new();
        sandbox.file("host.toml", file);
        let line = sandbox.run(&[&["host", "--config", "host.toml"], flags].concat()).error(2);
        assert!(line.starts_with(told), "{file}{flags:?}\n{line}\n{told}");
    }
    let line = Sandbox::new().with("MUSTER_HOST_CONECTIONS", "1").run(&["host", "--in-memory"]).error(2);
    assert_eq!(line, "MUSTER_HOST_CONECTIONS: no such variable; did you mean MUSTER_HOST_CONNECTIONS?");
    let line = Sandbox::new().with("MUSTER_HOST_CONNECTIONS", "many").run(&["host", "--in-memory"]).error(2);
    assert_eq!(line, "MUSTER_HOST_CONNECTIONS: `many`: write a whole number");
    let line = Sandbox::new().run(&["host", "--config", "none.toml"]).error(2);
    assert!(line.contains("none.toml cannot be read"), "{line}");
}

#[test]
fn the_file_moves_the_data_the_key_the_limits_and_the_address() {
    let sandbox = Sandbox::new();
    let file = "listen = 'localhost:0'\ndata_dir = 'data'\nsigning_key = 'own.pem'\n[limits]\ncall_bytes = 100\n";
    let config = sandbox.file("etc/host.toml", file);
    let process = sandbox.start(&["host", "--config", &config, "--json"]);
    let ready = process.json();
    let url = ready["url"].as_str().expect("a URL").to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");
    let folder = sandbox.path("etc/data").canonicalize().expect("made beside the file");
    assert_eq!(Path::new(ready["data_dir"].as_str().expect("a folder")), folder);
    assert!(sandbox.path("etc/own.pem").is_file() && !folder.join("keys").exists(), "the key lies where it was named");
    let host = Host { process, url, data_dir: folder };
    let at = sandbox_at(&host, "db");
    let wasm = at.file("module.wasm", module(Variant::Plain));
    at.run(&["publish", "-q", "--module", &wasm]).done();
    at.run(&["call", "add", "\"short\""]).done();
    let long = format!("\"{}\"", "x".repeat(200));
    let refused = at.run(&["call", "add", &long]);
    assert!(refused.code != Some(0) && refused.stderr.contains("413"), "{refused:?}");
}

#[test]
fn a_connection_above_the_flag_is_refused() {
    let sandbox = Sandbox::new();
    let host = Host::start(&sandbox, &["--in-memory", "--connections", "1"]);
    let _held = TcpStream::connect(host.authority()).expect("the one place");
    // Accepted in turn: whoever comes second is counted second.
    let mut second = TcpStream::connect(host.authority()).expect("the system accepts it");
    second.write_all(b"GET /v1/ping HTTP/1.1\r\nhost: h\r\n\r\n").expect("sent");
    let mut answer = String::new();
    second.read_to_string(&mut answer).expect("text");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}

#[test]
fn a_log_in_json_is_one_object_a_line_and_has_what_the_filter_asks_for() {
    let sandbox = Sandbox::new();
    let mut host = Host::start(&sandbox, &["--in-memory", "--log-format", "json", "--log-filter", "muster_host=debug"]);
    sandbox.run(&["describe", "--server", &host.url, "--database", "none"]).error(2);
    host.process.signal("TERM");
    assert_eq!(host.process.code(), Some(0));
    let log = host.process.rest_of_talk();
    let objects: Vec<serde_json::Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let talk: Vec<&str> = log.lines().filter(|line| !line.starts_with('{')).collect();
    assert_eq!(talk, ["closing connections and flushing; stop me again to exit at once"]);
    assert!(objects.iter().any(|event| event["fields"]["message"] == "host is ready"), "{log}");
    assert!(
        objects.iter().all(|event| event["target"].as_str().is_some_and(|it| it.starts_with("muster_host"))),
        "{log}"
    );
}

#[test]
fn a_variable_names_the_file_and_a_flag_another() {
    let sandbox = Sandbox::new().with("MUSTER_HOST_CONFIG", "one.toml");
    sandbox.file("one.toml", "in_memory = true\n[limits]\nconnections = 1\n");
    sandbox.file("two.toml", "[limits]\nconnections = 2\n");
    let printed = sandbox.run(&["host", "--print-config"]).done();
    assert_eq!(line(&printed, "limits", "connections"), "connections = 1  # one.toml, line 3");
    let printed = sandbox.run(&["host", "--config", "two.toml", "--print-config"]).done();
    assert_eq!(line(&printed, "limits", "connections"), "connections = 2  # two.toml, line 2");
    assert_eq!(line(&printed, "", "in_memory"), "in_memory = false  # default");
}

#[test]
fn only_issuers_that_are_named_are_asked_for_their_keys() {
    use base64::Engine as _;
    let part = |json: &str| base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(json);
    // Nobody listens there, so asking is a failure to connect.
    let claims = part(r#"{"iss":"http://127.0.0.1:1","sub":"somebody","iat":1,"exp":4102444800}"#);
    let token = format!("{}.{claims}.{}", part(r#"{"alg":"ES256","typ":"JWT"}"#), "A".repeat(86));
    let told = |flags: &[&str]| {
        let sandbox = Sandbox::new();
        let host = Host::start(&sandbox, flags);
        let file = sandbox.file("foreign.token", &token);
        sandbox.run(&["sql", "SELECT 1", "--server", &host.url, "--database", "db", "--token-file", &file]).error(2)
    };
    let untrusted = "is not trusted by this host";
    let refused = told(&["--in-memory"]);
    assert!(refused.contains(untrusted), "{refused}");
    let refused = told(&["--in-memory", "--trust-issuer", "https://a.example", "--trust-issuer", "http://127.0.0.1:1"]);
    assert!(!refused.contains(untrusted), "it was asked: {refused}");
}

/// Starts a host under `ulimit` and gives its soft and its hard limit of open files, and its log.
#[cfg(target_os = "linux")]
fn files_allowed(ulimit: &str) -> (String, String, String) {
    const SCRIPT: &str = r#"
        ulimit $1
        "$0" host --in-memory --listen 127.0.0.1:0 --json > ready.json &
        until [ -s ready.json ] || ! kill -0 $!; do sleep 0.05; done
        grep '^Max open files' /proc/$!/limits
        kill $!
        wait $!
    "#;
    let sandbox = Sandbox::new();
    let mut command = std::process::Command::new("bash");
    command.args(["-c", SCRIPT, MUSTER, ulimit]).current_dir(sandbox.path("."));
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let (limits, log) = finish(command.spawn().expect("bash runs")).done_with_talk();
    let numbers: Vec<&str> = limits.split_whitespace().skip(3).collect();
    (numbers[0].into(), numbers[1].into(), log)
}

#[cfg(target_os = "linux")]
#[test]
fn a_host_may_open_as_many_files_as_it_is_allowed_and_says_when_that_is_too_few() {
    const SAID: &str = "not so many files may be open";
    let (soft, hard, _) = files_allowed("-Sn 300");
    assert_eq!(soft, hard);
    assert_ne!(soft, "300");
    let (soft, _, log) = files_allowed("-n 600");
    assert_eq!(soft, "600");
    assert!(log.contains(SAID) && log.contains("about 88 connections"), "{log}");
}
